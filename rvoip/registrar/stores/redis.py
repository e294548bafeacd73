"""Bindings in Redis or Valkey: several registrars and proxies share them, and they outlive all of these.

Each change is compared and set by a script in the server, and acknowledged once it is in the server's
append-only file (`appendfsync always`), so a 200 means that it is on disk. Whatever the server has is what
counts: nothing is kept here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from rvoip.registrar.binding import (
    TOMBSTONE,
    Applied,
    Binding,
    Change,
    Counts,
    Outcome,
    Removed,
    live,
)
from rvoip.registrar.errors import StoreBusy
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.redis_address import parse_redis_url
from rvoip.registrar.stores.redis_check import check_redis
from rvoip.registrar.stores.redis_link import MAX_WAITING, RedisLink
from rvoip.registrar.stores.redis_records import change_question, from_record, lex_range
from rvoip.registrar.stores.shared import EXPIRE_AT_ONCE, SharedStore, accept_durability

__all__ = ["RedisStore"]


@implementer(IBindingStore)
class RedisStore(SharedStore):
    """Bindings in the Redis of a ``redis://`` URL; for its form see `parse_redis_url`.

    `max_aors` bounds the AORs that have bindings (0: no bound), `max_waiting` what may wait for the server;
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
        self._address = parse_redis_url(url)
        self._reactor = reactor
        self._link = RedisLink(self._address, reactor, patience=patience, max_waiting=max_waiting)
        self._max_aors = max_aors
        self._tombstone_seconds = tombstone_seconds
        self._patience = patience
        self._ahead = 0.0  # what the caller's `now` is ahead of the reactor's seconds

    @property
    def trouble(self) -> str:
        """Why changes fail at the moment, or ""."""
        return self._link.trouble

    def open(self, now: float, wall_now: float) -> None:
        """See that the server can be used, and begin to connect; blocks. Raises StoreError."""
        found = check_redis(self._address, self._patience)
        accept_durability(self._address, found.objection)
        self._ahead = now - self._reactor.seconds()
        self._link.start(found.clock)

    def close(self) -> Deferred[None] | None:
        """Finish what was asked for; fires when the connection is closed."""
        return self._link.close()

    @property
    def _offset(self) -> float:
        """Added to the caller's monotonic seconds it gives seconds of the server's clock."""
        return self._link.offset - self._ahead

    def lookup(self, aor: str, now: float) -> Deferred[tuple[Binding, ...]]:
        """The live bindings of an AOR, as the server has them."""
        offset = self._offset
        return self._link.ask(["lookup", aor, now + offset]).addCallback(
            lambda records: live(_bindings(records, offset), now)
        )

    def apply(self, change: Change) -> Deferred[Applied]:
        """Have the server compare and set; fires when the change is in its file."""
        offset = self._offset
        question = change_question(change, offset, self._max_aors, self._tombstone_seconds)

        def applied(answer: list[Any]) -> Applied:
            if answer[0] == "busy":
                raise StoreBusy(f"{self._max_aors} addresses are registered, as many as are allowed")
            outcome, after, removed = answer
            return Applied(change, Outcome(outcome), _bindings(after, offset), _bindings(removed, offset))

        return self._link.ask(question).addCallback(applied)

    def aors(self, prefix: str, after: str, limit: int, now: float) -> Deferred[Sequence[str]]:
        """AORs with live bindings, sorted."""
        return self._link.ask(["aors", *lex_range(prefix, after), limit, now + self._offset])

    def count(self) -> Deferred[Counts]:
        """How many AORs and bindings there are, of all who share the server."""
        return self._link.ask(["count"]).addCallback(lambda counts: Counts(*counts))

    def take_out(self, now: float) -> Deferred[Sequence[Removed]] | None:
        """Have the server remove what is over, unless it is away."""
        if self._link.trouble:
            return None
        offset = self._offset

        def expired(answer: list[Any]) -> list[Removed]:
            return [
                Removed(aor, _bindings(over, offset), _bindings(rest, offset)) for aor, over, rest in answer
            ]

        return self._link.ask(["expire", now + offset, EXPIRE_AT_ONCE]).addCallback(expired)


def _bindings(records: list[list[Any]], offset: float) -> tuple[Binding, ...]:
    return tuple([from_record(record, offset) for record in records])
