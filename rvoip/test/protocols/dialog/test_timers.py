"""The timer values of RFC 3261 table 4."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.timers import Timers


class TimersTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        timers = Timers()
        self.assertEqual((timers.t1, timers.t2, timers.t4), (0.5, 4.0, 5.0))
        self.assertEqual((timers.lifetime, timers.d), (32.0, 32.0))

    def test_everything_follows_t1_but_timer_d_never_falls_below_32_s(self) -> None:
        self.assertEqual(Timers(t1=0.1).lifetime, 6.4)
        self.assertEqual(Timers(t1=0.1).d, 32.0)
        self.assertEqual(Timers(t1=2.0).d, 128.0)

    def test_patience_ends_when_timer_e_is_reset_to_t2(self) -> None:
        """RFC 4320 section 4.1; Timer E fires at T1, 3*T1, 7*T1 ..."""
        self.assertEqual(Timers().patience, 3.5)
        self.assertEqual(Timers(t1=1.0, t2=4.0).patience, 3.0)
        self.assertEqual(Timers(t1=0.5, t2=3.0).patience, 3.5)
        self.assertEqual(Timers(t1=4.0, t2=4.0).patience, 4.0)

    def test_t2_is_never_below_t1(self) -> None:
        self.assertEqual(Timers(t1=6.0).t2, 6.0)

    def test_times_that_are_none(self) -> None:
        for t1 in (0.0, -1.0, float("nan")):
            self.assertRaises(ValueError, Timers, t1=t1)
        self.assertRaises(ValueError, Timers, t4=-1.0)
