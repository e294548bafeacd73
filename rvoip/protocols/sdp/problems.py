"""What is wrong in a description that was let through: the attribute values that accessors pass over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.formats import ExtMap, Fmtp, RtcpFeedback, RtpMap
from rvoip.protocols.sdp.ice import Candidate
from rvoip.protocols.sdp.media import read_packet_time, read_port, read_size
from rvoip.protocols.sdp.security import Crypto, Fingerprint
from rvoip.protocols.sdp.session import SessionDescription
from rvoip.protocols.sdp.streams import Group, Msid, Rid, Simulcast, SsrcAttribute, SsrcGroup
from rvoip.protocols.sdp.transport import Rtcp, SctpMap, Setup

__all__ = ["problems"]

_Readers = Mapping[str, Callable[[str], object]]

EITHER_LEVEL: _Readers = {"fingerprint": Fingerprint.parse, "setup": Setup.parse, "extmap": ExtMap.parse}
SESSION_LEVEL: _Readers = {**EITHER_LEVEL, "group": Group.parse}
MEDIA_LEVEL: _Readers = {
    **EITHER_LEVEL,
    "candidate": Candidate.parse,
    "crypto": Crypto.parse,
    "fmtp": Fmtp.parse,
    "max-message-size": read_size,
    "maxptime": read_packet_time,
    "msid": Msid.parse,
    "ptime": read_packet_time,
    "rid": Rid.parse,
    "rtcp": Rtcp.parse,
    "rtcp-fb": RtcpFeedback.parse,
    "rtpmap": RtpMap.parse,
    "sctp-port": read_port,
    "sctpmap": SctpMap.parse,
    "simulcast": Simulcast.parse,
    "ssrc": SsrcAttribute.parse,
    "ssrc-group": SsrcGroup.parse,
}


def problems(description: SessionDescription) -> list[SDPError]:
    """One error for each attribute value that cannot be read, with its line as `to_bytes` writes it."""
    found = []
    # Attributes are the last lines of a section, so their places follow from where it ends.
    line = len(description.lines()) - sum(len(media.lines()) for media in description.media)
    for media in (None, *description.media):
        attributes = description.attributes if media is None else media.attributes
        if media is not None:
            line += len(media.lines())
        readers = SESSION_LEVEL if media is None else MEDIA_LEVEL
        for number, error in _unreadable(attributes, readers):
            found.append(SDPError(error.reason, line - len(attributes) + number))
    return found


def _unreadable(attributes: tuple[Attribute, ...], readers: _Readers) -> Iterator[tuple[int, SDPError]]:
    for number, attribute in enumerate(attributes, 1):
        reader = readers.get(attribute.name)
        if reader is None:
            continue
        try:
            if attribute.value is None:
                raise SDPError(f"{attribute.name} has no value")
            reader(attribute.value)
        except SDPError as error:
            yield number, error
