"""Comfort noise (RFC 3389): what is heard while a peer sends nothing, as loud and as coloured as it says.

Each stream has a noise of its own, from a seed that the caller gives: the same alone and among others.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rvoip.media.arrays import Column, Doubles, Frames, Indexes, StreamTable

__all__ = ["MAX_ORDER", "ComfortNoise", "reflection"]

MAX_ORDER = 12
"""Reflection coefficients that are used; a payload may hold more."""
_RESPONSE = 64
"""Taps of the filter that colours the noise."""
_STEP = np.uint32(0x9E3779B9)


def reflection(quantised: npt.ArrayLike) -> Doubles:
    """Turn the octets after the level of a payload into reflection coefficients (RFC 3389 section 3.2)."""
    return (np.asarray(quantised, np.float64) - 127) * (258 / 32768)


class ComfortNoise(StreamTable):
    """Streams of noise. A new one is silent until `describe` says how it sounds."""

    _seed: npt.NDArray[np.uint32]
    _count: npt.NDArray[np.uint32]
    _scale: Doubles
    _filter: Doubles
    _coloured: npt.NDArray[np.bool_]

    def __init__(self, limit: int = 65_536) -> None:
        """Make an empty table."""
        columns = {
            "_seed": Column(np.uint32),
            "_count": Column(np.uint32),
            "_scale": Column(np.float64),
            "_filter": Column(np.float64, (_RESPONSE,)),
            "_coloured": Column(np.bool_),
        }
        super().__init__(columns, limit)

    def begin(self, seed: int) -> int:
        """Add a stream whose noise is that of `seed`, any integer, and return its row."""
        row = self.add()
        self._seed[row] = seed & 0xFFFFFFFF
        return row

    def describe(self, rows: Indexes, level: npt.ArrayLike, coefficients: Doubles | None = None) -> None:
        """Say how the streams sound: `level` in dBov (0 and less), and reflection coefficients `(rows,
        order)`.

        Without coefficients, or with none but zeros, the noise is white. Coefficients are cut to MAX_ORDER
        and to what keeps the filter stable.
        """
        rms = 32768.0 * 10 ** (np.clip(np.asarray(level, np.float64), -127, 0) / 20)
        # Uniform between -1 and 1 has a mean square of a third.
        self._scale[rows] = rms * np.sqrt(3.0)
        if coefficients is None:
            self._coloured[rows] = False
            return
        response = _impulse_response(np.clip(coefficients[:, :MAX_ORDER], -0.98, 0.98))
        response /= np.sqrt((response * response).sum(axis=1, keepdims=True))
        self._filter[rows] = response
        self._coloured[rows] = response[:, 0] != 1

    def process(self, rows: Indexes, samples: int) -> Frames:
        """Return the next `samples` of the streams `rows`."""
        white = self._white(rows, samples)
        coloured = np.flatnonzero(self._coloured[rows])
        out = white[:, _RESPONSE - 1 :]
        if len(coloured):
            windows = np.lib.stride_tricks.sliding_window_view(white[coloured], _RESPONSE, axis=1)
            taps = self._filter[rows[coloured], ::-1]
            # One product a stream, so that a stream sounds the same whatever stands beside it.
            out[coloured] = np.matmul(windows, taps[:, :, np.newaxis])[:, :, 0]
        out = np.rint(out * self._scale[rows, np.newaxis])
        self._count[rows] += np.uint32(samples)
        return np.clip(out, -32768, 32767).astype(np.int16)

    def _white(self, rows: Indexes, samples: int) -> Doubles:
        """Return uniform noise between -1 and 1, from `_RESPONSE` - 1 samples before the next on."""
        offset = np.arange(samples + _RESPONSE - 1, dtype=np.uint32) - np.uint32(_RESPONSE - 1)
        place = self._count[rows, np.newaxis] + offset
        mixed = (place * _STEP) ^ self._seed[rows, np.newaxis]
        # A finaliser that lets each bit touch all others.
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            mixed ^= mixed >> np.uint32(shift)
            mixed *= np.uint32(factor)
        mixed ^= mixed >> np.uint32(16)
        return mixed / 2147483648.0 - 1


def _impulse_response(coefficients: Doubles) -> Doubles:
    """Return how 1/A(z) rings for each row of reflection coefficients, `_RESPONSE` samples long."""
    count, order = coefficients.shape
    # Step up from reflection to prediction coefficients.
    predictor = np.zeros((count, order + 1))
    predictor[:, 0] = 1
    for stage in range(order):
        k = coefficients[:, stage, np.newaxis]
        grown = predictor.copy()
        grown[:, 1 : stage + 2] += k * predictor[:, stage::-1][:, : stage + 1]
        predictor = grown
    response = np.zeros((count, _RESPONSE))
    response[:, 0] = 1
    for at in range(1, _RESPONSE):
        reach = min(at, order)
        # The sum is taken tap by tap, in one order for any number of rows.
        for tap in range(1, reach + 1):
            response[:, at] -= predictor[:, tap] * response[:, at - tap]
    return response
