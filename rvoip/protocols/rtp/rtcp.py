"""RTCP packets (RFC 3550 section 6): values, and compound packets read and written.

A datagram holds several; `parse_compound` reads them all or raises `RTPError`. Extended reports (RFC 3611)
are in `rtcp_xr`; kinds of packets that nothing here knows, as feedback (RFC 4585), are kept as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from rvoip.protocols.rtp.errors import RTPBuildError, RTPError
from rvoip.protocols.rtp.packet import LARGEST_PACKET
from rvoip.protocols.rtp.rtcp_xr import ExtendedReport

__all__ = [
    "Application",
    "CNAME",
    "ControlPacket",
    "Goodbye",
    "MOST_PACKETS",
    "OtherPacket",
    "ReceiverReport",
    "ReportBlock",
    "SenderReport",
    "SourceChunk",
    "SourceDescription",
    "build_compound",
    "parse_compound",
]

MOST_PACKETS: Final = 64
"""Packets of one datagram that are read; one with more is refused."""

CNAME: Final = 1
"""The item of a source description that each source has (RFC 3550 section 6.5.1)."""

_SR, _RR, _SDES, _BYE, _APP, _XR = 200, 201, 202, 203, 204, 207
_HEAD: Final = struct.Struct("!BBH")
_SENDER: Final = struct.Struct("!IQIII")
_BLOCK: Final = struct.Struct("!IIIIII")


class ReportBlock(Struct, frozen=True, gc=False):
    """What is heard of one source (RFC 3550 section 6.4.1).

    `fraction_lost` in 1/256 since the report before; `cumulative_lost` may be negative (duplicates);
    `jitter` in units of the timestamp; `last_sr` the middle 32 bits of the time in the last sender report,
    0 where none came; `delay` since that report in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int = 0
    cumulative_lost: int = 0
    highest_sequence: int = 0
    jitter: int = 0
    last_sr: int = 0
    delay: int = 0

    def _octets(self) -> bytes:
        if not 0 <= self.fraction_lost <= 255 or not -0x800000 <= self.cumulative_lost <= 0x7FFFFF:
            raise RTPBuildError("a loss does not fit its field")
        lost = self.fraction_lost << 24 | self.cumulative_lost & 0xFFFFFF
        return _BLOCK.pack(self.ssrc, lost, self.highest_sequence, self.jitter, self.last_sr, self.delay)


class SenderReport(Struct, frozen=True, gc=False):
    """SR: what a source has sent, and what it hears.

    `ntp` is the wall time in 1/2**32 s since 1900 and `rtp_timestamp` the same moment on the stream's clock;
    `packets` and `octets` (of payload) count since the start and wrap. `extension` is the profile's own.
    """

    ssrc: int
    ntp: int
    rtp_timestamp: int
    packets: int
    octets: int
    reports: tuple[ReportBlock, ...] = ()
    extension: bytes = b""


class ReceiverReport(Struct, frozen=True, gc=False):
    """RR: what one that sends nothing hears."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()
    extension: bytes = b""


class SourceChunk(Struct, frozen=True, gc=False):
    """One source of a source description: (item type 1-255, at most 255 octets of UTF-8)."""

    ssrc: int
    items: tuple[tuple[int, bytes], ...] = ()

    @property
    def cname(self) -> bytes | None:
        """The canonical name as written, None where there is none."""
        return next((value for kind, value in self.items if kind == CNAME), None)


class SourceDescription(Struct, frozen=True, gc=False):
    """SDES."""

    chunks: tuple[SourceChunk, ...] = ()


class Goodbye(Struct, frozen=True, gc=False):
    """BYE; `reason` is at most 255 octets of UTF-8, None where none is given."""

    ssrcs: tuple[int, ...] = ()
    reason: bytes | None = None


class Application(Struct, frozen=True, gc=False):
    """APP: `name` is four octets of ASCII, `subtype` 0-31, `data` whole words."""

    ssrc: int
    name: bytes
    subtype: int = 0
    data: bytes = b""


class OtherPacket(Struct, frozen=True, gc=False):
    """A packet of a type that is not read here: `count` is its 5 bits, `data` all after the first word."""

    packet_type: int
    count: int = 0
    data: bytes = b""


ControlPacket = (
    SenderReport | ReceiverReport | SourceDescription | Goodbye | Application | ExtendedReport | OtherPacket
)


def parse_compound(datagram: bytes, *, reduced: bool = False) -> tuple[ControlPacket, ...]:
    """Read a datagram of RTCP. Raises RTPError, and nothing else.

    The checks are those of RFC 3550 appendix A.2: each packet is of version 2, the first is SR or RR, only
    the last is padded, and lengths add up. `reduced` lets any packet come first (RFC 5506).
    """
    packets: list[ControlPacket] = []
    place, end = 0, len(datagram)
    if not 4 <= end <= LARGEST_PACKET:
        raise RTPError("too short or too long for RTCP")
    while place < end:
        if len(packets) == MOST_PACKETS:
            raise RTPError("too many packets in one datagram")
        if end - place < 4:
            raise RTPError("octets are left behind the last packet")
        first, kind, words = _HEAD.unpack_from(datagram, place)
        after = place + 4 + 4 * words
        if first >> 6 != 2:
            raise RTPError("not RTCP of version 2")
        if after > end:
            raise RTPError("a packet is cut off")
        if not packets and not reduced and kind not in (_SR, _RR):
            raise RTPError("a compound packet begins with a report")
        body = datagram[place + 4 : after]
        if first & 0x20:
            padding = body[-1] if body else 0
            if after != end or padding == 0 or padding % 4 or padding > len(body):
                raise RTPError("wrong padding")
            body = body[:-padding]
        packets.append(_parse(kind, first & 31, body))
        place = after
    return tuple(packets)


def _parse(kind: int, count: int, body: bytes) -> ControlPacket:
    try:
        if kind == _SR:
            reports = _blocks(body, 24, count)
            ssrc, ntp, timestamp, sent, octets = _SENDER.unpack_from(body)
            return SenderReport(ssrc, ntp, timestamp, sent, octets, reports, body[24 + 24 * count :])
        if kind == _RR:
            (ssrc,) = struct.unpack_from("!I", body)
            return ReceiverReport(ssrc, _blocks(body, 4, count), body[4 + 24 * count :])
        if kind == _SDES:
            return SourceDescription(_chunks(body, count))
        if kind == _BYE:
            return _goodbye(body, count)
        if kind == _APP:
            (ssrc,) = struct.unpack_from("!I", body)
            if len(body) < 8:
                raise RTPError("a packet is shorter than its fields")
            return Application(ssrc, body[4:8], count, body[8:])
        if kind == _XR:
            return ExtendedReport.parse(body)
    except struct.error:
        raise RTPError("a packet is shorter than its fields") from None
    return OtherPacket(kind, count, body)


def _blocks(body: bytes, place: int, count: int) -> tuple[ReportBlock, ...]:
    if place + 24 * count > len(body):
        raise RTPError("report blocks are cut off")
    found = []
    for at in range(place, place + 24 * count, 24):
        ssrc, lost, highest, jitter, last, delay = _BLOCK.unpack_from(body, at)
        total = lost & 0xFFFFFF
        total -= (total & 0x800000) << 1
        found.append(ReportBlock(ssrc, lost >> 24, total, highest, jitter, last, delay))
    return tuple(found)


def _chunks(body: bytes, count: int) -> tuple[SourceChunk, ...]:
    chunks, place = [], 0
    for _ in range(count):
        (ssrc,) = struct.unpack_from("!I", body, place)
        place += 4
        items = []
        while True:
            if place >= len(body):
                raise RTPError("a source description does not end")
            kind = body[place]
            if kind == 0:  # up to the next word
                place += 4 - place % 4
                break
            if place + 2 > len(body) or place + 2 + body[place + 1] > len(body):
                raise RTPError("an item of a source description is cut off")
            after = place + 2 + body[place + 1]
            items.append((kind, body[place + 2 : after]))
            place = after
        chunks.append(SourceChunk(ssrc, tuple(items)))
    return tuple(chunks)


def _goodbye(body: bytes, count: int) -> Goodbye:
    ssrcs = struct.unpack_from(f"!{count}I", body)
    reason, rest = None, body[4 * count :]
    if rest:
        if 1 + rest[0] > len(rest):
            raise RTPError("the reason of a BYE is cut off")
        reason = rest[1 : 1 + rest[0]]
    return Goodbye(ssrcs, reason)


def build_compound(packets: Iterable[ControlPacket], *, reduced: bool = False) -> bytes:
    """Write packets into one datagram. Raises RTPBuildError where a field does not fit or the first is no
    report.

    `reduced` permits any first packet, where the peer has agreed to it (RFC 5506, `a=rtcp-rsize`).
    """
    listed = list(packets)
    if not listed or not (reduced or isinstance(listed[0], SenderReport | ReceiverReport)):
        raise RTPBuildError("a compound packet begins with a report")
    if len(listed) > MOST_PACKETS:
        raise RTPBuildError("too many packets for one datagram")
    try:
        datagram = b"".join(map(_octets, listed))
    except struct.error:
        raise RTPBuildError("a number does not fit its field") from None
    if len(datagram) > LARGEST_PACKET:
        raise RTPBuildError("longer than a datagram can be")
    return datagram


def _octets(packet: ControlPacket) -> bytes:
    count = 0
    if isinstance(packet, SenderReport):
        kind, count = _SR, len(packet.reports)
        body = _SENDER.pack(
            packet.ssrc,
            packet.ntp,
            packet.rtp_timestamp,
            packet.packets & 0xFFFFFFFF,
            packet.octets & 0xFFFFFFFF,
        )
        body += b"".join(block._octets() for block in packet.reports) + packet.extension
    elif isinstance(packet, ReceiverReport):
        kind, count = _RR, len(packet.reports)
        body = struct.pack("!I", packet.ssrc)
        body += b"".join(block._octets() for block in packet.reports) + packet.extension
    elif isinstance(packet, SourceDescription):
        kind, count = _SDES, len(packet.chunks)
        body = b"".join(map(_chunk_octets, packet.chunks))
    elif isinstance(packet, Goodbye):
        kind, count = _BYE, len(packet.ssrcs)
        body = struct.pack(f"!{len(packet.ssrcs)}I", *packet.ssrcs)
        if packet.reason is not None:
            text = struct.pack("!B", len(packet.reason)) + packet.reason
            body += text + bytes(-len(text) % 4)
    elif isinstance(packet, Application):
        kind, count = _APP, packet.subtype
        if len(packet.name) != 4:
            raise RTPBuildError("the name of an APP is four octets")
        body = struct.pack("!I", packet.ssrc) + packet.name + packet.data
    elif isinstance(packet, ExtendedReport):
        kind, body = _XR, packet.to_bytes()
    else:
        kind, count, body = packet.packet_type, packet.count, packet.data
    if not 0 <= count <= 31:
        raise RTPBuildError("a packet counts at most 31 blocks")
    if len(body) % 4:
        raise RTPBuildError("a packet is whole words of 32 bits")
    return _HEAD.pack(0x80 | count, kind, len(body) // 4) + body


def _chunk_octets(chunk: SourceChunk) -> bytes:
    text = b""
    for kind, value in chunk.items:
        if kind == 0:
            raise RTPBuildError("item type 0 ends a source description")
        text += struct.pack("!BB", kind, len(value)) + value
    return struct.pack("!I", chunk.ssrc) + text + bytes(4 - len(text) % 4)
