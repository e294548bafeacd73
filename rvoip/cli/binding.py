"""`rvoip binding`: the registered contacts of a running server."""

from __future__ import annotations

import argparse
from typing import Any

from rvoip.cli.actions import Actions
from rvoip.cli.api import API, connect, segment
from rvoip.cli.errors import CommandError
from rvoip.cli.options import add_server
from rvoip.cli.output import duration, write_json, write_line, write_table

__all__ = ["configure", "write_bindings"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions."""
    actions = Actions(parser, add_server)
    listing = actions.add("list", _list, "list the contacts of one address-of-record, or all")
    listing.add_argument("aor", metavar="AOR", nargs="?", help="USER@DOMAIN")
    remove = actions.add("remove", _remove, "remove contacts of an address-of-record")
    remove.add_argument("aor", metavar="AOR", help="USER@DOMAIN")
    remove.add_argument(
        "contact", metavar="CONTACT", nargs="?", help="the one to remove: its URI or its id; all without"
    )


def _list(args: argparse.Namespace) -> int:
    api = connect(args)
    if args.aor is None:
        bindings = list(api.pages("/v1/bindings", "bindings"))
    else:
        bindings = _bindings(api, args.aor)
    if args.json:
        write_json(bindings)
    else:
        write_bindings(bindings)
    return 0


def write_bindings(bindings: list[dict[str, Any]]) -> None:
    """Print contacts, one a line."""
    write_table(("AOR", "CONTACT", "EXPIRES", "Q", "ID", "USER AGENT"), [_row(each) for each in bindings])


def _row(binding: dict[str, Any]) -> tuple[object, ...]:
    return (
        binding["aor"],
        binding["contact"],
        duration(binding["expires"]),
        f"{binding.get('q', 1.0):g}",
        binding["id"],
        binding.get("user_agent", ""),
    )


def _bindings(api: API, aor: str) -> list[dict[str, Any]]:
    """All that an address-of-record has; nothing is no error to a reader."""
    found = api.get(f"/v1/bindings/{segment(aor)}", missing={"bindings": []})
    return [{"aor": aor, **binding} for binding in found["bindings"]]


def _remove(args: argparse.Namespace) -> int:
    api = connect(args)
    bindings = _bindings(api, args.aor)
    if args.contact is None:
        if not bindings:
            raise CommandError(f"{args.aor} has no contacts")
        api.delete(f"/v1/bindings/{segment(args.aor)}")
    else:
        bindings = [each for each in bindings if args.contact in (each["contact"], each["id"])]
        if not bindings:
            raise CommandError(f"{args.aor} has no contact {args.contact}")
        for binding in bindings:
            api.delete(f"/v1/bindings/{segment(args.aor)}/{segment(binding['id'])}")
    if args.json:
        write_json(bindings)
    else:
        for binding in bindings:
            write_line(f"removed {binding['contact']} of {args.aor}")
    return 0
