"""The header values that every message carries: Via, CSeq and name-addr (RFC 3261 section 20)."""

from __future__ import annotations

import re

from mypy_extensions import mypyc_attr

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import (
    Params,
    end_of_quoted,
    format_host_port,
    format_params,
    is_plain_value,
    is_token,
    parse_number,
    parse_params,
    quote,
    split_host_port,
    unquote,
)
from rvoip.protocols.sip.uri import URI, SipURI, parse_uri

LARGEST_CSEQ = 2**32 - 1
"""RFC 4475 section 3.1.2.4 rejects what does not fit; RFC 3261 section 8.1.1.5 asks for less than 2**31."""

_BARE_ADDRESS = re.compile(r"[^\x00-\x20<>\"\x7f]+\Z")
_BARE_NAME = re.compile(r"[^\x00-\x08\x0a-\x1f\"<>,;\x7f]*\Z")


class Via:
    """One Via value (RFC 3261 section 20.42). ``transport`` is upper-case, ``host`` without brackets."""

    __slots__ = ("transport", "host", "port", "params")

    def __init__(self, transport: str, host: str, port: int | None, params: Params) -> None:
        self.transport = transport
        self.host = host
        self.port = port
        self.params = params

    def __eq__(self, other: object) -> bool:
        """Equality of transport, host, port and parameters, these in any order."""
        return (
            isinstance(other, Via)
            and self.transport == other.transport
            and self.host == other.host
            and self.port == other.port
            and self.params == other.params
        )

    @property
    def branch(self) -> str | None:
        """The branch parameter, or None."""
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """The received parameter without brackets (RFC 5118 section 4.5), or None."""
        value = self.params.get("received")
        return value.strip("[]") if value else value

    @property
    def rport(self) -> str | None:
        """None when absent, "" when asked for (RFC 3581 section 3), else the port's digits."""
        if "rport" not in self.params:
            return None
        return self.params["rport"] or ""

    @property
    def sent_by(self) -> str:
        """``host`` or ``host:port`` as written in the message."""
        return format_host_port(self.host, self.port)

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {self.sent_by}{format_params(self.params)}"


def parse_via(text: str) -> Via:
    """One Via value; `SIPParseError` when it is none.

    All but the branch is the same in every message of a peer, so it is read once.
    """
    start = text.find(";branch=")
    if start > 0 and '"' not in text:
        end = text.find(";", start + 8)
        branch = text[start + 8 :] if end < 0 else text[start + 8 : end]
        rest = text[:start] if end < 0 else text[:start] + text[end:]
        known = _known_vias.get(rest)
        if known is None:
            known = _read_via(rest)
            if "branch" in known.params:
                return _read_via(text)
            if len(_known_vias) >= _KNOWN_VIAS:
                _known_vias.clear()
            if len(rest) < _LONGEST_KNOWN:
                _known_vias[rest] = known
        if is_plain_value(branch):
            return Via(known.transport, known.host, known.port, {"branch": branch, **known.params})
    return _read_via(text)


_KNOWN_VIAS = 2048
_LONGEST_KNOWN = 200
_known_vias: dict[str, Via] = {}


def _read_via(text: str) -> Via:
    head, semicolon, tail = text.partition(";")
    # Fast path: "SIP/2.0/UDP host:port", one blank, no LWS around the slashes.
    protocol, _, sent_by = head.partition(" ")
    transport = protocol[8:]
    if protocol[:8] != "SIP/2.0/" or not is_token(transport):
        transport, sent_by = _split_sent_protocol(head)
    sent_by = sent_by.strip(" \t")
    user, at, _ = sent_by.rpartition("@")
    if at:
        # Leniency: RFC 7315 prints "p1@visited.net"; answers go to the packet's source anyway.
        if not is_token(user):
            raise SIPParseError("Bad host in Via")
        sent_by = sent_by[len(user) + 1 :]
    host, port = split_host_port(sent_by, "Via")
    if at:
        if ":" in host:
            raise SIPParseError("Bad host in Via")
        host = f"{user}@{host}"
    return Via(transport.upper(), host, port, parse_params(tail) if semicolon else {})


_SENT_PROTOCOL = re.compile(r"([^/\s]+)[ \t]*/[ \t]*([^/\s]+)[ \t]*/[ \t]*([^/\s]+)[ \t]+(.*)\Z", re.ASCII)


def _split_sent_protocol(head: str) -> tuple[str, str]:
    match = _SENT_PROTOCOL.match(head.lstrip(" \t"))
    if match is None or match[1].lower() != "sip" or match[2] != "2.0" or not is_token(match[3]):
        raise SIPParseError("Bad protocol in Via")
    return match[3], match[4]


_SENT_BY = re.compile(
    r"[ \t]*SIP[ \t]*/[ \t]*[0-9.]+[ \t]*/[ \t]*([A-Za-z0-9\-]+)[ \t]+"
    r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._]+)(?:[ \t]*:[ \t]*([0-9]{1,5}))?(?=[ \t;,]|\Z)",
    re.ASCII | re.IGNORECASE,
)
_RPORT = re.compile(r";[ \t]*rport[ \t]*(?:[;=,]|\Z)", re.IGNORECASE)


def salvage_via(text: str) -> Via:
    """What of a topmost Via that cannot be parsed tells where a refusal goes: its sent-by, and rport.

    RFC 4475 sections 3.1.2.1 and 3.1.2.16 want answers to such requests. `SIPParseError` when there is not
    even that.
    """
    found = _SENT_BY.match(text)
    if found is None:
        raise SIPParseError("No sent-by in Via")
    transport, host, port = found.groups()
    number = parse_number(port, 65535, "port") if port else 0
    asked = _RPORT.search(text.partition(",")[0])
    return Via(transport.upper(), host.strip("[]"), number or None, {"rport": None} if asked else {})


class CSeq:
    """A CSeq value (RFC 3261 section 20.16)."""

    __slots__ = ("number", "method")

    def __init__(self, number: int, method: str) -> None:
        self.number = number
        self.method = method

    def __str__(self) -> str:
        return f"{self.number} {self.method}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CSeq) and self.number == other.number and self.method == other.method

    def __hash__(self) -> int:
        return hash((self.number, self.method))


def parse_cseq(text: str) -> CSeq:
    """The CSeq value; `SIPParseError` when it is none or over 2**32 - 1."""
    digits, _, method = text.partition(" ")
    if method in _METHODS and digits.isascii() and digits.isdigit() and len(digits) < 10:
        return CSeq(int(digits), method)
    if not is_token(method):
        parts = [part for part in text.replace("\t", " ").split(" ") if part]
        if len(parts) != 2 or not is_token(parts[1]):
            raise SIPParseError("Bad CSeq")
        digits, method = parts
    return CSeq(parse_number(digits, LARGEST_CSEQ, "CSeq"), method)


_METHODS = frozenset(("INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "MESSAGE", "UPDATE", "PRACK"))


@mypyc_attr(allow_interpreted_subclasses=True)
class NameAddr:
    """A name-addr or addr-spec with header parameters: From, To, Contact, Route and their like.

    ``display`` is the unquoted display name ("" without one); the URI is parsed when first asked for.
    """

    __slots__ = ("display", "uri_text", "params", "_uri")

    def __init__(self, uri: URI | str, display: str = "", params: Params | None = None) -> None:
        self.display = display
        self.uri_text = uri if isinstance(uri, str) else str(uri)
        self.params: Params = {} if params is None else params
        self._uri: URI | None = None if isinstance(uri, str) else uri

    def __eq__(self, other: object) -> bool:
        """Equality of the texts; for addresses see `rvoip.protocols.sip.uri.equivalent`."""
        return (
            isinstance(other, NameAddr)
            and self.display == other.display
            and self.uri_text == other.uri_text
            and self.params == other.params
        )

    @property
    def uri(self) -> URI:
        """The URI; `SIPParseError` when the text between the brackets is none."""
        uri = self._uri
        if uri is None:
            uri = self._uri = parse_uri(self.uri_text)
        return uri

    @property
    def sip_uri(self) -> SipURI:
        """The URI when it is a sip: or sips: one; else `SIPParseError` 416."""
        uri = self.uri
        if not isinstance(uri, SipURI):
            raise SIPParseError(f"Unsupported URI scheme {uri.scheme}", 416)
        return uri

    @property
    def tag(self) -> str | None:
        """The tag parameter, or None."""
        return self.params.get("tag")

    def param(self, name: str) -> str | None:
        """A header parameter, unquoted; "" for one without a value, None when absent."""
        if name not in self.params:
            return None
        value = self.params[name]
        return "" if value is None else unquote(value)

    def __str__(self) -> str:
        shown = f"{quote(self.display)} " if self.display else ""
        return f"{shown}<{self.uri_text}>{format_params(self.params)}"


def parse_name_addr(text: str) -> NameAddr:
    """One name-addr or addr-spec with parameters; `SIPParseError` when it is none.

    Leniencies: no blank before ``<`` (RFC 4475 section 3.1.1.6); a display name that should be quoted but
    for commas and semicolons (3.1.2.15); a ``?`` in an unbracketed address belongs to the URI (3.1.2.13);
    blanks just inside the brackets and beside semicolons there (3.1.2.14, the folded URIs of RFC 8599).
    """
    text = text.strip(" \t")
    if text.startswith('"'):
        close = end_of_quoted(text, 0)
        display = unquote(text[: close + 1])
        rest = text[close + 1 :].lstrip(" \t")
        if not rest.startswith("<"):
            raise SIPParseError("Text after a display name")
    else:
        name, angle, rest = text.partition("<")
        if not angle:
            return _parse_addr_spec(text)
        display = name.rstrip(" \t")
        if not _BARE_NAME.match(display):
            raise SIPParseError("Bad display name")
        rest = "<" + rest
    uri_text, angle, tail = rest[1:].partition(">")
    if not angle:
        raise SIPParseError("Unterminated bracket")
    if " " in uri_text:
        uri_text = ";".join([piece.strip(" \t") for piece in uri_text.split(";")])
    if not uri_text or " " in uri_text:
        raise SIPParseError("Empty address or blank in one")
    tail = tail.lstrip(" \t")
    if not tail:
        return NameAddr(uri_text, display)
    if tail[:5] == ";tag=" and is_token(tail[5:]):
        return NameAddr(uri_text, display, {"tag": tail[5:]})
    if tail[0] != ";":
        raise SIPParseError("Text after an address")
    if ">" in tail and "<" not in tail and '"' not in tail:
        tail = tail.replace(">", "")  # leniency: RFC 3666 prints "<sip:a@b>;user=phone>;tag=1"
    return NameAddr(uri_text, display, parse_params(tail, lenient=True))


def _parse_addr_spec(text: str) -> NameAddr:
    """Without brackets, parameters belong to the header (RFC 3261 section 20)."""
    uri_text, semicolon, tail = text.partition(";")
    uri_text = uri_text.rstrip(" \t")
    if not _BARE_ADDRESS.match(uri_text):
        raise SIPParseError("Bad address")
    return NameAddr(uri_text, "", parse_params(tail, lenient=True) if semicolon else {})
