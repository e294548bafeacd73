"""Descriptions of an end that is no phone: the side of an rtpengine's call that faces another of its calls.

Text in and text out, for one audio stream in PCMA with digits.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from rvoip.mediacontrol.errors import MediaRefused

__all__ = ["Far", "answer_for", "codec_of", "far_of", "offer_of", "shares"]

_CONNECTION: Final = re.compile(r"^c=IN (IP[46]) ([^\s/]{1,64})", re.MULTILINE)
_AUDIO: Final = re.compile(r"^m=audio ([0-9]{1,5}) ([A-Z/]{1,32}) ([0-9 ]{1,256})", re.MULTILINE)
_MEDIA: Final = re.compile(r"^m=([^\r\n]{1,512})", re.MULTILINE)
_RTPMAP: Final = re.compile(r"^a=rtpmap:([0-9]{1,3}) ([A-Za-z0-9._-]{1,32})/([0-9]{1,6})", re.MULTILINE)
_PCMA: Final = "8"
_STATIC: Final = {"0": "PCMU", "8": "PCMA", "9": "G722", "3": "GSM", "18": "G729"}


class Far(NamedTuple):
    """Where the far side sends and is sent to."""

    kind: str
    """IP4 or IP6."""
    host: str
    port: int

    @property
    def nowhere(self) -> Far:
        """The same host, where nobody listens: what is sent there is thrown away (RFC 863)."""
        return Far(self.kind, self.host, 9)


def far_of(sdp: str) -> Far:
    """Where a description's first audio stream is received. Raises `MediaRefused` 488."""
    audio, connection = _AUDIO.search(sdp), _CONNECTION.search(sdp)
    if audio is None or connection is None or not 0 < int(audio[1]) < 65536:
        raise MediaRefused("the description has no audio stream", 488)
    return Far(connection[1], connection[2], int(audio[1]))


def codec_of(sdp: str) -> str:
    """The first codec of the first audio stream; empty when it has none."""
    audio = _AUDIO.search(sdp)
    if audio is None or not audio[3].split():
        return ""
    first = audio[3].split()[0]
    named = {match[1]: match[2] for match in _RTPMAP.finditer(sdp)}
    return named.get(first) or _STATIC.get(first, "")


def shares(offer: str, answer: str) -> bool:
    """Whether the answer's first codec is one of the offer's first audio stream."""
    offered, answered = _AUDIO.search(offer), _AUDIO.search(answer)
    formats = answered[3].split() if answered is not None else []
    return offered is not None and bool(formats) and formats[0] in offered[3].split()


def _head(far: Far, version: int) -> str:
    return (
        f"v=0\r\no=- 1 {version} IN {far.kind} {far.host}\r\ns=-\r\nc=IN {far.kind} {far.host}\r\nt=0 0\r\n"
    )


def _audio(far: Far, digits: str, direction: str) -> str:
    lines = f"m=audio {far.port} RTP/AVP {_PCMA} {digits}".rstrip() + f"\r\na=rtpmap:{_PCMA} PCMA/8000\r\n"
    if digits:
        lines += f"a=rtpmap:{digits} telephone-event/8000\r\na=fmtp:{digits} 0-15\r\n"
    return f"{lines}a={direction}\r\n"


def offer_of(far: Far, version: int, direction: str = "sendrecv") -> str:
    """The far side's offer."""
    return _head(far, version) + _audio(far, "101", direction)


def answer_for(sdp: str, far: Far, version: int) -> str:
    """The far side's answer: the first audio stream in PCMA, nothing else.

    Raises `MediaRefused` 488 when PCMA is not among what is offered; rtpengine adds it where it transcodes.
    """
    named = {match[1]: match[2].lower() for match in _RTPMAP.finditer(sdp)}
    taken = False
    text = _head(far, version)
    for media in _MEDIA.finditer(sdp):
        fields = media[1].split()
        if not taken and len(fields) > 3 and fields[0] == "audio" and _PCMA in fields[3:]:
            taken = True
            digits = next((each for each in fields[3:] if named.get(each) == "telephone-event"), "")
            text += _audio(far, digits, _reversed(sdp[media.start() :]))
        else:
            text += f"m={fields[0]} 0 {' '.join(fields[2:])}\r\n"
    if not taken:
        raise MediaRefused("no stream of this offer can be taken", 488)
    return text


def _reversed(section: str) -> str:
    """The direction of the first section, seen from the other end."""
    body = section.partition("\nm=")[0]
    if re.search(r"^a=sendonly\b", body, re.MULTILINE):
        return "recvonly"
    if re.search(r"^a=recvonly\b", body, re.MULTILINE):
        return "sendonly"
    return "inactive" if re.search(r"^a=inactive\b", body, re.MULTILINE) else "sendrecv"
