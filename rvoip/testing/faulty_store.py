"""
A store of bindings that outlives the process, and fails or answers late as a test wants.

    kept = FaultyStore(network.clock, random.Random(7))
    kept.late = (0.01, 0.3)           # seconds that each answer takes
    kept.failing = 0.2                # of five questions one fails
    kept.down = True                  # every question fails, after `late`
    store = kept.client(reactor)      # what a registrar or proxy on that host is given

Several may have it at once, as they have a Redis.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from rvoip.registrar.binding import Applied, Binding, Change, Counts, Removed
from rvoip.registrar.errors import StoreError
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.memory import MemoryStore

__all__ = ["FaultyStore"]

_T = TypeVar("_T")


class FaultyStore:
    """
    A `MemoryStore` that is asked over connections; `clock` is the network's.

    A question is dealt with, all of it or nothing, half way through the time that its answer takes. What
    fails has changed nothing; but a process that dies meanwhile never learns what was done. `failing` is the
    probability that a question fails.
    """

    def __init__(self, clock: Any, chance: random.Random) -> None:
        self.late: tuple[float, float] = (0.0, 0.0)
        self.failing = 0.0
        self.down = False
        #: How many questions were asked, and how many of them failed.
        self.asked = self.failed = 0
        #: How many bindings were made, and how many went, by request or by time.
        self.made = self.gone = 0
        self.clock = clock
        self.kept = MemoryStore()
        self._chance = chance

    def client(self, reactor: Any) -> Any:
        """A connection of a process on this host: an `IBindingStore`."""
        return _Client(self, reactor)

    def held(self, aor: str, now: float) -> tuple[Binding, ...]:
        """What a lookup would find: at once and without fail."""
        return self.kept.lookup(aor, now)

    def fate(self) -> tuple[float, bool]:
        """How long the next answer takes, and whether it is a failure."""
        self.asked += 1
        fails = self.down or (self.failing > 0 and self._chance.random() < self.failing)
        self.failed += fails
        return self._chance.uniform(*self.late), fails

    def apply(self, change: Change) -> Applied:
        """Make a change, and count."""
        before = self.kept.count().bindings
        applied = self.kept.apply(change)
        self.gone += len(applied.removed)
        self.made += self.kept.count().bindings - before + len(applied.removed)
        return applied

    def remove(self, aor: str, which: str | None, now: float) -> Removed:
        """Take away, and count."""
        removed = self.kept.remove(aor, which, now)
        self.gone += len(removed.removed)
        return removed

    def expire(self, now: float, wall_now: float) -> Sequence[Removed]:
        """Let expire, and count."""
        removed = self.kept.expire(now, wall_now)
        self.gone += sum(len(one.removed) for one in removed)
        return removed


@implementer(IBindingStore)
class _Client:
    """See `IBindingStore`."""

    at_once = False

    def __init__(self, store: FaultyStore, reactor: Any) -> None:
        self._store = store
        self._reactor = reactor

    @property
    def trouble(self) -> str:
        return "the store is down" if self._store.down else ""

    def open(self, now: float, wall_now: float) -> None:
        """What was stored before is there."""

    def close(self) -> None:
        """It stays, for the next process."""

    def lookup(self, aor: str, now: float) -> Deferred[tuple[Binding, ...]]:
        return self._ask(lambda: self._store.kept.lookup(aor, now))

    def apply(self, change: Change) -> Deferred[Applied]:
        return self._ask(lambda: self._store.apply(change))

    def remove(self, aor: str, which: str | None, now: float) -> Deferred[Removed]:
        return self._ask(lambda: self._store.remove(aor, which, now))

    def aors(self, prefix: str, after: str, limit: int, now: float) -> Deferred[Sequence[str]]:
        def aors() -> Sequence[str]:
            return self._store.kept.aors(prefix, after, limit, now)

        return self._ask(aors)

    def count(self) -> Deferred[Counts]:
        return self._ask(self._store.kept.count)

    def expire(self, now: float, wall_now: float) -> Deferred[Sequence[Removed]]:
        return self._ask(lambda: self._store.expire(now, wall_now))

    def _ask(self, deal: Callable[[], _T]) -> Deferred[_T]:
        delay, fails = self._store.fate()
        answered: Deferred[_T] = Deferred()
        dealt: list[_T] = []

        def answer() -> None:
            if dealt:
                answered.callback(dealt[0])
            else:
                answered.errback(StoreError("the store does not answer"))

        # That of the host is forgotten when its process is killed; what the store does is not.
        if not fails:
            self._store.clock.callLater(delay / 2, lambda: dealt.append(deal()))
        self._reactor.callLater(delay, answer)
        return answered
