"""What a call costs a proxy, without sockets: microseconds for each of its messages.

    python tools/bench_proxy.py [CALLS]

Each call is INVITE, 180, 200, ACK, BYE and 200, between two UDP phones, with Record-Route, at 1000 calls a
second of simulated time, so that timers run and expire as they would. A message is timed from its octets to
the octets that the proxy sends: parsing, checking, matching, deciding and writing. The figures are lower
quartiles of batches: what else the machine does only makes one slower.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from random import Random
from statistics import quantiles
from time import perf_counter
from typing import Any

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.protocols.transport.flow import Target
from rvoip.proxy.proxy import Proxy
from rvoip.proxy.record_route import RecordRoutes
from rvoip.proxy.targets import Destination

PROXY = ("192.0.2.1", 5060)
CALLER = ("192.0.2.2", 5060)
CALLEE = ("192.0.2.3", 5060)
BATCH = 250
STEP = 0.001
"""Seconds of simulated time between two calls."""

SDP = (
    "v=0\r\no=- 3 3 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\n"
)


class BenchClock:
    """A clock that is moved by hand and holds the wheel's one call."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due = 0.0
        self._call: Callable[[], object] | None = None

    def seconds(self) -> float:
        """The time."""
        return self.now

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> BenchClock:
        """Remember the call."""
        self._due = self.now + delay
        self._call = callable
        return self

    def cancel(self) -> None:
        """Forget it."""
        self._call = None

    def active(self) -> bool:
        """Whether it is still due."""
        return self._call is not None

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        while self._call is not None and self._due <= self.now:
            call, self._call = self._call, None
            call()


class BenchFlow:
    """A UDP flow that keeps what is sent on it."""

    transport = "UDP"
    reliable = False
    secure = False
    closed = False
    sent_by = f"{PROXY[0]}:{PROXY[1]}"
    local = PROXY
    peer_identity = None

    def __init__(self, remote: tuple[str, int]) -> None:
        self.remote = remote
        self.sent: list[bytes] = []
        self.token = f"udp/{PROXY[0]}:{PROXY[1]}/{remote[0]}:{remote[1]}"

    def send(self, data: bytes) -> None:
        """Keep it."""
        self.sent.append(data)

    def reply_flow(self, via: object) -> BenchFlow:
        """The way back."""
        return self

    def take(self) -> bytes:
        """The one message that was sent."""
        (data,) = self.sent
        self.sent.clear()
        return data


class BenchTransport:
    """Two flows and a listener."""

    def __init__(self) -> None:
        self.listeners = [BenchFlow(("0.0.0.0", 0))]
        self.flows = {remote: BenchFlow(remote) for remote in (CALLER, CALLEE)}
        self.tokens = {flow.token: flow for flow in self.flows.values()}

    def flow_to(self, target: Target) -> BenchFlow:
        """See `TransportLayer`."""
        return self.flows[target.host, target.port]

    def flow_by_token(self, token: str) -> BenchFlow | None:
        """See `TransportLayer`."""
        return self.tokens.get(token)


class BenchLocator:
    """Numeric hosts only."""

    def locate_now(self, uri: SipURI) -> list[Target]:
        """See `Locator`."""
        return [Target("UDP", uri.host, uri.port or 5060)]


class BenchDomains:
    """One domain."""

    def serves(self, uri: SipURI) -> bool:
        """See `IDomains`."""
        return uri.host == "example.test" or self.is_self(uri)

    def is_self(self, uri: SipURI) -> bool:
        """See `IDomains`."""
        return (uri.host, uri.port or 5060) == PROXY

    def aor(self, uri: SipURI) -> str:
        """See `IDomains`."""
        return uri.aor


class BenchLocation:
    """One user."""

    def __init__(self) -> None:
        uri = parse_uri(f"sip:bob@{CALLEE[0]}:{CALLEE[1]}")
        assert isinstance(uri, SipURI)
        self._found = [Destination(uri)]

    def lookup(self, aor: str) -> list[Destination]:
        """See `ILocation`."""
        return self._found

    def exists(self, aor: str) -> bool:
        """See `ILocation`."""
        return True


class Bench:
    """The proxy, the two phones, and the time that each message took."""

    def __init__(self) -> None:
        self.clock = BenchClock()
        self.transport = BenchTransport()
        random = Random(1)
        self.layer = TransactionLayer(
            self.transport,
            TimerWheel(self.clock),
            self.clock.seconds,
            lambda: f"{random.getrandbits(64):016x}",
        )
        self.layer.user = Proxy(
            self.layer,
            self.transport,
            BenchLocator(),
            BenchDomains(),
            BenchLocation(),
            None,
            RecordRoutes(b"bench" * 6),
        )
        self.caller = self.transport.flows[CALLER]
        self.callee = self.transport.flows[CALLEE]
        self.spent: dict[str, float] = {}
        self._serial = 0

    def deliver(self, what: str, data: bytes, flow: Any) -> None:
        """Let the proxy have a message, and add up the time."""
        began = perf_counter()
        message = parse_message(data)
        check(message)
        if isinstance(message, Request):
            message.stamp_via(*flow.remote)
        self.layer.message_received(message, flow)
        self.spent[what] = self.spent.get(what, 0.0) + perf_counter() - began

    def call(self) -> None:
        """One whole call."""
        self._serial += 1
        serial = self._serial
        clock = self.clock
        call_id = f"{serial:08d}-4711@192.0.2.2"
        self.deliver("INVITE", invite(call_id, serial), self.caller)
        at_callee = self.callee.take()
        self.deliver("180", answer(at_callee, "180 Ringing", serial), self.callee)
        self.caller.take()
        self.deliver("200 (INVITE)", answer(at_callee, "200 OK", serial, SDP), self.callee)
        accepted = self.caller.take()
        self.deliver("ACK", within(accepted, "ACK", 1, call_id, serial), self.caller)
        self.callee.take()
        self.deliver("BYE", within(accepted, "BYE", 2, call_id, serial), self.caller)
        self.deliver("200 (BYE)", answer(self.callee.take(), "200 OK", serial), self.callee)
        self.caller.take()
        began = perf_counter()
        clock.advance(STEP)
        self.spent["timers"] = self.spent.get("timers", 0.0) + perf_counter() - began


def invite(call_id: str, serial: int) -> bytes:
    """What the caller sends."""
    return (
        "INVITE sip:bob@example.test SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {CALLER[0]}:{CALLER[1]};branch=z9hG4bK-i{serial:08d};rport\r\n"
        "Max-Forwards: 70\r\n"
        f"From: Alice <sip:alice@example.test>;tag=a{serial:08d}\r\n"
        "To: Bob <sip:bob@example.test>\r\n"
        f"Call-ID: {call_id}\r\n"
        "CSeq: 1 INVITE\r\n"
        f"Contact: <sip:alice@{CALLER[0]}:{CALLER[1]}>\r\n"
        "User-Agent: bench\r\n"
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n"
        "Content-Type: application/sdp\r\n"
        f"Content-Length: {len(SDP)}\r\n\r\n{SDP}"
    ).encode()


def answer(request: bytes, status: str, serial: int, body: str = "") -> bytes:
    """What the callee answers to a request as it arrived."""
    head = request.decode().partition("\r\n\r\n")[0].split("\r\n")[1:]
    copied = [
        line for line in head if line.startswith(("Via:", "From:", "Call-ID:", "CSeq:", "Record-Route:"))
    ]
    (to,) = [line for line in head if line.startswith("To:")]
    if ";tag=" not in to:
        to += f";tag=b{serial:08d}"
    lines = [f"SIP/2.0 {status}", *copied, to, f"Contact: <sip:bob@{CALLEE[0]}:{CALLEE[1]}>"]
    if body:
        lines.append("Content-Type: application/sdp")
    lines += [f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


def within(accepted: bytes, method: str, number: int, call_id: str, serial: int) -> bytes:
    """An ACK or BYE of the caller, in the dialog of the 200 that it got."""
    head = accepted.decode().partition("\r\n\r\n")[0].split("\r\n")
    routes = [line.replace("Record-Route", "Route") for line in head if line.startswith("Record-Route:")]
    lines = [
        f"{method} sip:bob@{CALLEE[0]}:{CALLEE[1]} SIP/2.0",
        f"Via: SIP/2.0/UDP {CALLER[0]}:{CALLER[1]};branch=z9hG4bK-{method}{serial:08d};rport",
        *reversed(routes),
        "Max-Forwards: 70",
        f"From: Alice <sip:alice@example.test>;tag=a{serial:08d}",
        f"To: Bob <sip:bob@example.test>;tag=b{serial:08d}",
        f"Call-ID: {call_id}",
        f"CSeq: {number} {method}",
        "Content-Length: 0\r\n\r\n",
    ]
    return "\r\n".join(lines).encode()


def run(calls: int) -> dict[str, float]:
    """Microseconds for each message, and for the timers of a call."""
    bench = Bench()
    gc.collect()
    gc.freeze()
    batches: list[dict[str, float]] = []
    for _ in range(max(3, calls // BATCH)):
        bench.spent.clear()
        for _ in range(BATCH):
            bench.call()
        batches.append({what: seconds / BATCH * 1e6 for what, seconds in bench.spent.items()})
    del batches[0]  # it warmed up
    # Timers cost when they expire, which is in some batches only.
    timers = sum([batch.pop("timers") for batch in batches]) / len(batches)
    found = {what: quantiles([batch[what] for batch in batches])[0] for what in batches[0]}
    return found | {"timers": timers}


def main() -> None:
    """Print a table."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    found = run(calls)
    for what, microseconds in found.items():
        print(f"{what:14}{microseconds:8.1f} us")
    print(f"{'a call':14}{sum(found.values()):8.1f} us")


if __name__ == "__main__":
    main()
