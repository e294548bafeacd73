from __future__ import annotations

from collections import Counter
from unittest import mock

from twisted.trial.unittest import TestCase

from rvoip.mediacontrol import choice
from rvoip.mediacontrol.choice import AVOIDED, Choice


class ChoiceTests(TestCase):
    def setUp(self) -> None:
        self.choice = Choice(["a", "b", "c"])

    def test_spread_and_found_again(self) -> None:
        counts = Counter(self.choice.for_new(f"call {number}", 0.0)[0] for number in range(3000))
        for name in "abc":
            self.assertApproximates(counts[name], 1000, 120)
        other = Choice(["c", "a", "b"])
        for number in range(50):
            call = f"call {number}"
            self.assertEqual(self.choice.for_new(call, 0.0), other.for_new(call, 0.0))
            self.assertEqual(self.choice.of(call), other.for_new(call, 0.0)[0])

    def test_silent_ones_come_last_for_a_while(self) -> None:
        first, second, third = self.choice.for_new("x", 0.0)
        self.choice.was_silent(first, 0.0)
        self.assertEqual(self.choice.for_new("x", 1.0), [second, third, first])
        self.assertEqual(self.choice.for_new("x", AVOIDED), [first, second, third])
        self.choice.was_silent(first, AVOIDED)
        self.assertTrue(self.choice.avoids(first, 2.9 * AVOIDED))
        self.assertFalse(self.choice.avoids(first, 3 * AVOIDED))
        self.choice.was_silent(first, 100.0)
        self.choice.answered(first)
        self.assertFalse(self.choice.avoids(first, 100.0))

    def test_a_call_stays_where_it_went(self) -> None:
        first, second, _ = self.choice.for_new("x", 0.0)
        self.choice.was_silent(first, 0.0)
        self.choice.placed("x", second)
        self.assertEqual(self.choice.of("x"), second)
        self.assertEqual(self.choice.for_new("x", 1e6)[0], second, "also once the first is back")
        self.choice.ended("x")
        self.assertEqual(self.choice.of("x"), first)
        self.choice.placed("x", second)
        self.choice.placed("x", first)
        self.assertEqual(self.choice.of("x"), first)

    def test_other_servers(self) -> None:
        first, second, _ = self.choice.for_new("x", 0.0)
        self.choice.placed("x", second)
        self.choice.use([first])
        self.assertEqual(self.choice.of("x"), first)
        self.choice.use([])
        self.assertIsNone(self.choice.of("x"))
        self.assertEqual(self.choice.for_new("x", 0.0), [])

    def test_bounded(self) -> None:
        with mock.patch.object(choice, "MOST_CALLS", 10):
            for number in range(100):
                call = f"call {number}"
                self.choice.placed(call, self.choice.for_new(call, 0.0)[1])
            self.assertEqual(len(self.choice._moved), 10)
