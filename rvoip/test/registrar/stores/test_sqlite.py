"""The store in SQLite: durable, fast, and honest when the disk is not."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import threading
from pathlib import Path
from typing import Any, cast
from unittest import mock

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from rvoip.registrar.binding import ALL_CONTACTS, Change, Outcome
from rvoip.registrar.errors import StoreBusy, StoreError
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores import sqlite
from rvoip.registrar.stores.factory import open_store
from rvoip.registrar.stores.memory import MemoryStore
from rvoip.registrar.stores.sqlite import SQLiteStore
from rvoip.test.registrar.stores.contract import (
    AOR,
    NOW,
    WALL,
    StoreContract,
    bound,
    change,
    fields,
    settled,
)
from rvoip.test.registrar.stores.threads import Faults, Gate, Pump

reactor = cast(IReactorFromThreads, _reactor)


def rows(path: str) -> list[tuple[Any, ...]]:
    """What somebody else reads in the file: (aor, key, cseq, granted, expires_at)."""
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT aor, key, cseq, granted, expires_at FROM binding").fetchall()
    connection.close()
    return found


class SQLiteStoreTests(StoreContract, TestCase):
    def make_store(self, **options: Any) -> IBindingStore:
        self.path = self.mktemp()
        return SQLiteStore(self.path, reactor, **{"window": 0.0, "patience": 0.0, **options})

    async def gated(self, **options: Any) -> tuple[IBindingStore, Gate]:
        """A store whose next transaction stops at the gate; it opens at the end of the test at the latest."""
        gate = Gate()
        store = await self.opened(connect=gate.connect, **options)
        self.addCleanup(gate.open)
        gate.shut()
        return store, gate

    async def again(
        self, store: IBindingStore, later: float = 0.0, jump: float = 0.0, **options: Any
    ) -> SQLiteStore:
        """Close, and open the file again as another process does, whose monotonic clock is another one."""
        await settled(store.close())
        other = SQLiteStore(self.path, reactor, window=0.0, patience=0.0, **options)
        other.open(later, WALL + later + jump)
        self.addCleanup(other.close)
        return other

    async def test_durable_before_the_answer(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound(cseq=7))))
        self.assertEqual(rows(self.path), [(AOR, bound().key, 7, 60, WALL + 60)])

    async def test_invisible_before_the_commit(self) -> None:
        store, gate = await self.gated()
        waiting = store.apply(change(bound()))
        assert isinstance(waiting, Deferred)
        gate.wait()
        self.assertEqual(store.lookup(AOR, NOW), ())
        self.assertFalse(waiting.called)
        gate.open()
        await waiting
        self.assertEqual(len(await settled(store.lookup(AOR, NOW))), 1)

    async def test_many_are_one_transaction(self) -> None:
        store, gate = await self.gated()
        first = store.apply(change(bound(), aor="first@h"))
        gate.wait()
        waiting = [store.apply(change(bound(), aor=f"{number}@h")) for number in range(300)]
        gate.open()
        seen: list[str] = []
        gate.connections[0].set_trace_callback(seen.append)
        for each in (first, *waiting):
            await settled(each)
        await settled(store.close())
        # The first may commit before the trace begins.
        self.assertIn(seen.count("COMMIT"), (1, 2))
        self.assertIn(sum([statement.startswith("INSERT") for statement in seen]), (9, 10))

    async def test_bindings_come_back(self) -> None:
        store = await self.opened()
        puts = (
            bound(
                "sip:a@h",
                granted=100,
                q=500,
                params=";q=0.5",
                path=("<sip:p>", "<sip:q>"),
                received="udp/a/b",
            ),
            bound("sip:b@h", granted=40),
            bound("sip:c@h", granted=200, user_agent="phone"),
        )
        await settled(store.apply(change(*puts)))
        await settled(store.apply(change(bound("sip:z@h", granted=100), aor="zed@h")))
        await settled(store.apply(change(cseq=2, removes=("sip:c@h",))))
        again = await self.again(store, later=50.0)
        self.assertEqual(tuple(again.count()), (2, 2))
        (held,) = again.lookup(AOR, 50.0)
        self.assertEqual((held.q, held.params, held.path), (500, ";q=0.5", ("<sip:p>", "<sip:q>")))
        self.assertEqual((held.received, held.remaining(50.0)), ("udp/a/b", 50))
        self.assertIs(held.key, held.contact)
        # What was compared before is compared still.
        asked = change(bound("sip:a@h", cseq=1, now=50.0), now=50.0)
        self.assertEqual(await self.outcome(again, asked), Outcome.STALE)

    async def test_tombstones_come_back(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound(cseq=5))))
        await settled(store.apply(change(cseq=6, removes=ALL_CONTACTS)))
        again = await self.again(store, later=20.0)
        self.assertEqual(await self.outcome(again, change(bound(cseq=5, now=20.0), now=20.0)), Outcome.STALE)
        self.assertEqual(
            await self.outcome(again, change(bound(cseq=5, now=33.0), now=33.0)), Outcome.CREATED
        )

    async def test_restart_after_a_jump_of_wall_time(self) -> None:
        """Set right by an hour while we ran: nothing has expired for that, and nothing lives on."""
        for jump in (3600.0, -3600.0):
            store = await self.opened()
            await settled(store.apply(change(bound("sip:a@h", granted=100))))
            store.expire(NOW + 10, WALL + 10 + jump)
            await settled(store.apply(change(bound("sip:b@h", now=NOW + 10, granted=100), now=NOW + 10)))
            self.flushWarnings()
            again = await self.again(store, later=20.0, jump=jump)
            left = {each.key: each.remaining(20.0) for each in again.lookup(AOR, 20.0)}
            self.assertEqual(left, {"sip:a@h": 80, "sip:b@h": 90})
            # The correction was made once.
            third = await self.again(again, later=30.0, jump=jump)
            left = {each.key: each.remaining(30.0) for each in third.lookup(AOR, 30.0)}
            self.assertEqual(left, {"sip:a@h": 70, "sip:b@h": 80})

    async def test_rows_are_deleted(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound(), aor="a@h")))
        await settled(store.apply(change(bound(granted=90), aor="b@h")))
        self.assertEqual(len(await settled(store.expire(NOW + 70, WALL + 70))), 1)
        await settled(store.close())
        self.assertEqual([row[0] for row in rows(self.path)], ["b@h"])

    async def test_a_value_that_cannot_be_stored(self) -> None:
        """It fails alone."""
        store = await self.opened()
        bad = [change(bound("sip:\udcff@h"), aor="bad@h"), change(bound(cseq=2**70), aor="worse@h")]
        bad.append(change(bound("sip:ok@h"), bound("sip:\udcff@h"), aor="half@h"))
        good = [change(bound(), aor=f"{number}@h") for number in range(20)]
        waiting = [store.apply(each) for each in (*good[:10], *bad, *good[10:])]
        for asked, each in zip((*good[:10], *bad, *good[10:]), waiting, strict=True):
            if asked in bad:
                with self.assertRaises(StoreError):
                    await settled(each)
            else:
                self.assertEqual((await settled(each)).outcome, Outcome.CREATED)
        self.assertEqual(len(rows(self.path)), 20)

    async def test_what_waits_at_close_is_done(self) -> None:
        store, gate = await self.gated()
        waiting = [store.apply(change(bound(), aor=f"{number}@h")) for number in range(700)]
        closed = store.close()
        closed_too = store.close()
        with self.assertRaises(StoreError):
            store.apply(change(bound()))
        gate.open()
        for each in waiting:
            await settled(each)
        await settled(closed)
        await settled(closed_too)
        self.assertEqual(len(rows(self.path)), 700)
        self.assertEqual([each for each in threading.enumerate() if each.name == "location writer"], [])

    async def test_a_full_queue(self) -> None:
        store, gate = await self.gated(max_waiting=5)
        waiting = [store.apply(change(bound(), aor="first@h"))]
        gate.wait()
        waiting += [store.apply(change(bound(), aor=f"{number}@h")) for number in range(5)]
        self.assertRaises(StoreBusy, store.apply, change(bound(), aor="late@h"))
        gate.open()
        for each in waiting:
            self.assertEqual((await settled(each)).outcome, Outcome.CREATED)
        await settled(store.apply(change(bound(), aor="late@h")))

    async def test_locked_by_another_process(self) -> None:
        """Changes are refused, reads go on, and all is well when the lock is gone."""
        self.patch(sqlite, "PATIENT", 0.05)
        self.patch(sqlite, "IMPATIENT", 0.01)
        store = await self.opened()
        await settled(store.apply(change(bound())))
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        for _ in range(3):
            with self.assertRaises(StoreBusy) as caught:
                await settled(store.apply(change(bound(cseq=2))))
            self.assertEqual(caught.exception.reason, f"{self.path} is locked by another process")
            self.assertEqual(store.trouble, f"{self.path} is locked by another process")
            store.expire(NOW + 1, WALL + 1)
            self.assertEqual([each.cseq for each in await settled(store.lookup(AOR, NOW))], [1])
        other.execute("COMMIT")
        other.close()
        self.assertEqual((await settled(store.apply(change(bound(cseq=2))))).outcome, Outcome.REFRESHED)
        self.assertEqual(rows(self.path)[0][2], 2)
        await settled(store.apply(change(bound(cseq=3))))
        self.assertEqual(store.trouble, "")

    async def test_disk_full(self) -> None:
        gate = Gate()
        store = await self.opened(connect=gate.connect)
        await settled(store.apply(change(bound())))
        (connection,) = gate.connections
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        large = [bound(f"sip:{number}@h", params=";x=" + "y" * 2000) for number in range(8)]
        with self.assertRaises(StoreError) as caught:
            await settled(store.apply(change(*large, aor="large@h")))
        self.assertEqual(caught.exception.reason, f"{self.path} cannot grow: the disk is full")
        self.assertEqual(await self.keys(store, aor="large@h"), [])
        self.assertEqual(await self.keys(store), [bound().key])
        connection.execute("PRAGMA max_page_count = 1000000")
        self.assertEqual((await settled(store.apply(change(*large, aor="large@h")))).outcome, Outcome.CREATED)

    async def test_files_are_for_the_owner(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound())))
        for suffix in ("", "-wal", "-shm", ".lock"):
            self.assertEqual(stat.S_IMODE(os.stat(self.path + suffix).st_mode), 0o600, suffix)

    async def test_one_process_at_a_time(self) -> None:
        store = await self.opened()
        other = SQLiteStore(self.path, reactor, patience=0.0)
        error = self.assertRaises(StoreBusy, other.open, NOW, WALL)
        self.assertEqual(error.reason, f"{self.path} is in use by another process")
        await self.again(store)

    async def test_not_open(self) -> None:
        """Before and after, there is nothing to expire and nothing to write."""
        store = self.make_store()
        self.assertEqual(store.expire(NOW, WALL), [])
        self.assertRaises(StoreError, store.apply, change(bound()))
        store.open(NOW, WALL)
        await settled(store.apply(change(bound())))
        await settled(store.close())
        self.assertEqual(store.expire(NOW + 100, WALL), [])
        self.assertEqual(len(rows(self.path)), 1)

    async def test_open_twice(self) -> None:
        store = await self.opened()
        self.assertRaises(StoreError, store.open, NOW, WALL)
        await settled(store.apply(change(bound())))

    async def test_ten_thousand(self) -> None:
        store = await self.opened()
        waiting = [store.apply(change(bound(granted=600), aor=f"{number}@h")) for number in range(5000)]
        for each in waiting:
            await settled(each)
        again = await self.again(store)
        self.assertEqual(tuple(again.count()), (5000, 5000))


class OpenTests(TestCase):
    """What keeps it from being opened is one line, and the file stays as it was."""

    def refused(self, path: str) -> str:
        store = SQLiteStore(path, reactor, patience=0.0)
        error = cast(StoreError, self.assertRaises(StoreError, store.open, NOW, WALL))
        self.assertNotIn("\n", str(error))
        self.assertIsNone(store.close())
        self.assertRaises(StoreError, store.apply, change(bound()))
        return str(error).replace(path, "PATH")

    def test_no_database(self) -> None:
        path = Path(self.mktemp())
        for content in (
            b"not a database, but long enough to be one" * 100,
            b"\x00" * 5000,
            b"SQLite format 3\x00",
        ):
            path.write_bytes(content)
            self.assertIn("PATH is damaged, or no SQLite database", self.refused(str(path)))
            self.assertEqual(path.read_bytes(), content)

    def filled(self) -> str:
        path: str = self.mktemp()
        pump = Pump()
        store = SQLiteStore(path, pump, window=0.0)
        store.open(NOW, WALL)
        for number in range(100):
            pump.wait(store.apply(change(bound(params=";x=" + "y" * 200), aor=f"{number}@h")))
        pump.wait(store.close())
        return path

    def test_damaged(self) -> None:
        path = Path(self.filled())
        whole = path.read_bytes()
        for damaged in (
            whole[: len(whole) // 2],
            whole[:4096] + b"\xff" * 4096 + whole[8192:],
            whole[:20000] + b"\x00" * 8000 + whole[28000:],
        ):
            path.write_bytes(damaged)
            self.assertIn("PATH is damaged", self.refused(str(path)))
            self.assertEqual(path.read_bytes(), damaged)

    def test_something_else(self) -> None:
        path = self.mktemp()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE account (name TEXT)")
        connection.close()
        self.assertEqual(self.refused(path), "PATH holds something else than bindings")
        with sqlite3.connect(path) as connection:
            self.assertEqual(connection.execute("SELECT name FROM sqlite_schema").fetchall(), [("account",)])
        connection.close()

    def test_a_newer_version(self) -> None:
        path = self.filled()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 2")
        connection.close()
        self.assertEqual(self.refused(path), "PATH is of a newer version (schema 2, not 1)")

    def test_locked(self) -> Deferred[None] | None:
        path = self.filled()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        self.assertEqual(self.refused(path), "PATH is locked by another process")
        other.close()
        store = SQLiteStore(path, reactor)
        store.open(NOW, WALL)
        self.assertEqual(store.count(), (100, 100))
        return store.close()

    def test_no_such_place(self) -> None:
        self.assertEqual(self.refused("/nonexistent/location.db"), "PATH: No such file or directory")
        folder = self.mktemp()
        os.mkdir(folder)
        self.assertIn("PATH", self.refused(folder))
        self.assertEqual(
            self.refused(":memory:"), "sqlite: needs the path of a file; memory: keeps bindings in memory"
        )

    def test_an_empty_file(self) -> Deferred[None] | None:
        path = self.mktemp()
        Path(path).touch()
        store = SQLiteStore(path, reactor)
        store.open(NOW, WALL)
        self.assertEqual(store.count(), (0, 0))
        return store.close()

    def test_rows_of_somebody_else(self) -> Deferred[None] | None:
        """Nonsense in a column that SQLite takes does no harm."""
        path = self.filled()
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE binding SET contact = 'nonsense', params = ';', path = char(10)")
        connection.close()
        store = SQLiteStore(path, reactor)
        store.open(NOW, WALL)
        self.assertEqual(store.lookup("1@h", NOW)[0].instance, "")
        return store.close()


class FaultTests(TestCase):
    """Each statement fails once, in turn (the way SQLite itself is tested)."""

    def scenario(self, store: SQLiteStore, pump: Pump) -> tuple[dict[str, Change], set[str]]:
        """Register, refresh, remove: what was acknowledged by AOR, and the AORs whose change failed."""
        acknowledged: dict[str, Change] = {}
        failed: set[str] = set()
        asked = [change(bound(), aor=f"{number}@h") for number in range(20)]
        asked += [change(bound(cseq=2), aor=f"{number}@h") for number in range(5)]
        asked += [change(bound("sip:a@h", cseq=2), bound("sip:b@h", cseq=2), aor="two@h")]
        asked += [
            change(cseq=3, removes=ALL_CONTACTS, aor="3@h"),
            change(cseq=9, removes=("sip:a@h",), aor="two@h"),
        ]
        for start in range(0, len(asked), 7):
            waiting = [(each, store.apply(each)) for each in asked[start : start + 7]]
            for each, result in waiting:
                try:
                    if pump.wait(result).outcome is not Outcome.STALE:
                        acknowledged[each.aor] = each
                except StoreError:
                    failed.add(each.aor)
            store.expire(NOW + start / 100, WALL + start / 100 + (3600 if start > 7 else 0))
        return acknowledged, failed

    def run_with(self, at: int, error: Any) -> int:
        """One run; returns how many statements there were when none was hit any more, else 0."""
        path = self.mktemp()
        faults = Faults(0, error)
        pump = Pump()
        store = SQLiteStore(path, pump, window=0.0, connect=faults.connect)
        store.open(NOW, WALL)
        faults.count, faults.at = 0, at
        acknowledged, failed = self.scenario(store, pump)
        shown = {aor: fields(store.lookup(aor, NOW + 2)) for aor in (*acknowledged, *failed)}
        faults.at = 0
        pump.wait(store.apply(change(bound(), aor="after@h")))
        try:
            pump.wait(store.close())
        except StoreError:
            self.assertLess(0, at)
        again = SQLiteStore(path, pump, patience=0.0)
        again.open(NOW + 2, WALL + 3602)
        for aor, expected in shown.items():
            self.assertEqual(fields(again.lookup(aor, NOW + 2)), expected, (at, aor))
        for aor, last in acknowledged.items():
            if aor not in failed:
                self.assertEqual({each.key for each in last.puts} - {row[0] for row in shown[aor]}, set())
        self.assertEqual(len(again.lookup("after@h", NOW + 2)), 1)
        pump.wait(again.close())
        return 0 if faults.count >= at else faults.count

    def test_every_statement(self) -> None:
        hits = 0
        for at in range(1, 1000):
            if self.run_with(at, lambda: sqlite3.OperationalError("disk I/O error")):
                break
            hits += 1
        self.assertGreater(hits, 60)
        self.flushLoggedErrors(StoreError)


class FactoryTests(TestCase):
    def test_what_exists(self) -> Deferred[None] | None:
        memory = open_store("memory:", reactor, max_aors=1)
        assert isinstance(memory, MemoryStore)
        store = open_store("sqlite:" + self.mktemp(), reactor)
        assert isinstance(store, SQLiteStore)
        store.open(NOW, WALL)
        return store.close()

    def test_what_does_not(self) -> None:
        for url in ("redis:", "memory", "memory:x", "sqlite:", "", "mysql:x\n", "postgresql:"):
            error = self.assertRaises(StoreError, open_store, url, reactor)
            self.assertIn(f"no store {url!r}: there are memory:, sqlite:PATH, redis:", error.reason)
            self.assertNotIn("\n", str(error))

    def test_no_password_is_shown(self) -> None:
        for url in ("rediss://:pass@h:1/0", "mysql://u:p/@ss@h/x", "redis3://u:pa\nss@h"):
            error = self.assertRaises(StoreError, open_store, url, reactor)
            self.assertNotIn("ss@", error.reason)
            self.assertIn("//h", error.reason)

    def test_without_the_package(self) -> None:
        """One line names the command that installs it."""
        for extra, package in (("redis", "txredisapi"), ("postgresql", "psycopg")):
            with mock.patch.dict(sys.modules, {package: None}):
                for name in ("redis", "redis_link", "postgresql", "location_table"):
                    sys.modules.pop(f"rvoip.registrar.stores.{name}", None)
                error = self.assertRaises(StoreError, open_store, f"{extra}://h/x", reactor)
            expected = f"a {extra}: store needs {package}: pip install 'rvoip[{extra}]'"
            self.assertEqual(error.reason, expected)
