"""Session descriptions as a media server writes them, for one that has no media."""

from __future__ import annotations

from collections.abc import Sequence

from rvoip.mediacontrol.errors import MediaRefused
from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.build import G722, OPUS, PCMA, PCMU, TELEPHONE_EVENT, audio_media, audio_offer
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.formats import Codec
from rvoip.protocols.sdp.lines import Connection, Origin
from rvoip.protocols.sdp.media import Media
from rvoip.protocols.sdp.session import SessionDescription, parse

__all__ = ["CODECS", "choose", "make_answer", "make_offer", "read", "remote_address"]

CODECS = (OPUS, G722, PCMU, PCMA)

_FINGERPRINT = ":".join(f"{octet:02X}" for octet in range(32))
_KEY = "inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw"


def read(sdp: str) -> SessionDescription:
    """A description of the peer. Raises `MediaRefused` 422 when it cannot be read."""
    try:
        return parse(sdp)
    except SDPError as error:
        raise MediaRefused(f"the session description cannot be read: {error}", 422) from None


def choose(names: Sequence[str] | None) -> tuple[Codec, ...]:
    """Our codecs of these names, in this order. Raises `MediaRefused` 488 when there are none."""
    if names is None:
        return CODECS
    ours = {codec.encoding.lower(): codec for codec in CODECS}
    found = [ours[name] for text in names if (name := text.partition("/")[0].lower()) in ours]
    if not found:
        raise MediaRefused("none of these codecs is there", 488)
    return tuple(dict.fromkeys(found))


def make_offer(
    host: str, port: int, session_id: int, version: int, codecs: Sequence[Codec], direction: str = "sendrecv"
) -> str:
    """An offer of one audio stream, digits included."""
    return str(
        audio_offer(
            host,
            port,
            session_id=session_id,
            version=version,
            codecs=(*codecs, TELEPHONE_EVENT),
            direction=Direction(direction),
        )
    )


def remote_address(description: SessionDescription) -> str:
    """Where the first audio stream is to be sent, as address:port; empty when there is none."""
    for media in description.media:
        if media.kind == "audio" and not media.is_rejected:
            connections = description.connections_of(media)
            return f"{connections[0].address}:{media.port}" if connections else ""
    return ""


def make_answer(
    offer: str, host: str, port: int, session_id: int, version: int, codecs: Sequence[Codec]
) -> tuple[str, str, str]:
    """The answer to an offer, the codec that it settles on, and the direction as we have it.

    The first audio stream is taken with the first of its codecs that is ours, all others are refused. Raises
    `MediaRefused`: 422 for what is no description, 488 when no stream can be taken.
    """
    description = read(offer)
    sections: list[Media] = []
    codec_name = direction = ""
    for media in description.media:
        codec = None if codec_name or media.kind != "audio" else _common(media, codecs)
        if codec is None or media.is_rejected or not media.is_rtp:
            sections.append(Media(media.kind, 0, media.protocol, media.formats))
            continue
        wanted = description.direction_of(media).reversed
        digits = [each for each in media.codecs if each.encoding.lower() == "telephone-event"]
        sections.append(
            audio_media(
                port,
                [codec, *digits[:1]],
                direction=wanted,
                protocol=media.protocol,
                attributes=_transport(media),
            )
        )
        codec_name, direction = codec.encoding, wanted.value
    if not codec_name:
        raise MediaRefused("no stream of this offer can be taken", 488)
    connection = Connection.of(host)
    answer = SessionDescription(
        origin=Origin("-", str(session_id), version, "IN", connection.address_type, host),
        name="-",
        connection=connection,
        media=tuple(sections),
    )
    return str(answer), codec_name, direction


def _common(media: Media, ours: Sequence[Codec]) -> Codec | None:
    names = {codec.encoding.lower() for codec in ours}
    return next((codec for codec in media.codecs if codec.encoding.lower() in names), None)


def _transport(media: Media) -> list[Attribute]:
    """What a secured or multiplexed stream needs in its answer."""
    lines = []
    if media.mid is not None:
        lines.append(Attribute("mid", media.mid))
    if media.rtcp_mux:
        lines.append(Attribute("rtcp-mux"))
    if media.uses_dtls:
        lines += [Attribute("fingerprint", f"sha-256 {_FINGERPRINT}"), Attribute("setup", "active")]
    elif media.cryptos:
        first = media.cryptos[0]
        lines.append(Attribute("crypto", f"{first.tag} {first.suite} {_KEY}"))
    if media.candidates:
        lines += [Attribute("ice-ufrag", "fake"), Attribute("ice-pwd", "0123456789abcdefghijkl")]
    return lines
