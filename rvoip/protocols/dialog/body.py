"""What a message carries, as this layer hands it over: octets and their type."""

from __future__ import annotations

import attrs

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message
from rvoip.protocols.sip.mime import find_part, parse_multipart

__all__ = ["SDP", "Body", "session_part"]

SDP = "application/sdp"


@attrs.frozen(slots=True)
class Body:
    """A body: its octets, the value of Content-Type, and that of Content-Disposition or None."""

    content: bytes
    type: str = SDP
    disposition: str | None = None

    @classmethod
    def of(cls, message: Message) -> Body | None:
        """The body of a message; None without one. One without a type counts as SDP, as in RFC 2543."""
        if not message.body:
            return None
        return cls(message.body, message.get("content-type") or SDP, message.get("content-disposition"))

    @property
    def describes(self) -> bool:
        """Whether it takes part in offer and answer: a session description, alone or among others."""
        essence = self.type.partition(";")[0].strip(" \t").lower()
        return essence == SDP or essence.startswith("multipart/")

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers that go with it besides Content-Type and Content-Length."""
        return () if self.disposition is None else (("Content-Disposition", self.disposition),)


def session_part(message: Message) -> Body | None:
    """What of a message's body takes part in offer and answer (RFC 3264, RFC 5621 section 6): its session
    description, which may be one part of several; None when there is none, or it is no description of this
    session (early-session, RFC 3959).
    """
    if not message.body:
        return None
    essence = message.content_type or SDP
    disposition = (message.get("content-disposition") or "session").partition(";")[0].strip(" \t").lower()
    if essence == SDP:
        return Body.of(message) if disposition == "session" else None
    if not essence.startswith("multipart/"):
        return None
    try:
        part = find_part(parse_multipart(message.get("content-type") or "", message.body), SDP)
    except SIPParseError:
        return None
    return None if part is None else Body(part.body)
