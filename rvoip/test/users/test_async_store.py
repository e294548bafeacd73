"""The store in threads: the same answers as Deferreds, in turn, and not without bound."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from rvoip.test.users.stores import FAST, ImmediateThreads, StoreTestCase
from rvoip.users.accounts import Account
from rvoip.users.async_store import AsyncUserStore
from rvoip.users.errors import AccountError, DuplicateAccount, StoreBusy, UnknownAccount
from rvoip.users.interfaces import ICredentialSource, IUserStore
from rvoip.users.passwords import ha1_set
from rvoip.users.records import ImportResult
from rvoip.users.store import UserStore

ALICE = Account("alice", "example.test")


class AsyncTests(StoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.threads = ImmediateThreads()
        threads: Any = self.threads
        self.users = AsyncUserStore(self.store, threads, threads, max_waiting=3)

    def test_interfaces(self) -> None:
        verifyObject(IUserStore, self.users)
        verifyObject(ICredentialSource, self.users)

    def test_every_call(self) -> None:
        result: Callable[[Deferred[Any]], Any] = self.successResultOf
        users = self.users
        stored = result(users.add(ALICE, "pw", realms=["Acme"]))
        self.assertEqual(result(users.get("alice@example.test")), stored)
        self.assertIsNone(result(users.get("bob@example.test")))
        self.assertEqual(result(users.list("al", "", 5)).accounts, (stored,))
        self.assertEqual(result(users.count()), 1)
        self.assertEqual(result(users.login("alice@example.test", "pw")), stored)
        result(users.set_password("alice@example.test", "new"))
        self.assertIsNone(result(users.login("alice@example.test", "pw")))
        self.assertEqual(result(users.update("alice@example.test", roles=["admin"])).roles, {"admin"})
        self.assertEqual(result(users.import_many([b"bob:example.test:pw"])), ImportResult(1, 0, 0))
        found = result(users.find_credentials([("alice", "Acme"), ("bob", "Acme")]))
        self.assertEqual(found, {("alice", "Acme"): ha1_set("alice", "Acme", "new")})
        snapshot = result(users.snapshot(10))
        self.assertEqual(len(snapshot.credentials), 3)
        self.assertEqual(result(users.changes_since(snapshot.revision)).keys, ())
        key, record = result(users.add_key("ci", ["users:read"], owner="bob@example.test"))
        self.assertEqual(result(users.find_key(key)), record)
        self.assertEqual([each.prefix for each in result(users.list_keys())], [record.prefix])
        result(users.remove_key(record.prefix))
        self.assertIsNone(result(users.find_key(key)))
        result(users.remove("alice@example.test"))
        self.assertEqual(result(users.count()), 1)

    def test_errors(self) -> None:
        self.successResultOf(self.users.add(ALICE, "pw"))
        self.failureResultOf(self.users.add(ALICE, "pw"), DuplicateAccount)
        self.failureResultOf(self.users.remove("bob@example.test"), UnknownAccount)
        self.failureResultOf(self.users.get("bob"), AccountError)
        self.failureResultOf(self.users.import_many([b"x"]), AccountError)
        # A write that failed gives its turn back.
        self.successResultOf(self.users.add(Account("bob", "example.test"), "pw"))

    def test_one_write_at_a_time(self) -> None:
        self.threads.is_held = True
        names = ["a", "b", "c", "d"]
        added = [self.users.add(Account(name, "example.test"), "pw") for name in names]
        self.assertEqual(len(self.threads.held), 1)
        self.failureResultOf(self.users.add(ALICE, "pw"), StoreBusy)
        # Reading does not wait for its turn.
        reading = self.users.count()
        self.assertEqual(len(self.threads.held), 2)
        self.threads.release()
        self.successResultOf(reading)
        self.assertEqual([self.successResultOf(each).user for each in added], names)
        self.successResultOf(self.users.add(ALICE, "pw"))

    def test_two_logins_at_a_time(self) -> None:
        self.threads.is_held = True
        logins = [self.users.login("alice@example.test", "pw") for _ in range(5)]
        self.assertEqual(len(self.threads.held), 2)
        self.failureResultOf(self.users.login("alice@example.test", "pw"), StoreBusy)
        self.threads.release()
        self.assertEqual([self.successResultOf(each) for each in logins], [None] * 5)

    def test_followers_hear_of_a_write_before_the_writer(self) -> None:
        heard: list[Deferred[None]] = []

        def written() -> Deferred[None]:
            heard.append(Deferred())
            return heard[-1]

        self.users.follow(written)
        adding = self.users.add(ALICE, "pw")
        self.assertNoResult(adding)
        heard[0].callback(None)
        self.successResultOf(adding)
        self.failureResultOf(self.users.add(ALICE, "pw"), DuplicateAccount)
        self.successResultOf(self.users.count())
        self.assertEqual(len(heard), 1)

    def test_the_last_use_of_a_key(self) -> None:
        """Noted once a minute, behind the answer."""
        key, _ = self.successResultOf(self.users.add_key("ci"))
        uses = []
        for seconds in (0.0, 30.0, 29.0, 1.0):
            self.clock.now += seconds
            self.successResultOf(self.users.find_key(key))
            uses.append(self.store.list_keys()[0].last_used)
        self.assertEqual(uses, [1_000_000.0, 1_000_000.0, 1_000_000.0, 1_000_060.0])
        self.threads.is_held = True
        self.clock.now += 60.0
        finding = self.users.find_key(key)
        self.threads.held.pop(0)()
        self.assertIsNotNone(self.successResultOf(finding))
        self.assertEqual(len(self.threads.held), 1)
        self.threads.release()

    def test_the_last_use_is_not_worth_a_failure(self) -> None:
        key, record = self.successResultOf(self.users.add_key("ci"))
        with self.store._database.writing():
            self.assertEqual(self.successResultOf(self.users.find_key(key)), record)
        self.assertEqual(self.store.list_keys()[0].last_used, 0.0)

    def test_close_waits(self) -> None:
        self.threads.is_held = True
        adding = self.users.add(ALICE, "pw")
        closing = self.users.close()
        self.assertNoResult(closing)
        self.threads.release()
        self.successResultOf(adding)
        self.successResultOf(closing)


class ThreadTests(TestCase):
    """In real threads, beside the reactor."""

    def setUp(self) -> None:
        self.pool = ThreadPool(2, 4, "users")
        self.pool.start()
        self.addCleanup(self.pool.stop)
        self.store = UserStore(f"sqlite:{self.mktemp()}", busy_timeout=10.0, password_hash=FAST).open()
        threads: Any = reactor
        self.users = AsyncUserStore(self.store, threads, self.pool)

    async def test_side_by_side(self) -> None:
        main = threading.get_ident()
        seen: set[int] = set()

        def lines() -> Iterator[bytes]:
            for number in range(1000):
                seen.add(threading.get_ident())
                yield f"u{number}:example.test:pw{number}\n".encode()

        importing = self.users.import_many(lines())
        adding = gatherResults([self.users.add(Account(f"a{n}", "b.test"), "pw") for n in range(20)])
        reading = gatherResults([self.users.find_credentials([("a1", "b.test")]) for _ in range(20)])
        self.assertEqual(await importing, ImportResult(1000, 0, 0))
        await adding
        await reading
        self.assertNotIn(main, seen)
        self.assertEqual(await self.users.count(), 1020)
        logins = await gatherResults([self.users.login(f"u{n}@example.test", f"pw{n}") for n in range(10)])
        self.assertEqual([account.user for account in logins if account], [f"u{n}" for n in range(10)])
        await self.users.close()

    async def test_closed_while_it_works(self) -> None:
        adding = self.users.add(ALICE, "pw")
        await self.users.close()
        self.assertEqual((await adding).user, "alice")
