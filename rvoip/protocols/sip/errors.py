"""What the SIP parsers raise: whose fault it is and what to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rvoip.protocols.sip.message import Message


class SIPError(Exception):
    """Base of all errors of this package."""


class SIPParseError(SIPError):
    """A peer's bytes that are not acceptable SIP; the only error that a parser lets out.

    ``status`` is the response that the bytes deserve when they were a request (RFC 3261 section 21.4),
    ``message`` what could be read of them, or None when not even that can be answered.
    """

    def __init__(self, reason: str, status: int = 400, message: Message | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return f"{self.status} {self.reason}"


class SIPBuildError(SIPError, ValueError):
    """A value of ours that cannot be written as SIP (a line break in a header, a bad method)."""
