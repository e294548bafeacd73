"""Bindings as Redis has them: lists of eleven fields, and a twelfth that the script adds."""

from __future__ import annotations

import sys
from typing import Any

from rvoip.registrar.binding import ALL_CONTACTS, Binding, Change
from rvoip.registrar.stores.rows import from_row, to_row

__all__ = ["change_question", "from_record", "lex_range"]


def from_record(record: list[Any], offset: float) -> Binding:
    """The binding of a record; `offset` is what the server's clock is ahead of monotonic seconds."""
    return from_row(("", *record[:11]), offset)


def change_question(change: Change, offset: float, max_aors: int, tombstone_seconds: float) -> list[Any]:
    """What the script is asked for a change."""
    everything = change.removes == ALL_CONTACTS
    now = change.now + offset
    return [
        "change",
        change.aor,
        now,
        change.call_id,
        change.cseq,
        change.max_contacts,
        max_aors,
        now + tombstone_seconds,
        everything,
        () if everything else change.removes,
        [to_row(change.aor, put, offset)[1:] for put in change.puts],
    ]


def lex_range(prefix: str, after: str) -> tuple[str, str]:
    """The bounds of ZRANGEBYLEX for names that begin with `prefix`, from behind `after`.

    Redis compares bytes of UTF-8, which have the order of the characters; none sorts behind the last one.
    """
    low = f"({after}" if after and after >= prefix else f"[{prefix}" if prefix else "-"
    return low, f"({prefix}{chr(sys.maxunicode)}" if prefix else "+"
