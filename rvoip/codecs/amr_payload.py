"""The RTP payload of AMR and AMR-WB: speech frames with a table of contents (RFC 4867 section 4).

A frame here is in the storage format (section 5.3): an octet of frame type and quality, then the speech bits
from the highest bit down. In a payload frames are padded to octets (octet-aligned), or not at all
(bandwidth-efficient); which of the two is signalled.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["MAX_FRAMES", "NARROW_BITS", "NO_DATA", "WIDE_BITS", "pack", "unpack"]

NARROW_BITS = (95, 103, 118, 134, 148, 159, 204, 244, 39, -1, -1, -1, -1, -1, -1, 0)
"""Speech bits by frame type of AMR: eight modes, description of silence, no data; -1 is none."""

WIDE_BITS = (132, 177, 253, 285, 317, 365, 397, 461, 477, 40, -1, -1, -1, -1, 0, 0)
"""The same of AMR-WB: nine modes, description of silence, speech lost, no data."""

NO_DATA = 15
NO_MODE = 15
"""The mode request of a side that has none."""

MAX_FRAMES = 12
"""240 ms in a packet, as others set it too; a table of contents without end is none."""

MAX_BYTES = 1 + MAX_FRAMES * (1 + (max(WIDE_BITS) + 7) // 8)


def pack(frames: Sequence[bytes], bits: Sequence[int], aligned: bool) -> bytes:
    """A payload of frames in the storage format, without a mode request."""
    last = len(frames) - 1
    if aligned:
        contents = bytes(frame[0] & 0x7C | (0x80 if i < last else 0) for i, frame in enumerate(frames))
        return bytes([NO_MODE << 4]) + contents + b"".join(frame[1:] for frame in frames)
    value, length = NO_MODE, 4
    for index, frame in enumerate(frames):
        value = value << 6 | (0x20 if index < last else 0) | frame[0] >> 2 & 0x1F
        length += 6
    for frame in frames:
        count = bits[frame[0] >> 3 & 15]
        value = value << count | int.from_bytes(frame[1:]) >> (8 * (len(frame) - 1) - count)
        length += count
    padding = -length % 8
    return (value << padding).to_bytes((length + padding) // 8)


def unpack(payload: bytes, bits: Sequence[int], aligned: bool) -> tuple[int, list[bytes]]:
    """The mode that a payload requests and its frames in the storage format; no frames if it is none.

    A frame that is marked as damaged is given as one without data. Octets after the last frame are padding.
    """
    if len(payload) > MAX_BYTES:
        return NO_MODE, []
    total = 8 * len(payload)
    value = int.from_bytes(payload)
    place = 8 if aligned else 4
    entry = 8 if aligned else 6
    types: list[tuple[int, bool]] = []
    more = total > place
    while more:
        place += entry
        if place > total or len(types) == MAX_FRAMES:
            return NO_MODE, []
        contents = value >> (total - place) >> (2 if aligned else 0) & 0x3F
        types.append((contents >> 1 & 15, bool(contents & 1)))
        more = bool(contents & 0x20)
    frames = []
    for kind, good in types:
        count = bits[kind]
        size = (count + 7) // 8
        step = 8 * size if aligned else count
        place += step
        if count < 0 or place > total:
            return NO_MODE, []
        speech = value >> (total - place) & ((1 << step) - 1)
        if good:
            frames.append(bytes([kind << 3 | 4]) + (speech << (8 * size - step)).to_bytes(size))
        else:
            frames.append(bytes([NO_DATA << 3 | 4]))
    return payload[0] >> 4 if frames else NO_MODE, frames
