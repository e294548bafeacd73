"""Descriptions of our own making: an offer of one audio stream, from codecs and an address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.formats import STATIC_CODECS, Codec
from rvoip.protocols.sdp.lines import Connection, Origin
from rvoip.protocols.sdp.media import Media, codec_attributes
from rvoip.protocols.sdp.session import SessionDescription

__all__ = ["G722", "OPUS", "PCMA", "PCMU", "TELEPHONE_EVENT", "audio_media", "audio_offer"]

PCMU = STATIC_CODECS[0]
PCMA = STATIC_CODECS[8]
G722 = STATIC_CODECS[9]
# Always two channels (RFC 7587 section 7).
OPUS = Codec(96, "opus", 48000, 2, "useinbandfec=1")
# Events 0 to 15 are the keys of a telephone (RFC 4733 section 3.2).
TELEPHONE_EVENT = Codec(101, "telephone-event", 8000, fmtp="0-15")


def audio_offer(
    host: str,
    port: int,
    *,
    session_id: int | str,
    version: int,
    codecs: Sequence[Codec] = (PCMU, PCMA, TELEPHONE_EVENT),
    direction: Direction = Direction.SENDRECV,
    protocol: str = "RTP/AVP",
    ptime: int | None = 20,
    name: str = "-",
    username: str = "-",
    attributes: Iterable[Attribute] = (),
) -> SessionDescription:
    """An offer of one audio stream that is received at ``host`` (an IP address or a host name) and ``port``.

    ``session_id`` and ``version`` are numbers that the caller keeps for the dialog (RFC 3264 section 5: below
    2^62); ``codecs`` stand in order of preference; ``ptime`` is in milliseconds, None to leave it out;
    ``attributes`` follow in the media section. Writing the description raises `SDPBuildError` for what cannot
    be written.
    """
    connection = Connection.of(host)
    return SessionDescription(
        origin=Origin(username, str(session_id), version, "IN", connection.address_type, host),
        name=name,
        connection=connection,
        media=(
            audio_media(
                port, codecs, direction=direction, protocol=protocol, ptime=ptime, attributes=attributes
            ),
        ),
    )


def audio_media(
    port: int,
    codecs: Sequence[Codec],
    *,
    direction: Direction = Direction.SENDRECV,
    protocol: str = "RTP/AVP",
    ptime: int | None = 20,
    attributes: Iterable[Attribute] = (),
) -> Media:
    """An audio section with rtpmap and fmtp of each codec, packet time and direction."""
    lines = codec_attributes(tuple(codecs))
    if ptime is not None:
        lines.append(Attribute("ptime", str(ptime)))
    lines.append(Attribute(direction.value))
    formats = tuple(str(codec.payload_type) for codec in codecs)
    return Media("audio", port, protocol, formats, attributes=(*lines, *attributes))
