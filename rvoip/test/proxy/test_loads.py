from __future__ import annotations

from unittest import mock

from twisted.trial.unittest import TestCase

from rvoip.proxy import loads
from rvoip.proxy.loads import LONGEST_CALL, LONGEST_SETUP, Loads


class LoadsTests(TestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.loads = Loads(lambda: self.now)

    def counts(self) -> tuple[int, int, int]:
        return self.loads.of("a"), self.loads.of("b"), len(self.loads)

    def test_a_call(self) -> None:
        self.loads.began("1", "a")
        self.assertEqual(self.counts(), (1, 0, 1))
        self.loads.answered("1", "a")
        self.assertEqual(self.counts(), (1, 0, 1))
        self.loads.ended("1")
        self.assertEqual(self.counts(), (0, 0, 0))
        self.loads.ended("1")
        self.assertEqual(self.counts(), (0, 0, 0))

    def test_counts_once(self) -> None:
        """A call that comes again with credentials, and is then sent on to another gateway."""
        self.loads.began("1", "a")
        self.loads.began("1", "a")
        self.assertEqual(self.counts(), (1, 0, 1))
        self.loads.ended("1", "a")
        self.loads.answered("1", "b")
        self.assertEqual(self.counts(), (0, 1, 1))
        self.loads.began("1", "a")
        self.loads.ended("1", "a")
        self.assertEqual(self.counts(), (0, 1, 1), "it is at b")

    def test_forgotten_calls(self) -> None:
        self.loads.began("1", "a")
        self.loads.began("2", "b")
        self.loads.answered("2", "b")
        self.now = LONGEST_SETUP
        self.assertEqual(self.counts(), (0, 1, 1))
        self.now = LONGEST_CALL
        self.assertEqual(self.counts(), (0, 0, 0))

    def test_bounded(self) -> None:
        with mock.patch.object(loads, "MOST_CALLS", 10):
            for number in range(30):
                self.loads.began(str(number), "a")
            self.assertEqual(self.counts(), (10, 0, 10))
            for number in range(20, 30):
                self.loads.answered(str(number), "a")
            for number in range(100, 105):
                self.loads.answered(str(number), "b")
            self.assertEqual(self.counts(), (5, 5, 10))
