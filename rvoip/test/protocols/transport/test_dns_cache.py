from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.transport.dns_cache import AnswerCache
from rvoip.protocols.transport.dns_records import Answer, Outcome, Question

Q = Question("a.test", "A")
FOUND = Answer(Outcome.FOUND, ("192.0.2.1",), 60.0)
NEWER = Answer(Outcome.FOUND, ("192.0.2.2",), 60.0)
FAILED = Answer(Outcome.FAILED)


class LifeTests(SynchronousTestCase):
    def test_lives(self) -> None:
        for answer, life in (
            (FOUND, 60.0),
            (FOUND._replace(ttl=0.0), 1.0),
            (FOUND._replace(ttl=1e9), 86400.0),
            (Answer(Outcome.NONE, (), 20.0), 20.0),
            (Answer(Outcome.NONE, (), 86400.0), 300.0),
            (Answer(Outcome.NONE, (), 0.0), 1.0),
            (FAILED, 5.0),
            (Answer(Outcome.TIMEOUT), 5.0),
        ):
            with self.subTest(answer=answer):
                cache = AnswerCache()
                self.assertIsNone(cache.get(Q, 100.0))
                self.assertIs(cache.put(Q, answer, 100.0), answer)
                self.assertEqual(cache.good_until(Q), 100.0 + life)
                self.assertIs(cache.get(Q, 99.99 + life), answer)
                self.assertIsNone(cache.get(Q, 100.0 + life))

    def test_it_is_bounded(self) -> None:
        cache = AnswerCache(100)
        for index in range(10_000):
            cache.put(Question(f"h{index}.test", "A"), FOUND, 0.0)
        self.assertLessEqual(len(cache), 100)
        self.assertIs(cache.get(Question("h9999.test", "A"), 0.0), FOUND)
        cache.clear()
        self.assertEqual((len(cache), cache.good_until(Q)), (0, 0.0))


class StaleTests(SynchronousTestCase):
    """RFC 8767: what was found is used for an hour beyond its end while DNS is down."""

    def setUp(self) -> None:
        self.cache = AnswerCache()
        self.cache.put(Q, FOUND, 0.0)

    def test_a_failure_gives_the_old_answer(self) -> None:
        for outcome in (Outcome.FAILED, Outcome.TIMEOUT):
            self.assertIs(self.cache.put(Q, Answer(outcome), 70.0), FOUND)
        self.assertIs(self.cache.get(Q, 99.9), FOUND, "not asked again for 30 s")
        self.assertIsNone(self.cache.get(Q, 100.0))
        self.assertIs(self.cache.stale(Q, 100.0), FOUND)

    def test_for_an_hour(self) -> None:
        self.assertIs(self.cache.put(Q, FAILED, 3650.0), FOUND)
        self.assertIs(self.cache.get(Q, 3659.9), FOUND)
        self.assertIsNone(self.cache.get(Q, 3660.0))
        self.assertIsNone(self.cache.stale(Q, 3660.0))
        self.assertIs(self.cache.put(Q, FAILED, 3660.0), FAILED)

    def test_a_new_answer_ends_it(self) -> None:
        self.cache.put(Q, FAILED, 70.0)
        self.assertIs(self.cache.put(Q, NEWER, 80.0), NEWER)
        self.assertIs(self.cache.get(Q, 139.0), NEWER)

    def test_that_there_is_none_is_believed(self) -> None:
        none = Answer(Outcome.NONE)
        self.assertIs(self.cache.put(Q, none, 70.0), none)
        self.assertIsNone(self.cache.stale(Q, 71.0))
        self.assertIs(self.cache.put(Q, FAILED, 200.0), FAILED)
