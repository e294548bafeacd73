"""UDP addresses as columns: one row of four words for each.

A row is the kernel's own `sockaddr` of Linux, filled with zeros to 32 octets and seen as four `uint64`: so
what the kernel writes is compared, looked up and handed back to it without being decoded. Equal addresses
are equal rows. An IPv4 address stands whole in word 0. A row of zeros is no address.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "IPV4",
    "IPV6",
    "WORDS",
    "families",
    "no_addresses",
    "pack_address",
    "pack_addresses",
    "ports_of",
    "same_address",
    "unpack_address",
]

WORDS: Final = 4
"""Words of a row."""

IPV4: Final = 2
"""The family of an IPv4 row: AF_INET."""

IPV6: Final = 10
"""The family of an IPv6 row: AF_INET6 of Linux."""

_INET: Final = struct.Struct("=H2s4s24x")
_INET6: Final = struct.Struct("=H2s4x16sI4x")


def no_addresses(count: int) -> NDArray[np.uint64]:
    """`count` rows that are no address, shape `(count, 4)`."""
    return np.zeros((count, WORDS), np.uint64)


def pack_address(host: str, port: int) -> NDArray[np.uint64]:
    """The row, shape `(4,)`, of a numeric host and a port; a zone of IPv6 is its number (`fe80::1%2`).

    Raises ValueError.
    """
    if not 0 <= port <= 0xFFFF:
        raise ValueError(f"{port} is no port")
    address = ipaddress.ip_address(host)
    number = port.to_bytes(2, "big")
    if isinstance(address, ipaddress.IPv4Address):
        row = _INET.pack(IPV4, number, address.packed)
    else:
        zone = address.scope_id or "0"
        if not (zone.isascii() and zone.isdigit() and len(zone) < 10):
            raise ValueError(f"{host}: a zone is a number here")
        row = _INET6.pack(IPV6, number, address.packed, int(zone))
    return np.frombuffer(row, np.uint64).copy()


def pack_addresses(addresses: Iterable[tuple[str, int]]) -> NDArray[np.uint64]:
    """Rows of many, shape `(n, 4)`. Raises ValueError."""
    rows = [pack_address(host, port) for host, port in addresses]
    return np.array(rows, np.uint64).reshape(-1, WORDS)


def unpack_address(row: NDArray[np.uint64]) -> tuple[str, int]:
    """(host, port) of one row. Raises ValueError where it is no address."""
    octets = row.tobytes()
    (family,) = struct.unpack_from("=H", octets)
    if len(octets) == 32 and family == IPV4:
        _, port, packed = _INET.unpack(octets)
        return str(ipaddress.IPv4Address(packed)), int.from_bytes(port, "big")
    if len(octets) == 32 and family == IPV6:
        _, port, packed, zone = _INET6.unpack(octets)
        host = str(ipaddress.IPv6Address(packed))
        return (f"{host}%{zone}" if zone else host), int.from_bytes(port, "big")
    raise ValueError("the row is no address")


def families(rows: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """The family of each row: IPV4, IPV6, or 0 for none."""
    return _pairs(rows)[:, 0]


def ports_of(rows: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """The port of each row."""
    return _pairs(rows)[:, 1].view(">u2").astype(np.uint16)


def same_address(some: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether the rows are equal, shape `(n,)`."""
    same: NDArray[Any] = some[:, 0] == others[:, 0]
    same &= some[:, 1] == others[:, 1]
    same &= some[:, 2] == others[:, 2]
    same &= some[:, 3] == others[:, 3]
    return same


def _pairs(rows: NDArray[np.uint64]) -> NDArray[np.uint16]:
    return np.ascontiguousarray(rows).view(np.uint16).reshape(-1, WORDS * 4)[:, :2]
