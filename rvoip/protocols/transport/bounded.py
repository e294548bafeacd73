"""A dictionary that cannot grow without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["Recent"]

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """What was used lately, at most `size` entries, in two generations.

    When the young one is full it becomes the old one and the old one is forgotten; what is found in the old
    one is young again. So a flood of new keys costs memory for `size` entries and no more, and what is used
    often stays. Hot paths may ask ``young.get(key)`` first and call `get` only when that finds nothing.
    """

    __slots__ = ("_half", "_old", "young")

    def __init__(self, size: int) -> None:
        self._half = max(1, size // 2)
        self.young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value, or None."""
        value = self.young.get(key)
        if value is None:
            value = self._old.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Remember a value."""
        young = self.young
        if len(young) >= self._half and key not in young:
            # Emptied in place: hot paths hold on to the bound `get` of the young one.
            self._old = young.copy()
            young.clear()
        young[key] = value
        if self._old:
            self._old.pop(key, None)

    def pop(self, key: K) -> V | None:
        """Forget a value and return it."""
        value = self.young.pop(key, None)
        return self._old.pop(key, None) if value is None else value

    def clear(self) -> None:
        """Forget all."""
        self.young.clear()
        self._old.clear()

    def find_or(self, key: K, make: Callable[[K], V]) -> V:
        """The value, made when it is not there."""
        value = self.get(key)
        if value is None:
            value = make(key)
            self.put(key, value)
        return value

    def values(self) -> Iterator[V]:
        """All values."""
        yield from self.young.values()
        yield from self._old.values()

    def __len__(self) -> int:
        return len(self.young) + len(self._old)
