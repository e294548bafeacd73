"""The store in a real PostgreSQL: the contract of all stores, and what only this one can meet."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from rvoip.registrar.binding import Outcome
from rvoip.registrar.errors import StoreBusy, StoreError
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.factory import open_store
from rvoip.registrar.stores.postgresql import PostgreSQLStore
from rvoip.test.interop.postgresql import shared_postgresql
from rvoip.test.interop.shared_store import SharedStoreContract, refusal_of
from rvoip.test.registrar.stores.contract import AOR, NOW, WALL, StoreContract, bound, change, settled

HOST = "127.0.72.1"


class PostgreSQLCase(TestCase):
    """One server for all tests; each begins with an empty database."""

    def setUp(self) -> None:
        """Find the server."""
        self.server = shared_postgresql(HOST)
        self.server.empty()

    def make_store(self, **options: Any) -> IBindingStore:
        """A store that is not open."""
        return open_store(self.server.url, reactor, **options)


class ContractTests(PostgreSQLCase, StoreContract):
    """What every store does."""


class StoreTests(PostgreSQLCase, SharedStoreContract):
    """What is particular to this one."""

    async def test_both_write(self) -> None:
        """Many changes of the same AORs from two processes: of each exactly one is first."""
        one, other = await self.opened(), await self.opened()
        aors = [f"{number}@h" for number in range(200)]
        waiting = [
            (
                store.apply(change(bound(cseq=cseq), aor=aor)),
                store.apply(change(bound("sip:x@h"), aor=aor, most=1)),
            )
            for cseq, store in ((5, one), (6, other))
            for aor in (aors if store is one else reversed(aors))
        ]
        for first, second in waiting:
            self.assertIn((await first).outcome, (Outcome.CREATED, Outcome.REFRESHED, Outcome.STALE))
            self.assertEqual((await second).outcome, Outcome.FULL)
        for aor in aors:
            self.assertEqual([each.cseq for each in await one.lookup(aor, NOW)], [6])

    async def test_what_cannot_be_written_down(self) -> None:
        """It fails alone."""
        store = await self.opened()
        bad = [store.apply(change(bound(f"sip:{text}@h"))) for text in ("\udcff", "\0")]
        good = store.apply(change(bound("sip:a@h")))
        for each in bad:
            with self.assertRaises(StoreError):
                await each
        self.assertEqual((await good).outcome, Outcome.CREATED)

    async def test_too_much_waits(self) -> None:
        store = PostgreSQLStore(self.server.url, reactor, max_waiting=3)
        store.open(NOW, WALL)
        self.addCleanup(store.close)
        waiting = [store.apply(change(bound(), aor=f"{number}@h")) for number in range(200)]
        outcomes: list[object] = []
        for each in waiting:
            try:
                outcomes.append((await each).outcome)
            except StoreBusy as busy:
                outcomes.append(busy)
        self.assertGreaterEqual(outcomes.count(Outcome.CREATED), 3)
        self.assertGreater(len(outcomes) - outcomes.count(Outcome.CREATED), 0)

    async def test_what_was_asked_too_long_ago_is_not_done(self) -> None:
        """A server that stood still goes on with the transaction, which is given up then."""
        store = PostgreSQLStore(self.server.url, reactor, patience=0.4)
        store.open(NOW, WALL)
        self.addCleanup(store.close)
        await store.apply(change(bound(cseq=1)))
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        with self.assertRaises(StoreError):
            await store.apply(change(bound(cseq=2)))
        self.assertIn("does not answer", store.trouble)
        self.server.thaw()
        for _ in range(100):
            if not store.trouble:
                break
            await deferLater(reactor, 0.05)
        (held,) = await store.lookup(AOR, NOW)
        self.assertEqual(held.cseq, 1)
        self.assertEqual((await store.apply(change(bound(cseq=3)))).outcome, Outcome.REFRESHED)
        self.flushLoggedErrors()

    async def test_chores_do_not_look_like_recovery(self) -> None:
        """While the server is gone, counting and expiring fail too, and do not say that it is back."""
        store = PostgreSQLStore(self.server.url, reactor)
        store.open(NOW, WALL)
        self.addCleanup(store.close)
        self.addCleanup(self.server.start)
        self.server.kill()
        for ask in (lambda: store.lookup(AOR, NOW), lambda: store.apply(change(bound()))):
            with self.assertRaises(StoreError):
                await ask()
        self.assertTrue(store._reader.trouble and store._writer.trouble)
        for chore in (store.count, lambda: store.expire(NOW, WALL), lambda: store.aors("", "", 1, NOW)):
            with self.assertRaises(StoreError):
                await settled(chore())
            self.assertTrue(store._reader.trouble and store._writer.trouble)
        self.flushLoggedErrors()


class RefusedStartTests(PostgreSQLCase):
    """One clear line."""

    def test_newer(self) -> None:
        self.server.execute(
            "CREATE TABLE rvoip_location_version (version integer)",
            "INSERT INTO rvoip_location_version VALUES (99)",
        )
        self.assertIn("is of a newer version (schema 99, not 1)", refusal_of(self.server.url))

    def test_nobody_there(self) -> None:
        refusal = refusal_of(f"postgresql://rvoip:s3cret@{HOST}:9/x")
        self.assertIn("cannot be reached", refusal)
        self.assertNotIn("s3cret", refusal)

    def test_no_such_database(self) -> None:
        self.assertIn(
            '"nothing" does not exist', refusal_of(self.server.url.replace("/postgres", "/nothing"))
        )

    async def test_not_durable(self) -> None:
        """A server that does not sync its files loses what it acknowledged when the power goes."""
        self.server.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        self.addCleanup(self.server.execute, "ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()")
        self.assertIn("may lose registrations: it has fsync = off", refusal_of(self.server.url))
        store = open_store(f"{self.server.url}?durable=no", reactor)
        store.open(NOW, WALL)
        self.assertEqual((await settled(store.apply(change(bound())))).outcome, Outcome.CREATED)
        await settled(store.close())
