"""Neither side of a call sees where the other is."""

from __future__ import annotations

from typing import Any

from rvoip.proxy.ends import Ends
from rvoip.proxy.proxy import ProxySettings
from rvoip.proxy.targets import Destination
from rvoip.test.proxy.scene import PROXY, Peer, Scene, sip
from rvoip.test.proxy.test_calls import BOB
from rvoip.test.proxy.test_relay import METHODS, RelayBase
from rvoip.testing.phone import answer_after, ring

UPSTREAM = "Via: SIP/2.0/UDP 10.7.7.7;branch=z9hG4bKu\r\nRecord-Route: <sip:10.7.7.7;lr>\r\n"


class HidingBase(RelayBase):
    def hiding(self, **more: Any) -> Scene:
        return self.place(ProxySettings(topology_hiding=True, **more))

    def mask(self, message: Any) -> str:
        """The Contact in a message, which is one of ours."""
        (contact,) = message.contacts
        self.assertRegex(contact.uri_text, rf"^sip:th\.[a-z2-7]+@{PROXY}:5060(;transport=tcp)?$")
        text: str = contact.uri_text
        return text


class CallTests(HidingBase):
    def check(self, scene: Scene, alice: Peer, bob: Peer, **more: Any) -> None:
        """A call with requests of both ends in it, none of which shows the other one."""
        self.ends = (alice, bob)
        alice.send(alice.request(call_id="call", **more))
        invite = bob.one()
        bob.send(bob.answer(invite, 200))
        accepted = alice.one()
        self.assertEqual(accepted.status, 200)
        for message, secret in ((invite, alice.address), (accepted, bob.address), (invite, "10.7.7.7")):
            shown = str(message).replace(f"from-{alice.address}", "").replace(f"to-{bob.address}", "")
            self.assertNotIn(secret, shown)
        self.assertEqual(len(invite.vias), 1)
        to_bob, to_alice = self.mask(accepted), self.mask(invite)
        routes = [str(value) for value in reversed(accepted.record_routes)]
        for method, cseq in (("ACK", 1), ("INFO", 2)):
            alice.send(self.within(alice, method, to_bob, routes, cseq))
        ack, info = bob.take()
        for one in (ack, info):
            self.assertEqual((one.uri_text, one.has("route"), len(one.vias)), (bob._contact("bob"), False, 1))
        bob.send(bob.answer(info, 200))
        self.assertEqual(alice.starts(), ["200 INFO"])
        bob.send(self.within(bob, "BYE", to_alice, [str(value) for value in invite.record_routes]))
        bye = alice.one()
        self.assertEqual(bye.uri_text, more.get("contact") or alice._contact("alice"))
        alice.send(alice.answer(bye, 200))
        self.assertEqual(bob.starts(), ["200 BYE"])
        scene.advance(50)
        self.assertEqual(scene.leftovers(), [])

    def test_between_transports(self) -> None:
        for here, there in (("UDP", "UDP"), ("TCP", "UDP"), ("UDP", "TCP"), ("TCP", "TCP")):
            scene = self.scene(ProxySettings(topology_hiding=True))
            alice, bob = scene.peer("alice", here), scene.peer("bob", there)
            param = "" if there == "UDP" else ";transport=tcp"
            scene.places.bind("bob", f"sip:bob@{bob.address}{param}")
            self.check(scene, alice, bob)

    def test_behind_nat(self) -> None:
        scene = self.hiding()
        self.check(scene, self.alice, self.bob, contact="sip:alice@192.168.1.5:5060")

    def test_through_proxies_on_both_sides(self) -> None:
        """Their Record-Routes are hidden from the other side, and followed all the same."""
        scene = self.scene(ProxySettings(topology_hiding=True))
        first, edge = scene.peer("first"), scene.peer("edge")
        scene.places.bind("bob", Destination(sip("sip:bob@10.9.9.9"), (f"<sip:{edge.address};lr>",)))
        self.ends = (first, edge)
        ours = f"Record-Route: <sip:{first.address};lr>, <sip:10.7.7.7;lr>\r\n"
        extra = f"{ours}Via: SIP/2.0/UDP 10.7.7.7;branch=z9hG4bKu\r\n"
        first.send(first.request(call_id="call", contact="sip:alice@10.8.8.8", extra=extra))
        invite = edge.one()
        self.assertNotIn("10.7.7.7", str(invite))
        self.assertNotIn("10.8.8.8", str(invite))
        text = edge.answer(invite, 200, contact="sip:bob@10.9.9.9")
        theirs = f"<sip:{edge.address};lr>, <sip:10.6.6.6;lr>"
        edge.send(
            text.replace("Record-Route: ", f"Record-Route: <sip:10.6.6.6;lr>, <sip:{edge.address};lr>, ", 1)
        )
        accepted = first.one()
        for secret in ("10.6.6.6", "10.9.9.9", f"sip:{edge.address}"):
            self.assertNotIn(secret, str(accepted))
        self.assertEqual(len(accepted.vias), 2)
        routes = [str(value) for value in reversed(accepted.record_routes)]
        self.assertEqual(routes[:2], ["<sip:10.7.7.7;lr>", f"<sip:{first.address};lr>"])
        first.send(self.within(first, "BYE", self.mask(accepted), routes[2:]))
        bye = edge.one()
        self.assertEqual((bye.uri_text, bye.values("route")), ("sip:bob@10.9.9.9", theirs.split(", ")))
        edge.send(
            self.within(edge, "INFO", self.mask(invite), [str(value) for value in invite.record_routes])
        )
        info = first.one()
        self.assertEqual(info.uri_text, "sip:alice@10.8.8.8")
        self.assertEqual(info.values("route"), [f"<sip:{first.address};lr>", "<sip:10.7.7.7;lr>"])

    def test_phones(self) -> None:
        """re-INVITEs of both, a fork, a CANCEL."""
        scene = self.scene(ProxySettings(topology_hiding=True))
        alice = scene.phone("alice")
        scene.phone("bob", device="desk", script=ring)
        scene.phone("bob", device="mobile", script=answer_after(1), transport="TCP")
        call = alice.call(BOB)
        scene.result(call.established())
        scene.proxy.dialogs.ends = Ends()
        incoming = scene.phones["mobile"].calls[0]
        self.assertEqual(scene.result(call.reinvite(alice.sdp("sendonly"))).status, 200)
        self.assertEqual(scene.result(incoming.reinvite(alice.sdp())).status, 200)
        self.assertEqual(scene.result(incoming.request("INFO")).status, 200)
        scene.result(call.bye())
        self.assertEqual(scene.phones["desk"].calls[0].why, "cancelled")
        other = alice.call(BOB)
        scene.result(other.ringing())
        other.cancel()
        self.assertEnds(scene, other, "487 Request Terminated")
        self.assertClean(scene)

    def test_a_spiral(self) -> None:
        scene = self.hiding()
        carol = scene.peer("carol")
        scene.places.bind("carol", f"sip:carol@{carol.address}")
        scene.places.bind("bob", "sip:carol@example.test")
        self.check(scene, self.alice, carol)

    def test_without_record_route_nothing_is_hidden(self) -> None:
        self.assertFalse(ProxySettings(record_route=False, topology_hiding=True).topology_hiding)


class LeakTests(HidingBase):
    def test_nobody_relays(self) -> None:
        """What is hidden leads to the ends of the call as well, and nowhere else."""
        scene = self.hiding()
        self.ends = (self.alice, self.bob)
        self.alice.send(self.alice.request(call_id="call"))
        invite = self.bob.one()
        self.bob.send(self.bob.answer(invite, 200))
        accepted = self.alice.one()
        routes = [str(value) for value in accepted.record_routes]
        for method in METHODS:
            for uri in (self.foreign, f"sip:x@{self.bob.address}"):
                self.refused(scene, self.alice, self.within(self.alice, method, uri, routes))
        mask = self.mask(accepted)
        for forged in (mask.replace("th.", "th.a"), mask.replace("sip:th.", "sip:th.aaaa")):
            self.alice.send(self.within(self.alice, "MESSAGE", forged, routes))
            self.assertGreaterEqual(self.alice.one().status, 400)
            self.assertEqual(self.victim.take(), [])

    def test_a_contact_that_is_passed_on(self) -> None:
        """A third one may call it (a transfer) if he may call out: it may be a number that costs money."""
        scene = self.hiding()
        self.ends = (self.alice, self.bob)
        self.alice.send(self.alice.request(call_id="call"))
        self.bob.send(self.bob.answer(self.bob.one(), 200))
        mask = self.mask(self.alice.one())
        for method in METHODS:
            self.refused(scene, self.alice, self.alice.request(method, uri=mask))
        carol = scene.phone("carol", register=False)
        call = carol.call(mask)
        scene.advance(0.01)
        self.assertEqual(self.bob.one().uri_text, f"sip:bob@{self.bob.address}:5060")
        call.cancel()
