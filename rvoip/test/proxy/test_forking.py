"""One user with several phones (RFC 3261 sections 16.6 to 16.7, RFC 5626 section 7)."""

from __future__ import annotations

from rvoip.protocols.sip.message import Response
from rvoip.proxy.proxy import ProxySettings
from rvoip.proxy.targets import Destination
from rvoip.test.proxy.scene import Peer, Scene, sip
from rvoip.test.proxy.test_calls import BOB, Base
from rvoip.testing.phone import Call, answer_after, busy, reject_with, ring, silent


class ParallelTests(Base):
    def test_the_first_to_answer_has_the_call_and_the_others_are_cancelled(self) -> None:
        scene = self.scene(delay=(0.001, 0.005))
        alice = scene.phone("alice")
        scene.phone("bob", device="desk", script=ring)
        scene.phone("bob", device="mobile", script=answer_after(2))
        scene.phone("bob", device="soft", script=ring)
        call = alice.call(BOB)
        scene.result(call.established())
        scene.advance(1)
        for device in ("desk", "soft"):
            phone = scene.phones[device]
            self.assertEqual(phone.calls[0].why, "cancelled")
            self.assertEqual(len(phone.received("ACK")), 1)
        self.assertEqual(scene.phones["mobile"].received("CANCEL"), [])
        self.assertEqual([one.status for one in call.responses][-1], 200)
        self.assertNotIn(487, [one.status for one in call.responses])
        scene.result(call.bye())
        self.assertEqual(len(scene.phones["mobile"].received("BYE")), 1)
        self.assertClean(scene)

    def test_each_phone_rings_at_the_same_time(self) -> None:
        scene = self.scene()
        alice = scene.phone("alice")
        for device in ("one", "two", "three"):
            scene.phone("bob", device=device, script=ring)
        call = alice.call(BOB)
        scene.advance(0.01)
        self.assertEqual([one.status for one in call.responses], [180, 180, 180])
        self.assertEqual(len({one.to.tag for one in call.responses}), 3)
        call.cancel()
        self.assertEnds(scene, call, "487 Request Terminated")
        for device in ("one", "two", "three"):
            self.assertEqual(len(scene.phones[device].received("CANCEL")), 1)
        self.assertClean(scene)

    def test_the_best_failure_goes_back_when_all_have_failed(self) -> None:
        scene = self.scene()
        alice = scene.phone("alice")
        scene.phone("bob", device="one", script=reject_with(500))
        scene.phone("bob", device="two", script=busy)
        scene.phone("bob", device="three", script=silent)
        call = alice.call(BOB)
        scene.advance(20)
        self.assertEqual([one.status for one in call.responses], [100])
        self.assertEnds(scene, call, "486 Busy Here")
        self.assertClean(scene)

    def test_a_6xx_ends_the_ringing(self) -> None:
        scene = self.scene()
        alice = scene.phone("alice")
        scene.phone("bob", device="one", script=reject_with(603))
        scene.phone("bob", device="two", script=ring)
        call = alice.call(BOB)
        self.assertEnds(scene, call, "603 Decline", within=1)
        self.assertEqual(scene.phones["two"].calls[0].why, "cancelled")
        self.assertClean(scene)

    def test_two_that_answer_at_once(self) -> None:
        """Both 2xx go back; the caller acknowledges both and hangs one up (section 13.2.2.4)."""
        scene = self.scene()
        alice = scene.phone("alice")
        for device in ("one", "two"):
            scene.phone("bob", device=device, script=answer_after(1))
        call = alice.call(BOB)
        scene.result(call.established())
        scene.advance(1)
        ends = [scene.phones[device].calls[0] for device in ("one", "two")]
        self.assertEqual(sorted(one.state for one in ends), ["over", "up"])
        scene.result(call.bye())
        self.assertEqual([one.state for one in ends], ["over", "over"])
        self.assertClean(scene)

    def test_challenges_are_gathered(self) -> None:
        """Section 16.7 step 7: the caller answers all of them in one go."""
        scene = self.scene()
        alice, one, two, three = (scene.peer(name) for name in ("alice", "one", "two", "three"))
        scene.places.bind("bob", *[f"sip:bob@{peer.address}" for peer in (one, two, three)])
        alice.send(alice.request())
        one.send(one.answer(one.one(), 407, extra='Proxy-Authenticate: Digest realm="one", nonce="1"\r\n'))
        challenges = (
            'WWW-Authenticate: Digest realm="two", nonce="2"\r\nWWW-Authenticate: Basic realm="two"\r\n'
        )
        two.send(two.answer(two.one(), 401, extra=challenges))
        three.send(three.answer(three.one(), 404, extra='WWW-Authenticate: Digest realm="no", nonce="3"\r\n'))
        answer = alice.one()
        assert isinstance(answer, Response)
        self.assertEqual(answer.status, 407)
        self.assertEqual(answer.get_all("proxy-authenticate"), ['Digest realm="one", nonce="1"'])
        self.assertEqual(
            answer.get_all("www-authenticate"), ['Digest realm="two", nonce="2"', 'Basic realm="two"']
        )

    def test_a_message_reaches_every_phone_and_is_answered_once(self) -> None:
        scene = self.scene()
        alice = scene.phone("alice")
        for device in ("one", "two"):
            scene.phone("bob", device=device)
        response = scene.result(alice.request("MESSAGE", BOB, body=b"hi", content_type="text/plain"))
        self.assertEqual(response.status, 200)
        for device in ("one", "two"):
            self.assertEqual(len(scene.phones[device].received("MESSAGE")), 1)
        self.assertEqual(len(alice.received(200)), 2)
        self.assertClean(scene)

    def test_ways_that_fail_at_once_do_not_end_the_call(self) -> None:
        scene = self.scene()
        alice = scene.phone("alice")
        scene.phone("bob", script=answer_after(1))
        scene.places.bindings["bob@example.test"] += [
            Destination(sip("sip:bob@nowhere.test")),
            Destination(sip("sip:bob@10.9.9.9:0")),
            Destination(sip("sip:bob@224.0.0.1")),
            Destination(sip("sip:bob@10.9.9.9;transport=sctp")),
            Destination(sip("sip:bob@10.9.9.9:5060;transport=tcp")),
        ]
        call = alice.call(BOB)
        scene.result(call.established())
        scene.result(call.bye())
        self.assertClean(scene)

    def test_breadth_is_shared(self) -> None:
        """RFC 5393 section 5.3.3; some is left for phones that register meanwhile."""
        scene = self.scene()
        alice, one, two = (scene.peer(name) for name in ("alice", "one", "two"))
        scene.places.bind("bob", f"sip:bob@{one.address}", f"sip:bob@{two.address}")
        for given, share in ((None, "25"), ("60", "25"), ("500", "25"), ("6", "2"), ("2", "1")):
            alice.send(alice.request(extra=f"Max-Breadth: {given}\r\n" if given else ""))
            self.assertEqual([one.one().get("max-breadth"), two.one().get("max-breadth")], [share, share])
        alice.take()
        for given in ("1", "0"):
            alice.send(alice.request(extra=f"Max-Breadth: {given}\r\n"))
            self.assertEqual(alice.starts(), ["440 INVITE"])
        self.assertEqual((one.take(), two.take()), ([], []))


class SequentialTests(Base):
    def by_q(self, scene: Scene, **phones: tuple[int, object]) -> None:
        for device, (q, script) in phones.items():
            scene.phone("bob", device=device, script=script)
            scene.places.bindings["bob@example.test"][-1].q = q

    def test_one_after_the_other_by_q(self) -> None:
        scene = self.scene(ProxySettings(fork="sequential"))
        alice = scene.phone("alice")
        self.by_q(scene, low=(100, answer_after(1)), high=(900, busy), mid=(500, silent))
        call = alice.call(BOB)
        scene.advance(31)
        self.assertEqual(len(scene.phones["high"].received("INVITE")), 1)
        self.assertEqual(scene.phones["low"].received("INVITE"), [])
        scene.result(call.established())
        scene.result(call.bye())
        self.assertClean(scene)

    def test_equal_q_together(self) -> None:
        scene = self.scene(ProxySettings(fork="sequential"))
        alice = scene.phone("alice")
        self.by_q(scene, one=(500, busy), two=(500, ring), three=(100, ring))
        call = alice.call(BOB)
        scene.advance(5)
        self.assertEqual(len(scene.phones["two"].received("INVITE")), 1)
        self.assertEqual(scene.phones["three"].received("INVITE"), [])
        call.cancel()
        self.assertEnds(scene, call, "487 Request Terminated")
        self.assertEqual(scene.phones["three"].received("INVITE"), [])
        self.assertClean(scene)

    def test_timer_c_moves_on_to_the_next(self) -> None:
        scene = self.scene(ProxySettings(fork="sequential"))
        alice = scene.phone("alice")
        self.by_q(scene, first=(900, ring), second=(100, answer_after(1)))
        call = alice.call(BOB)
        scene.result(call.established(within=300), within=300)
        self.assertEqual(scene.phones["first"].calls[0].why, "cancelled")
        scene.result(call.bye())
        self.assertClean(scene)

    def test_a_6xx_starts_no_further_one(self) -> None:
        scene = self.scene(ProxySettings(fork="sequential"))
        alice = scene.phone("alice")
        self.by_q(scene, first=(900, reject_with(600)), second=(100, ring))
        self.assertEnds(scene, alice.call(BOB), "600 Busy Everywhere")
        self.assertEqual(scene.phones["second"].received("INVITE"), [])
        self.assertClean(scene)

    def test_a_message_has_no_time_for_a_second_try_after_a_timeout(self) -> None:
        """RFC 4320: its sender has given up when the first phone has."""
        scene = self.scene(ProxySettings(fork="sequential"))
        alice, bob, carol = scene.peer("alice"), scene.peer("bob"), scene.peer("carol")
        scene.places.bind("bob", f"sip:bob@{bob.address}", f"sip:bob@{carol.address}")
        scene.places.bindings["bob@example.test"][1].q = 1
        alice.send(alice.request("MESSAGE"))
        scene.advance(40)
        self.assertEqual(len(bob.take()), 11)
        self.assertEqual((carol.take(), alice.starts()), ([], ["100 MESSAGE"]))
        self.assertClean(scene)


class DeviceTests(Base):
    """Two flows of one device: the second is tried when the first one is dead."""

    def flows(self, scene: Scene) -> tuple[Peer, Peer, Peer]:
        alice, one, two = scene.peer("alice"), scene.peer("one", "TCP"), scene.peer("two")
        for peer, reg in ((one, 1), (two, 2)):
            peer.send(
                peer.request(
                    "REGISTER",
                    "sip:example.test",
                    from_="sip:bob@example.test",
                    to="sip:bob@example.test",
                    contact=f"sip:bob@{peer.address}",
                    contact_params=f';reg-id={reg};+sip.instance="<urn:uuid:1>"',
                )
            )
            self.assertEqual(peer.starts(), ["200 REGISTER"])
        return alice, one, two

    def test_it_rings_once(self) -> None:
        scene = self.scene()
        alice, one, two = self.flows(scene)
        alice.send(alice.request())
        self.assertEqual((one.starts(), two.starts()), (["INVITE"], []))

    def test_a_gone_connection_leads_to_the_other_flow(self) -> None:
        scene = self.scene()
        alice, one, two = self.flows(scene)
        one.wire.drop_connections()
        scene.advance(0.01)
        alice.send(alice.request())
        invite = two.one()
        two.send(two.answer(invite, 200))
        self.assertEqual(alice.starts(), ["200 INVITE"])

    def test_a_connection_that_breaks_before_it_rings(self) -> None:
        scene = self.scene()
        alice, one, two = self.flows(scene)
        alice.send(alice.request())
        self.assertEqual(one.starts(), ["INVITE"])
        one.wire.drop_connections()
        scene.advance(0.01)
        self.assertEqual(two.starts(), ["INVITE"])

    def test_a_connection_that_breaks_while_it_rings_does_not_ring_again(self) -> None:
        scene = self.scene()
        alice, one, two = self.flows(scene)
        alice.send(alice.request())
        one.send(one.answer(one.one(), 180))
        one.wire.drop_connections()
        scene.advance(0.01)
        self.assertEqual((alice.starts(), two.starts()), (["180 INVITE", "480 INVITE"], []))

    def test_a_430_leads_to_the_other_flow(self) -> None:
        """RFC 5626 section 7: an edge proxy has lost the flow."""
        scene = self.scene()
        alice, one, two = self.flows(scene)
        alice.send(alice.request())
        one.send(one.answer(one.one(), 430))
        self.assertEqual((one.starts(), two.starts()), (["ACK"], ["INVITE"]))

    def test_when_all_flows_are_dead_the_user_is_not_there(self) -> None:
        scene = self.scene()
        alice, one, two = self.flows(scene)
        one.wire.drop_connections()
        scene.advance(0.01)
        alice.send(alice.request())
        two.send(two.answer(two.one(), 430))
        self.assertEqual(alice.starts(), ["480 INVITE"])

    def test_a_busy_device_is_busy(self) -> None:
        scene = self.scene()
        alice, one, two = self.flows(scene)
        alice.send(alice.request())
        one.send(one.answer(one.one(), 486))
        self.assertEqual((alice.starts(), two.starts()), (["486 INVITE"], []))


class LateTests(Base):
    def test_a_2xx_after_the_callers_cancel_of_a_fork(self) -> None:
        """The answer wins the race: it goes back, and the caller hangs up."""

        def late(call: Call) -> None:
            call.ring()
            call.phone.after(0.5, call.answer)

        scene = self.scene(delay=(0.1, 0.1))
        alice = scene.phone("alice")
        scene.phone("bob", device="one", script=late)
        scene.phone("bob", device="two", script=ring)
        call = alice.call(BOB)
        scene.advance(0.72)
        call.cancel()
        self.assertEnds(scene, call, "BYE sent")
        self.assertClean(scene)
