"""Bindings as Redis has them: lists of eleven fields, and a twelfth that the script adds."""

from __future__ import annotations

import sys
from typing import Any

from rvoip.registrar.binding import ALL_CONTACTS, Binding, Change

__all__ = ["change_question", "from_record", "lex_range", "to_record"]


def to_record(binding: Binding, offset: float) -> list[Any]:
    """The fields of a binding; `offset` added to monotonic seconds gives seconds of the server's clock."""
    return [
        binding.key,
        binding.contact,
        binding.params,
        binding.call_id,
        binding.cseq,
        binding.granted,
        binding.deadline + offset,
        binding.q,
        "\n".join(binding.path),
        binding.received,
        binding.user_agent,
    ]


def from_record(record: list[Any], offset: float) -> Binding:
    """The binding of a record; for `offset` see `to_record`."""
    key, contact, params, call_id, cseq, granted, expires_at, q, path, received, user_agent = record[:11]
    return Binding(
        contact,
        contact if key == contact else key,
        call_id,
        cseq,
        expires_at - offset,
        granted,
        q,
        params,
        tuple(path.split("\n")) if path else (),
        received,
        sys.intern(user_agent),
    )


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
        [to_record(put, offset) for put in change.puts],
    ]


def lex_range(prefix: str, after: str) -> tuple[str, str]:
    """The bounds of ZRANGEBYLEX for names that begin with `prefix`, from behind `after`.

    Redis compares bytes of UTF-8, which have the order of the characters; none sorts behind the last one.
    """
    low = f"({after}" if after and after >= prefix else f"[{prefix}" if prefix else "-"
    return low, f"({prefix}{chr(sys.maxunicode)}" if prefix else "+"
