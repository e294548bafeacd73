"""ENUM: the SIP address of a telephone number, as DNS has it (RFC 6116, RFC 3402, RFC 3764)."""

from __future__ import annotations

from collections.abc import Sequence

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.protocols.transport.dns_records import NAPTR
from rvoip.proxy.numbers import LONGEST_NUMBER
from rvoip.proxy.pattern import Pattern, PatternError, expand

__all__ = ["MOST_STEPS", "choose", "enum_domain"]

MOST_STEPS = 5
"""Non-terminal rules that are followed for one number (RFC 6116 section 3.4.2 asks for a limit)."""

_SERVICES = frozenset(("E2U+SIP", "SIP+E2U"))


def enum_domain(number: str, suffix: str) -> str:
    """The domain of a number (+ and digits): each digit a label, the last one first (section 3.2).

    ValueError for what is no number.
    """
    digits = number[1:]
    if number[:1] != "+" or not (digits.isascii() and digits.isdigit()) or len(digits) > LONGEST_NUMBER:
        raise ValueError(f"{number!r} is no E.164 number")
    return ".".join([*reversed(digits), suffix.strip(".")])


def choose(records: Sequence[NAPTR], number: str) -> tuple[list[SipURI], str]:
    """The SIP URIs of a number's records, most wanted first; or the domain to ask next; or neither.

    By rising order, then preference. As soon as rules of one order have given something those of later ones
    are out (RFC 3403 section 4.1). A record that cannot be used, as one with a bad expression or for another
    service, is passed over.
    """
    found: list[SipURI] = []
    order = -1
    for record in sorted(records, key=lambda one: (one.order, one.preference)):
        if found and record.order != order:
            break
        if record.flags == "U":
            uri = _terminal(record, number)
            if uri is not None:
                found.append(uri)
                order = record.order
        elif record.flags == "" and record.replacement and not record.regexp and not found:
            return [], record.replacement
    return found, ""


def _is_sip(service: str) -> bool:
    """Whether the services hold SIP: "E2U+sip", also with others beside it ("E2U+sip+email")."""
    if service in _SERVICES:
        return True
    kind, *enumservices = service.split("+")
    return kind == "E2U" and any(one.partition(":")[0] == "SIP" for one in enumservices)


def _terminal(record: NAPTR, number: str) -> SipURI | None:
    if not _is_sip(record.service):
        return None
    text = substitute(record.regexp, number)
    if text is None:
        return None
    try:
        uri = parse_uri(text)
    except SIPParseError:
        return None
    if not isinstance(uri, SipURI) or uri.user is None:
        return None
    return uri.for_request_line()


def substitute(regexp: str, number: str) -> str | None:
    """What a NAPTR's regexp field makes of a number; None when it does not match, or is malformed.

    The field is a delimiter, an expression, the delimiter, a replacement, the delimiter and maybe "i" (RFC
    3402 section 3.2).
    """
    delimiter = regexp[:1]
    if not delimiter or delimiter.isalnum() or delimiter == "\\":
        return None
    parts = _split(regexp[1:], delimiter)
    if len(parts) != 3 or parts[2] not in ("", "i"):
        return None
    try:
        groups = Pattern(parts[0], ignore_case=parts[2] == "i").search(number)
        return None if groups is None else expand(parts[1], groups)
    except PatternError:
        return None


def _split(text: str, delimiter: str) -> list[str]:
    """The parts between unescaped delimiters."""
    parts, part, at = [], "", 0
    while at < len(text):
        character = text[at]
        if character == "\\" and text[at + 1 : at + 2] == delimiter:
            part += delimiter
            at += 2
            continue
        if character == "\\":
            part += text[at : at + 2]
            at += 2
            continue
        if character == delimiter:
            parts.append(part)
            part = ""
        else:
            part += character
        at += 1
    return [*parts, part]
