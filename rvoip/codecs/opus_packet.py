"""How much audio a packet of Opus holds, read from its first octets (RFC 6716 section 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rvoip.codecs.interfaces import Rows
from rvoip.codecs.payloads import inside

__all__ = ["MAX_UNITS", "UNITS_PER_SECOND", "packet_units", "units"]

UNITS_PER_SECOND = 400
"""Durations are in units of 2.5 ms, the shortest frame."""

MAX_UNITS = 48
"""A packet holds 120 ms at most (requirement R5)."""

MAX_FRAME = 1275
"""Octets of a frame at most (requirement R2)."""

# Table 2: ten configurations of SILK and hybrid frames of 10 to 60 ms, then CELT of 2.5 to 20 ms.
_CONFIGURATIONS = (4, 8, 16, 24) * 3 + (4, 8) * 2 + (1, 2, 4, 8) * 4
FRAME_UNITS = np.repeat(np.array(_CONFIGURATIONS, np.int32), 8)
"""Units of a frame by the whole first octet, whose upper five bits are the configuration."""


def units(payload: bytes) -> int:
    """Units that one packet holds, 0 if it is none; the same as `packet_units`, and quicker for one."""
    if not payload:
        return 0
    code, body = payload[0] & 3, len(payload) - 1
    if code == 3:
        frames = payload[1] & 63 if body else 0
    else:
        frames = 2 if code else 1
        if (
            body > MAX_FRAME * frames + 2 * (code == 2)
            or (code == 1 and body % 2)
            or (code == 2 and not body)
        ):
            return 0
    held = frames * _CONFIGURATIONS[payload[0] >> 3]
    return held if held <= MAX_UNITS else 0


def packet_units(packets: NDArray[np.uint8], starts: Rows, lengths: Rows) -> NDArray[np.int32]:
    """Units of 2.5 ms that one packet a row holds; 0 where the first octets and the length make none.

    That is: no octet, no count of frames where there should be one, a count of 0 or of more than 120 ms, a
    frame of more than 1275 octets, two frames of one length in an odd number of octets (R1 to R3 and R5). The
    lengths of frames inside are left to the decoder, which checks them all.
    """
    usable = inside(packets, starts, lengths)
    if not usable.any():
        return np.zeros(len(packets), np.int32)
    row = np.arange(len(packets))
    first = packets[row, np.where(usable, starts, 0)]
    has_second = usable & (lengths >= 2)
    second = np.where(has_second, packets[row, np.where(has_second, starts + 1, 0)], 0)
    code = first & 3
    frames = np.where(code == 3, second & 63, np.where(code == 0, 1, 2)).astype(np.int32)
    # Of a packet with a count of frames only the sum is bounded here: padding may be of any length.
    body = lengths - 1
    usable &= (code == 3) | (body <= MAX_FRAME * frames + 2 * (code == 2))
    usable &= (code != 1) | (body % 2 == 0)
    usable &= (code != 2) | (body > 0)
    held = frames * FRAME_UNITS[first]
    found: NDArray[np.int32] = np.where(usable & (held <= MAX_UNITS), held, 0)
    return found
