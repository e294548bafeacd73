"""`rvoip gateway`: the gateways of a running proxy, and their states."""

from __future__ import annotations

import argparse
from typing import Any

from rvoip.cli.actions import Actions
from rvoip.cli.api import API, connect, segment
from rvoip.cli.options import add_server
from rvoip.cli.output import duration, write_json, write_line, write_table

__all__ = ["configure", "list_gateways", "write_gateways"]

STATES = ("active", "probing", "inactive", "disabled")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions."""
    actions = Actions(parser, add_server)
    actions.add("list", _list, "list the gateways")
    change = actions.add("set", _set, "put a gateway into a state")
    change.add_argument("id", metavar="ID", help="as the list shows it: SET:NAME")
    change.add_argument(
        "state", choices=STATES, help="disabled: no calls and no probes, until it is told otherwise"
    )


def list_gateways(api: API) -> list[dict[str, Any]]:
    """The gateways as the API shows them."""
    return list(api.get("/v1/gateways")["gateways"])


def write_gateways(gateways: list[dict[str, Any]]) -> None:
    """Print them, one a line."""
    write_table(
        ("ID", "STATE", "SINCE", "URI", "CALLS", "LATENCY", "FAILURES"),
        [
            (
                each["id"],
                each["state"],
                duration(each["since"]),
                each["uri"],
                f"{each['calls']}/{each['limit']}" if each["limit"] else each["calls"],
                "-" if each["latency"] is None else f"{each['latency'] * 1000:.0f} ms",
                each["failures"],
            )
            for each in gateways
        ],
    )


def _list(args: argparse.Namespace) -> int:
    gateways = list_gateways(connect(args))
    if args.json:
        write_json(gateways)
    else:
        write_gateways(gateways)
    return 0


def _set(args: argparse.Namespace) -> int:
    changed = connect(args).put(f"/v1/gateways/{segment(args.id)}", {"state": args.state})
    if args.json:
        write_json(changed)
    else:
        write_line(f"{changed['id']} is {changed['state']}")
    return 0
