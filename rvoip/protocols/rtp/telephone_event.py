"""Digits and other telephone events as packets (RFC 4733): a machine that sends, and one that receives.

Durations and timestamps are in samples of the clock rate at which the payload type was offered (8000, 16000,
24000, 48000 Hz ...); seconds where a name says so.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvoip.protocols.rtp.errors import RTPBuildError, RTPError

__all__ = [
    "DIGITS",
    "EventEnded",
    "EventPacket",
    "EventReceiver",
    "EventSender",
    "EventStarted",
    "LONGEST_SEGMENT",
    "TelephoneEvent",
    "read_events",
]

DIGITS: Final = "0123456789*#ABCD"
"""Event codes 0-15 by their place (RFC 4733 section 3.2)."""

LONGEST_SEGMENT: Final = 0xFFFF
"""Samples that one packet can report; a longer event is reported in segments (section 2.5.1.3)."""

_FORM: Final = struct.Struct("!BBH")
_ENDS: Final = 3
_MOST_WAITING: Final = 256
_SILENCE: Final = 0.2
_REMEMBERED: Final = 8
_RECENT_SECONDS: Final = 5.0


class TelephoneEvent(NamedTuple):
    """The payload: event code, whether it is the end, level in -dBm0 (0-63), samples so far."""

    event: int
    end: bool
    volume: int
    duration: int

    @classmethod
    def parse(cls, payload: bytes) -> TelephoneEvent:
        """Read a payload; what follows its first four octets is ignored. Raises RTPError."""
        if len(payload) < 4:
            raise RTPError("shorter than a telephone event")
        event, second, duration = _FORM.unpack_from(payload)
        return cls(event, second > 127, second & 63, duration)

    def to_bytes(self) -> bytes:
        """Write the payload. Raises RTPBuildError."""
        if not (0 <= self.event <= 255 and 0 <= self.volume <= 63 and 0 <= self.duration <= 0xFFFF):
            raise RTPBuildError("an event has a code of 0-255, a volume of 0-63 and 16 bits of duration")
        return _FORM.pack(self.event, self.end << 7 | self.volume, self.duration)


def read_events(
    buffer: NDArray[np.uint8], offset: NDArray[Any], length: NDArray[Any]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.uint8], NDArray[np.uint16], NDArray[np.bool_]]:
    """Read the payloads of many packets, one a row of `buffer`: event, end, volume, duration, valid."""
    count, slot = buffer.shape
    valid = (length >= 4) & (offset >= 0) & (offset + 4 <= slot)
    at = np.where(valid, offset, 0)[:, None] + np.arange(4)
    octets = buffer[np.arange(count)[:, None], np.minimum(at, slot - 1)]
    duration = (octets[:, 2].astype(np.uint16) << 8) | octets[:, 3]
    return octets[:, 0], octets[:, 1] > 127, octets[:, 1] & np.uint8(63), duration, valid


class EventPacket(NamedTuple):
    """A packet to be sent: `timestamp` is that of the event's (or segment's) beginning."""

    payload: bytes
    timestamp: int
    marker: bool


class EventSender:
    """Sends events one after the other; `poll` is called once a packet interval."""

    def __init__(self, clock_rate: int = 8000, *, volume: int = 10) -> None:
        """`clock_rate` is that of the stream whose sequence and timestamps it shares."""
        self.clock_rate = clock_rate
        self._volume = volume
        self._waiting: deque[tuple[int, float | None, float]] = deque()
        self._event: int | None = None
        self._begin = 0
        self._segment = 0
        self._total: int | None = None
        self._gap = 0
        self._quiet_until: int | None = None
        self._ends = 0
        self._last: EventPacket | None = None
        self._fresh = False

    @property
    def active(self) -> bool:
        """Whether an event is being sent or waits: audio of the stream is not sent meanwhile."""
        return self._event is not None or bool(self._waiting)

    def digits(self, digits: str, *, seconds: float = 0.1, gap: float = 0.05) -> None:
        """Queue digits, each `seconds` long, with `gap` seconds after it. Raises RTPBuildError."""
        codes = [DIGITS.find(digit) for digit in digits.upper()]
        if -1 in codes:
            raise RTPBuildError("a digit is one of 0-9, *, # and A-D")
        if len(self._waiting) + len(codes) > _MOST_WAITING:
            raise RTPBuildError("too many digits wait to be sent")
        self._waiting.extend((code, seconds, gap) for code in codes)

    def start(self, event: int, *, seconds: float | None = None, gap: float = 0.05) -> None:
        """Queue one event, which lasts `seconds`, or until `stop` where that is None. Raises
        RTPBuildError.
        """
        if not 0 <= event <= 255:
            raise RTPBuildError("an event has a code of 0-255")
        if len(self._waiting) >= _MOST_WAITING:
            raise RTPBuildError("too many events wait to be sent")
        self._waiting.append((event, seconds, gap))

    def stop(self, timestamp: int) -> None:
        """End the event that is being sent, at a timestamp of the stream; those that wait are forgotten."""
        self._waiting.clear()
        if self._event is not None and self._ends == 0:
            so_far = (timestamp - self._begin) & 0xFFFFFFFF
            self._total = max(1, so_far if so_far < 1 << 31 else 1)

    def poll(self, timestamp: int) -> list[EventPacket]:
        """The packets due when the stream's clock stands at `timestamp`: mostly one, none between events."""
        if self._event is None and not self._begin_next(timestamp):
            return []
        if self._ends:
            return self._repeat_end(timestamp)
        packets = []
        so_far = (timestamp - self._begin) & 0xFFFFFFFF
        total = self._total
        ended = total is not None and so_far >= total
        length = total if ended and total is not None else so_far
        while length - self._segment > LONGEST_SEGMENT:
            packets.append(self._packet(LONGEST_SEGMENT, end=False))
            self._segment += LONGEST_SEGMENT
        packets.append(self._packet(length - self._segment, end=ended))
        if ended:
            self._ends = 1
            self._last = packets[-1]._replace(marker=False)
            self._quiet_until = (self._begin + length + self._gap) & 0xFFFFFFFF
        return packets

    def _begin_next(self, timestamp: int) -> bool:
        if self._quiet_until is not None:
            if 0 < ((self._quiet_until - timestamp) & 0xFFFFFFFF) < 1 << 31:
                return False
            self._quiet_until = None
        if not self._waiting:
            return False
        event, seconds, gap = self._waiting.popleft()
        self._event, self._begin, self._segment = event, timestamp & 0xFFFFFFFF, 0
        self._total = None if seconds is None else max(1, round(seconds * self.clock_rate))
        self._gap = round(gap * self.clock_rate)
        self._ends, self._fresh = 0, True
        return True

    def _packet(self, duration: int, *, end: bool) -> EventPacket:
        assert self._event is not None
        payload = TelephoneEvent(self._event, end, self._volume, duration).to_bytes()
        packet = EventPacket(payload, (self._begin + self._segment) & 0xFFFFFFFF, self._fresh)
        self._fresh = False
        return packet

    def _repeat_end(self, timestamp: int) -> list[EventPacket]:
        """The end is sent three times (section 2.5.1.4)."""
        assert self._last is not None
        self._ends += 1
        if self._ends == _ENDS:
            self._event = None
        return [self._last]


class EventStarted(NamedTuple):
    """An event has begun."""

    event: int
    volume: int


class EventEnded(NamedTuple):
    """It is over. `seconds` by the sender's word; `heard` tells whether the sender said that it ended."""

    event: int
    seconds: float
    heard: bool


class EventReceiver:
    """Tells each event once, however often and out of order its packets come, whichever of them are lost."""

    def __init__(self, clock_rate: int = 8000, *, silence: float = _SILENCE) -> None:
        """An event of which nothing is heard for `silence` seconds is over."""
        self.clock_rate = clock_rate
        self.deadline: float | None = None
        """When to call `expire`, None while no event lasts."""
        self._silence = silence
        self._current: TelephoneEvent | None = None
        self._begin = 0
        self._segment = 0
        self._before = 0
        self._done: deque[int] = deque(maxlen=_REMEMBERED)
        self._newest: int | None = None

    def receive(self, payload: bytes, timestamp: int, now: float) -> list[EventStarted | EventEnded]:
        """Take a packet. Raises RTPError where it is too short."""
        event = TelephoneEvent.parse(payload)
        told: list[EventStarted | EventEnded] = []
        if self._old(timestamp):
            return told
        current = self._current
        if current is not None and timestamp != self._segment:
            ends = (self._segment + current.duration) & 0xFFFFFFFF
            if event.event == current.event and timestamp == ends and not current.end:
                self._done.append(self._segment)  # the next segment of a long one
                self._before += current.duration
                self._segment, current = timestamp, event
            else:
                told.append(self._finish(heard=False))
                current = None
        if current is None:
            self._segment, self._before = timestamp, 0
            told.append(EventStarted(event.event, event.volume))
            current = event
        self._newest = timestamp
        if event.event != current.event:
            event = event._replace(event=current.event)
        longest = max(event.duration, current.duration)
        self._current = event._replace(duration=longest)
        self.deadline = now + self._silence
        if event.end:
            self._current = event
            told.append(self._finish(heard=True))
        return told

    def expire(self, now: float) -> list[EventStarted | EventEnded]:
        """The deadline may be there: end an event whose own end was lost."""
        if self._current is None or self.deadline is None or now < self.deadline:
            return []
        return [self._finish(heard=False)]

    def reset(self) -> list[EventStarted | EventEnded]:
        """The stream began anew (another SSRC): timestamps mean nothing any more."""
        told: list[EventStarted | EventEnded] = []
        if self._current is not None:
            told.append(self._finish(heard=False))
        self._done.clear()
        self._newest = None
        return told

    def _old(self, timestamp: int) -> bool:
        """Whether it belongs to an event that is over."""
        if timestamp in self._done:
            return True
        if self._newest is None:
            return False
        behind = (self._newest - timestamp) & 0xFFFFFFFF
        return 0 < behind < _RECENT_SECONDS * self.clock_rate

    def _finish(self, *, heard: bool) -> EventEnded:
        current = self._current
        assert current is not None
        self._done.append(self._segment)
        self._current = self.deadline = None
        return EventEnded(current.event, (self._before + current.duration) / self.clock_rate, heard)
