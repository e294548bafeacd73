"""Leaving a service alone that does not answer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.users.breaker import FIRST_REST, LONGEST_REST, Breaker


class BreakerTests(SynchronousTestCase):
    """Plain numbers for the time."""

    def opened(self) -> Breaker:
        """One that has opened at 0."""
        breaker = Breaker(2)
        self.assertFalse(breaker.failed(0.0))
        self.assertTrue(breaker.failed(0.0))
        return breaker

    def test_failures_in_a_row(self) -> None:
        breaker = Breaker(2)
        for _ in range(5):
            self.assertFalse(breaker.failed(0.0))
            self.assertFalse(breaker.succeeded())
        self.assertFalse(breaker.is_open)
        self.assertTrue(breaker.allows(0.0))

    def test_open(self) -> None:
        breaker = self.opened()
        self.assertTrue(breaker.is_open)
        self.assertFalse(breaker.allows(FIRST_REST - 0.01))
        self.assertTrue(breaker.allows(FIRST_REST))

    def test_one_question_after_the_rest(self) -> None:
        breaker = self.opened()
        breaker.asked()
        self.assertFalse(breaker.allows(FIRST_REST))
        self.assertTrue(breaker.succeeded())
        self.assertFalse(breaker.is_open)
        self.assertTrue(breaker.allows(0.0))

    def test_rests_double_up_to_a_bound(self) -> None:
        breaker = self.opened()
        now, rest = 0.0, FIRST_REST
        for _ in range(10):
            now += rest
            self.assertTrue(breaker.allows(now))
            breaker.asked()
            self.assertFalse(breaker.failed(now))
            rest = min(2 * rest, LONGEST_REST)
            self.assertFalse(breaker.allows(now + rest - 0.01))
        self.assertEqual(rest, LONGEST_REST)

    def test_what_was_asked_before_does_not_prolong_it(self) -> None:
        breaker = self.opened()
        self.assertFalse(breaker.failed(0.9))
        self.assertTrue(breaker.allows(FIRST_REST))
