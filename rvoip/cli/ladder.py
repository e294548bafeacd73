"""`rvoip ladder`: the messages of a recent call on their way between the addresses, as text."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from typing import Any

from rvoip.cli.api import API, connect, segment
from rvoip.cli.errors import CommandError
from rvoip.cli.options import add_json, add_server
from rvoip.cli.output import local_time, write_json, write_line, write_table
from rvoip.common.printable import printable
from rvoip.trace.ladder import draw

__all__ = ["configure"]

MAX_CALLS = 1000
"""As many as the server lists at once."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=_run)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "call_id",
        metavar="CALL_ID",
        nargs="?",
        help="the call, or how its Call-ID begins; none lists the latest",
    )
    which.add_argument("--last", action="store_true", help="the latest call")
    parser.add_argument("--full", action="store_true", help="print the messages as well")
    parser.add_argument(
        "--limit", type=_number(1, MAX_CALLS), default=20, help="how many calls are listed (default: 20)"
    )
    parser.add_argument(
        "--width", type=_number(40, 1000), help="columns of the drawing; by default the terminal's"
    )
    add_server(parser)
    add_json(parser)


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and least <= int(text[:9]) <= most):
            raise argparse.ArgumentTypeError(f"{text} is no number from {least} to {most}")
        return int(text)

    return read


def _run(args: argparse.Namespace) -> int:
    api = connect(args)
    if args.call_id is None and not args.last:
        return _list(args, api)
    return _draw(args, api, _call_id(args, api))


def _draw(args: argparse.Namespace, api: API, call_id: str) -> int:
    found = api.get(f"/v1/ladders/{segment(call_id)}")
    if args.json:
        write_json(found)
        return 0
    width = args.width or shutil.get_terminal_size((100, 24)).columns
    write_line(found["call_id"])
    sys.stdout.write(f"\n{draw(found['messages'], width=width)}")
    if found.get("left_out"):
        write_line(f"{found['left_out']} messages in the middle were not kept")
    if args.full:
        for message in found["messages"]:
            _write_message(message)
    return 0


def _list(args: argparse.Namespace, api: API) -> int:
    """The latest calls, and the ladder of the very latest."""
    calls = api.get("/v1/ladders", limit=args.limit)["calls"][: args.limit]
    if args.json:
        write_json(calls)
        return 0
    write_table(
        ("CALL-ID", "FROM", "TO", "STATUS", "MESSAGES", "STARTED"),
        [
            (
                call["call_id"],
                call["from"],
                call["to"],
                call["status"],
                call["messages"],
                local_time(call["started"]),
            )
            for call in calls
        ],
    )
    if not calls:
        return 0
    write_line("")
    return _draw(args, api, calls[0]["call_id"])


def _call_id(args: argparse.Namespace, api: API) -> str:
    """The Call-ID that is meant: one can be written as far as it takes to tell it from the others."""
    calls = [call["call_id"] for call in api.get("/v1/ladders", limit=MAX_CALLS)["calls"]]
    if args.last:
        if not calls:
            raise CommandError("the server has seen no call yet")
        return str(calls[0])
    asked: str = args.call_id
    found = [call_id for call_id in calls if call_id.startswith(asked)]
    if asked in found or not found:
        return asked
    if len(found) > 1:
        raise CommandError(f"{len(found)} Call-IDs begin with {asked}")
    return str(found[0])


def _write_message(message: dict[str, Any]) -> None:
    arrow = f"{message['source']} -> {message['destination']}"
    write_line("")
    write_line(f"--- {local_time(message['at'])}  {message['transport']} {arrow}")
    # Of a message the line ends alone stay what they are.
    for line in message["text"].rstrip("\r\n").replace("\r\n", "\n").split("\n"):
        sys.stdout.write(f"{printable(line)}\n")
