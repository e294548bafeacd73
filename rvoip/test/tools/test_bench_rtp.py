"""tools/bench_rtp.py."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.jitter import FRAME
from rvoip.test.tools import load


class BenchTests(SynchronousTestCase):
    def test_every_step_has_its_cost(self) -> None:
        costs = load("bench_rtp").costs(20, 3)
        self.assertEqual(len(costs), 6)
        self.assertTrue(all(cost > 0 for _, cost in costs))

    def test_a_good_network_and_a_bad_one(self) -> None:
        bench = load("bench_rtp")
        good, bad = bench.through(0.0, 0.0, seconds=10.0), bench.through(0.05, 0.1, seconds=10.0)
        self.assertGreater(good.states[FRAME], bad.states[FRAME])
        self.assertLess(good.mean, bad.mean)
