from __future__ import annotations

import threading

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.testing import memory_clock
from rvoip.testing.memory_clock import MemoryClock, NotFiredError


class CallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = MemoryClock()
        self.seen: list[tuple[str, float]] = []

    def note(self, name: str) -> None:
        self.seen.append((name, self.clock.seconds()))

    def test_each_call_sees_its_own_time(self) -> None:
        self.clock.callLater(2, self.note, "b")
        self.clock.callLater(1, self.note, "a")
        self.clock.advance(5)
        self.assertEqual(self.seen, [("a", 1.0), ("b", 2.0)])
        self.assertEqual(self.clock.seconds(), 5.0)

    def test_a_chain_of_calls_unrolls_within_one_advance(self) -> None:
        def again(left: int) -> None:
            self.note(str(left))
            if left:
                self.clock.callLater(0.5, again, left - 1)

        self.clock.callLater(0.5, again, 3)
        self.clock.advance(10)
        self.assertEqual(self.seen, [("3", 0.5), ("2", 1.0), ("1", 1.5), ("0", 2.0)])

    def test_calls_due_at_the_same_time_run_in_the_order_they_were_made(self) -> None:
        for name in "abcdef":
            self.clock.callLater(1, self.note, name)
        self.clock.advance(1)
        self.assertEqual("".join(name for name, _ in self.seen), "abcdef")

    def test_a_call_due_exactly_at_the_end_runs(self) -> None:
        self.clock.callLater(1, self.note, "a")
        self.clock.advance(0.5)
        self.assertEqual(self.seen, [])
        self.clock.advance(0.5)
        self.assertEqual(self.seen, [("a", 1.0)])

    def test_cancel_delay_and_reset(self) -> None:
        cancelled = self.clock.callLater(1, self.note, "cancelled")
        delayed = self.clock.callLater(1, self.note, "delayed")
        sooner = self.clock.callLater(9, self.note, "sooner")
        later = self.clock.callLater(2, self.note, "later")
        same = self.clock.callLater(2, self.note, "same")
        cancelled.cancel()
        delayed.delay(4)
        sooner.reset(0.5)
        later.reset(7)
        self.assertEqual(list(self.clock.getDelayedCalls()), [sooner, same, delayed, later])
        self.assertEqual(self.clock.next_call_at(), 0.5)
        self.clock.advance(10)
        self.assertEqual(self.seen, [("sooner", 0.5), ("same", 2.0), ("delayed", 5.0), ("later", 7.0)])
        self.assertIsNone(self.clock.next_call_at())

    def test_cancel_among_equals(self) -> None:
        calls = [self.clock.callLater(1, self.note, str(index)) for index in range(5)]
        calls[3].cancel()
        calls[0].cancel()
        self.clock.advance(1)
        self.assertEqual([name for name, _ in self.seen], ["1", "2", "4"])

    def test_what_a_call_raises_is_logged_and_the_rest_run(self) -> None:
        self.clock.callLater(1, lambda: 1 / 0)
        self.clock.callLater(1, self.note, "b")
        self.clock.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.seen, [("b", 1.0)])

    def test_a_loop_that_lets_no_time_pass_is_found(self) -> None:
        self.patch(memory_clock, "BUSY_LIMIT", 50)

        def again() -> None:
            self.clock.callLater(0, again)

        self.clock.callLater(1, again)
        error = self.assertRaises(RuntimeError, self.clock.advance, 2)
        self.assertIn("50 calls at 1.0 s", str(error))

    def test_refusals(self) -> None:
        self.assertRaises(AssertionError, self.clock.callLater, -0.001, self.note, "a")
        self.assertRaises(AssertionError, self.clock.callLater, float("nan"), self.note, "a")
        self.assertRaises(ValueError, self.clock.advance, -1)
        self.clock.callLater(0, self.clock.advance, 1)
        self.clock.advance()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_interface(self) -> None:
        self.assertTrue(verifyObject(IReactorTime, self.clock, tentative=True))


class ThreadTests(SynchronousTestCase):
    def test_what_a_thread_hands_over_runs_in_advance(self) -> None:
        clock = MemoryClock()
        seen: list[int] = []

        def work() -> None:
            for number in range(100):
                clock.call_from_thread(seen.append, number)

        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        self.assertEqual(seen, [])
        clock.advance(0)
        self.assertEqual(seen, list(range(100)))

    def test_it_may_be_asked_for_from_within_a_call(self) -> None:
        clock = MemoryClock()
        seen: list[float] = []
        clock.callLater(1, lambda: clock.call_from_thread(lambda: seen.append(clock.seconds())))
        clock.advance(5)
        self.assertEqual(seen, [1.0])


class WaitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = MemoryClock()

    def test_run_until_stops_at_the_call_that_makes_it_true(self) -> None:
        seen: list[int] = []
        for delay in (1, 2, 3):
            self.clock.callLater(delay, seen.append, delay)
        self.assertTrue(self.clock.run_until(lambda: 2 in seen))
        self.assertEqual((seen, self.clock.seconds()), ([1, 2], 2.0))

    def test_run_until_gives_up_at_its_limit(self) -> None:
        seen: list[int] = []
        self.clock.callLater(11, seen.append, 1)
        self.assertFalse(self.clock.run_until(lambda: bool(seen), within=10))
        self.assertEqual(self.clock.seconds(), 10.0)

    def test_run_until_does_not_hang_on_rounded_times(self) -> None:
        seen: list[int] = []
        self.clock.advance(0.1)
        self.clock.advance(0.7)
        for count in range(20):
            self.clock.callLater(0.1 + 0.2 * count, seen.append, count)
        self.assertTrue(self.clock.run_until(lambda: len(seen) == 20))

    def test_result_of_a_coroutine(self) -> None:
        async def after(delay: float) -> float:
            fired: Deferred[None] = Deferred()
            self.clock.callLater(delay, fired.callback, None)
            await fired
            return self.clock.seconds()

        self.assertEqual(self.clock.result_of(after(3)), 3.0)

    def test_result_of_raises_the_failure(self) -> None:
        failing: Deferred[None] = Deferred()
        self.clock.callLater(1, failing.errback, KeyError("gone"))
        self.assertRaises(KeyError, self.clock.result_of, failing)

    def test_result_of_cancels_what_does_not_fire(self) -> None:
        cancelled: list[object] = []
        never: Deferred[None] = Deferred(cancelled.append)
        self.assertRaises(NotFiredError, self.clock.result_of, never, within=5)
        self.assertEqual(cancelled, [never])
