"""Whether two descriptions belong to one session, are one version, or mean the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

import msgspec

from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.direction import DIRECTIONS
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.formats import STATIC_CODECS, Fmtp, RtpMap
from rvoip.protocols.sdp.ice import Candidate
from rvoip.protocols.sdp.lines import Origin
from rvoip.protocols.sdp.media import Media
from rvoip.protocols.sdp.security import Fingerprint
from rvoip.protocols.sdp.session import SessionDescription
from rvoip.protocols.sdp.streams import Simulcast

__all__ = ["equivalent", "same_session", "same_version"]

# Said at session level, these stand for every section that does not say them itself.
_INHERITED = frozenset({"fingerprint", "setup", "ice-ufrag", "ice-pwd", "ice-options", "extmap"})
# The first line is the one that is preferred (RFC 4568 section 4).
_ORDERED = frozenset({"crypto"})
_NO_NAMES = frozenset({"", " ", "-"})


def same_session(a: SessionDescription, b: SessionDescription) -> bool:
    """Whether both are versions of one session: o= but for the version (RFC 8866 section 5.2)."""
    return _unversioned(a.origin) == _unversioned(b.origin)


def same_version(a: SessionDescription, b: SessionDescription) -> bool:
    """Whether both claim to be one version of one session, and so must be identical (RFC 3264 section 8)."""
    return a.origin == b.origin


def equivalent(a: SessionDescription, b: SessionDescription) -> bool:
    """Whether both mean the same, whatever version they are: such a re-offer changes nothing.

    The order of sections, of formats and of crypto lines counts, that of all other attributes does not. What
    is said at session level equals the same said in each section; sendrecv is the default; a rtpmap that says
    what RFC 3551 says may be left out; encoding names, hash names and hex digits compare without regard to
    case, fmtp parameters without regard to order.
    """
    return _meaning(a) == _meaning(b)


def _unversioned(origin: Origin) -> Origin:
    return msgspec.structs.replace(origin, session_version=0)


def _meaning(description: SessionDescription) -> tuple[Hashable, ...]:
    own = description.attributes
    inherited = tuple(attribute for attribute in own if attribute.name in _INHERITED)
    sections = tuple(_media_meaning(description, media, inherited) for media in description.media)
    return (
        _unversioned(description.origin),
        "-" if description.name in _NO_NAMES else description.name,
        description.information,
        description.uri,
        description.emails,
        description.phones,
        None if sections else description.connection,
        tuple(sorted(map(str, description.bandwidths))),
        description.times,
        description.key,
        _attributes_meaning(attribute for attribute in own if attribute.name not in _INHERITED),
        sections,
    )


def _media_meaning(
    description: SessionDescription, media: Media, inherited: tuple[Attribute, ...]
) -> tuple[Hashable, ...]:
    named = {attribute.name for attribute in media.attributes}
    attributes = (*media.attributes, *(attribute for attribute in inherited if attribute.name not in named))
    return (
        media.kind,
        media.port,
        media.port_count or 1,
        media.protocol,
        media.formats,
        media.information,
        description.connections_of(media),
        tuple(sorted(map(str, media.bandwidths))),
        media.key,
        description.direction_of(media),
        _attributes_meaning(attributes),
    )


class _Meaning(NamedTuple):
    name: str
    has_value: bool
    value: str


def _attributes_meaning(attributes: Iterable[Attribute]) -> tuple[Hashable, ...]:
    unordered: list[_Meaning] = []
    ordered: list[_Meaning] = []
    for attribute in attributes:
        name, value = attribute.name, attribute.value
        if value is None:
            if name not in DIRECTIONS:
                unordered.append(_Meaning(name, False, ""))
            continue
        normalise = _NORMALISED.get(name)
        if normalise is not None:
            try:
                value = normalise(value)
            except SDPError:
                value = attribute.value
        if value is not None:
            (ordered if name in _ORDERED else unordered).append(_Meaning(name, True, value))
    return (tuple(sorted(unordered)), tuple(ordered))


def _rtpmap(text: str) -> str | None:
    rtpmap = RtpMap.parse(text)
    encoding = rtpmap.encoding.lower()
    static = STATIC_CODECS.get(rtpmap.payload_type)
    if static is not None and (encoding, rtpmap.clock_rate, rtpmap.channels) == (
        static.encoding.lower(),
        static.clock_rate,
        static.channels,
    ):
        return None
    return f"{rtpmap.payload_type} {encoding}/{rtpmap.clock_rate}/{rtpmap.channels}"


def _fmtp(text: str) -> str:
    fmtp = Fmtp.parse(text)
    parts = []
    for part in fmtp.text.split(";"):
        name, equals, value = part.strip(" ").partition("=")
        parts.append(name.strip(" ").lower() + equals + value.strip(" "))
    return f"{fmtp.format} " + ";".join(sorted(filter(None, parts)))


def _fingerprint(text: str) -> str:
    return str(Fingerprint.parse(text))


def _candidate(text: str) -> str:
    candidate = Candidate.parse(text)
    return str(msgspec.structs.replace(candidate, transport=candidate.transport.lower()))


def _simulcast(text: str) -> str:
    return str(Simulcast.parse(text))


def _options(text: str) -> str:
    return " ".join(sorted(text.split(" ")))


# One text for all spellings of a value; None for one that says nothing.
_NORMALISED: dict[str, Callable[[str], str | None]] = {
    "rtpmap": _rtpmap,
    "fmtp": _fmtp,
    "fingerprint": _fingerprint,
    "candidate": _candidate,
    "simulcast": _simulcast,
    "ice-options": _options,
}
