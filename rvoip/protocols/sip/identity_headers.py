"""Who is calling, by whose word: asserted identities, Privacy and signed Identity.

P-Asserted-Identity and P-Preferred-Identity (RFC 3325) are plain `NameAddr` values.
"""

from __future__ import annotations

import re

import attrs

from rvoip.protocols.sip.address import NameAddr, parse_name_addr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import (
    Params,
    format_params,
    is_token,
    parse_params,
    quote,
    split_outside,
    take_text,
    token_or_quoted,
    unquote,
)

__all__ = ["Identity", "Privacy", "RemotePartyID", "parse_identity", "parse_privacy", "parse_remote_party_id"]


@attrs.frozen
class Privacy:
    """A Privacy value (RFC 3323 section 4.2): its tokens in lower case, such as "id", "user", "none"."""

    values: tuple[str, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.values

    @property
    def hides_identity(self) -> bool:
        """Whether a P-Asserted-Identity may not leave the trusted network (RFC 3325 section 7)."""
        return "id" in self.values

    def __str__(self) -> str:
        return ";".join(self.values)


def parse_privacy(text: str) -> Privacy:
    """A Privacy value; `SIPParseError` when it is none.

    Leniency: a comma separates as the semicolon of RFC 3323 does, so that no wish is overlooked.
    """
    values = [value.strip(" \t") for value in text.replace(",", ";").split(";")]
    for value in values:
        if not is_token(value):
            raise SIPParseError("Bad Privacy")
    return Privacy(tuple([value.lower() for value in values]))


@attrs.frozen
class Identity:
    """An Identity value (RFC 8224 section 4): a PASSporT, whole or without header and claims ("..sig").

    ``info`` is the URI of the certificate, ``alg`` and ``ppt`` tokens such as "ES256" and "shaken";
    ``info`` is None in the form of RFC 4474, whose quoted signature comes without quotes here.
    """

    digest: str
    info: str | None = None
    alg: str | None = None
    ppt: str | None = None
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        parts = [self.digest if self.info is not None else quote(self.digest)]
        if self.info is not None:
            parts.append(f"info=<{self.info}>")
        if self.alg is not None:
            parts.append(f"alg={token_or_quoted(self.alg)}")
        if self.ppt is not None:
            parts.append(f"ppt={quote(self.ppt)}")
        return ";".join(parts) + format_params(self.params)


_DIGEST = re.compile(r"[A-Za-z0-9+/=_.\-]+\Z")
_INFO = re.compile(r"[ \t]*info[ \t]*=[ \t]*<([^<>\x00-\x20\x7f]+)>[ \t]*\Z", re.IGNORECASE | re.ASCII)


def parse_identity(text: str) -> Identity:
    """An Identity value; `SIPParseError` when it is none.

    Leniency: blanks within the signature are dropped; the examples of RFC 4474 fold it.
    """
    pieces = split_outside(text, ";")
    digest = unquote(pieces[0].strip(" \t")).replace(" ", "").replace("\t", "")
    if not _DIGEST.match(digest):
        raise SIPParseError("Bad Identity")
    info: str | None = None
    rest: list[str] = []
    for piece in pieces[1:]:
        match = _INFO.match(piece)
        if match is None:
            rest.append(piece)
        elif info is None:
            info = match[1]
    params = parse_params(";".join(rest)) if rest else {}
    return Identity(digest, info, take_text(params, "alg"), take_text(params, "ppt"), params)


class RemotePartyID(NameAddr):
    """A Remote-Party-ID value (draft-ietf-sip-privacy-04 section 5), the elder P-Asserted-Identity."""

    __slots__ = ()

    @property
    def party(self) -> str | None:
        """ "calling", "called" or another token in lower case, or None."""
        value = self.param("party")
        return None if value is None else value.lower()

    @property
    def privacy(self) -> str:
        """ "full", "name", "uri", "off" or another token in lower case; "off" when absent."""
        return (self.param("privacy") or "off").lower()

    @property
    def screened(self) -> bool:
        """Whether the network verified the identity (``screen=yes``)."""
        return (self.param("screen") or "").lower() == "yes"


def parse_remote_party_id(text: str) -> RemotePartyID:
    """One Remote-Party-ID value; `SIPParseError` when it is none."""
    parsed = parse_name_addr(text)
    return RemotePartyID(parsed.uri_text, parsed.display, parsed.params)
