"""What a session carries: its timer (RFC 4028), reliable responses (RFC 3262), Session-ID, User-to-User."""

from __future__ import annotations

import re

import attrs

from rvoip.protocols.sip.address import LARGEST_CSEQ
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import (
    LARGEST_SECONDS,
    Params,
    end_of_quoted,
    format_params,
    head_and_params,
    is_token,
    parse_number,
    parse_params,
    take_text,
    token_or_quoted,
    unquote,
)

__all__ = [
    "NIL_UUID",
    "RAck",
    "SessionExpires",
    "SessionID",
    "UserToUser",
    "parse_min_se",
    "parse_rack",
    "parse_rseq",
    "parse_session_expires",
    "parse_session_id",
    "parse_user_to_user",
]


@attrs.frozen
class SessionExpires:
    """A Session-Expires value (RFC 4028 section 4): seconds, and "uac", "uas" or None."""

    seconds: int
    refresher: str | None = None
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        refresher = "" if self.refresher is None else f";refresher={self.refresher}"
        return f"{self.seconds}{refresher}{format_params(self.params)}"


def parse_session_expires(text: str) -> SessionExpires:
    """A Session-Expires value; `SIPParseError` when it is none or names another refresher."""
    head, params = head_and_params(text)
    seconds = parse_number(head, LARGEST_SECONDS, "Session-Expires")
    refresher = take_text(params, "refresher")
    if refresher is not None:
        refresher = refresher.lower()
        if refresher not in ("uac", "uas"):
            raise SIPParseError("Bad refresher in Session-Expires")
    return SessionExpires(seconds, refresher, params)


def parse_min_se(text: str) -> int:
    """Min-SE in seconds (RFC 4028 section 5); its parameters, of which none is defined, are dropped."""
    return parse_number(head_and_params(text)[0], LARGEST_SECONDS, "Min-SE")


@attrs.frozen
class RAck:
    """A RAck value (RFC 3262 section 7.2): the RSeq, and the CSeq of the response acknowledged."""

    rseq: int
    cseq: int
    method: str

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"


def parse_rack(text: str) -> RAck:
    """A RAck value; `SIPParseError` when it is none or a number is over 2**32 - 1."""
    parts = [part for part in text.replace("\t", " ").split(" ") if part]
    if len(parts) != 3 or not is_token(parts[2]):
        raise SIPParseError("Bad RAck")
    return RAck(parse_rseq(parts[0]), parse_number(parts[1], LARGEST_CSEQ, "CSeq in RAck"), parts[2])


def parse_rseq(text: str) -> int:
    """An RSeq value (RFC 3262 section 7.1)."""
    return parse_number(text, 2**32 - 1, "RSeq")


NIL_UUID = "0" * 32
"""The remote half of a Session-ID while the far end's is not known (RFC 7989 section 5)."""

_UUID = re.compile(r"[0-9a-f]{32}\Z")


@attrs.frozen
class SessionID:
    """A Session-ID value (RFC 7989 section 5): two UUIDs as 32 lower-case hex digits.

    ``remote`` is None in the older form of RFC 7329, which has one half.
    """

    local: str
    remote: str | None = None
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        remote = "" if self.remote is None else f";remote={self.remote}"
        return f"{self.local}{remote}{format_params(self.params)}"


def parse_session_id(text: str) -> SessionID:
    """A Session-ID value; `SIPParseError` when it is none. Leniency: upper-case digits are lowered."""
    head, params = head_and_params(text)
    local = head.lower()
    remote = take_text(params, "remote")
    if remote is not None:
        remote = remote.lower()
    if not _UUID.match(local) or (remote is not None and not _UUID.match(remote)):
        raise SIPParseError("Bad Session-ID")
    return SessionID(local, remote, params)


@attrs.frozen
class UserToUser:
    """A User-to-User value (RFC 7433 section 4): ``data`` unquoted; ``encoding`` "hex" or another token."""

    data: str
    encoding: str | None = None
    content: str | None = None
    purpose: str | None = None
    params: Params = attrs.field(factory=dict)

    @property
    def octets(self) -> bytes:
        """The data where ``encoding`` is "hex" or absent; `SIPParseError` when it is no hex."""
        if self.encoding not in (None, "hex") or len(self.data) % 2 or not _HEX.match(self.data):
            raise SIPParseError("User-to-User that is not hex")
        return bytes.fromhex(self.data)

    def __str__(self) -> str:
        parts = [token_or_quoted(self.data)]
        for name, value in (
            ("purpose", self.purpose),
            ("content", self.content),
            ("encoding", self.encoding),
        ):
            if value is not None:
                parts.append(f"{name}={token_or_quoted(value)}")
        return ";".join(parts) + format_params(self.params)


_HEX = re.compile(r"[0-9A-Fa-f]*\Z")


def parse_user_to_user(text: str) -> UserToUser:
    """One User-to-User value; `SIPParseError` when it is none."""
    if text.startswith('"'):
        close = end_of_quoted(text, 0) + 1
        tail = text[close:].lstrip(" \t")
        if tail and tail[0] != ";":
            raise SIPParseError("Text after quoted User-to-User data")
        data, params = unquote(text[:close]), parse_params(tail[1:]) if tail else {}
    else:
        data, params = head_and_params(text)
        if not is_token(data):
            raise SIPParseError("Bad User-to-User")
    encoding = take_text(params, "encoding")
    return UserToUser(
        data,
        None if encoding is None else encoding.lower(),
        take_text(params, "content"),
        take_text(params, "purpose"),
        params,
    )
