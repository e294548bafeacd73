"""Why and whence a call was retargeted: Diversion (RFC 5806), History-Info (RFC 7044), Reason (RFC 3326)."""

from __future__ import annotations

import attrs

from rvoip.protocols.sip.address import NameAddr, parse_name_addr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import (
    Params,
    format_params,
    head_and_params,
    is_token,
    parse_number,
    quote,
    split_outside,
    take_number,
    take_text,
)
from rvoip.protocols.sip.uri import SipURI, unescape

__all__ = ["Diversion", "HistoryInfo", "Reason", "parse_diversion", "parse_history_info", "parse_reason"]

LARGEST_CAUSE = 999
LARGEST_COUNTER = 99
"""RFC 5806 section 4 gives counter and limit two digits."""
LARGEST_INDEX = 2**31 - 1
DEEPEST_INDEX = 70


@attrs.frozen
class Reason:
    """A Reason value (RFC 3326 section 2): ``cause`` a status or Q.850 cause, ``text`` unquoted.

    ``protocol`` is as written ("SIP", "Q.850", "Preemption") and compared without case.
    """

    protocol: str
    cause: int | None = None
    text: str | None = None
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        cause = "" if self.cause is None else f";cause={self.cause}"
        text = "" if self.text is None else f";text={quote(self.text)}"
        return f"{self.protocol}{cause}{text}{format_params(self.params)}"


def parse_reason(text: str) -> Reason:
    """One Reason value; `SIPParseError` when it is none."""
    head, params = head_and_params(text)
    if not is_token(head):
        raise SIPParseError("Bad Reason")
    cause = take_number(params, "cause", LARGEST_CAUSE)
    return Reason(head, cause, take_text(params, "text"), params)


class Diversion(NameAddr):
    """A Diversion value: the address that was diverted from, and how (RFC 5806 section 4)."""

    __slots__ = ()

    @property
    def reason(self) -> str:
        """Such as "no-answer" or "user-busy", lower-case; "unknown" when absent."""
        return (self.param("reason") or "unknown").lower()

    @property
    def counter(self) -> int:
        """How many diversions this entry stands for, 1 when absent."""
        value = self.params.get("counter")
        return 1 if value is None else parse_number(value, LARGEST_COUNTER, "counter in Diversion")

    @property
    def limit(self) -> int | None:
        """How many diversions are allowed, or None."""
        value = self.params.get("limit")
        return None if value is None else parse_number(value, LARGEST_COUNTER, "limit in Diversion")

    @property
    def privacy(self) -> str:
        """ "full", "name", "uri", "off" or another token in lower case; "off" when absent."""
        return (self.param("privacy") or "off").lower()

    @property
    def screened(self) -> bool:
        """Whether the address was verified by the network (``screen=yes``)."""
        return (self.param("screen") or "").lower() == "yes"


def parse_diversion(text: str) -> Diversion:
    """One Diversion value; `SIPParseError` when it is none or a number in it is bad."""
    parsed = parse_name_addr(text)
    value = Diversion(parsed.uri_text, parsed.display, parsed.params)
    # Reading them finds bad numbers.
    _ = value.counter, value.limit
    return value


class HistoryInfo(NameAddr):
    """A History-Info entry: a target that the request had, and its place in the tree (RFC 7044 section 5)."""

    __slots__ = ()

    @property
    def index(self) -> tuple[int, ...]:
        """The place in the tree of targets: ``1.2.1`` is (1, 2, 1); () when absent."""
        value = self.params.get("index")
        return () if value is None else _index(value)

    @property
    def rc(self) -> tuple[int, ...] | None:
        """The entry whose recursion gave this one, by its index, or None."""
        value = self.params.get("rc")
        return None if value is None else _index(value)

    @property
    def mp(self) -> tuple[int, ...] | None:
        """The entry that was mapped to another user by this one, by its index, or None."""
        value = self.params.get("mp")
        return None if value is None else _index(value)

    @property
    def cause(self) -> int | None:
        """The ``cause`` of the URI (RFC 4458 section 2) such as 486, or None; `SIPParseError` when bad."""
        uri = self.uri
        value = uri.param("cause") if isinstance(uri, SipURI) else None
        return None if value is None else parse_number(value, LARGEST_CAUSE, "cause in History-Info")

    @property
    def reasons(self) -> list[Reason]:
        """The Reason headers in the URI: why the request left this target; `SIPParseError` when bad."""
        return [
            parse_reason(piece.strip(" \t"))
            for value in self._uri_headers("reason")
            for piece in split_outside(value, ",")
        ]

    @property
    def private(self) -> bool:
        """Whether the URI carries a Privacy header: the entry is not for the far end."""
        return bool(self._uri_headers("privacy"))

    def _uri_headers(self, name: str) -> list[str]:
        uri = self.uri
        if not isinstance(uri, SipURI):
            return []
        return [unescape(value or "") for key, value in uri.headers if unescape(key).lower() == name]


def parse_history_info(text: str) -> HistoryInfo:
    """One History-Info value; `SIPParseError` when it is none or an index in it is bad."""
    parsed = parse_name_addr(text)
    value = HistoryInfo(parsed.uri_text, parsed.display, parsed.params)
    # Reading them finds bad numbers.
    _ = value.index, value.rc, value.mp
    return value


def _index(text: str) -> tuple[int, ...]:
    parts = text.split(".")
    if len(parts) > DEEPEST_INDEX:
        raise SIPParseError("History-Info index too deep")
    return tuple([parse_number(part, LARGEST_INDEX, "index in History-Info") for part in parts])
