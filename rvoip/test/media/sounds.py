"""Sounds and files that several tests use, and what they are measured with."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]


def sine(frequency: float, seconds: float, rate: int = 8000, peak: float = 10000) -> Samples:
    at = np.arange(round(seconds * rate)) / rate
    return np.rint(peak * np.sin(2 * np.pi * frequency * at)).astype(np.int16)


def frequency_of(samples: Samples, rate: int) -> float:
    """The strongest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    spectrum[0] = 0
    return float(spectrum.argmax() * rate / len(samples))


def level_of(samples: npt.ArrayLike) -> float:
    """RMS in dB below a sine of full scale."""
    power = np.mean(np.square(np.asarray(samples, np.float64)))
    return float(10 * np.log10(power / (32768**2 / 2) + 1e-12))


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def fmt(tag: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, width: int | None = None) -> bytes:
    block = channels * (width or (bits + 7) // 8)
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits))


def wav(*chunks: bytes, magic: bytes = b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if size is None else size) + body


def wav_of(samples: Samples, rate: int = 8000) -> bytes:
    """PCM of 16 bits; `samples` is (n,) or (channels, n)."""
    frames = np.atleast_2d(samples)
    return wav(fmt(channels=len(frames), rate=rate), chunk(b"data", frames.T.astype("<i2").tobytes()))
