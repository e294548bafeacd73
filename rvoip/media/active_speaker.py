"""The active speaker of each room: the loudest, until somebody else is clearly louder."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rvoip.media.arrays import Booleans, Doubles, Floats, Indexes

__all__ = ["ActiveSpeakers", "SpeakerChanges"]

NOBODY = -1


class SpeakerChanges(NamedTuple):
    """Rooms whose active speaker changed, and who it is now."""

    rooms: Indexes
    rows: Indexes


class ActiveSpeakers:
    """Loudness of members, smoothed over a few syllables, and the active speaker of each room.

    Its rows and rooms are those of the mixer. When nobody speaks, the last speaker stays the active one; who
    leaves the room ceases to be.
    """

    def __init__(self, margin: float = 3.0) -> None:
        """Let a speaker be displaced by one who is `margin` dB louder."""
        self._margin = 10 ** (margin / 10)
        self._speakers: Indexes = np.full(0, NOBODY, np.intp)
        self._loudness: Doubles = np.zeros(0)

    def speaker(self, room: int) -> int | None:
        """Return the row of the active speaker of a room, or None."""
        found = int(self._speakers[room]) if 0 <= room < len(self._speakers) else NOBODY
        return None if found == NOBODY else found

    def process(
        self, plan: tuple[Indexes, Indexes, Indexes], level: Floats, speaking: Booleans, seconds: float
    ) -> SpeakerChanges:
        """Take a frame of `seconds`, and return whose active speaker changed.

        `level` is the RMS of each row in dBov, `speaking` whether it speaks, `plan` is from `Mixer.plan`.
        """
        order, starts, rooms = plan
        if len(level) > len(self._loudness):
            self._loudness = np.concatenate((self._loudness, np.zeros(len(level) - len(self._loudness))))
        if not len(order):
            self._speakers[:] = NOBODY
            return SpeakerChanges(order, order)
        if rooms.max() >= len(self._speakers):
            missing = int(rooms.max()) + 1 - len(self._speakers)
            self._speakers = np.concatenate((self._speakers, np.full(missing, NOBODY, np.intp)))
        power = np.where(speaking[order], 10 ** (level[order].astype(np.float64) / 10), 0)
        loudness = self._loudness[order]
        keep = np.exp(-seconds / np.where(power > loudness, 0.06, 0.3))
        loudness = power + (loudness - power) * keep
        self._loudness[order] = loudness
        return self._changes(order, starts, rooms, np.where(speaking[order], loudness, 0))

    def _changes(self, order: Indexes, starts: Indexes, rooms: Indexes, score: Doubles) -> SpeakerChanges:
        sizes = np.diff(starts, append=len(order))
        best = np.maximum.reduceat(score, starts)
        # The first of the loudest of each room.
        places = np.where(score == np.repeat(best, sizes), np.arange(len(order)), len(order))
        candidate = order[np.minimum.reduceat(places, starts)]
        current = self._speakers[rooms]
        holds = order == np.repeat(current, sizes)
        own = np.add.reduceat(np.where(holds, score, 0), starts)
        present = np.logical_or.reduceat(holds, starts)
        displaced = (best > 0) & (~present | (best > own * self._margin))
        now = np.where(displaced, candidate, np.where(present, current, NOBODY))
        gone = np.ones(len(self._speakers), np.bool_)
        gone[rooms] = False
        self._speakers[gone] = NOBODY
        self._speakers[rooms] = now
        changed = now != current
        return SpeakerChanges(rooms[changed], now[changed])
