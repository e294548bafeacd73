"""Many packets at once: RTP headers as columns, and what kind of packet each datagram is.

Datagrams stand in one array `buffer` of `uint8`, shape `(count, slot)`, with their `lengths`. No Python
statement runs per packet, and nothing is raised for what a peer sent: a row that is malformed is masked.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "DTLS",
    "HEADER",
    "Headers",
    "RTCP",
    "RTP",
    "STUN",
    "UNKNOWN",
    "kind_of",
    "kinds",
    "read_headers",
    "write_headers",
]

HEADER: Final = 12
"""Octets of a header without contributing sources and extension: all that `write_headers` writes."""

UNKNOWN: Final = 0
STUN: Final = 1
DTLS: Final = 2
RTP: Final = 3
RTCP: Final = 4

_LEAST: Final = np.array([0, 20, 13, 12, 4], np.int64)
"""The shortest datagram of each kind."""


def _first_octets() -> NDArray[np.uint8]:
    """Kind by first octet (RFC 7983 section 7); ZRTP and TURN channels are unknown here."""
    table = np.zeros(256, np.uint8)
    table[0:4] = STUN
    table[20:64] = DTLS
    table[128:192] = RTP
    return table


_BY_FIRST: Final = _first_octets()


class Headers(NamedTuple):
    """The headers of `n` datagrams, each column of shape `(n,)`; where `valid` is false, the row means
    nothing.

    A payload is octets `payload_offset` to `payload_offset + payload_length` of its row; padding is left
    out. So is the extension: its data without its first four octets, length 0 and profile 0 where there is
    none.
    """

    payload_type: NDArray[np.uint8]
    marker: NDArray[np.bool_]
    sequence: NDArray[np.uint16]
    timestamp: NDArray[np.uint32]
    ssrc: NDArray[np.uint32]
    payload_offset: NDArray[np.int64]
    payload_length: NDArray[np.int64]
    extension_profile: NDArray[np.uint16]
    extension_offset: NDArray[np.int64]
    extension_length: NDArray[np.int64]
    valid: NDArray[np.bool_]

    def take(self, which: NDArray[Any]) -> Headers:
        """The rows of a mask or of indices."""
        return Headers(*(column[which] for column in self))


def kinds(
    buffer: NDArray[np.uint8], lengths: NDArray[Any], *, rtcp_mux: ArrayLike = True
) -> NDArray[np.uint8]:
    """What each datagram is: UNKNOWN, STUN, DTLS, RTP or RTCP (RFC 7983).

    On a port that carries both (`rtcp_mux`, one truth or one a row), packet types 192-223 are RTCP (RFC 5761
    section 4); on others all is RTP.
    """
    count, slot = buffer.shape
    if count == 0 or slot < 2:
        return np.zeros(count, np.uint8)
    kind = _BY_FIRST[buffer[:, 0]]
    control = (kind == RTP) & ((buffer[:, 1] - np.uint8(192)) < 32) & np.asarray(rtcp_mux, bool)
    kind[control] = RTCP
    kind[(lengths < _LEAST[kind]) | (lengths > slot)] = UNKNOWN
    return kind


def kind_of(datagram: bytes, *, rtcp_mux: bool = True) -> int:
    """The same for one datagram."""
    if len(datagram) < 4:
        return UNKNOWN
    kind = int(_BY_FIRST[datagram[0]])
    if kind == RTP and rtcp_mux and 192 <= datagram[1] < 224:
        kind = RTCP
    return kind if len(datagram) >= _LEAST[kind] else UNKNOWN


def read_headers(buffer: NDArray[np.uint8], lengths: NDArray[Any]) -> Headers:
    """Read the RTP header of each row (RFC 3550 section 5.1).

    A row is valid where it is of version 2 and sources, extension and padding lie within its length.
    """
    count, slot = buffer.shape
    length = np.asarray(lengths, np.int64)
    if slot < HEADER:
        buffer = np.zeros((count, HEADER), np.uint8)
        slot, length = HEADER, np.zeros(count, np.int64)
    head = np.ascontiguousarray(buffer[:, :HEADER])
    first, second = head[:, 0], head[:, 1]
    words = head.view(">u4")
    valid = (length >= HEADER) & (length <= slot) & (first >> 6 == 2)
    start = HEADER + ((first & 15).astype(np.int64) << 2)
    profile = np.zeros(count, np.uint16)
    extension_offset = start.copy()
    extension_length = np.zeros(count, np.int64)
    valid &= start <= length
    extended = np.flatnonzero(valid & (first & 0x10 != 0) & (start + 4 <= length))
    valid &= (first & 0x10 == 0) | (start + 4 <= length)
    if extended.size:
        at = start[extended]
        profile[extended] = _pair(buffer, extended, at)
        extension_offset[extended] = at + 4
        extension_length[extended] = _pair(buffer, extended, at + 2).astype(np.int64) << 2
        start = extension_offset + extension_length
        valid &= start <= length
    end = length.copy()
    padded = np.flatnonzero(valid & (first & 0x20 != 0))
    if padded.size:
        padding = buffer[padded, length[padded] - 1].astype(np.int64)
        end[padded] -= padding
        valid[padded] &= (padding > 0) & (end[padded] >= start[padded])
    return Headers(
        (second & 0x7F).astype(np.uint8),
        second > 0x7F,
        head[:, 2:4].copy().view(">u2")[:, 0].astype(np.uint16),
        words[:, 1].astype(np.uint32),
        words[:, 2].astype(np.uint32),
        start,
        np.maximum(end - start, 0),
        profile,
        extension_offset,
        extension_length,
        valid,
    )


def _pair(buffer: NDArray[np.uint8], rows: NDArray[Any], at: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Two octets in network order, at a place of its own in each row."""
    high = buffer[rows, at].astype(np.uint16)
    pair: NDArray[np.uint16] = (high << 8) | buffer[rows, at + 1]
    return pair


def write_headers(
    buffer: NDArray[np.uint8],
    payload_type: ArrayLike,
    sequence: ArrayLike,
    timestamp: ArrayLike,
    ssrc: ArrayLike,
    marker: ArrayLike = False,
) -> None:
    """Write a header of 12 octets into the beginning of each row of `buffer`, shape `(n, at least 12)`.

    Each field is one number, or one a row; numbers wrap to the size of their field. The payload follows at
    octet 12.
    """
    count = buffer.shape[0]
    head = np.empty((count, HEADER), np.uint8)
    head[:, 0] = 0x80
    head[:, 1] = (np.asarray(payload_type, np.int64) & 0x7F) | (np.asarray(marker, bool) * 0x80)
    head[:, 2:4] = _octets(sequence, count, ">u2")
    head[:, 4:8] = _octets(timestamp, count, ">u4")
    head[:, 8:12] = _octets(ssrc, count, ">u4")
    buffer[:, :HEADER] = head


def _octets(values: ArrayLike, count: int, form: str) -> NDArray[np.uint8]:
    """Numbers as octets in network order, shape `(count, size)`."""
    column = np.empty(count, form)
    column[:] = np.asarray(values, np.int64).astype(form)
    return column.view(np.uint8).reshape(count, column.itemsize)
