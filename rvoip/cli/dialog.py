"""`rvoip dialog`: the calls that are up and pass a running server."""

from __future__ import annotations

import argparse
from typing import Any

from rvoip.cli.actions import Actions
from rvoip.cli.api import API, connect, segment
from rvoip.cli.errors import CommandError
from rvoip.cli.options import add_server
from rvoip.cli.output import duration, write_json, write_line, write_table

__all__ = ["configure", "list_dialogs", "write_dialogs"]

_MOST = 1000
"""As many as the server lists at once."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions."""
    actions = Actions(parser, add_server)
    actions.add("list", _list, "list the calls that are up")
    end = actions.add("end", _end, "end a call: each end gets a BYE")
    end.add_argument(
        "id", metavar="ID", help="as the list shows it, or as much of it as tells it from the others"
    )


def list_dialogs(api: API) -> list[dict[str, Any]]:
    """The calls that are up, as the API shows them; the first thousand."""
    return list(api.get("/v1/dialogs", limit=_MOST)["dialogs"])


def write_dialogs(dialogs: list[dict[str, Any]]) -> None:
    """Print them, one a line."""
    write_table(
        ("ID", "CALLER", "CALLEE", "FROM", "TO", "DURATION", "CALL-ID"),
        [
            (
                each["id"],
                _uri(each["caller"]["name"]),
                _uri(each["callee"]["name"]),
                each["caller"]["address"],
                each["callee"]["address"],
                duration(each["duration"]),
                each["call_id"],
            )
            for each in dialogs
        ],
    )


def _uri(name: str) -> str:
    return name.partition("<")[2].partition(">")[0] or name.partition(";")[0]


def _list(args: argparse.Namespace) -> int:
    dialogs = list_dialogs(connect(args))
    if args.json:
        write_json(dialogs)
    else:
        write_dialogs(dialogs)
    return 0


def _end(args: argparse.Namespace) -> int:
    """0 when both ends have taken the BYE."""
    api = connect(args)
    found = [each["id"] for each in list_dialogs(api) if each["id"].startswith(args.id)]
    if len(found) > 1 and args.id not in found:
        raise CommandError(f"{len(found)} calls begin with {args.id}")
    ended = api.delete(f"/v1/dialogs/{segment(found[0] if len(found) == 1 else args.id)}")
    if args.json:
        write_json(ended)
    else:
        caller, callee = ended["caller"], ended["callee"]
        write_line(f"ended {ended['id']}: {caller} from the caller, {callee} from the callee")
    return 0 if ended["caller"] < 300 and ended["callee"] < 300 else 1
