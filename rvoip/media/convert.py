"""The rate of a whole piece of audio, changed at once: any rate to any other, nothing late and nothing cut.

The `resample` module is for streams; this is for prompts, which are converted once and kept. The low-pass has
48 taps at the lower rate: flat to 0.86 of the lower rate's band, 60 dB down from its edge on.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
import numpy.typing as npt

__all__ = ["convert"]

_TAPS = 48
_BETA = 5.65
"""Of the Kaiser window: 60 dB."""
_BLOCK = 4096
"""Samples of the result that are reckoned in one go: a few megabytes of products."""


def convert(samples: npt.NDArray[np.int16], source: int, target: int) -> npt.NDArray[np.int16]:
    """Return the same sound at `target` Hz: `int16[n]` to `int16[ceil(n * target / source)]`."""
    if source == target or not len(samples):
        return samples
    common = gcd(source, target)
    up, down = target // common, source // common
    phases = _phases(up, down)
    width = phases.shape[1]
    # The middle of the window stands on the sample of the source that the result falls on.
    line = np.pad(samples.astype(np.float32), (width // 2 - 1, width // 2 + 1))
    windows = np.lib.stride_tricks.sliding_window_view(line, width)
    count = -(-len(samples) * up // down)
    out = np.empty(count, np.int16)
    for begin in range(0, count, _BLOCK):
        at = np.arange(begin, min(begin + _BLOCK, count), dtype=np.int64) * down
        found = np.vecdot(windows[at // up], phases[at % up])
        out[begin : begin + _BLOCK] = np.clip(np.rint(found), -32768, 32767)
    return out


@lru_cache(maxsize=32)
def _phases(up: int, down: int) -> npt.NDArray[np.float32]:
    """Return the taps of each of the `up` places between two samples of the source, one a row."""
    stretch = max(1.0, down / up)
    half = int(np.ceil(_TAPS / 2 * stretch))
    # Distance, in samples of the source, from each sample in the window to the place of the result.
    at = np.arange(-half + 1, half + 1)[None, :] - np.arange(up)[:, None] / up
    cutoff = (1 - 3.6 / _TAPS) / stretch
    inside = np.maximum(1 - (at / half) ** 2, 0)
    taps = np.sinc(cutoff * at) * np.i0(_BETA * np.sqrt(inside))
    found: npt.NDArray[np.float32] = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
    return found
