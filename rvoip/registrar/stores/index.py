"""Bindings by AOR in memory, and when each AOR has to be looked at next: what the stores read from."""

from __future__ import annotations

from typing import Final

from rvoip.registrar.binding import Binding, Counts, Removed, live
from rvoip.registrar.stores.ordered_names import OrderedNames

__all__ = ["BindingIndex"]

_WIDTH: Final = 4.0
"""Seconds of a bucket: how long an expired binding may take up memory."""

_EXPIRE_AT_ONCE: Final = 1000
"""AORs that one call of `expire` looks at, about a millisecond."""


class BindingIndex:
    """A dict from AOR to bindings, with the AORs also in buckets by their earliest deadline.

    An AOR stands in exactly one bucket, so a refresh costs two dict operations, and to expire costs time in
    proportion to what expires.
    """

    __slots__ = ("_bindings", "_buckets", "_count", "_first", "_names")

    def __init__(self) -> None:
        self._bindings: dict[str, tuple[Binding, ...]] = {}
        self._buckets: dict[int, dict[str, str]] = {}
        self._count = 0
        self._first = 0  # no bucket is below this one
        self._names = OrderedNames(self._bindings)

    def __contains__(self, aor: str) -> bool:
        return aor in self._bindings

    def __len__(self) -> int:
        return len(self._bindings)

    def held(self, aor: str) -> tuple[Binding, ...]:
        """The bindings of an AOR, expired ones included as long as they were not dropped."""
        return self._bindings.get(aor, ())

    def lookup(self, aor: str, now: float) -> tuple[Binding, ...]:
        """The live bindings of an AOR."""
        bindings = self._bindings.get(aor)
        return () if bindings is None else live(bindings, now)

    def replace(self, aor: str, bindings: tuple[Binding, ...]) -> None:
        """Give an AOR these bindings; none takes it out."""
        old = self._bindings.get(aor, ())
        self._count += len(bindings) - len(old)
        if not bindings:
            if old:
                del self._bindings[aor]
                self._names.changed(aor)
                self._take(_bucket(old), aor)
            return
        self._bindings[aor] = bindings
        after = _bucket(bindings)
        if old:
            before = _bucket(old)
            if after == before:
                return
            aor = self._take(before, aor)
        else:
            self._names.changed(aor)
        bucket = self._buckets.get(after)
        if bucket is None:
            bucket = self._buckets[after] = {}
            if after < self._first:
                self._first = after
        bucket[aor] = aor

    def _take(self, index: int, aor: str) -> str:
        """Take an AOR out of its bucket; returns the string that is its key in `_bindings` too."""
        bucket = self._buckets[index]
        aor = bucket.pop(aor)
        if not bucket:
            del self._buckets[index]
        return aor

    def expire(self, now: float) -> list[Removed]:
        """Drop bindings whose deadline is past, and return them; some later when there are very many."""
        self._names.forget(now)
        dropped: list[Removed] = []
        buckets = self._buckets
        due = int(now // _WIDTH)  # this bucket is not over yet
        while buckets:
            if self._first not in buckets:
                self._first = min(buckets)
            if self._first >= due:
                break
            for aor in list(buckets[self._first]):
                if len(dropped) == _EXPIRE_AT_ONCE:
                    return dropped
                held = self._bindings[aor]
                rest = live(held, now)
                self.replace(aor, rest)
                dropped.append(Removed(aor, tuple([each for each in held if each.deadline <= now]), rest))
        return dropped

    def aors(self, prefix: str, after: str, limit: int, now: float) -> list[str]:
        """Up to `limit` AORs with live bindings that begin with `prefix`, sorted, from behind `after`."""
        found = []
        for aor in self._names.from_(prefix, after, now):
            if live(self._bindings[aor], now):
                found.append(aor)
                if len(found) >= limit:
                    break
        return found

    def count(self) -> Counts:
        """How many AORs and bindings there are."""
        return Counts(len(self._bindings), self._count)


def _bucket(bindings: tuple[Binding, ...]) -> int:
    if len(bindings) == 1:
        return int(bindings[0].deadline // _WIDTH)
    return int(min([binding.deadline for binding in bindings]) // _WIDTH)
