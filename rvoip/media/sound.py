"""Audio as a whole, not as a stream: what a file holds, and one channel of it at the rate of a leg."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rvoip.media.arrays import Frames
from rvoip.media.convert import convert
from rvoip.media.errors import AudioFileError

__all__ = ["MAX_RATE", "MIN_RATE", "Audio", "Sound"]

MIN_RATE, MAX_RATE = 8000, 48000
"""Sampling rates in Hz that a file may have."""


class Sound:
    """One channel of linear PCM that does not change: `samples` is `int16[n]` at `rate` Hz, read-only."""

    __slots__ = ("rate", "samples")

    def __init__(self, samples: npt.NDArray[np.int16], rate: int) -> None:
        """Keep the samples; the array is made read-only. Raises AudioFileError where there are none."""
        if not len(samples):
            raise AudioFileError("there is no audio in it")
        self.samples = np.ascontiguousarray(samples, np.int16)
        self.samples.flags.writeable = False
        self.rate = rate

    @property
    def milliseconds(self) -> float:
        """How long it plays."""
        return len(self.samples) * 1000 / self.rate

    @property
    def size(self) -> int:
        """Octets that the samples take in memory."""
        return self.samples.nbytes


class Audio(NamedTuple):
    """What a file holds: `samples` is `int16 (channels, n)` at `rate` Hz."""

    samples: Frames
    rate: int

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return float(self.samples.shape[1] / self.rate)

    def sound(self, rate: int) -> Sound:
        """Mix the channels into one, at another rate."""
        channels = len(self.samples)
        if channels == 1:
            mono = self.samples[0]
        else:
            mono = np.rint(self.samples.sum(axis=0, dtype=np.int32) / channels).astype(np.int16)
        return Sound(convert(mono, self.rate, rate), rate)
