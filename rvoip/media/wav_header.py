"""The header of a WAV file that is being written: right at every moment, so that nothing can end too early.

It never claims more than the file holds. Audio is appended first and the header counts it afterwards; whoever
dies in between leaves a whole file that counts a little less than there is, and `repaired` counts the rest.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from rvoip.media.errors import RecordingError

__all__ = ["MAX_DATA", "WavHeader", "repaired"]

MAX_DATA = 2**32 - 1 - 64
"""Octets of audio that a header of 32 bits can count."""
_TAGS = {"s16": (1, 2), "ulaw": (7, 1), "alaw": (6, 1)}
_ENCODINGS = {tag: name for name, (tag, _) in _TAGS.items()}


class WavHeader(NamedTuple):
    """What is in a file: the encoding ("s16", "ulaw", "alaw"), the rate in Hz and the channels."""

    encoding: str
    rate: int
    channels: int

    @property
    def frame(self) -> int:
        """Octets of one sample of every channel."""
        return _TAGS[self.encoding][1] * self.channels

    @property
    def size(self) -> int:
        """Octets of the header."""
        return 44 if self.encoding == "s16" else 58

    def write(self, data: int, pad: int = 0) -> bytes:
        """The header of a file with `data` octets of audio, and `pad` (0 or 1) that make them even."""
        tag, width = _TAGS[self.encoding]
        format = struct.pack(
            "<HHIIHH", tag, self.channels, self.rate, self.rate * self.frame, self.frame, 8 * width
        )
        if tag == 1:
            chunks = struct.pack("<4sI", b"fmt ", 16) + format
        else:
            # What is not PCM has the size of an extension, and counts its samples (a fact chunk).
            chunks = struct.pack("<4sI", b"fmt ", 18) + format + b"\0\0"
            chunks += struct.pack("<4sII", b"fact", 4, data // self.frame)
        chunks += struct.pack("<4sI", b"data", data)
        return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks) + data + pad, b"WAVE") + chunks

    @classmethod
    def read(cls, octets: bytes) -> WavHeader:
        """Read a header that `write` has written, whatever it counts; raises RecordingError for any other."""
        try:
            tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", octets, 20)
            header = cls(_ENCODINGS[tag], rate, channels)
            counted = struct.unpack_from("<I", octets, header.size - 4)[0]
            # A file that was closed says that the last octet is a filler.
            if header.write(counted)[8:] == octets[8 : header.size] and 1 <= channels <= 2 and bits:
                return header
        except (struct.error, KeyError):
            pass
        raise RecordingError("it has no header of a recording")


def repaired(octets: bytes, length: int) -> tuple[WavHeader, int, bytes]:
    """What a file of `length` octets that begins with `octets` is, and should begin with.

    Returns its header, the octets of audio that it holds (whole samples only) and the header that counts
    them. Raises RecordingError for a file that is no recording of ours.
    """
    header = WavHeader.read(octets)
    data = min(length - header.size, MAX_DATA)
    if data < 0:
        raise RecordingError("it has no header of a recording")
    counted = struct.unpack_from("<I", octets, header.size - 4)[0]
    if data - counted == 1 and octets[4:8] == header.write(counted, 1)[4:8]:
        return header, counted, octets[: header.size]
    data -= data % header.frame
    return header, data, header.write(data, data % 2 if length - header.size > data else 0)
