"""ICE on paper: user fragments and passwords, candidates as `a=candidate` has them (RFC 8445, RFC 8839)."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from rvoip.protocols.rtp.errors import RTPBuildError, RTPError

__all__ = [
    "PREFERENCES",
    "Candidate",
    "Credentials",
    "candidate_priority",
    "host_candidates",
    "parse_candidate",
]

PREFERENCES: Final = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}
"""Type preferences (RFC 8445 section 5.1.2.2)."""

_UFRAG: Final = re.compile(r"[A-Za-z0-9+/]{4,256}", re.ASCII)
_PASSWORD: Final = re.compile(r"[A-Za-z0-9+/]{22,256}", re.ASCII)
_CANDIDATE: Final = re.compile(
    r"(?:candidate:)?([A-Za-z0-9+/]{1,32}) ([0-9]{1,3}) ([!-~]{1,16}) ([0-9]{1,10}) ([!-~]{1,255})"
    r" ([0-9]{1,5}) typ ([!-~]{1,32})((?: [!-~]{1,255}){0,32})",
    re.ASCII,
)


class Credentials(Struct, frozen=True, gc=False):
    """`a=ice-ufrag` and `a=ice-pwd` of one side, checked (RTPBuildError; RFC 8839 section 5.4)."""

    ufrag: str
    password: str

    def __post_init__(self) -> None:
        if not _UFRAG.fullmatch(self.ufrag) or not _PASSWORD.fullmatch(self.password):
            raise RTPBuildError(
                "an ufrag of 4 to 256, or a password of 22 to 256 characters of ICE is needed"
            )

    @classmethod
    def make(cls, random: Callable[[int], bytes]) -> Credentials:
        """New ones, of 48 and 144 bits; `random(n)` gives n octets that nobody can guess."""
        return cls(base64.b64encode(random(6)).decode("ascii"), base64.b64encode(random(18)).decode("ascii"))

    def __repr__(self) -> str:
        return f"Credentials({self.ufrag!r}, ...)"


class Candidate(Struct, frozen=True, gc=False):
    """One address at which a component may be reached: 1 is RTP, or both when they share a port; 2 is RTCP.

    `kind` is host, srflx, prflx or relay, or what else was written; `address` is a numeric address or, of a
    peer, a name (mDNS). `extensions` are the fields behind the type as written, related address included.
    """

    foundation: str
    component: int
    priority: int
    address: str
    port: int
    kind: str = "host"
    transport: str = "udp"
    extensions: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The value of the attribute."""
        return " ".join(
            (
                f"{self.foundation} {self.component} {self.transport} {self.priority}",
                f"{self.address} {self.port} typ {self.kind}",
                *self.extensions,
            )
        )


def parse_candidate(text: str) -> Candidate:
    """Read "1 1 UDP 2130706431 10.0.1.1 8998 typ host", with or without "candidate:"; RTPError otherwise."""
    found = _CANDIDATE.fullmatch(text)
    if found is None:
        raise RTPError("a candidate that is malformed")
    foundation, component, transport, priority, address, port, kind, extensions = found.groups()
    fields = tuple(extensions.split())
    if len(fields) % 2:
        raise RTPError("a candidate with an extension that has no value")
    numbers = int(component), int(priority), int(port)
    if not 1 <= numbers[0] <= 256 or not 0 < numbers[1] < 2**32 or numbers[2] > 65535:
        raise RTPError("a candidate with a number that is too large or too small")
    return Candidate(foundation, numbers[0], numbers[1], address, numbers[2], kind, transport, fields)


def candidate_priority(kind: str, component: int, local: int = 65535) -> int:
    """RFC 8445 section 5.1.2.1; `local` (0 to 65535) orders the addresses of a host."""
    return (PREFERENCES[kind] << 24) | (local << 8) | (256 - component)


def host_candidates(
    addresses: Iterable[tuple[str, int, int | None]], *, advertised: Callable[[str], str] | None = None
) -> list[Candidate]:
    """The candidates of a lite agent, most preferred first (RFC 8445 section 5.2): it has host ones only.

    `addresses` are (host, port of RTP, port of RTCP or None where they share one); `advertised(host)` is what
    peers are told in place of an address, behind a NAT that maps it one to one.
    """
    candidates = []
    for number, (host, *ports) in enumerate(addresses):
        told = advertised(host) if advertised else host
        ipaddress.ip_address(told)  # ValueError: ours must be numeric
        for component, port in enumerate(ports, 1):
            if port is not None:
                priority = candidate_priority("host", component, 65535 - number)
                candidates.append(Candidate(str(number + 1), component, priority, told, port))
    return candidates
