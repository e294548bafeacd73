"""A phone of sockets and a few lines of SIP, for tools/soak.py; it shares no code with the server.

Everything is blocking and in one thread. What is not answered is sent again, as RFC 3261 section 17.1 has it,
until the caller's patience ends; then Silence is raised. An answer that was not due raises Refused.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
import time
from collections.abc import Callable
from typing import Self

T1 = 0.5


class Silence(Exception):
    """No answer; the text says to what."""


class Refused(Exception):
    """An answer, and not the one that was due."""


class Message:
    """A request or response: its first line, its headers in order, no body."""

    def __init__(self, wire: bytes) -> None:
        head, *lines = wire.partition(b"\r\n\r\n")[0].decode("utf-8", "replace").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        self.headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        self.status = int(head.split(" ")[1]) if head.startswith("SIP/2.0 ") else 0
        self.method = self.one("cseq").rpartition(" ")[2]

    def all(self, name: str) -> list[str]:
        """Every value of a header, one a line of the message."""
        return [value for known, value in self.headers if known == name]

    def one(self, name: str) -> str:
        """The first value of a header, or an empty string."""
        return next(iter(self.all(name)), "")


def answers(call_id: str, method: str, *, final: bool = True) -> Callable[[Message], bool]:
    """Match a response to a request of that call; with `final`, not a provisional one."""
    return lambda m: (
        m.status >= (200 if final else 100) and m.one("call-id") == call_id and m.method == method
    )


def asks(call_id: str, method: str) -> Callable[[Message], bool]:
    """Match a request of that call."""
    return lambda m: not m.status and m.one("call-id") == call_id and m.method == method


def digest(challenge: str, user: str, password: str, method: str, uri: str, cnonce: str) -> str:
    """The Authorization value that answers an MD5 challenge with qop=auth (RFC 2617 section 3.2.2)."""
    given = dict(re.findall(r'(\w+)="?([^",]*)"?', challenge))
    nc = "00000001"

    def h(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()

    ha1, ha2 = h(user, given["realm"], password), h(method, uri)
    response = h(ha1, given["nonce"], nc, cnonce, "auth", ha2)
    fields = f'realm="{given["realm"]}", nonce="{given["nonce"]}", uri="{uri}", response="{response}"'
    return f'Digest username="{user}", {fields}, algorithm=MD5, qop=auth, nc={nc}, cnonce="{cnonce}"'


class Phone:
    """An account and a UDP socket; the server is at port 5060 of `host`."""

    def __init__(self, user: str, password: str, domain: str, host: str) -> None:
        self.user, self.password, self.domain, self.server = user, password, domain, (host, 5060)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.address = "{}:{}".format(*self.socket.getsockname())
        self.tag = secrets.token_hex(4)
        self.cseq = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def aor(self) -> str:
        """The address of record."""
        return f"sip:{self.user}@{self.domain}"

    def contact(self, number: int = 0) -> str:
        """The URI of one of the bindings that this phone may have."""
        return f"sip:{self.user}.{number}@{self.address}"

    def build(
        self, method: str, uri: str, *headers: str, to: str = "", call_id: str = "", sender: str = ""
    ) -> bytes:
        """A request with a new branch and CSeq; a new Call-ID unless one is given."""
        self.cseq += method != "ACK"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.address};branch=z9hG4bK{secrets.token_hex(8)};rport",
            "Max-Forwards: 70",
            f"From: {sender or f'<{self.aor}>;tag={self.tag}'}",
            f"To: {to or f'<{self.aor}>'}",
            f"Call-ID: {call_id or secrets.token_hex(8)}",
            f"CSeq: {self.cseq} {method}",
            *headers,
            "Content-Length: 0",
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def reply(self, request: Message, status: int, reason: str) -> bytes:
        """A response of this phone to a request that it got."""
        copied = [f"{name}: {value}" for name, value in request.headers if name in ("via", "record-route")]
        to = request.one("to")
        lines = [
            f"SIP/2.0 {status} {reason}",
            *copied,
            f"From: {request.one('from')}",
            f"To: {to if ';tag=' in to else f'{to};tag={self.tag}'}",
            f"Call-ID: {request.one('call-id')}",
            f"CSeq: {request.one('cseq')}",
            f"Contact: <{self.contact()}>",
            "Content-Length: 0",
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def wait(self, match: Callable[[Message], bool], patience: float) -> Message:
        """The next message that matches, in up to `patience` seconds; others are dropped."""
        ends = time.monotonic() + patience
        while (left := ends - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                message = Message(self.socket.recv(65535))
            except TimeoutError:
                break
            if match(message):
                return message
        raise Silence(f"{self.user} waited {patience:.1f} s")

    def ask(self, wire: bytes, patience: float = 32 * T1) -> Message:
        """Send a request of this phone; return the final response."""
        request = Message(wire)
        return deliver(self, wire, self, answers(request.one("call-id"), request.method), patience)

    def options(self, patience: float = 32 * T1) -> None:
        """Ask the server whether it is there."""
        answer = self.ask(self.build("OPTIONS", f"sip:{self.domain}"), patience)
        if answer.status != 200:
            raise Refused(f"OPTIONS was answered {answer.status}")

    def register(self, *headers: str, patience: float = 32 * T1) -> Message:
        """REGISTER with these headers, answer the challenge, return the 200."""
        uri = f"sip:{self.domain}"
        challenged = self.ask(self.build("REGISTER", uri, *headers), patience)
        if challenged.status != 401:
            raise Refused(f"REGISTER without credentials was answered {challenged.status}")
        challenge = next(text for text in challenged.all("www-authenticate") if "SHA" not in text)
        answer = digest(challenge, self.user, self.password, "REGISTER", uri, secrets.token_hex(8))
        answered = self.ask(self.build("REGISTER", uri, *headers, f"Authorization: {answer}"), patience)
        if answered.status != 200:
            raise Refused(f"REGISTER of {self.user} was answered {answered.status}")
        return answered

    def bind(self, number: int = 0, patience: float = 32 * T1) -> None:
        """Register one contact for an hour."""
        self.register(f"Contact: <{self.contact(number)}>", "Expires: 3600", patience=patience)

    def unbind_all(self, patience: float = 32 * T1) -> None:
        """Remove every binding."""
        self.register("Contact: *", "Expires: 0", patience=patience)

    def bindings(self) -> set[str]:
        """The contacts that the server has."""
        values = self.register().all("contact")
        return {uri for value in values for uri in re.findall(r"<([^>]*)>", value)}


def deliver(
    sender: Phone, wire: bytes, to: Phone, match: Callable[[Message], bool], patience: float
) -> Message:
    """Send, and send again, until `to` has a message that matches."""
    ends = time.monotonic() + patience
    interval = T1
    while (left := ends - time.monotonic()) > 0:
        sender.socket.sendto(wire, sender.server)
        try:
            return to.wait(match, min(interval, left))
        except Silence:
            interval = min(interval * 2, 8 * T1)
    first = wire.partition(b"\r\n")[0].decode()
    raise Silence(f"{first}: {to.user} had nothing to show for it after {patience:.1f} s")


def call(caller: Phone, callee: Phone, patience: float = 32 * T1) -> None:
    """INVITE, 180, 200, ACK, and a BYE of the caller, all through the server."""
    target = f"<{callee.aor}>"
    invite = caller.build("INVITE", callee.aor, f"Contact: <{caller.contact()}>", to=target)
    call_id = Message(invite).one("call-id")
    rung = deliver(caller, invite, callee, asks(call_id, "INVITE"), patience)
    callee.socket.sendto(callee.reply(rung, 180, "Ringing"), callee.server)
    accept = callee.reply(rung, 200, "OK")
    accepted = deliver(callee, accept, caller, answers(call_id, "INVITE"), patience)
    if accepted.status != 200:
        raise Refused(f"INVITE was answered {accepted.status}")
    route = [f"Route: {value}" for value in reversed(accepted.all("record-route"))]
    remote = accepted.one("contact").strip("<>")
    to = accepted.one("to")
    ack = caller.build("ACK", remote, *route, to=to, call_id=call_id)
    deliver(caller, ack, callee, asks(call_id, "ACK"), patience)
    bye = caller.build("BYE", remote, *route, to=to, call_id=call_id)
    over = deliver(caller, bye, callee, asks(call_id, "BYE"), patience)
    deliver(callee, callee.reply(over, 200, "OK"), caller, answers(call_id, "BYE"), patience)
