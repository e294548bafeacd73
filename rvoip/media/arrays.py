"""The state of many streams as columns: one row a stream, rows numbered, reused and cleared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rvoip.media.errors import MediaError

__all__ = ["Booleans", "Column", "Doubles", "Floats", "Frames", "Indexes", "Longs", "StreamTable"]

Frames = npt.NDArray[np.int16]
"""Audio, linear PCM, `(streams, samples)`."""
Indexes = npt.NDArray[np.intp]
"""Row numbers; where a method takes them they are distinct."""
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_FIRST = 16


class Column(NamedTuple):
    """A column of a table: what one row holds, and what a row begins with."""

    dtype: Any
    shape: tuple[int, ...] = ()
    initial: float = 0


class StreamTable:
    """Columns that grow together; a subclass names them and finds each as an attribute of its own.

    Growing replaces the arrays: read them from the table each time. A row that is removed goes back to its
    initial values at once, and is given out again.
    """

    def __init__(self, columns: Mapping[str, Column], limit: int) -> None:
        """Make an empty table of at most `limit` rows."""
        self._columns = dict(columns)
        self._limit = limit
        self._free: list[int] = []
        self._used = np.zeros(0, np.bool_)
        for name, column in self._columns.items():
            setattr(self, name, _new(column, 0))

    def __len__(self) -> int:
        """Count the rows in use."""
        return len(self._used) - len(self._free)

    def add(self) -> int:
        """Begin a stream and return its row; raises MediaError when the table is full."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._used[row] = True
        return row

    def remove(self, row: int) -> None:
        """End a stream; its row is cleared. Raises MediaError for a row that is not in use."""
        if not 0 <= row < len(self._used) or not self._used[row]:
            raise MediaError(f"row {row} is not in use")
        self._used[row] = False
        for name, column in self._columns.items():
            getattr(self, name)[row] = column.initial
        self._free.append(row)

    def _grow(self) -> None:
        size = len(self._used)
        added = min(max(size, _FIRST), self._limit - size)
        if added <= 0:
            raise MediaError(f"no more than {self._limit} streams")
        for name, column in self._columns.items():
            setattr(self, name, np.concatenate((getattr(self, name), _new(column, added))))
        self._used = np.concatenate((self._used, np.zeros(added, np.bool_)))
        self._free += range(size + added - 1, size - 1, -1)


def _new(column: Column, rows: int) -> npt.NDArray[Any]:
    return np.full((rows, *column.shape), column.initial, column.dtype)
