"""What the body is: Content-Type, Content-Disposition, MIME-Version (RFC 3261 sections 20.11 to 20.24)."""

from __future__ import annotations

import attrs

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import (
    Params,
    format_params,
    head_and_params,
    is_token,
    parse_number,
    take_text,
    token_or_quoted,
    unquote,
)

__all__ = [
    "LARGEST_CONTENT_LENGTH",
    "ContentDisposition",
    "MediaType",
    "parse_content_disposition",
    "parse_content_length",
    "parse_lower_token",
    "parse_media_type",
    "parse_mime_version",
    "split_media_type",
]

LARGEST_CONTENT_LENGTH = 9_999_999
"""Octets; more digits than seven are never an honest length (and have overflowed parsers)."""


@attrs.frozen
class MediaType:
    """A Content-Type value (RFC 3261 section 20.15). ``type`` and ``subtype`` are lower-case.

    ``params`` hold values as written, quotes included.
    """

    type: str
    subtype: str
    params: Params = attrs.field(factory=dict)

    @property
    def essence(self) -> str:
        """``type/subtype``."""
        return f"{self.type}/{self.subtype}"

    def param(self, name: str) -> str | None:
        """A parameter such as ``boundary``, unquoted; None when absent."""
        value = self.params.get(name)
        return None if value is None else unquote(value)

    def __str__(self) -> str:
        return f"{self.type}/{self.subtype}{format_params(self.params)}"


def split_media_type(text: str) -> tuple[str, str]:
    """(type, subtype) of ``type/subtype``, lower-case; blanks around the slash are allowed."""
    kind, _, subtype = text.partition("/")
    kind, subtype = kind.strip(" \t"), subtype.strip(" \t")
    if not is_token(kind) or not is_token(subtype):
        raise SIPParseError("Bad media type")
    return kind.lower(), subtype.lower()


def parse_media_type(text: str) -> MediaType:
    """A Content-Type value; `SIPParseError` when it is none."""
    head, params = head_and_params(text)
    return MediaType(*split_media_type(head), params)


@attrs.frozen
class ContentDisposition:
    """A Content-Disposition value (RFC 3261 section 20.11). ``disposition`` is lower-case.

    ``handling`` is "required", "optional", another token, or None for the default "required".
    """

    disposition: str
    handling: str | None = None
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        handling = "" if self.handling is None else f";handling={token_or_quoted(self.handling)}"
        return f"{self.disposition}{handling}{format_params(self.params)}"


def parse_content_disposition(text: str) -> ContentDisposition:
    """A Content-Disposition value; `SIPParseError` when it is none."""
    head, params = head_and_params(text)
    if not is_token(head):
        raise SIPParseError("Bad Content-Disposition")
    handling = take_text(params, "handling")
    return ContentDisposition(head.lower(), None if handling is None else handling.lower(), params)


def parse_content_length(text: str) -> int:
    """Content-Length in octets (RFC 3261 section 20.14)."""
    return parse_number(text, LARGEST_CONTENT_LENGTH, "Content-Length")


def parse_mime_version(text: str) -> str:
    """MIME-Version, such as "1.0" (RFC 3261 section 20.24)."""
    major, _, minor = text.partition(".")
    return f"{parse_number(major, 999, 'MIME-Version')}.{parse_number(minor, 999, 'MIME-Version')}"


def parse_lower_token(text: str) -> str:
    """A token that is compared without case, such as a content coding, in lower case."""
    if not is_token(text):
        raise SIPParseError("Bad token")
    return text.lower()
