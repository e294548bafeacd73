"""State of many streams, one row each: which rows are taken, and how a batch is walked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Columns", "MOST_TURNS", "Rows", "turns"]

MOST_TURNS: Final = 32
"""Packets of one stream that are taken out of one batch; more than that is a flood."""


def turns(rows: NDArray[Any], most: int = MOST_TURNS) -> Iterator[NDArray[np.intp]]:
    """Indices into `rows` such that no row comes twice in a turn, and each row's entries come in their order.

    Nearly always there is one turn with everything in it. A row that comes more than `most` times is heard no
    further, so that one stream cannot hold up the others.
    """
    count = rows.size
    if count == 0:
        return
    if count == 1 or np.bincount(rows).max() == 1:
        yield np.arange(count)
        return
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.append(begins, count))
    rank = np.arange(count) - np.repeat(begins, sizes)
    for turn in range(min(int(sizes.max()), most)):
        yield np.sort(order[rank == turn])


Columns = dict[str, tuple[Any, tuple[int, ...], Any]]


class Rows:
    """Base of a struct of arrays: rows are given out, taken back and used again; growth doubles.

    A subclass names each column in `columns`, as (data type, shape of one row, value of an empty row), and
    has it as an attribute of shape `(capacity, *shape)`.
    """

    columns: ClassVar[Columns] = {}

    def __init__(self, capacity: int = 16, most: int = 65_536, columns: Columns | None = None) -> None:
        """`capacity` rows to begin with; `most` at all, after which `add` raises OverflowError.

        `columns` takes the place of the class's, where shapes depend on what a subclass is told.
        """
        self._columns = self.columns if columns is None else columns
        self.capacity = max(1, min(capacity, most))
        self.most = most
        self._free = list(range(self.capacity - 1, -1, -1))
        self._taken = np.zeros(self.capacity, bool)
        for name, (kind, shape, empty) in self._columns.items():
            setattr(self, name, np.full((self.capacity, *shape), empty, kind))

    def __len__(self) -> int:
        return self.capacity - len(self._free)

    def add(self) -> int:
        """Take a row, as empty as a new one."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._taken[row] = True
        return row

    def remove(self, row: int) -> None:
        """Give a row back; KeyError where it is not taken."""
        if not (0 <= row < self.capacity and self._taken[row]):
            raise KeyError(row)
        self.clear(np.array([row]))
        self._taken[row] = False
        self._free.append(row)

    def clear(self, rows: NDArray[Any]) -> None:
        """Empty rows, which stay taken."""
        for name, (_, _, empty) in self._columns.items():
            getattr(self, name)[rows] = empty

    def taken(self) -> NDArray[np.intp]:
        """The rows in use, ascending."""
        return np.flatnonzero(self._taken)

    def _grow(self) -> None:
        old, new = self.capacity, min(2 * self.capacity, self.most)
        if new == old:
            raise OverflowError(f"no more than {self.most} streams")
        for name, (kind, shape, empty) in self._columns.items():
            grown = np.full((new, *shape), empty, kind)
            grown[:old] = getattr(self, name)
            setattr(self, name, grown)
        self._taken = np.concatenate((self._taken, np.zeros(new - old, bool)))
        self._free = list(range(new - 1, old - 1, -1))
        self.capacity = new
