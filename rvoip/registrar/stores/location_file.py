"""The SQLite file of bindings: schema, statements, and transactions of many changes.

Everything here blocks and is called from one thread at a time. Bindings carry monotonic deadlines, rows wall
time: a constant of the run is added on the way in and taken off on the way out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from rvoip.registrar.binding import TOMBSTONE, Binding, Change, Outcome, tombstone
from rvoip.registrar.compare_and_set import buried, objection
from rvoip.registrar.errors import StoreError
from rvoip.registrar.stores.rows import from_row, to_row
from rvoip.registrar.stores.sqlite_file import Connect, SQLiteFile
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
)

__all__ = ["MAX_GRAVES", "LocationFile", "Result"]

MAX_GRAVES: Final = 32
"""Tombstones of one AOR; beyond that the oldest is forgotten."""

Result = Outcome | StoreError | None
"""None when the change was applied, an Outcome when it was refused, an error when it failed."""

# What is the fault of one value: a lone surrogate, a number of more than 64 bits, one of another type.
_BAD_VALUE: Final = (ValueError, TypeError, OverflowError, sqlite3.DataError, sqlite3.IntegrityError)


_CHUNKS: Final = (64, 16, 4, 1)
"""Rows that one statement writes: few sizes, so that each is compiled once."""

_SWEEP_ROWS: Final = 1000


class LocationFile(SQLiteFile):
    """One open file of bindings.

    `patience` is how many seconds `open` waits for another process to let go, `tombstone_seconds` how long a
    removal is remembered. Methods raise StoreError, or StoreBusy when another process holds a lock; then
    nothing of what they were to write is in the file.
    """

    APPLICATION_ID = APPLICATION_ID
    SCHEMA_VERSION = SCHEMA_VERSION
    SCHEMA = SCHEMA

    def __init__(
        self,
        path: str,
        *,
        tombstone_seconds: float = TOMBSTONE,
        patience: float = 3.0,
        connect: Connect = sqlite3.connect,
    ) -> None:
        super().__init__(path, patience=patience, connect=connect)
        self._tombstone_seconds = tombstone_seconds
        self._offset = 0.0  # added to monotonic seconds it gives what a row says
        self._swept = ("", "")
        self._written = 0
        self._empty = False

    # -- opening and closing

    def open(self, now: float, wall_now: float) -> list[tuple[str, Binding]]:
        """Open or create the file, drop what has expired, and read all live bindings, AOR by AOR."""
        try:
            self.open_file()
            self._offset = wall_now - now
            return self._load(wall_now)
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise self._error(error) from None
            raise

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
