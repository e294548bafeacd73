"""What the sender takes: Accept, Accept-Encoding, Accept-Language (RFC 3261 sections 20.1 to 20.3)."""

from __future__ import annotations

import attrs

from rvoip.protocols.sip.content_headers import split_media_type
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import Params, format_params, format_q, head_and_params, is_token, take_q

__all__ = ["MediaRange", "Preference", "parse_media_range", "parse_preference"]


@attrs.frozen
class MediaRange:
    """An Accept value. ``type`` and ``subtype`` are lower-case or "*"; ``q`` is in thousandths, 0 to 1000."""

    type: str
    subtype: str
    q: int = 1000
    params: Params = attrs.field(factory=dict)

    def covers(self, essence: str) -> bool:
        """Whether ``type/subtype`` (lower-case) falls into the range; a q of 0 covers nothing."""
        kind, _, subtype = essence.partition("/")
        return self.q > 0 and self.type in ("*", kind) and self.subtype in ("*", subtype)

    def __str__(self) -> str:
        return f"{self.type}/{self.subtype}{format_params(self.params)}{_q(self.q)}"


def parse_media_range(text: str) -> MediaRange:
    """One Accept value; `SIPParseError` when it is none."""
    head, params = head_and_params(text)
    kind, subtype = split_media_type(head)
    if kind == "*" and subtype != "*":
        raise SIPParseError("Bad media range")
    q = take_q(params)
    return MediaRange(kind, subtype, 1000 if q is None else q, params)


@attrs.frozen
class Preference:
    """An Accept-Encoding or Accept-Language value: a lower-case token and its q in thousandths."""

    value: str
    q: int = 1000
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{self.value}{format_params(self.params)}{_q(self.q)}"


def parse_preference(text: str) -> Preference:
    """One Accept-Encoding or Accept-Language value; `SIPParseError` when it is none."""
    head, params = head_and_params(text)
    if not is_token(head):
        raise SIPParseError("Bad token")
    q = take_q(params)
    return Preference(head.lower(), 1000 if q is None else q, params)


def _q(q: int) -> str:
    return "" if q == 1000 else f";q={format_q(q)}"
