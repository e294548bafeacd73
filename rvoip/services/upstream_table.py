"""The `[registrar.upstream]` table: the registrar behind a front end."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from rvoip.services.table import Table

__all__ = ["UpstreamTable"]


class UpstreamTable(Table):
    """`[registrar.upstream]`: the registrar that this one is a front end of."""

    uri: str
    """Where it is, as in `sip:registrar.example.net` or `sip:192.0.2.1:5060;transport=tcp`."""
    mode: Literal["contact", "aor"] = "contact"
    """Whether it has a binding for each contact of a user, or one for all of them."""
    expires: Annotated[int, Meta(ge=60, le=0xFFFFFFFF)] = 3600
    """Seconds that bindings are asked for there; phones get what `[registrar]` grants, within that."""
    contact: str = ""
    """`host:port` that it has in bindings and sends calls to; empty: where we listen on its side."""
    timeout: Annotated[float, Meta(ge=0.1, le=32)] = 5.0
    """Seconds that its answer may take; then the phone is told 504."""
