"""A store says in one line why its database cannot be used, and leaves the file as it is."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.users.stores import StoreTestCase
from rvoip.users import migrate as migrating
from rvoip.users import schema
from rvoip.users.accounts import Account
from rvoip.users.database import Database, database_url
from rvoip.users.errors import StoreBusy, StoreError
from rvoip.users.store import UserStore

ALICE = Account("alice", "example.test")


class URLTests(SynchronousTestCase):
    def test_accepted(self) -> None:
        for url, expected in (
            ("sqlite:/var/lib/users.db", "sqlite:////var/lib/users.db"),
            ("sqlite:users.db", "sqlite:///" + os.path.abspath("users.db")),
            ("sqlite:/a b/50%25?x=y#z.db", None),
            ("postgresql://rvoip:pw@db.test/users", "postgresql+psycopg://rvoip:***@db.test/users"),
        ):
            made = database_url(url)
            if expected is None:
                self.assertEqual(made.database, "/a b/50%25?x=y#z.db")
            else:
                self.assertEqual(made.render_as_string(), expected)

    def test_refused(self) -> None:
        for url in (
            "",
            "sqlite",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a\0b",
            "sqlite:///var/lib/users.db",
            "mysql://x",
            "postgresql:x",
            "postgresql://h:port/x",
            "/var/lib/users.db",
        ):
            error = self.assertRaises(StoreError, database_url, url)
            self.assertTrue(error.reason.isprintable(), url)

    def test_without_the_driver(self) -> None:
        """PostgreSQL needs a package that is not installed with the core."""
        with mock.patch.dict(sys.modules, {"psycopg": None}):
            error = self.assertRaises(StoreError, Database, "postgresql://rvoip:hunter2@127.0.0.1/x")
        self.assertIn("needs psycopg: pip install 'rvoip[postgresql]'", error.reason)
        self.assertNotIn("hunter2", error.reason)


class FileTests(StoreTestCase):
    def refused(self, url: str | None = None) -> StoreError:
        """The error of opening the store; one printable line that names the file."""
        store = UserStore(url or self.url, busy_timeout=0.05)
        self.addCleanup(store.close)
        error: StoreError = self.assertRaises(StoreError, store.open)
        self.assertTrue(error.reason.isprintable(), error.reason)
        self.assertIn(str(self.folder), error.reason)
        return error

    def written(self) -> bytes:
        """Close the store and return what its file holds."""
        self.store.add(ALICE, "pw")
        self.store.close()
        return self.path.read_bytes()

    def test_the_file_is_its_owners_alone(self) -> None:
        self.store.add(ALICE, "pw")
        for name in ("users.db", "users.db-wal", "users.db-shm"):
            self.assertEqual(stat.S_IMODE((self.folder / name).stat().st_mode), 0o600, name)

    def test_durable(self) -> None:
        with self.store._database.reading() as connection:
            read = connection.exec_driver_sql
            self.assertEqual(read("PRAGMA journal_mode").scalar(), "wal")
            self.assertEqual(read("PRAGMA synchronous").scalar(), 2)
            self.assertEqual(read("PRAGMA foreign_keys").scalar(), 1)

    def test_no_folder(self) -> None:
        error = self.refused(f"sqlite:{self.folder}/none/users.db")
        self.assertIn("folder does not exist", error.reason)

    def test_a_folder(self) -> None:
        self.assertIn("is not a file", self.refused(f"sqlite:{self.folder}").reason)

    def test_a_file_in_the_way_of_a_folder(self) -> None:
        self.refused(f"sqlite:{self.path}/users.db")

    def test_not_a_database(self) -> None:
        for content in (
            b"[sip]\nlisten = []\n" * 100,
            random.Random(1).randbytes(8192),
            b"SQLite format 3\0" + bytes(5000),
        ):
            self.written() if not self.store.count() else self.store.close()
            for name in ("-wal", "-shm"):
                Path(f"{self.path}{name}").unlink(missing_ok=True)
            self.path.write_bytes(content)
            error = self.refused()
            self.assertNotIsInstance(error, StoreBusy)
            self.assertIn("database", error.reason)
            self.assertEqual(self.path.read_bytes(), content, "nothing is lost")
            self.path.unlink()
            self.store.open()

    def test_damaged(self) -> None:
        """A page overwritten, and a file cut short."""
        whole = self.written()
        for content in (whole[:4096] + b"\xff" * 4096 + whole[8192:], whole[: len(whole) // 2]):
            self.path.write_bytes(content)
            self.assertIn("damaged", self.refused().reason)
            self.assertEqual(self.path.read_bytes(), content)

    def test_damage_in_a_running_store(self) -> None:
        self.store.import_many(f"u{n}:a.test:pw".encode() for n in range(500))
        self.written()
        size = self.path.stat().st_size
        with self.path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        self.assertRaises(StoreError, self.store.get, "u1@a.test")
        self.assertRaises(StoreError, self.store.find_credentials, [("u1", "a.test")])
        self.assertRaises(StoreError, self.store.add, Account("x", "a.test"), "pw")

    def test_another_programs_database(self) -> None:
        path = self.folder / "location.db"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE binding (aor TEXT)")
        connection.close()
        self.assertIn("holds other tables", self.refused(f"sqlite:{path}").reason)
        with sqlite3.connect(path) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
        connection.close()
        self.assertEqual(names, ["binding"])

    def test_full(self) -> None:
        with self.store._database.writing() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 30")
        before = self.contents()
        lines = [f"u{n}:a.test:pw".encode() for n in range(1000)]
        error = self.assertRaises(StoreError, self.store.import_many, lines)
        self.assertIn("the disk is full", error.reason)
        self.assertEqual(self.contents(), before)
        self.store.add(ALICE, "pw")

    def test_read_only(self) -> None:
        self.written()
        if os.geteuid() == 0:
            # Root writes to any file: have SQLite itself refuse.
            self.store.open()
            with self.store._database.reading() as connection:
                connection.exec_driver_sql("PRAGMA query_only = ON")
            error = self.assertRaises(StoreError, self.store.add, Account("b", "a.test"), "pw")
        else:
            self.path.chmod(0o400)
            error = self.refused()
        self.assertIn("cannot be written", error.reason)


class LockTests(StoreTestCase):
    def lock(self) -> sqlite3.Connection:
        """Hold the lock that keeps every writer out, as another process."""
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN EXCLUSIVE")
        return other

    def test_writes_fail_and_reads_go_on(self) -> None:
        self.store.add(ALICE, "pw")
        self.store.add_key("ci")
        before = self.contents()
        other = self.lock()
        for write in (
            lambda: self.store.add(Account("bob", "a.test"), "pw"),
            lambda: self.store.set_password("alice@example.test", "new"),
            lambda: self.store.update("alice@example.test", enabled=False),
            lambda: self.store.remove("alice@example.test"),
            lambda: self.store.import_many([b"a:b:c"]),
            lambda: self.store.add_key("x"),
        ):
            error = self.assertRaises(StoreBusy, write)
            self.assertEqual(
                error.reason, f"{self.path.absolute()}: the database is locked by another process"
            )
        self.assertEqual(self.contents(), before)
        self.assertEqual(len(self.store.find_credentials([("alice", "example.test")])), 1)
        other.execute("ROLLBACK")
        self.store.remove("alice@example.test")

    def test_a_login_needs_no_lock(self) -> None:
        """Its hash is stored another time."""
        self.store.add(ALICE, "pw")
        self.lock()
        self.assertIsNotNone(self.store.login("alice@example.test", "pw"))

    def test_a_start_beside_a_lock_is_refused(self) -> None:
        self.lock()
        error = self.assertRaises(StoreBusy, self.make_store().open)
        self.assertIn("locked by another process", error.reason)

    def test_a_start_beside_a_lock_on_a_fresh_file(self) -> None:
        """Before it has the write-ahead log, a lock keeps readers out as well."""
        path = self.folder / "fresh.db"
        other = sqlite3.connect(path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN EXCLUSIVE")
        store = UserStore(f"sqlite:{path}", busy_timeout=0.05)
        self.addCleanup(store.close)
        self.assertRaises(StoreBusy, store.open)
        other.execute("ROLLBACK")
        self.assertEqual(store.open().count(), 0)

    def test_a_writer_waits_its_turn(self) -> None:
        """A lock that is let go within the busy timeout costs only time."""
        other = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        store = self.make_store(busy_timeout=20.0)
        begun = threading.Event()
        done: list[Account] = []

        def add() -> None:
            begun.set()
            done.append(store.add(ALICE, "pw"))

        thread = threading.Thread(target=add)
        thread.start()
        self.assertTrue(begun.wait(10))
        other.execute("ROLLBACK")
        thread.join(20)
        self.assertEqual(len(done), 1)


class MigrationTests(StoreTestCase):
    def revision(self) -> Any:
        with self.store._database.reading() as connection:
            return connection.exec_driver_sql(f"SELECT version_num FROM {schema.VERSION_TABLE}").scalar()

    def test_the_head_is_the_last_revision(self) -> None:
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(Path(migrating.__file__).parent / "migrations"))
        self.assertEqual(ScriptDirectory.from_config(config).get_heads(), [schema.HEAD])
        self.assertEqual(self.revision(), schema.HEAD)

    def test_migrations_make_the_schema(self) -> None:
        with self.store._database.reading() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
            self.assertEqual(compare_metadata(context, schema.metadata), [])
        made = sa.create_engine(f"sqlite:///{self.folder}/made.db")
        self.addCleanup(made.dispose)
        schema.metadata.create_all(made)

        def statements(path: Path) -> set[str]:
            connection = sqlite3.connect(path)
            try:
                rows = connection.execute("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'users_version'")
                return {re.sub(r"\s+", "", sql) for (sql,) in rows if sql and "users_version" not in sql}
            finally:
                connection.close()

        self.assertEqual(statements(self.path), statements(self.folder / "made.db"))

    def test_opened_again(self) -> None:
        self.store.add(ALICE, "pw")
        before = self.contents()
        self.assertEqual(self.make_store().open().count(), 1)
        self.assertEqual(self.contents(), before)

    def test_a_newer_database(self) -> None:
        self.store.add(ALICE, "pw")
        before = self.contents()
        with self.store._database.writing() as connection:
            connection.exec_driver_sql(f"UPDATE {schema.VERSION_TABLE} SET version_num = '0099'")
        error = self.assertRaises(StoreError, self.make_store().open)
        self.assertIn("newer version of rvoip (its revision 0099", error.reason)
        self.assertEqual(self.contents(), before)
        self.assertEqual(self.revision(), "0099")

    def test_a_failed_migration_leaves_nothing(self) -> None:
        """All of it or nothing: a migration that breaks off leaves no table, and the next start works."""
        from alembic import op

        path = self.folder / "fresh.db"
        inner = op.create_index

        def fail(*args: Any, **kwargs: Any) -> None:
            inner(*args, **kwargs)
            raise sqlite3.OperationalError("disk I/O error")

        op.create_index = fail
        try:
            store = UserStore(f"sqlite:{path}", busy_timeout=0.05)
            self.addCleanup(store.close)
            error = self.assertRaises(StoreError, store.open)
        finally:
            op.create_index = inner
        self.assertIn("disk I/O error", error.reason)
        connection = sqlite3.connect(path)
        self.assertEqual(connection.execute("SELECT count(*) FROM sqlite_master").fetchone(), (0,))
        connection.close()
        self.assertEqual(store.open().count(), 0)

    def test_threads_with_databases_of_their_own(self) -> None:
        """Alembic's context is one a process: migrations of one process wait for each other."""
        errors: list[BaseException] = []
        barrier = threading.Barrier(6)

        def start(name: str) -> None:
            store = UserStore(f"sqlite:{self.folder}/{name}.db", busy_timeout=30)
            try:
                barrier.wait(10)
                store.open()
                store.add(ALICE, "pw")
            except BaseException as error:
                errors.append(error)
            finally:
                store.close()

        threads = [threading.Thread(target=start, args=(str(number),)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])

    def test_starts_that_race(self) -> None:
        """Threads of one process and processes beside them open a file that is not there yet."""
        path = self.folder / "fresh.db"
        script = (
            "import sys; from rvoip.users.store import UserStore\n"
            "store = UserStore(sys.argv[1], busy_timeout=30)\n"
            "print('ready', flush=True); sys.stdin.readline(); store.open(); print(store.count())"
        )
        root = str(Path(migrating.__file__).parents[2])
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", script, f"sqlite:{path}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": root},
            )
            for _ in range(2)
        ]
        errors: list[BaseException] = []

        def start() -> None:
            store = UserStore(f"sqlite:{path}", busy_timeout=30)
            try:
                store.open()
            except BaseException as error:
                errors.append(error)
            finally:
                store.close()

        threads = [threading.Thread(target=start) for _ in range(4)]
        for process in processes:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "ready\n")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for process in processes:
            out, err = process.communicate()
            self.assertEqual((out, err), ("0\n", ""))
        self.assertEqual(errors, [])
        store = UserStore(f"sqlite:{path}")
        self.addCleanup(store.close)
        self.assertEqual(store.open().count(), 0)
