"""Messages and receivers that the tests of this package share."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from zope.interface import implementer

from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow
from rvoip.protocols.transport.interfaces import IMessageReceiver


def options(
    number: int = 1,
    *,
    via: str = "SIP/2.0/UDP 192.0.2.9:5060",
    params: str = ";rport",
    method: str = "OPTIONS",
    padding: int = 0,
    body: bytes = b"",
) -> bytes:
    """A request that every element takes."""
    lines = [
        f"{method} sip:example.test SIP/2.0",
        f"Via: {via};branch=z9hG4bK{number}{params}",
        "Max-Forwards: 70",
        "From: <sip:alice@example.test>;tag=1",
        "To: <sip:example.test>",
        f"Call-ID: {number}@test",
        f"CSeq: {number} {method}",
        *([f"X-Padding: {'x' * padding}"] if padding else []),
        f"Content-Length: {len(body)}",
        "\r\n",
    ]
    return "\r\n".join(lines).encode() + body


@implementer(IMessageReceiver)
class Recorder:
    """Keeps what it gets; with `status` it answers requests at once."""

    def __init__(self, status: int | None = None, padding: int = 0) -> None:
        self.messages: list[tuple[Request | Response, Flow]] = []
        self.errors: list[tuple[SIPParseError, Flow]] = []
        self.refused: list[FlowError] = []
        self.status = status
        self.padding = padding

    def message_received(self, message: Request | Response, flow: Flow) -> Awaitable[object] | None:
        self.messages.append((message, flow))
        if self.status is not None and isinstance(message, Request) and message.method != "ACK":
            headers = [("X-Padding", "x" * self.padding)] if self.padding else []
            answer = respond(message, self.status, to_tag="t", headers=headers)
            try:
                flow.reply_flow(message.via).send(answer.to_bytes())
            except FlowError as error:
                self.refused.append(error)
        return None

    def parse_failed(self, error: SIPParseError, flow: Flow) -> None:
        self.errors.append((error, flow))

    @property
    def numbers(self) -> list[int]:
        """The CSeq numbers that came."""
        return [message.cseq.number for message, _ in self.messages]

    @property
    def flow(self) -> Any:
        """The flow of the first message."""
        return self.messages[0][1]
