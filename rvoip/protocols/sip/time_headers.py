"""Times and durations: Date, Timestamp, Retry-After, Expires and other seconds (RFC 3261 section 20)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import attrs

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import (
    LARGEST_SECONDS,
    Params,
    format_params,
    parse_number,
    parse_params,
    take_number,
)

__all__ = [
    "Date",
    "RetryAfter",
    "Timestamp",
    "parse_date",
    "parse_expires",
    "parse_retry_after",
    "parse_seconds",
    "parse_timestamp",
]


def parse_seconds(text: str) -> int:
    """Delta-seconds, 0 to 2**32 - 1, of Min-Expires or Flow-Timer."""
    return parse_number(text, LARGEST_SECONDS, "number of seconds")


def parse_expires(text: str) -> int:
    """Expires in seconds; what is malformed or too large counts as 3600 (RFC 3261 section 20.19)."""
    try:
        return parse_number(text, LARGEST_SECONDS, "Expires")
    except SIPParseError:
        return 3600


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(
    rf"(?:{'|'.join(_DAYS)}), ([0-9]{{1,2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}}) "
    r"([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT\Z"
)


@attrs.frozen
class Date:
    """A Date value (RFC 3261 section 20.17): wall time in UTC, to the second."""

    moment: datetime

    def __str__(self) -> str:
        # Not strftime, which follows the locale.
        at = self.moment
        day = f"{_DAYS[at.weekday()]}, {at.day:02d} {_MONTHS[at.month - 1]} {at.year:04d}"
        return f"{day} {at.hour:02d}:{at.minute:02d}:{at.second:02d} GMT"


def parse_date(text: str) -> Date:
    """A Date value; `SIPParseError` when it is none: SIP knows the form of RFC 1123 in GMT alone.

    Leniencies: a day of one digit, which RFC 1123 allows and RFC 3261 does not (RFC 7355 prints one);
    a day of the week that is not that date's.
    """
    match = _DATE.match(text)
    if match is None:
        raise SIPParseError("Bad Date")
    day, month, year, hour, minute, second = match.groups()
    try:
        moment = datetime(
            int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC
        )
    except ValueError:
        raise SIPParseError("Bad Date") from None
    return Date(moment)


_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,20})?\Z")
_DELAY = re.compile(r"[0-9]{0,20}(?:\.[0-9]{0,20})?\Z")


@attrs.frozen
class Timestamp:
    """A Timestamp value (RFC 3261 section 20.38): the sender's seconds as written, and the delay.

    Both are texts, for the first is sent back as it came; ``delay`` is None when absent.
    """

    value: str
    delay: str | None = None

    @property
    def delay_seconds(self) -> float:
        """The seconds that the answering side held the request; 0.0 when it did not say."""
        return float(f"0{self.delay or ''}")

    def __str__(self) -> str:
        return self.value if self.delay is None else f"{self.value} {self.delay}"


def parse_timestamp(text: str) -> Timestamp:
    """A Timestamp value; `SIPParseError` when it is none."""
    value, blank, delay = text.replace("\t", " ").partition(" ")
    delay = delay.strip(" ")
    if not _DECIMAL.match(value) or not _DELAY.match(delay):
        raise SIPParseError("Bad Timestamp")
    return Timestamp(value, delay if blank else None)


@attrs.frozen
class RetryAfter:
    """A Retry-After value (RFC 3261 section 20.33): seconds; the comment without its outer parentheses.

    ``duration`` is how many seconds the callee will then be there, or None.
    """

    seconds: int
    comment: str | None = None
    duration: int | None = None
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        comment = "" if self.comment is None else f" ({self.comment})"
        duration = "" if self.duration is None else f";duration={self.duration}"
        return f"{self.seconds}{comment}{duration}{format_params(self.params)}"


def parse_retry_after(text: str) -> RetryAfter:
    """A Retry-After value; `SIPParseError` when it is none."""
    comment: str | None = None
    head, parenthesis, rest = text.partition("(")
    if parenthesis and ";" not in head:
        close = _end_of_comment(rest)
        comment = rest[:close]
        tail = rest[close + 1 :].lstrip(" \t")
        if tail and tail[0] != ";":
            raise SIPParseError("Text after a comment")
    else:
        head, semicolon, tail = text.partition(";")
        tail = semicolon + tail
    params = parse_params(tail[1:]) if tail else {}
    seconds = parse_number(head.strip(" \t"), LARGEST_SECONDS, "Retry-After")
    return RetryAfter(seconds, comment, take_number(params, "duration", LARGEST_SECONDS), params)


def _end_of_comment(text: str) -> int:
    """Index of the parenthesis that closes a comment whose opening one stands before `text`."""
    depth = 1
    escaped = False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return index
    raise SIPParseError("Unterminated comment")
