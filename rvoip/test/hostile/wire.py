"""An attacker's SIP: bytes as they are given, and sockets; it shares no code with the servers.

Everything blocks, with a time limit.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Self

__all__ = ["ALGORITHMS", "Callee", "Datagrams", "Message", "Stream", "authorization", "challenges", "request"]

Address = tuple[str, int]

ALGORITHMS = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


class Message:
    """A message as it came: `head` its start line, `headers` (name in lower case, value) in order."""

    def __init__(self, wire: bytes) -> None:
        self.wire = wire
        text, _, self.body = wire.partition(b"\r\n\r\n")
        self.head, *self.lines = text.decode("utf-8", "surrogateescape").split("\r\n")
        pairs = [line.partition(":") for line in self.lines]
        self.headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        self.status = int(self.head[8:11]) if self.head.startswith("SIP/2.0 ") else 0
        self.method = "" if self.status else self.head.split(" ")[0]
        self.uri = "" if self.status else self.head.split(" ")[1]

    def all(self, name: str) -> list[str]:
        """Every value of a header, one a line."""
        return [value for known, value in self.headers if known == name]

    def get(self, name: str) -> str:
        """The first value of a header, "" when it is not there."""
        return next(iter(self.all(name)), "")

    def __repr__(self) -> str:
        return f"<{self.head}>"


def request(
    method: str,
    uri: str,
    *headers: str,
    via: str | None = None,
    sender: str | None = "<sip:mallory@example.test>;tag=m",
    to: str | None = None,
    call_id: str | None = "",
    cseq: str | None = "",
    forwards: str | None = "70",
    length: str | None = "",
    body: bytes = b"",
    transport: str = "UDP",
    sent_by: str = "127.0.71.9:5060",
    branch: str = "",
) -> bytes:
    """A request; None leaves a header out, "" makes a good one. `headers` are whole lines."""
    if via is None:
        via = f"SIP/2.0/{transport} {sent_by};branch=z9hG4bK{branch or secrets.token_hex(8)};rport"
    if to is None:
        to = f"<{uri}>"
    if call_id == "":
        call_id = secrets.token_hex(8)
    if cseq == "":
        cseq = f"1 {method}"
    if length == "":
        length = str(len(body))
    lines = [f"{method} {uri} SIP/2.0"]
    for name, value in (
        ("Via", via),
        ("Max-Forwards", forwards),
        ("From", sender),
        ("To", to),
        ("Call-ID", call_id),
        ("CSeq", cseq),
    ):
        if value is not None:
            lines.append(f"{name}: {value}")
    lines += headers
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def response(to: Message, status: int, reason: str, *headers: str, tag: str = "callee") -> bytes:
    """What a phone answers to a request that it got."""
    copied = [f"{name}: {value}" for name, value in to.headers if name in ("via", "record-route")]
    target = to.get("to")
    lines = [
        f"SIP/2.0 {status} {reason}",
        *copied,
        f"From: {to.get('from')}",
        f"To: {target if ';tag=' in target else f'{target};tag={tag}'}",
        f"Call-ID: {to.get('call-id')}",
        f"CSeq: {to.get('cseq')}",
        *headers,
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


class Datagrams:
    """A UDP socket that speaks to one server."""

    transport = "UDP"

    def __init__(self, host: str, server: Address, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((host, port))
        self.address: Address = self.socket.getsockname()
        self.server = server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def sent_by(self) -> str:
        """host:port of this socket."""
        return f"{self.address[0]}:{self.address[1]}"

    def send(self, data: bytes) -> None:
        """Send one datagram."""
        self.socket.sendto(data, self.server)

    def receive(self, patience: float) -> Message | None:
        """The next message, None when none comes in time."""
        self.socket.settimeout(patience)
        try:
            return Message(self.socket.recv(65535))
        except TimeoutError:
            return None

    def drain(self, patience: float = 0.0) -> list[Message]:
        """All messages that are there, and those that come until `patience` seconds pass without one."""
        found = []
        while select.select([self.socket], [], [], patience)[0]:
            found.append(Message(self.socket.recv(65535)))
        return found

    def wait(self, match: Callable[[Message], bool], patience: float) -> Message | None:
        """The next message that matches; others are dropped."""
        ends = time.monotonic() + patience
        while (left := ends - time.monotonic()) > 0:
            message = self.receive(left)
            if message is not None and match(message):
                return message
        return None


class Callee(Datagrams):
    """A phone that answers every request with one status, and keeps what it got."""

    def __init__(self, host: str, server: Address, status: int = 486) -> None:
        super().__init__(host, server)
        self.status = status
        self.headers: tuple[str, ...] = ()
        self.got: list[Message] = []
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def answer(self) -> Self:
        """Begin to answer, after what the socket was used for until now."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        super().__exit__()

    def take(self) -> list[Message]:
        """What came since the last time."""
        got, self.got = self.got, []
        return got

    def _run(self) -> None:
        while not self._over.is_set():
            message = self.receive(0.05)
            if message is None:
                continue
            self.got.append(message)
            if message.method and message.method != "ACK":
                # To where the server listens, whatever Via says: it is the only way here.
                self.send(response(message, self.status, "Said", *self.headers))


class Stream:
    """A TCP or TLS connection to a server."""

    def __init__(
        self,
        host: str,
        server: Address,
        context: ssl.SSLContext | None = None,
        name: str | None = None,
        patience: float = 5.0,
        buffer: int = 0,
    ) -> None:
        """Connect from `host`; `name` is the server name (SNI) to ask for, `buffer` what the kernel holds."""
        self.transport = "TCP" if context is None else "TLS"
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if buffer:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            raw.settimeout(patience)
            raw.bind((host, 0))
            raw.connect(server)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket = raw if context is None else context.wrap_socket(raw, server_hostname=name)
        except BaseException:
            raw.close()
            raise
        self.address: Address = self.socket.getsockname()
        self.held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def sent_by(self) -> str:
        """host:port of this end."""
        return f"{self.address[0]}:{self.address[1]}"

    def send(self, data: bytes) -> None:
        """Send all octets; the peer may have closed."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self, patience: float) -> Message | None:
        """The next message, None when none comes in time or the peer closes."""
        ends = time.monotonic() + patience
        while True:
            self.held = self.held.lstrip(b"\r\n")
            end = self.held.find(b"\r\n\r\n")
            if end >= 0:
                found = re.search(rb"\r\ncontent-length *: *(\d+)\r\n", self.held[: end + 2], re.IGNORECASE)
                needed = end + 4 + (int(found[1]) if found else 0)
                if len(self.held) >= needed:
                    message, self.held = Message(self.held[:needed]), self.held[needed:]
                    return message
            left = ends - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65535)
            except (TimeoutError, ConnectionResetError):
                return None
            if not data:
                return None
            self.held += data

    def drain(self, patience: float = 0.0) -> list[Message]:
        """All messages that come until `patience` seconds pass without one."""
        found = []
        while (message := self.receive(max(patience, 0.01))) is not None:
            found.append(message)
        return found

    def wait(self, match: Callable[[Message], bool], patience: float) -> Message | None:
        """The next message that matches; others are dropped."""
        ends = time.monotonic() + patience
        while (left := ends - time.monotonic()) > 0:
            message = self.receive(left)
            if message is None:
                return None
            if match(message):
                return message
        return None

    def closed(self, patience: float) -> bool:
        """Whether the peer closes within this time; what comes before that is dropped."""
        ends = time.monotonic() + patience
        while (left := ends - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if not self.socket.recv(65535):
                    return True
            except TimeoutError:
                return False
            except (ConnectionError, ssl.SSLError):
                return True
        return False

    def reset(self) -> None:
        """Close with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


def challenges(message: Message) -> dict[str, dict[str, str]]:
    """The digest challenges of a 401 or 407 by algorithm, each as its parameters."""
    found = {}
    for value in message.all("www-authenticate") + message.all("proxy-authenticate"):
        params = {name.lower(): text for name, text in re.findall(r'([\w-]+)="?([^",]*)"?', value)}
        found[params.get("algorithm", "MD5")] = params
    return found


def authorization(
    challenge: dict[str, str],
    user: str,
    password: str,
    method: str,
    uri: str,
    nc: str = "00000001",
    cnonce: str = "",
) -> str:
    """The credentials that answer a challenge with qop=auth (RFC 7616 section 3.4)."""
    algorithm = challenge.get("algorithm", "MD5")
    cnonce = cnonce or secrets.token_hex(8)

    def h(*parts: str) -> str:
        return hashlib.new(ALGORITHMS[algorithm], ":".join(parts).encode()).hexdigest()

    ha1, ha2 = h(user, challenge["realm"], password), h(method, uri)
    answer = h(ha1, challenge["nonce"], nc, cnonce, "auth", ha2)
    return (
        f'Digest username="{user}", realm="{challenge["realm"]}", nonce="{challenge["nonce"]}", uri="{uri}", '
        f'response="{answer}", algorithm={algorithm}, qop=auth, nc={nc}, cnonce="{cnonce}"'
    )


def by_call(call_id: str, least: int = 200) -> Callable[[Message], bool]:
    """Match a response of at least this status to the request of that Call-ID."""
    return lambda message: message.status >= least and message.get("call-id") == call_id


def statuses(messages: Iterable[Message]) -> list[int]:
    """The statuses of responses."""
    return [message.status for message in messages]
