"""A user agent in a socket: it asks and waits for the answer, or waits and answers."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from typing import Any, Self

from rvoip.test.conformance.element import Text, own_address, tagged
from rvoip.test.hostile.server import Server
from rvoip.test.hostile.wire import Stream, authorization, challenges, request

__all__ = ["Agent", "StreamAgent", "answer_to"]


def answer_to(got: Text, status: str, *headers: str, tag: str = "", body: bytes = b"") -> bytes:
    """The response to a request; `status` is code and reason."""
    lines = [f"SIP/2.0 {status}"]
    lines += [f"{name}: {value}" for name, value in got.headers if name in ("via", "record-route")]
    to = got.get("to")
    if not tagged(to) and not status.startswith("100"):
        to += f";tag={tag or secrets.token_hex(4)}"
    lines += [f"From: {got.get('from')}", f"To: {to}"]
    lines += [f"Call-ID: {got.get('call-id')}", f"CSeq: {got.get('cseq')}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class _Asking:
    """What agents of all transports can do."""

    transport: str
    host: str
    port: int
    domain = "example.test"

    def send(self, data: bytes) -> None:
        """Send one message."""
        raise AssertionError("each transport has its own")

    def receive(self, patience: float) -> Text | None:
        """The next message."""
        raise AssertionError("each transport has its own")

    @property
    def sent_by(self) -> str:
        """host:port of this socket."""
        return f"{self.host}:{self.port}"

    @property
    def uri_host(self) -> str:
        """The address that requests are sent to by default."""
        return self.domain

    def contact(self, user: str, more: str = "") -> str:
        """A Contact value that leads here."""
        transport = "" if self.transport == "UDP" else f";transport={self.transport.lower()}"
        return f"<sip:{user}@{self.sent_by}{transport}>{more}"

    def request(self, method: str, uri: str, *headers: str, sender: str = "", **more: Any) -> bytes:
        """A request of ours; `more` is that of `rvoip.test.hostile.wire.request`."""
        sender = sender or f"<sip:caller@elsewhere.test>;tag={secrets.token_hex(4)}"
        return request(
            method, uri, *headers, sender=sender, transport=self.transport, sent_by=self.sent_by, **more
        )

    def wait(self, match: Callable[[Text], bool], patience: float = 5.0) -> Text:
        """The next message that matches; others are dropped."""
        ends = time.monotonic() + patience
        seen = []
        while (left := ends - time.monotonic()) > 0:
            message = self.receive(left)
            if message is not None:
                seen.append(message.head)
                if match(message):
                    return message
        raise AssertionError(f"it did not come within {patience} s; what came: {seen}")

    def wait_for(self, method: str, patience: float = 5.0) -> Text:
        """The next request of this method."""
        return self.wait(lambda message: message.method == method, patience)

    def nothing(self, patience: float = 0.1) -> list[str]:
        """What comes within this time; a test that expects nothing compares it with []."""
        ends = time.monotonic() + patience
        seen = []
        while (left := ends - time.monotonic()) > 0:
            message = self.receive(left)
            if message is not None:
                seen.append(message.head)
        return seen

    def final(self, sent: bytes, patience: float = 5.0) -> Text:
        """The final response to a request that was sent."""
        of = Text(sent)
        key = of.get("call-id"), of.get("cseq")
        return self.wait(
            lambda message: message.status >= 200 and (message.get("call-id"), message.get("cseq")) == key,
            patience,
        )

    def ask(self, method: str, uri: str, *headers: str, sender: str = "", **more: Any) -> Text:
        """Send a request; its final response."""
        wire = self.request(method, uri, *headers, sender=sender, **more)
        self.send(wire)
        return self.final(wire)

    def register(
        self,
        user: str,
        *contacts: str,
        headers: tuple[str, ...] = (),
        cseq: int = 1,
        call_id: str = "",
        password: str = "",
        domain: str = "",
    ) -> Text:
        """REGISTER these Contact values for one of our users; without any, a fetch."""
        domain = domain or self.domain
        aor = f"<sip:{user}@{domain}>"
        lines = [*[f"Contact: {contact}" for contact in contacts], *headers]

        def ask(*more: str, number: int) -> Text:
            return self.ask(
                "REGISTER",
                f"sip:{domain}",
                *lines,
                *more,
                sender=f"{aor};tag={secrets.token_hex(4)}",
                to=aor,
                cseq=f"{number} REGISTER",
                call_id=call_id,
            )

        answer = ask(number=cseq)
        if password and answer.status == 401:
            challenge = challenges(answer)["SHA-256"]
            credentials = authorization(challenge, user, password, "REGISTER", f"sip:{domain}")
            answer = ask(f"Authorization: {credentials}", number=cseq + 1)
        return answer

    def acknowledge(self, invite: bytes, answer: Text) -> None:
        """The ACK of a failure: part of the INVITE's transaction (RFC 3261 section 17.1.1.3)."""
        sent = Text(invite)
        lines = [f"ACK {sent.uri} SIP/2.0", f"Via: {sent.values('via')[0]}", "Max-Forwards: 70"]
        lines += [f"Route: {value}" for value in sent.all("route")]
        lines += [f"From: {sent.get('from')}", f"To: {answer.get('to')}", f"Call-ID: {sent.get('call-id')}"]
        lines += [f"CSeq: {sent.get('cseq').split()[0]} ACK", "Content-Length: 0", "", ""]
        self.send("\r\n".join(lines).encode())

    def cancel(self, sent: bytes) -> bytes:
        """The CANCEL of a request that was sent (RFC 3261 section 9.1)."""
        of = Text(sent)
        lines = [f"CANCEL {of.uri} SIP/2.0", f"Via: {of.values('via')[0]}", "Max-Forwards: 70"]
        lines += [f"From: {of.get('from')}", f"To: {of.get('to')}", f"Call-ID: {of.get('call-id')}"]
        lines += [f"CSeq: {of.get('cseq').split()[0]} CANCEL", "Content-Length: 0", "", ""]
        return "\r\n".join(lines).encode()

    def in_dialog(self, method: str, invite: bytes, answer: Text, number: int, *headers: str) -> bytes:
        """A request of the caller in the dialog that a 2xx made (RFC 3261 section 12.2.1.1)."""
        sent = Text(invite)
        routes = [f"Route: {value}" for value in reversed(answer.values("record-route"))]
        target = answer.get("contact").partition("<")[2].partition(">")[0]
        return self.request(
            method,
            target,
            *routes,
            *headers,
            sender=sent.get("from"),
            to=answer.get("to"),
            call_id=sent.get("call-id"),
            cseq=f"{number} {method}",
        )


class Agent(_Asking):
    """A UDP socket at an address of its own that speaks to one server."""

    transport = "UDP"

    def __init__(self, server: Server, host: str = "", port: int = 0, address: tuple[str, int] | None = None):
        self.server = address or server.address
        self.domain = "example.test"
        if host:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
            self.socket.bind((host, port))
        else:
            host, (self.socket,) = own_address(30, (port,))
        self.host = f"[{host}]" if ":" in host else host
        self.port = self.socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """One datagram."""
        self.socket.sendto(data, self.server)

    def receive(self, patience: float) -> Text | None:
        """The next datagram."""
        self.socket.settimeout(max(patience, 0.001))
        try:
            return Text(self.socket.recv(65535))
        except TimeoutError:
            return None


class StreamAgent(_Asking):
    """A TCP or TLS connection; what it sends and receives are messages."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.transport = stream.transport
        self.host, self.port = stream.address[:2]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.socket.close()

    def send(self, data: bytes) -> None:
        """One message."""
        self.stream.send(data)

    def receive(self, patience: float) -> Text | None:
        """The next message."""
        found = self.stream.receive(patience)
        return None if found is None else Text(found.wire)
