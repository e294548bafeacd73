"""A media server over HTTP: a request for each command, and a WebSocket for events where they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex
from typing import Any, Final

import msgspec
import treq
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from rvoip.mediacontrol.commands import MediaCommands
from rvoip.mediacontrol.control import LARGEST_ANSWER
from rvoip.mediacontrol.errors import MediaError, MediaUnavailable
from rvoip.mediacontrol.events import AnyEvent, decode_event
from rvoip.mediacontrol.interfaces import IMediaServer
from rvoip.mediacontrol.observers import Observers
from rvoip.mediacontrol.operations import EVENTS_PATH, Operation
from rvoip.mediacontrol.outcome import lost, outcome
from rvoip.mediacontrol.ownership import FENCING_HEADER, FencingToken
from rvoip.mediacontrol.place import Place
from rvoip.mediacontrol.reach import Credentials, endpoint_for

__all__ = ["HTTPMediaServer"]

TIMEOUT: Final = 5.0
"""Seconds for a command, with all its repetitions."""
MOST_WAITING: Final = 1000
"""Commands that are not answered yet; one more fails at once."""
CONNECTIONS: Final = 16
"""Those that are kept open for the next command."""
WAITS: Final = (0.1, 0.3, 0.9)
"""Seconds before a command whose connection was lost is sent again."""

_log = Logger()


def _was_cancelled(error: Exception) -> bool:
    """Whether that is why it failed; an agent wraps it."""
    reasons = getattr(error, "reasons", [])
    return isinstance(error, CancelledError) or any(reason.check(CancelledError) for reason in reasons)


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Connects to one place, whatever the URI."""

    def __init__(self, reactor: Any, place: Place, credentials: Credentials) -> None:
        self._made = endpoint_for(reactor, place, credentials)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self._made


class _Try:
    """How far a command has come."""

    def __init__(self) -> None:
        self.sent = 0
        """How often it may have reached the server."""


@implementer(IMediaServer)
class HTTPMediaServer(MediaCommands):
    """
    An `IMediaServer` at a URL. `ControlMediaServer` costs a third of the time or less; this needs no extra
    for commands, and a proxy for HTTP may stand between.

    A command whose connection is lost is sent again, and is not done twice: creations carry an
    `Idempotency-Key`. After `timeout` seconds it fails, with `MediaLost` when it may have been done.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        credentials: Credentials | None = None,
        *,
        timeout: float = TIMEOUT,
        most: int = MOST_WAITING,
    ) -> None:
        """Raises ValueError for what is no URL of a media server."""
        self.url = url
        self.timeout = timeout
        self._reactor = reactor
        self._place = Place.parse(url)
        self._credentials = credentials or Credentials()
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = CONNECTIONS
        # Half of the time after which the server closes one that is idle.
        self._pool.cachedConnectionTimeout = 30
        self._pool.retryAutomatically = False
        agent = Agent.usingEndpointFactory(
            reactor, _Endpoints(reactor, self._place, self._credentials), self._pool
        )
        self._http = treq.client.HTTPClient(agent)
        self._most = most
        self._waiting = 0
        self._key = token_hex(8)
        self._number = 0
        self._observers = Observers()
        self._link: Any = None
        self._was_down = ""

    def close(self) -> Deferred[None]:
        """Close all connections; fires when they are."""
        if self._link is not None:
            self._link.close()
            self._link = None
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    def perform(
        self, what: Operation, parameters: tuple[str, ...], value: Any, fence: FencingToken | None
    ) -> Deferred[Any]:
        """Ask for it."""
        if self._waiting >= self._most:
            return fail(MediaUnavailable(f"{self._most} commands wait for {self.url}"))
        self._waiting += 1
        progress = _Try()
        asking = Deferred.fromCoroutine(self._ask(what, parameters, value, fence, progress))
        asking.addTimeout(self.timeout, self._reactor)

        def settled(result: Any) -> Any:
            self._waiting -= 1
            if isinstance(result, Failure) and result.check(TimeoutError, CancelledError):
                raise lost(what, self.url, progress.sent > 0, f"no answer in {self.timeout:g} s") from None
            return result

        return asking.addBoth(settled)

    async def _ask(
        self,
        what: Operation,
        parameters: tuple[str, ...],
        value: Any,
        fence: FencingToken | None,
        progress: _Try,
    ) -> Any:
        has_query = what.query is not None
        url = self._place.base + what.target(parameters, value if has_query else None)
        headers = {name: [text] for name, text in self._credentials.headers}
        content = None
        if value is not None and not has_query:
            content = msgspec.json.encode(value)
            headers[b"Content-Type"] = [b"application/json"]
        if fence is not None:
            headers[FENCING_HEADER.encode()] = [str(fence).encode()]
        if what.method == "POST":
            self._number += 1
            headers[b"Idempotency-Key"] = [f"{self._key}-{self._number}".encode()]
        for wait in (*WAITS, None):
            try:
                status, body = await self._once(what.method, url, headers, content, progress)
            except MediaError:
                raise
            except Exception as error:
                # Whatever a connection may die of; a request is the same each time.
                if _was_cancelled(error):
                    raise CancelledError from None
                if wait is None:
                    raise lost(what, self.url, progress.sent > 0, str(error) or repr(error)) from None
            else:
                is_at_work = status == 409 and progress.sent > 1 and b"is at work" in body
                if not is_at_work or wait is None:
                    return outcome(what, status, body, progress.sent > 1)
            await deferLater(self._reactor, wait)
        raise AssertionError("the last try returns or raises")

    async def _once(
        self, method: str, url: str, headers: Any, content: bytes | None, progress: _Try
    ) -> tuple[int, bytes]:
        progress.sent += 1
        try:
            response = await self._http.request(method, url, headers=headers, data=content)
        except ConnectError:
            progress.sent -= 1  # it never got there
            raise
        parts: list[bytes] = []
        size = 0

        def take(part: bytes) -> None:
            nonlocal size
            size += len(part)
            if size > LARGEST_ANSWER:
                raise MediaError("the media server's answer is too long", 502)
            parts.append(part)

        await treq.collect(response, take)
        return response.code, b"".join(parts)

    def subscribe(
        self, observer: Callable[[AnyEvent], None], missed: Callable[[str], None] | None = None
    ) -> Callable[[], None]:
        """See `IMediaServer`. The first one opens a WebSocket, for which the extra `ws` is needed."""
        remove = self._observers.add(observer, missed)
        if self._link is None:
            from rvoip.mediacontrol.link import Link

            self._link = Link(
                self._reactor,
                self._place,
                EVENTS_PATH,
                self._credentials,
                text=self._event,
                up=self._up,
                down=self._down,
            )
            self._link.open()
        return remove

    @property
    def hears_events(self) -> bool:
        """Whether the WebSocket for events is open."""
        return self._link is not None and bool(self._link.is_open)

    def _event(self, text: str) -> None:
        try:
            event = decode_event(text)
        except ValueError as error:
            _log.warn("{url} sent what cannot be read: {reason}", url=self.url, reason=str(error))
        else:
            self._observers.tell(event)

    def _up(self) -> None:
        reason, self._was_down = self._was_down, ""
        if reason:
            self._observers.miss(reason)

    def _down(self, reason: str) -> None:
        self._was_down = reason
