"""The timers of transactions, as the peers of a running proxy see them."""

from __future__ import annotations

import time

from rvoip.test.conformance.agent import Agent, answer_to
from rvoip.test.conformance.case import AgentCase


class TimerTests(AgentCase):
    """The timers of RFC 3261 section 17 follow `t1`."""

    def times(self, agent: Agent, method: str, seconds: float) -> list[float]:
        """When the requests of this method come, counted from the first one."""
        seen = []
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            got = agent.receive(left)
            if got is not None and got.method == method:
                seen.append(time.monotonic())
        return [one - seen[0] for one in seen]

    def check_doubling(self, times: list[float], intervals: list[float]) -> None:
        """Intervals between what is sent again."""
        self.assertGreaterEqual(len(times), len(intervals) + 1)
        for before, after, interval in zip(times, times[1:], intervals):
            self.assertGreater(after - before, interval * 0.8, times)
            self.assertLess(after - before, interval * 1.5 + 0.3, times)

    def test_a_silent_callee(self) -> None:
        """INVITE at T1, 2*T1, 4*T1 ... and 408 after 64*T1; other requests the same way, and no answer."""
        caller, callee, other = self.agent(), self.agent(), self.agent()
        callee.register("silent", callee.contact("silent"))
        other.register("silent2", other.contact("silent2"))
        wire = caller.request("INVITE", "sip:silent@example.test")
        began = time.monotonic()
        caller.send(wire)
        second = self.agent()
        message = second.request("MESSAGE", "sip:silent2@example.test")
        second.send(message)
        times = self.times(callee, "INVITE", 2.0)
        self.check_doubling(times, [0.05, 0.1, 0.2, 0.4, 0.8])
        self.assertEqual(caller.wait(lambda one: True).status, 100)
        answer = caller.final(wire)
        self.assertEqual(answer.status, 408)
        self.assertGreater(time.monotonic() - began, 3.0)
        self.assertLess(time.monotonic() - began, 4.5)
        caller.acknowledge(wire, answer)
        # RFC 4320 section 4.2: nobody waits for it any more.
        self.assertEqual([head for head in second.nothing(0.3) if not head.startswith("SIP/2.0 100")], [])
        got = [one.method for one in iter(lambda: other.receive(0.01), None) if one.method == "MESSAGE"]
        self.assertGreaterEqual(len(got), 6)

    def test_a_response_that_is_not_acknowledged(self) -> None:
        """A failure is sent again at T1, 2*T1, 4*T1 ... until the ACK comes."""
        caller = self.agent()
        callee = self.agent()
        callee.register("really", callee.contact("really"))
        wire = caller.request("INVITE", "sip:really@example.test")
        caller.send(wire)
        callee.send(answer_to(callee.wait_for("INVITE"), "486 Busy Here", tag="b"))
        times: list[float] = []
        answer = None
        while len(times) < 4:
            answer = caller.wait(lambda one: one.status == 486)
            times.append(time.monotonic())
        self.check_doubling(times, [0.05, 0.1, 0.2])
        assert answer is not None
        caller.acknowledge(wire, answer)
        self.assertEqual(caller.nothing(0.6), [])
