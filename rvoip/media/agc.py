"""Automatic gain: quiet talkers are raised and loud ones lowered to one level, within bounds."""

from __future__ import annotations

import numpy as np

from rvoip.media.arrays import Column, Doubles, Floats, Frames, Indexes, StreamTable

__all__ = ["GainControl"]


class GainControl(StreamTable):
    """The gains of many streams, in dB.

    A talker louder than `target` dBov is lowered with the time constant `attack`, a quieter one raised with
    `release`, both in seconds; the gain stays between `lowest` and `highest` dB. What is quieter than `gate`
    is no talk: it leaves the gain alone, so that noise is not raised in the pauses.
    """

    gain: Floats

    def __init__(
        self,
        rate: int,
        target: float = -22.0,
        attack: float = 0.05,
        release: float = 1.0,
        lowest: float = -20.0,
        highest: float = 18.0,
        gate: float = -50.0,
        limit: int = 65_536,
    ) -> None:
        """Work at `rate` Hz."""
        if not (attack > 0 and release > 0 and lowest <= 0 <= highest):
            raise ValueError("attack and release are above 0 seconds, and 0 dB is within the bounds")
        self.rate, self.target, self.gate = rate, target, gate
        self.lowest, self.highest = lowest, highest
        self.attack, self.release = attack, release
        super().__init__({"gain": Column(np.float32)}, limit)

    def process(self, rows: Indexes, audio: Frames, level: Floats) -> Frames:
        """Return the next frame of the streams `rows` at its new loudness.

        `level` is the RMS of each row of `audio` in dBov (`levels.measure`). The gain moves over the frame in
        a straight line, and what is too loud for 16 bits is clipped.
        """
        samples = audio.shape[1]
        before = self.gain[rows].astype(np.float64)
        wanted = np.clip(self.target - level.astype(np.float64), self.lowest, self.highest)
        seconds = samples / self.rate
        down, up = 1 - np.exp(-seconds / self.attack), 1 - np.exp(-seconds / self.release)
        step = (wanted - before) * np.where(wanted < before, down, up)
        after = np.where(level > self.gate, before + step, before)
        self.gain[rows] = after
        return _ramped(audio, _factor(before), _factor(self.gain[rows].astype(np.float64)))


def _factor(decibels: Doubles) -> Floats:
    return (10 ** (decibels / 20)).astype(np.float32)


def _ramped(audio: Frames, begin: Floats, end: Floats) -> Frames:
    samples = audio.shape[1]
    ramp = (np.arange(1, samples + 1) / max(samples, 1)).astype(np.float32)
    factor = (end - begin)[:, np.newaxis] * ramp
    factor += begin[:, np.newaxis]
    factor *= audio
    np.rint(factor, out=factor)
    np.clip(factor, -32768, 32767, out=factor)
    found: Frames = factor.astype(np.int16)
    return found
