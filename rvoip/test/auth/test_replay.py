"""Each pair of nonce and count is accepted once, whatever the window has room for."""

from __future__ import annotations

import tracemalloc

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from rvoip.auth.replay import WINDOW, ReplayWindow

SETTINGS = settings(derandomize=True, deadline=None, max_examples=100, stateful_step_count=60)
SERIALS = st.integers(0, 20)
COUNTS = st.integers(1, 150) | st.sampled_from([1, 2, 2**32 - 1, 2**32 - 2]) | st.none()


class RoomyMachine(RuleBasedStateMachine):
    """With room for all, the window is exactly the rule of the model."""

    def __init__(self) -> None:
        super().__init__()
        self.window = ReplayWindow(1000, max_idle=1e9)
        self.used: dict[int, set[int | None]] = {}

    @rule(serial=SERIALS, nc=COUNTS)
    def use(self, serial: int, nc: int | None) -> None:
        used = self.used.setdefault(serial, set())
        if nc is None or None in used:
            expected = not used
        else:
            expected = nc not in used and nc > max((count for count in used if count), default=0) - WINDOW
        assert self.window.accept(serial, nc, 0.0) is expected
        if expected:
            used.add(nc)

    @invariant()
    def holds_what_was_used(self) -> None:
        assert len(self.window) == len([serial for serial, used in self.used.items() if used])


class TightMachine(RuleBasedStateMachine):
    """With room for a few and a clock that goes both ways, nothing is accepted twice and the bound holds."""

    ROOM = 6
    IDLE = 10.0

    def __init__(self) -> None:
        super().__init__()
        self.window = ReplayWindow(self.ROOM, max_idle=self.IDLE)
        self.used: set[tuple[int, int | None]] = set()
        self.touched: set[int] = set()
        self.highest = -1
        self.wall_now = 1000.0

    @rule(serial=SERIALS, nc=COUNTS)
    def use(self, serial: int, nc: int | None) -> None:
        accepted = self.window.accept(serial, nc, self.wall_now)
        if accepted:
            assert (serial, nc) not in self.used
            assert nc is not None or serial not in self.touched
            assert (serial, None) not in self.used
            self.used.add((serial, nc))
            self.touched.add(serial)
            self.highest = max(self.highest, serial)

    @rule()
    def use_a_new_nonce(self) -> None:
        """Whatever was forgotten, a nonce issued after every other is good."""
        self.highest += 1
        assert self.window.accept(self.highest, 1, self.wall_now)
        self.used.add((self.highest, 1))
        self.touched.add(self.highest)

    @precondition(lambda self: self.used)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        serial, nc = data.draw(st.sampled_from(sorted(self.used, key=repr)))
        assert not self.window.accept(serial, nc, self.wall_now)

    @rule(seconds=st.sampled_from([-3600.0, -1.0, 1.0, 11.0, 25.0, 3600.0]))
    def pass_time(self, seconds: float) -> None:
        self.wall_now += seconds

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.window) <= self.ROOM


RoomyMachine.TestCase.settings = SETTINGS
TightMachine.TestCase.settings = SETTINGS


class ModelTests(SynchronousTestCase):
    def test_with_room(self) -> None:
        RoomyMachine.TestCase().runTest()

    def test_without_room(self) -> None:
        TightMachine.TestCase().runTest()


class WindowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.window = ReplayWindow(8, max_idle=300.0)

    def accepted(self, *counts: int | None, serial: int = 1) -> list[bool]:
        return [self.window.accept(serial, count, 0.0) for count in counts]

    def test_counts(self) -> None:
        self.assertEqual(self.accepted(1, 1, 2, 3, 2, 3), [True, False, True, True, False, False])

    def test_out_of_order(self) -> None:
        """Requests overtake one another over UDP: late ones are taken, 63 counts behind and no more."""
        self.assertEqual(self.accepted(100, 37, 36, 99, 99, 37), [True, True, False, True, False, False])
        self.assertEqual(self.accepted(101, 37, 38, 100), [True, False, True, False])

    def test_a_leap(self) -> None:
        self.assertEqual(
            self.accepted(1, 2**32 - 1, 2, 2**32 - 1, 2**32 - 2), [True, True, False, False, True]
        )

    def test_without_a_count(self) -> None:
        self.assertEqual(self.accepted(None, None, 1, 2**32 - 1), [True, False, False, False])
        self.assertEqual(self.accepted(1, None, 2, serial=2), [True, False, True])

    def test_what_is_used_stays(self) -> None:
        """A phone that goes on with its nonce keeps its place while others come and go."""
        for count in range(1, 50):
            self.assertEqual(self.accepted(count), [True])
            self.assertEqual(self.accepted(1, serial=count + 1), [True])
        self.assertEqual(self.accepted(49, 50), [False, True])

    def test_a_nonce_is_held_once(self) -> None:
        for serial in (1, 2, 3, 4, 5):
            self.accepted(1, serial=serial)
        self.assertEqual(self.accepted(2, 3, serial=1), [True, True])
        self.assertEqual(len(self.window), 5)

    def test_what_was_forgotten_is_stale(self) -> None:
        for serial in range(10, 30):
            self.assertEqual(self.accepted(1, serial=serial), [True])
        self.assertEqual(self.accepted(1, 2, serial=10), [False, False])
        # Issued before what was forgotten, used for the first time now: stale as well.
        self.assertEqual(self.accepted(1, serial=5), [False])

    def test_idle_nonces_are_forgotten(self) -> None:
        window = ReplayWindow(1000, max_idle=300.0)
        for serial in range(400):
            window.accept(serial, 1, 1000.0)
        self.assertEqual(len(window), 400)
        window.accept(400, 1, 1301.0)
        window.accept(401, 1, 1602.0)
        self.assertEqual(len(window), 2)
        self.assertFalse(window.accept(399, 1, 1602.0))
        self.assertTrue(window.accept(400, 2, 1602.0))

    def test_idle_nonces_are_forgotten_after_the_clock_was_set_back(self) -> None:
        window = ReplayWindow(1000, max_idle=300.0)
        for serial in range(400):
            window.accept(serial, 1, 5000.0)
        for serial, wall_now in ((400, 1000.0), (401, 1301.0), (402, 1602.0)):
            self.assertTrue(window.accept(serial, 1, wall_now))
        self.assertEqual(len(window), 2)

    def test_small(self) -> None:
        """Bounded in bytes: 120 an entry where this was written."""
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            window = ReplayWindow(20_000)
            for serial in range(10**6, 10**6 + 40_000):
                window.accept(serial, 7, 0.0)
            size = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        self.assertLessEqual(len(window), 20_000)
        self.assertLess(size / len(window), 250)

    def test_refused(self) -> None:
        self.assertRaises(ValueError, ReplayWindow, 1)
