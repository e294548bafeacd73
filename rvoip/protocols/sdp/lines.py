"""Values of the lines that are not attributes: o=, c=, b=, t= with r= and z= (RFC 8866 section 5).

Each has `parse(text)`, which takes what stands after the equals sign and raises `SDPError`, and `str()`, its
inverse.
"""

from __future__ import annotations

import ipaddress
import re

from msgspec import Struct

from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.grammar import number, quote, words

__all__ = ["UNBOUNDED", "Bandwidth", "Connection", "Origin", "Repeat", "Timing", "ZoneAdjustment", "seconds"]

_TYPED_TIME = re.compile(r"-?[0-9]{1,20}[dhms]?", re.ASCII)
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


class Origin(Struct, frozen=True, gc=False):
    """Who made a description, and which version of it this is (o=, RFC 8866 section 5.2).

    ``session_id`` is an identifier, kept as written; ``session_version`` is counted. A user name may hold
    spaces, and may be missing: both are seen, and both are written back as they came.
    """

    username: str
    session_id: str
    session_version: int
    network_type: str
    address_type: str
    address: str

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Read "- 2890844526 1 IN IP4 192.0.2.1"; all but the user name must be printable ASCII."""
        parts = text.rstrip(" ").rsplit(" ", 5)
        if len(parts) == 5:
            parts.insert(0, "")
        if len(parts) != 6:
            raise SDPError(f"o= has {len(parts)} fields instead of 6")
        username, session_id, version, network_type, address_type, address = parts
        if not username and not session_id.isdigit():
            raise SDPError(f"o= has no user name, or too few fields: {quote(text)}")
        rest = session_id + network_type + address_type + address
        if not (rest.isascii() and rest.isprintable() and session_id and network_type and address_type):
            raise SDPError(f"o= has an empty field or a character that is not printable ASCII: {quote(text)}")
        return cls(username, session_id, number(version, "o= version"), network_type, address_type, address)

    def __str__(self) -> str:
        front = f"{self.username} " if self.username else ""
        where = f"{self.network_type} {self.address_type} {self.address}"
        return f"{front}{self.session_id} {self.session_version} {where}"


class Connection(Struct, frozen=True, gc=False):
    """Where media is to be sent (c=, RFC 8866 section 5.7).

    ``ttl`` is the scope of an IPv4 multicast group, ``address_count`` the number of contiguous groups.
    ``address`` is an IP address, a host name, or what another network type (PSTN, RFC 7195) calls an address.
    """

    network_type: str
    address_type: str
    address: str
    ttl: int | None = None
    address_count: int | None = None

    @classmethod
    def parse(cls, text: str) -> Connection:
        """Read "IN IP4 224.2.1.1/127/3", "IN IP6 FF15::101/3" or "IN IP4 host.example.com"."""
        parts = words(text, "c=")
        if len(parts) != 3:
            raise SDPError(f"c= has {len(parts)} fields instead of 3: {quote(text)}")
        network_type, address_type, address = parts
        if "/" not in address or network_type != "IN":
            return cls(network_type, address_type, address)
        base, *suffixes = address.split("/")
        if not base or len(suffixes) > (2 if address_type == "IP4" else 1):
            raise SDPError(f"c= address is malformed: {quote(address)}")
        if address_type == "IP4":
            ttl = number(suffixes[0], "c= TTL", 255)
            count = number(suffixes[1], "c= address count", 65535, 1) if len(suffixes) == 2 else None
            return cls(network_type, address_type, base, ttl, count)
        return cls(network_type, address_type, base, None, number(suffixes[0], "c= address count", 65535, 1))

    @classmethod
    def of(cls, host: str) -> Connection:
        """The connection of an IP address, or of a host name (called IP4, which all peers read)."""
        return cls("IN", "IP6" if ":" in host else "IP4", host)

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The address, or None when it is a name or of another network."""
        if self.network_type != "IN":
            return None
        try:
            return ipaddress.ip_address(self.address)
        except ValueError:
            return None

    @property
    def is_null(self) -> bool:
        """Whether nothing can be sent there: 0.0.0.0, ::, or a name under .invalid (RFC 3264 section 8.4)."""
        if self.address == "0.0.0.0":
            return True
        ip = self.ip
        if ip is not None:
            return ip.is_unspecified
        return self.network_type == "IN" and (self.address == "invalid" or self.address.endswith(".invalid"))

    def __str__(self) -> str:
        address = self.address
        if self.ttl is not None:
            address += f"/{self.ttl}"
        if self.address_count is not None:
            address += f"/{self.address_count}"
        return f"{self.network_type} {self.address_type} {address}"


class Bandwidth(Struct, frozen=True, gc=False):
    """A bandwidth (b=, RFC 8866 section 5.8): kbit/s for CT and AS, bit/s for TIAS, RS and RR."""

    kind: str
    value: int

    @classmethod
    def parse(cls, text: str) -> Bandwidth:
        """Read "AS:64"."""
        kind, _, value = text.strip(" ").partition(":")
        if not kind or not (kind.isascii() and kind.isprintable()) or " " in kind:
            raise SDPError(f"b= has no bandwidth type: {quote(text)}")
        return cls(kind, number(value, "b= value"))

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def _typed_time(text: str, what: str) -> str:
    if _TYPED_TIME.fullmatch(text) is None:
        raise SDPError(f"{what} is not a time: {quote(text)}")
    return text


def seconds(typed_time: str) -> int:
    """The seconds of a typed time: "7d", "-1h" or "3600" (RFC 8866 section 5.10)."""
    unit = _SECONDS.get(typed_time[-1:])
    return int(typed_time[:-1]) * unit if unit else int(typed_time)


class Repeat(Struct, frozen=True, gc=False):
    """When a session repeats (r=): three typed times as written; `seconds` gives their value."""

    interval: str
    duration: str
    offsets: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Repeat:
        """Read "7d 1h 0 25h"."""
        parts = [_typed_time(part, "r= field") for part in words(text, "r=")]
        if len(parts) < 3:
            raise SDPError(f"r= has {len(parts)} fields instead of 3 or more")
        return cls(parts[0], parts[1], tuple(parts[2:]))

    def __str__(self) -> str:
        return " ".join((self.interval, self.duration, *self.offsets))


class ZoneAdjustment(Struct, frozen=True, gc=False):
    """From ``time`` on (NTP seconds), repeats shift by ``offset``, typed (z=, RFC 8866 section 5.11)."""

    time: int
    offset: str

    @classmethod
    def parse_all(cls, text: str) -> tuple[ZoneAdjustment, ...]:
        """Read "2882844526 -1h 2898848070 0"."""
        parts = words(text, "z=")
        if not parts or len(parts) % 2:
            raise SDPError("z= has no pairs of time and offset")
        return tuple(
            cls(number(time, "z= time"), _typed_time(offset, "z= offset"))
            for time, offset in zip(parts[::2], parts[1::2], strict=True)
        )

    def __str__(self) -> str:
        return f"{self.time} {self.offset}"


class Timing(Struct, frozen=True, gc=False):
    """When a session is on (t=): NTP seconds, 0 for unbounded, with the r= and z= lines that follow it.

    RFC 4566 puts z= once after all times, RFC 8866 after the repeats of each; both keep their place here.
    """

    start: int = 0
    stop: int = 0
    repeats: tuple[Repeat, ...] = ()
    zones: tuple[ZoneAdjustment, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Timing:
        """Read "2873397496 2873404696"."""
        if text == "0 0":
            return UNBOUNDED
        parts = words(text, "t=")
        if len(parts) != 2:
            raise SDPError(f"t= has {len(parts)} fields instead of 2")
        return cls(number(parts[0], "t= start"), number(parts[1], "t= stop"))

    def __str__(self) -> str:
        return f"{self.start} {self.stop}"

    def lines(self) -> list[str]:
        """The t= line and those that belong to it."""
        lines = [f"t={self}", *(f"r={repeat}" for repeat in self.repeats)]
        if self.zones:
            lines.append("z=" + " ".join(map(str, self.zones)))
        return lines


UNBOUNDED = Timing()
