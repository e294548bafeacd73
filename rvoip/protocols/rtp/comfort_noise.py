"""Comfort noise (RFC 3389): the level of the noise, and its spectrum as reflection coefficients."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rvoip.protocols.rtp.errors import RTPBuildError, RTPError

__all__ = ["COMFORT_NOISE", "ComfortNoise", "MOST_COEFFICIENTS", "noise_levels"]

COMFORT_NOISE: Final = 13
"""The static payload type, for a clock of 8000 Hz (RFC 3389 section 4)."""

MOST_COEFFICIENTS: Final = 32
"""Coefficients that are read; more say nothing that can be heard."""

_STEP: Final = 258 / 32768


class ComfortNoise(Struct, frozen=True, gc=False):
    """A payload: `level` in -dBov, 0 (loudest) to 127; `reflection` coefficients between -1 and 1, mostly
    none.
    """

    level: int
    reflection: tuple[float, ...] = ()

    @classmethod
    def parse(cls, payload: bytes) -> ComfortNoise:
        """Read a payload. Raises RTPError."""
        if not payload:
            raise RTPError("comfort noise without a level")
        indices = payload[1 : 1 + MOST_COEFFICIENTS]
        if 255 in indices:
            raise RTPError("a reflection coefficient has a reserved index")
        return cls(payload[0] & 0x7F, tuple((index - 127) * _STEP for index in indices))

    def to_bytes(self) -> bytes:
        """Write the payload; each coefficient becomes the nearest that can be sent. Raises RTPBuildError."""
        if not 0 <= self.level <= 127 or len(self.reflection) > MOST_COEFFICIENTS:
            raise RTPBuildError("comfort noise has a level of 0-127 and at most 32 coefficients")
        if not all(-1 < coefficient < 1 for coefficient in self.reflection):
            raise RTPBuildError("a reflection coefficient lies between -1 and 1")
        indices = (round(coefficient / _STEP) + 127 for coefficient in self.reflection)
        return bytes((self.level, *(min(max(index, 0), 254) for index in indices)))


def noise_levels(audio: NDArray[np.int16]) -> NDArray[np.uint8]:
    """The level of each row of `audio`, `int16` of shape (streams, samples), in -dBov: 0 to 127 (silence).

    0 dBov is the power of a square wave at full scale (RFC 6465 and G.711's overload agree on it for 16
    bits).
    """
    power: NDArray[Any] = np.mean(np.square(audio, dtype=np.float64), axis=1) / 32768.0**2
    quiet = 10 ** (-127 / 10)
    below: NDArray[np.float64] = -10 * np.log10(np.maximum(power, quiet))
    return np.clip(np.rint(below), 0, 127).astype(np.uint8)
