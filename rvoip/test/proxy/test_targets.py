"""Where requests go, as values."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.proxy.targets import Destination, Refused, Targets, one_flow_each
from rvoip.test.proxy.scene import sip


def at(host: str, q: int = 1000, instance: str = "") -> Destination:
    return Destination(sip(f"sip:bob@{host}"), q=q, instance=instance)


def hosts(destinations: list[Destination]) -> list[str]:
    return [one.uri.host for one in destinations]


class TargetsTests(SynchronousTestCase):
    def test_parallel_is_one_group(self) -> None:
        targets = Targets.parallel([at("a", 1), at("b", 1000)])
        self.assertEqual([hosts(group) for group in targets.groups], [["a", "b"]])
        self.assertEqual(len(targets), 2)
        self.assertTrue(targets)

    def test_sequential_goes_by_falling_q(self) -> None:
        targets = Targets.sequential([at("a", 200), at("b", 1000), at("c", 200), at("d", 500)])
        self.assertEqual([hosts(group) for group in targets.groups], [["b"], ["d"], ["a", "c"]])

    def test_no_destination_is_no_group(self) -> None:
        for targets in (Targets(()), Targets.parallel([]), Targets.sequential([]), Targets([[], []])):
            self.assertEqual((bool(targets), len(targets), targets.groups), (False, 0, []))

    def test_refused_says_what_to_answer(self) -> None:
        refused = Refused(420, headers=[("Unsupported", "x")])
        self.assertEqual((refused.status, refused.reason, refused.stateless), (420, None, False))
        self.assertEqual(refused.headers, (("Unsupported", "x"),))

    def test_a_reason_is_one_line(self) -> None:
        for reason in ("No\r\nX: 1", "No\n", "\rNo"):
            with self.assertRaises(ValueError):
                Refused(403, reason)

    def test_repr(self) -> None:
        self.assertEqual(repr(at("a")), "<Destination sip:bob@a>")


class FlowTests(SynchronousTestCase):
    """RFC 5626 section 7: one flow of a device at a time."""

    def test_without_devices_nothing_changes(self) -> None:
        destinations = [at("a"), at("b"), at("c", instance="x")]
        self.assertIs(one_flow_each(destinations), destinations)

    def test_the_other_flows_of_a_device_wait(self) -> None:
        found = one_flow_each([at("a", instance="x"), at("b"), at("c", instance="x"), at("d", instance="y")])
        self.assertEqual(hosts(found), ["a", "b", "d"])
        self.assertEqual([hosts(list(one.others)) for one in found], [["c"], [], []])
        self.assertEqual(found[0].instance, "x")

    def test_the_best_flow_comes_first(self) -> None:
        (found,) = one_flow_each([at("a", 100, "x"), at("b", 900, "x"), at("c", 900, "x")])
        self.assertEqual((found.uri.host, found.q), ("b", 900))
        self.assertEqual(hosts(list(found.others)), ["c", "a"])

    def test_all_of_a_flow_is_kept(self) -> None:
        flow = Destination(sip("sip:b@a"), ("<sip:p;lr>",), "tcp/1", 500, True, "x")
        (found,) = one_flow_each([flow, at("b", 100, "x")])
        self.assertEqual(
            (found.uri, found.route, found.flow_token, found.q, found.flow_only),
            (flow.uri, flow.route, flow.flow_token, 500, True),
        )
