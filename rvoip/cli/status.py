"""`rvoip status`: how a running server is, and live lists of what it is at."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from rvoip.cli.api import API, connect
from rvoip.cli.binding import write_bindings
from rvoip.cli.dialog import list_dialogs, write_dialogs
from rvoip.cli.errors import CommandError
from rvoip.cli.gateway import list_gateways, write_gateways
from rvoip.cli.options import add_json, add_server
from rvoip.cli.output import duration, write_json, write_line, write_table

__all__ = ["configure"]

CLEAR = "\x1b[H\x1b[2J"
"""Cursor home, and erase: the terminal shows one report at a time."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=_run)
    parser.add_argument("what", choices=tuple(LISTS), nargs="?", help="a list in place of the report")
    add_server(parser)
    add_json(parser)
    parser.add_argument("--watch", action="store_true", help="show it again and again, until Ctrl-C")
    parser.add_argument(
        "--interval", type=_seconds, default=2.0, metavar="SECONDS", help="between two looks (default: 2)"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 0.1 to 3600")
    return seconds


def _run(args: argparse.Namespace) -> int:
    """0 when the server is ready for work, else 1."""
    api = connect(args)
    clear = args.watch and sys.stdout.isatty()
    while True:
        if args.what is not None:
            status = _list(api, args, clear=clear)
        else:
            report = _report(api)
            status = 0 if report["health"]["status"] == "ready" else 1
            if args.json:
                write_json(report)
            else:
                _show(report, clear=clear)
        if not args.watch:
            return status
        sys.stdout.flush()
        time.sleep(args.interval)


def _list(api: API, args: argparse.Namespace, *, clear: bool) -> int:
    read, write = LISTS[args.what]
    found = read(api)
    if args.json:
        write_json(found)
        return 0
    if clear:
        sys.stdout.write(CLEAR)
    write(found)
    return 0


def _transactions(api: API) -> list[dict[str, Any]]:
    return list(api.get("/v1/transactions", limit=1000)["transactions"])


def _write_transactions(transactions: list[dict[str, Any]]) -> None:
    write_table(
        ("KIND", "METHOD", "STATE", "STATUS", "PEER", "URI", "CALL-ID"),
        [
            (
                each["kind"],
                each["method"],
                each["state"],
                each["status"] or "-",
                f"{each['transport'].lower()}:{each['peer']}",
                each["uri"],
                each["call_id"],
            )
            for each in transactions
        ],
    )


def _bindings(api: API) -> list[dict[str, Any]]:
    return list(api.pages("/v1/bindings", "bindings"))


LISTS: dict[str, tuple[Callable[[API], list[dict[str, Any]]], Callable[[list[dict[str, Any]]], None]]] = {
    "bindings": (_bindings, write_bindings),
    "dialogs": (list_dialogs, write_dialogs),
    "gateways": (list_gateways, write_gateways),
    "transactions": (_transactions, _write_transactions),
}
"""What can be listed: how it is read, and printed."""


def _report(api: API) -> dict[str, Any]:
    # An answer of 503 is a report as well: of a server that is draining, or not well.
    _, body = api.call("GET", "/health", well=(503,))
    try:
        health = json.loads(body)
        status = {"status": str(health["status"]), "checks": dict(health["checks"])}
    except (ValueError, TypeError, KeyError):
        raise CommandError("the answer to /health is none of rvoip's") from None
    report: dict[str, Any] = api.get("/v1/status")
    report["health"] = status
    return report


def _show(report: dict[str, Any], *, clear: bool) -> None:
    health = report["health"]
    lines = [
        ("role", f"{report['role']} {report['version']}"),
        ("health", health["status"]),
        *((f"  {name}", reason) for name, reason in health["checks"].items() if reason != "ok"),
        ("uptime", duration(report["uptime"])),
        ("listening", ", ".join(report["listeners"])),
        ("domains", ", ".join(report["domains"])),
        ("bindings", f"{report['bindings']} of {report['aors']} addresses-of-record"),
        ("dialogs", str(report.get("dialogs", 0))),
        ("transactions", str(report["transactions"])),
        *([("gateways", _counts(report["gateways"]))] if report.get("gateways") else []),
        ("connections", str(report["connections"])),
        ("traced calls", str(report["calls"])),
        ("lag", f"{report['lag'] * 1000:.1f} ms"),
    ]
    if clear:
        sys.stdout.write(CLEAR)
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        write_line(f"{name.ljust(width)}  {text}")


def _counts(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items() if count)
