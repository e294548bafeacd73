"""What can be seen of DTLS from outside: records, and hellos of clients (RFC 6347 section 4)."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["ALERT", "DATA", "HANDSHAKE", "Record", "client_random", "pack", "records"]

ALERT: Final = 21
HANDSHAKE: Final = 22
DATA: Final = 23
_CONTENT: Final = frozenset((20, ALERT, HANDSHAKE, DATA))
_HEADER: Final = 13
_CLIENT_HELLO: Final = 1
_RANDOM_AT: Final = _HEADER + 12 + 2
MAX_RECORDS: Final = 32


class Record(NamedTuple):
    """One record of a datagram, header included."""

    content: int
    epoch: int
    octets: bytes


def records(datagram: bytes) -> list[Record]:
    """The records that a datagram consists of; none where it does not wholly consist of records."""
    found: list[Record] = []
    at = 0
    while at < len(datagram):
        header = datagram[at : at + _HEADER]
        end = at + _HEADER + int.from_bytes(header[11:13], "big")
        if len(header) < _HEADER or header[0] not in _CONTENT or header[1] != 0xFE or end > len(datagram):
            return []
        if len(found) >= MAX_RECORDS:
            return []
        found.append(Record(header[0], int.from_bytes(header[3:5], "big"), datagram[at:end]))
        at = end
    return found


def client_random(record: Record) -> bytes | None:
    """The random of a ClientHello, of which this is the first or only fragment; None for anything else."""
    octets = record.octets
    if record.content != HANDSHAKE or record.epoch or len(octets) < _RANDOM_AT + 32:
        return None
    if octets[_HEADER] != _CLIENT_HELLO or octets[_HEADER + 6 : _HEADER + 9] != b"\0\0\0":
        return None
    return octets[_RANDOM_AT : _RANDOM_AT + 32]


def pack(stream: bytes, mtu: int) -> list[bytes]:
    """Cut what OpenSSL wrote into datagrams of whole records, each of `mtu` octets at most.

    OpenSSL makes no record longer than the MTU that it was told.
    """
    datagrams = [b""]
    for record in _all(stream):
        if datagrams[-1] and len(datagrams[-1]) + len(record) > mtu:
            datagrams.append(b"")
        datagrams[-1] += record
    return [datagram for datagram in datagrams if datagram]


def _all(stream: bytes) -> list[bytes]:
    found = []
    while stream:
        end = _HEADER + int.from_bytes(stream[11:13], "big")
        found.append(stream[:end])
        stream = stream[end:]
    return found
