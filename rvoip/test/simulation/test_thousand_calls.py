"""1,000 calls through a proxy with registrar while 5 % of all datagrams are lost, each way: none fails."""

from __future__ import annotations

import os
import random
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.simulation.elements import DOMAIN, start_element
from rvoip.test.simulation.ends import End, PhoneEnd, Placed, SoftEnd
from rvoip.testing.faulty_store import FaultyStore
from rvoip.testing.network import SimulatedNetwork

CALLS = int(os.environ.get("RVOIP_LOSSY_CALLS", "1000"))
LOSS = 0.05
SERVER = ("10.0.0.1", 5060)
CONFIG = f"""
[sip]
listen = ["udp:10.0.0.1:5060"]
domains = ["{DOMAIN}"]
[registrar]
[proxy]
authenticate = true
"""


class ThousandCallsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = network = SimulatedNetwork(seed=5, loss=LOSS, delay=(0.005, 0.04))
        self.chance = random.Random(5)
        kept = FaultyStore(network.clock, self.chance)
        home = network.host("home", SERVER[0])
        self.element = start_element(home, "proxy", CONFIG, kept.client(home), "home", registrar=True)
        self.ends: list[End] = []
        for number in range(8):
            name, address = f"user{number}", f"10.0.1.{number + 1}"
            made = (PhoneEnd, SoftEnd)[number % 2]
            reactor = network.host(name, address)
            self.ends.append(
                made(reactor, name, f"{name}@{DOMAIN}", "answer", SERVER, host=address, port=5060, seed=5)
            )
        for end in self.ends:
            self.assertEqual(network.result_of(end.register(3600)), 200)
        self.placed: list[Placed] = []

    def call(self, caller: End, callee: End, by_caller: bool) -> None:
        def answered(call: object) -> None:
            self.network.clock.callLater(3.0, self.hang_up, caller if by_caller else callee, placed)

        placed, _ = caller.call(callee.name, answered)
        self.placed.append(placed)

    def hang_up(self, end: End, placed: Placed) -> None:
        """As soon as it is up there too: the ACK may have to come again."""
        if placed.call_id in end.up():
            end.hang_up(placed.call_id)
        else:
            self.network.clock.callLater(1.0, self.hang_up, end, placed)

    def test_none_fails(self) -> None:
        network = self.network
        for number in range(CALLS):
            caller, callee = self.chance.sample(self.ends, 2)
            network.clock.callLater(number / 20, self.call, caller, callee, number % 2 == 0)
        network.advance(CALLS / 20 + 100.0)
        self.assertEqual(Counter(str(one.outcomes) for one in self.placed), {"['accepted']": CALLS})
        for end in self.ends:
            self.assertEqual((end.problems(), end.finals(True), end.leftovers()), ([], [], []), end)
        self.assertEqual(self.element.leftovers(), [])
        calls = self.element.calls
        assert calls is not None
        self.assertEqual((calls.calls.total, len(calls.calls)), (CALLS, 0))
        self.assertLess(abs(network.lost / network.sent - LOSS), 0.01)
        self.assertGreater(self.element.sip.transactions.retransmissions, CALLS / 20)
        for end in self.ends:
            network.result_of(end.close())
        network.result_of(self.element.stopService())
        network.advance(1.0)
        self.assertEqual(network.pending(), [])
