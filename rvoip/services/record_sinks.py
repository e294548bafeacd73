"""Where records of calls are written: files and a database. These block: they are for a thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from rvoip.common.errors import StartError
from rvoip.common.log_file import LogFile
from rvoip.services.record import CallRecord, csv_head, csv_lines, json_lines

__all__ = ["CALLS", "FileSink", "RecordSink", "SQLSink", "SinkError", "csv_sink", "json_sink", "sql_url"]


class SinkError(Exception):
    """Records could not be written; they may be tried again. `str()` says why in one line."""


class RecordSink(Protocol):
    """Something that records are written to, from one thread."""

    name: str

    def open(self) -> None:
        """Make it ready, before the thread: `StartError` when that cannot be."""

    def write(self, records: Sequence[CallRecord]) -> None:
        """Write them all, or none and raise `SinkError`."""

    def reopen(self) -> None:
        """Another program has renamed the file: go on in a new one."""

    def close(self) -> None:
        """Write nothing more."""


class FileSink:
    """Lines added to a file, which other programs may read and rename while it grows."""

    def __init__(
        self,
        path: str,
        lines: Callable[[Sequence[CallRecord]], bytes],
        head: Callable[[], bytes] | None = None,
    ) -> None:
        self.name = path
        self._lines = lines
        self._head = head
        self._file: LogFile | None = None

    def open(self) -> None:
        """See `RecordSink`."""
        try:
            self._file = LogFile(self.name)
            self._begin()
        except OSError as error:
            raise StartError(f"{self.name}: {error.strerror}") from None

    def _begin(self) -> None:
        """An empty file begins with the head."""
        if self._file is not None and self._head is not None and not os.path.getsize(self.name):
            self._file.write(self._head())

    def write(self, records: Sequence[CallRecord]) -> None:
        """See `RecordSink`. A line that the disk took only a part of is taken back."""
        if self._file is None:
            raise SinkError("the file is not open")
        size = self._file.size
        try:
            self._file.write(self._lines(records))
        except OSError as error:
            self._file.cut(size)
            raise SinkError(f"{self.name}: {error.strerror}") from None

    def reopen(self) -> None:
        """See `RecordSink`."""
        if self._file is not None:
            try:
                self._file.reopen()
                self._begin()
            except OSError as error:
                raise SinkError(f"{self.name}: {error.strerror}") from None

    def close(self) -> None:
        """See `RecordSink`."""
        if self._file is not None:
            self._file.close()
            self._file = None


def csv_sink(path: str) -> FileSink:
    """A file of comma-separated values with a head."""
    return FileSink(path, csv_lines, csv_head)


def json_sink(path: str) -> FileSink:
    """A file with a JSON object a line."""
    return FileSink(path, json_lines)


_metadata = sa.MetaData()

CALLS = sa.Table(
    "calls",
    _metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("role", sa.String(32), nullable=False),
    sa.Column("call_id", sa.String(1024), nullable=False, index=True),
    sa.Column("began", sa.Float(53), nullable=False, index=True),
    sa.Column("answered", sa.Float(53)),
    sa.Column("ended", sa.Float(53), nullable=False),
    sa.Column("duration", sa.Float(53), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("reason", sa.String(1024), nullable=False),
    sa.Column("end", sa.String(16), nullable=False),
    sa.Column("caller", sa.String(1024), nullable=False),
    sa.Column("callee", sa.String(1024), nullable=False),
    sa.Column("uri", sa.String(1024), nullable=False),
    sa.Column("user", sa.String(1024), nullable=False, index=True),
    sa.Column("source", sa.String(128), nullable=False),
    sa.Column("destination", sa.String(128), nullable=False),
)
"""A row a call; times are seconds since 1970."""


def sql_url(text: str) -> URL:
    """SQLAlchemy's URL for `sqlite:PATH` or `postgresql://...`; StartError for anything else."""
    scheme, _, rest = text.partition(":")
    if scheme == "sqlite" and rest and not rest.startswith("//") and rest != ":memory:":
        return URL.create("sqlite", database=os.path.abspath(rest))
    if scheme == "postgresql" and rest.startswith("//"):
        try:
            return make_url(text).set(drivername="postgresql+psycopg")
        except (ArgumentError, ValueError):
            raise StartError("the postgresql URL of the records is not valid") from None
    raise StartError(f"{ascii(scheme)[1:-1]}: records go to sqlite:PATH or postgresql://...")


class SQLSink:
    """The table `calls` of a database, made when it is missing."""

    def __init__(self, url: str) -> None:
        found = sql_url(url)
        self._is_sqlite = found.get_backend_name() == "sqlite"
        self.name = str(found.database) if self._is_sqlite else found.render_as_string(hide_password=True)
        try:
            self._engine = sa.create_engine(found, connect_args={"timeout": 5.0} if self._is_sqlite else {})
        except ImportError:
            raise StartError(f"{self.name}: needs psycopg: pip install 'rvoip[postgresql]'") from None
        self._insert = self._statement()

    def _statement(self) -> Any:
        """An insert that leaves alone what is there: a batch may be tried again after it was committed."""
        if self._is_sqlite:
            return CALLS.insert().prefix_with("OR IGNORE")
        from sqlalchemy.dialects.postgresql import insert

        return insert(CALLS).on_conflict_do_nothing()

    def open(self) -> None:
        """See `RecordSink`."""
        try:
            with self._engine.begin() as connection:
                if self._is_sqlite:
                    connection.exec_driver_sql("PRAGMA user_version")  # is it a database at all?
                _metadata.create_all(connection)
            if self._is_sqlite:
                with self._engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except SQLAlchemyError as error:
            raise StartError(f"{self.name}: {_reason(error)}") from None

    def write(self, records: Sequence[CallRecord]) -> None:
        """See `RecordSink`."""
        try:
            with self._engine.begin() as connection:
                connection.execute(self._insert, [msgspec.structs.asdict(record) for record in records])
        except SQLAlchemyError as error:
            raise SinkError(f"{self.name}: {_reason(error)}") from None

    def reopen(self) -> None:
        """A database is not renamed under its users."""

    def close(self) -> None:
        """See `RecordSink`."""
        self._engine.dispose()


def _reason(error: SQLAlchemyError) -> str:
    """What the driver said, in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
