"""Numeric addresses: what we listen on, what may be sent to, whose they are."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from rvoip.protocols.sip.grammar import format_host_port

__all__ = [
    "DEFAULT_PORTS",
    "ListenAddress",
    "Network",
    "canonical_host",
    "default_port",
    "is_loopback",
    "is_wildcard",
    "parse_listen",
    "parse_networks",
    "source_key",
    "unusable",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061, "WS": 80, "WSS": 443}
"""Default port of each transport (RFC 3261 section 19.1.2, RFC 7118 section 8.1)."""

_PORT = re.compile(r"[0-9]{1,5}\Z")
_DIGITS = frozenset("0123456789")
_WILDCARDS = frozenset(("0.0.0.0", "::"))


def default_port(transport: str) -> int:
    """The port of a transport where none is written."""
    return DEFAULT_PORTS.get(transport, 5060)


class ListenAddress(NamedTuple):
    """An address to listen on: transport in upper case, numeric host (IPv6 without brackets), port or 0."""

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport.lower()}:{format_host_port(self.host, self.port)}"


def parse_listen(text: str) -> ListenAddress:
    """Read ``transport:host:port``, as in ``udp:127.0.0.1:5060`` or ``tls:[::1]:5061``.

    Port 0 is any free one. Raises ValueError whose text says what is wrong.
    """
    transport, colon, rest = text.partition(":")
    lowered = transport.lower()
    if not colon or lowered.upper() not in DEFAULT_PORTS:
        raise ValueError(
            f"{text!r} is no listening address: it must be udp:, tcp:, tls:, ws: or wss:, then host:port"
        )
    host, colon, port = rest.rpartition(":")
    if not colon or not host or (host.startswith("[") != host.endswith("]")):
        raise ValueError(
            f"{text!r} has no port: it must be {lowered}:host:port, with [ ] around an IPv6 host"
        )
    if not _PORT.match(port) or int(port) > 65535:
        raise ValueError(f"{text!r}: the port must be a number from 0 to 65535")
    bracketed = host.startswith("[")
    numeric = canonical_host(host[1:-1] if bracketed else host)
    if numeric is None:
        raise ValueError(f"{text!r}: {host!r} is not an IP address")
    if bracketed != (":" in numeric):
        raise ValueError(f"{text!r}: [ ] must stand around an IPv6 host, and only there")
    return ListenAddress(lowered.upper(), numeric, int(port))


def canonical_host(text: str) -> str | None:
    """The one spelling of a numeric address (IPv6 without brackets, with its scope); None when it is none."""
    if ":" in text:
        address, percent, scope = text.partition("%")
        try:
            return ipaddress.IPv6Address(address).compressed + percent + scope
        except ValueError:
            return None
    if text[-1:] not in _DIGITS:
        return None  # most names: an exception would cost ten times as much
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        return None


def is_wildcard(host: str) -> bool:
    """Whether this is "any address" of IPv4 or IPv6."""
    return host in _WILDCARDS


def is_loopback(host: str) -> bool:
    """Whether this canonical address never leaves the machine."""
    return host.startswith("127.") or host == "::1"


def unusable(host: str, port: int) -> str | None:
    """Why nothing may be sent to this address, which a peer may have chosen; None when it may.

    A name, the unspecified address, multicast and broadcast are refused, also when an IPv4 address hides in
    an IPv6 one.
    """
    if not 0 < port < 65536:
        return f"{port} is not a port to send to"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"{host!r} is not a numeric address"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return f"{host} is an IPv4 address in IPv6 form"
    if address.is_unspecified or address.is_multicast or host == "255.255.255.255":
        return f"{host} is not the address of one host"
    if isinstance(address, ipaddress.IPv4Address) and address.packed[0] == 0:
        return f"{host} is not the address of one host"
    return None


def source_key(host: str) -> str:
    """What stands for one source: an IPv4 address itself, an IPv6 address by its /64, which one user owns."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    return ipaddress.IPv6Address(int(address) >> 64 << 64).compressed + "/64"


def parse_networks(texts: list[str] | tuple[str, ...]) -> tuple[Network, ...]:
    """Read addresses and networks ("10.0.0.0/8", "2001:db8::1"); ValueError names the one that is none."""
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise ValueError(f"{text!r} is not an IP address or network") from None
    return tuple(networks)
