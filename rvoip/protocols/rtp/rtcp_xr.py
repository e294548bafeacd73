"""Extended reports (RTCP XR, RFC 3611): receiver reference time, DLRR and VoIP metrics.

Blocks of other types are kept as they are.
"""

from __future__ import annotations

import struct
from typing import Final

from msgspec import Struct

from rvoip.protocols.rtp.errors import RTPBuildError, RTPError

__all__ = [
    "Delay",
    "ExtendedReport",
    "LastReceiverReports",
    "OtherBlock",
    "ReferenceTime",
    "UNAVAILABLE",
    "VoIPMetrics",
]

UNAVAILABLE: Final = 127
"""Levels, R factors and MOS that are not known (RFC 3611 section 4.7)."""

_REFERENCE, _DLRR, _VOIP = 4, 5, 7
_HEAD: Final = struct.Struct("!BBH")
_DELAY: Final = struct.Struct("!III")
_METRICS: Final = struct.Struct("!IBBBBHHHHbbBBBBBBBBHHH")


class ReferenceTime(Struct, frozen=True, gc=False):
    """The time at one that only receives, in 1/2**32 s since 1900 (section 4.4)."""

    ntp: int


class Delay(Struct, frozen=True, gc=False):
    """When one receiver's reference time came (middle 32 bits), and how long ago, in 1/65536 s."""

    ssrc: int
    last_rr: int
    delay: int


class LastReceiverReports(Struct, frozen=True, gc=False):
    """The answer to reference times (DLRR, section 4.5), with which a receiver measures its round trip."""

    delays: tuple[Delay, ...] = ()


class VoIPMetrics(Struct, frozen=True, gc=False):
    """VoIP metrics of one source (section 4.7), as they stand in the block.

    Rates and densities in 1/256; durations and delays in ms; levels in dBm, `rerl` in dB; `r_factor` and
    `external_r_factor` 0-100, MOS times 10 (10-50); 127 is "not known". `rx_config` is a bit field.
    """

    ssrc: int
    loss_rate: int = 0
    discard_rate: int = 0
    burst_density: int = 0
    gap_density: int = 0
    burst_duration: int = 0
    gap_duration: int = 0
    round_trip_delay: int = 0
    end_system_delay: int = 0
    signal_level: int = UNAVAILABLE
    noise_level: int = UNAVAILABLE
    rerl: int = UNAVAILABLE
    gap_minimum: int = 16
    r_factor: int = UNAVAILABLE
    external_r_factor: int = UNAVAILABLE
    mos_lq: int = UNAVAILABLE
    mos_cq: int = UNAVAILABLE
    rx_config: int = 0
    jb_nominal: int = 0
    jb_maximum: int = 0
    jb_absolute_maximum: int = 0


class OtherBlock(Struct, frozen=True, gc=False):
    """A block of a type that is not read here; `data` is whole words."""

    block_type: int
    specific: int = 0
    data: bytes = b""


Block = ReferenceTime | LastReceiverReports | VoIPMetrics | OtherBlock


class ExtendedReport(Struct, frozen=True, gc=False):
    """XR: blocks of one that reports."""

    ssrc: int
    blocks: tuple[Block, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> ExtendedReport:
        """Read what follows the first word of the packet. Raises RTPError."""
        if len(body) < 4:
            raise RTPError("an extended report names no source")
        place, end = 4, len(body)
        blocks = []
        while place < end:
            if place + 4 > end:
                raise RTPError("a block is cut off")
            kind, specific, words = _HEAD.unpack_from(body, place)
            after = place + 4 + 4 * words
            if after > end:
                raise RTPError("a block is cut off")
            blocks.append(_parse(kind, specific, body[place + 4 : after]))
            place = after
        return cls(int.from_bytes(body[:4], "big"), tuple(blocks))

    def to_bytes(self) -> bytes:
        """Write what follows the first word of the packet. Raises RTPBuildError."""
        try:
            return struct.pack("!I", self.ssrc) + b"".join(map(_octets, self.blocks))
        except struct.error:
            raise RTPBuildError("a number does not fit its field") from None


def _parse(kind: int, specific: int, data: bytes) -> Block:
    if kind == _REFERENCE and len(data) == 8:
        return ReferenceTime(int.from_bytes(data, "big"))
    if kind == _DLRR and len(data) % 12 == 0:
        return LastReceiverReports(tuple(Delay(*fields) for fields in _DELAY.iter_unpack(data)))
    if kind == _VOIP and len(data) == _METRICS.size:
        fields = _METRICS.unpack(data)
        return VoIPMetrics(*fields[:18], *fields[19:])  # an octet is reserved
    return OtherBlock(kind, specific, data)


def _octets(block: Block) -> bytes:
    specific = 0
    if isinstance(block, ReferenceTime):
        kind, data = _REFERENCE, struct.pack("!Q", block.ntp)
    elif isinstance(block, LastReceiverReports):
        kind = _DLRR
        data = b"".join(_DELAY.pack(delay.ssrc, delay.last_rr, delay.delay) for delay in block.delays)
    elif isinstance(block, VoIPMetrics):
        kind = _VOIP
        values = tuple(getattr(block, name) for name in block.__struct_fields__)
        data = _METRICS.pack(*values[:18], 0, *values[18:])
    else:
        kind, specific, data = block.block_type, block.specific, block.data
    if len(data) % 4:
        raise RTPBuildError("a block is whole words of 32 bits")
    return _HEAD.pack(kind, specific, len(data) // 4) + data
