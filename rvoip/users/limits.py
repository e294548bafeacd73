"""Limits of an account's calls in the database, and what was called in a day."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import sqlalchemy as sa

from rvoip.users import schema
from rvoip.users.accounts import join_aor, split_aor
from rvoip.users.database import Database
from rvoip.users.errors import AccountError, UnknownAccount

__all__ = ["AccountLimits", "DayTotals", "LimitTable"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MOST = 1_000_000
_KEPT_DAYS = 40
_BATCH = 500

_l = schema.call_limits.c
_d = schema.call_days.c

DayTotals = dict[str, tuple[int, float]]
"""Calls, and seconds of talk, of each AOR."""


def _number(value: int | None) -> int | None:
    if value is not None and not 0 <= value <= _MOST:
        raise AccountError(f"{value} is no limit of 0 (none) to {_MOST}")
    return value


def _names(names: Iterable[str] | None) -> frozenset[str] | None:
    if names is None:
        return None
    found = frozenset(names)
    for name in found:
        if not _NAME.fullmatch(name):
            raise AccountError(f"{name[:64]!a} is no name of a class of numbers")
    if len(found) > 64:
        raise AccountError("an account has at most 64 classes of numbers")
    return found


def _group(name: str | None) -> str | None:
    if name is not None and not _NAME.fullmatch(name):
        raise AccountError(f"{name[:64]!a} is no name of a group")
    return name


@attrs.frozen
class AccountLimits:
    """What is special about an account; None: as its group, or all, have it. Building it checks each field.

    0 is no limit. `allow` are names of classes of numbers, `group` is that of a group of the configuration.
    """

    calls: int | None = attrs.field(default=None, converter=_number)
    calls_a_minute: int | None = attrs.field(default=None, converter=_number)
    calls_a_day: int | None = attrs.field(default=None, converter=_number)
    minutes_a_day: int | None = attrs.field(default=None, converter=_number)
    allow: frozenset[str] | None = attrs.field(default=None, converter=_names)
    group: str | None = attrs.field(default=None, converter=_group)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is special."""
        return self == AccountLimits()


class LimitTable:
    """The limits and days of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, aor: str) -> AccountLimits:
        """What is special about an account; UnknownAccount."""
        aor = join_aor(*split_aor(aor))
        with self._database.reading() as connection:
            self._check(connection, aor)
            row = connection.execute(sa.select(*schema.call_limits.c).where(_l.aor == aor)).first()
        return AccountLimits() if row is None else _limits(row)

    def set(self, aor: str, limits: AccountLimits) -> None:
        """Have these, in place of what there was; UnknownAccount."""
        aor = join_aor(*split_aor(aor))
        with self._database.writing() as connection:
            self._check(connection, aor)
            connection.execute(schema.call_limits.delete().where(_l.aor == aor))
            if not limits.is_empty:
                values = {
                    "aor": aor,
                    "calls": limits.calls,
                    "calls_a_minute": limits.calls_a_minute,
                    "calls_a_day": limits.calls_a_day,
                    "minutes_a_day": limits.minutes_a_day,
                    "allow": None if limits.allow is None else " ".join(sorted(limits.allow)),
                    "group_name": limits.group,
                }
                connection.execute(schema.call_limits.insert(), values)

    def all(self) -> dict[str, AccountLimits]:
        """Each account about which something is special."""
        with self._database.reading() as connection:
            return {row.aor: _limits(row) for row in connection.execute(sa.select(*schema.call_limits.c))}

    def day(self, day: str) -> DayTotals:
        """What was called in a day."""
        query = sa.select(_d.aor, _d.calls, _d.seconds).where(_d.day == day)
        with self._database.reading() as connection:
            return {row.aor: (row.calls, row.seconds) for row in connection.execute(query)}

    def add(self, day: str, changes: Mapping[str, tuple[int, float]]) -> DayTotals:
        """Add to what was called in a day; what it is then, of these. Days of weeks ago are forgotten."""
        totals: DayTotals = {}
        names = sorted(changes)
        with self._database.writing() as connection:
            for start in range(0, len(names), _BATCH):
                some = names[start : start + _BATCH]
                query = sa.select(_d.aor, _d.calls, _d.seconds).where(_d.day == day, _d.aor.in_(some))
                before = {row.aor: (row.calls, row.seconds) for row in connection.execute(query)}
                rows: list[dict[str, Any]] = []
                for aor in some:
                    calls, seconds = before.get(aor, (0, 0.0))
                    calls, seconds = calls + changes[aor][0], seconds + changes[aor][1]
                    totals[aor] = (calls, seconds)
                    rows.append({"day": day, "aor": aor, "calls": calls, "seconds": seconds})
                connection.execute(schema.call_days.delete().where(_d.day == day, _d.aor.in_(some)))
                connection.execute(schema.call_days.insert(), rows)
            days = sa.select(_d.day).distinct().order_by(_d.day.desc()).offset(_KEPT_DAYS).limit(1)
            last = connection.scalar(days)
            if last is not None:
                connection.execute(schema.call_days.delete().where(_d.day <= last))
        return totals

    @staticmethod
    def _check(connection: sa.Connection, aor: str) -> None:
        accounts = schema.accounts
        if connection.execute(sa.select(accounts.c.aor).where(accounts.c.aor == aor)).first() is None:
            raise UnknownAccount(f"there is no account {aor}")


def _limits(row: Any) -> AccountLimits:
    allow = None if row.allow is None else row.allow.split()
    return AccountLimits(
        row.calls, row.calls_a_minute, row.calls_a_day, row.minutes_a_day, allow, row.group_name
    )
