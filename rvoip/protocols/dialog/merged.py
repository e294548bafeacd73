"""What was seen a short while ago: merged requests (RFC 3261 section 8.2.2.2), and dialogs that are over."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["SeenLately"]


class SeenLately:
    """Remembers values for `lifetime` to twice as many seconds, and at most twice `most` of them.

    Hashes are kept only: Python's are keyed anew in each process, so nobody can aim for an equal one.
    """

    __slots__ = ("_lifetime", "_most", "_new", "_old", "_turned")

    def __init__(self, lifetime: float, most: int = 50_000) -> None:
        self._lifetime = lifetime
        self._most = most
        self._new: set[int] = set()
        self._old: set[int] = set()
        self._turned = 0.0

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def add(self, value: Hashable, now: float) -> bool:
        """Remember a value; tells whether it was seen before."""
        self._turn(now)
        key = hash(value)
        if key in self._new or key in self._old:
            return True
        self._new.add(key)
        return False

    def seen(self, value: Hashable, now: float) -> bool:
        """Whether the value was seen lately."""
        self._turn(now)
        key = hash(value)
        return key in self._new or key in self._old

    def _turn(self, now: float) -> None:
        passed = now - self._turned
        if passed >= self._lifetime or len(self._new) >= self._most:
            # What came before the last turn but one is forgotten; all of it when that is long ago.
            self._old = self._new if passed < 2 * self._lifetime else set()
            self._new = set()
            self._turned = now
