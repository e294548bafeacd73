"""WebSockets that carry texts (RFC 6455): octets in, texts out, and octets to be written. Machines.

Needs the extra `ws`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from rvoip.mediacontrol.errors import MediaUnavailable

try:
    from wsproto import ConnectionType, WSConnection
    from wsproto.connection import Connection, ConnectionState
    from wsproto.events import (
        AcceptConnection,
        CloseConnection,
        Message,
        Ping,
        Pong,
        RejectConnection,
        Request,
        TextMessage,
    )
    from wsproto.handshake import H11Handshake
    from wsproto.utilities import ProtocolError
except ImportError as error:
    raise ImportError(f"WebSockets need wsproto: pip install 'rvoip[ws]' ({error})") from None

__all__ = ["ClientTexts", "ServerTexts", "Texts"]

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
NOT_TEXT: Final = 1003
POLICY: Final = 1008
TOO_LARGE: Final = 1009

MAX_FRAGMENTS: Final = 64
"""Frames of one text."""
MAX_PINGS: Final = 64
"""Pings in one piece: more are no signs of life but an attack."""

_MAY_CLOSE: Final = (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING)


class Texts:
    """What both sides do once the WebSocket is open."""

    def __init__(self, largest: int, connection: Connection | None = None) -> None:
        """`largest`: characters that a text may have."""
        self.output = bytearray()
        """What is to be written now; the caller empties it."""
        self.ended = ""
        """Why nothing further is read."""
        self.ponged = False
        """Whether the peer has answered a ping; the caller resets it."""
        self._largest = largest
        self._connection = connection
        self._parts: list[str] = []
        self._size = 0
        self._frames = 0

    @property
    def is_open(self) -> bool:
        """Whether texts can be sent."""
        return self._connection is not None and self._connection.state is ConnectionState.OPEN

    def receive(self, data: bytes) -> list[str]:
        """Take octets; return the texts that they complete, in order."""
        connection = self._connection
        if connection is None or self.ended:
            return []
        connection.receive_data(data)
        return self._drain(connection)

    def _drain(self, connection: Connection) -> list[str]:
        found: list[str] = []
        pings = 0
        for event in connection.events():
            if isinstance(event, Message):
                self._take(event, found)
            elif isinstance(event, Ping):
                pings += 1
                if pings == 1 and self.is_open:
                    self.output += connection.send(event.response())
                elif pings > MAX_PINGS:
                    self.close(POLICY, "too many pings")
            elif isinstance(event, Pong):
                self.ponged = True
            elif isinstance(event, CloseConnection):
                self.ended = event.reason or f"closed by the peer with {int(event.code)}"
                if connection.state in _MAY_CLOSE:
                    self.output += connection.send(CloseConnection(code=int(event.code)))
            if self.ended:
                break
        return found

    def _take(self, event: Message[Any], found: list[str]) -> None:
        part = event.data
        if not isinstance(part, str):
            self.close(NOT_TEXT, "a message is no text")
            return
        self._size += len(part)
        self._frames += event.frame_finished
        if self._size > self._largest:
            self.close(TOO_LARGE, f"a text is longer than {self._largest} characters")
        elif event.message_finished:
            if self._parts:
                self._parts.append(part)
                part = "".join(self._parts)
                self._parts = []
            self._size = self._frames = 0
            found.append(part)
        elif self._frames >= MAX_FRAGMENTS:
            self.close(POLICY, f"a text has more than {MAX_FRAGMENTS} frames")
        elif part:
            self._parts.append(part)

    def text(self, text: str) -> bytes:
        """The octets that carry a text. Raises `MediaUnavailable` when none can be sent any more."""
        connection = self._connection
        if connection is None or connection.state is not ConnectionState.OPEN:
            raise MediaUnavailable("the WebSocket is closed")
        return connection.send(TextMessage(data=text))

    def ping(self) -> bytes:
        """The octets that ask the peer for a sign of life."""
        return self._connection.send(Ping()) if self.is_open and self._connection is not None else b""

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Read nothing further, and say so in `output`."""
        self._parts, self._size, self._frames = [], 0, 0
        if not self.ended:
            self.ended = reason or "closed"
            connection = self._connection
            if connection is not None and connection.state in _MAY_CLOSE:
                self.output += connection.send(CloseConnection(code=code, reason=reason[:100]))


class ServerTexts(Texts):
    """The side that is connected to. Raises `MediaUnavailable` 400 for a request that opens no WebSocket."""

    def __init__(self, largest: int, headers: Iterable[tuple[bytes, bytes]], path: bytes) -> None:
        handshake = H11Handshake(ConnectionType.SERVER)
        try:
            handshake.initiate_upgrade_connection(list(headers), path.decode("ascii", "replace"))
            opening = handshake.send(AcceptConnection())
        except ProtocolError as error:
            raise MediaUnavailable(f"this opens no WebSocket: {error}", 400) from None
        super().__init__(largest, handshake.connection)
        self.output += opening


class ClientTexts(Texts):
    """The side that connects."""

    def __init__(
        self, largest: int, host: str, target: str, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """`host` is that of the URL, with its port unless it is the usual one."""
        super().__init__(largest)
        self.refused = 0
        """The status of an answer that refused the WebSocket."""
        self._opening = WSConnection(ConnectionType.CLIENT)
        self.output += self._opening.send(Request(host=host, target=target, extra_headers=list(headers)))

    def receive(self, data: bytes) -> list[str]:
        """Take octets; return the texts that they complete, in order."""
        if self._connection is not None or self.ended:
            return super().receive(data)
        self._shake_hands(data)
        # What came after the handshake in one piece with it is in the connection already.
        return [] if self._connection is None else self._drain(self._connection)

    def _shake_hands(self, data: bytes) -> None:
        try:
            self._opening.receive_data(data)
            events = list(self._opening.handshake.events())
        except ProtocolError as error:
            self.ended = f"no WebSocket: {error}"
            return
        for event in events:
            if isinstance(event, RejectConnection):
                self.refused = event.status_code
                self.ended = f"no WebSocket: {event.status_code}"
            elif isinstance(event, AcceptConnection):
                self._connection = self._opening.connection
