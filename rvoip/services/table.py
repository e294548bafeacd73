"""What all tables of the configuration schema have in common."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

__all__ = ["LONGEST", "Count", "Seconds", "Table"]

LONGEST: Final = 365 * 86400
"""Seconds of the longest time that a configuration may ask for."""

Seconds = Annotated[float, Meta(ge=0.001, le=LONGEST)]
Count = Annotated[int, Meta(ge=0)]


class Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of all tables: an unknown key is an error."""
