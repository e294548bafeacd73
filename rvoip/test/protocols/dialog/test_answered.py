"""What was answered is remembered for 64*T1, in bounded memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.answered import AnsweredRequests


def run_to(answered: AnsweredRequests, now: float) -> None:
    """Keep each deadline up to `now`."""
    while answered.deadline is not None and answered.deadline <= now:
        answered.tick(answered.deadline)


class AnsweredTests(SynchronousTestCase):
    def test_an_answer_is_found_for_its_lifetime_and_then_gone(self) -> None:
        for put_at in (0.0, 0.1, 3.9, 4.0, 17.3):
            answered = AnsweredRequests(32.0)
            answered.put("first", b"x", 0.0)
            run_to(answered, put_at)
            answered.put("key", b"response", put_at)
            run_to(answered, put_at + 32.0)
            self.assertEqual(answered.get("key"), b"response")
            run_to(answered, put_at + 32.0 + 2 * 4.0)
            self.assertIsNone(answered.get("key"))

    def test_an_unknown_key_has_no_answer(self) -> None:
        answered = AnsweredRequests(32.0)
        self.assertIsNone(answered.get("key"))
        answered.put("key", b"response", 0.0)
        self.assertIsNone(answered.get("Key"))

    def test_the_latest_answer_counts(self) -> None:
        answered = AnsweredRequests(32.0)
        answered.put("key", b"one", 0.0)
        run_to(answered, 10.0)
        answered.put("key", b"two", 10.0)
        self.assertEqual(answered.get("key"), b"two")

    def test_it_wants_no_tick_when_empty(self) -> None:
        answered = AnsweredRequests(32.0)
        self.assertIsNone(answered.deadline)
        answered.put("key", b"response", 5.0)
        self.assertEqual(answered.deadline, 9.0)
        run_to(answered, 1000.0)
        self.assertIsNone(answered.deadline)
        self.assertEqual(len(answered), 0)
        answered.put("key", b"response", 2000.0)
        self.assertEqual(answered.deadline, 2004.0)

    def test_a_tick_before_the_deadline_is_nothing(self) -> None:
        answered = AnsweredRequests(32.0)
        answered.put("key", b"response", 0.0)
        for _ in range(20):
            answered.tick(3.9)
        self.assertEqual(answered.get("key"), b"response")
        self.assertEqual(answered.deadline, 4.0)

    def test_memory_is_bounded_and_the_oldest_go_first(self) -> None:
        answered = AnsweredRequests(32.0, most_bytes=800_000)
        answered.put("0", bytes(1000), 0.0)
        for number in range(1, 10_000):
            answered.put(str(number), bytes(1000), 0.0)
            held = len(answered) * 1000
            self.assertLessEqual(held, 800_000)
        self.assertIsNone(answered.get("0"))
        self.assertIsNotNone(answered.get("9999"))
        self.assertIsNotNone(answered.get("9300"))

    def test_memory_is_bounded_in_fact(self) -> None:
        answered = AnsweredRequests(32.0, most_bytes=1_000_000)
        tracemalloc.start()
        try:
            for number in range(30_000):
                answered.put(f"z9hG4bK{number}", b"r" * 300 + b"%d" % number, 0.0)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(held, 2_500_000)

    def test_one_answer_over_the_bound_is_kept_all_the_same(self) -> None:
        answered = AnsweredRequests(32.0, most_bytes=100)
        answered.put("key", bytes(5000), 0.0)
        self.assertEqual(answered.get("key"), bytes(5000))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 5)), max_size=40))
    def test_any_history(self, history: list[tuple[float, int]]) -> None:
        """What was put within the last 32 s is there, what is older than 36 s and a tick is not."""
        answered = AnsweredRequests(32.0)
        now = 0.0
        put: dict[str, tuple[float, bytes]] = {}
        for serial, (wait, number) in enumerate(history):
            now += wait
            run_to(answered, now)
            key, data = str(number), b"%d" % serial
            answered.put(key, data, now)
            put[key] = (now, data)
            for known, (at, kept) in put.items():
                found = answered.get(known)
                if now - at <= 32.0:
                    self.assertEqual(found, kept)
                elif now - at > 36.1:
                    self.assertIsNone(found)
