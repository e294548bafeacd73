"""What tests put around the transaction layer: flows without sockets, users that keep what they are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.task import Clock
from zope.interface import implementer

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.interfaces import IClientUser, ITransactionUser
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.transactions import TransactionLayer, TransactionLimits
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Target

US = ("192.0.2.1", 5060)
PEER = ("192.0.2.7", 5060)


class FakeFlow:
    """A flow that keeps what is sent on it."""

    secure = False
    peer_identity = None

    def __init__(
        self, transport: str = "UDP", remote: tuple[str, int] = PEER, network: FakeTransport | None = None
    ) -> None:
        self.transport = transport
        self.reliable = transport != "UDP"
        self.uri_transport = "ws" if transport == "WSS" else transport.lower()
        self.local = US
        self.remote = remote
        self.sent_by = f"{US[0]}:{US[1]}"
        self.token = f"{transport.lower()}/{remote[0]}:{remote[1]}"
        self.closed = False
        self.sent: list[bytes] = []
        self.network = network
        self.watchers: list[Callable[[Any, str], None]] = []

    def send(self, data: bytes) -> None:
        if self.closed:
            raise FlowError("closed")
        self.sent.append(data)

    def reply_flow(self, via: Any) -> FakeFlow:
        port = via.port or 5060
        if self.reliable or "rport" in via.params or port == self.remote[1] or self.network is None:
            return self
        return self.network.flow_to(Target("UDP", self.remote[0], port))

    def when_closed(self, callback: Callable[[Any, str], None]) -> Callable[[], None]:
        self.watchers.append(callback)
        return lambda: self.watchers.remove(callback) if callback in self.watchers else None

    def keep(self, until: float) -> None:
        """Never close it as idle."""

    def close(self, reason: str = "gone") -> None:
        self.closed = True
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher(self, reason)

    def take(self) -> list[Request | Response]:
        """What was sent since the last time."""
        taken, self.sent = [parse_message(data) for data in self.sent], []
        return taken

    def starts(self) -> list[str]:
        """The start lines of what was sent since the last time, shortened."""
        return [
            one.method if isinstance(one, Request) else f"{one.status} {one.cseq.method}"
            for one in self.take()
        ]


class FakeTransport:
    """Makes flows; `reachable` False makes each new one fail."""

    def __init__(self) -> None:
        self.flows: dict[tuple[str, str, int], FakeFlow] = {}
        self.asked: list[Target] = []
        self.reachable = True

    def flow_to(self, target: Target) -> FakeFlow:
        self.asked.append(target)
        flow = self.flows.get(target[:3])
        if flow is None or flow.closed:
            flow = self.flows[target[:3]] = FakeFlow(target.transport, (target.host, target.port), self)
            flow.closed = not self.reachable
        return flow

    def sized_target(self, target: Target, size: int) -> Target:
        """Datagrams of any size arrive."""
        return target


@implementer(ITransactionUser)
class User:
    """Keeps what the layer tells it; `answer` is called with each request."""

    def __init__(self) -> None:
        self.requests: list[ServerTransaction] = []
        self.acks: list[Request] = []
        self.strays: list[Response] = []
        self.answer: Callable[[ServerTransaction], Awaitable[object] | None] = lambda transaction: None

    def request_received(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        self.requests.append(transaction)
        return self.answer(transaction)

    def ack_received(self, request: Request, flow: Any) -> None:
        self.acks.append(request)

    def response_unmatched(self, response: Response, flow: Any) -> None:
        self.strays.append(response)


@implementer(IClientUser)
class Sender:
    """Keeps what becomes of requests."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.failures: list[str] = []

    def response_received(self, transaction: ClientTransaction, response: Response) -> None:
        self.statuses.append(response.status)

    def client_failed(self, transaction: ClientTransaction, reason: str) -> None:
        self.failures.append(reason)


class World:
    """A layer on a clock, with one peer over UDP and one over TCP."""

    def __init__(self, limits: TransactionLimits | None = None, admit: Any = None) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.wheel = TimerWheel(self.clock)
        self.transport = FakeTransport()
        self.user = User()
        self.serial = 0
        self.layer = TransactionLayer(
            self.transport,
            self.wheel,
            self.clock.seconds,
            self.token,
            limits=limits,
            admit=admit,
            user=self.user,
        )
        self.udp = self.transport.flow_to(Target("UDP", *PEER))
        self.tcp = FakeFlow("TCP", (PEER[0], 40000), self.transport)

    def token(self) -> str:
        self.serial += 1
        return f"{self.serial:016x}"

    def receive(self, text: str, flow: FakeFlow | None = None) -> Request | Response:
        """Let a message arrive, as the transport hands it on."""
        flow = flow or self.udp
        message = parse_message(text.encode())
        check(message)
        if isinstance(message, Request):
            message.stamp_via(*flow.remote)
        self.layer.message_received(message, flow)  # type: ignore[arg-type]
        return message

    def advance(self, seconds: float) -> None:
        """Let time pass in steps that no timer is missed by."""
        end = self.clock.seconds() + seconds
        while self.clock.calls and self.clock.calls[0].getTime() <= end:
            self.clock.advance(max(0.0, self.clock.calls[0].getTime() - self.clock.seconds()))
        self.clock.advance(end - self.clock.seconds())

    def leftovers(self) -> list[str]:
        """What is still remembered, or would still happen."""
        layer = self.layer
        found = [f"{one.request.method} {one.state}" for one in layer]
        if len(self.wheel):
            found.append(f"{len(self.wheel)} timers")
        if layer._invites or layer._accepted:
            found.append(f"{layer._invites} and {layer._accepted} INVITEs counted")
        if len(layer._answered):
            found.append(f"{len(layer._answered)} answers")
        return found


def request(
    method: str = "OPTIONS",
    *,
    branch: str | None = "z9hG4bK-1",
    sent_by: str = "192.0.2.7:5060",
    transport: str = "UDP",
    uri: str = "sip:bob@example.test",
    to_tag: str = "",
    from_tag: str = "a1",
    call_id: str = "call-1",
    cseq: int = 1,
    cseq_method: str = "",
    extra: str = "",
) -> str:
    """A request as text."""
    via = f"SIP/2.0/{transport} {sent_by}" + ("" if branch is None else f";branch={branch}")
    tag = f";tag={from_tag}" if from_tag else ""
    return (
        f"{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n"
        f"From: <sip:alice@example.test>{tag}\r\nTo: <sip:bob@example.test>{to_tag and ';tag=' + to_tag}\r\n"
        f"Call-ID: {call_id}\r\nCSeq: {cseq} {cseq_method or method}\r\n"
        f"Contact: <sip:alice@192.0.2.7>\r\n{extra}Content-Length: 0\r\n\r\n"
    )


def response(sent: Request | Response, status: int, to_tag: str = "b1", reason: str = "Whatever") -> str:
    """The answer of a peer to what it got, as text."""
    lines = [f"SIP/2.0 {status} {reason}"]
    for name, line in zip(sent.names, sent.lines):
        if name in ("via", "from", "call-id", "cseq"):
            lines.append(line)
        elif name == "to":
            lines.append(line if ";tag=" in line or status == 100 else f"{line};tag={to_tag}")
    return "\r\n".join([*lines, "Content-Length: 0", "", ""])
