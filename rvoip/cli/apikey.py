"""`rvoip apikey`: keys for the HTTP API, straight in the store that the servers read.

It works while a server runs, which notices within a second, and while none does.
"""

from __future__ import annotations

import argparse
import re
import time
from typing import Any

from rvoip.cli.actions import Actions
from rvoip.cli.errors import CommandError
from rvoip.cli.options import add_config
from rvoip.cli.output import local_time, write_json, write_line, write_table
from rvoip.cli.user import open_store
from rvoip.services.callers import SCOPES
from rvoip.services.config import load
from rvoip.users.accounts import APIKey

__all__ = ["configure"]

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions."""
    actions = Actions(parser, add_config)
    add = actions.add("add", _add, "make a key, which is shown this once")
    add.add_argument("name", metavar="NAME", help="what the key is for")
    add.add_argument(
        "--scope",
        metavar="SCOPE",
        action="append",
        choices=_choices(),
        help=f"what it allows, may be given more than once: {', '.join(_choices())} (default: *)",
    )
    add.add_argument("--owner", metavar="USER@DOMAIN", default="", help="the account that it goes away with")
    add.add_argument(
        "--expires",
        metavar="TIME",
        type=_duration,
        default=0,
        help="how long it is valid: 30d, 12h (default: for ever)",
    )
    actions.add("list", _list, "list the keys")
    revoke = actions.add("revoke", _revoke, "make a key invalid")
    revoke.add_argument("prefix", metavar="PREFIX", help="how the key begins, as the list shows it: rvk_...")


def _choices() -> list[str]:
    """Each scope, those of one thing together, and all."""
    return [*SCOPES, *sorted({f"{scope.partition(':')[0]}:*" for scope in SCOPES}), "*"]


def _duration(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is no time such as 30d, 12h or 90m")
    return int(match[1]) * _SECONDS[match[2]]


def _store_url(args: argparse.Namespace) -> str:
    return load(args.config, args.role).users.store


def _add(args: argparse.Namespace) -> int:
    expires = time.time() + args.expires if args.expires else 0.0
    with open_store(_store_url(args), make=True) as store:
        is_first = not store.list_keys()
        key, record = store.add_key(args.name, args.scope or ["*"], owner=args.owner, expires=expires)
    if args.json:
        write_json({"key": key, "record": _shown(record)})
        return 0
    write_line(key)
    if is_first:
        write_line("This is the first key: from now on the API asks each caller for a key or the token.")
    return 0


def _list(args: argparse.Namespace) -> int:
    with open_store(_store_url(args)) as store:
        records = store.list_keys()
    if args.json:
        write_json([_shown(record) for record in records])
        return 0
    now = time.time()
    write_table(
        ("PREFIX", "NAME", "SCOPES", "OWNER", "CREATED", "EXPIRES", "LAST USED"),
        [
            (
                record.prefix,
                record.name,
                " ".join(sorted(record.scopes)),
                record.owner or "-",
                local_time(record.created),
                _until(record, now),
                local_time(record.last_used) if record.last_used else "never",
            )
            for record in records
        ],
    )
    return 0


def _until(record: APIKey, wall_now: float) -> str:
    if record.is_expired(wall_now):
        return "expired"
    return local_time(record.expires) if record.expires else "never"


def _revoke(args: argparse.Namespace) -> int:
    with open_store(_store_url(args)) as store:
        found = [record for record in store.list_keys() if record.prefix == args.prefix]
        if not found:
            raise CommandError(f"there is no API key {args.prefix}")
        store.remove_key(args.prefix)
    if args.json:
        write_json(_shown(found[0]))
    else:
        write_line(f"revoked {args.prefix} ({found[0].name})")
    return 0


def _shown(record: APIKey) -> dict[str, Any]:
    return {
        "prefix": record.prefix,
        "name": record.name,
        "scopes": sorted(record.scopes),
        "owner": record.owner,
        "created": record.created,
        "expires": record.expires,
        "last_used": record.last_used,
    }
