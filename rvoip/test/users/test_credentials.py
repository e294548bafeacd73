"""The cache of credentials: fast, bounded, and true to the store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

import rvoip
from rvoip.test.users.stores import ImmediateThreads, StoreTestCase
from rvoip.users.accounts import Account
from rvoip.users.async_store import AsyncUserStore
from rvoip.users.credentials import CredentialCache
from rvoip.users.errors import StoreBusy, StoreError
from rvoip.users.interfaces import ICredentials, ICredentialSource
from rvoip.users.passwords import HA1Set, ha1_set
from rvoip.users.records import Changes, Snapshot

_T = TypeVar("_T")

REALM = "example.test"
Key = tuple[str, str]


def key(name: str) -> Key:
    return (name, REALM)


@implementer(ICredentialSource)
class FakeSource:
    """A store in memory that answers when it is told to."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.rows: dict[Key, HA1Set] = {}
        self.log: list[Key | None] = []
        self.asked: list[list[Key]] = []
        self.questions: list[str] = []
        self.failure: Exception | None = None
        self.held: list[Callable[[], None]] | None = None
        self.followers: list[Callable[[], Deferred[None]]] = []
        for name in names:
            self.write(name, "pw")

    def write(self, name: str, password: str | None) -> None:
        """Change or remove a credential, as another process does."""
        if password is None:
            del self.rows[key(name)]
        else:
            self.rows[key(name)] = ha1_set(name, REALM, password)
        self.log.append(key(name))

    def find_credentials(self, keys: Sequence[Key]) -> Deferred[dict[Key, HA1Set]]:
        self.asked.append(list(keys))
        return self._answer("find", lambda: {each: self.rows[each] for each in keys if each in self.rows})

    def snapshot(self, limit: int) -> Deferred[Snapshot]:
        def read() -> Snapshot:
            rows = tuple(
                (name, realm, found) for (name, realm), found in self.rows.items() if "@" not in name
            )
            return Snapshot(len(self.log), rows if len(rows) <= limit else None)

        return self._answer("snapshot", read)

    def changes_since(self, revision: int) -> Deferred[Changes]:
        def read() -> Changes:
            keys = self.log[revision:]
            known = tuple(each for each in keys if each is not None)
            return Changes(len(self.log), known if len(known) == len(keys) else None)

        return self._answer("changes", read)

    def follow(self, written: Callable[[], Deferred[None]]) -> None:
        self.followers.append(written)

    def _answer(self, question: str, read: Callable[[], _T]) -> Deferred[_T]:
        """The store is read when it is asked, and answers when it is released."""
        self.questions.append(question)
        if self.failure is not None:
            return fail(self.failure)
        if self.held is None:
            return succeed(read())
        answer: Deferred[_T] = Deferred()
        result = read()
        self.held.append(lambda: answer.callback(result))
        return answer

    def release(self) -> None:
        """Give the answers that were held, in order."""
        assert self.held is not None
        held, self.held = self.held, None
        for give in held:
            give()


class CacheTestCase(SynchronousTestCase):
    def make(self, names: Sequence[str] = (), *, start: bool = True, **options: Any) -> None:
        self.source = FakeSource(names)
        self.clock = Clock()
        self.cache = CredentialCache(self.source, self.clock, **options)
        if start:
            self.successResultOf(self.cache.start())
            self.addCleanup(self.cache.stop)
        self.source.questions.clear()

    def lookup(self, name: str, realm: str = REALM) -> HA1Set | None:
        """The answer, now, by either way."""
        found = self.cache.lookup(name, realm)
        if isinstance(found, Deferred):
            result: HA1Set | None = self.successResultOf(found)
            return result
        return found

    def wait(self, name: str) -> Deferred[HA1Set | None]:
        """The answer that must come later."""
        found = self.cache.lookup(name, REALM)
        assert isinstance(found, Deferred)
        self.assertNoResult(found)
        return found


class CompleteTests(CacheTestCase):
    """All accounts fit: everything is answered from memory."""

    def test_interfaces(self) -> None:
        self.make()
        verifyObject(ICredentials, self.cache)
        verifyObject(ICredentialSource, self.source)

    def test_known_and_unknown_ask_nothing(self) -> None:
        names = [f"u{number}" for number in range(50)]
        self.make(names)
        for name in names:
            self.assertEqual(self.cache.lookup(name, REALM), ha1_set(name, REALM, "pw"))
            self.assertIsNone(self.cache.lookup("x" + name, REALM))
            self.assertIsNone(self.cache.lookup(name, "other.test"))
        self.assertEqual(self.source.questions, [])
        self.assertEqual((self.cache.hits, self.cache.misses, len(self.cache)), (150, 0, 50))

    def test_full_usernames_are_asked_for_once(self) -> None:
        """They are not read at the start."""
        self.make(["alice", "alice@example.test"])
        for _ in range(3):
            self.assertIsNotNone(self.lookup("alice@example.test"))
            self.assertIsNone(self.lookup("bob@example.test"))
        self.assertEqual(self.source.asked, [[key("alice@example.test")], [key("bob@example.test")]])

    def test_what_can_be_nobodys_name_is_not_asked_for(self) -> None:
        self.make(["alice"], capacity=0)
        for name in ("x" * 400, "a\0", "a\r\nb", "\ud800", "\udcff"):
            self.assertIsNone(self.cache.lookup(name, REALM))
        self.assertEqual(self.source.asked, [])

    def test_growing_beyond_the_capacity(self) -> None:
        self.make(["a", "b"], capacity=2)
        self.assertIsNone(self.cache.lookup("c", REALM))
        self.source.write("c", "pw")
        self.clock.advance(0.5)
        for _ in range(2):
            for name in "abc":
                self.assertIsNotNone(self.lookup(name), name)
        self.assertIsNone(self.lookup("d"))
        self.assertEqual(self.source.asked[-1], [key("d")])


class PartialTests(CacheTestCase):
    """More accounts than fit: those used last are held."""

    def test_least_recently_used_goes(self) -> None:
        self.make(["a", "b", "c"], capacity=2)
        for name in "abacab":
            self.assertIsNotNone(self.lookup(name))
        self.assertEqual([each[0][0] for each in self.source.asked], ["a", "b", "c", "b"])

    def test_unknown_users_cost_what_known_ones_do(self) -> None:
        """One question for the first request of each, none for the next."""
        for name in ("alice", "mallory"):
            self.make(["alice", "bob"], capacity=1)
            for _ in range(20):
                self.lookup(name)
            self.assertEqual(self.source.asked, [[key(name)]])
            self.assertEqual((self.cache.hits, self.cache.misses), (19, 1))

    def test_bounds(self) -> None:
        self.make([f"u{number}" for number in range(100)], capacity=10, negatives=7)
        for number in range(200):
            self.lookup(f"u{number}")
            self.lookup(f"x{number}@{REALM}")
        self.assertEqual(len(self.cache), 17)
        # A flood of made-up names does not push those out that exist.
        self.source.asked.clear()
        for number in range(90, 100):
            self.assertIsNotNone(self.lookup(f"u{number}"))
        for number in range(1000):
            self.lookup(f"y{number}")
        self.source.asked.clear()
        for number in range(90, 100):
            self.assertIsNotNone(self.lookup(f"u{number}"))
        self.assertEqual(self.source.asked, [])

    def test_one_question_for_many(self) -> None:
        """While an answer is under way, what is asked for is gathered into the next question."""
        self.make(["a", "b", "c"], capacity=0)
        self.source.held = []
        first = [self.wait("a"), self.wait("a")]
        later = [self.wait("b"), self.wait("x"), self.wait("b"), self.wait("a"), self.wait("c")]
        self.assertEqual(self.source.asked, [[key("a")]])
        self.assertEqual(self.cache.waiting, 7)
        self.source.release()
        self.assertEqual(self.source.asked, [[key("a")], [key("b"), key("x"), key("c")]])
        self.assertEqual([self.successResultOf(each) for each in first], [self.source.rows[key("a")]] * 2)
        rows = self.source.rows
        self.assertEqual(
            [self.successResultOf(each) for each in later],
            [rows[key("b")], None, rows[key("b")], rows[key("a")], rows[key("c")]],
        )
        self.assertEqual(self.cache.waiting, 0)

    def test_large_questions_are_split(self) -> None:
        self.make(capacity=0, start=False)
        self.source.held = []
        waiting = [self.wait(f"u{number}") for number in range(1202)]
        self.source.release()
        self.assertEqual([len(each) for each in self.source.asked], [1, 500, 500, 201])
        for each in waiting:
            self.assertIsNone(self.successResultOf(each))

    def test_waiting_is_bounded(self) -> None:
        self.make(["a"], capacity=0, max_waiting=3)
        self.source.held = []
        waiting = [self.wait("a"), self.wait("a"), self.wait("b")]
        for name in "ac":
            refused = self.cache.lookup(name, REALM)
            assert isinstance(refused, Deferred)
            self.failureResultOf(refused, StoreBusy)
        self.source.release()
        for each in waiting:
            self.successResultOf(each)
        self.assertIsNotNone(self.lookup("a"))

    def test_a_lookup_that_is_cancelled(self) -> None:
        self.make(["a"], capacity=0, start=False)
        self.source.held = []
        cancelled, other = self.wait("a"), self.wait("a")
        cancelled.addErrback(lambda _: None)
        cancelled.cancel()
        self.source.release()
        self.assertIsNotNone(self.successResultOf(other))
        self.assertEqual(self.cache.waiting, 0)

    def test_a_failure_is_passed_on_and_not_remembered(self) -> None:
        self.make(["a"], capacity=0)
        self.source.failure = StoreBusy("locked")
        for _ in range(2):
            found = self.cache.lookup("a", REALM)
            assert isinstance(found, Deferred)
            self.assertEqual(self.failureResultOf(found, StoreBusy).value.reason, "locked")
        self.source.failure = None
        self.assertIsNotNone(self.lookup("a"))
        self.assertEqual(self.cache.waiting, 0)


class FollowingTests(CacheTestCase):
    """What another process writes is seen within a second."""

    def test_each_kind_of_change(self) -> None:
        for capacity in (100, 2):
            self.make(["alice", "bob", "carol"], capacity=capacity)
            for name in ("alice", "bob", "dave"):
                self.lookup(name)
            self.source.write("alice", "new")
            self.source.write("bob", None)
            self.source.write("dave", "pw")
            self.clock.advance(0.5)
            self.assertEqual(self.lookup("alice"), ha1_set("alice", REALM, "new"))
            self.assertIsNone(self.lookup("bob"))
            self.assertEqual(self.lookup("dave"), ha1_set("dave", REALM, "pw"))
            self.source.questions.clear()
            for name in ("bob", "dave", "bob", "dave"):
                self.lookup(name)
            self.assertEqual(self.source.questions, [])

    def test_only_what_changed_is_dropped(self) -> None:
        self.make(["alice", "bob"])
        self.source.write("alice", "new")
        self.clock.advance(0.5)
        self.source.questions.clear()
        self.assertIsNotNone(self.cache.lookup("bob", REALM))
        self.assertIsNone(self.cache.lookup("carol", REALM))
        self.assertEqual(self.source.questions, [])
        self.lookup("alice")
        self.assertEqual(self.source.questions, ["find"])

    def test_one_question_each_interval(self) -> None:
        self.make(["alice"])
        for _ in range(20):
            self.clock.advance(0.1)
        self.assertEqual(self.source.questions, ["changes"] * 4)

    def test_everything_may_have_changed(self) -> None:
        for capacity in (100, 1):
            self.make(["alice", "bob"], capacity=capacity)
            self.lookup("alice")
            self.lookup("mallory")
            self.source.write("alice", "new")
            self.source.write("mallory", "pw")
            self.source.log.append(None)
            self.clock.advance(0.5)
            self.assertEqual(self.lookup("alice"), ha1_set("alice", REALM, "new"))
            self.assertIsNotNone(self.lookup("mallory"))
        self.make(["alice"])
        self.source.log.append(None)
        self.clock.advance(0.5)
        self.assertEqual(self.source.questions, ["changes", "snapshot"])
        self.assertIsNone(self.cache.lookup("mallory", REALM))

    def test_many_changes(self) -> None:
        """More than are kept apart: unknown names are asked for again."""
        self.make(["alice"], negatives=5)
        for number in range(10):
            self.source.write(f"u{number}", "pw")
        self.clock.advance(0.5)
        for number in range(10):
            self.assertIsNotNone(self.lookup(f"u{number}"))
        self.assertIsNone(self.lookup("mallory"))

    def test_an_answer_from_before_a_change_is_not_remembered(self) -> None:
        """It is given to who asked before, and to nobody who asks after."""
        self.make(["alice", "bob"], capacity=1)
        self.source.held = []
        before = self.wait("alice")
        held, self.source.held = self.source.held, None
        self.source.write("alice", "new")
        self.clock.advance(0.5)
        after = self.cache.lookup("alice", REALM)
        for give in held:
            give()
        self.assertEqual(self.successResultOf(before), ha1_set("alice", REALM, "pw"))
        assert isinstance(after, Deferred)
        self.assertEqual(self.successResultOf(after), ha1_set("alice", REALM, "new"))
        self.assertEqual(self.lookup("alice"), ha1_set("alice", REALM, "new"))

    def test_an_answer_from_before_a_snapshot_is_not_remembered(self) -> None:
        for capacity in (100, 1):
            self.make(["alice", "bob"], capacity=capacity, start=False)
            self.source.held = []
            before = self.wait("alice")
            self.source.write("alice", "new")
            started = self.cache.start()
            find, snapshot = self.source.held
            self.source.held = None
            for give in (snapshot, find):
                give()
            self.successResultOf(started)
            self.addCleanup(self.cache.stop)
            self.assertEqual(self.successResultOf(before), ha1_set("alice", REALM, "pw"))
            self.assertEqual(self.lookup("alice"), ha1_set("alice", REALM, "new"))
            self.clock.advance(5.0)
            self.assertEqual(self.lookup("alice"), ha1_set("alice", REALM, "new"))

    def test_what_was_fetched_before_a_snapshot_is_dropped(self) -> None:
        for capacity in (100, 1):
            self.make(["alice", "bob"], capacity=capacity, start=False)
            self.assertEqual(self.lookup("alice"), ha1_set("alice", REALM, "pw"))
            self.assertIsNone(self.lookup("carol"))
            self.source.write("alice", "new")
            self.source.write("carol", "pw")
            self.successResultOf(self.cache.start())
            self.addCleanup(self.cache.stop)
            self.assertEqual(self.lookup("alice"), ha1_set("alice", REALM, "new"))
            self.assertIsNotNone(self.lookup("carol"))

    def test_stopped(self) -> None:
        self.make(["alice"])
        self.cache.stop()
        self.cache.stop()
        self.clock.advance(5.0)
        self.assertEqual(self.source.questions, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class OutageTests(CacheTestCase):
    def test_memory_goes_on_serving(self) -> None:
        self.make(["alice"])
        self.source.failure = StoreError("disk I/O error")
        self.clock.pump([0.5] * 10)
        self.assertIsNotNone(self.cache.lookup("alice", REALM))
        self.assertIsNone(self.cache.lookup("mallory", REALM))
        self.assertEqual(len(self.source.questions), 10)
        self.source.failure = None
        self.source.write("alice", "new")
        self.clock.advance(0.5)
        self.assertEqual(self.lookup("alice"), ha1_set("alice", REALM, "new"))

    def test_one_log_line_an_outage(self) -> None:
        lines: list[str] = []

        class Log:
            def warn(self, format: str, **fields: Any) -> None:
                lines.append(format.format(**fields))

            def info(self, format: str) -> None:
                lines.append(format)

        self.patch(CredentialCache, "_log", Log())
        self.make(["alice"])
        for _ in range(2):
            self.source.failure = StoreError("disk I/O error")
            self.clock.pump([0.5] * 5)
            self.source.failure = None
            self.clock.pump([0.5] * 5)
        down = "The store of users does not answer, going on with what is in memory: disk I/O error"
        self.assertEqual(lines, [down, "The store of users answers again"] * 2)

    def test_a_start_without_the_store(self) -> None:
        self.make(["alice"], start=False)
        self.source.failure = StoreBusy("locked")
        self.successResultOf(self.cache.start())
        self.addCleanup(self.cache.stop)
        self.source.failure = None
        self.assertIsNotNone(self.lookup("alice"))
        self.clock.advance(0.5)
        self.source.questions.clear()
        self.assertIsNone(self.cache.lookup("mallory", REALM))
        self.assertEqual(self.source.questions, [])

    def test_our_own_fault_is_logged_and_following_goes_on(self) -> None:
        self.make(["alice"])
        self.source.failure = RuntimeError("a bug")
        self.clock.advance(0.5)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.source.failure = None
        self.source.write("alice", "new")
        self.clock.advance(0.5)
        self.assertEqual(self.lookup("alice"), ha1_set("alice", REALM, "new"))

    def test_a_write_of_ours_that_cannot_be_followed(self) -> None:
        """Nothing is believed until the store answers: the writer was promised that it counts."""
        self.make(["alice"])
        (written,) = self.source.followers
        self.source.write("alice", "new")
        self.source.failure = StoreBusy("locked")
        self.successResultOf(written())
        self.source.failure = None
        self.assertEqual(self.lookup("alice"), ha1_set("alice", REALM, "new"))

    def test_a_write_of_ours_during_a_question(self) -> None:
        """The question under way was asked before the write: another one follows it."""
        self.make(["alice"])
        (written,) = self.source.followers
        self.source.held = []
        self.clock.advance(0.5)
        self.source.write("alice", "new")
        told = written()
        self.assertNoResult(told)
        self.source.release()
        self.successResultOf(told)
        self.assertEqual(self.lookup("alice"), ha1_set("alice", REALM, "new"))


class StoreTests(StoreTestCase):
    """Over a database."""

    def setUp(self) -> None:
        super().setUp()
        threads: Any = ImmediateThreads()
        self.users = AsyncUserStore(self.store, threads, threads)
        self.reactor_clock = Clock()

    def start(self, **options: Any) -> CredentialCache:
        cache = CredentialCache(self.users, self.reactor_clock, **options)
        self.successResultOf(cache.start())
        self.addCleanup(cache.stop)
        return cache

    def found(self, cache: CredentialCache, name: str) -> HA1Set | None:
        answer = cache.lookup(name, REALM)
        return self.successResultOf(answer) if isinstance(answer, Deferred) else answer

    def test_our_own_writes_count_at_once(self) -> None:
        for capacity in (100, 0):
            cache = self.start(capacity=capacity)
            self.assertIsNone(self.found(cache, "alice"))
            self.successResultOf(self.users.add(Account("alice", REALM), "pw"))
            self.assertEqual(self.found(cache, "alice"), ha1_set("alice", REALM, "pw"))
            self.successResultOf(self.users.set_password("alice@example.test", "new"))
            self.assertEqual(self.found(cache, "alice"), ha1_set("alice", REALM, "new"))
            self.successResultOf(self.users.import_many([b"alice:example.test:newer"]))
            self.assertEqual(self.found(cache, "alice"), ha1_set("alice", REALM, "newer"))
            self.successResultOf(self.users.update("alice@example.test", enabled=False))
            self.assertIsNone(self.found(cache, "alice"))
            self.successResultOf(self.users.update("alice@example.test", enabled=True))
            self.assertIsNotNone(self.found(cache, "alice"))
            self.successResultOf(self.users.remove("alice@example.test"))
            self.assertIsNone(self.found(cache, "alice"))

    def test_another_process(self) -> None:
        """As `rvoip user` does beside a running server: seen at the next question, half a second later."""
        script = (
            "import sys; from rvoip.users.store import UserStore; from rvoip.users.accounts import Account\n"
            "store = UserStore(sys.argv[1]).open()\n"
            "for line in sys.stdin:\n"
            "    word, *rest = line.split()\n"
            "    if word == 'add': store.add(Account.of(rest[0]), rest[1])\n"
            "    if word == 'passwd': store.set_password(*rest)\n"
            "    if word == 'remove': store.remove(*rest)\n"
            "    if word == 'import': store.import_many([rest[0].encode()])\n"
            "    print('done', flush=True)\n"
        )
        self.store.import_many([b"bob:example.test:pw", b"carol:example.test:pw"])
        caches = [self.start(capacity=100), self.start(capacity=1)]
        process = subprocess.Popen(
            [sys.executable, "-c", script, self.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(rvoip.__file__).parent.parent,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.communicate)
        assert process.stdin is not None and process.stdout is not None
        for command, password in (
            ("add alice@example.test pw", "pw"),
            ("passwd alice@example.test new", "new"),
            ("import alice:example.test:newer", "newer"),
            ("remove alice@example.test", None),
            ("add alice@example.test again", "again"),
        ):
            before = [self.found(cache, "alice") for cache in caches]
            process.stdin.write(command + "\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), "done\n")
            self.assertEqual([self.found(cache, "alice") for cache in caches], before)
            self.reactor_clock.advance(0.5)
            expected = None if password is None else ha1_set("alice", REALM, password)
            self.assertEqual([self.found(cache, "alice") for cache in caches], [expected] * 2, command)

    def test_two_processes_write(self) -> None:
        """A writer in another process and ours, at the same time: nothing is lost and both are seen."""
        script = (
            "import sys; from rvoip.users.store import UserStore; from rvoip.users.accounts import Account\n"
            "store = UserStore(sys.argv[1], busy_timeout=30).open()\n"
            "print('ready', flush=True)\n"
            "for number in range(100): store.add(Account(f'other{number}', 'example.test'), 'pw')\n"
        )
        self.store.close()
        self.store = self.make_store(busy_timeout=30.0).open()
        threads: Any = ImmediateThreads()
        self.users = AsyncUserStore(self.store, threads, threads)
        cache = self.start()
        process = subprocess.Popen(
            [sys.executable, "-c", script, self.url],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(rvoip.__file__).parent.parent,
        )
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "ready\n")
        for number in range(100):
            self.successResultOf(self.users.add(Account(f"ours{number}", REALM), "pw"))
            self.assertIsNotNone(self.found(cache, f"ours{number}"))
        self.assertEqual(process.communicate()[0], "")
        self.assertEqual(process.returncode, 0)
        self.reactor_clock.advance(0.5)
        self.assertEqual(self.store.count(), 200)
        for number in range(100):
            self.assertIsNotNone(self.found(cache, f"other{number}"))
            self.assertIsNotNone(self.found(cache, f"ours{number}"))
