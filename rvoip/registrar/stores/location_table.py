"""The table of bindings in PostgreSQL: schema, statements, and transactions of many changes.

Everything here blocks, and each `LocationTable` is used by one thread. Rows say when a binding ends by the
server's clock, which all who share the table have in common.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from rvoip.common.printable import printable
from rvoip.registrar.binding import TOMBSTONE, Applied, Binding, Change, Counts, Removed, tombstone
from rvoip.registrar.compare_and_set import buried, merge, objection
from rvoip.registrar.errors import StoreBusy, StoreError
from rvoip.registrar.stores import table_statements as sql
from rvoip.registrar.stores.location_file import MAX_GRAVES
from rvoip.registrar.stores.rows import from_row, to_row
from rvoip.registrar.stores.server_clock import ServerClock

__all__ = ["Address", "LocationTable", "parse_postgresql_url"]

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0

_UNREACHABLE: Final = (psycopg.OperationalError, psycopg.InterfaceError)


class Address(NamedTuple):
    """Which database; `conninfo` is what libpq is given."""

    conninfo: str
    shown: str
    """How error lines name it, without the password."""
    durable: bool
    """Whether the server must have each change on its disk before it answers."""


def parse_postgresql_url(url: str) -> Address:
    """The address in ``postgresql://[USER[:PASSWORD]@]HOST[:PORT]/NAME[?durable=no&...]``.

    Other options are libpq's. Raises StoreError, which does not show the password.
    """
    base, _, query = url.partition("?")
    options = [option for option in query.split("&") if option]
    ours = [option for option in options if option.partition("=")[0] == "durable"]
    others = "&".join([option for option in options if option not in ours])
    if any(option not in ("durable=yes", "durable=no") for option in ours):
        raise StoreError("the postgresql URL of the bindings: durable is yes or no")
    try:
        parts = conninfo_to_dict(f"{base}?{others}" if others else base)
    except psycopg.Error:
        raise StoreError("the postgresql URL of the bindings is not valid") from None
    host, port, name = (str(parts.get(key) or "") for key in ("host", "port", "dbname"))
    shown = f"postgresql://{host}{':' if port else ''}{port}/{name}"
    defaults: dict[str, Any] = {
        "connect_timeout": 3,
        "application_name": "rvoip location",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 5000,
    }
    return Address(make_conninfo("", **{**defaults, **parts}), printable(shown), "durable=no" not in ours)


class LocationTable:
    """One connection to the table, made again when it breaks: after 0.1 s, then twice as long, up to 2 s.

    `seconds` is the reactor's monotonic clock, `clock` what is known of the server's; the tables of a process
    share it. `max_aors` bounds the AORs that have bindings, 0 for no bound. Methods raise StoreError; then
    nothing of what they were to write is in the table.
    """

    def __init__(
        self,
        address: Address,
        clock: ServerClock,
        seconds: Callable[[], float],
        *,
        tombstone_seconds: float = TOMBSTONE,
        max_aors: int = 0,
    ) -> None:
        self.address = address
        self.clock = clock
        self.ahead = 0.0
        """What the caller's `now` is ahead of `seconds`."""
        self._seconds = seconds
        self._tombstone_seconds = tombstone_seconds
        self._max_aors = max_aors
        self._connection: psycopg.Connection[Any] | None = None
        self._pause = _FIRST_PAUSE
        self._not_before = 0.0
        self._reason = ""

    @property
    def offset(self) -> float:
        """Added to the caller's monotonic seconds it gives seconds of the server's clock."""
        return self.clock.offset - self.ahead

    # -- opening and closing

    def open(self) -> str:
        """Connect, and make or migrate the table; returns why the server may forget what it acknowledged."""

        def work(connection: psycopg.Connection[Any]) -> str:
            connection.execute(sql.LOCK_SCHEMA)
            connection.execute(sql.MAKE_VERSION)
            row = connection.execute(sql.READ_VERSION).fetchone()
            version = 0 if row is None else int(row[0])
            ours = len(sql.MIGRATIONS)
            if version > ours:
                raise StoreError(f"{self.address.shown} is of a newer version (schema {version}, not {ours})")
            for number in range(version, ours):
                for statement in sql.MIGRATIONS[number]:
                    connection.execute(statement)
                connection.execute(sql.WRITE_VERSION, (number + 1,))
            settings = dict(connection.execute(sql.READ_DURABILITY).fetchall())
            for key in ("fsync", "full_page_writes"):
                if settings.get(key) != "on":
                    return f"it has {key} = {settings.get(key)}: set {key} = on"
            return ""

        return str(self._transact(work))

    def close(self) -> None:
        """Close the connection; harmless when there is none."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        connection = self._connection
        if connection is not None and not connection.closed:
            return connection
        if self._seconds() < self._not_before:
            raise StoreError(self._reason)
        try:
            made = psycopg.connect(self.address.conninfo)
        except psycopg.Error as error:
            self._reason = f"{self.address.shown} cannot be reached: {_line(error)}"
            self._not_before = self._seconds() + self._pause * random.uniform(0.75, 1.25)
            self._pause = min(_LONGEST_PAUSE, 2 * self._pause)
            raise StoreError(self._reason) from None
        made.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        try:
            (weak,) = made.execute(sql.READ_COMMIT).fetchone() or ("",)
            if self.address.durable and weak in ("off", "local"):
                made.execute(sql.STRONG_COMMIT)
            (clock,) = made.execute(sql.CLOCK).fetchone() or (0.0,)
            made.commit()
        except psycopg.Error as error:
            made.close()
            raise self._error(error) from None
        self.clock.sample(clock, self._seconds())
        self._pause = _FIRST_PAUSE
        self._connection = made
        return made

    def _transact(self, work: Callable[[psycopg.Connection[Any]], Any]) -> Any:
        try:
            connection = self._connect()
            try:
                result = work(connection)
                connection.commit()
                return result
            except BaseException:
                self._roll_back(connection)
                raise
        except psycopg.Error as error:
            raise self._error(error) from None

    def _roll_back(self, connection: psycopg.Connection[Any]) -> None:
        try:
            connection.rollback()
        except psycopg.Error:
            connection.close()

    def _error(self, error: psycopg.Error) -> StoreError:
        kind = StoreBusy if isinstance(error, psycopg.errors.LockNotAvailable) else StoreError
        return kind(f"{self.address.shown}: {_line(error)}")

    # -- changes

    def write(self, changes: Sequence[tuple[Change, float]]) -> list[Applied | StoreError]:
        """Compare and set in one transaction, in order; returns what came of each, after the commit.

        With each change goes the time until which somebody waits for it: what is later is not written.
        """

        def work(connection: psycopg.Connection[Any]) -> list[Applied | StoreError]:
            connection.execute(sql.LOCK, (sorted({_lock_of(change.aor) for change, _ in changes}),))
            batch = _Batch(self, connection, [change for change, _ in changes])
            now = self._seconds()
            results = [
                batch.apply(change) if now < deadline else StoreError(f"{self.address.shown} was too slow")
                for change, deadline in changes
            ]
            batch.write()
            if self._seconds() >= min(
                [deadline for _, deadline in changes if now < deadline], default=now + 1
            ):
                raise StoreBusy(f"{self.address.shown} has too much to do")
            return results

        good: list[tuple[Change, float]] = []
        bad: dict[int, StoreError] = {}
        for index, (change, deadline) in enumerate(changes):
            reason = _unstorable(change)
            if reason:
                bad[index] = StoreError(f"{printable(change.aor)} cannot be stored: {reason}")
            else:
                good.append((change, deadline))
        changes = good
        done = iter(self._transact(work) if good else ())
        return [bad[index] if index in bad else next(done) for index in range(len(good) + len(bad))]

    def expire(self, now: float, most: int) -> list[Removed]:
        """Take out up to `most` rows that are over; returns the bindings among them."""

        def work(connection: psycopg.Connection[Any]) -> list[Removed]:
            offset = self.offset
            gone: dict[str, list[Binding]] = {}
            for row in connection.execute(sql.EXPIRE, (now + offset, most)).fetchall():
                binding = from_row(row, offset)
                if binding.granted:
                    gone.setdefault(row[0], []).append(binding)
            held, _ = self._read(connection, list(gone), now) if gone else ({}, {})
            return [Removed(aor, tuple(over), held.get(aor, ())) for aor, over in gone.items()]

        return list(self._transact(work))

    # -- reading

    def lookup(self, asked: Sequence[tuple[str, float]]) -> list[tuple[Binding, ...]]:
        """The live bindings of each AOR at its time."""

        def work(connection: psycopg.Connection[Any]) -> list[tuple[Binding, ...]]:
            held, _ = self._read(connection, [aor for aor, _ in asked], min(now for _, now in asked))
            return [tuple([each for each in held.get(aor, ()) if each.deadline > now]) for aor, now in asked]

        return list(self._transact(work))

    def _read(
        self, connection: psycopg.Connection[Any], aors: list[str], now: float
    ) -> tuple[dict[str, tuple[Binding, ...]], dict[str, tuple[Binding, ...]]]:
        """The bindings and tombstones by AOR that are not over."""
        offset = self.offset
        held: dict[str, list[Binding]] = {}
        graves: dict[str, list[Binding]] = {}
        rows = connection.execute(sql.READ, (aors, now + offset)).fetchall()
        for row in rows:
            binding = from_row(row[:-1], offset)
            (held if binding.granted else graves).setdefault(row[0], []).append(binding)
        if rows:
            self.clock.sample(rows[-1][-1], self._seconds())
        return {aor: tuple(each) for aor, each in held.items()}, {
            aor: tuple(each) for aor, each in graves.items()
        }

    def aors(self, prefix: str, after: str, limit: int, now: float) -> list[str]:
        """Up to `limit` AORs with live bindings that begin with `prefix`, from behind `after`."""
        return list(
            self._transact(
                lambda connection: [
                    row[0]
                    for row in connection.execute(
                        sql.AORS, (max(prefix, after), after, prefix, now + self.offset, limit)
                    ).fetchall()
                ]
            )
        )

    def count(self) -> Counts:
        """How many AORs and bindings there are."""
        return Counts(*self._transact(lambda connection: connection.execute(sql.COUNT).fetchone()))


class _Batch:
    """The state of some AORs under a transaction's locks, as the changes before have left it."""

    def __init__(
        self, table: LocationTable, connection: psycopg.Connection[Any], changes: list[Change]
    ) -> None:
        self._table = table
        self._connection = connection
        self._offset = table.offset
        aors = list({change.aor for change in changes})
        self._held, self._graves = table._read(connection, aors, min(change.now for change in changes))
        self._puts: dict[tuple[str, str], Binding] = {}
        self._gone: set[tuple[str, str]] = set()
        self._count: int | None = None

    def apply(self, change: Change) -> Applied | StoreError:
        aor, now = change.aor, change.now
        held = tuple([each for each in self._held.get(aor, ()) if each.deadline > now])
        graves = tuple([each for each in self._graves.get(aor, ()) if each.deadline > now])
        refused = objection(held, graves, change)
        if refused is not None:
            return Applied(change, refused, held)
        if change.puts and not held and self._is_full():
            return StoreBusy(f"{self._table._max_aors} addresses are registered, as many as are allowed")
        outcome, after, removed = merge(held, change)
        kept = {grave.key: grave for grave in graves}
        deadline = now + self._table._tombstone_seconds
        for key, call_id, cseq in buried(held, graves, change):
            kept.pop(key, None)
            kept[key] = tombstone(key, call_id, cseq, deadline)
        for put in change.puts:
            kept.pop(put.key, None)
        rest = tuple(kept.values())[-MAX_GRAVES:]
        old = {each.key: each for each in (*self._held.get(aor, ()), *self._graves.get(aor, ()))}
        new = {each.key: each for each in (*rest, *after)}
        for key, each in new.items():
            if old.get(key) is not each:
                self._puts[aor, key] = each
                self._gone.discard((aor, key))
        for key in old.keys() - new.keys():
            self._puts.pop((aor, key), None)
            self._gone.add((aor, key))
        self._held[aor], self._graves[aor] = after, rest
        return Applied(change, outcome, after, removed)

    def _is_full(self) -> bool:
        most = self._table._max_aors
        if not most:
            return False
        if self._count is None:
            row = self._connection.execute(sql.COUNT).fetchone()
            self._count = 0 if row is None else int(row[0])
        self._count += 1
        return self._count > most

    def write(self) -> None:
        """Send the rows that are others now."""
        if self._gone:
            aors, keys = zip(*sorted(self._gone), strict=True)
            self._connection.execute(sql.DELETE, (list(aors), list(keys)))
        if self._puts:
            rows = [to_row(aor, each, self._offset) for (aor, _), each in sorted(self._puts.items())]
            self._connection.execute(sql.WRITE, [list(column) for column in zip(*rows, strict=True)])


def _lock_of(aor: str) -> int:
    return int.from_bytes(blake2b(aor.encode(), digest_size=8).digest(), "big", signed=True)


def _unstorable(change: Change) -> str:
    """Why PostgreSQL cannot have a text of the change: a NUL, or half of a surrogate pair."""
    texts = [change.aor, change.call_id, *change.removes]
    for put in change.puts:
        texts += (put.key, put.contact, put.params, put.call_id, *put.path, put.received, put.user_agent)
    text = "".join(texts)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.reason
    return "it has a NUL" if "\0" in text else ""


def _line(error: psycopg.Error) -> str:
    return printable(" ".join(str(error).split()))[:200]
