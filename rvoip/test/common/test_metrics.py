"""Metrics in a registry of their own, and the lag of the reactor."""

from __future__ import annotations

from twisted.application.service import IService
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.common.metrics import LagProbe, Metrics


class MetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.metrics = Metrics("sip-proxy")

    def lines(self) -> list[str]:
        return self.metrics.expose()[0].decode().splitlines()

    def test_counted_values(self) -> None:
        self.metrics.counter("requests", "Requests.").inc()
        by_method = self.metrics.counter("responses", "Responses.", ("method",))
        by_method.labels("INVITE").inc(2)
        self.metrics.gauge("calls", "Calls.").set(7)
        self.metrics.histogram("seconds", "How long.", buckets=(1, 2)).observe(1.5)
        lines = self.lines()
        for line in [
            "# HELP rvoip_sip_proxy_requests_total Requests.",
            "# TYPE rvoip_sip_proxy_requests_total counter",
            "rvoip_sip_proxy_requests_total 1.0",
            'rvoip_sip_proxy_responses_total{method="INVITE"} 2.0',
            "rvoip_sip_proxy_calls 7.0",
            'rvoip_sip_proxy_seconds_bucket{le="1.0"} 0.0',
            'rvoip_sip_proxy_seconds_bucket{le="2.0"} 1.0',
            "rvoip_sip_proxy_seconds_count 1.0",
        ]:
            self.assertIn(line, lines)

    def test_values_that_are_read(self) -> None:
        count = 5
        self.metrics.collect_from("packets", "Packets.", lambda: count, "counter")
        self.metrics.collect_from("streams", "Streams.", lambda: 3)
        self.metrics.collect_labelled(
            "by_peer", "By peer.", ("peer", "side"), lambda: [(("a\n\"b\"", "in"), 1), (("b", "out"), 2)]
        )  # fmt: skip
        lines = self.lines()
        for line in [
            "rvoip_sip_proxy_packets_total 5.0",
            "rvoip_sip_proxy_streams 3.0",
            'rvoip_sip_proxy_by_peer{peer="a\\n\\"b\\"",side="in"} 1.0',
            'rvoip_sip_proxy_by_peer{peer="b",side="out"} 2.0',
        ]:
            self.assertIn(line, lines)
        count = 6
        self.assertIn("rvoip_sip_proxy_packets_total 6.0", self.lines())

    def test_a_value_that_cannot_be_read_is_left_out(self) -> None:
        def broken() -> float:
            raise ValueError("broken")

        self.metrics.collect_from("broken", "Broken.", broken)
        self.metrics.collect_labelled("short", "Short.", ("a", "b"), lambda: [(("only one",), 1)])
        self.metrics.collect_from("well", "Well.", lambda: 1)
        lines = self.lines()
        self.assertIn("rvoip_sip_proxy_well 1.0", lines)
        self.assertFalse([line for line in lines if "broken" in line or "short" in line])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_the_process(self) -> None:
        self.assertTrue([line for line in self.lines() if line.startswith("process_resident_memory_bytes ")])

    def test_names_are_unique_and_plain(self) -> None:
        self.metrics.counter("requests", "x")
        self.assertRaises(ValueError, self.metrics.gauge, "requests", "x")
        self.assertRaises(ValueError, self.metrics.collect_from, "requests", "x", lambda: 1)
        for name in ("", "Upper", "a-b", "a b", "1a", "\u0661"):
            self.assertRaises(ValueError, self.metrics.counter, name, "x")

    def test_two_roles_in_one_process(self) -> None:
        self.metrics.counter("requests", "x").inc()
        Metrics("sip-proxy").counter("requests", "x")
        self.assertIn("rvoip_sip_proxy_requests_total 1.0", self.lines())

    def test_formats(self) -> None:
        self.assertTrue(self.metrics.expose()[1].startswith("text/plain"))
        body, content_type = self.metrics.expose("application/openmetrics-text; version=1.0.0")
        self.assertTrue(content_type.startswith("application/openmetrics-text"))
        self.assertTrue(body.endswith(b"# EOF\n"))


class LagProbeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.probe = LagProbe(self.clock)
        self.probe.startService()

    def wait(self, seconds: float, step: float = 0.1) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def test_interface(self) -> None:
        verifyObject(IService, self.probe)

    def test_no_lag_in_time(self) -> None:
        self.wait(3)
        self.assertAlmostEqual(self.probe.lag, 0.0, places=6)

    def test_a_stall_counts_for_a_second(self) -> None:
        self.wait(1)
        self.clock.advance(0.35)
        self.assertAlmostEqual(self.probe.lag, 0.25, places=6)
        self.wait(0.9)
        self.assertAlmostEqual(self.probe.lag, 0.25, places=6)
        self.wait(0.2)
        self.assertAlmostEqual(self.probe.lag, 0.0, places=6)

    def test_the_worst_counts(self) -> None:
        self.clock.advance(0.2)
        self.clock.advance(0.4)
        self.assertAlmostEqual(self.probe.lag, 0.3, places=6)
        self.clock.advance(0.2)
        self.assertAlmostEqual(self.probe.lag, 0.3, places=6)
        self.wait(0.9)
        self.assertAlmostEqual(self.probe.lag, 0.1, places=6)

    def test_a_long_stall_is_seen_at_its_end(self) -> None:
        self.clock.advance(7.1)
        self.assertAlmostEqual(self.probe.lag, 7.0, places=6)

    def test_stopped(self) -> None:
        self.clock.advance(1)
        self.probe.stopService()
        self.assertEqual(self.probe.lag, 0.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.probe.stopService()
        self.probe.startService()
        self.wait(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
