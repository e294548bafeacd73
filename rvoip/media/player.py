"""Playing to many legs: what each hears now, what it will hear next, and how much of it it has heard.

All legs of a tick are one copy for each sound that is played, whoever plays it: a thousand callers who hear
the same music cost one statement. Only the few whose sound ends or begins again in this tick are looked at
one by one.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rvoip.media.arrays import Booleans, Column, Frames, Indexes, Longs, StreamTable
from rvoip.media.errors import MediaError
from rvoip.media.sound import Sound

__all__ = ["MAX_QUEUE", "PlayFinished", "Player"]

MAX_QUEUE = 64
"""Sounds that may wait for one leg."""
_NOTHING = -1


class PlayFinished(NamedTuple):
    """A leg has heard what it will hear of a sound.

    `reason` is "ended", "stopped", "barge_in" or "removed"; `played_ms` does not count what `offset_ms`
    passed over, and counts every round of a loop. A sound that never began has 0.
    """

    row: int
    id: str
    reason: str
    played_ms: int


class _Item:
    """A sound that is to be played to one leg."""

    __slots__ = ("barge_in", "id", "loop", "played", "sound", "start")

    def __init__(self, id: str, sound: Sound, start: int, loop: bool, barge_in: bool) -> None:
        self.id = id
        self.sound = sound
        self.start = start
        self.loop = loop
        self.barge_in = barge_in
        self.played = 0
        """Samples of rounds that are over; the current one is the leg's position less `start`."""


class _Shelf:
    """A sound that is played to somebody, by number, and how it is cut into frames."""

    __slots__ = ("frame", "sound", "users", "windows")

    def __init__(self, sound: Sound) -> None:
        self.sound = sound
        self.users = 0
        self.frame = 0
        self.windows: Any = None

    def cut(self, samples: int) -> npt.NDArray[np.int16]:
        """All frames of that length: row i begins at sample i. A view, which takes no memory."""
        if self.frame != samples:
            self.windows = np.lib.stride_tricks.sliding_window_view(self.sound.samples, samples)
            self.frame = samples
        found: npt.NDArray[np.int16] = self.windows
        return found


class Player(StreamTable):
    """What legs of one rate are played: a row a leg."""

    _shelf: Longs
    _position: Longs
    _paused: Booleans

    def __init__(self, rate: int, limit: int = 65_536, max_queue: int = MAX_QUEUE) -> None:
        """Play at `rate` Hz to at most `limit` legs."""
        super().__init__(
            {
                "_shelf": Column(np.int64, (), _NOTHING),
                "_position": Column(np.int64),
                "_paused": Column(np.bool_),
            },
            limit,
        )
        self.rate = rate
        self.max_queue = max_queue
        self._queues: dict[int, deque[_Item]] = {}
        self._shelves: list[_Shelf | None] = []
        self._free_shelves: list[int] = []
        self._numbers: dict[int, int] = {}
        self._finished: list[PlayFinished] = []

    # What is asked for

    def play(
        self,
        row: int,
        id: str,
        sound: Sound,
        *,
        loop: bool = False,
        offset_ms: float = 0,
        barge_in: bool = False,
        now: bool = False,
    ) -> None:
        """Play a sound to a leg after all that waits there, or (`now`) instead of it.

        `loop` begins again at the beginning until it is stopped; `offset_ms` is passed over at first;
        `barge_in` lets `barge_in()` end it. `id` is any name that `stop` and the event will use. Raises
        MediaError for a sound of another rate, an offset below 0, a row not in use, and a full queue.
        """
        self._check(row)
        if sound.rate != self.rate:
            raise MediaError(f"a sound of {sound.rate} Hz for legs of {self.rate} Hz")
        if not 0 <= offset_ms <= 1e9:
            raise MediaError(f"an offset of {offset_ms:g} ms")
        if now:
            self.stop(row)
        queue = self._queues.setdefault(row, deque())
        if len(queue) >= self.max_queue:
            raise MediaError(f"{self.max_queue} sounds wait for this leg already")
        start = int(offset_ms * self.rate / 1000)
        length = len(sound.samples)
        start = start % length if loop else min(start, length)
        queue.append(_Item(id, sound, start, loop, barge_in))
        if len(queue) == 1:
            self._begin(row)

    def stop(self, row: int, id: str | None = None) -> bool:
        """End the sound of that name, or all of a leg, playing or waiting; say whether there was one."""
        self._check(row)
        return self._end(row, "stopped", id)

    def barge_in(self, rows: Indexes | list[int]) -> None:
        """End what these legs hear, and what waits behind it up to the first that may not be interrupted.

        For a leg whose party speaks or presses a key. A sound that was not begun with `barge_in` plays on.
        """
        for row in np.asarray(rows, np.intp).tolist():
            queue = self._queues.get(row)
            if not queue:
                continue
            current = queue[0]
            while queue and queue[0].barge_in:
                self._leave(row, queue, "barge_in", queue[0] is current)
            if queue and queue[0] is not current:
                self._begin(row)

    def pause(self, row: int, paused: bool = True) -> None:
        """Hold a leg's sounds where they are, or (False) let them go on."""
        self._check(row)
        self._paused[row] = paused

    def remove(self, row: int) -> None:
        """End a leg, with an event for each of its sounds; its row is cleared."""
        self._check(row)
        self._end(row, "removed", None)
        self._queues.pop(row, None)
        super().remove(row)

    # What there is to know

    def playing(self, row: int) -> str | None:
        """The name of what a leg hears now, None for silence."""
        queue = self._queues.get(row)
        return queue[0].id if queue else None

    def waiting(self, row: int) -> tuple[str, ...]:
        """The names of what will follow."""
        return tuple(item.id for item in self._queues.get(row, ()))[1:]

    def played_ms(self, row: int) -> int:
        """How much a leg has heard of what it hears now, in milliseconds; 0 for silence."""
        queue = self._queues.get(row)
        return self._milliseconds(row, queue[0]) if queue else 0

    def finished(self) -> list[PlayFinished]:
        """What has come to its end since this was last asked, in the order in which it did."""
        found, self._finished = self._finished, []
        return found

    # The tick

    def pull(self, samples: int) -> tuple[Indexes, Frames]:
        """The next `samples` of all legs that hear something: their rows, and `(rows, samples)` of audio.

        Rows come in the order of what they hear. Audio after the end of a leg's last sound is silence.
        """
        rows = np.flatnonzero((self._shelf >= 0) & ~self._paused)
        if not len(rows):
            return rows, np.empty((0, samples), np.int16)
        shelves = self._shelf[rows]
        if len(rows) > 1:
            order = np.argsort(shelves, kind="stable")
            rows, shelves = rows[order], shelves[order]
        positions = self._position[rows]
        out = np.empty((len(rows), samples), np.int16)
        begins = np.flatnonzero(np.diff(shelves, prepend=_NOTHING)).tolist()
        edges: list[int] = []
        for begin, end in zip(begins, [*begins[1:], len(rows)], strict=True):
            shelf = self._shelves[shelves[begin]]
            assert shelf is not None
            at = positions[begin:end]
            last = len(shelf.sound.samples) - samples
            if at.max() < last:
                # One that ends with this frame is an edge as well, so that its event comes at once.
                out[begin:end] = shelf.cut(samples)[at]
                continue
            within = at < last
            if within.any():
                out[begin:end][within] = shelf.cut(samples)[at[within]]
            edges += (begin + np.flatnonzero(~within)).tolist()
        self._position[rows] = positions + samples
        for index in edges:
            row = int(rows[index])
            self._position[row] = positions[index]
            self._fill(row, out[index])
        return rows, out

    def pull_row(self, row: int, samples: int) -> npt.NDArray[np.int16]:
        """The next `samples` of one leg, silence where it hears nothing."""
        self._check(row)
        out = np.zeros(samples, np.int16)
        if self._shelf[row] >= 0 and not self._paused[row]:
            self._fill(row, out)
        return out

    def _fill(self, row: int, out: npt.NDArray[np.int16]) -> None:
        queue = self._queues[row]
        filled = 0
        while filled < len(out) and queue:
            item = queue[0]
            source = item.sound.samples
            position = int(self._position[row])
            if item.loop:
                wanted = len(out) - filled
                out[filled:] = source.take(np.arange(position, position + wanted), mode="wrap")
                rounds, position = divmod(position + wanted, len(source))
                if rounds:
                    item.played += rounds * len(source) - item.start
                    item.start = 0
                self._position[row] = position
                return
            part = source[position : position + len(out) - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            self._position[row] = position + len(part)
            if position + len(part) >= len(source):
                self._leave(row, queue, "ended", True)
                self._begin(row)
        out[filled:] = 0

    # The queue

    def _begin(self, row: int) -> None:
        """Let the first of a leg's queue be what it hears; those with nothing left end at once."""
        queue = self._queues[row]
        while queue and not queue[0].loop and queue[0].start >= len(queue[0].sound.samples):
            self._shelf[row] = _NOTHING
            self._finished.append(PlayFinished(row, queue.popleft().id, "ended", 0))
        if not queue:
            self._shelf[row] = _NOTHING
            return
        item = queue[0]
        self._shelf[row] = self._take_shelf(item.sound)
        self._position[row] = item.start

    def _leave(self, row: int, queue: deque[_Item], reason: str, current: bool) -> None:
        """Take the first of a leg's queue away; `current` says whether it is what the leg hears."""
        item = queue[0]
        played = self._milliseconds(row, item) if current else 0
        if current:
            self._leave_shelf(int(self._shelf[row]))
            self._shelf[row] = _NOTHING
        queue.popleft()
        self._finished.append(PlayFinished(row, item.id, reason, played))

    def _end(self, row: int, reason: str, id: str | None) -> bool:
        queue = self._queues.get(row)
        if not queue:
            return False
        ended = False
        current = queue[0]
        for item in list(queue):
            if id is not None and item.id != id:
                continue
            ended = True
            if item is current:
                self._leave(row, queue, reason, True)
            else:
                queue.remove(item)
                self._finished.append(PlayFinished(row, item.id, reason, 0))
        if ended and self._shelf[row] == _NOTHING:
            self._begin(row)
        return ended

    def _milliseconds(self, row: int, item: _Item) -> int:
        played = item.played + int(self._position[row]) - item.start
        return played * 1000 // self.rate

    def _take_shelf(self, sound: Sound) -> int:
        number = self._numbers.get(id(sound))
        if number is None:
            number = self._free_shelves.pop() if self._free_shelves else len(self._shelves)
            if number == len(self._shelves):
                self._shelves.append(None)
            self._shelves[number] = _Shelf(sound)
            self._numbers[id(sound)] = number
        shelf = self._shelves[number]
        assert shelf is not None
        shelf.users += 1
        return number

    def _leave_shelf(self, number: int) -> None:
        shelf = self._shelves[number]
        assert shelf is not None
        shelf.users -= 1
        if not shelf.users:
            del self._numbers[id(shelf.sound)]
            self._shelves[number] = None
            self._free_shelves.append(number)

    def _check(self, row: int) -> None:
        if not 0 <= row < len(self._used) or not self._used[row]:
            raise MediaError(f"row {row} is not in use")
