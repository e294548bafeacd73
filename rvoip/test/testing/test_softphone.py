"""The phone that is made of our own user agent layer, and the ladder of what it says."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.testing.network import SimulatedNetwork
from rvoip.testing.network_ladder import NetworkLadder
from rvoip.testing.phone import Phone, busy
from rvoip.testing.softphone import Softphone

SERVER = ("10.0.0.1", 5060)


class SoftphoneTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = SimulatedNetwork(seed=1)
        self.ladder = NetworkLadder(self.network)

    def softphone(self, name: str, address: str, server: str, **more: Any) -> Softphone:
        host = self.network.host(name, address)
        return Softphone(host, f"{name}@example.test", host=address, server=(server, 5060), **more).open()

    def other(self, **more: Any) -> Phone:
        host = self.network.host("server", SERVER[0])
        phone = Phone(host, "bob@example.test", host=SERVER[0], port=5060, **more).open()
        self.addCleanup(phone.close)
        return phone

    def end(self, phone: Softphone) -> None:
        self.network.advance(100)
        self.assertEqual(phone.leftovers(), [])
        self.network.result_of(phone.close())

    def test_calls(self) -> None:
        for transport in ("UDP", "TCP"):
            self.setUp()
            bob = self.other(transport=transport)
            alice = self.softphone("alice", "10.0.0.2", SERVER[0], transport=transport)
            invite = alice.call("sip:bob@10.0.0.1")
            self.assertTrue(self.network.run_until(lambda invite=invite: invite.over))  # type: ignore[misc]
            self.assertEqual(invite.outcomes, ["accepted"])
            self.network.advance(1)
            assert invite.session is not None
            invite.session.bye()
            self.network.advance(1)
            self.assertEqual([call.why for call in bob.calls], ["BYE received"])
            self.assertEqual([len(one.endings) for one in alice.sessions], [1])
            self.assertEqual(bob.problems, [])
            said = [line.split(transport)[1].split("  [")[0].strip() for line in self.lines()]
            self.assertEqual(
                [one.split(" ")[0] for one in said], ["INVITE", "180", "200", "ACK", "BYE", "200"]
            )
            self.end(alice)

    def lines(self) -> list[str]:
        return self.ladder.draw().splitlines()

    def test_is_refused(self) -> None:
        self.other(script=busy)
        alice = self.softphone("alice", "10.0.0.2", SERVER[0])
        invite = alice.call("sip:bob@10.0.0.1", offer=False)
        self.network.advance(1)
        self.assertEqual(invite.outcomes, ["486 Busy Here"])
        self.end(alice)

    def test_is_called(self) -> None:
        bob = self.other(server=("10.0.0.2", 5060))
        alice = self.softphone("alice", "10.0.0.2", SERVER[0])
        call = bob.call("sip:alice@10.0.0.2")
        self.network.result_of(call.established())
        self.assertIn(b"IN IP4 10.0.0.2", call.remote_sdp)
        self.network.result_of(call.bye())
        self.end(alice)

    def test_what_is_lost_is_drawn(self) -> None:
        self.other()
        alice = self.softphone("alice", "10.0.0.2", SERVER[0])
        self.network.lose_if(lambda one: self.network.clock.seconds() < 0.4)
        invite = alice.call("sip:bob@10.0.0.1")
        self.network.advance(0.6)
        first, second = self.lines()[:2]
        self.assertRegex(
            first, r"^ +0\.\d+ alice -> server +UDP INVITE sip:bob@10\.0\.0\.1  \[1 INVITE\]  -- lost$"
        )
        self.assertTrue(second.endswith("[1 INVITE]"), second)
        self.assertEqual(self.ladder.of("another call"), [])
        self.assertEqual(self.ladder.draw("another call"), "")
        assert invite.session is not None
        invite.session.bye()
        self.end(alice)

    def test_one_that_nothing_is_known_of_has_no_transport(self) -> None:
        with self.assertRaises(ValueError):
            self.softphone("alice", "10.0.0.2", SERVER[0], transport="SCTP")
