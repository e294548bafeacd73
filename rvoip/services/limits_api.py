"""Limits of users' calls by HTTP: `/v1/users/{aor}/limits`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from rvoip.common.http import API, Call
from rvoip.common.problem import HTTPError
from rvoip.proxy.limits import OTHER
from rvoip.services.accounts import AccountsService
from rvoip.services.callers import USERS_READ, USERS_WRITE
from rvoip.services.limits import LimitsService
from rvoip.services.store_errors import store_errors
from rvoip.users.accounts import join_aor, split_aor
from rvoip.users.errors import AccountError
from rvoip.users.limits import AccountLimits

__all__ = ["serve_limits"]

_Limit = Annotated[int, Meta(ge=0, le=1_000_000)]


class Special(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is special about an account; null: as its group, or all, have it; 0: no limit."""

    calls: _Limit | None = None
    """Calls at once to numbers and addresses elsewhere."""
    calls_a_minute: _Limit | None = None
    calls_a_day: _Limit | None = None
    minutes_a_day: _Limit | None = None
    allow: list[str] | None = None
    """Classes of numbers that it may call."""
    group: str | None = None
    """A group of the configuration."""


class InForce(msgspec.Struct, frozen=True):
    """What the account may; 0: no limit, null: all classes."""

    calls: int
    calls_a_minute: int
    calls_a_day: int
    minutes_a_day: int
    allow: list[str] | None


class Used(msgspec.Struct, frozen=True):
    """What counts of the account's calls."""

    calls: int
    """Calls that are up, or under way, now."""
    calls_today: int
    minutes_today: float


class Limits(msgspec.Struct, frozen=True):
    """The limits of an account. A role that is no proxy knows only what is special."""

    special: Special
    in_force: InForce | None
    used: Used | None


def serve_limits(api: API, accounts: AccountsService, limits: LimitsService | None) -> None:
    """Add the routes of limits."""

    @api.route("GET", "/v1/users/{aor}/limits", response=Limits, scopes=(USERS_READ,))
    async def get_limits(call: Call, aor: str) -> Limits:
        """Show what an account may call, and what it has called today."""
        name = _known_form(aor)
        with store_errors():
            return _shown(name, await accounts.opened.get_limits(name), limits)

    @api.route("PUT", "/v1/users/{aor}/limits", body=Special, response=Limits, scopes=(USERS_WRITE,))
    async def put_limits(call: Call, aor: str, body: Special) -> Limits:
        """Say what is special about an account, in place of what was; it holds for the next call."""
        name = _known_form(aor)
        if limits is not None:
            _check(body, limits)
        with store_errors():
            special = AccountLimits(
                body.calls,
                body.calls_a_minute,
                body.calls_a_day,
                body.minutes_a_day,
                body.allow,
                body.group,
            )
            await accounts.opened.set_limits(name, special)
        if limits is not None:
            limits.changed(name, special)
        return _shown(name, special, limits)


def _check(body: Special, limits: LimitsService) -> None:
    """Names that the configuration does not know are mistakes: 400."""
    known = {OTHER, *limits.rules.classes.names}
    for name in body.allow or ():
        if name not in known:
            raise HTTPError(400, f"there is no class {name[:64]!a}; there are {', '.join(sorted(known))}")
    if body.group is not None and body.group not in limits.rules.groups:
        there = ", ".join(sorted(limits.rules.groups)) or "none"
        raise HTTPError(400, f"there is no group {body.group[:64]!a}; there are {there}")


def _known_form(aor: str) -> str:
    try:
        return join_aor(*split_aor(aor))
    except AccountError as error:
        raise HTTPError(404, error.reason) from None


def _shown(aor: str, special: AccountLimits, limits: LimitsService | None) -> Limits:
    allow = None if special.allow is None else sorted(special.allow)
    body = Special(
        special.calls,
        special.calls_a_minute,
        special.calls_a_day,
        special.minutes_a_day,
        allow,
        special.group,
    )
    if limits is None:
        return Limits(body, None, None)
    now = limits.of(aor)
    spent = limits.spent(aor)
    return Limits(
        body,
        InForce(
            now.calls,
            now.calls_a_minute,
            now.calls_a_day,
            now.minutes_a_day,
            None if now.allow is None else sorted(now.allow),
        ),
        Used(spent.now, spent.calls, round(spent.seconds / 60, 2)),
    )
