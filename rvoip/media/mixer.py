"""N-1 mixing: everybody in a room hears everybody else, all rooms of a tick at once.

Rows of audio are gathered by room, a room is summed once, and each member hears the sum without his own part.
Sums are 32 bits wide and are clipped to 16: loud rooms saturate, nothing wraps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rvoip.media.arrays import Booleans, Floats, Frames, Indexes
from rvoip.media.errors import MediaError

__all__ = ["CHUNK", "MAX_GAIN", "ROLES", "ROOM_LIMIT", "Mixer", "mix_rooms"]

ROLES = ("speaker", "listener", "whisper")
"""A speaker hears and is heard, a listener only hears, a whisper hears all and is heard by whom it names."""
ROOM_LIMIT = 32_767
"""Members of a room: so many voices, and as many whispers, cannot overflow 32 bits."""
MAX_GAIN = 16.0
"""The largest gain of a member, 24 dB."""
CHUNK = 400
"""Rows that are mixed in one go, so that they stay in a core's cache; a larger room is a chunk of its own."""

_LOW, _HIGH = -32768, 32767
_NOWHERE = -1


def mix_rooms(audio: Frames, starts: Indexes) -> Frames:
    """Mix rows that are sorted by room: each row of the result is its room without the row itself.

    `starts` are the rows at which the rooms begin: rising, the first is 0.
    """
    sizes = np.diff(starts, append=len(audio))
    return _clipped(_without_self(audio, starts, np.repeat(np.arange(len(starts)), sizes)))


def _without_self(audio: Frames, starts: Indexes, room: Indexes) -> npt.NDArray[np.int32]:
    sums = np.add.reduceat(audio, starts, axis=0, dtype=np.int32)
    mixed = sums.take(room, axis=0)
    mixed -= audio
    return mixed


def _clipped(mixed: npt.NDArray[np.int32]) -> Frames:
    np.clip(mixed, _LOW, _HIGH, out=mixed)
    return mixed.astype(np.int16)


class _Chunk(NamedTuple):
    """Some rooms of the plan. All positions are relative to the first row of the chunk."""

    rows: Indexes
    starts: Indexes
    room: Indexes
    silent: Indexes
    deaf: Indexes
    gained: Indexes
    gain: Floats
    whisperers: Indexes
    pairs: Indexes
    """Indexes into `whisperers`, sorted by who hears them."""
    pair_starts: Indexes
    listeners: Indexes


class Mixer:
    """The rooms of one sample rate.

    A member is known by its row in the audio; a row is in one room at most. What a tick needs is worked out
    when members change, and costs a tick nothing.
    """

    def __init__(self, limit: int = 65_536) -> None:
        """Mix rows 0 to `limit` - 1."""
        self._limit = limit
        self._room = np.full(0, _NOWHERE, np.int32)
        self._muted: Booleans = np.zeros(0, np.bool_)
        self._deaf: Booleans = np.zeros(0, np.bool_)
        self._gain: Floats = np.ones(0, np.float32)
        self._role = np.zeros(0, np.uint8)
        self._whispers: dict[int, frozenset[int]] = {}
        self._sizes: dict[int, int] = {}
        self._free: list[int] = []
        self._chunks: list[_Chunk] | None = []
        self._order: Indexes = np.zeros(0, np.intp)
        self._starts: Indexes = np.zeros(0, np.intp)

    def open_room(self) -> int:
        """Make an empty room and return its number."""
        room = self._free.pop() if self._free else len(self._sizes)
        self._sizes[room] = 0
        return room

    def close_room(self, room: int) -> None:
        """End a room; whoever is in it leaves. Raises MediaError for a number that is no room."""
        for row in self.members(room).tolist():
            self.leave(row)
        del self._sizes[room]
        self._free.append(room)

    def members(self, room: int) -> Indexes:
        """Return the rows of a room, rising; raises MediaError for a number that is no room."""
        if room not in self._sizes:
            raise MediaError(f"there is no room {room}")
        return np.flatnonzero(self._room == room)

    def join(self, room: int, row: int) -> None:
        """Let `row` into a room, as a speaker with gain 1.

        Raises MediaError where there is no such room, where it is full, and for a row that is in a room.
        """
        if room not in self._sizes:
            raise MediaError(f"there is no room {room}")
        if not 0 <= row < self._limit:
            raise MediaError(f"row {row} is not between 0 and {self._limit - 1}")
        if self._sizes[room] >= ROOM_LIMIT:
            raise MediaError(f"a room has no more than {ROOM_LIMIT} members")
        self._fit(row)
        if self._room[row] != _NOWHERE:
            raise MediaError(f"row {row} is in room {self._room[row]}")
        self._room[row] = room
        self._sizes[room] += 1
        self._chunks = None

    def leave(self, row: int) -> None:
        """Take `row` out of its room; nobody whispers to it any more. Raises MediaError if it is in none."""
        room = self._room_of(row)
        self._whispers.pop(row, None)
        for other, to in self._whispers.items():
            if row in to:
                self._whispers[other] = to - {row}
        self._room[row] = _NOWHERE
        self._muted[row] = self._deaf[row] = False
        self._gain[row] = 1
        self._role[row] = 0
        self._sizes[room] -= 1
        self._chunks = None

    def change(
        self,
        row: int,
        *,
        mute: bool | None = None,
        deaf: bool | None = None,
        gain: float | None = None,
        role: str | None = None,
        to: Iterable[int] | None = None,
    ) -> None:
        """Change what is given of a member, and leave the rest. Raises MediaError, and then changes nothing.

        `gain` is a factor, 0 to 16, on what others hear of it. `to`, for the role `whisper` only, are the
        members of the same room that hear it.
        """
        room = self._room_of(row)
        whisper = ROLES.index("whisper")
        if role is not None and role not in ROLES:
            raise MediaError(f"role {role!r} is none of {', '.join(ROLES)}")
        number = int(self._role[row]) if role is None else ROLES.index(role)
        if gain is not None and not 0 <= gain <= MAX_GAIN:
            raise MediaError(f"gain {gain} is not between 0 and {MAX_GAIN:g}")
        heard_by = frozenset(to) if to is not None else None
        if heard_by is not None:
            if number != whisper:
                raise MediaError("only the role whisper has members that it speaks `to`")
            if any(
                not 0 <= one < len(self._room) or self._room[one] != room or one == row for one in heard_by
            ):
                raise MediaError("`to` names other members of the same room")
        self._role[row] = number
        if mute is not None:
            self._muted[row] = mute
        if deaf is not None:
            self._deaf[row] = deaf
        if gain is not None:
            self._gain[row] = gain
        if number != whisper:
            self._whispers.pop(row, None)
        elif heard_by is not None:
            self._whispers[row] = heard_by
        self._chunks = None

    def plan(self) -> tuple[Indexes, Indexes, Indexes]:
        """Return the rows sorted by room, where in them each room begins, and the numbers of those rooms.

        Rooms without members are not among them. The arrays are the mixer's own: read them, no more.
        """
        self._planned()
        return self._order, self._starts, self._room[self._order[self._starts]].astype(np.intp)

    def mix(self, audio: Frames, out: Frames) -> None:
        """Write what each member hears to its row of `out`; other rows stay as they are.

        `audio` and `out` have the same shape and one row for each member at least; they may be one array.
        """
        for chunk in self._planned():
            taken = audio.take(chunk.rows, axis=0)
            if len(chunk.gained):
                louder = taken[chunk.gained] * chunk.gain[:, np.newaxis]
                np.rint(louder, out=louder)
                np.clip(louder, _LOW, _HIGH, out=louder)
                taken[chunk.gained] = louder
            whispered = taken[chunk.whisperers] if len(chunk.pairs) else None
            if len(chunk.silent):
                taken[chunk.silent] = 0
            mixed = _without_self(taken, chunk.starts, chunk.room)
            if whispered is not None:
                for_one = np.add.reduceat(whispered[chunk.pairs], chunk.pair_starts, axis=0, dtype=np.int32)
                mixed[chunk.listeners] += for_one
            if len(chunk.deaf):
                mixed[chunk.deaf] = 0
            np.clip(mixed, _LOW, _HIGH, out=mixed)
            out[chunk.rows] = mixed

    def _fit(self, row: int) -> None:
        missing = max(row + 1, min(2 * len(self._room), self._limit)) - len(self._room)
        if row < len(self._room):
            return
        self._room = np.concatenate((self._room, np.full(missing, _NOWHERE, np.int32)))
        self._muted = np.concatenate((self._muted, np.zeros(missing, np.bool_)))
        self._deaf = np.concatenate((self._deaf, np.zeros(missing, np.bool_)))
        self._gain = np.concatenate((self._gain, np.ones(missing, np.float32)))
        self._role = np.concatenate((self._role, np.zeros(missing, np.uint8)))

    def _room_of(self, row: int) -> int:
        if not 0 <= row < len(self._room) or self._room[row] == _NOWHERE:
            raise MediaError(f"row {row} is in no room")
        return int(self._room[row])

    def _planned(self) -> list[_Chunk]:
        if self._chunks is not None:
            return self._chunks
        rows = np.flatnonzero(self._room != _NOWHERE)
        self._order = order = rows[np.argsort(self._room[rows], kind="stable")]
        rooms = self._room[order]
        self._starts = starts = np.flatnonzero(np.diff(rooms, prepend=_NOWHERE))
        chunks = []
        first = 0
        while first < len(starts):
            begin = int(starts[first])
            # As many whole rooms as fit, one at least.
            last = max(int(np.searchsorted(starts, begin + CHUNK, side="right")) - 1, first + 1)
            if begin + CHUNK >= len(order):
                last = len(starts)
            end = int(starts[last]) if last < len(starts) else len(order)
            chunks.append(self._chunk(order[begin:end], starts[first:last] - begin))
            first = last
        self._chunks = chunks
        return chunks

    def _chunk(self, rows: Indexes, starts: Indexes) -> _Chunk:
        room = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
        silent = self._muted[rows] | (self._role[rows] != 0)
        gained = np.flatnonzero(self._gain[rows] != 1)
        audible = (
            [row for row in rows.tolist() if row in self._whispers and not self._muted[row]]
            if self._whispers
            else []
        )
        place = {row: number for number, row in enumerate(rows.tolist())} if audible else {}
        pairs = sorted(
            (place[to], number) for number, row in enumerate(audible) for to in self._whispers[row]
        )
        listeners = np.array([listener for listener, _ in pairs], np.intp)
        pair_starts = np.flatnonzero(np.diff(listeners, prepend=-1))
        return _Chunk(
            rows=rows,
            starts=starts,
            room=room,
            silent=np.flatnonzero(silent),
            deaf=np.flatnonzero(self._deaf[rows]),
            gained=gained,
            gain=self._gain[rows][gained],
            whisperers=np.array([place[row] for row in audible], np.intp),
            pairs=np.array([number for _, number in pairs], np.intp),
            pair_starts=pair_starts,
            listeners=listeners[pair_starts],
        )
