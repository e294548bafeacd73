"""The keys of a large dict in their order, for a reader who comes page by page."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import islice
from typing import Final

__all__ = ["OrderedNames"]

_UNUSED: Final = 60.0
"""Seconds without a reader after which the order is forgotten."""

_FEW: Final = 1000
"""Changes that are kept beside the order before it is made anew."""


class OrderedNames:
    """Sorts the keys of `names` when somebody reads, and keeps the order as long as more is read.

    Whoever changes the keys says so; between two readers that costs nothing. A page takes as long as its own
    names, whichever of them it is.
    """

    __slots__ = ("_changed", "_names", "_order", "_used")

    def __init__(self, names: Mapping[str, object]) -> None:
        self._names = names
        self._order: list[str] | None = None
        self._changed: set[str] = set()
        self._used = 0.0

    def changed(self, name: str) -> None:
        """A key came or went."""
        if self._order is not None:
            self._changed.add(name)
            if len(self._changed) > max(_FEW, len(self._order) >> 3):
                self._drop()

    def forget(self, now: float) -> None:
        """Give the memory back when nobody has read for a while."""
        if self._order is not None and now - self._used > _UNUSED:
            self._drop()

    def _drop(self) -> None:
        self._order = None
        self._changed = set()

    def from_(self, prefix: str, after: str, now: float) -> Iterator[str]:
        """The keys that begin with `prefix`, sorted, from behind `after`; do not change them meanwhile."""
        self._used = now
        if self._order is None:
            self._order = sorted(self._names)
        changed = sorted(self._changed)
        first = (bisect_left, prefix) if prefix > after else (bisect_right, after)
        before = ""
        for name in merge(*[islice(part, first[0](part, first[1]), None) for part in (self._order, changed)]):
            if not name.startswith(prefix):
                return
            if name != before and name in self._names:
                before = name
                yield name
