"""Who may send to many streams: one comparison of arrays a batch; a machine is asked only about what
differs.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rvoip.protocols.rtp.addresses import WORDS, pack_address, same_address, unpack_address
from rvoip.protocols.rtp.latch import Latch
from rvoip.protocols.rtp.rows import MOST_TURNS, Rows

__all__ = ["LatchTable"]


class LatchTable(Rows):
    """The latches of many streams, one row each, and the addresses they are locked to as rows of `addresses`.

    Once a stream is settled, what others send to it costs no Python statement.
    """

    columns: ClassVar = {
        "source": (np.uint64, (WORDS,), 0),
        "locked": (bool, (), False),
        "settled": (bool, (), True),
        "ages": (np.float64, (), np.inf),
        "dropped": (np.int64, (), 0),
    }
    source: NDArray[np.uint64]
    """Where each stream's packets come from, and ours go to; shape `(capacity, 4)`, zeros where nobody
    knows.
    """
    locked: NDArray[np.bool_]
    settled: NDArray[np.bool_]
    ages: NDArray[np.float64]
    dropped: NDArray[np.int64]
    """Packets that were not let in."""

    def __init__(self, capacity: int = 16, most: int = 65_536) -> None:
        super().__init__(capacity, most)
        self._latches: dict[int, Latch] = {}

    def open(self, latch: Latch) -> int:
        """Take a row for a stream."""
        row = self.add()
        self._latches[row] = latch
        self.changed(row)
        return row

    def remove(self, row: int) -> None:
        """Give the row back."""
        super().remove(row)
        del self._latches[row]

    def latch(self, row: int) -> Latch:
        """The machine of a row; say `changed` after having told it something."""
        return self._latches[row]

    def changed(self, row: int) -> None:
        """Bring the columns up to what the machine of `row` says."""
        latch = self._latches[row]
        remote = latch.remote
        try:
            self.source[row] = 0 if remote is None else pack_address(*remote)
        except ValueError:
            self.source[row] = 0  # a name in the SDP, which nothing here looks up
        self.locked[row] = latch.locked is not None and not latch.asks_always
        self.settled[row] = latch.settled
        ages = latch.ages
        self.ages[row] = np.inf if ages is None else ages

    def media(
        self,
        rows: NDArray[Any],
        addresses: NDArray[np.uint64],
        ssrc: NDArray[Any],
        sequence: NDArray[Any],
        now: float,
    ) -> NDArray[np.bool_]:
        """Which packets of RTP to take; `addresses` are their sources, shape `(n, 4)`. None is
        authenticated.
        """
        taken = self._known(rows, addresses)
        due = taken & (self.ages[rows] < now)
        ask = (~taken & ~self.settled[rows]) | due
        self._drop(rows[~taken & ~ask])
        asked: dict[int, int] = {}
        for index in np.flatnonzero(ask).tolist():
            row = int(rows[index])
            asked[row] = asked.get(row, 0) + 1
            if asked[row] > MOST_TURNS:
                self._drop(rows[index : index + 1])
                continue
            address = unpack_address(addresses[index])
            taken[index] = self._latches[row].media(address, int(ssrc[index]), int(sequence[index]), now)
            self.dropped[row] += not taken[index]
            self.changed(row)
        return taken

    def authenticated(self, rows: NDArray[Any], addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which packets to take of those that SRTP has authenticated: streams follow their peers."""
        taken = same_address(self.source[rows], addresses)
        taken &= self.settled[rows]
        for index in np.flatnonzero(~taken).tolist():
            row = int(rows[index])
            taken[index] = self._latches[row].authenticated(unpack_address(addresses[index]))
            self.dropped[row] += not taken[index]
            self.changed(row)
        return taken

    def control(self, rows: NDArray[Any], addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which packets of RTCP to take. They are few, and each is asked about unless it comes as media
        does.
        """
        taken = self._known(rows, addresses)
        asked: dict[int, int] = {}
        for index in np.flatnonzero(~taken).tolist():
            row = int(rows[index])
            asked[row] = asked.get(row, 0) + 1
            if asked[row] <= MOST_TURNS:
                taken[index] = self._latches[row].control(unpack_address(addresses[index]))
            self.dropped[row] += not taken[index]
        return taken

    def _known(self, rows: NDArray[Any], addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = same_address(self.source[rows], addresses) & self.locked[rows]
        return known

    def _drop(self, rows: NDArray[Any]) -> None:
        if rows.size:
            self.dropped += np.bincount(rows, minlength=self.capacity)
