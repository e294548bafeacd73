"""`rvoip reload`: has a running server read its configuration again, and says what came of it."""

from __future__ import annotations

import argparse

from rvoip.cli.api import connect
from rvoip.cli.options import add_json, add_server
from rvoip.cli.output import write_json, write_line

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Have a running server read its configuration again. A broken one changes nothing."
    parser.set_defaults(run=_reload)
    add_server(parser)
    add_json(parser)


def _reload(args: argparse.Namespace) -> int:
    done = connect(args).post("/v1/reload", {})
    if args.json:
        write_json(done)
        return 0
    write_line(f"{done['file']}: reloaded")
    if done["restart"]:
        write_line(f"in force only after a restart: {', '.join(done['restart'])}")
    return 0
