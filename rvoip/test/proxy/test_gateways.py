from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import TestCase

from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.proxy.gateways import Gateway, Gateways, GatewaySet, SetRules, hash_key
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.rewrite import Rewrite
from rvoip.proxy.statuses import parse_statuses
from rvoip.proxy.targets import Refused, Targets
from rvoip.test.proxy.scene import sip


def request(method: str = "INVITE", uri: str = "sip:+49301@example.test", call_id: str = "c1") -> Request:
    lines = [
        f"{method} {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1",
        "From: <sip:alice@example.test>;tag=1",
        "To: <sip:bob@example.test>",
        f"Call-ID: {call_id}",
        f"CSeq: 1 {method}",
        "Content-Length: 0",
    ]
    made = parse_message(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert isinstance(made, Request)
    return made


def group(*uris: str, name: str = "s", **rules: Any) -> GatewaySet:
    return GatewaySet(
        name, SetRules(**rules), [Gateway(name, uri.partition(":")[2], sip(uri)) for uri in uris]
    )


class GatewaysTests(TestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.gateways = Gateways(lambda: self.now, Random(1).random)

    def targets(
        self, made: Request | None = None, uri: str = "sip:+49301@example.test;x=1;user=phone"
    ) -> Targets:
        return self.gateways.targets("s", made or request(), sip(uri))

    def hosts(self, targets: Targets) -> list[list[str]]:
        return [[one.uri.host for one in group] for group in targets.groups]

    def state(self, id: str) -> str:
        (found,) = [one["state"] for one in self.gateways.gateways() if one["id"] == id]
        return str(found)

    def test_what_is_sent_where(self) -> None:
        self.gateways.replace([group("sip:10.1.0.1:5070;transport=tcp;lr", "sips:gw.test")])
        first, second = [one for (one,) in self.targets().groups]
        self.assertEqual(str(first.uri), "sip:+49301@10.1.0.1:5070;user=phone;transport=tcp")
        self.assertEqual(str(first.next_hop), "sip:10.1.0.1:5070;transport=tcp;lr")
        self.assertEqual(str(second.uri), "sips:+49301@gw.test;user=phone")
        self.assertEqual(self.targets().go_on, parse_statuses(["408", "5xx"]))

    def test_kept_uri(self) -> None:
        self.gateways.replace([group("sip:10.1.0.1", keep_uri=True, ring=30.0)])
        ((one,),) = self.targets().groups
        self.assertEqual(str(one.uri), "sip:+49301@example.test;x=1;user=phone")
        self.assertEqual((str(one.next_hop), one.timeout, one.patience), ("sip:10.1.0.1", 30.0, 2.0))
        ((one,),) = self.targets(request("MESSAGE")).groups
        self.assertEqual(one.timeout, 0.0)

    def test_own_rewrite(self) -> None:
        made = group("sip:10.1.0.1", "sip:10.1.0.2")
        made.gateways[1].rewrite = Rewrite(NumberPlan(), strip=1, add="00")
        self.gateways.replace([made])
        self.assertEqual([str(one.uri.user) for (one,) in self.targets().groups], ["+49301", "0049301"])

    def test_round_robin(self) -> None:
        """A call that comes again, as after a challenge, has the turn that it had."""
        self.gateways.replace([group("sip:a.test", "sip:b.test", algorithm="round_robin")])
        first = []
        for number in range(4):
            for _ in range(2):
                first.append(self.hosts(self.targets(request(call_id=f"c{number}")))[0][0])
        self.assertEqual("".join(host[0] for host in first), "aabbaabb")

    def test_parallel_and_tries(self) -> None:
        self.gateways.replace([group("sip:a.test", "sip:b.test", algorithm="parallel")])
        self.assertEqual(self.hosts(self.targets()), [["a.test", "b.test"]])
        self.gateways.replace([group("sip:a.test", "sip:b.test", "sip:c.test", tries=2)])
        self.assertEqual(len(self.targets()), 2)

    def test_failures_take_a_gateway_out(self) -> None:
        self.gateways.replace([group("sip:a.test", "sip:b.test", algorithm="hash_to", fail_after=2)])
        first = self.targets().groups[0][0]
        host = first.uri.host
        assert first.done is not None
        first.done(503)
        self.assertEqual(self.state(f"s:{host}"), "probing")
        self.assertEqual(self.hosts(self.targets())[0], [host], "it has another chance")
        first.done(408)
        self.assertEqual(self.state(f"s:{host}"), "inactive")
        self.assertNotIn([host], self.hosts(self.targets()))
        self.now += 60.0
        self.assertEqual(self.hosts(self.targets())[0], [host], "rested")
        first.done(486)
        self.assertEqual(self.state(f"s:{host}"), "active", "the callee is busy: the gateway is well")

    def test_other_failures_are_the_callees(self) -> None:
        self.gateways.replace([group("sip:a.test", fail_after=1)])
        done = self.targets().groups[0][0].done
        assert done is not None
        for status in (404, 480, 486, 487, 500, 603, 200):
            done(status)
            self.assertEqual(self.state("s:a.test"), "active", status)
        done(503)
        done(487)
        self.assertEqual(self.state("s:a.test"), "inactive", "a cancelled call says nothing")

    def test_none_left(self) -> None:
        self.gateways.replace([group("sip:a.test", "sip:b.test")])
        self.assertTrue(self.gateways.set_state("s:a.test", "disabled"))
        self.assertEqual(self.hosts(self.targets()), [["b.test"]])
        self.gateways.set_state("s:b.test", "inactive")
        refused = self.assertRaises(Refused, self.targets)
        self.assertEqual((refused.status, dict(refused.headers)), (503, {"Retry-After": "10"}))
        self.assertFalse(self.gateways.set_state("s:c.test", "active"))
        self.assertRaises(ValueError, self.gateways.set_state, "s:a.test", "asleep")

    def test_probes(self) -> None:
        self.gateways.replace(
            [group("sip:a.test", probe=10.0, alive=parse_statuses(["200", "404"]), fail_after=2)]
        )
        (gateway,) = self.gateways
        for status, expected in ((403, "probing"), (408, "inactive"), (404, "active"), (200, "active")):
            self.gateways.probed(gateway, status, 0.1)
            self.assertEqual(self.state("s:a.test"), expected)
        self.assertAlmostEqual(gateway.latency, 0.1)
        self.gateways.probed(gateway, 200, 0.6)
        self.assertAlmostEqual(gateway.latency, 0.2)

    def test_reload_keeps_what_stays(self) -> None:
        self.gateways.replace([group("sip:a.test", "sip:b.test")])
        self.gateways.set_state("s:a.test", "disabled")
        self.gateways.set_state("s:b.test", "disabled")
        self.targets_began("1", "s:a.test")
        moved = group("sip:a.test", "sip:b.test", "sip:c.test")
        moved.gateways[1] = Gateway("s", "b.test", sip("sip:10.9.9.9"))
        self.gateways.replace([moved])
        states = {one["id"]: (one["state"], one["calls"]) for one in self.gateways.gateways()}
        self.assertEqual(
            states, {"s:a.test": ("disabled", 1), "s:b.test": ("active", 0), "s:c.test": ("active", 0)}
        )

    def targets_began(self, call_id: str, id: str) -> None:
        self.gateways.loads.began(call_id, id)
        self.gateways.loads.answered(call_id, id)

    def test_least_loaded(self) -> None:
        self.gateways.replace([group("sip:a.test", "sip:b.test", algorithm="load")])
        counts = []
        for number in range(6):
            first = self.targets(request(call_id=f"c{number}")).groups[0][0]
            assert first.begun is not None and first.done is not None
            first.begun()
            first.done(200)
            counts.append([one["calls"] for one in self.gateways.gateways()])
        self.assertEqual(counts, [[1, 0], [1, 1], [2, 1], [2, 2], [3, 2], [3, 3]])
        for call in ("c0", "c2", "c4"):
            self.gateways.loads.ended(call)
        self.assertEqual(self.hosts(self.targets(request(call_id="c7")))[0], ["a.test"])

    def test_failover_moves_the_call(self) -> None:
        self.gateways.replace([group("sip:a.test", "sip:b.test")])
        counts = []
        for (one,), status in zip(self.targets().groups, (503, 200)):
            assert one.begun is not None and one.done is not None
            one.begun()
            counts.append([gateway["calls"] for gateway in self.gateways.gateways()])
            one.done(status)
            counts.append([gateway["calls"] for gateway in self.gateways.gateways()])
        self.assertEqual(counts, [[1, 0], [0, 0], [0, 1], [0, 1]])

    def test_full(self) -> None:
        made = group("sip:a.test", "sip:b.test", algorithm="priority")
        made.gateways[0].limit = 1
        made.gateways[0].priority = 9
        self.gateways.replace([made])
        for _ in range(2):
            targets = self.targets(request(call_id="1"))
            self.assertEqual(self.hosts(targets), [["a.test"], ["b.test"]], "no attempt has begun")
        begun = targets.groups[0][0].begun
        assert begun is not None
        begun()
        self.assertEqual(self.hosts(self.targets(request(call_id="2"))), [["b.test"]])
        self.assertEqual(
            self.hosts(self.targets(request(call_id="1")))[0], ["a.test"], "with credentials now"
        )
        self.gateways.loads.ended("1")
        self.assertEqual(self.hosts(self.targets(request(call_id="3"))), [["a.test"], ["b.test"]])

    def test_other_requests_are_no_calls(self) -> None:
        self.gateways.replace([group("sip:a.test")])
        one = self.targets(request("MESSAGE")).groups[0][0]
        assert one.begun is not None and one.done is not None
        one.begun()
        one.done(200)
        self.assertEqual([gateway["calls"] for gateway in self.gateways.gateways()], [0])

    def test_what_is_hashed(self) -> None:
        made = request(call_id="c9")
        uri = sip("sip:+49301@Example.TEST:5070;x=1")
        for algorithm, key in (
            ("hash_call_id", "c9"),
            ("hash_from", "alice@example.test"),
            ("hash_to", "bob@example.test"),
            ("hash_uri", "+49301@example.test"),
            ("random", ""),
        ):
            self.assertEqual(hash_key(algorithm, made, uri), key)
