"""Tells a web service what happens: JSON by HTTP POST, in order, again until it has been taken."""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from rvoip.common.errors import ConfigError
from rvoip.common.events import EventBus, Subscription
from rvoip.common.log import LogLimiter
from rvoip.proxy.events import Answered
from rvoip.proxy.limits import Limited
from rvoip.services.activity import RegistrationChanged
from rvoip.services.calls import CallOver
from rvoip.services.config import Events
from rvoip.services.happening import of_answer, of_end, of_limit, of_registration

__all__ = ["HTTPPost", "WebhookService", "check_events", "signature"]

BATCH: Final = 100
"""Events of one request."""

PATIENCE: Final = 10.0
"""Seconds that the service may take to answer."""

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
"""Seconds until what was not taken is sent again: doubled each time."""

_LAST: Final = 3.0
"""Seconds that a stop waits for what is left."""

_ANSWER: Final = 64 * 1024
"""Octets of an answer that are waited for."""

_AGAIN: Final = frozenset((408, 425, 429))
"""Client errors that pass."""

_log = Logger()

_encode: Final = msgspec.json.Encoder().encode


def check_events(table: Events, file: str) -> None:
    """`ConfigError` for a URL or secrets that no request can have."""
    try:
        parts = urlsplit(table.url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not _is_plain(table.url) or parts.username is not None or parts.fragment:
        raise ConfigError(file, "events.url", "is no http:// or https:// URL without user and fragment")
    if not _is_plain(table.token):
        raise ConfigError(file, "events.token", "may have no blanks and nothing but ASCII")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def signature(secret: str, when: int, body: bytes) -> str:
    """What stands in Rvoip-Signature: HMAC-SHA256 of `when`, a full stop and the body, in hexadecimal."""
    digest = hmac.new(secret.encode(), b"%d." % when + body, hashlib.sha256).hexdigest()
    return f"t={when},sha256={digest}"


class _QuietFactory(_HTTP11ClientFactory):
    noisy = False


class _QuietPool(HTTPConnectionPool):
    _factory = _QuietFactory


@implementer(IBodyProducer)
class _Body:
    """A body that is in memory."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write all of it."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is written already."""

    def resumeProducing(self) -> None:
        """It is written already."""

    def stopProducing(self) -> None:
        """It is written already."""


class _Answer(Protocol):
    """Reads an answer to its end, so that the connection can be used again; a long one costs it."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._left = _ANSWER
        self.done: Deferred[int] = Deferred(lambda _: self._abort())

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Nobody wants to know."""
        self._left -= len(data)
        if self._left < 0:
            self._abort()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The status has come, whatever became of the rest."""
        if not self.done.called:
            self.done.callback(self._status)


class HTTPPost:
    """Posts JSON to one URL, by one connection that is kept. It follows no redirection."""

    def __init__(self, reactor: Any, url: str, token: str, secret: str, wall: Callable[[], float]) -> None:
        self._url = url.encode()
        self._token = token
        self._secret = secret
        self._wall = wall
        self._pool = _QuietPool(reactor)
        self._pool.maxPersistentPerHost = 1
        self._agent = Agent(reactor, connectTimeout=PATIENCE, pool=self._pool)

    def __call__(self, body: bytes) -> Deferred[int]:
        """Fires with the status of the answer; fails when there is none."""
        headers = Headers({b"Content-Type": [b"application/json"], b"User-Agent": [b"rvoip"]})
        if self._token:
            headers.setRawHeaders(b"Authorization", [b"Bearer " + self._token.encode()])
        if self._secret:
            signed = signature(self._secret, int(self._wall()), body)
            headers.setRawHeaders(b"Rvoip-Signature", [signed.encode()])
        return self._agent.request(b"POST", self._url, headers, _Body(body)).addCallback(self._answered)

    def _answered(self, response: Any) -> Deferred[int]:
        answer = _Answer(response.code)
        response.deliverBody(answer)
        return answer.done

    def close(self) -> Deferred[None]:
        """Close the connection."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


class WebhookService(Service):
    """Posts events in batches, one after the other.

    What is not taken (no answer, 5xx, 408, 425, 429) is sent again, later each time, and holds up what comes
    after it; what is refused for good (any other answer but 2xx) is lost. Up to `size` events wait in
    memory; more are lost. Each has an `id`, by which the service knows one that comes twice.
    """

    name = "webhook"

    def __init__(
        self,
        reactor: Any,
        post: Callable[[bytes], Deferred[int]],
        kinds: Collection[str],
        size: int,
        events: EventBus,
        role: str,
        wall: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._reactor = reactor
        self._post = post
        self._kinds = frozenset(kinds)
        self._size = size
        self._events = events
        self._role = role
        self._wall = wall
        self._new_id = new_id
        self._lines = LogLimiter(reactor.seconds)
        self._queue: deque[dict[str, Any]] = deque()
        self._subscriptions: list[Subscription[Any]] = []
        self._sending: Deferred[int] | None = None
        self._taken = 0
        self._wait = FIRST_WAIT
        self._timer: Any = None
        self._emptied: Deferred[None] | None = None
        self.sent = 0
        self.lost = 0

    @property
    def waiting(self) -> int:
        """Events that wait to be taken."""
        return len(self._queue)

    def startService(self) -> None:
        """Listen to what happens."""
        super().startService()
        subscribe, limit = self._events.subscribe, self._size
        if any(kind.startswith("registration.") for kind in self._kinds):
            self._subscriptions.append(
                subscribe(
                    RegistrationChanged,
                    lambda one: self._add(of_registration(one)),
                    limit=limit,
                    name="webhook",
                )
            )
        if self._kinds & {"call.answered", "call.refused"}:
            self._subscriptions.append(
                subscribe(Answered, lambda one: self._add(of_answer(one)), limit=limit, name="webhook")
            )
        if "call.ended" in self._kinds:
            self._subscriptions.append(
                subscribe(CallOver, lambda one: self._add(of_end(one)), limit=limit, name="webhook")
            )
        if "call.limited" in self._kinds:
            self._subscriptions.append(
                subscribe(Limited, lambda one: self._add(of_limit(one)), limit=limit, name="webhook")
            )

    def stopService(self) -> Deferred[None]:
        """Send what happened until now; fires when it is taken, or after three seconds."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._events.idle()
        for subscription in self._subscriptions:
            subscription.cancel()
        self._subscriptions = []
        if self._queue:
            emptied: Deferred[None] = Deferred()
            self._emptied = emptied
            emptied.addTimeout(_LAST, self._reactor, onTimeoutCancel=lambda *_: None)
            self._send_now()
            await emptied
            self._emptied = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue:
            self.lost += len(self._queue)
            _log.error("{lost} events were not told to [events] url", lost=len(self._queue))
            self._queue.clear()
        if self._sending is not None:
            self._sending.cancel()
        close = getattr(self._post, "close", None)
        if close is not None:
            await close()

    def _add(self, happened: dict[str, Any]) -> None:
        if happened["kind"] not in self._kinds:
            return
        if len(self._queue) >= self._size:
            self.lost += 1
            self._trouble("more events wait than [events] queue allows; one is lost")
            return
        head = {"id": self._new_id(), "time": self._wall(), "role": self._role}
        self._queue.append({**head, **happened})
        if self._timer is None and self._sending is None:
            self._send()

    def _send_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sending is None:
            self._send()

    def _send(self) -> None:
        self._timer = None
        if not self._queue:
            if self._emptied is not None and not self._emptied.called:
                self._emptied.callback(None)
            return
        batch = [self._queue[place] for place in range(min(BATCH, len(self._queue)))]
        self._taken = len(batch)
        try:
            sending = self._post(_encode({"events": batch}))
        except Exception:
            sending = fail(Failure())
        self._sending = sending
        sending.addTimeout(PATIENCE, self._reactor)
        sending.addCallbacks(self._answered, self._failed)

    def _answered(self, status: int) -> None:
        self._sending = None
        if 200 <= status < 300:
            self.sent += self._taken
        elif status >= 500 or status in _AGAIN:
            self._later(f"answers {status}")
            return
        else:
            self.lost += self._taken
            self._trouble(f"refuses {self._taken} events with {status}; they are lost")
        for _ in range(min(self._taken, len(self._queue))):
            self._queue.popleft()
        self._wait = FIRST_WAIT
        # In a turn of its own: a service that answers at once must not build up a stack.
        self._timer = self._reactor.callLater(0, self._send)

    def _failed(self, failure: Failure) -> None:
        self._sending = None
        self._later(failure.getErrorMessage() or str(failure.type))

    def _later(self, reason: str) -> None:
        if not (self.running or self._emptied is not None):
            return
        self._trouble(f"{reason}; what waits is sent again in {self._wait:g} s")
        self._timer = self._reactor.callLater(self._wait, self._send)
        self._wait = min(2 * self._wait, LONGEST_WAIT)

    def _trouble(self, reason: str) -> None:
        suppressed = self._lines.allow("webhook")
        if suppressed is not None:
            _log.error("[events] url: {reason}", reason=reason, suppressed=suppressed)
