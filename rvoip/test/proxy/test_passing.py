"""Session timers and a media relay in calls through the proxy."""

from __future__ import annotations

from typing import Any

from rvoip.mediacontrol.rtpengine import WAITS, RTPEngines
from rvoip.protocols.dialog.session_timer import TimerSettings
from rvoip.proxy.media_relay import MediaRelay
from rvoip.proxy.passing import Passing
from rvoip.test.mediacontrol.engine import SDP, FakeEngine
from rvoip.test.proxy.scene import Peer, Scene
from rvoip.test.proxy.test_calls import BOB
from rvoip.test.proxy.test_routing import RoutingBase

ENGINE = "10.0.9.1"
SDP_TYPE = "Content-Type: application/sdp\r\n"


def sdp(host: str, port: int = 4000) -> str:
    return SDP.format(host=host, port=port)


class RelayTests(RoutingBase):
    def make(self, only_nat: bool = False, **network: Any) -> Scene:
        scene = self.scene(**network)
        self.engine = FakeEngine(ENGINE)
        scene.network.host("engine", ENGINE).listenUDP(22222, self.engine, ENGINE)
        serial = iter(range(100000))
        self.relay = RTPEngines(scene.reactor, [(ENGINE, 22222)], lambda: f"c{next(serial)}")
        self.relay.open()
        self.addCleanup(self.relay.close)
        self.media = MediaRelay(self.relay, only_nat)
        scene.proxy.passing = Passing(self.media)
        self.alice, self.bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{self.bob.address}:5060")
        self.ends = (self.alice, self.bob)
        return scene

    def invite(self, body: str | None = None, **more: Any) -> None:
        text = sdp(self.alice.address) if body is None else body
        more.setdefault("extra", SDP_TYPE if text else "")
        more.setdefault("call_id", "call")
        self.alice.send(self.alice.request("INVITE", BOB, body=text, **more))

    def answer(self, peer: Peer, request: Any, status: int, body: str | None = None, **more: Any) -> None:
        text = sdp(peer.address) if body is None else body
        made = peer.answer(request, status, **more)
        if text:
            made = made.replace(
                "Content-Length: 0\r\n\r\n", f"{SDP_TYPE}Content-Length: {len(text)}\r\n\r\n{text}"
            )
        peer.send(made)

    def assertRelayed(self, message: Any) -> None:
        body = message.body.decode()
        self.assertIn(f"c=IN IP4 {ENGINE}\r\n", body)
        self.assertEqual(message.content_length, len(message.body))

    def commands(self) -> list[str]:
        return [command for command, _ in self.engine.commands]

    def test_a_call(self) -> None:
        scene = self.make()
        self.invite()
        invite = self.bob.one()
        self.assertRelayed(invite)
        self.answer(self.bob, invite, 183)
        self.answer(self.bob, invite, 200)
        ringing, accepted = self.alice.take()
        self.assertEqual((ringing.status, accepted.status), (183, 200))
        self.assertRelayed(ringing)
        self.assertRelayed(accepted)
        self.assertEqual(self.commands(), ["offer", "answer"], "the same answer again is not asked for")
        route_set = [str(route) for route in reversed(accepted.record_routes)]
        target = accepted.contacts[0].uri_text
        self.alice.send(self.within(self.alice, "ACK", target, route_set, 1))
        self.alice.send(self.within(self.alice, "BYE", target, route_set))
        ack, bye = self.bob.take()
        self.assertEqual((ack.method, bye.method), ("ACK", "BYE"))
        self.bob.send(self.bob.answer(bye, 200))
        self.assertEqual(self.alice.starts(), ["200 BYE"])
        self.assertEqual(self.engine.calls, set())
        first, second, third = self.engine.arguments
        self.assertEqual(first["from-tag"], f"from-{self.alice.address}".encode())
        self.assertEqual(second["to-tag"], f"to-{self.bob.address}".encode())
        self.assertEqual(third["command"], b"delete")
        self.assertNotIn("received-from", first)
        scene.advance(50)
        self.assertEqual(scene.leftovers(), [])

    def test_offers_within_a_call(self) -> None:
        """A re-INVITE of the callee, and an UPDATE of the caller."""
        self.make()
        self.invite()
        invite = self.bob.one()
        self.answer(self.bob, invite, 200)
        accepted = self.alice.take()[-1]
        back = [str(route) for route in invite.record_routes]
        self.bob.send(
            self.within(
                self.bob,
                "INVITE",
                invite.contacts[0].uri_text,
                back,
                extra=SDP_TYPE,
                body=sdp(self.bob.address),
            )
        )
        again = self.alice.one()
        self.assertRelayed(again)
        self.answer(self.alice, again, 200, to_tag=f"from-{self.alice.address}")
        self.assertRelayed(self.bob.take()[-1])
        there = [str(route) for route in reversed(accepted.record_routes)]
        self.alice.send(
            self.within(
                self.alice,
                "UPDATE",
                accepted.contacts[0].uri_text,
                there,
                3,
                SDP_TYPE,
                body=sdp(self.alice.address),
            )
        )
        update = self.bob.one()
        self.assertRelayed(update)
        self.answer(self.bob, update, 200)
        self.assertRelayed(self.alice.one())
        self.assertEqual(self.commands(), ["offer", "answer"] * 3)
        offer = self.engine.arguments[2]
        self.assertEqual(
            (offer["from-tag"], offer["to-tag"]),
            (f"from-{self.bob.address}".encode(), f"from-{self.alice.address}".encode()),
        )

    def test_a_late_offer(self) -> None:
        """The offer is in the 200, the answer in the ACK."""
        self.make()
        self.invite("")
        invite = self.bob.one()
        self.assertEqual((invite.body, self.commands()), (b"", []))
        self.answer(self.bob, invite, 200)
        accepted = self.alice.take()[-1]
        self.assertRelayed(accepted)
        route_set = [str(route) for route in reversed(accepted.record_routes)]
        self.alice.send(
            self.within(
                self.alice,
                "ACK",
                accepted.contacts[0].uri_text,
                route_set,
                1,
                SDP_TYPE,
                body=sdp(self.alice.address),
            )
        )
        self.assertRelayed(self.bob.one())
        offer, answer = self.engine.arguments
        callee = f"to-{self.bob.address}".encode()
        caller = f"from-{self.alice.address}".encode()
        self.assertEqual(
            [(one["command"], one["from-tag"], one["to-tag"]) for one in (offer, answer)],
            [(b"offer", callee, caller), (b"answer", callee, caller)],
        )

    def test_an_answer_in_a_prack(self) -> None:
        self.make()
        self.invite("")
        self.answer(self.bob, self.bob.one(), 183, extra="Require: 100rel\r\nRSeq: 1\r\n")
        ringing = self.alice.take()[-1]
        self.assertRelayed(ringing)
        route_set = [str(route) for route in reversed(ringing.record_routes)]
        self.alice.send(
            self.within(
                self.alice,
                "PRACK",
                ringing.contacts[0].uri_text,
                route_set,
                2,
                "RAck: 1 1 INVITE\r\n" + SDP_TYPE,
                body=sdp(self.alice.address),
            )
        )
        self.assertRelayed(self.bob.one())
        self.assertEqual(self.commands(), ["offer", "answer"])

    def test_calls_that_fail(self) -> None:
        for ends in ("refused", "cancelled"):
            scene = self.make()
            self.invite()
            invite = self.bob.one()
            if ends == "refused":
                self.bob.send(self.bob.answer(invite, 486))
            else:
                self.bob.send(self.bob.answer(invite, 180))
                self.alice.send(
                    self.alice.request("CANCEL", BOB, call_id="call", branch=self.via_branch(), contact="")
                )
                self.bob.send(self.bob.answer(invite, 487))
            self.assertEqual(self.commands(), ["offer", "delete"], ends)
            scene.advance(50)

    def via_branch(self) -> str:
        """The branch of alice's last request."""
        return f"z9hG4bK-{self.alice._serial}"

    def test_a_call_that_does_not_begin(self) -> None:
        """Nobody is called when the relay refuses, or does not answer, and the caller is told."""
        scene = self.make()
        self.engine.error = "no ports"
        self.invite()
        *_, refused = self.alice.take()
        self.assertEqual((refused.status, refused.get("retry-after")), (503, "10"))
        self.engine.error, self.engine.mute = "", True
        self.invite(call_id="second")
        scene.advance(sum(WAITS))
        *_, refused = self.alice.take()
        self.assertEqual(refused.status, 503)
        self.assertEqual(self.bob.take(), [])
        self.assertEqual(self.media.failed, 2)
        scene.advance(50)
        self.assertEqual(scene.leftovers(), [])

    def test_cancelled_while_the_relay_is_asked(self) -> None:
        scene = self.make()
        self.engine.mute = True
        self.invite()
        self.alice.send(
            self.alice.request("CANCEL", BOB, call_id="call", branch=self.via_branch(), contact="")
        )
        self.assertEqual(self.alice.starts()[-2:], ["200 CANCEL", "487 INVITE"])
        self.engine.mute = False
        scene.advance(50)
        self.assertEqual(self.bob.take(), [])
        self.assertEqual(scene.leftovers(), [])
        self.assertEqual(self.commands()[-1], "delete", "the relay does not wait for the call")

    def test_an_answer_that_cannot_be_relayed(self) -> None:
        """The call is up: the description goes on as it is, in its turn."""
        scene = self.make()
        self.invite()
        invite = self.bob.one()
        self.engine.mute = True
        self.answer(self.bob, invite, 200)
        self.assertEqual(self.alice.starts(), [])
        scene.advance(sum(WAITS))
        self.assertIn(f"c=IN IP4 {self.bob.address}".encode(), self.alice.take()[-1].body)

    def test_order(self) -> None:
        """A 180 without a description does not overtake the 183 before it."""
        scene = self.make()
        self.invite()
        invite = self.bob.one()
        self.engine.mute = True
        self.answer(self.bob, invite, 183)
        self.answer(self.bob, invite, 180, "")
        self.answer(self.bob, invite, 486, "")
        self.alice.take()
        self.engine.mute = False
        scene.advance(0.5)
        self.assertEqual(self.alice.starts(), ["183 INVITE", "180 INVITE", "486 INVITE"])

    def test_one_part_of_several(self) -> None:
        self.make()
        parts = (
            f"--b\r\nContent-Type: application/sdp\r\n\r\n{sdp('10.0.2.1')}\r\n"
            "--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b--\r\n"
        )
        self.invite(parts, extra="Content-Type: multipart/mixed;boundary=b\r\n")
        invite = self.bob.one()
        self.assertRelayed(invite)
        self.assertIn(b"\r\n\r\nhi\r\n--b--", invite.body)
        self.assertEqual(invite.get("content-type"), "multipart/mixed;boundary=b")

    def test_what_is_no_description(self) -> None:
        """It passes as it is."""
        self.make()
        for number, (body, kind) in enumerate(
            (("hello", "text/plain"), ("--x", "multipart/mixed;boundary=b"))
        ):
            self.invite(body, extra=f"Content-Type: {kind}\r\n", call_id=f"c{number}")
            self.assertEqual(self.bob.one().body, body.encode())
        self.assertEqual(self.commands(), [])

    def test_behind_a_nat(self) -> None:
        """What the packets show counts, not the description."""
        self.make()
        self.invite(sdp("192.168.1.7"), contact="sip:alice@192.168.1.7:5062")
        self.assertEqual(self.engine.arguments[0]["received-from"], [b"IP4", self.alice.address.encode()])
        self.assertIn(b"SIP-source-address", self.engine.arguments[0]["flags"])

    def test_only_where_there_is_a_nat(self) -> None:
        self.make(only_nat=True)
        self.invite()
        invite = self.bob.one()
        self.assertIn(f"c=IN IP4 {self.alice.address}".encode(), invite.body)
        self.answer(self.bob, invite, 200)
        self.assertEqual(self.commands(), [])
        self.invite(sdp("192.168.1.7"), contact="sip:alice@192.168.1.7:5062", call_id="second")
        invite = self.bob.one()
        self.assertRelayed(invite)
        self.alice.take()
        self.answer(self.bob, invite, 200)
        self.assertRelayed(self.alice.take()[-1])

    def test_a_fork(self) -> None:
        """One offer for all; each callee has an answer of its own."""
        scene = self.make()
        carol = scene.peer("carol")
        scene.places.bind("bob", f"sip:bob@{self.bob.address}:5060", f"sip:bob@{carol.address}:5060")
        self.invite()
        first, second = self.bob.one(), carol.one()
        self.assertRelayed(first)
        self.assertRelayed(second)
        self.answer(self.bob, first, 183)
        self.answer(carol, second, 183)
        self.answer(carol, second, 200)
        self.assertEqual(self.commands(), ["offer", "answer", "answer"])
        self.assertEqual(self.alice.starts(), ["183 INVITE", "183 INVITE", "200 INVITE"])

    def test_on_a_bad_network(self) -> None:
        """Calls with a relay that loses datagrams, between phones that lose some too."""
        scene = self.make(loss=0.05, seed=4, delay=(0.0, 0.02))
        alice, dave = scene.phone("alice", device="a2"), scene.phone("carol", device="c2")
        del dave
        for _ in range(10):
            call = alice.call("sip:carol@example.test")
            scene.result(call.established())
            scene.result(call.bye())
        scene.advance(50)
        self.assertEqual(scene.leftovers(), [])


class SessionTimerTests(RoutingBase):
    def make(self, **settings: Any) -> Scene:
        scene = self.scene()
        scene.proxy.passing = Passing(session_timer=TimerSettings(**settings))
        self.alice, self.bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{self.bob.address}:5060")
        return scene

    def invite(self, extra: str = "") -> Any:
        self.alice.send(self.alice.request("INVITE", BOB, extra=extra))
        return self.bob.one()

    def test_asked_for(self) -> None:
        """RFC 4028 section 8.1: the proxy wants a timer, its callee knows none: the caller refreshes."""
        self.make(interval=600)
        invite = self.invite("Supported: timer\r\n")
        self.assertEqual(invite.get("session-expires"), "600")
        self.bob.send(self.bob.answer(invite, 200))
        accepted = self.alice.take()[-1]
        self.assertEqual(accepted.get("session-expires"), "600;refresher=uac")
        self.assertEqual(accepted.option_tags("require"), ["timer"])

    def test_nobody_knows_timers(self) -> None:
        self.make(interval=600)
        invite = self.invite()
        self.bob.send(self.bob.answer(invite, 200))
        self.assertIsNone(self.alice.take()[-1].get("session-expires"))

    def test_the_callee_refreshes(self) -> None:
        self.make(interval=600)
        invite = self.invite("Supported: timer\r\nSession-Expires: 1800\r\n")
        self.assertEqual(invite.get("session-expires"), "600")
        self.bob.send(
            self.bob.answer(invite, 200, extra="Require: timer\r\nSession-Expires: 600;refresher=uas\r\n")
        )
        self.assertEqual(self.alice.take()[-1].get("session-expires"), "600;refresher=uas")

    def test_too_short(self) -> None:
        self.make(min_se=300)
        self.alice.send(
            self.alice.request("INVITE", BOB, extra="Supported: timer\r\nSession-Expires: 120\r\n")
        )
        refused = self.alice.take()[-1]
        self.assertEqual((refused.status, refused.get("min-se")), (422, "300"))
        self.assertEqual(self.bob.take(), [])

    def test_other_requests(self) -> None:
        self.make()
        self.alice.send(self.alice.request("MESSAGE", BOB))
        self.assertIsNone(self.bob.one().get("session-expires"))
