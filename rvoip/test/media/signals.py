"""Sounds that tests make, and what they measure of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rvoip.media.arrays import Doubles, Frames


def sine(
    frequency: float, seconds: float, rate: int = 8000, height: float = 10_000, phase: float = 0
) -> Doubles:
    """A sine whose peak is `height`."""
    at = np.arange(round(seconds * rate))
    found: Doubles = height * np.sin(2 * np.pi * frequency / rate * at + phase)
    return found


def pcm(wave: Doubles) -> Frames:
    """One row of 16-bit samples."""
    return np.clip(np.rint(wave), -32768, 32767).astype(np.int16)[np.newaxis]


def rms(wave: npt.NDArray[Any]) -> float:
    return float(np.sqrt((wave.astype(np.float64) ** 2).mean()))


def decibels(ratio: float) -> float:
    return float(20 * np.log10(max(ratio, 1e-9)))


def loudest(wave: npt.NDArray[Any], rate: int) -> float:
    """The frequency of the highest peak of the spectrum, Hz."""
    line = wave.astype(np.float64).ravel()
    spectrum = np.abs(np.fft.rfft(line * np.hanning(len(line))))
    top = int(spectrum[1:-1].argmax()) + 1
    before, here, after = np.log(np.maximum(spectrum[top - 1 : top + 2], 1e-9))
    shift = (before - after) / (2 * (before - 2 * here + after))
    return float((top + shift) * rate / len(line))


def height_of(wave: npt.NDArray[Any], frequency: float, rate: int) -> float:
    """The peak of a sine of that frequency in the sound."""
    line = wave.astype(np.float64).ravel()
    turn = np.exp(-2j * np.pi * frequency / rate * np.arange(len(line)))
    window = np.hanning(len(line))
    return float(2 * np.abs((line * window * turn).sum()) / window.sum())


def vowels(rng: np.random.Generator, seconds: float, rate: int = 8000) -> Doubles:
    """Something like a talker: harmonics of a gliding voice under moving formants, in syllables."""
    count = round(seconds * rate)
    at = np.arange(count) / rate
    knots = np.arange(0, seconds + 0.2, 0.12)
    pitch = np.interp(at, knots, rng.uniform(90, 260, len(knots)))
    angle = 2 * np.pi * np.cumsum(pitch) / rate
    formants = [
        np.interp(at, knots, rng.uniform(*span, len(knots)))
        for span in ((300, 900), (900, 2300), (2200, 3200))
    ]
    wave = np.zeros(count)
    for harmonic in range(1, 30):
        frequency = harmonic * pitch
        height = sum(1 / (1 + ((frequency - one) / 90) ** 2) for one in formants)
        height = np.where(frequency < rate * 0.45, height, 0)
        wave += height * np.sin(harmonic * angle + rng.uniform(0, 6))
    syllables = np.interp(at, knots, rng.uniform(0, 1, len(knots)) ** 2)
    wave *= syllables
    wave += rng.normal(0, 0.002, count)
    found: Doubles = 12_000 * wave / np.abs(wave).max()
    return found
