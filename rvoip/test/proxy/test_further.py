"""Targets that come later: gateways that stand in for each other, redirections, phones that register late."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyClass, verifyObject

from rvoip.common.events import EventBus
from rvoip.protocols.sip.message import Request, Response
from rvoip.proxy.events import Answered
from rvoip.proxy.interfaces import IRouteContext, IRouter
from rvoip.proxy.proxy import ProxySettings
from rvoip.proxy.route_context import RouteContext
from rvoip.proxy.targets import Destination, Refused, Targets
from rvoip.test.proxy.scene import Peer, Scene, sip
from rvoip.test.proxy.test_calls import BOB, Base
from rvoip.testing.phone import Call, answer_after, busy, reject_with, ring, silent


@implementer(IRouter)
class Says:
    """A router that says what it is told to; `asked` has the Request-URIs and what was known."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str | None]] = []

    def route(self, request: Request, context: Any) -> Any:
        self.asked.append((request.uri_text, context.user))
        return self.answer(request, context) if callable(self.answer) else self.answer


class GatewayTests(Base):
    """Groups, what starts the next one, and what is told of each."""

    def setUp(self) -> None:
        self.place = self.scene()
        self.alice, self.one, self.two = (self.place.peer(name) for name in ("alice", "one", "two"))
        self.told: list[tuple[str, int]] = []

    def gateway(self, peer: Peer, **more: Any) -> Destination:
        return Destination(
            sip("sip:+49@gw.test"),
            next_hop=sip(f"sip:{peer.address}"),
            done=lambda status: self.told.append((peer.address[-1], status)),
            **more,
        )

    def route(self, targets: Targets) -> None:
        self.place.proxy.routers = (Says(targets),)

    def test_the_next_hop_is_not_the_request_uri(self) -> None:
        self.route(Targets([[self.gateway(self.one, headers=(("X-Trunk", "a"), ("Subject", "new")))]]))
        self.alice.send(self.alice.request(extra="Subject: old\r\n"))
        invite = self.one.one()
        self.assertEqual((invite.uri_text, invite.has("route")), ("sip:+49@gw.test", False))
        self.assertEqual((invite.get("x-trunk"), invite.get_all("subject")), ("a", ["new"]))
        self.one.send(self.one.answer(invite, 200))
        self.assertEqual((self.alice.starts(), self.told), (["200 INVITE"], [("2", 200)]))

    def test_a_gateway_that_refuses_the_connection(self) -> None:
        """It could not be reached: 503, the next one is tried."""
        refusing = Destination(
            sip("sip:+49@gw.test"),
            next_hop=sip(f"sip:{self.one.address}:9;transport=tcp"),
            done=lambda status: self.told.append(("refusing", status)),
        )
        self.route(Targets([[refusing], [self.gateway(self.two)]], go_on=frozenset((408, 500, 503))))
        self.alice.send(self.alice.request())
        self.place.advance(0.1)
        self.two.send(self.two.answer(self.two.one(), 200))
        self.assertEqual(self.alice.starts()[-1], "200 INVITE")
        self.assertEqual(self.told, [("refusing", 503), ("3", 200)])

    def test_what_goes_on_and_what_does_not(self) -> None:
        for status, goes_on in ((503, True), (500, True), (486, False), (404, False), (603, False)):
            self.route(
                Targets(
                    [[self.gateway(self.one)], [self.gateway(self.two)]], go_on=frozenset((408, 500, 503))
                )
            )
            self.told.clear()
            self.alice.send(self.alice.request())
            self.one.send(self.one.answer(self.one.one(), status))
            self.one.take()
            if goes_on:
                self.two.send(self.two.answer(self.two.one(), 486))
                self.two.take()
                self.assertEqual(self.told, [("2", status), ("3", 486)])
                self.assertEqual(self.alice.starts(), ["486 INVITE"])
            else:
                self.assertEqual((self.two.take(), self.told), ([], [("2", status)]))
                self.assertEqual(self.alice.starts(), [f"{status} INVITE"])

    def test_a_silent_gateway(self) -> None:
        """`patience`: a first answer; `timeout`: a final one. A later 2xx is still a call."""
        self.route(Targets([[self.gateway(self.one, patience=2.0)], [self.gateway(self.two, timeout=5.0)]]))
        self.alice.send(self.alice.request())
        invite = self.one.take()[0]
        self.place.advance(1.9)
        self.assertEqual(self.two.take(), [])
        self.place.advance(0.2)
        second = self.two.one()
        self.two.send(self.two.answer(second, 180))
        self.assertEqual(self.alice.starts()[-1], "180 INVITE")
        self.place.advance(5.1)
        cancel = self.two.one()
        self.assertEqual(
            (cancel.method, cancel.get("reason")), ("CANCEL", 'SIP;cause=408;text="Request Timeout"')
        )
        self.assertEqual(self.told, [("2", 408), ("3", 480)])
        self.assertEqual(self.alice.starts()[-1], "408 INVITE")
        self.one.take()
        self.one.send(self.one.answer(invite, 180))  # it lives, and is cancelled
        self.assertEqual(self.one.starts(), ["CANCEL"])

    def test_a_gateway_that_answers_after_all(self) -> None:
        self.route(Targets([[self.gateway(self.one, timeout=2.0)], [self.gateway(self.two)]]))
        self.alice.send(self.alice.request())
        first = self.one.one()
        self.one.send(self.one.answer(first, 180))
        self.place.advance(2.1)
        self.assertEqual((self.one.starts(), self.two.starts()), (["CANCEL"], ["INVITE"]))
        self.one.send(self.one.answer(first, 200))
        self.assertEqual(self.alice.starts(), ["180 INVITE", "200 INVITE"])
        self.assertEqual(self.told, [("2", 480), ("3", 487)])

    def test_cancelled(self) -> None:
        self.route(Targets([[self.gateway(self.one)], [self.gateway(self.two)]]))
        self.alice.send(self.alice.request(branch="z9hG4bKx", call_id="c"))
        invite = self.one.one()
        self.one.send(self.one.answer(invite, 180))
        self.alice.send(self.alice.request("CANCEL", branch="z9hG4bKx", call_id="c"))
        self.one.send(self.one.answer(invite, 487))
        self.assertEqual((self.told, self.two.take()), ([("2", 487)], []))
        self.assertEqual(self.alice.starts(), ["180 INVITE", "200 CANCEL", "487 INVITE"])

    def test_what_comes_after_failure(self) -> None:
        """`on_failure` is asked with the best status, at once or later, as often as it gives something."""
        seen: list[int] = []

        def last(status: int, response: Response | None) -> Targets | None:
            seen.append(status)
            return None

        async def failed(status: int, response: Response | None) -> Targets | None:
            assert response is not None
            seen.append(response.status)
            return Targets([[self.gateway(self.two)]], on_failure=last)

        self.route(Targets([[self.gateway(self.one)]], on_failure=failed))
        self.alice.send(self.alice.request())
        self.one.send(self.one.answer(self.one.one(), 404))
        self.two.send(self.two.answer(self.two.one(), 486))
        self.assertEqual((seen, self.alice.starts()), ([404, 404], ["404 INVITE"]))
        self.alice.send(self.alice.request())
        self.one.send(self.one.answer(self.one.take()[-1], 500))
        self.two.send(self.two.answer(self.two.take()[-1], 200))
        self.assertEqual(self.alice.starts(), ["200 INVITE"])

    def test_a_failure_that_fails(self) -> None:
        def broken(status: int, response: Response | None) -> Targets | None:
            raise ValueError("no")

        def refuses(status: int, response: Response | None) -> Targets | None:
            raise Refused(503)

        for on_failure in (broken, refuses, lambda status, response: Targets(())):
            self.route(Targets([[self.gateway(self.one)]], on_failure=on_failure))
            self.alice.send(self.alice.request())
            self.one.send(self.one.answer(self.one.take()[-1], 404))
            self.assertEqual(self.alice.starts(), ["404 INVITE"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_members_only(self) -> None:
        """Strangers are asked for credentials, peers are not; the router is not asked again."""
        router = Says(Targets([[self.gateway(self.one)]], members_only=True))
        self.place.proxy.routers = (router,)
        self.alice.send(self.alice.request(uri="sip:+49@example.test"))
        self.assertEqual((self.alice.starts(), self.one.take()), (["407 INVITE"], []))
        phone = self.place.phone("carol")
        phone.call("sip:+49@example.test")
        self.place.advance(0.01)
        self.assertFalse(self.one.one().has("proxy-authorization"))
        self.place.proxy.trusted = lambda flow: True
        self.alice.send(self.alice.request(uri="sip:+49@example.test"))
        self.assertEqual((self.alice.starts(), self.one.take()), (["407 INVITE"], []))
        self.place.proxy.members = lambda flow: True
        self.alice.send(self.alice.request(uri="sip:+49@example.test"))
        self.assertEqual((self.alice.starts(), self.one.starts()), ([], ["INVITE"]))

    def test_public_foreign_domains(self) -> None:
        """A route that says so leads strangers to a foreign domain; no other does."""
        for settings, refusal in ((None, 407), (ProxySettings(authenticate=False), 403)):
            place = self.scene(settings)
            alice, one = place.peer("alice"), place.peer("one")
            for public in (True, False):
                place.proxy.routers = (
                    Says(Targets([[Destination(sip(f"sip:x@{one.address}"))]], public=public)),
                )
                alice.send(alice.request(uri="sip:x@foreign.test"))
                if public:
                    self.assertEqual((alice.starts(), one.starts()), ([], ["INVITE"]))
                else:
                    self.assertEqual((alice.starts(), one.take()), ([f"{refusal} INVITE"], []))

    def test_a_peer_needs_no_credentials(self) -> None:
        for authenticate in (None, True, False):
            place = self.scene(ProxySettings(authenticate=authenticate))
            alice, one = place.peer("alice"), place.peer("one")
            place.proxy.members = lambda flow: flow.remote[0] == alice.address  # noqa: B023
            alice.send(alice.request(uri=f"sip:x@{one.address}"))
            self.assertEqual((alice.starts(), one.starts()), ([], ["INVITE"]))

    def test_telephone_numbers(self) -> None:
        """A tel: URI is for routers; without one, or when none knows, it is 416."""
        self.alice.send(self.alice.request(uri="tel:+49123", to=BOB))
        self.assertEqual(self.alice.starts(), ["416 INVITE"])
        self.place.proxy.routers = (Says(None),)
        self.alice.send(self.alice.request(uri="tel:+49123", to=BOB))
        self.assertEqual(self.alice.starts(), ["416 INVITE"])
        self.route(Targets([[self.gateway(self.one)]]))
        self.alice.send(self.alice.request(uri="tel:+49123", to=BOB))
        self.assertEqual(self.one.starts(), ["INVITE"])


class RouterTests(Base):
    def test_they_are_asked_in_order(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("carol", f"sip:carol@{bob.address}")

        async def later(request: Request, context: Any) -> Targets | None:
            return None

        first, second = Says(None), Says(later)
        third = Says(lambda request, context: context.default(sip("sip:carol@example.test")))
        scene.proxy.routers = (first, second, third)
        alice.send(alice.request())
        self.assertEqual(bob.one().uri_text, f"sip:carol@{bob.address}")
        self.assertEqual([one.asked for one in (first, second, third)], [[(BOB, None)]] * 3)
        scene.proxy.routers = (first,)
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        alice.send(alice.request())
        self.assertEqual(bob.one().uri_text, f"sip:bob@{bob.address}")

    def test_interfaces(self) -> None:
        verifyObject(IRouter, Says(None))
        verifyClass(IRouteContext, RouteContext)

    def test_one_that_fails_is_500(self) -> None:
        scene = self.scene()
        alice = scene.peer("alice")
        scene.proxy.routers = (Says(lambda request, context: 1 / 0),)
        alice.send(alice.request())
        self.assertEqual(alice.starts(), ["500 INVITE"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertClean(scene)

    def test_one_that_never_answers_is_504(self) -> None:
        scene = self.scene()
        alice = scene.peer("alice")
        scene.proxy.routers = (Says(lambda request, context: Deferred()),)
        alice.send(alice.request())
        scene.advance(31)
        self.assertEqual(alice.starts(), ["100 INVITE"])
        scene.advance(2)
        self.assertEqual(alice.starts()[:1], ["504 INVITE"])
        alice.send(alice.request("MESSAGE"))
        scene.advance(40)
        self.assertClean(scene)

    def test_cancelled_while_it_thinks(self) -> None:
        """Whoever accounts for calls hears of it, once."""
        scene = self.scene()
        alice = scene.peer("alice")
        told: list[int] = []
        scene.proxy.events = events = EventBus(scene.reactor)
        events.subscribe(Answered, lambda event: told.append(event.status))
        decision: Deferred[Any] = Deferred()
        scene.proxy.routers = (Says(lambda request, context: decision),)
        alice.send(alice.request(branch="z9hG4bKa", call_id="a"))
        alice.send(alice.request("CANCEL", branch="z9hG4bKa", call_id="a", contact=""))
        self.assertEqual(alice.starts()[:2], ["200 CANCEL", "487 INVITE"])
        decision.errback(Refused(603))
        scene.advance(100)
        self.assertEqual(told, [487])
        self.assertClean(scene)

    def test_one_that_never_says_what_comes_next(self) -> None:
        """All have failed, and it is asked for more: the caller hears how they failed."""
        scene = self.scene()
        alice, one = scene.peer("alice"), scene.peer("one")
        targets = Targets(
            [[Destination(sip(f"sip:bob@{one.address}"))]], on_failure=lambda status, response: Deferred()
        )
        scene.proxy.routers = (Says(targets),)
        alice.send(alice.request())
        one.send(one.answer(one.one(), 486))
        scene.advance(31)
        self.assertEqual(alice.starts(), ["100 INVITE"])
        scene.advance(2)
        self.assertEqual(alice.starts()[:1], ["486 INVITE"])
        self.assertClean(scene)


class ReasonTests(Base):
    """What the CANCELs of those say that lose (RFC 3326)."""

    def cancelled(self, status: int) -> str | None:
        scene = self.scene()
        alice, one, two = (scene.peer(name) for name in ("alice", "one", "two"))
        scene.places.bind("bob", f"sip:bob@{one.address}", f"sip:bob@{two.address}")
        alice.send(alice.request())
        two.send(two.answer(two.one(), 180))
        one.send(one.answer(one.one(), status))
        cancel = two.one()
        self.assertEqual(cancel.method, "CANCEL")
        value: str | None = cancel.get("reason")
        return value

    def test_reasons(self) -> None:
        self.assertEqual(self.cancelled(200), 'SIP;cause=200;text="Call completed elsewhere"')
        self.assertEqual(self.cancelled(603), 'SIP;cause=603;text="Answered"')


class RingTests(Base):
    def test_the_next_rings_when_the_first_has_rung_long_enough(self) -> None:
        scene = self.scene(ProxySettings(fork="sequential", ring=10))
        alice = scene.phone("alice")
        for device, q in (("desk", 900), ("mobile", 500)):
            scene.phone("bob", device=device, script=ring)
            scene.places.bindings["bob@example.test"][-1].q = q
        call = alice.call(BOB)
        scene.advance(9.9)
        self.assertEqual(scene.phones["mobile"].received("INVITE"), [])
        scene.advance(0.2)
        self.assertEqual(scene.phones["desk"].calls[0].why, "cancelled")
        self.assertEqual(len(scene.phones["mobile"].received("INVITE")), 1)
        scene.advance(100)
        self.assertEqual(call.state, "ringing")
        scene.phones["mobile"].calls[0].answer()
        scene.result(call.established())
        scene.result(call.bye())
        self.assertClean(scene)


class RedirectTests(Base):
    """3xx of users' phones, followed here (RFC 3261 section 16.7 step 4)."""

    def moved(self, *contacts: str, status: int = 302) -> Any:
        def script(call: Call) -> None:
            call.reject(status, [("Contact", ", ".join(contacts))])

        return script

    def test_to_another_user(self) -> None:
        for fork in ("parallel", "sequential"):
            scene = self.scene(ProxySettings(recurse=True, fork=fork))
            alice = scene.phone("alice")
            scene.phone("bob", script=self.moved("<sip:carol@example.test>"))
            carol = scene.phone("carol")
            call = alice.call(BOB)
            scene.result(call.established())
            self.assertEqual([one.status for one in call.responses if one.status >= 300], [])
            invite: Any = carol.received("INVITE")[0]
            self.assertEqual(
                invite.get("diversion"), f"<{BOB}>;reason=deflection;counter=1;screen=no;privacy=off"
            )
            self.assertEqual(
                invite.get_all("history-info"),
                [
                    f"<{BOB}?Reason=SIP%3Bcause%3D480>;index=1",
                    "<sip:carol@example.test;cause=480>;index=1.2;mp=1",
                    f"<{invite.uri_text}>;index=1.2.1;rc=1.2",
                ],
            )
            scene.result(call.bye())
            self.assertClean(scene)

    def test_elsewhere_in_order_of_q(self) -> None:
        scene = self.scene(ProxySettings(recurse=True, fork="sequential"))
        alice = scene.phone("alice")
        one, two = scene.peer("one"), scene.peer("two")
        scene.phone("bob", script=self.moved(f"<sip:x@{one.address}>;q=0.3", f"<sip:x@{two.address}>;q=0.8"))
        call = alice.call(BOB)
        scene.advance(0.01)
        self.assertEqual(one.take(), [])
        two.send(two.answer(two.one(), 404))
        one.send(one.answer(one.one(), 486))
        self.assertEnds(scene, call, "404 Answered")
        self.assertClean(scene)

    def test_while_others_ring(self) -> None:
        scene = self.scene(ProxySettings(recurse=True))
        alice = scene.phone("alice")
        scene.phone("bob", device="desk", script=ring)
        scene.phone("bob", device="mobile", script=self.moved("<sip:carol@example.test>"))
        scene.phone("carol", script=answer_after(1))
        call = alice.call(BOB)
        scene.result(call.established())
        self.assertEqual(scene.phones["desk"].calls[0].why, "cancelled")
        scene.result(call.bye())
        self.assertClean(scene)

    def test_nowhere_to_follow(self) -> None:
        """Contacts that are no SIP URI, were tried, or lead back: the 302 goes to the caller."""
        for contacts in (("<tel:+1>",), (f"<{BOB}>",), ("<sip:nobody@example.test>",), ("nonsense <",)):
            scene = self.scene(ProxySettings(recurse=True))
            alice = scene.phone("alice")
            scene.phone("bob", script=self.moved(*contacts))
            self.assertEnds(scene, alice.call(BOB), "302 Moved Temporarily")
            self.assertClean(scene)

    def test_round_and_round(self) -> None:
        scene = self.scene(ProxySettings(recurse=True))
        alice = scene.phone("alice")
        scene.phone("bob", script=self.moved("<sip:carol@example.test>"))
        scene.phone("carol", script=self.moved(f"<{BOB}>"))
        self.assertEnds(scene, alice.call(BOB), "302 Moved Temporarily")
        self.assertLessEqual(scene.proxy.forwarded, 12)
        self.assertClean(scene)

    def test_what_gateways_say_is_not_followed(self) -> None:
        scene = self.scene(ProxySettings(recurse=True))
        alice, one, two = (scene.peer(name) for name in ("alice", "one", "two"))
        scene.proxy.routers = (Says(Targets([[Destination(sip(f"sip:+1@{one.address}"))]])),)
        alice.send(alice.request())
        one.send(one.answer(one.one(), 302, contact=f"sip:premium@{two.address}"))
        self.assertEqual((alice.starts(), two.take()), (["302 INVITE"], []))

    def test_cancelled_while_it_is_looked_for(self) -> None:
        scene = self.scene(ProxySettings(recurse=True))
        alice, bob, carol = (scene.peer(name) for name in ("alice", "bob", "carol"))
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        scene.places.bind("carol", f"sip:carol@{carol.address}")
        alice.send(alice.request(branch="z9hG4bKx", call_id="c"))
        scene.places.delay = 1.0
        bob.send(bob.answer(bob.one(), 302, contact="sip:carol@example.test"))
        alice.send(alice.request("CANCEL", branch="z9hG4bKx", call_id="c"))
        self.assertEqual(alice.starts(), ["200 CANCEL", "487 INVITE"])
        scene.advance(2)
        self.assertEqual(carol.take(), [])


class LateTests(Base):
    """Phones that register while their user is called."""

    def registers(self, scene: Scene, **more: Any) -> Any:
        phone = scene.phone("bob", **more)
        scene.proxy.registered("bob@example.test")
        return phone

    def test_it_rings_too(self) -> None:
        for delay in (None, 0.05):
            scene = self.scene()
            alice = scene.phone("alice")
            scene.phone("bob", device="desk", script=ring)
            call = alice.call(BOB)
            scene.advance(5)
            scene.places.delay = delay
            mobile = self.registers(scene, device="mobile", script=answer_after(1))
            scene.result(call.established())
            (invite,) = mobile.received("INVITE")
            self.assertEqual(invite.get("max-breadth"), "5")
            self.assertEqual(scene.phones["desk"].calls[0].why, "cancelled")
            self.assertEqual(len(scene.phones["desk"].received("INVITE")), 1)
            self.assertEqual(len(scene.proxy.ringing), 0)
            scene.result(call.bye())
            self.assertClean(scene)

    def test_who_is_rung_already_is_not_rung_again(self) -> None:
        scene = self.scene()
        alice = scene.phone("alice")
        desk = scene.phone("bob", device="desk", script=ring)
        other = scene.phone("bob", device="other", script=busy)
        alice.call(BOB)
        scene.advance(1)
        for phone in (desk, other):
            scene.result(phone.register())
            scene.proxy.registered("bob@example.test")
        scene.advance(1)
        self.assertEqual([len(phone.received("INVITE")) for phone in (desk, other)], [1, 1])

    def test_one_whose_old_flow_is_dead(self) -> None:
        scene = self.scene()
        alice = scene.phone("alice")
        scene.phone("bob", device="desk", script=ring)
        scene.places.bindings["bob@example.test"].append(
            Destination(sip("sip:bob@10.9.9.9;transport=tcp"), (), "tcp/gone", 1000, True, "<urn:uuid:1>")
        )
        alice.call(BOB)
        scene.advance(1)
        peer = scene.peer("mobile")
        scene.places.bindings["bob@example.test"][-1] = Destination(
            sip(f"sip:bob@{peer.address}"), instance="<urn:uuid:1>"
        )
        scene.proxy.registered("bob@example.test")
        scene.advance(0.01)
        self.assertEqual(peer.starts(), ["INVITE"])

    def test_not_after_the_end_nor_where_it_is_off(self) -> None:
        for settings, ended in ((None, True), (ProxySettings(late=False), False)):
            scene = self.scene(settings)
            alice = scene.phone("alice")
            scene.phone("bob", device="desk", script=reject_with(486) if ended else ring)
            alice.call(BOB)
            scene.advance(1)
            mobile = self.registers(scene, device="mobile", script=ring)
            scene.advance(1)
            self.assertEqual(mobile.received("INVITE"), [])

    def test_max_breadth_is_kept(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        alice.send(alice.request(extra="Max-Breadth: 1\r\n"))
        self.assertEqual(bob.one().get("max-breadth"), "1")
        mobile = self.registers(scene, device="mobile", script=ring)
        self.assertEqual(mobile.received("INVITE"), [])

    def test_a_dead_phone_and_one_that_comes(self) -> None:
        scene = self.scene()
        alice = scene.phone("alice")
        scene.phone("bob", device="dead", script=silent)
        call = alice.call(BOB)
        scene.advance(20)
        self.registers(scene, device="mobile", script=answer_after(1))
        scene.result(call.established())
        scene.result(call.bye())
        self.assertClean(scene)
