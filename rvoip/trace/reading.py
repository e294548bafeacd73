"""What a kept message says, for whoever reads a trace: a label, the parties, its text without secrets."""

from __future__ import annotations

import re
from typing import Final

from rvoip.common.printable import printable
from rvoip.common.redact import REDACTED, redact
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.reader import parse_message

__all__ = ["label", "parties", "readable", "read", "status_of"]

# Identity (RFC 8224) in its compact form, which is too short a name to be looked for in any text.
_COMPACT_IDENTITY: Final = re.compile(r"^(y[ \t]*:[ \t]*)[^\r\n]+(?:\r?\n[ \t]+[^\r\n]+)*", re.I | re.M)


def read(data: bytes) -> Message | None:
    """The message in `data`, as far as it can be read: its end may be cut off."""
    try:
        return parse_message(data)
    except SIPParseError as error:
        return error.message


def readable(data: bytes) -> str:
    """The text of a message: no credentials and no media keys, octets that are no UTF-8 as escapes.

    Control characters stay: line ends are among them.
    """
    head, blank, body = redact(data.decode("utf-8", "backslashreplace")).partition("\r\n\r\n")
    return _COMPACT_IDENTITY.sub(lambda match: match[1] + REDACTED, head) + blank + body


def label(message: Message | None) -> str:
    """A message in few words: `INVITE (SDP)`, `200 OK (INVITE, SDP)`; printable."""
    if message is None:
        return "?"
    notes: list[str] = []
    words = "?"
    if isinstance(message, Request):
        words = message.method
    elif isinstance(message, Response):
        words = f"{message.status} {message.reason}".rstrip()
        notes.append(_method(message))
    if message.content_type == "application/sdp" and message.body:
        notes.append("SDP")
    text = ", ".join([note for note in notes if note])
    return printable(f"{words} ({text})" if text else words)


def parties(message: Message | None) -> tuple[str, str]:
    """The URIs of From and To; printable, empty where there is none."""
    return _uri_text(message, "from"), _uri_text(message, "to")


def status_of(data: bytes, method: str) -> int:
    """The status of a response to a request of this method; 0 when `data` is anything else."""
    if not data.lstrip(b"\r\n").startswith(b"SIP/2.0 "):
        return 0
    message = read(data)
    if not isinstance(message, Response) or _method(message) != method:
        return 0
    return message.status


def _method(message: Message) -> str:
    """The method that CSeq names."""
    try:
        return message.cseq.method
    except SIPParseError:
        return ""


def _uri_text(message: Message | None, name: str) -> str:
    if message is None:
        return ""
    try:
        addresses = message.addresses(name)
    except SIPParseError:
        return ""
    return printable(addresses[0].uri_text) if addresses else ""
