"""OPTIONS to gateways, on a simulated network."""

from __future__ import annotations

from random import Random
from typing import Any

from rvoip.protocols.transport.flow import Target
from rvoip.proxy.gateways import Gateway, Gateways, GatewaySet, SetRules
from rvoip.proxy.probe import PROBE_TIMEOUT, Prober
from rvoip.test.proxy.scene import PROXY, Scene, sip
from rvoip.test.proxy.test_calls import Base


class ProbeTests(Base):
    def make(self, *uris: str, **rules: Any) -> Prober:
        self.made = Scene()
        self.retry_after: dict[str, str] = {}
        self.gateways = Gateways(self.made.reactor.seconds, Random(1).random)
        self.use(*uris, **rules)
        scene = self.made
        prober = Prober(self.gateways, scene.layer, scene.transport, scene.locator, lambda: f"sip:{PROXY}")
        prober.start()
        self.addCleanup(self.stop, prober)
        return prober

    def use(self, *uris: str, **rules: Any) -> None:
        rules.setdefault("probe", 10.0)
        listed = [Gateway("s", uri.partition(":")[2], sip(uri)) for uri in uris]
        self.gateways.replace([GatewaySet("s", SetRules(**rules), listed)])

    def stop(self, prober: Prober) -> None:
        prober.stop()
        self.made.advance(40)
        self.assertEqual(self.made.leftovers(), [])

    def states(self) -> list[str]:
        return [str(one["state"]) for one in self.gateways.gateways()]

    def pass_time(self, seconds: float, **answers: int) -> dict[str, int]:
        """Let peers answer at once with a status, 0 for not at all; how many were asked of each."""
        asked: dict[str, set[str]] = {name: set() for name in answers}
        for _ in range(round(seconds / 0.1)):
            self.made.advance(0.1)
            for name, status in answers.items():
                peer = self.peers[name]
                for options in peer.take():
                    self.assertEqual(options.method, "OPTIONS")
                    asked[name].add(options.call_id)
                    if status:
                        extra = self.retry_after.get(name, "") if status == 503 else ""
                        peer.send(peer.answer(options, status, extra=extra))
        return {name: len(calls) for name, calls in asked.items()}

    def gateways_at(self, *names: str) -> None:
        self.peers = {name: self.made.peer(name) for name in names}

    def test_what_is_sent(self) -> None:
        self.make("sip:10.0.2.1:5060;lr")
        peer = self.made.peer("gw")
        self.made.advance(1.5)
        options = peer.take()[0]
        self.assertEqual(options.uri_text, "sip:10.0.2.1:5060")
        self.assertEqual(options.from_.uri_text, f"sip:{PROXY}")
        self.assertEqual(options.max_forwards, 70)
        peer.send(peer.answer(options, 200))
        self.assertEqual(self.states(), ["active"])

    def test_interval(self) -> None:
        """Each once in an interval, not all at the same time."""
        names = [f"gw{number}" for number in range(20)]
        self.make(*[f"sip:10.0.2.{number}" for number in range(1, 21)], probe=10.0)
        self.gateways_at(*names)
        first = self.pass_time(0.5, **dict.fromkeys(names, 200))
        self.assertTrue(0 < sum(first.values()) < 20, first)
        asked = self.pass_time(30.5, **dict.fromkeys(names, 200))
        self.assertEqual({first[name] + asked[name] for name in names}, {3, 4})
        self.assertEqual(set(self.states()), {"active"})

    def test_down_and_up(self) -> None:
        self.make("sip:10.0.2.1", fail_after=2, recover_after=2, probe=5.0)
        self.gateways_at("gw")
        seen = []
        for status in (200, 0, 503, 200, 0, 200, 404):
            self.pass_time(5.0, gw=status)
            seen.append(self.states()[0])
        self.assertEqual(
            seen, ["active", "probing", "inactive", "inactive", "inactive", "inactive", "active"]
        )

    def test_a_late_answer(self) -> None:
        """It was counted as none."""
        self.make("sip:10.0.2.1", fail_after=1, probe=100.0)
        peer = self.made.peer("gw")
        self.made.advance(1.5 + PROBE_TIMEOUT)
        self.assertEqual(self.states(), ["inactive"])
        peer.send(peer.answer(peer.take()[0], 200))
        self.assertEqual(self.states(), ["inactive"])

    def test_latency(self) -> None:
        self.make("sip:10.0.2.1")
        peer = self.made.peer("gw")
        while not peer.inbox:
            self.made.advance(0.01)
        self.made.advance(0.3)
        peer.send(peer.answer(peer.one(), 200))
        (gateway,) = self.gateways
        self.assertApproximates(gateway.latency, 0.3, 0.02)

    def test_a_gateway_that_wants_peace(self) -> None:
        """503 with Retry-After: no calls for so long, whatever it answers meanwhile, at most five minutes."""
        self.make("sip:10.0.2.1", "sip:10.0.2.2", probe=10.0)
        self.gateways_at("one", "two")
        self.retry_after = {"one": "Retry-After: 25 (soon)\r\n", "two": "Retry-After: 99999999\r\n"}
        self.pass_time(1.5, one=503, two=503)
        self.assertEqual(self.states(), ["inactive", "inactive"])
        self.pass_time(20, one=200, two=200)
        self.assertEqual(self.states(), ["inactive", "inactive"])
        self.pass_time(20, one=200, two=200)
        self.assertEqual(self.states(), ["active", "inactive"])
        self.pass_time(280, one=200, two=200)
        self.assertEqual(self.states(), ["active", "active"])

    def test_disabled(self) -> None:
        prober = self.make("sip:10.0.2.1")
        self.gateways.set_state("s:10.0.2.1", "disabled")
        self.made.advance(50)
        self.assertEqual(prober.sent, 0)

    def test_names(self) -> None:
        """A name that does not resolve is a gateway that is not there."""
        self.make("sip:gw.test", "sip:gone.test", fail_after=1)
        self.gateways_at("gw")
        self.made.locator.delay = 0.1
        self.made.locator.names["gw.test"] = [Target("UDP", "10.0.2.1", 5060)]
        self.pass_time(1.5, gw=200)
        self.assertEqual(self.states(), ["active", "inactive"])

    def test_tcp_refused(self) -> None:
        self.make("sip:10.0.2.1;transport=tcp", fail_after=1)
        self.made.network.host("nobody", "10.0.2.1")
        self.made.advance(1.5)
        self.assertEqual(self.states(), ["inactive"])

    def test_other_gateways(self) -> None:
        """A gateway that is gone is not asked any more; a set that is not probed neither."""
        prober = self.make("sip:10.0.2.1", "sip:10.0.2.2")
        self.gateways_at("one", "two", "three")
        all_well = {"one": 200, "two": 200, "three": 200}
        self.assertEqual(self.pass_time(1.5, **all_well), {"one": 1, "two": 1, "three": 0})
        self.use("sip:10.0.2.2", "sip:10.0.2.3")
        self.assertEqual(self.pass_time(10, **all_well), {"one": 0, "two": 1, "three": 1})
        self.use("sip:10.0.2.2", probe=0.0)
        before = prober.sent
        self.pass_time(30, **all_well)
        self.assertEqual(prober.sent, before)
