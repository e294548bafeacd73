"""What a call costs the dialog layer: CPU time as caller and as who is called, and memory of a dialog.

    python tools/bench_dialog.py [--calls 3000] [--rounds 3]

Two user agents in one process hand each other octets: INVITE, 180, 200, ACK, BYE, 200, without reliable
provisional responses. Parsing, checks and transactions are counted, sockets are not.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import tracemalloc
from typing import Any

from twisted.internet.task import Clock

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.agent import UserAgent
from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.invite_server import ServerInvite
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.transport.flow import Target, UDPFlow
from rvoip.protocols.transport.locate import Locator
from rvoip.services.tokens import TokenSource

DESCRIPTION = Body(
    b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"
    b"m=audio 10000 RTP/AVP 0 8 101\r\n"
    b"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
)


class Answering(UserAgent):
    """Rings and answers at once."""

    def invite_received(self, invite: ServerInvite) -> None:
        """See `UserAgent`."""
        invite.progress(180)
        invite.accept(DESCRIPTION)


class End:
    """A user agent whose flows end in a list; `cpu` are the seconds that it has worked."""

    def __init__(self, clock: Clock, host: str) -> None:
        self.host = host
        self.out: list[tuple[str, bytes]] = []
        self.cpu = 0.0
        self._flows: dict[str, UDPFlow] = {}
        self.layer = TransactionLayer(self, TimerWheel(clock), clock.seconds, TokenSource())
        locator = Locator(Any, clock)  # type: ignore[arg-type]  # every host is numeric
        self.agent = Answering(self.layer, locator, AgentSettings(reliable="off"))
        self.layer.user = self.agent

    def flow_to(self, target: Target) -> UDPFlow:
        """See `TransportLayer`."""
        flow = self._flows.get(target.host)
        if flow is None:
            flow = self._flows[target.host] = UDPFlow(
                (self.host, 5060),
                (target.host, 5060),
                f"{self.host}:5060",
                lambda data, address: self.out.append((address[0], data)),
                lambda address: self.flow_to(Target("UDP", *address)),
            )
        return flow

    def sized_target(self, target: Target, size: int) -> Target:
        """See `TransportLayer`."""
        return target

    def take(self, data: bytes, host: str) -> None:
        """A datagram came."""
        began = time.thread_time()
        message = parse_message(data)
        check(message)
        if isinstance(message, Request):
            message.stamp_via(host, 5060)
        self.layer.message_received(message, self.flow_to(Target("UDP", host, 5060)))
        self.cpu += time.thread_time() - began


class Pair:
    """A caller and who is called."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.caller, self.called = End(self.clock, "10.0.0.1"), End(self.clock, "10.0.0.2")

    def pump(self) -> None:
        """Carry octets until there are none."""
        ends = {end.host: end for end in (self.caller, self.called)}
        while self.caller.out or self.called.out:
            for end in ends.values():
                out, end.out = end.out, []
                for host, data in out:
                    ends[host].take(data, end.host)

    def call(self, hang_up: bool = True) -> Any:
        """One call."""
        began = time.thread_time()
        invite = self.caller.agent.invite("sip:bob@10.0.0.2", from_="<sip:alice@10.0.0.1>", body=DESCRIPTION)
        self.caller.cpu += time.thread_time() - began
        self.pump()
        assert invite.session is not None and invite.session.state == "confirmed"
        if hang_up:
            began = time.thread_time()
            invite.session.bye()
            self.caller.cpu += time.thread_time() - began
            self.pump()
        return invite


def cpu(calls: int) -> tuple[float, float]:
    """Microseconds of CPU time a call: the caller's, and those of who is called."""
    pair = Pair()
    for number in range(calls):
        pair.call()
        if number % 100 == 99:
            pair.clock.advance(10)
    return pair.caller.cpu / calls * 1e6, pair.called.cpu / calls * 1e6


def memory(calls: int) -> float:
    """Octets that a dialog holds once the transactions of its INVITE are over."""
    Pair().call()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    pair = Pair()
    held = [pair.call(hang_up=False) for _ in range(calls)]
    for _ in range(100):
        pair.clock.advance(1)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(pair.caller.agent) == len(held)
    return used / (2 * calls)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cpu(options.calls // 10)
    rounds = [cpu(options.calls) for _ in range(options.rounds)]
    print(f"CPU a call, caller: {statistics.median(one for one, _ in rounds):.0f} us")
    print(f"CPU a call, called: {statistics.median(one for _, one in rounds):.0f} us")
    print(f"memory a dialog: {memory(options.calls) / 1000:.1f} kB")


if __name__ == "__main__":
    main()
