"""The benchmark of the dialog layer runs, and every call of it goes through."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.tools import load


class BenchTests(SynchronousTestCase):
    def test_it_measures_both_ends(self) -> None:
        caller, called = load("bench_dialog").cpu(20)
        self.assertGreater(caller, 0)
        self.assertGreater(called, 0)

    def test_it_measures_what_is_held(self) -> None:
        """Some kilobytes a dialog: a bound that a leak of whole transactions would break."""
        self.assertTrue(1000 < load("bench_dialog").memory(200) < 12_000)

    def test_calls_leave_nothing(self) -> None:
        pair = load("bench_dialog").Pair()
        for _ in range(20):
            pair.call()
        pair.clock.advance(40)
        pair.clock.advance(40)
        for end in (pair.caller, pair.called):
            self.assertEqual((len(end.agent), end.layer.servers, end.layer.clients), (0, 0, 0))
