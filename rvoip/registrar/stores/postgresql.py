"""Bindings in PostgreSQL: several registrars and proxies share them, and they outlive all of these.

A thread writes, many changes to a transaction, and another one reads; a 200 is sent after the commit. What
the server has is what counts: nothing is kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from zope.interface import implementer

from rvoip.registrar.binding import (
    TOMBSTONE,
    Applied,
    Binding,
    Change,
    Counts,
    Removed,
)
from rvoip.registrar.errors import StoreError
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.location_table import LocationTable, parse_postgresql_url
from rvoip.registrar.stores.server_clock import ServerClock
from rvoip.registrar.stores.shared import EXPIRE_AT_ONCE, SharedStore, accept_durability
from rvoip.registrar.stores.worker import MAX_WAITING, Limits, Task, Trouble, Worker

__all__ = ["PostgreSQLStore"]


@implementer(IBindingStore)
class PostgreSQLStore(SharedStore):
    """Bindings in the database of a ``postgresql://`` URL; for its form see `parse_postgresql_url`.

    `max_aors` bounds the AORs that have bindings (0: no bound), `max_waiting` what may wait for each thread;
    `tombstone_seconds` is how long a removal is remembered, `patience` how many seconds an answer may take.
    """

    def __init__(
        self,
        url: str,
        reactor: Any,
        *,
        max_aors: int = 0,
        max_waiting: int = MAX_WAITING,
        tombstone_seconds: float = TOMBSTONE,
        patience: float = 3.0,
    ) -> None:
        super().__init__()
        self._address = parse_postgresql_url(url)
        clock = ServerClock()
        self._written = LocationTable(
            self._address,
            clock,
            reactor.seconds,
            tombstone_seconds=tombstone_seconds,
            max_aors=max_aors,
        )
        self._read = LocationTable(self._address, clock, reactor.seconds)
        shown, limits = self._address.shown, Limits(patience, max_waiting)
        self._writer = Worker("location writer", shown, reactor, self._write, self._written.close, limits)
        self._reader = Worker("location reader", shown, reactor, self._serve, self._read.close, limits)
        self._seconds = reactor.seconds

    @property
    def trouble(self) -> str:
        """Why changes fail at the moment, or ""."""
        return self._writer.trouble or self._reader.trouble

    def open(self, now: float, wall_now: float) -> None:
        """Connect, make or migrate the table, start the threads; blocks. Raises StoreError."""
        self._written.ahead = self._read.ahead = now - self._seconds()
        objection = self._written.open()
        try:
            accept_durability(self._address, objection)
        except StoreError:
            self._written.close()
            raise
        self._writer.start()
        self._reader.start()

    def close(self) -> Deferred[None]:
        """Finish what was asked for; fires when the connections are closed."""
        closed: Deferred[Any] = gatherResults([self._writer.close(), self._reader.close()])
        return closed.addCallback(lambda _: None)

    def lookup(self, aor: str, now: float) -> Deferred[tuple[Binding, ...]]:
        """The live bindings of an AOR, as the server has them."""
        return self._reader.ask((aor, now))

    def apply(self, change: Change) -> Deferred[Applied]:
        """Queue the change; fires after its commit."""
        return self._writer.ask(change)

    def aors(self, prefix: str, after: str, limit: int, now: float) -> Deferred[Sequence[str]]:
        """AORs with live bindings, sorted."""
        return self._reader.ask(lambda: self._read.aors(prefix, after, limit, now))

    def count(self) -> Deferred[Counts]:
        """How many AORs and bindings there are, of all who share the server."""
        return self._reader.ask(self._read.count)

    def take_out(self, now: float) -> Deferred[Sequence[Removed]]:
        """Have the writer remove what is over."""
        return self._writer.ask(lambda: self._written.expire(now, EXPIRE_AT_ONCE))

    # -- in the threads

    def _write(self, tasks: Sequence[Task]) -> list[Any]:
        changes = [task for task in tasks if isinstance(task.what, Change)]
        written = iter(self._written.write([(task.what, task.deadline) for task in changes]))
        return [next(written) if isinstance(task.what, Change) else _attempt(task.what) for task in tasks]

    def _serve(self, tasks: Sequence[Task]) -> list[Any]:
        lookups = [task.what for task in tasks if isinstance(task.what, tuple)]
        found = iter(self._read.lookup(lookups) if lookups else ())
        return [next(found) if isinstance(task.what, tuple) else _attempt(task.what) for task in tasks]


def _attempt(work: Callable[[], Any]) -> Any:
    """Do it; when it fails the others of its batch have not, but the server is in trouble."""
    try:
        return work()
    except StoreError as error:
        return Trouble(error)
