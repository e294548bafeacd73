"""Audio files of any kind, read from octets: WAV and raw by ourselves, what is compressed by libsndfile.

Which it is, the first octets say; a raw file has none that say so, and is known by the ending of its name.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from rvoip.codecs.g711 import a_law, mu_law
from rvoip.media.errors import AudioFileError, ExtraError
from rvoip.media.sound import MAX_RATE, MIN_RATE, Audio
from rvoip.media.wav import MAX_CHANNELS, is_wav, read_wav

__all__ = ["RAW_ENDINGS", "read_audio", "soundfile"]

RAW_ENDINGS = {
    ".ulaw": ("ulaw", 8000),
    ".ul": ("ulaw", 8000),
    ".pcmu": ("ulaw", 8000),
    ".alaw": ("alaw", 8000),
    ".al": ("alaw", 8000),
    ".pcma": ("alaw", 8000),
    ".s16": ("s16", 8000),
    ".raw": ("s16", 8000),
    ".sln": ("s16", 8000),
    ".sln16": ("s16", 16000),
    ".sln24": ("s16", 24000),
    ".sln48": ("s16", 48000),
}
"""What the ending of a name without a header says: the encoding (`s16` is little-endian) and the rate."""
_BEGINNINGS = {b"OggS": "Ogg", b"fLaC": "FLAC", b"ID3": "MP3"}
_EXTRA = "needs the package soundfile: pip install 'rvoip[audio]'"
_BLOCK = 65_536


@cache
def soundfile() -> Any:
    """The module of that name, None where it is not installed."""
    try:
        import soundfile as library
    except (ImportError, OSError):  # OSError: the package is there and libsndfile is not.
        return None
    return library


def read_audio(data: bytes, name: str = "", max_seconds: float = 3600.0) -> Audio:
    """Read a file whole; what was compressed comes mixed into one channel.

    Raises AudioFileError for octets that are no audio, or play longer than `max_seconds`, and ExtraError
    where they are of a kind that needs a package which is not installed.
    """
    if is_wav(data):
        return read_wav(data, max_seconds)
    if kind := _compressed(data):
        return _read_compressed(data, kind, max_seconds)
    stem, dot, ending = name.rpartition(".")
    raw = RAW_ENDINGS.get(f".{ending.lower()}") if stem and dot else None
    if raw is None:
        raise AudioFileError("it is no audio: neither WAV, Ogg, FLAC nor MP3, nor a name of raw audio")
    return _read_raw(data, *raw, max_seconds)


def _compressed(data: bytes) -> str:
    for beginning, kind in _BEGINNINGS.items():
        if data.startswith(beginning):
            return kind
    # A frame of MPEG audio without a tag before it: 11 bits set, layer III, a bit rate that there is.
    if len(data) > 3 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2 and data[2] & 0xF0 != 0xF0:
        return "MP3"
    return ""


def _read_raw(data: bytes, encoding: str, rate: int, max_seconds: float) -> Audio:
    count = len(data) // 2 if encoding == "s16" else len(data)
    if not count:
        raise AudioFileError("there is no audio in it")
    if count > max_seconds * rate:
        raise AudioFileError(f"it plays {count / rate:.0f} s; {max_seconds:.0f} s is the most")
    if encoding == "s16":
        samples = np.frombuffer(data[: 2 * count], "<i2").astype(np.int16)
    else:
        law = mu_law() if encoding == "ulaw" else a_law()
        samples = law.expand[np.frombuffer(data, np.uint8)]
    return Audio(samples[None, :], rate)


def _read_compressed(data: bytes, kind: str, max_seconds: float) -> Audio:
    library = soundfile()
    if library is None:
        raise ExtraError(f"{kind} {_EXTRA}")
    blocks: list[npt.NDArray[np.int16]] = []
    try:
        with library.SoundFile(BytesIO(data)) as file:
            rate, channels = int(file.samplerate), int(file.channels)
            if not MIN_RATE <= rate <= MAX_RATE or not 1 <= channels <= MAX_CHANNELS:
                raise AudioFileError(f"it has {channels} channels at {rate} samples a second")
            # What the file says of its length is not to be trusted: blocks are counted as they come.
            left = int(max_seconds * rate)
            while len(block := file.read(_BLOCK, dtype="int16", always_2d=True)):
                left -= len(block)
                if left < 0:
                    raise AudioFileError(f"it plays longer than {max_seconds:.0f} s, which is the most")
                # One channel at once: eight of an hour would not fit.
                mixed = block.sum(axis=1, dtype=np.int32) / channels
                blocks.append(np.rint(mixed).astype(np.int16))
    except (library.SoundFileError, RuntimeError, ValueError, TypeError, OSError) as error:
        reason = str(getattr(error, "error_string", "") or error).splitlines()
        raise AudioFileError(f"its {kind} cannot be read: {reason[0] if reason else ''!a}") from None
    if not blocks:
        raise AudioFileError("there is no audio in it")
    return Audio(np.concatenate(blocks)[None, :], rate)
