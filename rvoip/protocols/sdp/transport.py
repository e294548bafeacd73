"""Attributes of what carries a stream: rtcp (RFC 3605), setup and connection (RFC 4145), SCTP (RFC 8841)."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.grammar import number, quote
from rvoip.protocols.sdp.lines import Connection

__all__ = ["Rtcp", "SctpMap", "Setup"]


class Setup(Enum):
    """Who opens the TCP connection or starts DTLS (a=setup, RFC 4145 section 4, RFC 5763 section 5)."""

    ACTIVE = "active"
    PASSIVE = "passive"
    ACTPASS = "actpass"
    HOLDCONN = "holdconn"

    @classmethod
    def parse(cls, text: str) -> Setup:
        """Read "actpass"."""
        try:
            return cls(text.strip(" "))
        except ValueError:
            raise SDPError(f"setup is unknown: {quote(text)}") from None

    def __str__(self) -> str:
        return self.value


class Rtcp(Struct, frozen=True, gc=False):
    """The port of RTCP, and its address where that is another (a=rtcp, RFC 3605 section 2.1)."""

    port: int
    connection: Connection | None = None

    @classmethod
    def parse(cls, text: str) -> Rtcp:
        """Read "53020" or "53020 IN IP6 2001:db8::1"."""
        port, _, rest = text.strip(" ").partition(" ")
        return cls(number(port, "rtcp port", 65535), Connection.parse(rest) if rest else None)

    def __str__(self) -> str:
        return str(self.port) if self.connection is None else f"{self.port} {self.connection}"


class SctpMap(Struct, frozen=True, gc=False):
    """An association as browsers wrote it before RFC 8841 (a=sctpmap)."""

    port: int
    protocol: str
    streams: int | None = None

    @classmethod
    def parse(cls, text: str) -> SctpMap:
        """Read "5000 webrtc-datachannel 1024"."""
        parts = text.strip(" ").split(" ")
        if not 2 <= len(parts) <= 3 or not parts[1]:
            raise SDPError(f"sctpmap is malformed: {quote(text)}")
        streams = number(parts[2], "sctpmap streams", 65535) if len(parts) == 3 else None
        return cls(number(parts[0], "sctpmap port", 65535), parts[1], streams)

    def __str__(self) -> str:
        return f"{self.port} {self.protocol}" + ("" if self.streams is None else f" {self.streams}")
