"""`rvoip status`: how a running server is."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from rvoip.cli.api import API, connect
from rvoip.cli.errors import CommandError
from rvoip.cli.options import add_json, add_server
from rvoip.cli.output import duration, write_json, write_line

__all__ = ["configure"]

CLEAR = "\x1b[H\x1b[2J"
"""Cursor home, and erase: the terminal shows one report at a time."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=_run)
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
    while True:
        report = _report(api)
        if args.json:
            write_json(report)
        else:
            _show(report, clear=args.watch and sys.stdout.isatty())
        if not args.watch:
            return 0 if report["health"]["status"] == "ready" else 1
        sys.stdout.flush()
        time.sleep(args.interval)


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
        ("transactions", str(report["transactions"])),
        ("connections", str(report["connections"])),
        ("traced calls", str(report["calls"])),
        ("lag", f"{report['lag'] * 1000:.1f} ms"),
    ]
    if clear:
        sys.stdout.write(CLEAR)
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        write_line(f"{name.ljust(width)}  {text}")
