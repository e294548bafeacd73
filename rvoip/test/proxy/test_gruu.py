"""Requests for one device of a user, from outside and within dialogs (RFC 5627)."""

from __future__ import annotations

from rvoip.proxy.proxy import ProxySettings
from rvoip.proxy.targets import Destination
from rvoip.test.proxy.scene import Peer, Scene, sip
from rvoip.test.proxy.test_routing import RoutingBase

GRUU = "sip:bob@example.test;gr=urn:uuid:1"


class GruuTests(RoutingBase):
    def place(self, settings: ProxySettings | None = None) -> tuple[Scene, Peer, Peer, Peer]:
        scene = self.scene(settings)
        alice, one, two = (scene.peer(name) for name in ("alice", "one", "two"))
        scene.places.bind(
            "bob",
            Destination(sip(f"sip:bob@{one.address}"), instance="<urn:uuid:1>"),
            Destination(sip(f"sip:bob@{two.address}"), instance="<urn:uuid:2>"),
        )
        return scene, alice, one, two

    def test_to_one_device(self) -> None:
        for delay in (None, 0.05):
            scene, alice, one, two = self.place()
            scene.places.delay = delay
            for method in ("INVITE", "MESSAGE", "SUBSCRIBE"):
                alice.send(alice.request(method, GRUU))
                scene.advance(0.1)
                self.assertEqual(one.one().uri_text, f"sip:bob@{one.address}")
                self.assertEqual(two.take(), [])

    def test_to_none(self) -> None:
        _, alice, one, two = self.place()
        for uri in ("sip:bob@example.test;gr=urn:uuid:3", "sip:bob@example.test;gr", "sip:x@example.test;gr"):
            alice.send(alice.request(uri=uri))
            self.assertEqual((alice.starts(), one.take(), two.take()), (["480 INVITE"], [], []), uri)

    def test_a_contact_that_is_a_gruu(self) -> None:
        """A callee's: what follows in the dialog goes to that device, also where everybody is challenged."""
        for settings in (None, ProxySettings(authenticate=True)):
            scene, alice, one, two = self.place(settings)
            scene.proxy.members = lambda flow: True
            self.ends = (alice, one)
            alice.send(alice.request(uri=GRUU, call_id="call"))
            one.send(one.answer(one.one(), 200, contact=GRUU))
            accepted = alice.one()
            scene.proxy.members = lambda flow: False
            routes = [str(value) for value in reversed(accepted.record_routes)]
            for method in ("ACK", "INFO", "BYE"):
                alice.send(self.within(alice, method, GRUU, routes, 1 if method == "ACK" else 2))
                self.assertEqual(one.one().method, method)
            self.assertEqual((two.take(), alice.take()), ([], []))

    def test_a_caller_whose_contact_is_a_gruu(self) -> None:
        scene, _, one, two = self.place()
        carol = scene.peer("carol")
        scene.places.bind("carol", f"sip:carol@{carol.address}")
        self.ends = (one, carol)
        one.send(one.request(uri="sip:carol@example.test", call_id="call", contact=GRUU))
        invite = carol.one()
        carol.send(carol.answer(invite, 200))
        one.take()
        carol.send(self.within(carol, "BYE", GRUU, [str(value) for value in invite.record_routes]))
        self.assertEqual((one.starts(), two.take(), carol.take()), (["BYE"], [], []))
