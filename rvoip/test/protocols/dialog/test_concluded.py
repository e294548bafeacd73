"""Requests that got their final response are known for Timer K, in bounded memory."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.concluded import ConcludedRequests


class ConcludedTests(SynchronousTestCase):
    @given(st.lists(st.floats(0.0, 12.0), max_size=30))
    @settings(derandomize=True, deadline=None, max_examples=200)
    def test_each_is_known_for_its_lifetime(self, pauses: list[float]) -> None:
        concluded = ConcludedRequests(5.0)
        now = 0.0
        added: list[tuple[str, float]] = []
        for number, pause in enumerate(pauses):
            now += pause
            added.append((f"key {number}", now))
            concluded.add(f"key {number}", now)
            for key, at in added:
                if now - at < 5.0:
                    self.assertTrue(concluded.knows(key))

    def test_it_is_forgotten_while_others_come(self) -> None:
        concluded = ConcludedRequests(5.0)
        concluded.add("key", 0.0)
        for second in range(1, 16):
            concluded.add(f"other {second}", float(second))
        self.assertFalse(concluded.knows("key"))
        self.assertFalse(concluded.knows("Key"))
        self.assertLessEqual(len(concluded), 10)

    def test_a_flood_pushes_out_the_oldest(self) -> None:
        concluded = ConcludedRequests(5.0, most=100)
        for number in range(1000):
            concluded.add(f"key {number}", 0.0)
        self.assertLessEqual(len(concluded), 200)
        self.assertTrue(concluded.knows("key 999"))
        self.assertFalse(concluded.knows("key 0"))
