"""The record of one call, for whoever bills or counts: a value, and how it looks as text."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from io import StringIO
from typing import Final

import msgspec

from rvoip.common.printable import printable

__all__ = ["COLUMNS", "CallRecord", "csv_head", "csv_lines", "json_lines", "text_of", "uri_of"]


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is over, or that was not answered. Times are wall time, seconds since 1970.

    What a peer wrote is printable: control characters are escapes.
    """

    id: str
    """Unique, 16 hexadecimal digits."""
    role: str
    call_id: str
    began: float
    """When the INVITE came."""
    answered: float | None
    """None when it was not."""
    ended: float
    duration: float
    """Seconds from the answer to the end; 0 when there was no answer."""
    status: int
    """Of the final response."""
    reason: str
    end: str
    """How it ended: "bye", "operator", "gone" (an end did not know it any more), "expired" (nobody refreshed
    it), "forgotten" (there were too many), "shutdown" (it goes on without us), or "refused".
    """
    caller: str
    """URI of From."""
    callee: str
    """URI of To."""
    uri: str
    """The Request-URI as it came."""
    user: str
    """The account whose credentials it carried, or empty."""
    source: str
    """Where the caller's messages came from, `transport:host:port`."""
    destination: str
    """Where the callee's came from; empty for a call that was refused."""


COLUMNS: Final = tuple(field.name for field in msgspec.structs.fields(CallRecord))

_TIMES: Final = frozenset(("began", "answered", "ended"))

_FORMULA: Final = ("=", "+", "-", "@")
"""How a formula begins. Tabs and line ends are escapes already, see `text_of`."""

_encode: Final = msgspec.json.Encoder().encode


def text_of(value: str) -> str:
    """A text of a peer's as records have it."""
    return printable(value)[:1024]


def uri_of(value: str) -> str:
    """The URI in a From or To value."""
    return text_of(value.partition("<")[2].partition(">")[0] or value.partition(";")[0])


def _time(wall: float | None) -> str | None:
    """RFC 3339 in UTC, with milliseconds."""
    if wall is None:
        return None
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _values(record: CallRecord) -> dict[str, str | int | float | None]:
    values = msgspec.structs.asdict(record)
    for name in _TIMES:
        values[name] = _time(values[name])
    values["duration"] = round(record.duration, 3)
    return values


def json_lines(records: Iterable[CallRecord]) -> bytes:
    """One JSON object a line."""
    return b"".join([_encode(_values(record)) + b"\n" for record in records])


def csv_head() -> bytes:
    """The line with the names of the columns (RFC 4180, with line feeds)."""
    return (",".join(COLUMNS) + "\n").encode()


def csv_lines(records: Iterable[CallRecord]) -> bytes:
    """One line a record, without a head. A missing time is an empty field.

    Peers write what is in many a field, and a spreadsheet takes some of it for a formula: such a text begins
    with an apostrophe here, which has it shown as it is.
    """
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for record in records:
        writer.writerow([_cell(value) for value in _values(record).values()])
    return out.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: str | int | float | None) -> str | int | float:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
