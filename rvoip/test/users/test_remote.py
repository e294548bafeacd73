"""Credentials that another system keeps."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rvoip.users.errors import StoreBusy, StoreError, UnusableAccount
from rvoip.users.interfaces import IAccountSource, ICredentials
from rvoip.users.passwords import HA1Set, ha1_set
from rvoip.users.remote import RemoteCredentials, RemoteLimits

REALM = "example.test"
ALICE = ha1_set("alice", REALM, "pw-alice")
OTHER = ha1_set("alice", REALM, "another")


@implementer(IAccountSource)
class Source:
    """Collects questions, for the test to answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Deferred[HA1Set | None]]] = []
        self.closed = False

    def find(self, user: str, realm: str) -> Deferred[HA1Set | None]:
        answer: Deferred[HA1Set | None] = Deferred()
        self.asked.append((user, answer))
        return answer

    def close(self) -> None:
        self.closed = True


class RemoteTests(SynchronousTestCase):
    """Every number is that of `limits`."""

    limits = RemoteLimits(
        timeout=2.0, ttl=300.0, negative_ttl=30.0, stale=600.0, entries=3, in_flight=2, waiting=4
    )

    def setUp(self) -> None:
        self.clock = Clock()
        self.source = Source()
        self.remote = RemoteCredentials(self.source, self.clock, self.limits)
        self.lines: list[str] = []
        self.warnings: list[str] = []
        observer = cast(ILogObserver, self.observe)
        self.patch(RemoteCredentials, "_log", Logger("remote", observer=observer))

    def observe(self, event: Any) -> None:
        """Keep errors of the log."""
        if event["log_level"] is LogLevel.error:
            self.lines.append(formatEvent(event))
        if event["log_level"] is LogLevel.warn:
            self.warnings.append(formatEvent(event))

    def ask(self, user: str = "alice") -> Any:
        """A lookup that has to wait."""
        found = self.remote.lookup(user, REALM)
        self.assertIsInstance(found, Deferred)
        return found

    def know(self, user: str = "alice", found: HA1Set | None = ALICE) -> None:
        """Have it in memory."""
        waiting = self.ask(user)
        self.source.asked.pop()[1].callback(found)
        self.assertEqual(self.successResultOf(waiting), found)

    def fails(self, times: int = 1) -> None:
        """Have that many lookups fail."""
        for number in range(times):
            waiting = self.ask(f"nobody{number}")
            self.source.asked.pop()[1].errback(StoreError("answers 500"))
            self.failureResultOf(waiting, StoreError)

    def test_interface(self) -> None:
        verifyObject(ICredentials, self.remote)
        verifyObject(IAccountSource, self.source)

    def test_known(self) -> None:
        self.know()
        self.clock.advance(299.9)
        self.assertEqual(self.remote.lookup("alice", REALM), ALICE)
        self.assertEqual((self.remote.hits, self.remote.misses), (1, 1))
        self.clock.advance(0.1)
        waiting = self.ask()
        self.source.asked.pop()[1].callback(OTHER)
        self.assertEqual(self.successResultOf(waiting), OTHER)
        self.assertEqual(self.remote.lookup("alice", REALM), OTHER)

    def test_unknown(self) -> None:
        self.know("nobody", None)
        self.clock.advance(29.9)
        self.assertIsNone(self.remote.lookup("nobody", REALM))
        self.clock.advance(0.1)
        self.ask("nobody")

    def test_somebody_who_is_gone(self) -> None:
        self.know()
        self.clock.advance(300)
        self.know("alice", None)
        self.assertIsNone(self.remote.lookup("alice", REALM))

    def test_equal_lookups_ask_once(self) -> None:
        waiting = [self.ask() for _ in range(3)]
        ((user, answer),) = self.source.asked
        self.assertEqual((user, self.remote.waiting, self.remote.in_flight), ("alice", 3, 1))
        answer.callback(ALICE)
        self.assertEqual([self.successResultOf(one) for one in waiting], [ALICE] * 3)
        self.assertEqual((self.remote.waiting, self.remote.in_flight), (0, 0))

    def test_few_questions_at_once(self) -> None:
        for user in "abcd":
            self.ask(user)
        self.assertEqual([user for user, _ in self.source.asked], ["a", "b"])
        self.source.asked[0][1].callback(None)
        self.assertEqual([user for user, _ in self.source.asked], ["a", "b", "c"])

    def test_few_wait(self) -> None:
        for user in "abcd":
            self.ask(user)
        refused: Any = self.remote.lookup("e", REALM)
        self.failureResultOf(refused, StoreBusy)
        also: Any = self.remote.lookup("a", REALM)
        self.failureResultOf(also, StoreBusy)
        self.assertEqual(self.remote.refused, 2)

    def test_entries_are_bounded(self) -> None:
        for user in "abcdefgh":
            self.know(user)
            self.know(f"no-{user}", None)
        self.assertEqual(len(self.remote), 6)
        self.assertEqual(self.remote.lookup("h", REALM), ALICE)
        self.ask("a")

    def test_a_time_limit(self) -> None:
        waiting = self.ask()
        self.clock.advance(1.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        self.assertEqual(self.failureResultOf(waiting, StoreBusy).value.reason, "no answer within 2 s")
        self.assertEqual(self.remote.in_flight, 0)

    def test_stale_while_it_does_not_answer(self) -> None:
        self.know()
        self.clock.advance(300)
        waiting = self.ask()
        self.source.asked.pop()[1].errback(StoreError("answers 500"))
        self.assertEqual(self.successResultOf(waiting), ALICE)
        self.clock.advance(600)
        waiting = self.ask()
        self.source.asked.pop()[1].errback(StoreError("answers 500"))
        self.failureResultOf(waiting, StoreError)

    def test_the_unknown_are_asked_for_again(self) -> None:
        self.know("nobody", None)
        self.clock.advance(30)
        self.fails(1)
        self.ask("nobody")

    def test_left_alone(self) -> None:
        """One line, no questions for a while, and those who are known stay so; one question ends it."""
        self.know()
        self.clock.advance(300)
        self.fails(3)
        self.assertTrue(self.remote.is_failing)
        (line,) = self.lines
        self.assertIn("answers 500", line)
        self.assertEqual(self.remote.lookup("alice", REALM), ALICE)
        refused: Any = self.remote.lookup("bob", REALM)
        self.failureResultOf(refused, StoreBusy)
        self.assertEqual(self.source.asked, [])
        self.clock.advance(1)
        waiting = self.ask("bob")
        other: Any = self.remote.lookup("carol", REALM)
        self.failureResultOf(other, StoreBusy)
        self.source.asked.pop()[1].callback(None)
        self.assertIsNone(self.successResultOf(waiting))
        self.assertFalse(self.remote.is_failing)
        self.ask("carol")

    def test_one_bad_account(self) -> None:
        """It is told of, and nobody else suffers."""
        for _ in range(10):
            waiting = self.ask("bad")
            self.source.asked.pop()[1].errback(UnusableAccount("answers what is no account"))
            self.failureResultOf(waiting, UnusableAccount)
        self.assertFalse(self.remote.is_failing)
        self.assertEqual(self.lines, [])
        self.assertEqual(len(self.warnings), 1)
        self.know()

    def test_a_failure(self) -> None:
        """One line in ten seconds, before the breaker opens."""
        for _ in range(3):
            self.fails(2)
            self.know("alice")
            self.clock.advance(300)
        self.assertEqual(len(self.warnings), 3)
        self.assertIn("answers 500", self.warnings[0])

    def test_those_in_line_do_not_ask_a_dead_source(self) -> None:
        waiting = [self.ask(user) for user in "abcd"]
        for _ in range(3):
            self.source.asked.pop(0)[1].errback(StoreError("answers 500"))
        self.assertEqual([user for user, _ in self.source.asked], ["d"])
        self.source.asked.pop()[1].errback(StoreError("answers 500"))
        for one in waiting:
            self.failureResultOf(one, StoreError)
        self.assertEqual((self.remote.waiting, self.remote.in_flight), (0, 0))

    def test_names_that_nobody_has(self) -> None:
        for user in ("", "a:b", "a b", "a@other.test", "x" * 129, "a" * 400, "a\x00", "\udcff", "e\u0301"):
            self.assertIsNone(self.remote.lookup(user, REALM), user)
        self.assertEqual(self.source.asked, [])
        self.ask(f"alice@{REALM}")

    def test_what_is_no_error_of_a_source(self) -> None:
        waiting = self.ask()
        self.source.asked.pop()[1].errback(ZeroDivisionError("of a library"))
        self.assertEqual(self.failureResultOf(waiting, StoreError).value.reason, "of a library")

    def test_stop(self) -> None:
        waiting = [self.ask(user) for user in "abcd"]
        self.remote.stop()
        for one in waiting:
            self.failureResultOf(one, StoreBusy)
        self.assertTrue(self.source.closed)
        late: Any = self.remote.lookup("e", REALM)
        self.failureResultOf(late, StoreBusy)
        self.assertEqual(self.clock.getDelayedCalls(), [])
