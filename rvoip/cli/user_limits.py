"""`rvoip user limits`: what is special about the limits of an account's calls."""

from __future__ import annotations

import argparse
from typing import Any, Final

import attrs

from rvoip.cli.errors import CommandError
from rvoip.cli.output import write_json, write_line
from rvoip.services.config import load
from rvoip.users.errors import AccountError
from rvoip.users.limits import AccountLimits
from rvoip.users.store import UserStore

__all__ = ["configure_limits", "show_limits"]

_DEFAULT: Final = "default"

_NUMBERS: Final = {
    "calls": "calls at once",
    "calls_a_minute": "calls begun a minute",
    "calls_a_day": "calls begun a day",
    "minutes_a_day": "minutes of talk a day",
}


def configure_limits(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("aor", metavar="USER@DOMAIN", help="the account")
    for name, meaning in _NUMBERS.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, metavar="N", help=f"{meaning}; 0: no limit, default: as for all")
    parser.add_argument(
        "--allow", metavar="CLASS,...", help="classes of numbers that it may call; default: as for all"
    )
    parser.add_argument("--group", metavar="NAME", help="a group of [[proxy.limits.group]]; default: none")
    parser.add_argument("--reset", action="store_true", help="nothing is special any more")


def show_limits(args: argparse.Namespace, store: UserStore, aor: str) -> int:
    """Change what the options say, and show what is special then."""
    before = store.limits.get(aor)
    after = _changed(args, AccountLimits() if args.reset else before)
    if after != before:
        _check(args, after)
        store.limits.set(aor, after)
    values = attrs.asdict(after)
    values["allow"] = None if after.allow is None else sorted(after.allow)
    if args.json:
        write_json({"aor": aor, **values})
    elif after.is_empty:
        write_line(f"{aor} has the limits of the configuration")
    else:
        for name, value in values.items():
            if value is not None:
                shown = (", ".join(value) or "none") if isinstance(value, list) else value
                write_line(f"{name}: {shown}")
    return 0


def _changed(args: argparse.Namespace, limits: AccountLimits) -> AccountLimits:
    changes: dict[str, Any] = {}
    for name in _NUMBERS:
        text = getattr(args, name)
        if text == _DEFAULT:
            changes[name] = None
        elif text is not None:
            if not (text.isascii() and text.isdigit() and len(text) <= 7):
                raise CommandError(
                    f"--{name.replace('_', '-')}: {text[:64]!a} is no number, and not {_DEFAULT}"
                )
            changes[name] = int(text)
    if args.allow is not None:
        names = [name.strip() for name in args.allow.split(",") if name.strip()]
        changes["allow"] = None if names == [_DEFAULT] else names
    if args.group is not None:
        changes["group"] = None if args.group == _DEFAULT else args.group
    try:
        return attrs.evolve(limits, **changes)
    except AccountError as error:
        raise CommandError(error.reason) from None


def _check(args: argparse.Namespace, limits: AccountLimits) -> None:
    """Names that the configuration does not know are mistakes."""
    table = load(args.config, args.role).proxy.limits
    known = {"other", *(one.name for one in table.class_)}
    for name in sorted(limits.allow or ()):
        if name not in known:
            raise CommandError(f"there is no class {name!a}; there are {', '.join(sorted(known))}")
    groups = {one.name for one in table.group}
    if limits.group is not None and limits.group not in groups:
        there = ", ".join(sorted(groups)) or "none"
        raise CommandError(f"there is no group {limits.group!a}; there are {there}")
