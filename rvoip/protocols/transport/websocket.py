"""WebSocket connections for SIP (RFC 6455, RFC 7118): octets in, messages out, and octets to be written.

Machines: they know no socket and no clock. Needs the extra `ws`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

import h11
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection, ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError, generate_accept_token

from rvoip.protocols.sip.framing import KeepAlive
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.frame_lengths import FrameLengths
from rvoip.protocols.transport.handshake import SUBPROTOCOL, Refusal, WebSocketRules, response

__all__ = ["ClientWebSocket", "ServerWebSocket", "WebSocket"]

LARGEST_REQUEST: Final = 8192
"""Octets of the HTTP request that opens a WebSocket."""

MAX_FRAGMENTS: Final = 64
"""Frames of one message: clients send a message in one."""

MAX_IDLE_FRAMES: Final = 64
"""Pings and empty messages that may come in one piece: more are no keep-alives but an attack."""

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
TOO_LARGE: Final = 1009
POLICY: Final = 1008

_MAY_CLOSE = (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING)

_PING = b"\r\n\r\n"
_PONG = b"\r\n"


class WebSocket(ABC):
    """What both sides do once the WebSocket is open.

    Each message of SIP is one message of the WebSocket; Content-Length frames nothing. A message of CRLFs
    alone is a keep-alive (RFC 5626 section 3.5.1), which browsers' libraries send since scripts cannot ping.
    """

    def __init__(self, largest: int) -> None:
        """`largest`: octets that a message may have."""
        self.is_open = False
        """Whether the handshake is over and messages can be sent."""
        self.ended = ""
        """Why nothing further is read; the connection is to be closed when `output` is written."""
        self.refusal: Refusal | None = None
        """The answer that a handshake got which failed."""
        self.output = bytearray()
        """What is to be written now; the caller empties it."""
        self.ponged = False
        """Whether the peer has answered a ping; the caller resets it."""
        self._largest = largest
        self._connection: Connection | None = None
        self._lengths = FrameLengths()
        self._parts: list[bytes] = []
        self._size = 0
        self._fragments = 0
        self._pings = 0
        self._code = NORMAL

    @property
    def pending(self) -> int:
        """Octets held of a message that is not complete."""
        return self._size or int(self._fragments > 0)

    def receive(self, data: bytes) -> list[bytes | KeepAlive]:
        """Take octets; return the messages and keep-alives that they complete, in order."""
        if self.ended or not data:
            return []
        found: list[bytes | KeepAlive] = []
        if self._connection is None:
            data = self._shake_hands(data)
        if self._connection is not None:
            longest = self._lengths.receive(data)
            self._connection.receive_data(data)
            self._take_events(self._connection, found)
            if longest > self._largest and not self.ended:
                # It is not waited for: whoever sends it slowly would hold the connection meanwhile.
                self._too_large()
        return found

    @abstractmethod
    def _shake_hands(self, data: bytes) -> bytes:
        """Take octets of the handshake; what came after its end is returned."""

    def _take_events(self, connection: Connection, found: list[bytes | KeepAlive]) -> None:
        self._pings = 0
        answer: Pong | None = None
        for event in connection.events():
            if isinstance(event, Message):
                self._take_part(event, found)
            elif isinstance(event, Ping):
                # One answer is enough for all that have come (RFC 6455 section 5.5.3).
                answer = event.response()
                self._count_idle()
                found.append(KeepAlive.PONG)  # a sign of life that wants no answer of ours
            elif isinstance(event, Pong):
                self.ponged = True
            elif isinstance(event, CloseConnection):
                self._take_close(connection, event)
            if self.ended:
                return
        if answer is not None and connection.state is ConnectionState.OPEN:
            self.output += connection.send(answer)

    def _take_part(self, event: Message[Any], found: list[bytes | KeepAlive]) -> None:
        data = event.data
        part = data.encode() if isinstance(data, str) else bytes(data)
        self._size += len(part)
        if self._size > self._largest:
            self._too_large()
            return
        if part:
            self._parts.append(part)
        if event.frame_finished:
            self._fragments += 1
        if event.message_finished:
            message = b"".join(self._parts)
            self._parts, self._size, self._fragments = [], 0, 0
            if not message:
                self._count_idle()
            elif message.strip(b"\r\n"):
                found.append(message)
            else:
                found.append(KeepAlive.PING if message.startswith(_PING) else KeepAlive.PONG)
        elif self._fragments >= MAX_FRAGMENTS:
            self.close(POLICY, f"a message has more than {MAX_FRAGMENTS} frames")

    def _too_large(self) -> None:
        self.close(TOO_LARGE, f"a message is longer than {self._largest} octets")

    def _count_idle(self) -> None:
        self._pings += 1
        if self._pings > MAX_IDLE_FRAMES:
            self.close(POLICY, "too many pings")

    def _take_close(self, connection: Connection, event: CloseConnection) -> None:
        """The peer closes, or has broken the protocol: wsproto tells both in one way."""
        code = int(event.code)
        if connection.state is ConnectionState.REMOTE_CLOSING:
            self.close(code, f"closed by the peer with {code}")
        else:
            self.close(code, event.reason or "the WebSocket protocol was broken")

    # -- sending

    def message(self, data: bytes) -> bytes:
        """The octets that carry a message: as text where it is UTF-8, which all clients can read.

        Raises `FlowError` when none can be sent any more.
        """
        connection = self._connection
        if connection is None or connection.state is not ConnectionState.OPEN:
            raise FlowError("the peer has closed")
        try:
            return connection.send(TextMessage(data=data.decode()))
        except UnicodeDecodeError:
            return connection.send(BytesMessage(data=data))

    def pong(self, count: int) -> bytes:
        """The octets that answer so many CRLF keep-alives."""
        return self.message(_PONG) * count

    def ping(self) -> bytes:
        """The octets that ask the peer for a sign of life."""
        connection = self._connection
        return connection.send(Ping()) if connection is not None and not self.ended else b""

    def close(self, code: int, reason: str) -> None:
        """Read nothing further; `farewell` tells the peer why, when all that is for it is written."""
        self._parts, self._size, self._fragments = [], 0, 0
        if not self.ended:
            self.ended, self._code = reason, code

    def farewell(self) -> bytes:
        """The close frame, or the answer to the peer's; nothing after the first time."""
        connection = self._connection
        if connection is None or connection.state not in _MAY_CLOSE:
            return b""
        return connection.send(CloseConnection(code=self._code, reason=self.ended))


class ServerWebSocket(WebSocket):
    """The side that is connected to."""

    def __init__(self, largest: int, rules: WebSocketRules) -> None:
        super().__init__(largest)
        self._rules = rules
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_REQUEST)

    def _shake_hands(self, data: bytes) -> bytes:
        http = self._http
        try:
            http.receive_data(data)
            event = http.next_event()
        except h11.RemoteProtocolError as error:
            status = 431 if error.error_status_hint == 431 else 400
            self._refuse(Refusal(status, "this is no HTTP request that opens a WebSocket"))
            return b""
        if not isinstance(event, h11.Request):
            return b""  # not complete, or the end of the stream
        headers = [(bytes(name), bytes(value)) for name, value in event.headers]
        refusal = self._rules.judge(event.method, event.target, headers)
        if event.http_version != b"1.1":
            refusal = Refusal(505, "a WebSocket is opened with HTTP/1.1")
        if sum(len(name) + len(value) for name, value in headers) + len(event.target) > LARGEST_REQUEST:
            refusal = Refusal(431, "the request is too large")
        if refusal is not None:
            self._refuse(refusal)
            return b""
        key = next(value for name, value in headers if name == b"sec-websocket-key")
        self.output += response(
            101,
            (
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Accept", generate_accept_token(key.strip()).decode()),
                ("Sec-WebSocket-Protocol", SUBPROTOCOL),
            ),
        )
        self._connection = Connection(ConnectionType.SERVER)
        self.is_open = True
        return bytes(http.trailing_data[0])

    def _refuse(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.output += refusal.to_bytes()
        self.ended = f"{refusal.status}: {refusal.reason}"


class ClientWebSocket(WebSocket):
    """The side that connects."""

    def __init__(self, largest: int, host: str, target: str = "/", origin: str = "") -> None:
        """`host` is that of the URL, with its port unless it is the default one."""
        super().__init__(largest)
        self._opening = WSConnection(ConnectionType.CLIENT)
        headers = [(b"Origin", origin.encode("ascii"))] if origin else []
        self.output += self._opening.send(
            Request(host=host, target=target, subprotocols=[SUBPROTOCOL], extra_headers=headers)
        )

    def _shake_hands(self, data: bytes) -> bytes:
        try:
            self._opening.receive_data(data)
            events = list(self._opening.handshake.events())
        except ProtocolError as error:
            self.ended = f"no WebSocket: {error}"
            return b""
        for event in events:
            if isinstance(event, RejectConnection):
                self.refusal = Refusal(event.status_code, "")
                self.ended = f"no WebSocket: {event.status_code}"
            elif isinstance(event, AcceptConnection):
                if event.subprotocol != SUBPROTOCOL:
                    self.ended = f"no WebSocket: the server speaks no {SUBPROTOCOL}"
                    return b""
                self._connection = self._opening.connection
                self.is_open = True
        return b""
