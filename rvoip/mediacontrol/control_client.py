"""A media server over its control WebSocket: commands and events in one stream. Needs the extra `ws`."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from secrets import token_hex
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from zope.interface import implementer

from rvoip.mediacontrol.commands import MediaCommands
from rvoip.mediacontrol.control import Command, FrameError, decode_incoming, encode
from rvoip.mediacontrol.errors import MediaError, MediaRefused, MediaUnavailable
from rvoip.mediacontrol.events import AnyEvent, decode_event
from rvoip.mediacontrol.interfaces import IMediaServer
from rvoip.mediacontrol.link import Link
from rvoip.mediacontrol.observers import Observers
from rvoip.mediacontrol.operations import CONTROL_PATH, Operation
from rvoip.mediacontrol.outcome import lost, outcome
from rvoip.mediacontrol.ownership import FencingToken
from rvoip.mediacontrol.place import Place
from rvoip.mediacontrol.reach import Credentials

__all__ = ["ControlMediaServer"]

TIMEOUT: Final = 5.0
"""Seconds for a command, with all its repetitions."""
MOST_WAITING: Final = 10_000
"""Commands that are not answered yet; one more fails at once."""
LARGEST: Final = 64 << 10
"""Octets of a command."""

_log = Logger()


class _Waiting:
    """A command that is not answered yet."""

    __slots__ = ("deadline", "done", "frame", "sent", "what")

    def __init__(self, what: Operation, frame: str, done: Deferred[Any], deadline: float) -> None:
        self.what = what
        self.frame = frame
        self.done = done
        self.deadline = deadline
        self.sent = 0
        """How often."""


@implementer(IMediaServer)
class ControlMediaServer(MediaCommands):
    """
    An `IMediaServer` at a URL.

    A command that is given while there is no connection waits for one. One whose answer is lost with a
    connection is sent again on the next, and is not done twice: creations carry an idempotency key, and the
    others may be repeated. After `timeout` seconds it fails: with `MediaUnavailable` when it was never sent,
    else with `MediaLost`.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        credentials: Credentials | None = None,
        *,
        timeout: float = TIMEOUT,
        most: int = MOST_WAITING,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Raises ValueError for what is no URL of a media server."""
        self.url = url
        self.timeout = timeout
        self._reactor = reactor
        self._most = most
        self._number = 0
        self._key = token_hex(8)
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()
        self._observers = Observers()
        self._was_down = ""
        self._closed = False
        self._link = Link(
            reactor,
            Place.parse(url),
            CONTROL_PATH,
            credentials or Credentials(),
            text=self._text,
            up=self._up,
            down=self._down,
            tick=self._tick,
            chance=chance,
        )

    @property
    def is_connected(self) -> bool:
        """Whether commands can be sent now."""
        return self._link.is_open

    @property
    def trouble(self) -> str:
        """Why not."""
        return self._link.trouble

    def open(self) -> None:
        """Connect, and stay connected."""
        self._closed = False
        self._link.open()

    def close(self) -> None:
        """Disconnect. What waits fails."""
        self._closed = True
        for number in list(self._waiting):
            self._lose(number, "the client is closed")
        self._link.close()

    def perform(
        self, what: Operation, parameters: tuple[str, ...], value: Any, fence: FencingToken | None
    ) -> Deferred[Any]:
        """Send it, or keep it for the next connection."""
        if self._closed:
            return fail(MediaUnavailable("the client is closed"))
        if len(self._waiting) >= self._most:
            return fail(MediaUnavailable(f"{self._most} commands wait for {self.url}"))
        number = self._number = self._number + 1
        method = what.method
        has_query = what.query is not None
        frame = encode(
            Command(
                id=number,
                method=method,  # type: ignore[arg-type]  # of the four that there are
                path=what.target(parameters, value if has_query else None),
                body=None if has_query else value,
                fencing_token=str(fence) if fence is not None else "",
                idempotency_key=f"{self._key}-{number}" if method == "POST" else "",
            )
        )
        if len(frame) > LARGEST:
            return fail(MediaRefused(f"{what.name} has more than {LARGEST} octets", 413))
        done: Deferred[Any] = Deferred(lambda _: self._forget(number))
        waiting = _Waiting(what, frame.decode(), done, self._reactor.seconds() + self.timeout)
        self._waiting[number] = waiting
        if self._link.is_open:
            self._send(waiting)
        return done

    def subscribe(
        self, observer: Callable[[AnyEvent], None], missed: Callable[[str], None] | None = None
    ) -> Callable[[], None]:
        """See `IMediaServer`. `missed` is called when a lost connection is there again."""
        return self._observers.add(observer, missed)

    def _send(self, waiting: _Waiting) -> None:
        try:
            self._link.send(waiting.frame)
        except MediaUnavailable:
            return  # the connection is about to be lost; it is sent on the next one
        waiting.sent += 1

    def _up(self) -> None:
        for waiting in list(self._waiting.values()):
            self._send(waiting)
        reason, self._was_down = self._was_down, ""
        if reason:
            self._observers.miss(reason)

    def _down(self, reason: str) -> None:
        self._was_down = reason

    def _tick(self, now: float) -> None:
        while self._waiting:
            number, oldest = next(iter(self._waiting.items()))
            if oldest.deadline > now:
                return
            self._lose(number, self._link.trouble or f"no answer in {self.timeout:g} s")

    def _forget(self, number: int) -> None:
        """Its caller cancelled it; it may be done all the same."""
        self._waiting.pop(number, None)

    def _lose(self, number: int, reason: str) -> None:
        waiting = self._waiting.pop(number)
        waiting.done.errback(lost(waiting.what, self.url, waiting.sent > 0, reason))

    def _text(self, text: str) -> None:
        try:
            incoming = decode_incoming(text)
            if incoming.event:
                self._observers.tell(decode_event(text))
                return
        except (FrameError, ValueError) as error:
            _log.warn("{url} sent what cannot be read: {reason}", url=self.url, reason=str(error))
            return
        waiting = self._waiting.get(incoming.id) if isinstance(incoming.id, int) else None
        if waiting is None:
            return  # its caller waits no more
        is_repeated = waiting.sent > 1
        if is_repeated and incoming.status == 409 and b"is at work" in bytes(incoming.body):
            # The first one is being done still; its answer is kept for this key.
            self._reactor.callLater(0.1, self._ask_again, incoming.id)
            return
        del self._waiting[incoming.id]  # type: ignore[arg-type]
        try:
            result = outcome(waiting.what, incoming.status, incoming.body, is_repeated)
        except MediaError as error:
            waiting.done.errback(error)
        else:
            waiting.done.callback(result)

    def _ask_again(self, number: int) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and self._link.is_open:
            self._send(waiting)
