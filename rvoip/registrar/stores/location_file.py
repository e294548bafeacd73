"""The SQLite file of bindings: schema, statements, and transactions of many changes.

Everything here blocks and is called from one thread at a time. Bindings carry monotonic deadlines, rows wall
time: a constant of the run is added on the way in and taken off on the way out.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from rvoip.registrar.binding import TOMBSTONE, Binding, Change, Outcome, tombstone
from rvoip.registrar.compare_and_set import buried, objection
from rvoip.registrar.errors import StoreBusy, StoreError
from rvoip.registrar.stores.statements import (
    APPLICATION_ID,
    FORGET,
    LOAD,
    READ_AOR,
    SCHEMA,
    SCHEMA_VERSION,
    SWEEP,
    SWEEP_END,
    SWEEP_REST,
    WRITE,
    compare_and_set,
    from_row,
    to_row,
)

__all__ = ["MAX_GRAVES", "Connect", "LocationFile", "Result"]

MAX_GRAVES: Final = 32
"""Tombstones of one AOR; beyond that the oldest is forgotten."""

Connect = Callable[..., sqlite3.Connection]
"""`sqlite3.connect` or a stand-in."""

Result = Outcome | StoreError | None
"""None when the change was applied, an Outcome when it was refused, an error when it failed."""

# What is the fault of one value: a lone surrogate, a number of more than 64 bits, one of another type.
_BAD_VALUE: Final = (ValueError, TypeError, OverflowError, sqlite3.DataError, sqlite3.IntegrityError)


_CHUNKS: Final = (64, 16, 4, 1)
"""Rows that one statement writes: few sizes, so that each is compiled once."""

_SWEEP_ROWS: Final = 1000


class LocationFile:
    """One open file of bindings.

    `patience` is how many seconds `open` waits for another process to let go, `tombstone_seconds` how long a
    removal is remembered. Methods raise StoreError, or StoreBusy when another process holds a lock; then
    nothing of what they were to write is in the file.
    """

    def __init__(
        self,
        path: str,
        *,
        tombstone_seconds: float = TOMBSTONE,
        patience: float = 3.0,
        connect: Connect = sqlite3.connect,
    ) -> None:
        self.path = path
        self._tombstone_seconds = tombstone_seconds
        self._patience = patience
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._lock = -1
        self._offset = 0.0  # added to monotonic seconds it gives what a row says
        self._swept = ("", "")
        self._written = 0
        self._empty = False

    # -- opening and closing

    def open(self, now: float, wall_now: float) -> list[tuple[str, Binding]]:
        """Open or create the file, drop what has expired, and read all live bindings, AOR by AOR."""
        if self.path in ("", ":memory:"):
            raise StoreError("sqlite: needs the path of a file; memory: keeps bindings in memory")
        try:
            self._create()
            self._take_lock()
            self._connection = self._new_connection(self._patience)
            self._check_schema()
            self._offset = wall_now - now
            return self._load(wall_now)
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise self._error(error) from None
            raise

    def close(self) -> None:
        """Close the file; harmless when it is not open."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        except sqlite3.Error as error:
            raise self._error(error) from None
        finally:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def _create(self) -> None:
        """Make the file for its owner alone; SQLite gives -wal and -shm the same mode."""
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return
        folder = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # or the name may be gone after a power failure, with what was promised
        finally:
            os.close(folder)

    def _take_lock(self) -> None:
        """Refuse a second process: it would not see what the first one changes.

        The lock stands on a file of its own, because closing any descriptor of the database would drop
        SQLite's locks. It ends with the process, however that ends.
        """
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self._lock = os.open(f"{self.path}.lock", flags, 0o600)
        pause = threading.Event()
        for attempt in range(int(self._patience * 20), -1, -1):
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not attempt:
                    raise StoreBusy(f"{self.path} is in use by another process") from None
                pause.wait(0.05)

    def _new_connection(self, patience: float) -> sqlite3.Connection:
        connection = self._connect(
            self.path,
            timeout=patience,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=32,
        )
        try:
            # Before anything is written: a file of something else is a wrong path, and stays as it is.
            self._check_owner(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")
            # Reads come from elsewhere, and the kernel has the pages: more here is memory for nothing.
            connection.execute("PRAGMA cache_size = -512")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that is not ours, or of a later schema."""
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application != APPLICATION_ID and (application or version or tables):
            raise StoreError(f"{self.path} holds something else than bindings")
        if version > SCHEMA_VERSION:
            raise StoreError(f"{self.path} is of a newer version (schema {version}, not {SCHEMA_VERSION})")

    def _check_schema(self) -> None:
        connection = self._open_connection()
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if not tables:
            connection.executescript(SCHEMA)
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise StoreError(f"{self.path} is damaged: {problem}")

    def _load(self, wall_now: float) -> list[tuple[str, Binding]]:
        connection = self._open_connection()
        connection.execute("BEGIN IMMEDIATE")
        (correction,) = connection.execute("SELECT correction FROM clock").fetchone()
        if correction:
            connection.execute("UPDATE binding SET expires_at = expires_at + ?", (correction,))
            connection.execute("UPDATE clock SET correction = 0.0")
        connection.execute("DELETE FROM binding WHERE expires_at <= ?", (wall_now,))
        found = [(row[0], from_row(row, self._offset)) for row in connection.execute(LOAD)]
        connection.execute("COMMIT")
        return found

    # -- changes

    def write(self, changes: Sequence[Change]) -> list[Result]:
        """Compare and set in one transaction, in order; returns what came of each, after the commit.

        When the transaction fails nothing of any change is in the file.
        """
        results: list[Result] = []

        def work(connection: sqlite3.Connection) -> None:
            results.extend(self._apply(connection, changes))

        self._transact(work)
        self._written += len(changes)
        self._empty = False
        return results

    def correct_clock(self, now: float, wall_now: float) -> None:
        """Note that wall time has jumped, so that the rows mean after a restart what they mean now."""
        correction = wall_now - now - self._offset
        self._transact(
            lambda connection: connection.execute("UPDATE clock SET correction = ?", (correction,))
        )

    def sweep(self, now: float) -> None:
        """Delete what has expired from the next stretch of the table, so that it is gone over bit by bit."""
        if self._empty:
            return
        rows = max(_SWEEP_ROWS, 4 * self._written)  # faster than it may grow
        self._written = 0

        def work(connection: sqlite3.Connection) -> None:
            start = self._swept
            limit = now + self._offset
            end = connection.execute(SWEEP_END, (*start, rows - 1)).fetchone()
            if end is not None:
                connection.execute(SWEEP, (*start, *end, limit))
                self._swept = end
                return
            connection.execute(SWEEP_REST, (*start, limit))
            self._swept = ("", "")
            self._empty = connection.execute("SELECT 1 FROM binding LIMIT 1").fetchone() is None

        self._transact(work)

    def be_patient(self, seconds: float) -> None:
        """Wait so long for another process's lock from now on."""
        self._patience = seconds
        if self._connection is not None:
            try:
                self._connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
            except sqlite3.Error:
                self._give_up(self._connection)  # the next one is made with it

    def _transact(self, work: Callable[[sqlite3.Connection], object]) -> None:
        try:
            connection = self._open_connection()
            try:
                connection.execute("BEGIN IMMEDIATE")
                work(connection)
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back(connection)
                raise
        except sqlite3.Error as error:
            raise self._error(error) from None

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._lock < 0:
                raise StoreError(f"{self.path} is not open")
            self._connection = self._new_connection(self._patience)
        return self._connection

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        """End the transaction; a connection that cannot even do that is given up for another one."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._give_up(connection)

    def _give_up(self, connection: sqlite3.Connection) -> None:
        self._connection = None
        try:
            connection.close()
        except sqlite3.Error:
            return  # what it holds ends with the object

    def _apply(self, connection: sqlite3.Connection, changes: Sequence[Change]) -> list[Result]:
        """First those that are one put, the first change of their AOR; then the others one by one."""
        results: list[Result] = [None] * len(changes)
        together: list[int] = []
        singly: list[int] = []
        seen: set[str] = set()
        most = changes[0].max_contacts if changes else 0
        for index, change in enumerate(changes):
            simple = len(change.puts) == 1 and not change.removes and change.call_id
            if simple and change.max_contacts == most and change.aor not in seen:
                together.append(index)
            else:
                singly.append(index)
            seen.add(change.aor)
        start = 0
        retried: list[int] = []
        while start < len(together):
            left = len(together) - start
            size = next(size for size in _CHUNKS if size <= left)
            chunk = together[start : start + size]
            if not self._put_all(connection, [changes[index] for index in chunk]):
                retried += chunk
            start += size
        for index in retried + singly:
            results[index] = self._apply_one(connection, changes[index])
        return results

    def _put_all(self, connection: sqlite3.Connection, changes: list[Change]) -> bool:
        """Apply changes of one put each; False when one of them is refused: then none is applied."""
        offset = self._offset
        now = changes[0].now + offset
        values: list[Any] = []
        for change in changes:
            values += to_row(change.aor, change.puts[0], offset)
        values += (now, changes[0].max_contacts, now)
        if len(changes) > 1:
            connection.execute("SAVEPOINT together")
        try:
            done = connection.execute(compare_and_set(len(changes)), values).rowcount == len(changes)
        except _BAD_VALUE:
            done = False
        if len(changes) > 1:
            if not done:
                connection.execute("ROLLBACK TO together")
            connection.execute("RELEASE together")
        return done

    def _apply_one(self, connection: sqlite3.Connection, change: Change) -> Result:
        """Compare and set one change of any kind, in a savepoint."""
        connection.execute("SAVEPOINT one")
        try:
            result: Result = self._compare_and_write(connection, change)
        except _BAD_VALUE as error:
            result = StoreError(f"{change.aor} cannot be stored: {error}")
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        return result

    def _compare_and_write(self, connection: sqlite3.Connection, change: Change) -> Outcome | None:
        held: list[Binding] = []
        graves: list[Binding] = []
        for row in connection.execute(READ_AOR, (change.aor,)).fetchall():
            binding = from_row(row, self._offset)
            (held if binding.granted else graves).append(binding)
        refused = objection(held, graves, change)
        if refused is not None:
            return refused
        deadline = change.now + self._tombstone_seconds
        kept = {grave.key: grave for grave in graves}
        for key, call_id, cseq in buried(held, graves, change):
            kept.pop(key, None)
            kept[key] = tombstone(key, call_id, cseq, deadline)
        written = [grave for grave in kept.values() if grave.deadline == deadline]
        for put in change.puts:
            kept.pop(put.key, None)
            written.append(put)
        connection.executemany(WRITE, [to_row(change.aor, each, self._offset) for each in written])
        excess = len(kept) - MAX_GRAVES
        if excess > 0:
            oldest = sorted(kept.values(), key=lambda grave: grave.deadline)[:excess]
            connection.executemany(FORGET, [(change.aor, grave.key) for grave in oldest])
        return None

    def _error(self, error: Exception) -> StoreError:
        name = getattr(error, "sqlite_errorname", "")
        path = self.path
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return StoreBusy(f"{path} is locked by another process")
        if name == "SQLITE_FULL":
            return StoreError(f"{path} cannot grow: the disk is full")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return StoreError(f"{path} is damaged, or no SQLite database")
        if name.startswith("SQLITE_READONLY"):
            return StoreError(f"{path} may not be written")
        if isinstance(error, OSError):
            return StoreError(f"{error.filename or path}: {error.strerror}")
        return StoreError(f"{path}: {error}")
