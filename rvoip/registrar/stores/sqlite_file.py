"""A SQLite file of ours that one process uses: made, locked, opened, written in transactions, closed.

Everything here blocks and is called from one thread at a time.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable
from typing import Final

from rvoip.registrar.errors import StoreBusy, StoreError

__all__ = ["IMPATIENT", "PATIENT", "Connect", "SQLiteFile"]

Connect = Callable[..., sqlite3.Connection]
"""`sqlite3.connect` or a stand-in."""

# Seconds that a transaction waits for another process's lock: long enough for a short write of somebody
# else; and when that was not enough, short, so that requests are refused soon and not one after the other.
PATIENT: Final = 1.0
IMPATIENT: Final = 0.1


class SQLiteFile:
    """One open file. Subclasses say what is in it, and read and write it.

    `patience` is how many seconds `open_file` waits for another process to let go. Methods raise StoreError,
    or StoreBusy when another process holds a lock; then nothing of what they were to write is in the file.
    """

    HOLDS = "bindings"
    """What error lines call the contents."""
    KEPT_IN_MEMORY = "memory: keeps bindings in memory"
    APPLICATION_ID = 0
    SCHEMA_VERSION = 1
    SCHEMA = ""
    """Makes the tables, and sets application_id and user_version."""

    def __init__(self, path: str, *, patience: float = 3.0, connect: Connect = sqlite3.connect) -> None:
        self.path = path
        self._patience = patience
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._lock = -1

    def open_file(self) -> sqlite3.Connection:
        """Open or create the file; whoever calls this closes it when what follows fails."""
        if self.path in ("", ":memory:"):
            raise StoreError(f"sqlite: needs the path of a file; {self.KEPT_IN_MEMORY}")
        self._create()
        self._take_lock()
        self._connection = self._new_connection(self._patience)
        self._check_schema()
        return self._connection

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
        if application != self.APPLICATION_ID and (application or version or tables):
            raise StoreError(f"{self.path} holds something else than {self.HOLDS}")
        if version > self.SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} is of a newer version (schema {version}, not {self.SCHEMA_VERSION})"
            )

    def _check_schema(self) -> None:
        connection = self._open_connection()
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if not tables:
            connection.executescript(self.SCHEMA)
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise StoreError(f"{self.path} is damaged: {problem}")

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
