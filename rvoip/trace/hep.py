"""HEP version 3, the format in which captured messages go to a collector such as Homer: values.

A packet is "HEP3", its length, and chunks: vendor, type, length, content, all in network order
(github.com/sipcapture/HEP, draft 3 of 2017). Vendor 0 is the generic one.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

import attrs

__all__ = ["SIP", "TCP", "UDP", "HEPError", "HEPPacket", "build", "parse", "read_length"]

SIP: Final = 1
"""Protocol type of a SIP message."""

UDP: Final = 17
TCP: Final = 6
"""IP protocols; TLS and WebSocket are TCP to a collector."""

LONGEST: Final = 65_507
"""Octets of a packet that is built: as many as go into a datagram."""

_HEAD: Final = struct.Struct(">4sH")
_CHUNK: Final = struct.Struct(">HHH")
_MOST_CHUNKS: Final = 64

_FAMILY, _PROTOCOL, _SOURCE4, _DESTINATION4, _SOURCE6, _DESTINATION6 = 1, 2, 3, 4, 5, 6
_SOURCE_PORT, _DESTINATION_PORT, _SECONDS, _MICROSECONDS, _KIND, _AGENT = 7, 8, 9, 10, 11, 12
_KEY, _PAYLOAD, _CORRELATION = 14, 15, 17

_SIZES: Final = {
    _FAMILY: 1,
    _PROTOCOL: 1,
    _SOURCE4: 4,
    _DESTINATION4: 4,
    _SOURCE6: 16,
    _DESTINATION6: 16,
    _SOURCE_PORT: 2,
    _DESTINATION_PORT: 2,
    _SECONDS: 4,
    _MICROSECONDS: 4,
    _KIND: 1,
    _AGENT: 4,
}
"""Octets of the chunks that are numbers or addresses."""


class HEPError(Exception):
    """Octets that are no HEP3 packet; the only error that `parse` lets out."""


@attrs.frozen
class HEPPacket:
    """One captured message. Hosts are numeric; times are wall time, seconds since 1970."""

    at: float
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    protocol: int = UDP
    """The IP protocol that it went by."""
    kind: int = SIP
    """What the payload is."""
    agent: int = 0
    """Who captured it, a number that the operator gave."""
    key: bytes = b""
    """The password that the collector asks for."""
    correlation: str = ""
    """What joins this message to others, as a Call-ID does."""


def build(packet: HEPPacket) -> bytes:
    """The octets of a packet. A payload that does not fit is cut."""
    source, destination = _address(packet.source[0]), _address(packet.destination[0])
    if source.version != destination.version:
        # One of them was mapped, or could not be told: an unspecified address of the other's family.
        other = source if source.version == 6 else destination
        unknown = ipaddress.ip_address("::")
        source, destination = (source, unknown) if other is source else (unknown, destination)
    four = source.version == 4
    microseconds = round(packet.at * 1_000_000)
    chunks = [
        _number(_FAMILY, 2 if four else 10),
        _number(_PROTOCOL, packet.protocol),
        _chunk(_SOURCE4 if four else _SOURCE6, source.packed),
        _chunk(_DESTINATION4 if four else _DESTINATION6, destination.packed),
        _number(_SOURCE_PORT, packet.source[1]),
        _number(_DESTINATION_PORT, packet.destination[1]),
        _number(_SECONDS, microseconds // 1_000_000 & 0xFFFFFFFF),
        _number(_MICROSECONDS, microseconds % 1_000_000),
        _number(_KIND, packet.kind),
        _number(_AGENT, packet.agent & 0xFFFFFFFF),
    ]
    if packet.key:
        chunks.append(_chunk(_KEY, packet.key))
    if packet.correlation:
        chunks.append(_chunk(_CORRELATION, packet.correlation.encode("utf-8", "backslashreplace")[:256]))
    head = b"".join(chunks)
    room = LONGEST - _HEAD.size - len(head) - _CHUNK.size
    body = head + _chunk(_PAYLOAD, packet.payload[:room])
    return _HEAD.pack(b"HEP3", _HEAD.size + len(body)) + body


def parse(data: bytes) -> HEPPacket:
    """Read one whole packet; HEPError when it is none. Chunks that are not known are passed over."""
    if read_length(data) != len(data):
        raise HEPError("the length is not that of the packet")
    found: dict[int, bytes] = {}
    place, count = _HEAD.size, 0
    while place < len(data):
        count += 1
        if len(data) - place < _CHUNK.size or count > _MOST_CHUNKS:
            raise HEPError("a chunk is cut off, or there are too many")
        vendor, kind, length = _CHUNK.unpack_from(data, place)
        if not _CHUNK.size <= length <= len(data) - place:
            raise HEPError("the length of a chunk is wrong")
        content = data[place + _CHUNK.size : place + length]
        place += length
        if vendor == 0:
            if len(content) != _SIZES.get(kind, len(content)):
                raise HEPError(f"chunk {kind} has {len(content)} octets")
            found[kind] = content
    return _packet(found)


def read_length(data: bytes) -> int:
    """How many octets the packet has that begins here (six are enough); HEPError when none does."""
    if len(data) < _HEAD.size:
        raise HEPError("too short")
    magic, length = _HEAD.unpack_from(data)
    if magic != b"HEP3" or length < _HEAD.size:
        raise HEPError("no HEP3 packet")
    return int(length)


def _packet(found: dict[int, bytes]) -> HEPPacket:
    source = found.get(_SOURCE4) or found.get(_SOURCE6)
    destination = found.get(_DESTINATION4) or found.get(_DESTINATION6)
    payload = found.get(_PAYLOAD)
    if source is None or destination is None or payload is None:
        raise HEPError("an address or the payload is missing")

    def number(kind: int, otherwise: int = 0) -> int:
        return int.from_bytes(found[kind], "big") if kind in found else otherwise

    return HEPPacket(
        at=(1_000_000 * number(_SECONDS) + number(_MICROSECONDS)) / 1_000_000,
        source=(str(ipaddress.ip_address(source)), number(_SOURCE_PORT)),
        destination=(str(ipaddress.ip_address(destination)), number(_DESTINATION_PORT)),
        payload=payload,
        protocol=number(_PROTOCOL, UDP),
        kind=number(_KIND),
        agent=number(_AGENT),
        key=found.get(_KEY, b""),
        correlation=found.get(_CORRELATION, b"").decode("utf-8", "backslashreplace"),
    )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """A numeric host; what is none is "unspecified"."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return ipaddress.IPv4Address(0)


def _number(kind: int, value: int) -> bytes:
    return _chunk(kind, value.to_bytes(_SIZES[kind], "big"))


def _chunk(kind: int, content: bytes) -> bytes:
    return _CHUNK.pack(0, kind, _CHUNK.size + len(content)) + content
