"""A timer wheel: many timers, one delayed call of the reactor.

Times are rounded up to a tick, and all timers of a tick share a slot. Cancelling takes a timer out of its
slot at once, so a wheel holds only what is still due. Slots are kept for ticks that have timers and a heap
orders them, so neither an idle wheel nor a far deadline costs anything. A timer far from due first
shares a slot with all timers of its stretch of time, and moves to the slot of its tick when that begins.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from typing import Any, Final

from twisted.logger import Logger

from rvoip.common.clock import Clock, DelayedCall

__all__ = ["GRANULARITY", "Timer", "TimerWheel"]

GRANULARITY: Final = 0.01
"""Seconds of a tick: how much later than asked a timer may fire."""

STRETCH_BITS: Final = 12
"""A stretch is 4096 ticks (41 s): beyond 64*T1, so no SIP timer moves between slots."""

# A time this small part of a tick away from a tick is on it (10 ns of 10 ms): 0.1 + 0.2 is 0.3 here, and a
# hundred steps of 0.01 are 1.
_TOLERANCE: Final = 1e-6

_LONG_AGO: Final = -(1 << 62)
_NEVER: Final = 1 << 62

_log = Logger(__name__)


class Timer:
    """One scheduled call, to be cancelled or left to fire."""

    __slots__ = ("_argument", "_callback", "_slot", "_wheel")

    def __init__(
        self, wheel: TimerWheel, slot: dict[Timer, int], callback: Callable[[Any], object], argument: object
    ) -> None:
        self._wheel = wheel
        self._slot: dict[Timer, int] | None = slot
        self._callback = callback
        self._argument = argument

    def cancel(self) -> None:
        """Don't fire. Harmless after the timer fired or was cancelled."""
        slot = self._slot
        if slot is not None:
            self._slot = None
            del slot[self]
            if not slot:
                self._wheel._slot_emptied()

    @property
    def active(self) -> bool:
        """Whether the timer is still to fire."""
        return self._slot is not None


class TimerWheel:
    """Timers that fire once, never early, and less than two ticks late by the clock's time."""

    def __init__(self, clock: Clock, granularity: float = GRANULARITY) -> None:
        if not granularity > 0:
            raise ValueError(f"granularity must be positive, not {granularity}")
        self._clock = clock
        self._seconds: Callable[[], float] = clock.seconds
        self._granularity = granularity
        self._rate = 1 / granularity
        # Keyed and ordered by when there is work: 2 * tick + 1 for the timers of a tick, 2 * first tick for
        # a stretch, whose timers move just before the first of its ticks fires.
        self._slots: dict[int, dict[Timer, int]] = {}
        self._heap: list[int] = []
        self._filled = 0  # slots that hold a timer
        self._done = _LONG_AGO  # the last tick that fired
        self._near = _LONG_AGO  # ticks below this one have slots of their own
        self._call: DelayedCall | None = None
        self._armed = _NEVER  # the key that the delayed call is for: nothing later needs another call

    def __len__(self) -> int:
        """Count the timers that are still to fire; takes time in proportion to the slots in use."""
        return sum(map(len, self._slots.values()))

    def schedule(self, delay: float, callback: Callable[[Any], object], argument: object = None) -> Timer:
        """Call `callback(argument)` in `delay` seconds from now; a negative delay is none.

        What `callback` raises is logged and keeps no other timer from firing.
        """
        tick = ceil((self._seconds() + delay) * self._rate - _TOLERANCE)
        if tick <= self._done:
            tick = self._done + 1
        key = tick + tick + 1 if tick < self._near else self._far_key(tick)
        try:
            slot = self._slots[key] or self._fill(key)
        except KeyError:
            slot = self._fill(key)
        timer = Timer(self, slot, callback, argument)
        slot[timer] = tick
        return timer

    def _far_key(self, tick: int) -> int:
        stretch = int(self._seconds() * self._rate) >> STRETCH_BITS
        self._near = (stretch + 2) << STRETCH_BITS
        return 2 * tick + 1 if tick < self._near else tick >> STRETCH_BITS << STRETCH_BITS + 1

    def _fill(self, key: int) -> dict[Timer, int]:
        """Return the slot of `key`, which is about to get its first timer."""
        self._filled += 1
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = {}
            heappush(self._heap, key)
        if key < self._armed:
            self._arm(key)
        return slot

    def _arm(self, key: int) -> None:
        if self._call is not None:
            self._call.cancel()
        self._armed = key
        delay = ((key >> 1) - _TOLERANCE / 2) * self._granularity - self._seconds()
        self._call = self._clock.callLater(max(delay, 0.0), self._wake)

    def _slot_emptied(self) -> None:
        self._filled -= 1
        if not self._filled:
            # Empty slots stay for the next timer of their tick while others wait, not on an idle wheel.
            self._slots.clear()
            self._heap.clear()
            if self._call is not None:
                self._call.cancel()
                self._call = None
                self._armed = _NEVER

    def _wake(self) -> None:
        self._call = None
        self._armed = _LONG_AGO  # whatever the callbacks schedule, the call is armed once, at the end
        heap, slots = self._heap, self._slots
        last = 2 * int(self._seconds() * self._rate + _TOLERANCE) + 1
        while heap and heap[0] <= last:
            key = heappop(heap)
            slot = slots.pop(key)
            if key & 1:
                self._done = key >> 1
                self._fire(slot)
            else:
                self._spread(slot)
        while heap and not slots[heap[0]]:
            del slots[heappop(heap)]
        self._armed = _NEVER
        if heap:
            self._arm(heap[0])

    def _fire(self, slot: dict[Timer, int]) -> None:
        for timer in list(slot):
            if timer._slot is None:
                continue  # cancelled by a timer that fired before it
            timer.cancel()
            try:
                timer._callback(timer._argument)
            except BaseException:  # as the reactor does with a delayed call
                _log.failure("A timer's callback failed")

    def _spread(self, slot: dict[Timer, int]) -> None:
        """Move the timers of a stretch that begins to the slots of their ticks."""
        if not slot:
            return
        self._filled -= 1
        for timer, tick in slot.items():
            key = 2 * tick + 1
            own = self._slots.get(key) or self._fill(key)
            own[timer] = tick
            timer._slot = own
