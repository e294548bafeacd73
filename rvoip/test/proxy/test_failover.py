"""The next target when one fails (RFC 3263 section 4.3), and large requests (RFC 3261 section 18.1.1)."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import LogEvent, capturedLogs, formatEvent

from rvoip.protocols.sip.message import Request
from rvoip.protocols.transport.flow import Target
from rvoip.proxy.proxy import ProxySettings
from rvoip.proxy.targets import Destination
from rvoip.test.proxy.scene import Peer, Scene, sip
from rvoip.test.proxy.test_calls import Base


def udp(peer: Peer) -> Target:
    return Target("UDP", peer.address, 5060)


def said(events: Iterable[LogEvent]) -> list[str]:
    """What the operator is told of places that are not reached."""
    lines = [formatEvent(one) for one in events if one["log_namespace"] == "rvoip.proxy.unreached"]
    return [line for line in lines if line is not None]


class FailoverTests(Base):
    """bob's binding is at a host with several addresses."""

    def servers(self, *names: str) -> tuple[Scene, Peer, list[Peer]]:
        scene = self.scene()
        alice = scene.peer("alice")
        servers = [scene.peer(name) for name in names]
        scene.locator.names["servers.test"] = [udp(peer) for peer in servers]
        scene.places.bind("bob", "sip:bob@servers.test")
        return scene, alice, servers

    def test_a_503_leads_to_the_next_target(self) -> None:
        scene, alice, (one, two) = self.servers("one", "two")
        alice.send(alice.request())
        first = one.one()
        one.send(one.answer(first, 503, extra="Retry-After: 120 (busy);duration=3\r\n"))
        second = two.one()
        self.assertEqual((one.starts(), alice.starts()), (["ACK"], []))
        self.assertNotEqual(first.via.branch, second.via.branch)
        self.assertEqual(
            [line for line in second.lines if not line.startswith("Via:")],
            [line for line in first.lines if not line.startswith("Via:")],
        )
        self.assertEqual(len(second.vias), len(first.vias))
        two.send(two.answer(second, 200))
        self.assertEqual(alice.starts(), ["200 INVITE"])
        scene.advance(100)
        self.assertEqual(scene.leftovers(), [])

    def test_a_server_that_says_503_is_left_alone_as_long_as_it_asks(self) -> None:
        scene, alice, (one, two) = self.servers("one", "two")
        alice.send(alice.request("MESSAGE"))
        one.send(one.answer(one.one(), 503, extra="Retry-After: 120\r\n"))
        two.send(two.answer(two.one(), 200))
        scene.advance(119)
        alice.send(alice.request("MESSAGE"))
        self.assertEqual((one.starts(), two.starts()), ([], ["MESSAGE"]))
        scene.advance(2)
        two.take()
        alice.send(alice.request("MESSAGE"))
        self.assertEqual((one.starts(), two.starts()), (["MESSAGE"], []))

    def test_retry_after_may_be_anything(self) -> None:
        for value in ("", "x", "-1", "99999999999999999999", "1_0", "\u0664"):
            _, alice, (one, two) = self.servers("one", "two")
            alice.send(alice.request("MESSAGE"))
            one.send(one.answer(one.one(), 503, extra=f"Retry-After: {value}\r\n"))
            self.assertEqual(two.starts(), ["MESSAGE"])

    def test_all_503_is_500(self) -> None:
        scene, alice, (one, two) = self.servers("one", "two")
        alice.send(alice.request())
        one.send(one.answer(one.one(), 503))
        two.send(two.answer(two.one(), 503))
        self.assertEqual(alice.starts(), ["500 INVITE"])
        self.assertClean(scene)

    def test_other_failures_are_final(self) -> None:
        for status in (404, 486, 500, 504, 600):
            _, alice, (one, two) = self.servers("one", "two")
            alice.send(alice.request())
            one.send(one.answer(one.one(), status))
            self.assertEqual((alice.starts(), two.take()), ([f"{status} INVITE"], []))

    def test_silence_leads_to_the_next_target(self) -> None:
        """Not after 64*T1: within 4 s, when a request has been sent four times."""
        for method, sent in (("INVITE", 3), ("MESSAGE", 3)):
            scene, alice, (one, two) = self.servers("one", "two")
            alice.send(alice.request(method))
            scene.advance(3.4)
            self.assertEqual((len(one.take()), two.take()), (sent, []))
            scene.advance(0.2)
            two.send(two.answer(two.one(), 200))
            self.assertIn(f"200 {method}", alice.starts())
            self.assertEqual(scene.locator.failures, [udp(one)])
            one.take()
            alice.send(alice.request(method))
            self.assertEqual(len([each for each in two.take() if each.method == method]), 1)
            scene.advance(100)
            self.assertEqual(scene.leftovers(), [])

    def test_with_no_other_target_it_is_waited_for(self) -> None:
        scene, alice, (one,) = self.servers("one")
        alice.send(alice.request())
        scene.advance(20)
        one.send(one.answer(one.take()[0], 200))
        self.assertEqual(alice.starts(), ["100 INVITE", "200 INVITE"])

    def test_a_target_that_answered_is_waited_for(self) -> None:
        for status in (100, 180):
            scene, alice, (one, two) = self.servers("one", "two")
            alice.send(alice.request())
            one.send(one.answer(one.one(), status))
            scene.advance(60)
            self.assertEqual(two.take(), [])

    def late(self) -> tuple[Scene, Peer, Peer, Peer, object, object]:
        """The first target is slow, the second has been tried, and rings."""
        scene, alice, (one, two) = self.servers("one", "two")
        alice.send(alice.request(branch="z9hG4bKx", call_id="c"))
        first = one.one()
        scene.advance(3.6)
        one.take()
        second = two.one()
        two.send(two.answer(second, 180))
        alice.take()
        return scene, alice, one, two, first, second

    def test_a_slow_target_is_cancelled_when_it_rings(self) -> None:
        scene, alice, one, two, first, second = self.late()
        one.send(one.answer(first, 180))  # type: ignore[arg-type]
        self.assertEqual((one.starts(), alice.starts()), (["CANCEL"], []))
        one.send(one.answer(first, 487))  # type: ignore[arg-type]
        self.assertEqual((one.starts(), alice.starts()), (["ACK"], []))
        two.send(two.answer(second, 200))  # type: ignore[arg-type]
        self.assertEqual(alice.starts(), ["200 INVITE"])
        scene.advance(100)
        self.assertEqual(scene.leftovers(), [])

    def test_a_slow_target_that_accepts_has_the_call(self) -> None:
        scene, alice, one, two, first, second = self.late()
        one.send(one.answer(first, 200))  # type: ignore[arg-type]
        self.assertEqual((two.starts(), alice.starts()), (["CANCEL"], ["200 INVITE"]))
        two.send(two.answer(second, 487))  # type: ignore[arg-type]
        self.assertEqual((two.starts(), alice.starts()), (["ACK"], []))
        scene.advance(100)
        self.assertEqual(scene.leftovers(), [])

    def test_two_that_accept(self) -> None:
        scene, alice, one, two, first, second = self.late()
        two.send(two.answer(second, 200))  # type: ignore[arg-type]
        one.send(one.answer(first, 200))  # type: ignore[arg-type]
        self.assertEqual(alice.starts(), ["200 INVITE", "200 INVITE"])
        scene.advance(100)
        self.assertEqual(scene.leftovers(), [])

    def test_a_cancel_reaches_both(self) -> None:
        scene, alice, one, two, first, second = self.late()
        alice.send(alice.request("CANCEL", branch="z9hG4bKx", call_id="c"))
        self.assertEqual(two.starts(), ["CANCEL"])
        one.send(one.answer(first, 180))  # type: ignore[arg-type]
        self.assertEqual(one.starts(), ["CANCEL"])
        two.send(two.answer(second, 487))  # type: ignore[arg-type]
        self.assertEqual(alice.starts(), ["200 CANCEL", "487 INVITE"])
        scene.advance(100)
        self.assertEqual(scene.leftovers(), [])

    def test_a_target_that_answers_again_is_forgiven(self) -> None:
        scene, alice, (one, two) = self.servers("one", "two")
        scene.locator.failed(udp(one))
        scene.locator.failed(udp(two))
        alice.send(alice.request("MESSAGE"))
        one.send(one.answer(one.one(), 200))
        self.assertFalse(scene.locator.blacklist.avoids(udp(one), scene.reactor.seconds()))
        self.assertTrue(scene.locator.blacklist.avoids(udp(two), scene.reactor.seconds()))

    def test_a_target_that_cannot_be_sent_to_is_passed_over(self) -> None:
        scene, alice, (one,) = self.servers("one")
        scene.locator.names["servers.test"][:0] = [
            Target("UDP", "224.0.0.1", 5060),
            Target("TLS", one.address, 5061),
            Target("SCTP", one.address, 5060),
            Target("TCP", "10.9.9.9", 5060),
        ]
        alice.send(alice.request())
        scene.advance(5)
        self.assertEqual(one.starts()[0], "INVITE")

    def test_a_cancelled_call_tries_no_further_target(self) -> None:
        scene, alice, (one, two) = self.servers("one", "two")
        alice.send(alice.request(branch="z9hG4bKx", call_id="c"))
        invite = one.one()
        one.send(one.answer(invite, 180))
        alice.send(alice.request("CANCEL", branch="z9hG4bKx", call_id="c"))
        one.send(one.answer(invite, 503))
        self.assertEqual(two.take(), [])
        self.assertEqual(alice.starts(), ["180 INVITE", "200 CANCEL", "500 INVITE"])
        self.assertClean(scene)

    def test_a_stale_answer_of_an_earlier_target_is_nothing(self) -> None:
        scene, alice, (one, two) = self.servers("one", "two")
        alice.send(alice.request())
        invite = one.one()
        one.send(one.answer(invite, 503))
        two.send(two.answer(two.one(), 180))
        one.send(one.answer(invite, 180))
        one.send(one.answer(invite, 200))
        self.assertEqual(alice.starts(), ["180 INVITE"])
        self.assertEqual(scene.problems(), [])

    def test_names_that_lead_nowhere(self) -> None:
        scene = self.scene()
        alice = scene.peer("alice")
        scene.places.bind("bob", "sip:bob@nowhere.test")
        for delay in (None, 1.0):
            scene.locator.delay = delay
            with capturedLogs() as events:
                for _ in range(2):
                    alice.send(alice.request("MESSAGE"))
                    scene.advance(1)
                    self.assertEqual(alice.starts(), ["480 MESSAGE"])
            lines = said(events)
            self.assertEqual(len(lines), 1)
            self.assertIn(
                "reach sip:bob@nowhere.test of bob@example.test: there is no nowhere.test", lines[0]
            )
            scene.advance(10)  # one line in 10 seconds
        self.assertClean(scene)

    def test_contacts_that_cannot_be_reached(self) -> None:
        """480, for the caller may well go on to use this server; and a line that says why."""
        for contact, reason in (
            ("sip:bob@10.0.2.9;transport=foo", "sip over foo cannot be sent from here"),
            ("sip:bob@10.0.2.9;transport=tls", "TLS is not configured"),
            ("sip:bob@10.0.2.9;transport=wss", "sip over wss cannot be sent from here"),
            ("sips:bob@10.0.2.9", "TLS is not configured"),
            ("sip:bob@10.0.2.9:0", "10.0.2.9: 0 is not a port to send to"),
            ("sip:bob@[2001:db8::1]", "there is no UDP listener from which to reach 2001:db8::1"),
            ("sip:bob@10.0.2.1:9;transport=tcp", "Connection was refused by other side."),
        ):
            for method in ("INVITE", "MESSAGE"):
                scene = self.scene()
                alice = scene.peer("alice")
                scene.places.bind("bob", contact)
                with capturedLogs() as events:
                    alice.send(alice.request(method))
                    scene.advance(0.1)
                self.assertEqual([one.status for one in alice.take() if one.status > 100], [480], contact)
                (line,) = said(events)
                self.assertIn(f" of bob@example.test: {reason} (", line)

    def test_a_device_that_cannot_be_reached(self) -> None:
        """By its GRUU, too."""
        scene = self.scene()
        alice = scene.peer("alice")
        scene.places.bind("bob", Destination(sip("sip:bob@10.0.2.9;transport=foo"), instance="<urn:x>"))
        alice.send(alice.request("MESSAGE", "sip:bob@example.test;gr=urn:x"))
        self.assertEqual(alice.starts(), ["480 MESSAGE"])

    def test_where_no_user_of_ours_is(self) -> None:
        """503, so that whoever chose the place tries another (RFC 3261 section 16.9)."""
        scene = self.scene(trusted=lambda flow: True)
        scene.proxy.members = lambda flow: True
        alice = scene.peer("alice")
        alice.send(alice.request("MESSAGE", "sip:x@10.0.2.9;transport=tls"))
        self.assertEqual(alice.starts(), ["503 MESSAGE"])

    def test_dns_takes_its_time(self) -> None:
        scene, alice, (one, _) = self.servers("one", "two")
        scene.locator.delay = 2.0
        alice.send(alice.request(branch="z9hG4bKx"))
        alice.send(alice.request(branch="z9hG4bKx"))
        scene.advance(1)
        self.assertEqual((alice.starts(), one.take()), (["100 INVITE"], []))
        scene.advance(1)
        self.assertEqual(one.starts(), ["INVITE"])

    def test_an_ack_waits_for_dns_as_well(self) -> None:
        scene, alice, (one, _) = self.servers("one", "two")
        alice.send(alice.request(call_id="call"))
        one.send(one.answer(one.one(), 200, contact="sip:bob@servers.test"))
        route = f"Route: {alice.one().get('record-route')}\r\n"
        scene.locator.delay = 1.0
        tag = f"to-{one.address}"
        for uri in ("sip:bob@servers.test", "sip:bob@nowhere.test"):
            alice.send(alice.request("ACK", uri, to_tag=tag, call_id="call", extra=route))
        scene.advance(1)
        self.assertEqual(one.starts(), ["ACK"])


class SizeTests(Base):
    def place(self, transport: str, large: int = 1300) -> tuple[Scene, Peer, Peer]:
        scene = self.scene(ProxySettings(large=large))
        alice, bob = scene.peer("alice"), scene.peer("bob", transport)
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        return scene, alice, bob

    def test_a_large_request_goes_over_tcp(self) -> None:
        """Whatever makes it large; the proxy's own Via and Record-Route count as 200 octets."""
        filler = "X-Filler: " + "x" * 900 + "\r\n"
        for body, extra in (("b" * 1200, ""), ("", filler), ("b" * 450, "X-Filler: " + "x" * 450 + "\r\n")):
            scene, alice, bob = self.place("TCP")
            alice.send(alice.request(body=body, extra=extra))
            scene.advance(0.01)
            (invite,) = bob.take()
            self.assertEqual(invite.via.transport, "TCP")
            self.assertEqual(invite.body, body.encode())

    def test_a_large_ack_takes_the_way_of_its_invite(self) -> None:
        """Over TCP where that is had; where not, over UDP once that is known, and at once later."""
        for transport in ("TCP", "UDP"):
            scene, alice, bob = self.place(transport)
            alice.send(alice.request(call_id="call"))
            scene.advance(1)
            if transport == "TCP":  # bob does not hear the INVITE, which is small
                bob.take()
                alice.send(alice.request(call_id="call", branch="z9hG4bKlarge", body="b" * 1400))
                scene.advance(1)
            bob.send(bob.answer(bob.take()[-1], 200, contact=f"sip:bob@{bob.address}"))
            scene.advance(1)
            route = f"Route: {alice.take()[-1].get('record-route')}\r\n"
            for after in (5, 0.01):
                alice.send(
                    alice.request(
                        "ACK",
                        f"sip:bob@{bob.address}",
                        to_tag=f"to-{bob.address}",
                        call_id="call",
                        extra=route,
                        body="b" * 1400,
                    )
                )
                scene.advance(after)
                acks = [one for one in bob.take() if isinstance(one, Request) and one.method == "ACK"]
                self.assertEqual([ack.via.transport for ack in acks], [transport], after)

    def test_a_phone_without_tcp_gets_it_over_udp(self) -> None:
        scene, alice, bob = self.place("UDP")
        alice.send(alice.request(body="b" * 1200))
        scene.advance(5)
        self.assertEqual(bob.take()[0].via.transport, "UDP")
        self.assertNotIn("503 INVITE", alice.starts())

    def test_tcp_that_failed_is_not_tried_again_at_once(self) -> None:
        """For 30 s: connecting takes seconds where a firewall swallows the attempt."""
        scene, alice, bob = self.place("UDP")
        tcp = Target("TCP", bob.address, 5060)
        for seconds, failures in ((0, 1), (20, 1), (20, 2)):
            scene.advance(seconds)
            alice.send(alice.request("MESSAGE", body="b" * 1400))
            scene.advance(5)
            bob.send(bob.answer(bob.take()[-1], 200))
            scene.advance(1)
            self.assertEqual(scene.locator.failures, [tcp] * failures)

    def test_a_small_one_goes_over_udp(self) -> None:
        _, alice, bob = self.place("UDP")
        alice.send(alice.request(body="b" * 300))
        self.assertEqual(bob.one().via.transport, "UDP")

    def test_the_limit_is_on_the_forwarded_request(self) -> None:
        for more, transport in ((0, "UDP"), (1, "TCP")):
            scene, alice, bob = self.place("UDP")
            phone = scene.peer("streams", "TCP")
            scene.places.bind("bob", f"sip:bob@{(phone if transport == 'TCP' else bob).address}")
            text = alice.request(body="b" * (300 + more))
            received = f";received={alice.address}" if "rport" in text else ""
            head = text.split("\r\n\r\n")[0].split("\r\n")[1:]
            scene.proxy.settings.large = (
                300 + sum(len(line) + 2 for line in head) + len(received) + 200 + len("Max-Breadth: 60\r\n")
            )
            alice.send(text)
            scene.advance(0.01)
            self.assertEqual((phone if transport == "TCP" else bob).one().via.transport, transport)

    def test_without_a_tcp_listener_all_goes_over_udp(self) -> None:
        scene = self.scene(listen=("UDP",))
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        alice.send(alice.request(body="b" * 1400))
        self.assertEqual(bob.one().via.transport, "UDP")

    def test_what_goes_over_a_stream_anyway_is_left_alone(self) -> None:
        scene, alice, bob = self.place("TCP")
        scene.places.bind("bob", f"sip:bob@{bob.address};transport=tcp")
        alice.send(alice.request(body="b" * 5000))
        scene.advance(0.01)
        self.assertEqual(len(bob.take()), 1)
