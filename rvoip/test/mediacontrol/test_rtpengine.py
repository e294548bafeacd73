from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from rvoip.mediacontrol.errors import MediaRefused, MediaUnavailable
from rvoip.mediacontrol.interfaces import IMediaRelay
from rvoip.mediacontrol.rtpengine import WAITS, RTPEngines, parse_engine
from rvoip.test.mediacontrol.engine import SDP, FakeEngine
from rvoip.testing.network import SimulatedNetwork

OFFER = SDP.format(host="192.0.2.1", port=4000)


class AddressTests(TestCase):
    def test_addresses(self) -> None:
        self.assertEqual(parse_engine("udp:192.0.2.1:22222"), ("192.0.2.1", 22222))
        self.assertEqual(parse_engine("udp:[2001:DB8::1]:2223"), ("2001:db8::1", 2223))
        for text in (
            "192.0.2.1:22222",
            "udp:host:22222",
            "udp:192.0.2.1",
            "udp:192.0.2.1:0",
            "tcp:192.0.2.1:1",
            "udp:192.0.2.1:70000",
            "udp:192.0.2.1:1_0",
            "",
        ):
            self.assertRaises(ValueError, parse_engine, text)


class RTPEngineTests(TestCase):
    def make(self, count: int = 2, **network: Any) -> RTPEngines:
        self.network = SimulatedNetwork(seed=3, **network)
        self.engines = {}
        addresses = []
        for number in range(count):
            host = f"10.0.0.{11 + number}"
            engine = self.engines[host] = FakeEngine(host)
            self.network.host(host, host).listenUDP(22222, engine, host)
            addresses.append((host, 22222))
        self.reactor = self.network.host("proxy", "10.0.0.1")
        serial = iter(range(1_000_000))
        relay = RTPEngines(self.reactor, addresses, lambda: f"c{next(serial)}", {"ICE": "remove"})
        relay.open()
        self.addCleanup(relay.close)
        verifyObject(IMediaRelay, relay)
        return relay

    def result(self, waiting: Any) -> Any:
        return self.network.result_of(waiting, within=30)

    def fails(self, waiting: Any, error: type[Exception]) -> Exception:
        try:
            self.result(waiting)
        except error as raised:
            return raised
        raise AssertionError("it did not fail")

    def where(self, call_id: str) -> str:
        (host,) = [host for host, engine in self.engines.items() if call_id in engine.calls]
        return host

    def test_a_call(self) -> None:
        relay = self.make()
        offer = self.result(relay.offer("x", "a", OFFER, branch="z9", received="192.0.2.9"))
        host = self.where("x")
        self.assertIn(f"c=IN IP4 {host}", offer)
        answer = self.result(relay.answer("x", "a", "b", OFFER, received="2001:db8::1"))
        self.assertIn(f"c=IN IP4 {host}", answer)
        self.result(relay.delete("x", "a"))
        engine = self.engines[host]
        self.assertEqual(engine.commands, [("offer", "x"), ("answer", "x"), ("delete", "x")])
        first, second, third = engine.arguments
        self.assertEqual(
            {key: first[key] for key in ("ICE", "from-tag", "via-branch", "received-from", "sdp")},
            {
                "ICE": b"remove",
                "from-tag": b"a",
                "via-branch": b"z9",
                "received-from": [b"IP4", b"192.0.2.9"],
                "sdp": OFFER.encode(),
            },
        )
        self.assertNotIn("to-tag", first)
        self.assertEqual(first["flags"], [b"loop-protect", b"SIP-source-address"])
        self.assertEqual(second["to-tag"], b"b")
        self.assertEqual(second["received-from"], [b"IP6", b"2001:db8::1"])
        self.assertEqual(third["from-tag"], b"a")

    def test_calls_are_spread(self) -> None:
        relay = self.make()
        for number in range(40):
            self.result(relay.offer(f"call {number}", "a", OFFER))
        for engine in self.engines.values():
            self.assertGreater(len(engine.calls), 10)

    def test_lost_datagrams(self) -> None:
        """Nothing is done twice, and hardly anything fails: each try is answered with a chance of 0.49."""
        relay = self.make(1, loss=0.3)
        (engine,) = self.engines.values()
        done = failed = 0
        for number in range(200):
            try:
                self.result(relay.offer(f"call {number}", "a", OFFER))
                done += 1
            except MediaUnavailable:
                failed += 1
        self.assertEqual(done + failed, 200)
        self.assertApproximates(failed, 200 * 0.51**3, 15)
        self.assertEqual(len(set(engine.commands)), len(engine.commands))
        self.assertGreater(relay.engines[0].retried, 50)

    def test_a_dead_engine(self) -> None:
        """A new call goes to the other one, after the time for all tries; later ones at once."""
        relay = self.make()
        call = next(
            name
            for name in (f"call {number}" for number in range(100))
            if relay._choice.of(name) == "10.0.0.11 22222"
        )
        self.engines["10.0.0.11"].mute = True
        began = self.reactor.seconds()
        self.result(relay.offer(call, "a", OFFER))
        self.assertAlmostEqual(self.reactor.seconds() - began, sum(WAITS), 3)
        self.assertEqual(self.where(call), "10.0.0.12")
        self.result(relay.answer(call, "a", "b", OFFER))
        began = self.reactor.seconds()
        for number in range(10):
            self.result(relay.offer(f"new {number}", "a", OFFER))
        self.assertEqual(self.reactor.seconds(), began)
        self.engines["10.0.0.11"].mute = False
        self.result(relay.offer(call, "b", OFFER, to_tag="a"))
        self.assertEqual(self.engines["10.0.0.11"].commands, [], "the call stays where it is")
        self.assertEqual(self.result(relay.ping()), {"10.0.0.11 22222": True, "10.0.0.12 22222": True})

    def test_a_call_does_not_move(self) -> None:
        """A re-offer has nowhere else to go than where the ports of its call are."""
        relay = self.make()
        self.result(relay.offer("x", "a", OFFER))
        self.engines[self.where("x")].mute = True
        self.fails(relay.offer("x", "a", OFFER, to_tag="b"), MediaUnavailable)
        self.fails(relay.answer("x", "a", "b", OFFER), MediaUnavailable)

    def test_refused(self) -> None:
        relay = self.make(1)
        (engine,) = self.engines.values()
        engine.error = "Unknown call-id\r\n\x1b[31m"
        error = self.fails(relay.offer("x", "a", OFFER), MediaRefused)
        self.assertEqual(str(error), "Unknown call-id???[31m")
        self.fails(relay.offer("x", "a", "x" * 70000), MediaRefused)

    def test_nobody(self) -> None:
        relay = self.make(0)
        self.fails(relay.offer("x", "a", OFFER), MediaUnavailable)
        self.fails(relay.delete("x", "a"), MediaUnavailable)
        self.assertEqual(self.result(relay.ping()), {})

    def test_strangers_and_noise(self) -> None:
        """What does not come from the engine, or is no answer, changes nothing."""
        relay = self.make(1)
        (engine,) = self.engines.values()
        engine.mute = True
        waiting = relay.engines[0].command("ping", {})
        own = relay.engines[0]
        own.datagramReceived(b"c0 d6:result4:ponge", ("10.0.0.99", 22222))
        own.datagramReceived(b"c0 d6:result4:ponge", ("10.0.0.11", 22223))
        for noise in (b"", b"c0", b"c0 ", b"c0 i1e", b"c0 d", b"\x00 de", b"c9 d6:result4:ponge"):
            own.datagramReceived(noise, ("10.0.0.11", 22222))
        self.assertFalse(waiting.called)
        own.datagramReceived(b"c0 d6:result4:ponge", ("10.0.0.11", 22222))
        self.assertEqual(self.successResultOf(waiting), {"result": b"pong"})

    def test_other_engines(self) -> None:
        relay = self.make()
        self.result(relay.offer("x", "a", OFFER))
        waiting = relay.engines[0].command("ping", {})
        relay.use([("10.0.0.12", 22222)])
        self.failureResultOf(waiting, MediaUnavailable)
        self.result(relay.offer("y", "a", OFFER))
        self.assertEqual(self.where("y"), "10.0.0.12")
        relay.close()
        self.fails(relay.offer("z", "a", OFFER), MediaUnavailable)
        self.assertTrue(self.network.quiet())
