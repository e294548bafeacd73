"""Gateways and their states by HTTP: `/v1/gateways`."""

from __future__ import annotations

from typing import Literal

import msgspec

from rvoip.common.http import API, Call
from rvoip.common.printable import printable
from rvoip.common.problem import HTTPError
from rvoip.proxy.gateways import Gateways
from rvoip.services.callers import OPERATIONS_READ, OPERATIONS_WRITE

__all__ = ["Gateway", "serve_gateways"]


class Gateway(msgspec.Struct, frozen=True):
    """A gateway of a set."""

    id: str
    """`SET:NAME`."""
    set: str
    uri: str
    state: str
    """`active`, `probing`, `inactive` or `disabled`."""
    since: float
    """Seconds that it has been in this state."""
    failures: int
    """In a row."""
    latency: float | None
    """Seconds that its answers to OPTIONS take; null before the first one."""
    calls: int
    """Calls that it carries."""
    limit: int
    """Calls that it takes at once; 0: as many as come."""
    weight: int
    priority: int
    attrs: dict[str, str]


class GatewayList(msgspec.Struct, frozen=True):
    """All gateways."""

    gateways: list[Gateway]


class GatewayChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state that a gateway shall be in."""

    state: Literal["active", "probing", "inactive", "disabled"]
    """`disabled` takes no calls and is not probed until it is told otherwise."""


def serve_gateways(api: API, gateways: Gateways | None) -> None:
    """Add `/v1/gateways`; an element that forwards no calls has none."""

    def listed() -> list[Gateway]:
        return [] if gateways is None else [Gateway(**one) for one in gateways.gateways()]

    def find(id: str) -> Gateway:
        for one in listed():
            if one.id == id:
                return one
        raise HTTPError(404, f"there is no gateway {printable(id)}")

    @api.route("GET", "/v1/gateways", response=GatewayList, scopes=(OPERATIONS_READ,))
    def list_gateways(call: Call) -> GatewayList:
        """List gateways with their states."""
        return GatewayList(listed())

    @api.route("GET", "/v1/gateways/{id}", response=Gateway, scopes=(OPERATIONS_READ,))
    def get_gateway(call: Call, id: str) -> Gateway:
        """Show a gateway."""
        return find(id)

    @api.route("PUT", "/v1/gateways/{id}", body=GatewayChange, response=Gateway, scopes=(OPERATIONS_WRITE,))
    def set_gateway(call: Call, id: str, body: GatewayChange) -> Gateway:
        """Put a gateway into a state.

        A probe or a call may put it into another one, unless it is disabled.
        """
        if gateways is None or not gateways.set_state(id, body.state):
            raise HTTPError(404, f"there is no gateway {printable(id)}")
        return find(id)
