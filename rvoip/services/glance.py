"""What an overloaded server has to know of a message, read from its octets without parsing it.

Nothing is judged here: what cannot be read at a glance is left to the parser. Sources: RFC 3261 sections
8.2.6, 17.2.3 and 18.2.1, RFC 3581 section 4.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = [
    "Top",
    "ack_tag",
    "call_id",
    "has_credentials",
    "in_dialog",
    "method",
    "refuse",
    "top_via",
    "user_agent",
]

_METHOD = re.compile(rb"([A-Z]{3,9}) ").match
_TO = re.compile(rb"\r\n(?:To|t)[ \t]*:([^\r]*)", re.IGNORECASE).search
_TAG = re.compile(rb";[ \t]*tag[ \t]*=[ \t]*([^;\s]+)", re.IGNORECASE).search
# Several values, quotes, IPv6, and what only an element on the way writes.
_ODD = re.compile(rb'[,"\[]|;rport=|;received').search
_PLAIN: Final = bytes(range(0x20, 0x7F))


class Top(NamedTuple):
    """The topmost Via, where it is alone in its line and has a branch that is unique."""

    value: str
    """Up to its parameters."""
    params: list[str]
    host: str
    branch: str
    key: str
    """The start of what `rvoip.protocols.dialog.transactions.server_key` makes of the request."""
    end: int
    """Where its line ends in the message."""

    @property
    def text(self) -> str:
        """As it was sent."""
        return ";".join((self.value, *self.params))

    @property
    def rport(self) -> bool:
        """Whether the answer goes to the port that the request came from (RFC 3581)."""
        return "rport" in self.params


def method(data: bytes) -> bytes:
    """The method of a request; empty for a response, and for what is neither."""
    found = _METHOD(data)
    return b"" if found is None else found[1]


def in_dialog(data: bytes) -> bool:
    """Whether the To of a request has a tag; so it says, which costs an attacker nothing to write."""
    return ack_tag(data) is not None


def ack_tag(data: bytes) -> str | None:
    """The To tag of a request."""
    start = data.find(b"\r\nTo:")
    if start >= 0:
        value = data[start : data.find(b"\r", start + 2)]
        if b";" not in value:
            return None
    else:
        to = _TO(data)
        if to is None:
            return None
        value = to[1]
    tag = _TAG(value)
    return None if tag is None else tag[1].decode("utf-8", "surrogateescape")


def has_credentials(data: bytes) -> bool:
    """Whether a request answers a challenge."""
    return b"\r\nAuthorization:" in data or b"\r\nProxy-Authorization:" in data


def _value(data: bytes, name: bytes, short: bytes) -> bytes:
    """The value of the first header field with this name, without its line end; empty for none."""
    start = data.find(name)
    if start < 0:
        start = data.find(short)
        if start < 0:
            return b""
        start += len(short)
    else:
        start += len(name)
    return data[start : data.find(b"\r\n", start)]


def user_agent(data: bytes) -> str:
    """What the sender calls itself; empty when it does not."""
    return _value(data, b"\r\nUser-Agent: ", b"\r\nuser-agent: ").decode("utf-8", "surrogateescape")


def call_id(data: bytes) -> str | None:
    """The Call-ID."""
    found = _value(data, b"\r\nCall-ID: ", b"\r\ni: ")
    return found.decode("utf-8", "surrogateescape") if found else None


def top_via(data: bytes) -> Top | None:
    """The first Via of a request; None where it is unusual."""
    start = data.find(b"\r\nVia: ")
    if start < 0:
        return None
    end = data.find(b"\r\n", start + 7)
    line = data[start + 7 : end]
    if line.translate(None, _PLAIN) or _ODD(line) is not None:
        return None
    value, *params = line.decode("ascii").split(";")
    for parameter in params:
        if parameter[:14] == "branch=z9hG4bK" and len(parameter) > 14:
            break
    else:
        return None
    branch = parameter[7:]
    host, _, port = value[value.find(" ") + 1 :].lower().partition(":")
    return Top(value, params, host, branch, f"{branch}|{host}:{port or None}|", end)


def refuse(
    data: bytes, top: Top, source: tuple[str, int], tag: Callable[[str, str], str], seconds: int
) -> bytes | None:
    """503 with a Retry-After of this many seconds; None where the parser must write it.

    `source` is where the request came from, `tag` makes the tag of To out of branch and Call-ID.
    """
    head = data[top.end : data.find(b"\r\n\r\n") + 2]
    if b"\r\n " in head or b"\r\n\t" in head or b"\r\nv:" in head:
        return None
    from_ = _value(head, b"\r\nFrom: ", b"\r\nf: ")
    to = _value(head, b"\r\nTo: ", b"\r\nt: ")
    name = _value(head, b"\r\nCall-ID: ", b"\r\ni: ")
    sequence = _value(head, b"\r\nCSeq: ", b"\r\ncseq: ")
    if not (from_ and to and name and sequence):
        return None
    vias: list[bytes] = []
    start = head.find(b"\r\nVia: ")
    while start >= 0:
        end = head.find(b"\r\n", start + 7)
        vias.append(head[start:end])
        start = head.find(b"\r\nVia: ", end)
    host, port = source
    params = [one for one in top.params if one != "rport"]
    if "rport" in top.params:
        params.append(f"rport={port};received={host}")
    elif host != top.host:
        params.append(f"received={host}")
    answer = b"".join(
        (
            b"SIP/2.0 503 Service Unavailable\r\nVia: ",
            f"{top.value};{';'.join(params)}".encode("ascii"),
            *vias,
            b"\r\nFrom: ",
            from_,
            b"\r\nTo: ",
            to,
            f";tag={tag(top.branch, name.decode('latin-1'))}\r\nCall-ID: ".encode("ascii"),
            name,
            b"\r\nCSeq: ",
            sequence,
            b"\r\nRetry-After: %d\r\nContent-Length: 0\r\n\r\n" % seconds,
        )
    )
    if not answer.isascii() or answer.count(b"\n") != 9 + len(vias):
        return None
    return answer
