"""How loud audio is: mean square, RMS and peak of each stream, in units of samples and in dBov.

0 dBov is a square wave as loud as 16 bits hold (RFC 3389 section 3, RFC 6464 section 3); a sine of full scale
is at -3.01 dBov. Sums of squares are exact, so that one stream measures the same alone and among others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rvoip.media.arrays import Doubles, Floats, Frames

__all__ = ["SILENCE", "Levels", "dbov", "mean_square", "measure", "peak"]

SILENCE = -127.0
"""dBov of digital silence, the lowest level that RFC 6464 can say."""
_FULL = 32768.0
_CHUNK = 512
"""Rows whose doubles fit in a core's cache."""


class Levels(NamedTuple):
    """RMS and peak of each stream in dBov, `float32`, one a row."""

    rms: Floats
    peak: Floats


def mean_square(audio: Frames) -> Doubles:
    """Return the mean of the squared samples of each row: 0 to 2**30."""
    found = np.empty(len(audio))
    for begin in range(0, len(audio), _CHUNK):
        chunk = audio[begin : begin + _CHUNK].astype(np.float64)
        np.vecdot(chunk, chunk, out=found[begin : begin + _CHUNK])
    if audio.shape[1]:
        found /= audio.shape[1]
    return found


def peak(audio: Frames) -> npt.NDArray[np.int32]:
    """Return the largest magnitude of each row, 0 to 32768; 0 for a row without samples."""
    if not audio.shape[1]:
        return np.zeros(len(audio), np.int32)
    high, low = audio.max(axis=1).astype(np.int32), audio.min(axis=1).astype(np.int32)
    found: npt.NDArray[np.int32] = np.maximum(high, -low)
    return found


def dbov(power: npt.ArrayLike) -> Floats:
    """Turn mean squares into dBov: -127 for silence up to 0."""
    ratio = np.asarray(power, np.float64) / (_FULL * _FULL)
    found: Floats = np.maximum(10 * np.log10(np.maximum(ratio, 1e-13)), SILENCE).astype(np.float32)
    return found


def measure(audio: Frames) -> Levels:
    """Return RMS and peak of each row in dBov."""
    high = peak(audio).astype(np.float64)
    return Levels(dbov(mean_square(audio)), dbov(high * high))
