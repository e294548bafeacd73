"""The timer wheel under a clock that tests move."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.wheel import GRANULARITY, STRETCH_BITS, Timer, TimerWheel

T1 = 0.5


class WheelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock)
        self.fired: list[tuple[object, float]] = []

    def note(self, argument: object) -> None:
        self.fired.append((argument, self.clock.seconds()))

    def test_fires_once_with_its_argument_at_its_time(self) -> None:
        timer = self.wheel.schedule(T1, self.note, "A")
        self.assertTrue(timer.active)
        self.clock.advance(T1 - GRANULARITY / 2)
        self.assertEqual(self.fired, [])
        self.clock.advance(GRANULARITY / 2)
        self.assertEqual(self.fired, [("A", 0.5)])
        self.assertFalse(timer.active)
        self.clock.advance(100)
        self.assertEqual(len(self.fired), 1)

    def test_times_on_a_tick_are_exact(self) -> None:
        """Sums of floats that are a tick but for rounding don't cost another tick."""
        for delay in (0.1, 0.2, 0.3, 0.7, 1.1, 2.3, 4, 16, 32, 64.1):
            clock = Clock()
            clock.advance(0.1)
            clock.advance(0.2)
            fired: list[object] = []
            TimerWheel(clock).schedule(delay, fired.append, delay)
            clock.advance(delay)
            self.assertEqual(fired, [delay])

    def test_rounds_up_to_a_tick(self) -> None:
        self.wheel.schedule(0.011, self.note)
        self.clock.advance(0.0199)
        self.assertEqual(self.fired, [])
        self.clock.advance(0.0001)
        self.assertEqual(len(self.fired), 1)

    def test_no_delay_and_negative_delay_fire_in_the_next_turn(self) -> None:
        self.wheel.schedule(0, self.note, "none")
        self.wheel.schedule(-5, self.note, "negative")
        self.assertEqual(self.fired, [])
        self.clock.advance(0)
        self.assertEqual([name for name, _ in self.fired], ["negative", "none"])

    def test_same_tick_fires_in_order_of_scheduling(self) -> None:
        for number in range(50):
            self.wheel.schedule(1, self.note, number)
        self.clock.advance(1)
        self.assertEqual([argument for argument, _ in self.fired], list(range(50)))

    def test_cancelled_timer_does_not_fire(self) -> None:
        timer = self.wheel.schedule(1, self.note, "cancelled")
        self.wheel.schedule(1, self.note, "kept")
        timer.cancel()
        timer.cancel()
        self.assertFalse(timer.active)
        self.clock.advance(2)
        self.assertEqual(self.fired, [("kept", 2.0)])
        timer.cancel()

    def test_one_call_for_many_timers_and_none_when_idle(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        timers = [self.wheel.schedule(delay, self.note) for delay in (3, 1, 2, 900, 1.005, 3)]
        (call,) = self.clock.getDelayedCalls()
        self.assertAlmostEqual(call.getTime(), 1, places=6)
        self.assertEqual(len(self.wheel), 6)
        for timer in timers:
            timer.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.wheel), 0)
        self.wheel.schedule(1, self.note)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.fired), 1)

    def test_an_earlier_timer_moves_the_call(self) -> None:
        self.wheel.schedule(10, self.note, "late")
        self.wheel.schedule(1, self.note, "early")
        (call,) = self.clock.getDelayedCalls()
        self.assertAlmostEqual(call.getTime(), 1, places=6)
        self.clock.advance(1)
        self.assertEqual(self.fired, [("early", 1.0)])
        (call,) = self.clock.getDelayedCalls()
        self.assertAlmostEqual(call.getTime(), 10, places=6)

    def test_a_slot_emptied_and_filled_again(self) -> None:
        other = self.wheel.schedule(20, self.note, "other")
        for _ in range(1000):
            self.wheel.schedule(5, self.note, "again").cancel()
        self.wheel.schedule(5, self.note, "again")
        self.assertEqual(len(self.wheel), 2)
        self.assertLessEqual(len(self.wheel._heap), 2)
        other.cancel()
        self.clock.advance(5)
        self.assertEqual(self.fired, [("again", 5.0)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelling_the_earliest_costs_no_wrong_firing(self) -> None:
        early = self.wheel.schedule(1, self.note, "early")
        self.wheel.schedule(2, self.note, "late")
        early.cancel()
        self.clock.advance(1)
        self.assertEqual(self.fired, [])
        self.clock.advance(1)
        self.assertEqual(self.fired, [("late", 2.0)])

    def test_a_callback_schedules(self) -> None:
        """Retransmissions as in RFC 3261 section 17.1.1.2: 0.5, 1, 2, 4 seconds, without drift."""

        def again(interval: object) -> None:
            assert isinstance(interval, float)
            self.note(interval)
            if interval < 4:
                self.wheel.schedule(interval * 2, again, interval * 2)

        self.wheel.schedule(T1, again, T1)
        for _ in range(1000):
            self.clock.advance(0.01)
        self.assertEqual([round(time, 2) for _, time in self.fired], [0.5, 1.5, 3.5, 7.5])

    def test_a_callback_without_delay_does_not_starve_the_reactor(self) -> None:
        def again(_: object) -> None:
            self.note(None)
            self.wheel.schedule(0, again)

        self.wheel.schedule(0, again)
        self.clock.advance(0)
        self.assertEqual(len(self.fired), 1)
        self.clock.advance(GRANULARITY)
        self.assertEqual(len(self.fired), 2)

    def test_a_callback_cancels_another_of_its_tick(self) -> None:
        timers: list[Timer] = []
        self.wheel.schedule(1, lambda _: timers[0].cancel())
        timers.append(self.wheel.schedule(1, self.note, "cancelled"))
        self.wheel.schedule(1, self.note, "kept")
        self.clock.advance(1)
        self.assertEqual([argument for argument, _ in self.fired], ["kept"])
        self.assertEqual(len(self.wheel), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_callback_cancels_itself(self) -> None:
        def itself(argument: object) -> None:
            timers[0].cancel()
            self.note(argument)

        timers: list[Timer] = []
        timers.append(self.wheel.schedule(1, itself))
        self.clock.advance(1)
        self.assertEqual(len(self.fired), 1)

    def test_a_callback_that_raises_is_logged_and_the_rest_fire(self) -> None:
        def broken(_: object) -> None:
            raise ValueError("broken")

        self.wheel.schedule(1, broken)
        self.wheel.schedule(1, self.note, "same tick")
        self.wheel.schedule(2, self.note, "later")
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual([argument for argument, _ in self.fired], ["same tick", "later"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_stalled_reactor_fires_all_that_is_due_in_order(self) -> None:
        for delay in (5, 1, 3, 100, 60):
            self.wheel.schedule(delay, self.note, delay)
        self.clock.advance(50)
        self.assertEqual([argument for argument, _ in self.fired], [1, 3, 5])
        self.clock.advance(1000)
        self.assertEqual([argument for argument, _ in self.fired], [1, 3, 5, 60, 100])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_far_timers_share_slots_and_fire_on_their_tick(self) -> None:
        """100,000 bindings that expire within an hour don't take a slot each."""
        hour = 3600
        for number in range(2000):
            self.wheel.schedule(hour + number * 0.05, self.note, number)
        self.assertEqual(len(self.wheel), 2000)
        self.assertLess(len(self.wheel._slots), 6)
        self.clock.advance(hour)
        for _ in range(10_100):
            self.clock.advance(0.01)
        self.assertEqual(len(self.fired), 2000)
        for argument, time in self.fired:
            assert isinstance(argument, int)
            number = argument
            self.assertAlmostEqual(time, hour + number * 0.05, delta=0.0111)

    def test_a_far_timer_is_cancelled(self) -> None:
        timer = self.wheel.schedule(3600, self.note)
        kept = self.wheel.schedule(3601, self.note)
        timer.cancel()
        self.assertEqual(len(self.wheel), 1)
        kept.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.wheel.schedule(3600, self.note, "again")
        self.clock.advance(3599.99)
        self.assertEqual(self.fired, [])
        self.clock.advance(0.01)
        self.assertEqual(len(self.fired), 1)

    def test_near_and_far_timers_of_one_tick(self) -> None:
        stretch = (1 << STRETCH_BITS) * GRANULARITY
        self.wheel.schedule(3 * stretch, self.note, "far")
        self.clock.advance(2.5 * stretch)
        self.wheel.schedule(0.5 * stretch, self.note, "near")
        self.assertEqual(len(self.wheel), 2)
        self.clock.advance(0.5 * stretch)
        self.assertEqual({argument for argument, _ in self.fired}, {"near", "far"})

    def test_granularity(self) -> None:
        with self.assertRaises(ValueError):
            TimerWheel(self.clock, 0)
        wheel = TimerWheel(self.clock, 1.0)
        wheel.schedule(1.5, self.note)
        self.clock.advance(1.9)
        self.assertEqual(self.fired, [])
        self.clock.advance(0.1)
        self.assertEqual(len(self.fired), 1)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("schedule"), st.floats(-1, 300)),
                st.tuples(st.just("cancel"), st.integers(0, 30)),
                st.tuples(st.just("advance"), st.floats(0, 120)),
            ),
            max_size=60,
        )
    )
    def test_against_a_plain_list(self, steps: list[tuple[str, float]]) -> None:
        """Whatever is done to it, the wheel fires the timers that a list of deadlines would, each in time."""
        clock, fired, due, timers = Clock(), [], {}, []
        wheel = TimerWheel(clock)
        for number, (what, value) in enumerate(steps):
            if what == "schedule":
                timers.append(
                    (number, wheel.schedule(value, lambda n: fired.append((n, clock.seconds())), number))
                )
                due[number] = clock.seconds() + max(value, 0)
            elif what == "cancel" and timers:
                key, timer = timers[int(value) % len(timers)]
                timer.cancel()
                due.pop(key, None)
            elif what == "advance":
                clock.advance(value)
            for key, time in fired:
                deadline = due.pop(key)
                self.assertGreaterEqual(time, deadline - 1e-8)
            fired.clear()
            self.assertEqual(len(wheel), len(due))
            for deadline in due.values():
                self.assertLess(clock.seconds(), deadline + 2 * GRANULARITY)
            self.assertEqual(len(clock.getDelayedCalls()), 1 if due else 0)
