"""The caller gives up, and somebody who was called has said nothing yet (RFC 3261 sections 9.1 and 16.10)."""

from __future__ import annotations

from typing import Any

from rvoip.proxy.proxy import ProxySettings
from rvoip.proxy.targets import Destination
from rvoip.test.proxy.scene import Peer, Scene, sip
from rvoip.test.proxy.test_calls import Base


class SilentTests(Base):
    def start(self, *callees: str, transport: str = "UDP", **more: Any) -> tuple[Scene, Peer, list[Peer]]:
        """A call of alice's to bob, whose phones are these peers."""
        scene = self.scene(ProxySettings(**more))
        alice = scene.peer("alice")
        peers = [scene.peer(name, transport) for name in callees]
        param = "" if transport == "UDP" else f";transport={transport.lower()}"
        scene.places.bind("bob", *[f"sip:bob@{peer.address}:5060{param}" for peer in peers])
        alice.send(alice.request(branch="z9hG4bKx", call_id="c"))
        scene.advance(0.3)
        return scene, alice, peers

    def cancel(self, alice: Peer) -> None:
        alice.send(alice.request("CANCEL", branch="z9hG4bKx", call_id="c"))

    def acknowledge(self, alice: Peer, status: int) -> None:
        """The last that came is the one final response; it is acknowledged."""
        answers = alice.take()
        self.assertEqual([one.status for one in answers if one.cseq.method == "INVITE"], [100, status])
        tag = str(answers[-1].to.tag)
        alice.send(alice.request("ACK", branch="z9hG4bKx", call_id="c", to_tag=tag))

    def test_the_caller_does_not_wait(self) -> None:
        for transport in ("UDP", "TCP"):
            scene, alice, (bob,) = self.start("bob", transport=transport)
            self.assertEqual(bob.starts(), ["INVITE"])
            self.cancel(alice)
            self.acknowledge(alice, 487)
            scene.advance(31)
            # It is not sent again, and no CANCEL: whoever has not got it does not begin to ring now.
            self.assertEqual((alice.take(), bob.take()), ([], []))
            self.assertEqual(scene.locator.failures, [])
            self.assertClean(scene)

    def test_a_late_provisional_response_gets_the_cancel(self) -> None:
        for status in (100, 180):
            for later in (0.0, 20.0):  # the second after the caller's transaction is over
                scene, alice, (bob,) = self.start("bob")
                invite = bob.one()
                self.cancel(alice)
                self.acknowledge(alice, 487)
                scene.advance(later)
                bob.send(bob.answer(invite, status))
                cancel = bob.one()
                self.assertEqual((cancel.method, cancel.via.branch), ("CANCEL", invite.via.branch))
                bob.send(bob.answer(cancel, 200))
                bob.send(bob.answer(invite, 487))
                self.assertEqual((alice.take(), bob.starts()), ([], ["ACK"]))
                self.assertClean(scene)

    def test_a_late_2xx_is_hung_up(self) -> None:
        for later in (0.0, 20.0):
            for record_route in (True, False):
                scene, alice, (bob,) = self.start("bob", record_route=record_route)
                invite = bob.one()
                self.cancel(alice)
                self.acknowledge(alice, 487)
                scene.advance(later)
                bob.send(bob.answer(invite, 200))
                ack, bye = bob.take()
                self.assertEqual((ack.method, bye.method, alice.take()), ("ACK", "BYE", []))
                for one in (ack, bye):
                    self.assertEqual(one.uri_text, f"sip:bob@{bob.address}:5060")
                    self.assertEqual((one.from_.tag, one.to.tag), (invite.from_.tag, "to-" + bob.address))
                    self.assertEqual((one.call_id, one.has("route")), ("c", False))
                self.assertEqual((ack.cseq.number, bye.cseq.number), (1, 2))
                bob.send(bob.answer(invite, 200))  # the ACK was lost
                self.assertEqual(bob.starts(), ["ACK"])
                bob.send(bob.answer(bye, 200))
                self.assertClean(scene)

    def test_the_way_to_whoever_accepted_late(self) -> None:
        """The proxies that stay in the way get both requests; credentials are in the ACK too."""
        scene = self.scene()
        alice, edge = scene.peer("alice"), scene.peer("edge")
        route = f"<sip:{edge.address};lr>"
        scene.places.bind("bob", Destination(sip("sip:bob@192.0.2.1"), (route,)))
        credentials = 'Proxy-Authorization: Digest username="alice", realm="elsewhere"\r\n'
        alice.send(alice.request(branch="z9hG4bKx", call_id="c", extra=credentials))
        invite = edge.one()
        self.cancel(alice)
        edge.send(edge.answer(invite, 200).replace("Record-Route:", f"Record-Route: {route},", 1))
        ack, bye = edge.take()
        for one in (ack, bye):
            self.assertEqual((one.uri_text, one.get("route")), (f"sip:bob@{edge.address}:5060", route))
        self.assertEqual(ack.get("proxy-authorization"), credentials.partition(": ")[2].strip())
        self.assertFalse(bye.has("proxy-authorization"))

    def test_a_2xx_that_cannot_be_acknowledged(self) -> None:
        """Without a Contact nobody is reached: it is dropped."""
        scene, alice, (bob,) = self.start("bob")
        invite = bob.one()
        self.cancel(alice)
        self.acknowledge(alice, 487)
        bob.send(bob.answer(invite, 200, contact=""))
        self.assertEqual((alice.take(), bob.take()), ([], []))
        self.assertClean(scene)

    def test_one_is_silent_and_another_rings(self) -> None:
        _, alice, (one, two) = self.start("one", "two")
        first, second = one.one(), two.one()
        two.send(two.answer(second, 180))
        self.cancel(alice)
        self.assertEqual((one.take(), two.starts()), ([], ["CANCEL"]))
        self.assertEqual(alice.starts(), ["100 INVITE", "180 INVITE", "200 CANCEL"])
        one.send(one.answer(first, 180))  # nobody is told of it any more
        self.assertEqual((one.starts(), alice.take()), (["CANCEL"], []))
        two.send(two.answer(second, 487))
        self.assertEqual(alice.starts(), ["487 INVITE"])
        one.send(one.answer(first, 487))
        self.assertEqual((one.starts(), alice.take()), (["ACK"], []))

    def test_a_2xx_while_another_is_waited_for(self) -> None:
        """Nothing has gone back yet: the caller gets it, and hangs up himself."""
        _, alice, (one, two) = self.start("one", "two")
        first, second = one.one(), two.one()
        two.send(two.answer(second, 180))
        self.cancel(alice)
        alice.take()
        one.send(one.answer(first, 200))
        self.assertEqual((alice.starts(), one.take()), (["200 INVITE"], []))

    def test_a_6xx_does_not_wait_for_who_is_silent(self) -> None:
        scene, alice, (one, two) = self.start("one", "two")
        one.send(one.answer(one.one(), 603))
        self.acknowledge(alice, 603)
        scene.advance(31)
        self.assertEqual(two.starts(), ["INVITE"])
        self.assertClean(scene)

    def test_a_2xx_after_another_failure(self) -> None:
        """Not only the one that the caller asked for."""
        scene, alice, (bob,) = self.start("bob", timer_c=10.0)
        invite = bob.one()
        bob.send(bob.answer(invite, 180))
        scene.advance(10.1)
        self.assertEqual(alice.starts(), ["100 INVITE", "180 INVITE", "408 INVITE"])
        self.assertEqual(bob.starts(), ["CANCEL"])
        bob.send(bob.answer(invite, 200))
        self.assertEqual((bob.starts(), alice.take()), (["ACK", "BYE"], []))
