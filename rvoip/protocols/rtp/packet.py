"""One RTP packet (RFC 3550 section 5.1) and its header extensions (RFC 8285).

For streams by themselves; the server reads and writes packets by the thousand, in `columns`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from rvoip.protocols.rtp.errors import RTPBuildError, RTPError

__all__ = ["HeaderExtension", "LARGEST_PACKET", "ONE_BYTE", "RTPPacket", "TWO_BYTE"]

LARGEST_PACKET: Final = 65_507
"""Octets that one UDP datagram over IPv4 can carry."""

ONE_BYTE: Final = 0xBEDE
"""Profile of extensions whose elements have a header of one octet (RFC 8285 section 4.2)."""

TWO_BYTE: Final = 0x1000
"""Profile of extensions with headers of two octets; its last four bits are free (RFC 8285 section 4.3)."""

_FIXED: Final = struct.Struct("!BBHII")
_EXTENSION: Final = struct.Struct("!HH")


class HeaderExtension(Struct, frozen=True, gc=False):
    """A header extension: its 16 bits "defined by profile", and whole words of octets."""

    profile: int
    data: bytes = b""

    @classmethod
    def of(cls, elements: Iterable[tuple[int, bytes]], *, two_byte: bool = False) -> HeaderExtension:
        """Write elements of (local identifier, octets) by RFC 8285.

        Identifiers are 1-14 and elements 1-16 octets long, or 1-255 and 0-255 with headers of two octets,
        which are taken when asked for or needed. Raises RTPBuildError.
        """
        listed = list(elements)
        for identifier, value in listed:
            if not 1 <= identifier <= 255 or len(value) > 255:
                raise RTPBuildError("an extension element has an identifier of 1-255 and at most 255 octets")
        two_byte = two_byte or any(i > 14 or not 1 <= len(value) <= 16 for i, value in listed)
        if two_byte:
            data = b"".join(bytes((i, len(value))) + value for i, value in listed)
        else:
            data = b"".join(bytes((i << 4 | len(value) - 1,)) + value for i, value in listed)
        return cls(TWO_BYTE if two_byte else ONE_BYTE, data + bytes(-len(data) % 4))

    def elements(self) -> tuple[tuple[int, bytes], ...]:
        """The elements, by RFC 8285; none where the profile is another's. Raises RTPError where one is
        cut.
        """
        if self.profile == ONE_BYTE:
            return tuple(self._one_byte())
        if self.profile & 0xFFF0 == TWO_BYTE:
            return tuple(self._two_byte())
        return ()

    def _one_byte(self) -> Iterator[tuple[int, bytes]]:
        data, place = self.data, 0
        while place < len(data):
            head = data[place]
            place += 1
            if head == 0:  # padding
                continue
            identifier, length = head >> 4, (head & 15) + 1
            if identifier in (0, 15):  # nothing after it counts (RFC 8285 section 4.2)
                return
            if place + length > len(data):
                raise RTPError("a header extension element is cut off")
            yield identifier, data[place : place + length]
            place += length

    def _two_byte(self) -> Iterator[tuple[int, bytes]]:
        data, place = self.data, 0
        while place < len(data):
            identifier = data[place]
            place += 1
            if identifier == 0:
                continue
            if place == len(data) or place + 1 + data[place] > len(data):
                raise RTPError("a header extension element is cut off")
            end = place + 1 + data[place]
            yield identifier, data[place + 1 : end]
            place = end


class RTPPacket(Struct, frozen=True, gc=False):
    """An RTP packet. `timestamp` counts in the clock of the payload type; `padding` in octets, its count
    included.
    """

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes = b""
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: HeaderExtension | None = None
    padding: int = 0

    @classmethod
    def parse(cls, datagram: bytes) -> RTPPacket:
        """Read a datagram. Raises RTPError, and nothing else."""
        if len(datagram) < 12:
            raise RTPError("shorter than the header of RTP")
        first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(datagram)
        if first >> 6 != 2:
            raise RTPError("not RTP of version 2")
        start, end = 12 + 4 * (first & 15), len(datagram)
        if start > end:
            raise RTPError("the list of contributing sources is cut off")
        csrcs = struct.unpack_from(f"!{first & 15}I", datagram, 12) if first & 15 else ()
        extension = None
        if first & 0x10:
            if start + 4 > end:
                raise RTPError("the header extension is cut off")
            profile, words = _EXTENSION.unpack_from(datagram, start)
            start += 4 + 4 * words
            if start > end:
                raise RTPError("the header extension is cut off")
            extension = HeaderExtension(profile, datagram[start - 4 * words : start])
        padding = 0
        if first & 0x20:
            padding = datagram[-1] if end > start else 0
            if not 1 <= padding <= end - start:
                raise RTPError("the padding is longer than what it pads")
        return cls(
            second & 0x7F,
            sequence,
            timestamp,
            ssrc,
            datagram[start : end - padding],
            second > 0x7F,
            csrcs,
            extension,
            padding,
        )

    def to_bytes(self) -> bytes:
        """Write the packet. Raises RTPBuildError where a field does not fit."""
        extension, padding = self.extension, self.padding
        if len(self.csrcs) > 15:
            raise RTPBuildError("a packet names at most 15 contributing sources")
        if not 0 <= padding <= 255 or not 0 <= self.payload_type <= 127:
            raise RTPBuildError("padding is 0-255 octets, a payload type 0-127")
        first = 0x80 | (0x20 if padding else 0) | (0 if extension is None else 0x10) | len(self.csrcs)
        second = self.payload_type | (0x80 if self.marker else 0)
        try:
            parts = [_FIXED.pack(first, second, self.sequence, self.timestamp, self.ssrc)]
            if self.csrcs:
                parts.append(struct.pack(f"!{len(self.csrcs)}I", *self.csrcs))
            if extension is not None:
                words, rest = divmod(len(extension.data), 4)
                if rest:
                    raise RTPBuildError("a header extension is whole words of 32 bits")
                parts += (_EXTENSION.pack(extension.profile, words), extension.data)
        except struct.error:
            raise RTPBuildError("a number does not fit its field") from None
        parts.append(self.payload)
        if padding:
            parts.append(bytes(padding - 1) + bytes((padding,)))
        datagram = b"".join(parts)
        if len(datagram) > LARGEST_PACKET:
            raise RTPBuildError("longer than a datagram can be")
        return datagram
