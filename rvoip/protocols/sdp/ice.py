"""ICE candidates (a=candidate, RFC 8839 section 5.1; TCP candidates, RFC 6544)."""

from __future__ import annotations

import ipaddress

from msgspec import Struct

from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.grammar import number, quote, words

__all__ = ["Candidate"]


class Candidate(Struct, frozen=True, gc=False):
    """One address at which a component of a stream may be reached.

    ``transport`` is as written ("UDP", "udp", "TCP"); ``kind`` is host, srflx, prflx or relay; ``address`` is
    an IP address or a name (mDNS); ``related_address`` and ``related_port`` are raddr and rport; what else
    follows is in ``extensions`` as (name, value).
    """

    foundation: str
    component: int
    transport: str
    priority: int
    address: str
    port: int
    kind: str
    related_address: str | None = None
    related_port: int | None = None
    tcp_type: str | None = None
    extensions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """Read "1 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 10.0.1.1 rport 8998"."""
        parts = words(text, "candidate")
        if len(parts) < 8 or len(parts) % 2 or parts[6] != "typ":
            raise SDPError(f"candidate is malformed: {quote(text)}")
        foundation, component, transport, priority, address, port, _, kind, *rest = parts
        if len(foundation) > 32:
            raise SDPError(f"candidate foundation is longer than 32 characters: {quote(foundation)}")
        related_address = related_port = tcp_type = None
        extensions = []
        for name, value in zip(rest[::2], rest[1::2], strict=True):
            if name == "raddr" and related_address is None:
                related_address = value
            elif name == "rport" and related_port is None:
                related_port = number(value, "candidate rport", 65535)
            elif name == "tcptype" and tcp_type is None:
                tcp_type = value
            else:
                extensions.append((name, value))
        return cls(
            foundation,
            number(component, "candidate component", 256, 1),
            transport,
            number(priority, "candidate priority", 2**31 - 1, 1),
            address,
            number(port, "candidate port", 65535),
            kind,
            related_address,
            related_port,
            tcp_type,
            tuple(extensions),
        )

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The address, or None when it is a name."""
        try:
            return ipaddress.ip_address(self.address)
        except ValueError:
            return None

    def __str__(self) -> str:
        parts = [
            f"{self.foundation} {self.component} {self.transport} {self.priority}"
            f" {self.address} {self.port} typ {self.kind}"
        ]
        if self.related_address is not None:
            parts.append(f"raddr {self.related_address}")
        if self.related_port is not None:
            parts.append(f"rport {self.related_port}")
        if self.tcp_type is not None:
            parts.append(f"tcptype {self.tcp_type}")
        parts += [f"{name} {value}" for name, value in self.extensions]
        return " ".join(parts)
