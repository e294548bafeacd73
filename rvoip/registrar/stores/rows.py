"""Bindings as the stores write them down: an AOR and eleven fields."""

from __future__ import annotations

import sys
from typing import Any

from rvoip.registrar.binding import Binding

__all__ = ["from_row", "to_row"]


def to_row(aor: str, binding: Binding, offset: float) -> tuple[Any, ...]:
    """The row of a binding or tombstone.

    `offset` is added to the monotonic seconds of its deadline, for the clock that the store goes by.
    """
    return (
        aor,
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
    )


def from_row(row: tuple[Any, ...], offset: float) -> Binding:
    """The binding or tombstone of a row; for `offset` see `to_row`."""
    _, key, contact, params, call_id, cseq, granted, expires_at, q, path, received, user_agent = row
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
