"""The bounds of what is kept for Idempotency-Key."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.idempotency import Answer, IdempotencyKeys
from rvoip.common.problem import HTTPError


class IdempotencyKeysTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.keys = IdempotencyKeys(max_entries=3, max_bytes=100, ttl=10)

    def keep(self, key: str, size: int = 1, now: float = 0.0) -> None:
        self.assertIsNone(self.keys.begin("a", key, b"f", now))
        self.keys.finish("a", key, Answer(200, {}, b"x" * size), now)

    def status(self, caller: str, key: str, fingerprint: bytes = b"f") -> int:
        error: HTTPError = self.assertRaises(HTTPError, self.keys.begin, caller, key, fingerprint, 0.0)
        return error.status

    def test_callers_do_not_share_keys(self) -> None:
        self.keep("k")
        self.assertIsNone(self.keys.begin("b", "k", b"f", 0))

    def test_the_oldest_go_first(self) -> None:
        for number in range(5):
            self.keep(str(number))
        self.assertEqual(len(self.keys), 3)
        self.assertIsNotNone(self.keys.begin("a", "4", b"f", 0))
        self.assertIsNone(self.keys.begin("a", "0", b"f", 0))

    def test_bytes(self) -> None:
        self.keep("a", 60)
        self.keep("b", 60)
        self.assertEqual(len(self.keys), 1)
        self.assertIsNotNone(self.keys.begin("a", "b", b"f", 0))
        self.keep("huge", 101)
        self.assertEqual(len(self.keys), 1)
        for number in range(50):
            self.keep(f"x{number}", 50)
        self.assertEqual(len(self.keys), 2)

    def test_work_is_not_dropped(self) -> None:
        for key in "abc":
            self.assertIsNone(self.keys.begin("a", key, b"f", 0))
        self.assertEqual(self.status("a", "d"), 503)
        self.assertEqual(self.status("a", "a"), 409)
        self.keys.finish("a", "b", Answer(200, {}, b""), 0)
        self.assertIsNone(self.keys.begin("a", "d", b"f", 0))
        self.assertEqual(self.status("a", "a"), 409)

    def test_age(self) -> None:
        self.keep("k", now=5)
        self.assertIsNotNone(self.keys.begin("a", "k", b"f", 14.9))
        self.assertIsNone(self.keys.begin("a", "k", b"g", 15))

    def test_another_request(self) -> None:
        self.keep("k")
        self.assertEqual(self.status("a", "k", b"g"), 422)

    def test_late_words_change_nothing(self) -> None:
        self.keep("k")
        self.keys.finish("a", "k", Answer(500, {}, b""), 0)
        self.keys.finish("a", "none", Answer(200, {}, b""), 0)
        self.keys.forget("a", "none")
        answer = self.keys.begin("a", "k", b"f", 0)
        assert answer is not None
        self.assertEqual(answer.status, 200)
