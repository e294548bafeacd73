"""The clock of a server as its clients see it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.registrar.stores.server_clock import ServerClock

THEIRS = 1_700_000_000.0


class ServerClockTests(SynchronousTestCase):
    """Samples are (seconds of the server's clock, ours, the offset after that, less THEIRS)."""

    def check(self, *samples: tuple[float, float, float]) -> None:
        clock = ServerClock()
        for theirs, ours, offset in samples:
            clock.sample(THEIRS + theirs, ours)
            self.assertAlmostEqual(clock.offset - THEIRS, offset, 5)

    def test_first(self) -> None:
        self.check((100.0, 40.0, 60.0))

    def test_late_replies_change_nothing(self) -> None:
        self.check((0.0, 0.0, 0.0), (1.0, 1.5, 0.0), (2.0, 2.01, 0.0), (5.0, 5.3, 0.0), (6.0, 6.0, 0.0))

    def test_the_first_was_late(self) -> None:
        self.check((0.0, 1.0, -1.0), (1.1, 1.1, 0.0))

    def test_jitter(self) -> None:
        """Differences of some milliseconds do not move it to and fro."""
        self.check((0.0, 0.0, 0.0), (1.015, 1.0, 0.0), (5.99, 6.0, 0.0), (12.012, 12.0, 0.0))

    def test_put_forward(self) -> None:
        self.check((0.0, 0.0, 0.0), (3601.0, 1.0, 3600.0))

    def test_put_back(self) -> None:
        """Only when no sample of a while says otherwise."""
        self.check(
            (0.0, 0.0, 0.0),
            (-3599.0, 1.0, 0.0),
            (-3595.0, 5.0, 0.0),
            (-3591.0, 9.0, 0.0),
            (-3589.0, 11.0, -3600.0),
        )

    def test_slow_drift(self) -> None:
        clock = ServerClock()
        for second in range(1000):
            clock.sample(THEIRS + second * 0.9999, second)
        self.assertLess(abs(clock.offset - THEIRS + 0.1), 0.03)
