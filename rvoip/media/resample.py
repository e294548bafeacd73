"""Resampling between 8, 16, 24 and 48 kHz: many streams at once, each with the end of what it heard before.

A polyphase low-pass of 40 taps at the lower rate: flat to 0.8 of the lower rate's band, 50 dB down from its
edge on, 2.5 ms late at 8 kHz (20 samples of the lower rate). 20 ms in give 20 ms out at once: nothing is held
back.

Taps are integers of 16 bits and products are summed in doubles, where every sum is exact: the order in which
a machine adds does not matter, and a stream sounds the same to the bit alone and among a thousand.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np

from rvoip.media.arrays import Column, Doubles, Frames, Indexes, StreamTable

__all__ = ["RATES", "Resampler", "prototype"]

RATES = (8000, 16000, 24000, 48000)

_TAPS = 40
"""At the lower rate."""
_BETA = 5.0
"""Of the Kaiser window: 53 dB."""
_UNIT = 1 << 15
_CHUNK = 64
"""Streams that are filtered in one go; a few hundred kilobytes of doubles."""
_BLOCK = 20
"""Samples of the lower rate in one matrix product: few enough to waste little, enough to be fast."""


@lru_cache
def prototype(up: int, down: int) -> Doubles:
    """Return the taps of the low-pass at `up` times the rate of the source, one column a phase.

    Shape `(taps, up)`, integers; each phase adds up to 32768, so that a constant stays itself.
    """
    length = _TAPS * max(up, down)
    length += -length % up
    # The edge of the transition lies on the lower rate's Nyquist frequency: what would fold back is gone.
    width = 3.2 / _TAPS
    cutoff = (0.5 - width / 2) / max(up, down)
    at = np.arange(length) - (length - 1) / 2
    taps = 2 * cutoff * np.sinc(2 * cutoff * at) * np.kaiser(length, _BETA)
    phases = taps.reshape(-1, up)
    whole: Doubles = np.rint(phases / phases.sum(axis=0) * _UNIT)
    # What rounding left over goes to the largest tap of the phase.
    whole[np.abs(whole).argmax(axis=0), np.arange(up)] += _UNIT - whole.sum(axis=0)
    return whole


class Resampler(StreamTable):
    """Streams that go from one rate to another. `ratio` is (up, down) in lowest terms."""

    _past: Frames

    def __init__(self, source: int, target: int, limit: int = 65_536) -> None:
        """Take audio at `source` Hz to `target` Hz, both of RATES; raises ValueError for another rate."""
        if source not in RATES or target not in RATES:
            raise ValueError(f"rates are {', '.join(map(str, RATES))}, not {source} and {target}")
        common = gcd(source, target)
        self.source, self.target = source, target
        self.ratio = (target // common, source // common)
        up, down = self.ratio
        self._taps = taps = prototype(up, down)
        # The block is a whole number of output periods.
        periods = -(-_BLOCK // min(up, down))
        self._in, self._out = periods * down, periods * up
        self._kept = len(taps) - 1
        self._matrix = _block(taps, self._in, self._out, self.ratio)
        super().__init__({"_past": Column(np.int16, (self._kept,))}, limit)

    @property
    def delay(self) -> float:
        """How much later a sound comes out than it went in, in seconds."""
        return (self._taps.size - 1) / 2 / (self.source * self.ratio[0])

    def process(self, rows: Indexes, audio: Frames) -> Frames:
        """Resample the next audio of the streams `rows`: `(rows, n)` in, `(rows, n * target / source)` out.

        `n` is a multiple of the ratio's lower term (any frame of whole milliseconds is); else ValueError.
        """
        count, samples = audio.shape
        up, down = self.ratio
        if samples % down:
            raise ValueError(f"{samples} samples are no multiple of {down}")
        if up == down:
            return audio.copy()
        out = np.empty((count, samples // down * up), np.int16)
        for begin in range(0, count, _CHUNK):
            part = slice(begin, begin + _CHUNK)
            out[part] = self._filtered(rows[part], audio[part])
        return out

    def _filtered(self, rows: Indexes, audio: Frames) -> Doubles:
        count, samples = audio.shape
        kept, up, down = self._kept, *self.ratio
        blocks = -(-samples // self._in)
        # What is past the end of a last block that is not full is silence, and its output is not used.
        line = np.zeros((count, kept + blocks * self._in))
        line[:, :kept] = self._past[rows]
        line[:, kept : kept + samples] = audio
        self._past[rows] = line[:, samples : samples + kept]
        out = np.empty((count, blocks * self._out))
        width = len(self._matrix)
        for block in range(blocks):
            at = block * self._in
            np.matmul(
                line[:, at : at + width],
                self._matrix,
                out=out[:, block * self._out : (block + 1) * self._out],
            )
        out *= 1 / _UNIT
        np.rint(out, out=out)
        np.clip(out, -32768, 32767, out=out)
        return out[:, : samples // down * up]


def _block(taps: Doubles, samples: int, outputs: int, ratio: tuple[int, int]) -> Doubles:
    """Return the matrix that takes the past and `samples` new ones to `outputs` results."""
    up, down = ratio
    length = len(taps)
    matrix = np.zeros((length - 1 + samples, outputs))
    for output in range(outputs):
        newest = output * down // up
        matrix[newest : newest + length, output] = taps[::-1, output * down % up]
    return matrix
