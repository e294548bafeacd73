"""DTMF in the audio (ITU-T Q.23, Q.24): digits are made as tone programs, and found in many streams at once.

A window of 20 ms is taken every 10 ms. Eight correlations say whether two of the tones hold much of its
energy; only windows where they do are looked at closely: both frequencies are measured, the two tones are
taken out, and next to nothing may be left. Speech leaves its other harmonics, and seldom holds still for two
windows.

Windows are integers, tables are integers, sums are exact: a stream yields the same digits alone and among
others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rvoip.media.arrays import Booleans, Column, Doubles, Frames, Indexes, Longs, StreamTable
from rvoip.media.errors import MediaError, ToneError
from rvoip.media.tones import Segment, Tone, ToneProgram

__all__ = ["COLUMNS", "DIGITS", "ROWS", "DigitEvents", "DtmfDetector", "dtmf_program"]

ROWS = (697, 770, 852, 941)
"""The low group, Hz."""
COLUMNS = (1209, 1336, 1477, 1633)
"""The high group, Hz."""
DIGITS = "123A456B789C*0#D"
"""Row by row."""

_CODES = np.frombuffer(DIGITS.encode("ascii"), np.uint8)
_UNIT = 1 << 14
_OFFSETS = np.arange(-7, 8) * 0.005
"""How far off its frequency a tone is looked for, of the frequency."""
_TOLERANCE = 0.026
"""Tones 1.5 % off are taken, those 3.5 % off are not (Q.24); measured to half a per cent."""
_ROUGH = 0.3
"""Share of the energy at the nominal frequencies: a tone 1.5 % off still has so much."""
_PURE = 0.87
"""Share of the energy in both tones: 9 dB above noise. It also tells a window that is not filled."""
_STEADY = 1.8
"""Two windows of one digit are as loud as each other, within 2.5 dB."""
_ENOUGH = 2
"""Windows that make a digit: with _PURE no tone up to 24 ms, and every tone of 40 ms."""
_ENDED = 5
"""Windows without it that end a digit: interruptions of 15 ms do not, pauses of 36 ms do."""
_CHUNK = 512
"""Windows whose doubles fit in a core's cache."""
_NONE = -1


class DigitEvents(NamedTuple):
    """Digits that began or ended, in the order of time."""

    rows: Indexes
    digits: npt.NDArray[np.uint8]
    """ASCII codes."""
    ended: Booleans
    """False where the digit began: it has sounded for 30 ms or so then."""
    samples: Longs
    """How long the digit has sounded so far."""


class DtmfDetector(StreamTable):
    """Digits in streams of one rate; frames are whole multiples of 10 ms.

    `normal` is by how many dB the low group may be louder than the high one, `reverse` the other way (8 and 4
    in Q.24, and what measuring adds); each tone has `least` dBov.
    """

    sounding: Booleans
    """Streams whose last window held a digit, reported or not: what a guard against DTMF mutes."""
    _past: Frames
    _digit: Longs
    _candidate: Longs
    _run: Longs
    _loudness: Doubles
    _misses: Longs
    _length: Longs

    def __init__(
        self, rate: int, normal: float = 9.0, reverse: float = 5.0, least: float = -45.0, limit: int = 65_536
    ) -> None:
        """Listen at `rate` Hz: 8000, 16000, 24000 or 48000."""
        if rate not in (8000, 16000, 24000, 48000):
            raise MediaError(f"there is no DTMF at {rate} Hz")
        self._hop, self._window = rate // 100, rate // 50
        self._normal, self._reverse = 10 ** (normal / 10), 10 ** (reverse / 10)
        self._least = 10 ** (least / 10) * 32768.0**2 * self._window
        self._table = _table(np.array(ROWS + COLUMNS), rate, self._window)
        shifted = [np.multiply.outer(np.array(group), 1 + _OFFSETS).ravel() for group in (ROWS, COLUMNS)]
        self._fine = [_table(group, rate, self._window) for group in shifted]
        columns = {
            "sounding": Column(np.bool_),
            "_past": Column(np.int16, (self._hop,)),
            "_digit": Column(np.int64, (), _NONE),
            "_candidate": Column(np.int64, (), _NONE),
            "_run": Column(np.int64),
            "_loudness": Column(np.float64),
            "_misses": Column(np.int64),
            "_length": Column(np.int64),
        }
        super().__init__(columns, limit)

    def process(self, rows: Indexes, audio: Frames) -> DigitEvents:
        """Take the next frames of the streams `rows`; return which digits began and ended in them."""
        hop = self._hop
        if audio.shape[1] % hop:
            raise MediaError("DTMF is looked for in frames of whole multiples of 10 ms")
        line = np.concatenate((self._past[rows], audio), axis=1)
        self._past[rows] = line[:, -hop:]
        found = [
            self._step(rows, *self._heard(line[:, at : at + 2 * hop])) for at in range(0, audio.shape[1], hop)
        ]
        events = [event for pair in found for event in pair if len(event.rows)]
        if not events:
            return _no_events()
        return events[0] if len(events) == 1 else DigitEvents(*map(np.concatenate, zip(*events)))

    def _heard(self, windows: Frames) -> tuple[Longs, Doubles]:
        """Return the digit of each window, or -1, and the energy of its tones."""
        digits, loudness = np.full(len(windows), _NONE, np.int64), np.zeros(len(windows))
        for begin in range(0, len(windows), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            self._look(windows[part].astype(np.float64), digits[part], loudness[part])
        return digits, loudness

    def _look(self, windows: Doubles, digits: Longs, loudness: Doubles) -> None:
        energy = np.vecdot(windows, windows)
        power = _power(windows @ self._table, self._window)
        low, high = power[:, :4].argmax(axis=1), power[:, 4:].argmax(axis=1)
        share = power[:, :4].max(axis=1) + power[:, 4:].max(axis=1)
        rough = np.flatnonzero((share >= _ROUGH * energy) & (energy >= 2 * self._least * _ROUGH))
        if len(rough):
            sure, power_of = self._close(windows[rough], energy[rough], low[rough], high[rough])
            digits[rough[sure]] = low[rough[sure]] * 4 + high[rough[sure]]
            loudness[rough[sure]] = power_of[sure]

    def _close(
        self, windows: Doubles, energy: Doubles, low: Indexes, high: Indexes
    ) -> tuple[Booleans, Doubles]:
        """Measure two tones in each window: whether they are a digit, and their energy."""
        _, first = self._tone(windows, 0, low)
        # Each is measured again where the other was taken out: they leak into each other.
        high_off, second = self._tone(windows - first, 1, high)
        low_off, first = self._tone(windows - second, 0, low)
        left = windows - first - second
        rest = np.vecdot(left, left)
        low_power, high_power = np.vecdot(first, first), np.vecdot(second, second)
        sure = (
            (rest <= (1 - _PURE) * energy)
            & (np.abs(low_off) <= _TOLERANCE)
            & (np.abs(high_off) <= _TOLERANCE)
            & (low_power <= self._normal * high_power)
            & (high_power <= self._reverse * low_power)
            & (np.minimum(low_power, high_power) >= self._least * _PURE)
        )
        return sure, low_power + high_power

    def _tone(self, windows: Doubles, group: int, number: Indexes) -> tuple[Doubles, Doubles]:
        """Find a tone of a group near its frequency: how far off it is, and its waveform in whole numbers."""
        found = windows @ self._fine[group]
        count, offsets = len(windows), len(_OFFSETS)
        shaped = found.reshape(count, 2, 4, offsets)[np.arange(count), :, number]
        best = (shaped * shaped).sum(axis=1).argmax(axis=1)
        column = number * offsets + best
        cosine, sine = self._fine[group][:, column].T, self._fine[group][:, column + 4 * offsets].T
        factor = 2 / (self._window * float(_UNIT) ** 2)
        parts = shaped[np.arange(count), :, best] * factor
        wave = np.rint(parts[:, :1] * cosine + parts[:, 1:] * sine)
        return _OFFSETS[best], wave

    def _step(self, rows: Indexes, hit: Longs, loudness: Doubles) -> tuple[DigitEvents, DigitEvents]:
        """Move each stream on by one window; return what ended, then what began."""
        hop, window = self._hop, self._window
        digit, candidate, before = self._digit[rows], self._candidate[rows], self._loudness[rows]
        steady = (loudness <= before * _STEADY) & (before <= loudness * _STEADY)
        heard = hit != _NONE
        run = np.where(heard, np.where((hit == candidate) & steady, self._run[rows] + 1, 1), 0)
        same = heard & (hit == digit)
        misses = np.where(same, 0, self._misses[rows] + 1)
        length = self._length[rows] + np.where(same, hop * (1 + self._misses[rows]), 0)
        begins = (run >= _ENOUGH) & ~same
        ends = (digit != _NONE) & (begins | (misses >= _ENDED))
        ended = DigitEvents(rows[ends], _CODES[digit[ends]], np.ones(int(ends.sum()), np.bool_), length[ends])
        sounded = window + hop * (run[begins] - 1)
        began = DigitEvents(rows[begins], _CODES[hit[begins]], np.zeros(int(begins.sum()), np.bool_), sounded)
        length[begins] = sounded
        self._digit[rows] = np.where(begins, hit, np.where(ends, _NONE, digit))
        self._misses[rows] = np.where(begins | ends, 0, np.minimum(misses, _ENDED))
        self._length[rows] = length
        self._candidate[rows], self._run[rows], self._loudness[rows] = hit, run, loudness
        self.sounding[rows] = heard
        return ended, began


def dtmf_program(
    digits: str, tone: int = 100, pause: int = 60, level: float = -10.0, twist: float = 2.0
) -> ToneProgram:
    """Return the tones of up to 128 digits: each sounds `tone` ms and is followed by `pause` ms of silence.

    A comma is a pause of half a second. `level` is dBov of both tones together, the high group is `twist` dB
    louder than the low one. Raises ToneError for what is no digit.
    """
    if not 0 < len(digits) <= 128:
        raise ToneError("1 to 128 digits can be sent at once")
    if not (1 <= tone <= 10_000 and 1 <= pause <= 10_000):
        raise ToneError("digits and pauses last 1 to 10000 ms")
    low = level - 10 * np.log10(1 + 10 ** (twist / 10))
    segments: list[Segment] = []
    for digit in digits.upper():
        if digit == ",":
            segments.append(Segment((), 500))
            continue
        place = DIGITS.find(digit)
        if place < 0:
            raise ToneError(f"{digit!r} is none of the digits {DIGITS} and no comma")
        row, column = divmod(place, 4)
        segments += (
            Segment((Tone(ROWS[row], float(low)), Tone(COLUMNS[column], float(low + twist))), tone),
            Segment((), pause),
        )
    return ToneProgram(tuple(segments))


def _table(frequencies: npt.NDArray[np.float64] | npt.NDArray[np.int64], rate: int, window: int) -> Doubles:
    """Return cosines of all frequencies, then sines: whole numbers, `(window, 2 * frequencies)`."""
    angle = 2 * np.pi / rate * np.multiply.outer(np.arange(window), frequencies)
    found: Doubles = np.rint(np.concatenate((np.cos(angle), np.sin(angle)), axis=1) * _UNIT)
    return found


def _power(found: Doubles, window: int) -> Doubles:
    """Return the energy of each frequency from its two correlations."""
    half = found.shape[1] // 2
    squares = found * found
    return (squares[:, :half] + squares[:, half:]) * (2 / (window * float(_UNIT) ** 2))


def _no_events() -> DigitEvents:
    none = np.zeros(0, np.intp)
    return DigitEvents(none, none.astype(np.uint8), none.astype(np.bool_), none.astype(np.int64))
