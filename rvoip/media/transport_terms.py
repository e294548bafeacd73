"""How a media section is carried: profile, keys, ICE, RTCP; what an answer makes of an offer, either way.

What cannot be raises `Unacceptable` with a clause that says why.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from rvoip.media.agreed import Agreed, Dtls, Ice, Local
from rvoip.protocols.rtp import sdes
from rvoip.protocols.rtp.sdes import CryptoLine, Negotiated, SDESError
from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.formats import ExtMap
from rvoip.protocols.sdp.media import Media
from rvoip.protocols.sdp.session import SessionDescription
from rvoip.protocols.sdp.transport import Setup

__all__ = [
    "PROFILES",
    "Unacceptable",
    "accept_keys",
    "answer_keys",
    "ice_attributes",
    "ice_of",
    "local_host",
    "mismatch",
    "offer_keys",
    "remote_of",
    "rtcp_attributes",
    "shared_extensions",
]

PROFILES = frozenset(
    ("RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF")
)
MAX_CANDIDATES = 64
"""Candidates of a peer that are looked at."""

Address = tuple[str, int]


class Unacceptable(Exception):
    """A media section cannot be met; `str()` is a clause that follows "the audio"."""


# Where


def local_host(local: Local, description: SessionDescription, media: Media) -> str:
    """Our address of the family that the peer is reached by; the first where he has none yet."""
    for connection in description.connections_of(media):
        if connection.is_null or connection.network_type != "IN":
            continue
        wanted = connection.address_type == "IP6"
        for host in local.hosts:
            if (":" in host) == wanted:
                return host
        raise Unacceptable(f"has an address of {'IPv6' if wanted else 'IPv4'}, and we have none")
    return local.hosts[0]


def remote_of(
    local: Local, description: SessionDescription, media: Media, port: int, mux: bool
) -> tuple[Address | None, Address | None]:
    """Where RTP and RTCP of a section go; None for a null address."""
    connections = description.connections_of(media)
    if not connections:
        raise Unacceptable("has no address (no c= line)")
    connection = connections[0]
    if connection.network_type != "IN" or connection.address_type not in ("IP4", "IP6"):
        raise Unacceptable("has an address of another network")
    if connection.is_null:
        return None, None
    host = connection.address
    _check_host(local, host, port)
    rtcp = media.rtcp
    if mux:
        return (host, port), (host, port)
    control = (host, port + 1 if port < 65535 else port)
    if rtcp is not None and rtcp.port:
        other = rtcp.connection
        elsewhere = other.address if other is not None and not other.is_null else host
        _check_host(local, elsewhere, rtcp.port)
        control = (elsewhere, rtcp.port)
    return (host, port), control


def _check_host(local: Local, host: str, port: int) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None and (address.is_multicast or host == "255.255.255.255"):
        raise Unacceptable("has an address that is for many")
    if local.permitted is not None and not local.permitted(host, port):
        raise Unacceptable("has an address that media may not be sent to")


def rtcp_attributes(local: Local, mux: bool, rsize: bool) -> list[Attribute]:
    """The a=rtcp lines of ours."""
    attributes = []
    if local.rtcp_port is not None and local.rtcp_port != local.port + 1:
        attributes.append(Attribute("rtcp", str(local.rtcp_port)))
    if mux:
        attributes.append(Attribute("rtcp-mux"))
    if rsize:
        attributes.append(Attribute("rtcp-rsize"))
    return attributes


# Keys


def offer_keys(local: Local, before: Agreed | None) -> tuple[str, list[Attribute], list[CryptoLine]]:
    """The profile of an offer of ours, the lines that key it, and those of them that are SDES.

    Keys that are in use stay so.
    """
    keying = local.keying
    feedback = "F" if local.feedback else ""
    if local.srtp in ("off", "accept") and not (before is not None and before.secure):
        return before.profile if before is not None else f"RTP/AVP{feedback}", [], []
    cryptos: list[CryptoLine] = []
    if before is not None and before.sdes is not None:
        cryptos = [before.sdes.line]
    elif keying.random is not None and not (before is not None and before.dtls is not None):
        cryptos = sdes.offer(keying.random, keying.suites)
    attributes = [Attribute("crypto", str(line)) for line in cryptos]
    if keying.fingerprints and not (before is not None and before.sdes is not None):
        attributes += [Attribute("fingerprint", str(print)) for print in keying.fingerprints]
        attributes.append(Attribute("setup", str(Setup.ACTPASS)))
    if not attributes:
        raise Unacceptable("is to be secure, and there is nothing to key it with")
    if before is not None:
        return before.profile, attributes, cryptos
    if local.srtp == "opportunistic":
        return f"RTP/AVP{feedback}", attributes, cryptos
    return f"{'RTP' if cryptos else 'UDP/TLS/RTP'}/SAVP{feedback}", attributes, cryptos


def answer_keys(
    local: Local, description: SessionDescription, media: Media, profile: str, before: Agreed | None
) -> tuple[Negotiated | None, Dtls | None, list[Attribute]]:
    """What keys an answer: DTLS where it is offered and we have a certificate, else SDES, else nothing."""
    secure = "SAVP" in profile
    if secure and local.srtp == "off":
        raise Unacceptable("is to be SRTP, and that is not wanted here")
    fingerprints = description.fingerprints_of(media)
    reason = "there are none"
    if local.srtp != "off":
        if fingerprints and local.keying.fingerprints:
            offered = description.setup_of(media) or Setup.ACTIVE
            active = _answer_setup(offered, local.keying.setup, before)
            setup = Setup.ACTIVE if active else Setup.PASSIVE
            attributes = [Attribute("fingerprint", str(print)) for print in local.keying.fingerprints]
            return None, Dtls(fingerprints, active), [*attributes, Attribute("setup", str(setup))]
        lines = media.values("crypto")
        if lines and local.keying.random is not None and not profile.startswith("UDP/TLS"):
            try:
                keys = _same_keys(lines, before) or sdes.answer(
                    lines, local.keying.random, local.keying.suites
                )
            except SDESError as error:
                reason = error.reason
            else:
                return keys, None, [Attribute("crypto", str(keys.line))]
    if secure:
        raise Unacceptable(f"is to be SRTP, and none of its keys can be used: {reason}")
    if local.srtp == "require":
        raise Unacceptable("is not SRTP, and nothing else is wanted here")
    return None, None, []


def accept_keys(
    local: Local,
    description: SessionDescription,
    media: Media,
    offered: Sequence[CryptoLine],
    profile: str,
) -> tuple[Negotiated | None, Dtls | None]:
    """What an answer makes of the keys that we have offered beside that profile."""
    lines = media.values("crypto")
    if lines and offered:
        try:
            return sdes.accept(offered, lines), None
        except SDESError as error:
            raise Unacceptable(f"is to be SRTP, and its keys cannot be used: {error.reason}") from None
    fingerprints = description.fingerprints_of(media)
    if fingerprints and local.keying.fingerprints and local.srtp != "off":
        setup = description.setup_of(media) or Setup.ACTIVE
        if setup is Setup.HOLDCONN:
            raise Unacceptable("waits with its DTLS")
        return None, Dtls(fingerprints, setup is Setup.PASSIVE)
    if "SAVP" in profile or "SAVP" in media.protocol.upper():
        raise Unacceptable("is to be SRTP, and was answered without keys")
    return None, None


def _same_keys(lines: Sequence[str], before: Agreed | None) -> Negotiated | None:
    """The keys in use, where the peer offers his part of them again: both go on as they are."""
    if before is None or before.sdes is None:
        return None
    for text in lines[:8]:
        try:
            line = sdes.parse_crypto(text)
        except SDESError:
            continue
        if line.keys == before.sdes.receive and line.suite == before.sdes.line.suite:
            ours = CryptoLine(line.tag, line.suite, before.sdes.line.keys)
            return Negotiated(line.keys, before.sdes.send, ours, before.sdes.window)
    return None


def _answer_setup(offered: Setup, preferred: Setup, before: Agreed | None) -> bool:
    """Whether we open, for a setup that was offered (RFC 5763 section 5, RFC 8842 section 5.3)."""
    if offered is Setup.ACTIVE:
        return False
    if offered is Setup.PASSIVE:
        return True
    if offered is Setup.HOLDCONN:
        raise Unacceptable("waits with its DTLS")
    if before is not None and before.dtls is not None:
        # The association that there is goes on, and so do its ends.
        return before.dtls.active
    return preferred is not Setup.PASSIVE


# ICE


def ice_of(description: SessionDescription, media: Media) -> Ice | None:
    """The peer's side of ICE; None where it has none."""
    ufrag, pwd = description.ice_ufrag_of(media), description.ice_pwd_of(media)
    if not ufrag or not pwd:
        return None
    options = description.ice_options_of(media)
    return Ice(
        ufrag=ufrag,
        pwd=pwd,
        candidates=media.candidates[:MAX_CANDIDATES],
        lite=description.ice_lite,
        options=options,
        complete=media.end_of_candidates or "trickle" not in options,
    )


def mismatch(description: SessionDescription, media: Media, port: int, ice: Ice) -> bool:
    """Whether somebody on the way has changed the address and not the candidates (RFC 8839 section 4.2.5)."""
    connections = description.connections_of(media)
    if not ice.candidates or not connections or connections[0].is_null or port == 9:
        return False
    host = connections[0].address.lower()
    return not any(
        candidate.port == port and candidate.component == 1 and candidate.address.lower() == host
        for candidate in ice.candidates
    )


def ice_attributes(ice: Ice, mux: bool) -> list[Attribute]:
    """The lines of our side in a media section; with rtcp-mux there are no candidates of RTCP's own."""
    attributes = [Attribute("ice-ufrag", ice.ufrag), Attribute("ice-pwd", ice.pwd)]
    if ice.options:
        attributes.append(Attribute("ice-options", " ".join(ice.options)))
    attributes += [
        Attribute("candidate", str(candidate))
        for candidate in ice.candidates
        if candidate.component == 1 or not mux
    ]
    if ice.complete:
        attributes.append(Attribute("end-of-candidates"))
    return attributes


# Header extensions


def shared_extensions(local: Local, offered: Sequence[ExtMap]) -> tuple[ExtMap, ...]:
    """Those of an offer that we know, as they stand in our answer (RFC 8285 section 6)."""
    found: dict[str, ExtMap] = {}
    for extmap in offered:
        # Numbers above 14 are for the two-byte form or for choices yet to be made.
        if extmap.uri in local.extensions and extmap.uri not in found and extmap.id <= 14:
            direction = extmap.direction.answer(Direction.SENDRECV) if extmap.direction else None
            found[extmap.uri] = ExtMap(extmap.id, extmap.uri, direction, extmap.extension_attributes)
    return tuple(found.values())
