"""Bodies of the message-summary event package, from which message lamps are lit (RFC 3842)."""

from __future__ import annotations

import re
from typing import Final

import attrs

from rvoip.protocols.sip.errors import SIPBuildError, SIPParseError

__all__ = ["CONTENT_TYPE", "Counts", "MessageSummary", "parse_message_summary"]

CONTENT_TYPE: Final = "application/simple-message-summary"

MAX_OCTETS: Final = 8192

CLASSES: Final = (
    "voice-message",
    "fax-message",
    "pager-message",
    "multimedia-message",
    "text-message",
    "none",
)
"""What messages there are (RFC 3458)."""

_COUNT = re.compile(
    r"([0-9]{1,10})[ \t]*/[ \t]*([0-9]{1,10})"
    r"(?:[ \t]*\([ \t]*([0-9]{1,10})[ \t]*/[ \t]*([0-9]{1,10})[ \t]*\))?\Z",
    re.ASCII,
)
_LINE = re.compile(r"([!-9;-~]+)[ \t]*:[ \t]*(.*)\Z", re.ASCII)


@attrs.frozen
class Counts:
    """How many messages of a class are new and old, and how many of these are urgent."""

    new: int
    old: int
    urgent_new: int | None = None
    urgent_old: int | None = None

    def __str__(self) -> str:
        urgent = "" if self.urgent_new is None else f" ({self.urgent_new}/{self.urgent_old or 0})"
        return f"{self.new}/{self.old}{urgent}"


@attrs.frozen
class MessageSummary:
    """Whether messages wait, whose account it is, and how many there are of each class."""

    waiting: bool
    account: str = ""
    counts: dict[str, Counts] = attrs.field(factory=dict)
    """Lower-case names of `CLASSES`."""

    def to_bytes(self) -> bytes:
        """The body."""
        if not self.account.isprintable():
            raise SIPBuildError("a message account with a line break")
        lines = [f"Messages-Waiting: {'yes' if self.waiting else 'no'}"]
        if self.account:
            lines.append(f"Message-Account: {self.account}")
        for name, counts in self.counts.items():
            if name not in CLASSES:
                raise SIPBuildError(f"{name!r} is no class of messages")
            lines.append(f"{'-'.join([part.capitalize() for part in name.split('-')])}: {counts}")
        return "".join([f"{line}\r\n" for line in lines]).encode()


def parse_message_summary(data: bytes) -> MessageSummary:
    """The summary in a body; `SIPParseError` when it is none. Headers of single messages are passed over."""
    if len(data) > MAX_OCTETS:
        raise SIPParseError("Message Summary Too Large", 413)
    try:
        lines = data.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        raise SIPParseError("Message Summary Not In UTF-8") from None
    match = _LINE.match(lines[0].rstrip(" \t"))
    if match is None or match[1].lower() != "messages-waiting" or match[2].lower() not in ("yes", "no"):
        raise SIPParseError("Message Summary Without Messages-Waiting")
    waiting = match[2].lower() == "yes"
    account = ""
    counts: dict[str, Counts] = {}
    for line in lines[1:]:
        if not line.strip():
            break
        match = _LINE.match(line.rstrip(" \t"))
        if match is None:
            raise SIPParseError("Bad Line In Message Summary")
        name, value = match[1].lower(), match[2]
        if name == "message-account":
            account = value
        elif name in CLASSES:
            counts[name] = _counts(value)
    return MessageSummary(waiting, account, counts)


def _counts(text: str) -> Counts:
    match = _COUNT.match(text)
    if match is None:
        raise SIPParseError("Bad Count In Message Summary")
    new, old, urgent_new, urgent_old = match.groups()
    if urgent_new is None:
        return Counts(int(new), int(old))
    return Counts(int(new), int(old), int(urgent_new), int(urgent_old))
