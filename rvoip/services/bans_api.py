"""Banned addresses by HTTP: `/v1/bans`."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import msgspec

from rvoip.common.http import API, Call
from rvoip.common.printable import printable
from rvoip.common.problem import HTTPError
from rvoip.protocols.transport.guard import Guard
from rvoip.services.callers import OPERATIONS_READ, OPERATIONS_WRITE

__all__ = ["Ban", "serve_bans"]


class Ban(msgspec.Struct, frozen=True):
    """An address that is not heard for a while."""

    source: str
    """An IPv4 address, or an IPv6 network `.../64`."""
    left: float
    """Seconds until it ends."""


class BanList(msgspec.Struct, frozen=True):
    """All bans, the one that ends first at the beginning."""

    bans: list[Ban]


def serve_bans(api: API, guard: Guard, now: Callable[[], float]) -> None:
    """Add `/v1/bans`; `now` is the clock that the guard is told."""

    @api.route("GET", "/v1/bans", response=BanList, scopes=(OPERATIONS_READ,))
    def list_bans(call: Call) -> BanList:
        """List the addresses that are banned."""
        return BanList([Ban(source, round(left, 1)) for source, left in guard.banned(now()).items()])

    @api.route("DELETE", "/v1/bans/{source}", scopes=(OPERATIONS_WRITE,))
    def remove_ban(call: Call, source: str) -> None:
        """End the ban of an address, which is heard again at once."""
        host = source.removesuffix("/64") if ":" in source else source
        try:
            host = str(ipaddress.ip_address(host))
        except ValueError:
            raise HTTPError(404, f"{printable(source)[:64]} is no IP address") from None
        if not guard.unban(host):
            raise HTTPError(404, f"{host} is not banned")
