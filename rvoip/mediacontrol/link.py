"""A WebSocket to a media server that is opened again whenever it is lost, and known to be dead within 3 s."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.mediacontrol.control import LARGEST_ANSWER
from rvoip.mediacontrol.place import Place
from rvoip.mediacontrol.reach import Credentials, endpoint_for
from rvoip.mediacontrol.websocket import GOING_AWAY, ClientTexts

__all__ = ["Link"]

TICK: Final = 0.25
"""Seconds between two looks at the clock."""
PING_AFTER: Final = 1.0
"""Seconds of silence after which the server is asked for a sign of life."""
DEAD_AFTER: Final = 2.5
"""Seconds of silence after which the connection is given up."""
FIRST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 3.0
"""Seconds before it is tried again: doubled each time, up to this, and up to half of it less by chance."""

_log = Logger()


class Link:
    """One WebSocket.

    `text` is called with each text, `up` when it is open, `down` with a reason when it is not any more,
    `tick` all the time, open or not, with the monotonic time.
    """

    def __init__(
        self,
        reactor: Any,
        place: Place,
        target: str,
        credentials: Credentials,
        *,
        text: Callable[[str], None],
        up: Callable[[], None],
        down: Callable[[str], None],
        tick: Callable[[float], None] = lambda now: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.place = place
        self.target = target
        self.is_open = False
        self.trouble = "not connected yet"
        """Why it is not open."""
        self._reactor = reactor
        self._credentials = credentials
        self.text, self.up, self.down, self.tick = text, up, down, tick
        self._chance = chance
        self._socket: _Socket | None = None
        self._connecting: Deferred[Any] | None = None
        self._running = False
        self._tries = 0
        self._timer: Any = None
        self._retry: Any = None

    def open(self) -> None:
        """Connect, and stay connected."""
        if not self._running:
            self._running = True
            self._timer = self._reactor.callLater(TICK, self._tick)
            self._connect()

    def close(self) -> None:
        """Close, and stay closed."""
        self._running = False
        for call in (self._timer, self._retry):
            if call is not None and call.active():
                call.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        socket = self._socket
        if socket is not None:
            socket.close("closed by us")

    def send(self, text: str) -> None:
        """Send a text. Raises `MediaUnavailable` when it is not open."""
        assert self._socket is not None
        transport: Any = self._socket.transport
        transport.write(self._socket.texts.text(text))

    def _connect(self) -> None:
        self._retry = None
        endpoint = endpoint_for(self._reactor, self.place, self._credentials)
        connecting = endpoint.connect(Factory.forProtocol(lambda: _Socket(self, self._reactor)))
        self._connecting = connecting
        connecting.addBoth(self._connected)

    def _connected(self, result: Any) -> None:
        self._connecting = None
        if isinstance(result, Failure):
            self._again(f"cannot connect: {result.getErrorMessage()}")
        elif not self._running:
            result.close("closed by us")

    def opened(self, socket: _Socket) -> None:
        """The handshake is over."""
        self.is_open = True
        self.trouble = ""
        self._tries = 0
        self.up()

    def made(self, socket: _Socket) -> ClientTexts:
        """There is a connection; the handshake is next."""
        self._socket = socket
        return ClientTexts(
            LARGEST_ANSWER, self.place.authority, self.target, headers=self._credentials.headers
        )

    def lost(self, socket: _Socket, reason: str) -> None:
        """A connection is gone."""
        if self._socket is socket:
            self._socket = None
            was_open, self.is_open = self.is_open, False
            self._again(reason)
            if was_open:
                self.down(reason)

    def _again(self, reason: str) -> None:
        self.trouble = reason
        if not self._running:
            return
        if self._tries in (0, 5):
            _log.warn("The media server at {url}: {reason}", url=self.place.url, reason=reason)
        wait = min(FIRST_WAIT * 2**self._tries, LONGEST_WAIT)
        self._tries = min(self._tries + 1, 10)
        self._retry = self._reactor.callLater(wait * (1 - self._chance() / 2), self._connect)

    def _tick(self) -> None:
        self._timer = self._reactor.callLater(TICK, self._tick)
        now = self._reactor.seconds()
        if self._socket is not None:
            self._socket.look(now)
        self.tick(now)


class _Socket(Protocol):
    """One connection of a link."""

    texts: ClientTexts

    def __init__(self, link: Link, reactor: Any) -> None:
        self._link = link
        self._reactor = reactor
        self._heard = reactor.seconds()
        self._pinged = False
        self._was_open = False

    def connectionMade(self) -> None:
        self.texts = self._link.made(self)
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        self._heard = self._reactor.seconds()
        self._pinged = False
        texts, take = self.texts, self._link.text
        found = texts.receive(data)
        if texts.is_open and not self._was_open:
            self._was_open = True
            self._link.opened(self)
        for text in found:
            take(text)
        if texts.output:
            self._flush()
        if texts.ended:
            self._drop(texts.ended)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._link.lost(self, self.texts.ended or f"the connection is lost: {reason.getErrorMessage()}")

    def look(self, now: float) -> None:
        """Ping, or give up."""
        silent = now - self._heard
        if silent >= DEAD_AFTER:
            self.texts.ended = f"it has been silent for {silent:.1f} s"
            self._drop(self.texts.ended)
        elif silent >= PING_AFTER and not self._pinged:
            self._pinged = True
            self.texts.output += self.texts.ping()
            self._flush()

    def close(self, reason: str) -> None:
        """Say good-bye."""
        self.texts.close(GOING_AWAY, reason)
        self._flush()
        transport: Any = self.transport
        transport.loseConnection()

    def _drop(self, reason: str) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def _flush(self) -> None:
        transport: Any = self.transport
        transport.write(bytes(self.texts.output))
        self.texts.output.clear()
