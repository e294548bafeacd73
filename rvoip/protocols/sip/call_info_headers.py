"""What to show or play: Alert-Info, Call-Info, Error-Info, and Warning (RFC 3261 section 20)."""

from __future__ import annotations

import attrs

from rvoip.protocols.sip.address import NameAddr, parse_name_addr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import end_of_quoted, is_token, parse_number, quote, split_host_port, unquote

__all__ = ["CallInfo", "WarningValue", "parse_call_info", "parse_warning"]


class CallInfo(NameAddr):
    """An Alert-Info, Call-Info, Error-Info or Identity-Info value: a URI and its parameters."""

    __slots__ = ()

    @property
    def purpose(self) -> str | None:
        """What the URI is for ("icon", "info", "card"), lower-case, or None (RFC 3261 section 20.9)."""
        value = self.param("purpose")
        return None if value is None else value.lower()


def parse_call_info(text: str) -> CallInfo:
    """One Alert-Info, Call-Info or Error-Info value; `SIPParseError` when it is none.

    Leniency: the brackets may be missing, as in RFC 8876 section 8.
    """
    parsed = parse_name_addr(text)
    if parsed.display:
        raise SIPParseError("Text before a URI")
    return CallInfo(parsed.uri_text, "", parsed.params)


@attrs.frozen
class WarningValue:
    """A Warning value (RFC 3261 section 20.43): three digits, the agent as written, text unquoted."""

    code: int
    agent: str
    text: str

    def __str__(self) -> str:
        return f"{self.code:03d} {self.agent} {quote(self.text)}"


def parse_warning(text: str) -> WarningValue:
    """One Warning value; `SIPParseError` when it is none."""
    digits, _, rest = text.partition(" ")
    agent, _, shown = rest.lstrip(" \t").partition(" ")
    shown = shown.strip(" \t")
    if len(digits) != 3 or shown[:1] != '"' or end_of_quoted(shown, 0) != len(shown) - 1:
        raise SIPParseError("Bad Warning")
    if not is_token(agent):
        split_host_port(agent, "Warning")
    return WarningValue(parse_number(digits, 999, "Warning"), agent, unquote(shown))
