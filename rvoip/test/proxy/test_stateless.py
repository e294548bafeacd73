"""Forwarding without transactions (RFC 3261 section 16.11)."""

from __future__ import annotations

from typing import Any

from rvoip.proxy.proxy import ProxySettings
from rvoip.proxy.targets import Destination, Targets
from rvoip.test.proxy.scene import Peer, Scene, sip
from rvoip.test.proxy.test_calls import BOB
from rvoip.test.proxy.test_further import Says
from rvoip.test.proxy.test_routing import RoutingBase
from rvoip.testing.phone import answer_after, busy, ring


class StatelessTests(RoutingBase):
    def place(self, here: str = "UDP", there: str = "UDP", **more: Any) -> tuple[Scene, Peer, Peer]:
        scene = self.scene(ProxySettings(stateless=True, **more))
        alice, bob = scene.peer("alice", here), scene.peer("bob", there)
        param = "" if there == "UDP" else f";transport={there.lower()}"
        scene.places.bind("bob", f"sip:bob@{bob.address}{param}")
        return scene, alice, bob

    def test_a_call(self) -> None:
        for here, there in (("UDP", "UDP"), ("TCP", "UDP"), ("UDP", "TCP"), ("TCP", "TCP")):
            scene, alice, bob = self.place(here, there)
            invite, accepted = self.call(scene, alice, bob)
            self.assertEqual(scene.leftovers(), [])
            self.assertEqual((len(invite.vias), len(accepted.vias)), (2, 1))
            self.assertEqual((invite.get("max-breadth"), invite.get("max-forwards")), ("60", "69"))
            self.both_ways(scene, alice, bob, invite, accepted)

    def test_phones(self) -> None:
        scene = self.scene(ProxySettings(stateless=True))
        alice = scene.phone("alice")
        for script, ends in ((answer_after(1), None), (busy, "486 Busy Here")):
            bob = scene.phone("bob", device=ends or "bob", script=script)
            scene.places.bind("bob", f"sip:bob@{bob.wire.host}:5060")
            call = alice.call(BOB)
            if ends is None:
                scene.result(call.established())
                scene.result(call.bye())
            else:
                self.assertEnds(scene, call, ends)
            self.assertClean(scene)

    def test_what_comes_again_goes_again(self) -> None:
        """The same branch, the same way, with all that it got here."""
        scene, alice, bob = self.place()
        text = alice.request(branch="z9hG4bKx", extra="Subject: old\r\n")
        first, second = [self.sent(alice, bob, text) for _ in range(2)]
        self.assertEqual(sorted(first.lines), sorted(second.lines))
        self.assertTrue(second.has("record-route"))
        scene.places.bind("bob", "sip:bob@10.9.9.9")
        self.assertEqual(sorted(self.sent(alice, bob, text).lines), sorted(first.lines))

    def sent(self, alice: Peer, bob: Peer, text: str) -> Any:
        alice.send(text)
        return bob.one()

    def test_credentials_are_not_asked_for_twice(self) -> None:
        scene = self.scene(ProxySettings(stateless=True, authenticate=True))
        bob = scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        phone = scene.phone("carol", register=False)
        call = phone.call(BOB)
        scene.advance(0.6)
        invites = bob.take()
        self.assertGreaterEqual(len(invites), 2)
        self.assertEqual(len({invite.via.branch for invite in invites}), 1)
        self.assertFalse(any(invite.has("proxy-authorization") for invite in invites))
        bob.send(bob.answer(invites[0], 486))
        self.assertEnds(scene, call, "486 Answered")

    def test_cancel(self) -> None:
        scene = self.scene(ProxySettings(stateless=True))
        alice, bob = scene.phone("alice"), scene.phone("bob", script=ring)
        call = alice.call(BOB)
        scene.result(call.ringing())
        call.cancel()
        self.assertEnds(scene, call, "487 Request Terminated")
        self.assertEqual((bob.calls[0].why, len(bob.received("ACK"))), ("cancelled", 1))
        self.assertClean(scene)

    def test_another_method_is_no_retransmission(self) -> None:
        """With the branch of a request that was let through: it is judged for itself."""
        scene, alice, bob = self.place()
        one = scene.peer("one")
        scene.proxy.members = lambda flow: True
        text = alice.request(uri=f"sip:x@{one.address}", branch="z9hG4bKx", call_id="c")
        alice.send(text)
        self.assertEqual(one.starts(), ["INVITE"])
        scene.proxy.members = lambda flow: False
        alice.send(text.replace("INVITE", "MESSAGE"))
        self.assertEqual((alice.starts(), one.take(), bob.take()), (["407 MESSAGE"], [], []))

    def test_a_cancel_or_ack_of_nothing(self) -> None:
        _, alice, bob = self.place()
        alice.send(alice.request("CANCEL", f"sip:bob@{bob.address}"))
        alice.send(alice.request("ACK", f"sip:bob@{bob.address}", to_tag="x"))
        self.assertEqual((alice.starts(), bob.take()), (["481 CANCEL"], []))

    def test_no_response_leaves_that_answers_nothing(self) -> None:
        """A Via of ours that was made up, or changed, or below which another stands."""
        scene, alice, bob = self.place()
        victim = scene.peer("victim")
        alice.send(alice.request())
        invite = bob.one()
        text = bob.answer(invite, 200)
        via = str(invite.vias[1])
        for forged in (
            text.replace(via, f"SIP/2.0/UDP {victim.address}:5060;branch=z9hG4bKv"),
            text.replace(f"{alice.address}:5060;branch", f"{victim.address}:5060;branch"),
            text.replace(".l.", ".l.0"),
            text.replace(";f=", ";f=A"),
            text.replace("Call-ID: ", "Call-ID: x"),
            text.replace(f"Via: {via}\r\n", ""),
        ):
            self.assertNotEqual(forged, text)
            bob.send(forged)
        self.assertEqual((victim.take(), alice.take()), ([], []))
        self.assertGreater(scene.layer.unmatched, 3)
        bob.send(text)
        self.assertEqual((alice.starts(), victim.take()), (["200 INVITE"], []))

    def test_100_stays_here(self) -> None:
        _, alice, bob = self.place()
        alice.send(alice.request())
        bob.send(bob.answer(bob.one(), 100))
        self.assertEqual(alice.take(), [])

    def test_relays_nothing(self) -> None:
        """A stolen Route leads nowhere but to the callee here too."""
        scene, alice, bob = self.place()
        victim = scene.peer("victim")
        _, accepted = self.call(scene, alice, bob)
        routes = [str(value) for value in accepted.record_routes]
        for uri in (f"sip:victim@{victim.address}", f"sip:x@{bob.address}"):
            alice.send(self.within(alice, "MESSAGE", uri, routes))
            self.assertEqual((alice.starts(), victim.take(), bob.take()), (["407 MESSAGE"], [], []))

    def test_what_needs_a_transaction_has_one(self) -> None:
        scene, alice, bob = self.place()
        scene.places.bind("bob", f"sip:bob@{bob.address}", f"sip:bob@{bob.address}:5070")
        alice.send(alice.request())
        self.assertEqual(scene.layer.servers, 1)
        for more in ({"timeout": 3.0}, {"patience": 1.0}, {"done": lambda status: None}):
            self.assertFalse(
                scene.proxy.stateless.takes(Targets([[Destination(sip(BOB), **more)]])),
                more,
            )

    def test_nowhere(self) -> None:
        scene, alice, _ = self.place()
        for delay in (None, 0.1):
            scene.locator.delay = delay
            scene.proxy.routers = (Says(Targets([[Destination(sip("sip:x@nowhere.test"))]])),)
            alice.send(alice.request())
            scene.advance(0.2)
            self.assertGreaterEqual(alice.one().status, 400)
            self.assertEqual(scene.leftovers(), [])

    def test_dns_is_waited_for(self) -> None:
        scene, alice, bob = self.place()
        scene.locator.delay = 0.1
        scene.locator.names["phone.test"] = scene.locator.locate_now(sip(f"sip:{bob.address}")) or []
        scene.places.bind("bob", "sip:bob@phone.test")
        alice.send(alice.request())
        scene.advance(0.2)
        self.assertEqual(bob.starts(), ["INVITE"])
