"""The stream connections of a layer: how many there may be, whose they are, and how long they take."""

from __future__ import annotations

from collections.abc import Iterator
from secrets import token_hex
from typing import Final, Protocol

from twisted.internet.defer import Deferred

from rvoip.common.clock import Clock, DelayedCall
from rvoip.protocols.transport.addresses import source_key
from rvoip.protocols.transport.intake import Intake

__all__ = ["Connection", "StreamTable"]

SWEEP: Final = 1.0
"""Seconds between two looks at all connections: cheaper by far than a timer a connection and message."""


class Connection(Protocol):
    """What the table asks of a connection."""

    def look(self, now: float) -> None:
        """Close when something has taken too long."""

    def shut(self, reason: str, abort: bool = False) -> None:
        """Close, or reset."""


class StreamTable:
    """All stream connections, open or being opened; each is looked at once a second while there are any."""

    def __init__(self, clock: Clock, intake: Intake, run: str | None = None) -> None:
        """`run` tells this run of the program from all others; by default it is random."""
        self._clock = clock
        self._intake = intake
        self._limits = intake.limits
        self._guard = intake.guard
        self._counters = intake.counters
        self._run = run or token_hex(6)
        self._serial = 0
        self._connections: dict[Connection, str] = {}
        self._by_source: dict[str, int] = {}
        self._sweep: DelayedCall | None = None
        self._waiting: list[Deferred[None]] = []

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections))

    @property
    def full(self) -> bool:
        """Whether no further connection is allowed, from whomever."""
        return len(self._connections) >= self._limits.max_connections

    def new_token(self, transport: str) -> str:
        """A name for a connection. A stored one must not mean another connection after a restart."""
        self._serial += 1
        return f"{transport.lower()}/{self._run}-{self._serial}"

    def accepts(self, host: str) -> bool:
        """Whether a connection that a peer opens may stay; one that may not is counted and logged."""
        if self.full:
            reason = f"{len(self._connections)} connections are open"
        elif not self._guard.admits_connection(host, self._clock.seconds()):
            reason = "banned"
        elif self._by_source.get(
            source_key(host), 0
        ) >= self._limits.max_connections_per_host and not self._guard.trusts(host):
            reason = f"{self._limits.max_connections_per_host} connections from there are open"
        else:
            return True
        self._counters.connections_refused += 1
        self._intake.turned_away(host, reason)
        return False

    def add(self, connection: Connection, opened_by: str | None) -> None:
        """Take a connection in; `opened_by` is the peer's address when it was the peer that opened it."""
        source = "" if opened_by is None else source_key(opened_by)
        self._connections[connection] = source
        if source:
            self._by_source[source] = self._by_source.get(source, 0) + 1
            self._counters.connections_accepted += 1
        else:
            self._counters.connections_opened += 1
        if self._sweep is None:
            self._sweep = self._clock.callLater(SWEEP, self._look)

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is over."""
        source = self._connections.pop(connection, None)
        if source:
            left = self._by_source[source] - 1
            if left:
                self._by_source[source] = left
            else:
                del self._by_source[source]
        if self._connections:
            return
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def when_empty(self) -> Deferred[None]:
        """Fires when there is no connection left."""
        waiter: Deferred[None] = Deferred()
        if self._connections:
            self._waiting.append(waiter)
        else:
            waiter.callback(None)
        return waiter

    def _look(self) -> None:
        self._sweep = self._clock.callLater(SWEEP, self._look)
        now = self._clock.seconds()
        for connection in list(self._connections):
            connection.look(now)
