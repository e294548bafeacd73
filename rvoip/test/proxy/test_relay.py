"""Nobody relays through us with what a call taught him: our values lead to the ends of that call alone."""

from __future__ import annotations

from typing import Any

from rvoip.proxy.ends import Ends, Taker
from rvoip.proxy.proxy import ProxySettings
from rvoip.proxy.targets import Destination
from rvoip.test.proxy.scene import PROXY, Peer, Scene, sip
from rvoip.test.proxy.test_calls import BOB
from rvoip.test.proxy.test_routing import RoutingBase
from rvoip.testing.phone import ring

METHODS = ("INVITE", "MESSAGE", "REFER", "OPTIONS", "SUBSCRIBE", "INFO", "BYE", "NEW")


class RelayBase(RoutingBase):
    def place(self, settings: ProxySettings | None = None, **more: Any) -> Scene:
        """alice is a stranger, bob a user of ours, victim somebody elsewhere."""
        scene = self.scene(settings, **more)
        self.alice, self.bob, self.victim = (scene.peer(name) for name in ("alice", "bob", "victim"))
        self.foreign = f"sip:victim@{self.victim.address}"
        scene.places.bind("bob", f"sip:bob@{self.bob.address}")
        return scene

    def routes(self, message: Any) -> list[str]:
        return [str(one) for one in message.record_routes]

    def refused(self, scene: Scene, sender: Peer, text: str, status: int = 407) -> None:
        before = scene.proxy.forwarded
        sender.send(text)
        answer = sender.one()
        self.assertEqual(answer.status, status, text)
        self.assertEqual((scene.proxy.forwarded, self.victim.take(), self.bob.take()), (before, [], []), text)


class StolenTests(RelayBase):
    def test_a_caller_reaches_nobody_but_the_callee(self) -> None:
        for settings, status in ((None, 407), (ProxySettings(authenticate=False), 403)):
            scene = self.place(settings)
            _, accepted = self.call(scene, self.alice, self.bob)
            routes = self.routes(accepted)
            for method in METHODS:
                for uri in (
                    self.foreign,
                    f"sip:{self.victim.address}",
                    f"sip:bob@{self.victim.address}",
                    f"sip:+1900555@{self.bob.address}",
                    f"sip:bob@{self.bob.address}:5070",
                    f"sip:{self.bob.address}",
                ):
                    self.refused(scene, self.alice, self.within(self.alice, method, uri, routes), status)
                for tag in ("x", f"from-{self.alice.address}"):
                    text = self.within(self.alice, method, self.foreign, routes, to_tag=tag)
                    self.refused(scene, self.alice, text, status)

    def test_no_further_route(self) -> None:
        scene = self.place()
        _, accepted = self.call(scene, self.alice, self.bob)
        contact = accepted.contacts[0].uri_text
        for method in METHODS:
            for more in (f"<sip:{self.victim.address};lr>", f"<sip:{self.victim.address}>", "<tel:+1>"):
                for uri in (contact, self.foreign):
                    routes = [*self.routes(accepted), more]
                    self.refused(scene, self.alice, self.within(self.alice, method, uri, routes))

    def test_no_strict_route(self) -> None:
        scene = self.place()
        _, accepted = self.call(scene, self.alice, self.bob)
        ours = accepted.record_routes[0].uri_text
        for method in METHODS:
            for rest in ([f"<{self.foreign}>"], [f"<sip:{self.victim.address};lr>", f"<{self.foreign}>"]):
                self.refused(scene, self.alice, self.within(self.alice, method, ours, rest))

    def test_no_ack(self) -> None:
        scene = self.place()
        _, accepted = self.call(scene, self.alice, self.bob)
        for routes in (self.routes(accepted), []):
            self.alice.send(self.within(self.alice, "ACK", self.foreign, routes, 1))
            self.alice.send(self.within(self.alice, "ACK", f"sip:{self.bob.address}:5070", routes, 1))
        self.assertEqual((self.victim.take(), self.bob.take(), self.alice.take()), ([], [], []))

    def test_a_callee_reaches_nobody_but_the_caller(self) -> None:
        scene = self.place()
        invite, _ = self.call(scene, self.alice, self.bob)
        for method in METHODS:
            self.refused(scene, self.bob, self.within(self.bob, method, self.foreign, self.routes(invite)))

    def test_the_values_of_the_two_ends_are_not_to_be_swapped(self) -> None:
        scene = self.place()
        invite, accepted = self.call(scene, self.alice, self.bob)
        to_bob, to_alice = accepted.contacts[0].uri_text, invite.contacts[0].uri_text
        self.refused(scene, self.alice, self.within(self.alice, "INFO", to_bob, self.routes(invite)))
        self.refused(scene, self.bob, self.within(self.bob, "INFO", to_alice, self.routes(accepted)))

    def test_through_a_proxy_that_trusts_us(self) -> None:
        """The callee's proxy would send on whatever comes from us: it only gets what is for the callee."""
        scene = self.scene()
        self.alice, edge, self.bob = (scene.peer(name) for name in ("alice", "edge", "bob"))
        self.victim = scene.peer("victim")
        path = (f"<sip:{edge.address};lr>",)
        scene.places.bind("bob", Destination(sip("sip:bob@10.9.9.9"), path))
        self.ends = (self.alice, edge)
        self.alice.send(self.alice.request(call_id="call"))
        text = edge.answer(edge.one(), 200, contact="sip:bob@10.9.9.9")
        edge.send(
            text.replace(
                "Record-Route: ", f"Record-Route: <sip:edge@{edge.address};r2=on;lr>\r\nRecord-Route: "
            )
        )
        routes = self.routes(self.alice.one())[::-1]
        self.assertEqual(len(routes), 2)
        for method in METHODS:
            text = self.within(self.alice, method, f"sip:victim@{self.victim.address}", routes)
            self.refused(scene, self.alice, text)
            self.refused(scene, self.alice, self.within(self.alice, method, "sip:bob@10.9.9.9", routes[:1]))
        self.alice.send(self.within(self.alice, "BYE", "sip:bob@10.9.9.9", routes))
        bye = edge.one()
        self.assertEqual((bye.method, bye.values("route")), ("BYE", routes[1:]))

    def test_what_makes_no_dialog_leads_nowhere(self) -> None:
        for status in (302, 404, 486, 603):
            scene = self.place()
            self.alice.send(self.alice.request(call_id="call"))
            invite = self.bob.one()
            self.ends = (self.alice, self.bob)
            self.bob.send(self.bob.answer(invite, status, contact=self.foreign))
            self.bob.take()
            answer = self.alice.one()
            for uri in (self.foreign, f"sip:bob@{self.bob.address}", f"sip:alice@{self.alice.address}:5060"):
                self.refused(scene, self.alice, self.within(self.alice, "MESSAGE", uri, self.routes(answer)))

    def test_a_dialog_without_a_contact_leads_nowhere(self) -> None:
        scene = self.place()
        self.alice.send(self.alice.request(call_id="call"))
        self.ends = (self.alice, self.bob)
        self.bob.send(self.bob.answer(self.bob.one(), 180, contact=""))
        ringing = self.alice.one()
        self.refused(
            scene, self.alice, self.within(self.alice, "MESSAGE", self.foreign, self.routes(ringing))
        )

    def test_whoever_says_that_he_moved_gets_no_further(self) -> None:
        """It is the other end that may follow."""
        scene = self.place()
        _, accepted = self.call(scene, self.alice, self.bob)
        target, routes = accepted.contacts[0].uri_text, self.routes(accepted)
        self.alice.send(self.within(self.alice, "INVITE", target, routes, contact=self.foreign))
        self.bob.send(self.bob.answer(self.bob.one(), 200))
        self.assertEqual(self.alice.starts(), ["200 INVITE"])
        for method in METHODS:
            for tag in (f"from-{self.alice.address}", f"to-{self.bob.address}"):
                text = self.within(self.alice, method, self.foreign, routes, 3, to_tag=tag)
                self.refused(scene, self.alice, text)


class MovedTests(RelayBase):
    """An end of a call may change its address in it (RFC 3261 section 12.2)."""

    def setUp(self) -> None:
        self.scene_ = self.place()
        self.invite, self.accepted = self.call(self.scene_, self.alice, self.bob)
        self.to_bob, self.to_alice = self.accepted.contacts[0].uri_text, self.invite.contacts[0].uri_text
        self.from_alice, self.from_bob = self.routes(self.accepted), self.routes(self.invite)
        self.elsewhere = self.scene_.peer("elsewhere")
        self.moved = f"sip:moved@{self.elsewhere.address}"

    def test_the_caller(self) -> None:
        for method in ("INVITE", "UPDATE", "SUBSCRIBE"):
            self.elsewhere.send(
                self.within(
                    self.elsewhere,
                    method,
                    self.to_bob,
                    self.from_alice,
                    to=self.bob,
                    contact=self.moved,
                    extra="",
                ).replace(f"tag=from-{self.elsewhere.address}", f"tag=from-{self.alice.address}")
            )
            self.bob.send(self.bob.answer(self.bob.one(), 200))
            self.assertEqual(self.elsewhere.starts(), [f"200 {method}"])
            self.bob.send(self.within(self.bob, "INFO", self.moved, self.from_bob))
            self.assertEqual(self.elsewhere.starts(), ["INFO"])

    def test_the_callee(self) -> None:
        text = self.within(self.bob, "INVITE", self.to_alice, self.from_bob, contact=self.moved)
        self.bob.send(text.replace(f"tag=from-{self.bob.address}", f"tag=to-{self.bob.address}"))
        self.alice.send(self.alice.answer(self.alice.one(), 200))
        self.bob.take()
        self.alice.send(self.within(self.alice, "INFO", self.moved, self.from_alice))
        self.assertEqual(self.elsewhere.starts(), ["INFO"])

    def test_whoever_answers(self) -> None:
        self.alice.send(self.within(self.alice, "INVITE", self.to_bob, self.from_alice))
        tag = f"to-{self.bob.address}"
        self.bob.send(self.bob.answer(self.bob.one(), 200, to_tag=tag, contact=self.moved))
        self.alice.take()
        for method in ("ACK", "INFO"):
            self.alice.send(self.within(self.alice, method, self.moved, self.from_alice))
            self.assertEqual(self.elsewhere.starts(), [method])
        self.refused(
            self.scene_, self.alice, self.within(self.alice, "INFO", self.foreign, self.from_alice, 4)
        )

    def test_not_when_it_is_refused(self) -> None:
        text = self.within(self.bob, "INVITE", self.to_alice, self.from_bob, contact=self.moved)
        self.bob.send(text.replace(f"tag=from-{self.bob.address}", f"tag=to-{self.bob.address}"))
        self.alice.send(self.alice.answer(self.alice.one(), 488))
        self.bob.take()
        self.alice.take()
        self.refused(self.scene_, self.alice, self.within(self.alice, "INFO", self.moved, self.from_alice))

    def test_a_call_that_is_over_is_forgotten(self) -> None:
        ends = self.scene_.proxy.dialogs.ends
        self.alice.send(self.within(self.alice, "INVITE", self.to_bob, self.from_alice))
        self.bob.send(self.bob.answer(self.bob.one(), 200, contact=self.moved))
        self.assertEqual(len(ends), 3)
        self.alice.take()
        self.alice.send(self.within(self.alice, "BYE", self.to_bob, self.from_alice, 3))
        self.bob.send(self.bob.answer(self.bob.one(), 200))
        self.assertEqual((self.alice.starts(), len(ends)), (["200 BYE"], 0))

    def test_after_a_restart_the_others_go_on_and_who_moved_is_asked(self) -> None:
        """What is in the values holds; what was remembered does not, but credentials do."""
        text = self.within(self.bob, "INVITE", self.to_alice, self.from_bob, contact=self.moved)
        self.bob.send(text.replace(f"tag=from-{self.bob.address}", f"tag=to-{self.bob.address}"))
        self.alice.send(self.alice.answer(self.alice.one(), 200))
        self.bob.take()
        self.scene_.proxy.dialogs.ends = Ends()
        self.alice.send(self.within(self.alice, "INFO", self.to_bob, self.from_alice))
        self.assertEqual(self.bob.starts(), ["INFO"])
        self.refused(self.scene_, self.alice, self.within(self.alice, "BYE", self.moved, self.from_alice, 4))


class EndsTests(RelayBase):
    def test_it_is_bounded(self) -> None:
        ends = Ends(10)
        taker = Taker("x", "<sip:a@b>", "a@b:5060", "udp/1/2")
        for number in range(30):
            ends.moved(f"call {number}", "a", "a@b:5060")
            ends.took(f"call {number}", "a", taker)
        self.assertEqual(len(ends), 15)
        self.assertFalse(ends.is_at("call 0", "a", "a@b:5060"))
        self.assertTrue(ends.is_at("call 29", "a", "a@b:5060"))
        self.assertEqual((ends.taker("call 0", "a"), ends.taker("call 29", "a")), (None, taker))

    def test_what_is_used_is_kept(self) -> None:
        ends = Ends(2)
        for call in ("one", "two", "one", "three"):
            ends.moved(call, "a", "a@b:5060")
        self.assertEqual(
            [ends.is_at(call, "a", "a@b:5060") for call in ("one", "two", "three")], [True, False, True]
        )


class AckTests(RelayBase):
    """The ACK of a caller that does not follow our Record-Route, as simple clients do not."""

    def test_to_the_contact_or_to_the_address_of_record(self) -> None:
        for settings in (None, ProxySettings(record_route=False)):
            for uri in (BOB, f"sip:bob@{PROXY}", None):
                scene = self.place(settings)
                _, accepted = self.call(scene, self.alice, self.bob)
                contact = accepted.contacts[0].uri_text
                self.alice.send(self.within(self.alice, "ACK", uri or contact, [], 1))
                ack = self.bob.one()
                self.assertEqual((ack.method, ack.uri_text, len(ack.vias)), ("ACK", contact, 2))

    def test_to_the_phone_that_took_the_call(self) -> None:
        scene = self.place()
        other = scene.phone("bob", device="other", script=ring)
        self.alice.send(self.alice.request(call_id="call"))
        self.ends = (self.alice, self.bob)
        self.bob.send(self.bob.answer(self.bob.one(), 200))
        self.alice.send(self.within(self.alice, "ACK", BOB, [], 1))
        self.assertEqual((self.bob.starts(), other.received("ACK")[1:]), (["ACK"], []))

    def test_of_nobody_else(self) -> None:
        scene = self.place()
        self.call(scene, self.alice, self.bob)
        for uri, tag, call in (
            (self.foreign, f"to-{self.bob.address}", "call"),
            (BOB, "x", "call"),
            (BOB, "", "call"),
            (BOB, f"to-{self.bob.address}", "another"),
        ):
            self.alice.send(self.alice.request("ACK", uri, to_tag=tag, call_id=call))
        self.victim.send(self.victim.request("ACK", BOB, to_tag=f"to-{self.bob.address}", call_id="call"))
        self.assertEqual((self.bob.take(), self.victim.take()), ([], []))

    def test_through_a_spiral(self) -> None:
        scene = self.place()
        carol = scene.peer("carol")
        scene.places.bind("carol", f"sip:carol@{carol.address}")
        scene.places.bind("bob", "sip:carol@example.test")
        self.call(scene, self.alice, carol)
        self.alice.send(self.within(self.alice, "ACK", BOB, [], 1))
        self.assertEqual(carol.starts(), ["ACK"])


class SpiralTests(RelayBase):
    """A contact that is another of our users: what we send to ourselves is ours."""

    def spiral(self, contact: str, listen: tuple[str, ...] = ("UDP", "TCP")) -> None:
        scene = self.scene(ProxySettings(authenticate=True), listen=listen)
        alice = scene.phone("alice", transport=listen[0])
        scene.phone("carol", transport=listen[0])
        scene.places.bind("bob", contact)
        call = alice.call(BOB)
        scene.result(call.established())
        self.assertEqual(len(alice.received(407)), 1)
        scene.result(call.bye())
        self.assertClean(scene)

    def test_it_is_asked_once_who_calls(self) -> None:
        for contact in (
            "sip:carol@example.test",
            f"sip:carol@{PROXY}",
            "sip:carol@example.test;transport=tcp",
        ):
            self.spiral(contact)
        self.spiral("sip:carol@example.test", ("TCP",))

    def test_nobody_else_is_us(self) -> None:
        """A Via of ours alone is no pass."""
        scene = self.place(ProxySettings(authenticate=True))
        phone = scene.phone("carol")
        call = phone.call(BOB)
        scene.advance(0.01)
        via = self.bob.one().via
        text = self.alice.request(branch=str(via.branch))
        self.refused(scene, self.alice, text)
        call.cancel()
