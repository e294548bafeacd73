"""What an offer and its answer have agreed on for the audio of a leg, and what a leg brings to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import Struct

from rvoip.codecs.interfaces import ICodec
from rvoip.codecs.policy import Choice, Policy
from rvoip.codecs.registry import Registry
from rvoip.protocols.rtp.sdes import DEFAULT_SUITES, Negotiated
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.formats import ExtMap
from rvoip.protocols.sdp.security import Fingerprint
from rvoip.protocols.sdp.transport import Setup

__all__ = ["Agreed", "Dtls", "Ice", "Keying", "Local", "Srtp"]

Srtp = Literal["off", "accept", "opportunistic", "require"]
"""How much a leg wants SRTP.

`off`: never. `accept`: where the peer offers it; own offers are plain. `opportunistic`: own offers are plain
and have keys beside (RFC 8643). `require`: nothing else, in offers and answers.
"""


class Keying(Struct, frozen=True, kw_only=True):
    """What a leg can key SRTP with; what it does not have it does not negotiate."""

    random: Callable[[int], bytes] | None = None
    """Gives octets that nobody can guess, for the keys of SDES; None for no SDES."""
    suites: tuple[str, ...] = DEFAULT_SUITES
    """Of SDES, the preferred one first."""
    fingerprints: tuple[Fingerprint, ...] = ()
    """Of our certificate, for DTLS."""
    setup: Setup = Setup.ACTIVE
    """Which end of DTLS we are where the peer leaves it to us: active opens."""


class IsCandidate(Protocol):
    """What is asked of an ICE candidate; `str()` is the value of its attribute."""

    @property
    def component(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...


class Ice(Struct, frozen=True, kw_only=True):
    """One side of ICE (RFC 8839): the peer's as read, or what we say of ourselves."""

    ufrag: str
    pwd: str
    candidates: tuple[IsCandidate, ...] = ()
    lite: bool = False
    options: tuple[str, ...] = ()
    complete: bool = True
    """Whether no candidates will follow."""

    def __repr__(self) -> str:
        return f"Ice(ufrag={self.ufrag!r}, pwd=..., candidates={self.candidates!r}, lite={self.lite!r})"


class Local(Struct, frozen=True, kw_only=True):
    """What a leg brings: where it is reached, what it speaks, how it is called in o=."""

    hosts: tuple[str, ...]
    """Our addresses as the peer is to see them: one, or one of IPv4 and one of IPv6; the first is offered."""
    port: int
    rtcp_port: int | None = None
    """None for the port above."""
    session_id: int
    policy: Policy
    registry: Registry
    name: str = "-"
    username: str = "-"
    srtp: Srtp = "accept"
    keying: Keying = Keying()
    ice: Callable[[bool], Ice] | None = None
    """Our side of ICE, asked for with each offer and answer; True: the peer has restarted it, which takes new
    credentials. None for no ICE."""
    feedback: bool = False
    """Whether our offers are AVPF (RFC 4585); answers are what was offered."""
    rtcp_mux: bool = True
    """Whether RTP and RTCP may share a port (RFC 5761)."""
    extensions: tuple[str, ...] = ()
    """URIs of the RTP header extensions that we know."""
    permitted: Callable[[str, int], bool] | None = None
    """Whether media may be sent to a host (an address or a name) and port of the peer; None permits all."""


class Dtls(Struct, frozen=True):
    """Keys by DTLS (RFC 5763): the peer's certificate has one of these fingerprints, and who opens."""

    fingerprints: tuple[Fingerprint, ...]
    active: bool
    """Whether we open."""


class Agreed(Struct, frozen=True, kw_only=True):
    """The audio of a leg, as both sides have agreed on it."""

    index: int
    """Which media section it is, from 0."""
    mid: str | None
    profile: str
    choices: tuple[Choice, ...]
    """Audio codecs, the one to send with first; then events and noise."""
    direction: Direction
    """Ours: what we send and receive."""
    held: bool
    """Whether the peer has put us on hold: he takes no audio now."""
    local_host: str
    """Which of our addresses is used."""
    remote: tuple[str, int] | None
    """Host (an address or a name) and port to send to; None while there is none (hold, ICE to come)."""
    remote_rtcp: tuple[str, int] | None
    rtcp_mux: bool
    rtcp_rsize: bool
    sdes: Negotiated | None
    """Keys by SDES (RFC 4568), the peer's and ours."""
    dtls: Dtls | None
    ice: Ice | None
    """The peer's side; None where ICE is not used."""
    ice_restarted: bool
    extensions: tuple[ExtMap, ...]
    """Header extensions that both know, with our directions."""
    wanted_ptime: float | None
    """Milliseconds of a packet that the peer asked for."""
    max_ptime: float | None
    """Milliseconds of a packet that the peer takes at most."""

    @property
    def codec(self) -> ICodec:
        """The audio codec to send with."""
        return self.choices[0].codec

    @property
    def ptime(self) -> float:
        """Milliseconds of the packets that we send."""
        return self.choices[0].ptime

    @property
    def audio(self) -> tuple[Choice, ...]:
        """The audio codecs that may come in."""
        return tuple(choice for choice in self.choices if choice.codec.kind == "audio")

    @property
    def events(self) -> Choice | None:
        """Telephone-event at the clock rate of the codec that we send with, else at any other."""
        return self._companion("events", True)

    @property
    def noise(self) -> Choice | None:
        """Comfort noise at the clock rate of the codec that we send with."""
        return self._companion("noise", False)

    @property
    def secure(self) -> bool:
        """Whether it is SRTP."""
        return self.sdes is not None or self.dtls is not None

    def _companion(self, kind: str, any_rate: bool) -> Choice | None:
        found = [choice for choice in self.choices if choice.codec.kind == kind]
        for choice in found:
            if choice.codec.clock_rate == self.codec.clock_rate:
                return choice
        return found[0] if found and any_rate else None
