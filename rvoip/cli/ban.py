"""`rvoip ban`: the addresses that a running server does not listen to for a while."""

from __future__ import annotations

import argparse

from rvoip.cli.actions import Actions
from rvoip.cli.api import connect, segment
from rvoip.cli.options import add_server
from rvoip.cli.output import duration, write_json, write_line, write_table

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions."""
    actions = Actions(parser, add_server)
    actions.add("list", _list, "list the banned addresses")
    remove = actions.add("remove", _remove, "end a ban")
    remove.add_argument("source", metavar="ADDRESS", help="an IP address, or a network as the list shows it")


def _list(args: argparse.Namespace) -> int:
    bans = list(connect(args).get("/v1/bans")["bans"])
    if args.json:
        write_json(bans)
    else:
        write_table(("SOURCE", "LEFT"), [(each["source"], duration(each["left"])) for each in bans])
    return 0


def _remove(args: argparse.Namespace) -> int:
    connect(args).delete(f"/v1/bans/{segment(args.source)}")
    if args.json:
        write_json({"source": args.source, "result": "removed"})
    else:
        write_line(f"{args.source} is heard again")
    return 0
