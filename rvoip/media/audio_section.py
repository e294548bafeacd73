"""The audio section of an offer or an answer: made, and read, against what a leg brings.

All functions are pure; what cannot be raises `Unacceptable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rvoip.codecs.formats import Format
from rvoip.codecs.policy import accept, choose, offer
from rvoip.media.agreed import Agreed, Ice, Local
from rvoip.media.transport_terms import (
    PROFILES,
    Unacceptable,
    accept_keys,
    answer_keys,
    ice_attributes,
    ice_of,
    local_host,
    mismatch,
    offer_keys,
    remote_of,
    rtcp_attributes,
    shared_extensions,
)
from rvoip.protocols.rtp.sdes import CryptoLine
from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.formats import Codec, ExtMap
from rvoip.protocols.sdp.lines import Connection
from rvoip.protocols.sdp.media import Media, codec_attributes
from rvoip.protocols.sdp.session import SessionDescription

__all__ = ["Offered", "answer_section", "bundled", "offer_section", "read_answer"]


class Offered(Struct, frozen=True, kw_only=True):
    """An audio section that we have offered, with what its answer will be read against."""

    index: int
    media: Media
    host: str
    formats: tuple[Format, ...]
    cryptos: tuple[CryptoLine, ...]
    direction: Direction
    mux: bool
    ice: Ice | None
    extensions: tuple[ExtMap, ...]


def answer_section(
    local: Local, description: SessionDescription, index: int, wanted: Direction, before: Agreed | None
) -> tuple[Media, Agreed, Ice | None]:
    """Our answer to the audio section at `index` of an offer, what is agreed with it, and our ICE."""
    media = description.media[index]
    profile = _profile(media)
    carrier = _carrier(description, media)
    mux = carrier.rtcp_mux and local.rtcp_mux
    if carrier.has("rtcp-mux-only") and not mux:
        raise Unacceptable("is to share a port with RTCP, and that is not wanted here")
    host = local_host(local, description, carrier)
    remote, control = remote_of(local, description, carrier, carrier.port, mux)
    choices = choose(media.codecs, local.policy, local.registry, media.ptime, media.maxptime)
    if not choices:
        raise Unacceptable(f"has no codec that is spoken here ({_names(media)})")
    keys, dtls, key_lines = answer_keys(local, description, carrier, profile, before)
    theirs = ice_of(description, carrier) if local.ice is not None else None
    mismatched = theirs is not None and mismatch(description, carrier, carrier.port, theirs)
    if mismatched:
        theirs = None
    restarted = _restarted(theirs, before)
    our_ice = local.ice(restarted) if local.ice is not None and theirs is not None else None
    offered, held = _offered_direction(description, media)
    direction = offered.answer(wanted)
    extensions = shared_extensions(local, description.extmaps_of(media))
    rsize = media.rtcp_rsize and profile.endswith("AVPF")
    agreed = Agreed(
        index=index,
        mid=media.mid,
        profile=media.protocol,
        choices=tuple(choices),
        direction=direction,
        held=held,
        local_host=host,
        remote=remote,
        remote_rtcp=control,
        rtcp_mux=mux,
        rtcp_rsize=rsize,
        sdes=keys,
        dtls=dtls,
        ice=theirs,
        ice_restarted=restarted,
        extensions=extensions,
        wanted_ptime=media.ptime,
        max_ptime=media.maxptime,
    )
    lines = _lines(local, [choice.format for choice in choices], choices[0].ptime, direction)
    if media.mid is not None:
        lines.append(Attribute("mid", media.mid))
    lines += rtcp_attributes(local, mux, rsize)
    lines += key_lines
    if our_ice is not None:
        lines += ice_attributes(our_ice, mux)
    elif mismatched:
        lines.append(Attribute("ice-mismatch"))
    lines += [Attribute("extmap", str(extension)) for extension in extensions]
    formats = tuple(str(choice.format.payload_type) for choice in choices)
    section = Media(media.kind, local.port, media.protocol, formats, attributes=tuple(lines))
    return section.replace(connections=(Connection.of(host),)), agreed, our_ice


def offer_section(
    local: Local, direction: Direction, before: Agreed | None, numbers: Mapping[str, int]
) -> Offered:
    """An audio section to offer, like the one that was agreed on `before` as far as it may."""
    formats = offer(local.policy, local.registry, numbers)
    if not formats:
        raise Unacceptable("has no codec that could be offered")
    profile, key_lines, cryptos = offer_keys(local, before)
    host = before.local_host if before is not None else local.hosts[0]
    our_ice = local.ice(False) if local.ice is not None else None
    # A wish for packets; the policy's, else what the first codec has by nature.
    first = local.registry.find(formats[0].encoding, formats[0].clock_rate, formats[0].channels)
    ptime = local.policy.ptime or (first.ptime if first is not None else 20)
    lines = _lines(local, formats, ptime, direction)
    if before is not None and before.mid is not None:
        lines.append(Attribute("mid", before.mid))
    mux = local.rtcp_mux if before is None else before.rtcp_mux or local.rtcp_mux
    lines += rtcp_attributes(local, mux, profile.endswith("AVPF"))
    lines += key_lines
    if our_ice is not None:
        lines += ice_attributes(our_ice, mux)
    extensions = _offered_extensions(local, before)
    lines += [Attribute("extmap", str(extension)) for extension in extensions]
    section = Media(
        "audio",
        local.port,
        profile,
        tuple(str(format.payload_type) for format in formats),
        connections=(Connection.of(host),),
        attributes=tuple(lines),
    )
    return Offered(
        index=before.index if before is not None else 0,
        media=section,
        host=host,
        formats=tuple(formats),
        cryptos=tuple(cryptos),
        direction=direction,
        mux=mux,
        ice=our_ice,
        extensions=extensions,
    )


def read_answer(
    local: Local, offered: Offered, description: SessionDescription, before: Agreed | None
) -> Agreed:
    """What an answer makes of what we have offered."""
    if offered.index >= len(description.media):
        raise Unacceptable("is not answered")
    media = description.media[offered.index]
    if media.kind.lower() != "audio":
        raise Unacceptable("is answered by something else")
    if media.port == 0:
        raise Unacceptable("is refused by the peer")
    profile = _profile(media)
    mux = media.rtcp_mux and offered.mux
    remote, control = remote_of(local, description, media, media.port, mux)
    choices = accept(offered.formats, media.codecs, local.policy, local.registry, media.ptime, media.maxptime)
    if not choices:
        raise Unacceptable(f"is answered without a codec that was offered ({_names(media)})")
    keys, dtls = accept_keys(local, description, media, offered.cryptos, offered.media.protocol)
    theirs = ice_of(description, media) if offered.ice is not None else None
    if media.has("ice-mismatch"):
        theirs = None
    answered, held = _offered_direction(description, media)
    sent = {extension.uri: extension.id for extension in offered.extensions}
    extensions = tuple(e for e in description.extmaps_of(media) if sent.get(e.uri) == e.id)
    return Agreed(
        index=offered.index,
        mid=media.mid,
        profile=media.protocol,
        choices=tuple(choices),
        direction=Direction.of(
            offered.direction.sends and answered.receives, offered.direction.receives and answered.sends
        ),
        held=held,
        local_host=offered.host,
        remote=remote,
        remote_rtcp=control,
        rtcp_mux=mux,
        rtcp_rsize=media.rtcp_rsize and profile.endswith("AVPF"),
        sdes=keys,
        dtls=dtls,
        ice=theirs,
        ice_restarted=_restarted(theirs, before),
        extensions=extensions,
        wanted_ptime=media.ptime,
        max_ptime=media.maxptime,
    )


def bundled(description: SessionDescription, media: Media) -> bool:
    """Whether a section is in a BUNDLE group (RFC 9143)."""
    return media.mid is not None and any(
        group.semantics == "BUNDLE" and media.mid in group.mids for group in description.groups
    )


def _carrier(description: SessionDescription, media: Media) -> Media:
    """The section that says how this one is carried: itself, unless it has no port of its own.

    One that is bundle-only has port 0, and shares the transport of the first of its group.
    """
    if media.port or not media.has("bundle-only"):
        return media
    for group in description.groups:
        if group.semantics == "BUNDLE" and media.mid in group.mids:
            tagged = description.section(group.mids[0])
            if tagged is not None and tagged.port:
                return tagged
    raise Unacceptable("has no port, neither of its own nor of a group")


def _profile(media: Media) -> str:
    profile = media.protocol.upper()
    if profile not in PROFILES:
        raise Unacceptable(f"has the profile {media.protocol[:40]!a}")
    return profile


def _offered_direction(description: SessionDescription, media: Media) -> tuple[Direction, bool]:
    """The direction of the peer, and whether he holds us; a null address takes no media (RFC 2543)."""
    direction = description.direction_of(media)
    held = description.holds(media)
    return (Direction.of(direction.sends, False) if held else direction), held


def _restarted(theirs: Ice | None, before: Agreed | None) -> bool:
    if theirs is None or before is None or before.ice is None:
        return False
    return (theirs.ufrag, theirs.pwd) != (before.ice.ufrag, before.ice.pwd)


def _lines(local: Local, formats: Sequence[Format], ptime: float, direction: Direction) -> list[Attribute]:
    """What a section says of its codecs and direction."""
    codecs = tuple(
        Codec(f.payload_type, f.encoding, f.clock_rate, f.channels, f.fmtp or None) for f in formats
    )
    return [
        *codec_attributes(codecs),
        Attribute("ptime", f"{ptime:g}"),
        Attribute("maxptime", f"{max(local.policy.max_ptime, ptime):g}"),
        Attribute(direction.value),
    ]


def _offered_extensions(local: Local, before: Agreed | None) -> tuple[ExtMap, ...]:
    numbers = {e.uri: e.id for e in before.extensions} if before is not None else {}
    free = (number for number in range(1, 15) if number not in numbers.values())
    found = []
    for uri in local.extensions:
        number = numbers.get(uri) or next(free, None)
        if number is not None:
            found.append(ExtMap(number, uri))
    return tuple(found)


def _names(media: Media) -> str:
    """The codecs of a peer as they may stand in an error."""
    names = list(dict.fromkeys(codec.encoding[:20] for codec in media.codecs))
    return ", ".join(names[:5]) or "none that is named"
