"""What all tables of the configuration schema have in common."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ["Count", "Seconds", "Table"]

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]


class Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of all tables: an unknown key is an error."""
