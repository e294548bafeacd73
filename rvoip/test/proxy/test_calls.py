"""Calls between phones through the proxy, from INVITE to the end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

from rvoip.protocols.dialog.interfaces import IClientUser, ITransactionUser
from rvoip.protocols.sip.build import request, respond
from rvoip.protocols.sip.message import Request
from rvoip.proxy.branch import Branch
from rvoip.proxy.events import Answered, HungUp
from rvoip.proxy.interfaces import IAuthenticator, IDomains, ILocation
from rvoip.proxy.proxy import Proxy, ProxySettings
from rvoip.proxy.targets import Destination, Targets
from rvoip.test.proxy.scene import PROXY, Scene, sip
from rvoip.testing.phone import Call, Phone, answer_after, busy, reject_with, ring, silent

BOB = "sip:bob@example.test"


class Base(SynchronousTestCase):
    def scene(self, *args: Any, **more: Any) -> Scene:
        self.made = Scene(*args, **more)
        return self.made

    def assertClean(self, scene: Scene, after: float = 45.0) -> None:
        """No phone complains, and after 64*T1 nothing is left."""
        self.assertEqual(scene.problems(), [])
        scene.advance(after)
        self.assertEqual(scene.leftovers(), [])
        self.assertEqual(scene.problems(), [])

    def assertEnds(self, scene: Scene, call: Call, why: str, within: float = 100.0) -> None:
        self.assertEqual(scene.result(call.ended(within), within), why)


class CallTests(Base):
    def test_a_call_and_its_end(self) -> None:
        """RFC 3261 section 4: everything passes the proxy, which recorded its route."""
        for transport in ("UDP", "TCP"):
            for hanging_up in ("alice", "bob"):
                scene = self.scene()
                alice, bob = (
                    scene.phone("alice", transport=transport),
                    scene.phone("bob", transport=transport),
                )
                call = alice.call(BOB)
                scene.result(call.established())
                incoming = scene.result(bob.incoming())
                scene.result(incoming.established())
                ends = {"alice": call, "bob": incoming}
                self.assertEqual(scene.result(ends[hanging_up].bye()).status, 200)
                self.assertEqual((call.state, incoming.state), ("over", "over"))
                for phone in (alice, bob):
                    self.assertEqual({one.peer[0] for one in phone.messages}, {PROXY})
                self.assertEqual(len(bob.received("INVITE")), 1)
                self.assertEqual(len(bob.received("ACK")), 1)
                self.assertClean(scene)

    def test_between_transports(self) -> None:
        for here, there in (("UDP", "TCP"), ("TCP", "UDP")):
            scene = self.scene()
            alice, bob = scene.phone("alice", transport=here), scene.phone("bob", transport=there)
            call = alice.call(BOB)
            scene.result(call.established())
            incoming = scene.result(bob.incoming())
            self.assertEqual(scene.result(call.reinvite(alice.sdp("sendonly"))).status, 200)
            self.assertEqual(scene.result(incoming.reinvite(bob.sdp())).status, 200)
            self.assertEqual(scene.result(incoming.request("INFO")).status, 200)
            self.assertEqual(scene.result(incoming.bye()).status, 200)
            self.assertClean(scene)

    def test_without_record_route_the_proxy_is_out_of_the_way(self) -> None:
        scene = self.scene(ProxySettings(record_route=False))
        alice, bob = scene.phone("alice"), scene.phone("bob")
        call = alice.call(BOB)
        scene.result(call.established())
        self.assertEqual(call.routes, [])
        scene.result(call.bye())
        (bye,) = [one for one in bob.messages if not one.sent and getattr(one.message, "method", "") == "BYE"]
        self.assertEqual(bye.peer[0], "10.0.1.1")
        self.assertClean(scene)

    def test_messages_and_options_between_users(self) -> None:
        scene = self.scene()
        alice, bob = scene.phone("alice"), scene.phone("bob")
        self.assertEqual(
            scene.result(alice.request("MESSAGE", BOB, body=b"hi", content_type="text/plain")).status, 200
        )
        self.assertEqual(scene.result(alice.options(BOB)).status, 200)
        (message,) = bob.received("MESSAGE")
        self.assertFalse(message.has("record-route"))
        self.assertEqual(message.body, b"hi")
        self.assertClean(scene)

    def test_early_media_and_several_ringing_responses_go_back(self) -> None:
        def talkative(call: Call) -> None:
            call.ring(183, call.phone.sdp())
            call.ring(180)
            call.ring(180)
            call.answer()

        scene = self.scene()
        alice = scene.phone("alice")
        scene.phone("bob", script=talkative)
        call = alice.call(BOB)
        scene.result(call.established())
        self.assertEqual([one.status for one in call.responses], [183, 180, 180, 200])
        self.assertTrue(call.responses[0].body)
        scene.result(call.bye())
        self.assertClean(scene)


class NoCallTests(Base):
    def test_busy(self) -> None:
        scene = self.scene()
        alice, bob = scene.phone("alice"), scene.phone("bob", script=busy)
        self.assertEnds(scene, alice.call(BOB), "486 Busy Here")
        self.assertEqual(len(bob.received("ACK")), 1)
        self.assertClean(scene)

    def test_302_is_passed_back(self) -> None:
        """Unless it is told to, the proxy does not recurse: the caller decides."""

        def moved(call: Call) -> None:
            call.reject(302, [("Contact", "<sip:bob@10.9.9.9>;q=0.5, <tel:+1>")])

        scene = self.scene()
        alice = scene.phone("alice")
        scene.phone("bob", script=moved)
        call = alice.call(BOB)
        self.assertEnds(scene, call, "302 Moved Temporarily")
        self.assertEqual(call.responses[-1].get_all("contact"), ["<sip:bob@10.9.9.9>;q=0.5, <tel:+1>"])
        self.assertClean(scene)

    def test_a_503_of_the_callee_is_a_500(self) -> None:
        """Section 16.7 step 6: it is not the proxy that is overloaded."""
        scene = self.scene()
        alice = scene.phone("alice")
        scene.phone("bob", script=reject_with(503))
        self.assertEnds(scene, alice.call(BOB), "500 Server Internal Error")
        self.assertClean(scene)

    def test_a_dead_phone_is_408(self) -> None:
        scene = self.scene()
        alice, bob = scene.phone("alice"), scene.phone("bob", script=silent)
        call = alice.call(BOB)
        scene.advance(1)
        self.assertEqual([one.status for one in call.responses], [100])
        self.assertEnds(scene, call, "408 Request Timeout")
        self.assertEqual(len(bob.received("INVITE")), 7)
        self.assertClean(scene)

    def test_a_dead_phone_answers_no_message_either(self) -> None:
        """RFC 4320: the proxy sends no 408; the caller's own timer tells it."""
        scene = self.scene()
        alice = scene.phone("alice")
        scene.places.bind("bob", "sip:bob@10.9.9.9")
        failed: list[str] = []
        Deferred.fromCoroutine(alice.request("MESSAGE", BOB)).addErrback(
            lambda failure: failed.append(failure.getErrorMessage())
        )
        scene.advance(40)
        self.assertEqual(len(failed), 1)
        self.assertEqual([one.status for one in alice.received(408)], [])  # type: ignore[union-attr]
        self.assertEqual(len({one.to_bytes() for one in alice.received(100)}), 1)
        self.assertClean(scene)

    def test_a_phone_that_rings_on_is_given_up_by_timer_c(self) -> None:
        scene = self.scene()
        alice, bob = scene.phone("alice"), scene.phone("bob", script=ring)
        call = alice.call(BOB)
        scene.advance(180)
        self.assertEqual(call.state, "ringing")
        self.assertEqual(bob.received("CANCEL"), [])
        scene.advance(ProxySettings().timer_c - 180 + 0.1)
        self.assertEqual(len(bob.received("CANCEL")), 1)
        self.assertEqual(call.why, "408 Request Timeout")
        self.assertClean(scene)

    def test_timer_c_starts_anew_with_each_provisional_response(self) -> None:
        scene = self.scene()
        alice, bob = scene.phone("alice"), scene.phone("bob", script=ring)
        call = alice.call(BOB)
        scene.advance(150)
        bob.calls[0].ring()
        scene.advance(150)
        self.assertEqual(call.state, "ringing")
        scene.advance(36)
        self.assertEqual(call.state, "over")
        self.assertClean(scene)

    def test_a_phone_that_rings_on_and_knows_no_cancel_is_408(self) -> None:
        scene = self.scene()
        alice, bob = scene.phone("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        call = alice.call(BOB)
        scene.advance(0.001)
        bob.send(bob.answer(bob.one(), 180))
        scene.advance(ProxySettings().timer_c + 0.1)
        self.assertEqual(call.why, "408 Request Timeout")
        scene.advance(40)
        self.assertClean(scene)

    def test_unknown_and_absent_users(self) -> None:
        scene = self.scene()
        alice = scene.phone("alice")
        scene.places.users.add("carol@example.test")
        for delay in (None, 0.05):
            scene.places.delay = delay
            self.assertEnds(scene, alice.call("sip:nobody@example.test"), "404 Not Found")
            self.assertEnds(scene, alice.call("sip:carol@example.test"), "480 Temporarily Unavailable")
        self.assertClean(scene)

    def test_strangers_are_not_told_who_has_an_account(self) -> None:
        """The one answer for both; whoever calls from where a user is registered hears which."""
        for how, statuses, authenticate in (
            ({"register": False}, (480, 480), None),
            ({"register": False, "transport": "TCP"}, (480, 480), None),
            ({}, (404, 480), None),
            ({"transport": "TCP"}, (404, 480), None),
            ({}, (404, 480), False),
            ({"register": False}, (480, 480), False),
        ):
            scene = self.scene(ProxySettings(authenticate=authenticate))
            caller = scene.phone("alice", **how)
            stranger = scene.phone("alice", device="stranger", register=False)
            scene.places.users.add("carol@example.test")
            for delay in (None, 0.05):
                scene.places.delay = delay
                for phone, expected in ((caller, statuses), (stranger, (480, 480))):
                    for user, status in zip(("nobody", "carol"), expected):
                        call = phone.call(f"sip:{user}@example.test")
                        scene.advance(1)
                        self.assertEqual([one.status for one in call.responses], [status], (how, user))
            self.assertClean(scene)

    def test_whoever_is_known_is_told_which_users_there_are(self) -> None:
        for settings, trusted in ((ProxySettings(authenticate=True), False), (None, True)):
            scene = self.scene(settings, trusted=lambda flow: trusted)  # noqa: B023
            alice = scene.phone("alice")
            scene.places.users.add("carol@example.test")
            for delay in (None, 0.05):
                scene.places.delay = delay
                self.assertEnds(scene, alice.call("sip:nobody@example.test"), "404 Not Found")
                self.assertEnds(scene, alice.call("sip:carol@example.test"), "480 Temporarily Unavailable")
            self.assertClean(scene)


class CancelTests(Base):
    def test_while_it_rings(self) -> None:
        scene = self.scene()
        alice, bob = scene.phone("alice"), scene.phone("bob", script=ring)
        call = alice.call(BOB)
        scene.result(call.ringing())
        call.cancel()
        self.assertEnds(scene, call, "487 Request Terminated")
        self.assertEqual(bob.calls[0].why, "cancelled")
        self.assertEqual([one.status for one in alice.received(200)], [200, 200])  # type: ignore[union-attr]
        self.assertClean(scene)

    def test_the_reason_is_passed_on(self) -> None:
        """RFC 3326: several, in their order."""
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.phone("bob", script=ring)
        alice.send(alice.request(branch="z9hG4bKx", call_id="c"))
        alice.take()
        reasons = 'Reason: SIP;cause=200;text="Call completed elsewhere"\r\nReason: Q.850;cause=16\r\n'
        alice.send(alice.request("CANCEL", branch="z9hG4bKx", call_id="c", extra=reasons))
        (cancel,) = bob.received("CANCEL")
        self.assertEqual(
            cancel.get_all("reason"), ['SIP;cause=200;text="Call completed elsewhere"', "Q.850;cause=16"]
        )
        self.assertEqual(alice.starts(), ["200 CANCEL", "487 INVITE"])

    def test_a_phone_that_ignores_it(self) -> None:
        """RFC 3261 section 9.1: after 64*T1 the call counts as cancelled, and the caller hears 487."""
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        alice.send(alice.request(branch="z9hG4bKx", call_id="c"))
        bob.send(bob.answer(bob.one(), 180))
        alice.send(alice.request("CANCEL", branch="z9hG4bKx", call_id="c"))
        scene.advance(31)
        self.assertEqual(alice.starts(), ["180 INVITE", "200 CANCEL"])
        scene.advance(1.1)
        answer = alice.take()[0]
        self.assertEqual(answer.status, 487)
        alice.send(alice.request("ACK", branch="z9hG4bKx", call_id="c", to_tag=str(answer.to.tag)))
        self.assertClean(scene)

    def test_a_phone_that_answers_all_the_same(self) -> None:
        scene = self.scene()
        alice, bob = scene.phone("alice"), scene.phone("bob", script=ring)
        call = alice.call(BOB)
        scene.result(call.ringing())
        bob.calls[0].answer()
        call.cancel()
        self.assertEnds(scene, call, "BYE sent")
        self.assertClean(scene)

    def test_while_the_location_is_looked_up(self) -> None:
        scene = self.scene()
        bob = scene.phone("bob")
        scene.places.delay = 5.0
        self.cancel_early(scene)
        self.assertEqual(bob.received("INVITE"), [])
        self.assertClean(scene)

    def test_while_dns_is_asked(self) -> None:
        scene = self.scene()
        scene.locator.delay = 5.0
        scene.places.bind("bob", "sip:bob@phone.test")
        self.cancel_early(scene)

    def test_while_a_subclass_decides(self) -> None:
        decided: Deferred[None] = Deferred()

        class Thoughtful(Proxy):
            async def route(self, request: Request) -> Targets:
                await decided
                return Targets.parallel([Destination(sip("sip:bob@10.9.9.9"))])

        scene = self.scene(proxy_class=Thoughtful)
        self.cancel_early(scene)
        decided.callback(None)
        self.assertEqual(scene.proxy.forwarded, 0)

    def test_while_it_is_asked_who_calls(self) -> None:
        scene = self.scene(ProxySettings(authenticate=True))
        scene.phone("bob", script=ring)
        answered: Deferred[str | None] = Deferred()
        scene.proxy.authenticator = lambda: None
        scene.proxy.authenticator.authenticate = lambda transaction: answered
        self.cancel_early(scene)
        answered.callback("alice@example.test")
        self.assertEqual(scene.phones["bob"].received("INVITE"), [])
        self.assertClean(scene)

    def cancel_early(self, scene: Scene) -> None:
        """The caller gives up before it is known where the call goes: 487 at once, and nothing is sent."""
        alice = scene.peer("alice", "TCP")
        alice.send(alice.request(branch="z9hG4bKx", call_id="c"))
        self.assertEqual(alice.starts(), [])
        alice.send(alice.request("CANCEL", branch="z9hG4bKx", call_id="c"))
        sent = alice.take()
        self.assertEqual([(one.status, one.cseq.method) for one in sent], [(200, "CANCEL"), (487, "INVITE")])
        alice.send(alice.request("ACK", branch="z9hG4bKx", call_id="c", to_tag=str(sent[1].to.tag)))
        scene.advance(45)
        self.assertEqual(alice.starts(), [])
        self.assertEqual(scene.proxy.forwarded, 0)
        self.assertEqual(scene.leftovers(), [])


class InterfaceTests(Base):
    def test_interfaces(self) -> None:
        scene = self.scene()
        self.assertTrue(verifyObject(ITransactionUser, scene.proxy))
        self.assertTrue(verifyClass(IClientUser, Branch))
        self.assertTrue(verifyObject(IDomains, scene.domains))
        self.assertTrue(verifyObject(ILocation, scene.places))
        self.assertTrue(verifyObject(IAuthenticator, scene.authenticator))

    def test_settings(self) -> None:
        settings = ProxySettings()
        self.assertEqual(
            (settings.record_route, settings.authenticate, settings.fork, settings.large),
            (True, None, "parallel", 1300),
        )
        self.assertEqual(
            (settings.timer_c, settings.ring, settings.late, settings.recurse), (185, 0, True, False)
        )


class EventTests(Base):
    def test_a_refused_call_is_told(self) -> None:
        told: list[Any] = []

        class Bus:
            def wants(self, kind: type) -> bool:
                return True

            def publish(self, event: object) -> None:
                told.append(event)

        scene = self.scene()
        scene.proxy.events = Bus()
        scene.phone("alice").call("sip:nobody@example.test")
        scene.advance(1)
        self.assertEqual([(one.status, one.callee) for one in told], [(404, "sip:nobody@example.test")])

    def test_each_call_is_told_once(self) -> None:
        told: list[Any] = []

        class Bus:
            def wants(self, kind: type) -> bool:
                return True

            def publish(self, event: object) -> None:
                told.append(event)

        def answer_twice(call: Call) -> None:
            call.ring()
            call.answer()
            server = call._server
            assert server is not None and server.last is not None
            server.respond(server.last)

        scene = self.scene()
        scene.proxy.events = Bus()
        alice: Phone = scene.phone("alice")
        scene.phone("bob", script=answer_twice)
        call = alice.call(BOB)
        scene.result(call.established())
        scene.result(call.reinvite(alice.sdp()))
        scene.result(call.bye())
        scene.phone("carol", script=answer_after(3))
        other = alice.call("sip:carol@example.test")
        scene.result(other.established())
        self.assertEqual([type(one) for one in told], [Answered, HungUp, Answered])
        first, hung_up, second = told
        self.assertEqual((first.status, first.caller, first.callee), (200, "sip:alice@example.test", BOB))
        self.assertEqual((hung_up.call_id, hung_up.status), (call.call_id, 200))
        self.assertEqual(round(second.after, 1), 3.0)

    def test_a_stray_bye(self) -> None:
        """What refuses a BYE ends no call; an end that knows of none has none (RFC 3261 section 15.1.1)."""
        told: list[HungUp] = []

        class Bus:
            def wants(self, kind: type) -> bool:
                return True

            def publish(self, event: object) -> None:
                assert isinstance(event, HungUp)
                told.append(event)

        scene = self.scene()
        scene.proxy.events = Bus()
        bye = request(
            "BYE",
            BOB,
            from_="<sip:mallory@example.test>;tag=1",
            to=f"<{BOB}>;tag=2",
            call_id="c",
            cseq=2,
            headers=[("Via", "SIP/2.0/UDP 192.0.2.66;branch=z9hG4bKa")],
        )
        for status in (401, 403, 404, 407, 480, 483, 503, 604):
            scene.proxy.tell(bye, respond(bye, status), 0.0)
        self.assertEqual(told, [])
        for status in (200, 408, 481):
            scene.proxy.tell(bye, respond(bye, status), 0.0)
        self.assertEqual([event.status for event in told], [200, 408, 481])
