"""A REGISTER over UDP in the form that most phones send, read from its octets at once.

What differs from that form in any way is left to the general parser: what is malformed, folded or spelt
otherwise, several Vias or Contacts, routes, option tags that must be understood, bodies.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["PlainRegister", "read"]

_LONGEST: Final = 4096
_TEXT: Final = bytes(range(0x20, 0x7F))

# Header fields that nobody would refuse whatever is in them, and those that are read below.
_KNOWN: Final = frozenset(
    "Via From To Call-ID CSeq Contact Expires Authorization User-Agent Max-Forwards Content-Length Supported "
    "Allow Allow-Events Accept".split()
)
_VIA = re.compile(
    r"(SIP/2\.0/UDP ([A-Za-z0-9][A-Za-z0-9.\-]*)(?::([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}))?)"
    r"(?:;rport;branch=(z9hG4bK[\w.\-]+)|;branch=(z9hG4bK[\w.\-]+);rport)(;alias)?",
    re.ASCII,
).fullmatch
_FROM = re.compile(r'(?:"[^"\\]*" ?)?<sip:[\w.+\-]+@[\w.\-]+>;tag=[\w.\-]+', re.ASCII).fullmatch
_TO = re.compile(r'(?:"[^"\\]*" ?)?<sip:([\w.+\-]+)@([\w.\-]+)>', re.ASCII).fullmatch
_CALL_ID = re.compile(r"[!-~]+").fullmatch
_CSEQ = re.compile(r"([0-9]{1,9}) REGISTER").fullmatch


class PlainRegister(NamedTuple):
    """The fields of one, as text; values are as they were sent."""

    via: str
    """The Via value up to its parameters."""
    via_params: str
    """Its parameters but for rport, which it had."""
    key: str
    """What `rvoip.protocols.dialog.transactions.server_key` makes of the request."""
    branch: str
    from_: str
    to: str
    user: str
    domain: str
    """The user and the domain of To; the domain in lower case."""
    call_id: str
    cseq: int
    fields: dict[str, str]
    """All header fields by name."""


def read(data: bytes, request_lines: frozenset[str]) -> PlainRegister | None:
    """The REGISTER in `data` if its first line is one of these and all of it is of the plain form."""
    if len(data) > _LONGEST:
        return None
    ends = data.translate(None, _TEXT)
    count = len(ends) // 2 + 1
    if ends != b"\r\n" * (count - 1):
        return None  # a control character, a blank that is none, or CR or LF alone
    lines = data.decode("ascii").split("\r\n")
    if count < 4 or lines[0] not in request_lines or lines[-1] or lines[-2]:
        return None
    try:
        fields: dict[str, str] = dict([line.split(": ", 1) for line in lines[1:-2]])
        sent_via = fields["Via"]
        from_ = fields["From"]
        to = fields["To"]
        call_id = fields["Call-ID"]
        sequence = _CSEQ(fields["CSeq"])
        max_forwards = fields.get("Max-Forwards", "70")
        if fields["Content-Length"] != "0":
            return None
    except (KeyError, ValueError):
        return None
    if len(fields) != count - 3 or not fields.keys() <= _KNOWN:
        return None  # two of one name, or one that must be looked at
    via = _VIA(sent_via)
    destination = _TO(to)
    if via is None or destination is None or sequence is None:
        return None
    if _FROM(from_) is None or _CALL_ID(call_id) is None:
        return None
    if not max_forwards.isdigit() or len(max_forwards) > 3:
        return None
    sent_by, host, port, first, last, alias = via.groups()
    branch = first or last
    user, domain = destination.groups()
    return PlainRegister(
        sent_by,
        f";branch={branch}{alias or ''}",
        f"{branch}|{host.lower()}:{port}|REGISTER",
        branch,
        from_,
        to,
        user,
        domain.lower(),
        call_id,
        int(sequence[1]),
        fields,
    )
