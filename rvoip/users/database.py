"""One database of users: where it is, how it is opened, its transactions, and what its failures mean."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from rvoip.users.errors import StoreBusy, StoreError
from rvoip.users.schema import VERSION_TABLE

__all__ = ["Database", "database_url"]

# A larger file is not read through at each start.
_CHECKED_BYTES = 64 * 1024 * 1024
# Taken by PostgreSQL's writers one after the other, so that revisions are committed in their order.
_WRITE_LOCK = 0x7276_6F69_7075


def database_url(url: str) -> URL:
    """SQLAlchemy's URL for ``sqlite:PATH`` or ``postgresql://...``; StoreError for anything else.

    A relative path is relative to the working directory; configuration makes its paths absolute before.
    """
    scheme, colon, rest = url.partition(":")
    if scheme == "sqlite" and colon:
        if rest.startswith("//"):
            raise StoreError(f"{url}: write sqlite:PATH, for example sqlite:/var/lib/rvoip/users.db")
        if not rest or rest == ":memory:" or "\0" in rest:
            raise StoreError(f"{ascii(url)[1:-1]}: the users need a database in a file, sqlite:PATH")
        return URL.create("sqlite", database=os.path.abspath(rest))
    if scheme == "postgresql" and rest.startswith("//"):
        try:
            return make_url(url).set(drivername="postgresql+psycopg")
        except (ArgumentError, ValueError):
            raise StoreError("the postgresql URL of the users is not valid") from None
    raise StoreError(f"{ascii(scheme)[1:-1]}: a store of users is sqlite:PATH or postgresql://...")


class Database:
    """A pool of connections, usable from any thread; blocks, so the reactor's thread never calls it.

    `busy_timeout` is how many seconds a writer waits for another one before it fails with StoreBusy.
    """

    def __init__(self, url: str, *, busy_timeout: float = 5.0) -> None:
        self._url = database_url(url)
        self._busy_timeout = busy_timeout
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        #: The database as error lines name it, without a password.
        self.shown = (
            str(self._url.database) if self.is_sqlite else self._url.render_as_string(hide_password=True)
        )
        arguments: dict[str, Any] = {"timeout": busy_timeout} if self.is_sqlite else {}
        try:
            self._engine = sa.create_engine(
                self._url, connect_args=arguments, pool_size=4, max_overflow=16, pool_timeout=30
            )
        except ImportError:
            raise StoreError(f"{self.shown}: needs psycopg: pip install 'rvoip[postgresql]'") from None
        if self.is_sqlite:
            sa.event.listen(self._engine, "connect", self._connected)
        sa.event.listen(self._engine, "begin", self._begun)

    def open(self) -> None:
        """Make the file if there is none, for its owner's eyes only, and see that it is a sound database."""
        if not self.is_sqlite:
            return
        path = Path(self.shown)
        try:
            # The file holds what answers for passwords; its -wal and -shm files take its mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            if not path.is_file():
                raise StoreError(f"{path}: is not a file") from None
        except FileNotFoundError:
            raise StoreError(f"{path}: its folder does not exist") from None
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from None
        with self._translated():
            with contextlib.closing(sqlite3.connect(path, timeout=self._busy_timeout)) as connection:
                # Before anything is written: a file of something else is a wrong path, and stays as it is.
                self._check_owner(connection)
                self._use_wal(connection)
                if path.stat().st_size <= _CHECKED_BYTES:
                    (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                    if answer != "ok":
                        raise StoreError(
                            f"{path}: the database is damaged ({' '.join(answer.split())[:120]})"
                        )

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database and waits for no writer."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds the write lock from its begin; an error undoes all of it."""
        with self._translated(), self._engine.connect() as connection:
            with connection.execution_options(rvoip_writes=True).begin():
                yield connection

    def _connected(self, connection: sqlite3.Connection, _record: object) -> None:
        # Transactions are begun by `_begun`, not by the driver's guesses.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    def _begun(self, connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("rvoip_writes", False)
        if self.is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
        elif writes:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITE_LOCK)))

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that has tables and is not ours."""
        names = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
        if names and VERSION_TABLE not in names:
            raise StoreError(f"{self.shown}: holds other tables and none of users")

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Switch to write-ahead logging, which lets readers and a writer work side by side.

        The switch needs the file for itself for a moment and SQLite does not wait for that, so a start beside
        another one tries again until the busy timeout is over.
        """
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(0.02)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout:
            raise StoreBusy(f"{self.shown}: all connections are in use") from None
        except DBAPIError as error:
            raise self._store_error(error.orig or error) from error
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise self._store_error(error) from error

    def _store_error(self, error: BaseException) -> StoreError:
        if _is_busy(error):
            return StoreBusy(f"{self.shown}: the database is locked by another process")
        match getattr(error, "sqlite_errorcode", 0) & 0xFF:
            case sqlite3.SQLITE_CORRUPT:
                reason = "the database is damaged"
            case sqlite3.SQLITE_NOTADB:
                reason = "the file is not a SQLite database"
            case sqlite3.SQLITE_FULL:
                reason = "the disk is full"
            case sqlite3.SQLITE_READONLY:
                reason = "the database cannot be written to"
            case sqlite3.SQLITE_CANTOPEN:
                reason = "the database cannot be opened"
            case _:
                reason = " ".join(str(error).split())[:200] or type(error).__name__
        return StoreError(f"{self.shown}: {reason}")


def _is_busy(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
