"""The calls that are up, as the proxy sees them, and their end from the middle."""

from __future__ import annotations

from itertools import count

from twisted.internet.defer import Deferred

from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI
from rvoip.proxy.calls import LONGEST, Call, Calls
from rvoip.proxy.hang_up import PATIENCE, UNREACHED, hang_up
from rvoip.proxy.proxy import ProxySettings
from rvoip.proxy.targets import Destination
from rvoip.test.proxy.scene import Scene, sip
from rvoip.test.proxy.test_calls import BOB, Base
from rvoip.testing.phone import Call as PhoneCall
from rvoip.testing.phone import Phone


class CallsBase(Base):
    def begin(self, most: int = 100, **more: object) -> Scene:
        scene = self.scene(**more)
        ids = count(1)
        self.ended: list[tuple[str, str]] = []
        self.calls = scene.proxy.calls = Calls(
            most, lambda: f"c{next(ids)}", lambda call, why: self.ended.append((call.id, why))
        )
        return scene

    def talk(self, scene: Scene, caller: Phone, callee: Phone) -> tuple[PhoneCall, PhoneCall]:
        call = caller.call(BOB)
        scene.result(call.established())
        incoming = scene.result(callee.incoming())
        scene.result(incoming.established())
        return call, incoming

    def only(self) -> Call:
        (call,) = self.calls
        return call


class TrackingTests(CallsBase):
    def test_a_call(self) -> None:
        scene = self.begin()
        alice, bob = scene.phone("alice"), scene.phone("bob")
        call, _ = self.talk(scene, alice, bob)
        up = self.only()
        self.assertEqual((up.id, up.call_id, up.uri), ("c1", call.call_id, BOB))
        self.assertIn("sip:alice@example.test", up.caller.value)
        self.assertIn("sip:bob@example.test", up.callee.value)
        self.assertEqual(up.caller.address, f"udp:{alice.wire.host}:{alice.wire.port}")
        self.assertEqual(up.callee.address, f"udp:{bob.wire.host}:{bob.wire.port}")
        self.assertIs(self.calls.find("c1"), up)
        self.assertIsNone(self.calls.find("c2"))
        scene.result(call.bye())
        self.assertEqual((len(self.calls), self.calls.total, self.ended), (0, 1, [("c1", "bye")]))
        self.assertIsNone(self.calls.find("c1"))
        self.assertClean(scene)

    def test_hung_up_by_the_callee(self) -> None:
        scene = self.begin()
        _, incoming = self.talk(scene, scene.phone("alice"), scene.phone("bob"))
        scene.result(incoming.bye())
        self.assertEqual(self.ended, [("c1", "bye")])

    def test_hung_up_on_a_dead_phone(self) -> None:
        """Nobody answers the BYE, and its sender is not told so (RFC 4320); the call is over all the same."""
        scene = self.begin()
        alice, bob = scene.phone("alice"), scene.phone("bob")
        call, _ = self.talk(scene, alice, bob)
        bob.wire.close()
        Deferred.fromCoroutine(call.bye()).addErrback(lambda failure: None)
        scene.advance(20)
        self.assertEqual(self.ended, [])
        scene.advance(20)
        self.assertEqual(self.ended, [("c1", "bye")])
        self.assertEqual([one.status for one in alice.received(408)], [])  # type: ignore[union-attr]

    def test_by_way_of_another_user(self) -> None:
        """The call comes by twice, and is one: from who called to who answered, and one BYE reaches each."""
        scene = self.begin()
        alice, carol = scene.phone("alice"), scene.phone("carol")
        scene.places.bind("bob", "sip:carol@example.test")
        call = alice.call(BOB)
        scene.result(call.established())
        scene.result(carol.calls[0].established())
        up = self.only()
        self.assertEqual(up.uri, BOB)
        self.assertEqual(up.caller.address, f"udp:{alice.wire.host}:{alice.wire.port}")
        self.assertEqual(up.callee.address, f"udp:{carol.wire.host}:{carol.wire.port}")
        self.assertEqual(scene.result(hang_up(scene.proxy, up, "Ended here", scene.reactor)), [200, 200])
        self.assertEqual((call.state, carol.calls[0].state), ("over", "over"))
        self.assertEqual(self.calls.total, 1)

    def test_what_is_no_call(self) -> None:
        """A refusal, and a call that is not record-routed."""
        scene = self.begin()
        alice, callee = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{callee.address}")
        alice.send(alice.request())
        callee.send(callee.answer(callee.one(), 486))
        self.assertEqual(len(self.calls), 0)
        scene = self.begin(settings=ProxySettings(record_route=False))
        self.talk(scene, scene.phone("alice"), scene.phone("bob"))
        self.assertEqual(len(self.calls), 0)

    def test_bounded(self) -> None:
        scene = self.begin(2)
        alice, bob = scene.phone("alice"), scene.phone("bob")
        for _ in range(4):
            call = alice.call(BOB)
            scene.result(call.established())
        self.assertEqual(len(self.calls), 2)
        self.assertEqual(self.ended, [("c1", "forgotten"), ("c2", "forgotten")])
        self.assertEqual([call.id for call in self.calls], ["c3", "c4"])
        self.assertTrue(bob.calls)

    def test_it_expires(self) -> None:
        scene = self.begin()
        self.talk(scene, scene.phone("alice"), scene.phone("bob"))
        now = scene.proxy.layer.now()
        self.calls.expire(now + LONGEST - 10.0)
        self.assertEqual(len(self.calls), 1)
        self.calls.expire(now + LONGEST + 1.0)
        self.assertEqual(self.ended, [("c1", "expired")])

    def test_session_timer(self) -> None:
        """RFC 4028: a session that is not refreshed in time is over."""
        scene = self.begin()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        alice.send(alice.request())
        invite = bob.one()
        bob.send(bob.answer(invite, 200, extra="Session-Expires: 90\r\n"))
        self.assertEqual(len(self.calls), 1)
        now = scene.proxy.layer.now()
        self.calls.expire(now + 140.0)
        self.assertEqual(len(self.calls), 1)
        self.calls.expire(now + 151.0)
        self.assertEqual(len(self.calls), 0)


class HangUpTests(CallsBase):
    def end(self, scene: Scene) -> list[int]:
        call = self.only()
        statuses: list[int] = scene.result(hang_up(scene.proxy, call, "Ended here", scene.reactor))
        self.calls.forget(call)
        return statuses

    def test_both_ends_get_a_bye(self) -> None:
        for transport in ("UDP", "TCP"):
            scene = self.begin()
            alice, bob = scene.phone("alice", transport=transport), scene.phone("bob", transport=transport)
            call, incoming = self.talk(scene, alice, bob)
            self.assertEqual(self.end(scene), [200, 200])
            self.assertEqual((call.state, incoming.state), ("over", "over"))
            (bye,) = bob.received("BYE")
            self.assertEqual(bye.get("reason"), 'SIP;cause=200;text="Ended here"')
            self.assertEqual(self.ended, [("c1", "bye")])
            self.assertClean(scene)

    def test_after_requests_of_both(self) -> None:
        """CSeq numbers go on where the ends are."""
        scene = self.begin()
        call, incoming = self.talk(scene, scene.phone("alice"), scene.phone("bob"))
        for one in (call, incoming, call):
            scene.result(one.reinvite(one.phone.sdp()))
        self.assertEqual(self.end(scene), [200, 200])
        self.assertEqual((call.state, incoming.state), ("over", "over"))
        self.assertClean(scene)

    def test_routes_beyond_us(self) -> None:
        """Other proxies on both sides stay in the way, whether the ends are told of them or not."""
        for hidden in (False, True):
            with self.subTest(hidden=hidden):
                self.check_routes(self.begin(settings=ProxySettings(topology_hiding=hidden)))

    def check_routes(self, scene: Scene) -> None:
        alice, bob, near, far = (scene.peer(name) for name in ("alice", "bob", "near", "far"))
        scene.places.bind("bob", Destination(sip(f"sip:bob@{bob.address}"), (f"<sip:{far.address};lr>",)))
        request = alice.request()
        request = request.replace("\r\nMax-F", f"\r\nRecord-Route: <sip:{near.address};lr>\r\nMax-F", 1)
        near.send(request)
        invite = far.one()
        invite.insert("record-route", f"<sip:{far.address};lr>")
        answer = far.answer(invite, 200, contact=f"sip:bob@{bob.address}")
        far.send(answer)
        near.take()
        done = hang_up(scene.proxy, self.only(), "x", scene.reactor)
        scene.advance(0.001)
        for peer, gone in ((near, "alice"), (far, "bob")):
            bye = peer.one()
            self.assertEqual(bye.method, "BYE")
            self.assertEqual(bye.values("route"), [f"<sip:{peer.address};lr>"])
            self.assertIn(gone, bye.uri_text)
            peer.send(peer.answer(bye, 200))
        self.assertEqual(scene.result(done), [200, 200])

    def test_hidden_ends(self) -> None:
        """The BYE goes to the phone, not to what the other one was shown of it."""
        for transport in ("UDP", "TCP"):
            scene = self.begin(settings=ProxySettings(topology_hiding=True))
            alice, bob = scene.phone("alice", transport=transport), scene.phone("bob", transport=transport)
            call, incoming = self.talk(scene, alice, bob)
            scene.result(incoming.reinvite(bob.sdp()))
            self.assertEqual(self.end(scene), [200, 200])
            self.assertEqual((call.state, incoming.state), ("over", "over"))
            for phone in (alice, bob):
                (bye,) = phone.received("BYE")
                assert isinstance(bye, Request) and isinstance(bye.uri, SipURI)
                self.assertEqual(bye.uri.host, phone.wire.host)
            self.assertClean(scene)

    def test_an_end_that_is_gone(self) -> None:
        scene = self.begin()
        alice, bob = scene.phone("alice"), scene.phone("bob")
        self.talk(scene, alice, bob)
        scene.result(bob.close())
        began = scene.proxy.layer.now()
        self.assertEqual(self.end(scene), [200, UNREACHED])
        self.assertLess(scene.proxy.layer.now() - began, PATIENCE + 1.0)
        self.assertClean(scene)
        self.assertEqual(len(self.calls), 0)
