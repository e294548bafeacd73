"""WAV files, read from octets: PCM of 8, 16, 24 and 32 bits, floats, both laws of G.711; 1 to 8 channels.

A file is what a stranger sent: sizes lie, ends are missing, chunks are many. What is there is read; what
cannot be audio is an `AudioFileError` of one line. (Multimedia Programming Interface and Data Specifications
1.0, August 1991; Multiple Channel Audio Data and WAVE Files, 2007; EBU Tech 3306 for RF64.)
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rvoip.codecs.g711 import a_law, mu_law
from rvoip.media.errors import AudioFileError
from rvoip.media.sound import MAX_RATE, MIN_RATE, Audio

__all__ = ["is_wav", "read_wav"]

MAX_CHANNELS = 8
MAX_CHUNKS = 1000
"""Chunks that are passed over on the way to the audio."""
PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")
"""What follows the format tag in the GUID of an extensible format."""
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""What a writer that had not ended, or could not go back, leaves as the size of the whole."""
_SIZES = {PCM: (1, 2, 3, 4), FLOAT: (4, 8), A_LAW: (1,), MU_LAW: (1,)}


class _Format(NamedTuple):
    tag: int
    channels: int
    rate: int
    width: int
    """Octets of one sample of one channel."""


def is_wav(data: bytes | memoryview) -> bool:
    """Say whether octets begin as a WAV file does."""
    return bytes(data[:4]) in (b"RIFF", b"RF64") and bytes(data[8:12]) == b"WAVE"


def read_wav(data: bytes | memoryview, max_seconds: float = 3600.0) -> Audio:
    """Read a whole file; raises AudioFileError for what is none, or plays longer than `max_seconds`."""
    view = memoryview(data).cast("B")
    if not is_wav(view):
        raise AudioFileError("it does not begin as a WAV file does")
    whole = struct.unpack_from("<I", view, 4)[0]
    long_size: int | None = None
    format: _Format | None = None
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(view):
            break
        name, size = struct.unpack_from("<4sI", view, at)
        at += 8
        body = view[at : at + size]
        if name == b"ds64" and len(body) >= 16:
            long_size = struct.unpack_from("<Q", body, 8)[0]
        elif name == b"fmt ":
            format = _read_format(body)
        elif name == b"data":
            if format is None:
                raise AudioFileError("the audio comes before the format that it is in")
            if size == 0xFFFFFFFF and long_size is not None:
                body = view[at : at + long_size]
            elif size in _UNKNOWN_SIZES and whole in _UNKNOWN_SIZES:
                body = view[at:]
            return _read_samples(body, format, max_seconds)
        at += size + size % 2
    raise AudioFileError("there is no audio in it")


def _read_format(body: memoryview) -> _Format:
    if len(body) < 16:
        raise AudioFileError(f"its format has {len(body)} octets instead of 16 or more")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", body)
    if tag == EXTENSIBLE:
        if len(body) < 40 or bytes(body[26:40]) != _SUBFORMAT:
            raise AudioFileError("its extensible format is none that is known")
        tag = struct.unpack_from("<H", body, 24)[0]
    if tag not in _SIZES:
        raise AudioFileError(f"its format is 0x{tag:04x}; PCM, float, A-law and mu-law are known")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioFileError(f"it has {channels} channels; 1 to {MAX_CHANNELS} are known")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioFileError(f"it has {rate} samples a second; {MIN_RATE} to {MAX_RATE} are known")
    width, rest = divmod(block, channels)
    if rest or width not in _SIZES[tag] or not 0 < bits <= 8 * width:
        raise AudioFileError(f"it has {bits} bits a sample in {block} octets for {channels} channels")
    return _Format(tag, channels, rate, width)


def _read_samples(body: memoryview, format: _Format, max_seconds: float) -> Audio:
    frames = len(body) // (format.channels * format.width)
    if not frames:
        raise AudioFileError("there is no audio in it")
    if frames > max_seconds * format.rate:
        raise AudioFileError(f"it plays {frames / format.rate:.0f} s; {max_seconds:.0f} s is the most")
    octets = np.frombuffer(body[: frames * format.channels * format.width], np.uint8)
    samples = _linear(octets, format).reshape(frames, format.channels)
    return Audio(np.ascontiguousarray(samples.T), format.rate)


def _linear(octets: npt.NDArray[np.uint8], format: _Format) -> npt.NDArray[np.int16]:
    tag, width = format.tag, format.width
    found: npt.NDArray[np.int16]
    if tag in (MU_LAW, A_LAW):
        found = (mu_law() if tag == MU_LAW else a_law()).expand[octets]
        return found
    if tag == FLOAT:
        values = octets.view("<f4" if width == 4 else "<f8").astype(np.float32)
        values = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=-1.0) * np.float32(32768)
        found = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
        return found
    if width == 1:
        found = (octets.astype(np.int16) - 128) << 8
        return found
    # The two octets that count most, which come last.
    upper: npt.NDArray[np.int16] = np.ascontiguousarray(octets.reshape(-1, width)[:, -2:]).view("<i2")[:, 0]
    found = upper.astype(np.int16)
    return found
