"""Bindings that last as long as the process."""

from __future__ import annotations

from collections import deque
from typing import Final

from mypy_extensions import mypyc_attr
from zope.interface import classImplements

from rvoip.registrar.binding import (
    ALL_CONTACTS,
    TOMBSTONE,
    Applied,
    Binding,
    Change,
    Counts,
    Removed,
    find_bindings,
    tombstone,
)
from rvoip.registrar.compare_and_set import buried, merge, objection
from rvoip.registrar.errors import StoreBusy
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.index import BindingIndex

__all__ = ["MAX_GRAVES", "MemoryStore"]

MAX_GRAVES: Final = 32
"""Tombstones of one AOR; beyond that the oldest is forgotten."""


@mypyc_attr(allow_interpreted_subclasses=True)
class MemoryStore:
    """Bindings in a dict. Every method answers at once.

    `max_aors` bounds the AORs that have bindings (0: no bound); `tombstone_seconds` is how long a removal
    is remembered.
    """

    at_once = True
    trouble = ""

    def __init__(self, *, max_aors: int = 0, tombstone_seconds: float = TOMBSTONE) -> None:
        self._index = BindingIndex()
        self._max_aors = max_aors
        self._tombstone_seconds = tombstone_seconds
        self._graves: dict[str, tuple[Binding, ...]] = {}
        self._dug: deque[tuple[float, str]] = deque()  # when to look at the tombstones of which AOR

    def open(self, now: float, wall_now: float) -> None:
        """Nothing was stored before."""

    def close(self) -> None:
        """Nothing is left to be done."""

    def lookup(self, aor: str, now: float) -> tuple[Binding, ...]:
        """The live bindings of an AOR."""
        return self._index.lookup(aor, now)

    def apply(self, change: Change) -> Applied:
        """Compare and set; raises StoreBusy when there are as many AORs as there may be."""
        index = self._index
        aor = change.aor
        held = index.held(aor)
        graves = self._graves.get(aor, ())
        refused = objection(held, graves, change)
        if refused is not None:
            return Applied(change, refused, index.lookup(aor, change.now))
        if change.puts and not held and 0 < self._max_aors <= len(index):
            raise StoreBusy(f"{self._max_aors} addresses are registered, as many as are allowed")
        outcome, after, removed = merge(held, change)
        if change.removes or graves:
            self._bury(held, graves, change)
        index.replace(aor, after)
        return Applied(change, outcome, after, removed)

    def _bury(self, held: tuple[Binding, ...], graves: tuple[Binding, ...], change: Change) -> None:
        deadline = change.now + self._tombstone_seconds
        kept = {grave.key: grave for grave in graves if grave.deadline > change.now}
        for put in change.puts:
            kept.pop(put.key, None)
        for key, call_id, cseq in buried(held, graves, change):
            kept.pop(key, None)
            kept[key] = tombstone(key, call_id, cseq, deadline)
        if kept:
            if not graves:
                self._dug.append((deadline, change.aor))
            self._graves[change.aor] = tuple(kept.values())[-MAX_GRAVES:]
        else:
            self._graves.pop(change.aor, None)

    def remove(self, aor: str, which: str | None, now: float) -> Removed:
        """Take bindings away without comparing."""
        keys = ALL_CONTACTS
        if which is not None:
            keys = tuple([each.key for each in find_bindings(self.lookup(aor, now), which)])
        applied = self.apply(Change(aor, now, removes=keys))
        return Removed(aor, applied.removed, applied.bindings)

    def aors(self, prefix: str, after: str, limit: int, now: float) -> list[str]:
        """AORs with live bindings, sorted."""
        return self._index.aors(prefix, after, limit, now)

    def count(self) -> Counts:
        """How many AORs and bindings there are."""
        return self._index.count()

    def expire(self, now: float, wall_now: float) -> list[Removed]:
        """Drop what is over."""
        dug = self._dug
        while dug and dug[0][0] <= now:
            _, aor = dug.popleft()
            kept = tuple([grave for grave in self._graves.get(aor, ()) if grave.deadline > now])
            if kept:
                self._graves[aor] = kept
                dug.append((kept[-1].deadline, aor))
            else:
                self._graves.pop(aor, None)
        return self._index.expire(now)


# Not by a decorator, with which mypyc would leave the class to the interpreter.
classImplements(MemoryStore, IBindingStore)
