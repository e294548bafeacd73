"""What is kept of the streams in a jitter buffer, and what comes out of it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvoip.protocols.rtp.rows import Columns, Rows

__all__ = [
    "DTX",
    "FRAME",
    "HELD",
    "JitterLimits",
    "JitterRows",
    "LATE",
    "LOST",
    "NOTHING",
    "Pulled",
]

NOTHING: Final = 0
"""No stream: it has not begun, still fills, or has stopped."""
FRAME: Final = 1
"""Decode this payload."""
LOST: Final = 2
"""A packet is missing and later ones are there: conceal it."""
LATE: Final = 3
"""Nothing is there: conceal, it may come yet."""
DTX: Final = 4
"""The sender is silent: comfort noise."""
HELD: Final = 5
"""Nothing is needed: what was pulled before lasts for this tick too."""

EMPTY: Final = 0
WAITS: Final = 1
PLAYED: Final = 2
ELSEWHERE: Final = 3
NO_TIME: Final = 1 << 62


class JitterLimits(NamedTuple):
    """Times in seconds."""

    least: float = 0.02
    """The least delay."""
    initial: float = 0.04
    """The delay that a stream begins with."""
    most: float = 0.16
    """The most delay; what comes later than that is dropped."""
    sink: float = 0.01
    """How much the delay may sink in a second."""
    window: float = 5.0
    """How long the fastest packet is remembered: clocks drift, routes change."""
    stall: float = 0.1
    """How long a stream that stopped is concealed."""
    jump: float = 0.5
    """A packet this far from its time is of another timeline."""


class Pulled(NamedTuple):
    """What each row plays next; columns of shape `(n,)`, and payloads of shape `(n, octets)`.

    `samples` is how much of the stream's time it covers (0 where `state` is HELD). `more` tells that the
    row needs another frame for this tick: pull it again with 0 samples. Payloads are the caller's until the
    next pull.
    """

    state: NDArray[np.uint8]
    samples: NDArray[np.int64]
    payload: NDArray[np.uint8]
    length: NDArray[np.int64]
    payload_type: NDArray[np.uint8]
    marker: NDArray[np.bool_]
    timestamp: NDArray[np.uint32]
    more: NDArray[np.bool_]


_NUMBERS: Final = (
    "frame received late duplicates dropped skipped lost resyncs _ssrc _highest _next _time _position "
    "_waiting _owed _tick _missed _played inserted _odd_ssrc _odd_sequence"
).split()
_AMOUNTS: Final = "rate level _fastest _fastest_before _window _sunk".split()
_TRUTHS: Final = "_known _playing _comfort".split()


class JitterRows(Rows):
    """The columns: of a stream by what they are called, of the packets that wait `slot_...`."""

    rate: NDArray[np.float64]
    """Clock of the timestamps in Hz."""
    frame: NDArray[np.int64]
    """Samples of a packet, as last seen."""
    received: NDArray[np.int64]
    late: NDArray[np.int64]
    """Packets that came too late to be played."""
    duplicates: NDArray[np.int64]
    dropped: NDArray[np.int64]
    """Packets that were not taken: too long, a flood, out of a jump."""
    skipped: NDArray[np.int64]
    """Frames that were left out so that the delay sinks."""
    lost: NDArray[np.int64]
    """Frames that were concealed because a packet was missing, LOST and LATE."""
    inserted: NDArray[np.int64]
    """Frames that were put in so that the delay rises."""
    resyncs: NDArray[np.int64]
    """Changes of source, and jumps of a source, that the row has followed."""
    level: NDArray[np.float64]
    """The delay that is wanted, in samples: the latest packet of late."""

    def __init__(
        self,
        capacity: int = 16,
        most: int = 65_536,
        *,
        slots: int = 32,
        octets: int = 320,
        limits: JitterLimits | None = None,
    ) -> None:
        """`slots` packets a row, a power of two; `octets` a packet: 320 are 40 ms of G.711 or 20 ms of
        L16/8000.
        """
        if slots < 4 or slots & (slots - 1):
            raise ValueError("slots is a power of two, 4 at least")
        self.slots, self.octets = slots, octets
        self.limits = limits or JitterLimits()
        number = dict.fromkeys(_NUMBERS, (np.int64, (), 0))
        amount = dict.fromkeys(_AMOUNTS, (np.float64, (), 0.0))
        truth = dict.fromkeys(_TRUTHS, (bool, (), False))
        ring: Columns = {
            "slot_state": (np.uint8, (slots,), EMPTY),
            "slot_sequence": (np.int64, (slots,), -1),
            "slot_time": (np.int64, (slots,), 0),
            "slot_samples": (np.int64, (slots,), 0),
            "slot_length": (np.int32, (slots,), 0),
            "slot_type": (np.uint8, (slots,), 0),
            "slot_marker": (bool, (slots,), False),
            "slot_comfort": (bool, (slots,), False),
            "slot_payload": (np.uint8, (slots, octets), 0),
        }
        super().__init__(capacity, most, {**number, **amount, **truth, **ring})

    _ssrc: NDArray[np.int64]
    _highest: NDArray[np.int64]
    _next: NDArray[np.int64]
    _time: NDArray[np.int64]
    _position: NDArray[np.int64]
    _waiting: NDArray[np.int64]
    _owed: NDArray[np.int64]
    _tick: NDArray[np.int64]
    _missed: NDArray[np.int64]
    _played: NDArray[np.int64]
    _odd_ssrc: NDArray[np.int64]
    _odd_sequence: NDArray[np.int64]
    _fastest: NDArray[np.float64]
    _fastest_before: NDArray[np.float64]
    _window: NDArray[np.float64]
    _sunk: NDArray[np.float64]
    _known: NDArray[np.bool_]
    _playing: NDArray[np.bool_]
    _comfort: NDArray[np.bool_]
    slot_state: NDArray[np.uint8]
    slot_sequence: NDArray[np.int64]
    slot_time: NDArray[np.int64]
    slot_samples: NDArray[np.int64]
    slot_length: NDArray[np.int32]
    slot_type: NDArray[np.uint8]
    slot_marker: NDArray[np.bool_]
    slot_comfort: NDArray[np.bool_]
    slot_payload: NDArray[np.uint8]

    def open(self, row: int, rate: int, frame: int = 0) -> None:
        """Begin a stream in a row: clock rate in Hz, samples of a packet (20 ms where 0)."""
        self.clear(np.array([row]))
        self.rate[row] = rate
        self.frame[row] = frame or rate // 50
        self.level[row] = self.limits.initial * rate

    def delay(self, rows: NDArray[Any], now: float) -> NDArray[np.float64]:
        """Seconds between the fastest packet's arrival and its being heard, after a pull at `now`.

        0 where nothing plays.
        """
        heard = now * self.rate[rows] + self._tick[rows] - self._owed[rows]
        samples = heard - self._base(rows) - self._position[rows]
        return np.where(self._playing[rows], samples / np.maximum(self.rate[rows], 1.0), 0.0)

    def waiting(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Packets that are in the buffer."""
        waiting: NDArray[np.int64] = self._waiting[rows]
        return waiting

    def _base(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        base: NDArray[np.float64] = np.minimum(self._fastest[rows], self._fastest_before[rows])
        return base
