"""The actions of a subcommand: `rvoip user add`, `rvoip user list`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from rvoip.cli.options import add_json

__all__ = ["Actions"]


class Actions:
    """What a subcommand can do; each action takes `--json` and what `options` declares."""

    def __init__(
        self, parser: argparse.ArgumentParser, options: Callable[[argparse.ArgumentParser], None]
    ) -> None:
        self._parsers = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        self._options = options

    def add(
        self, name: str, run: Callable[[argparse.Namespace], int], summary: str
    ) -> argparse.ArgumentParser:
        """Declare an action; returns its parser, for what it alone takes."""
        parser = self._parsers.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        parser.set_defaults(run=run)
        self._options(parser)
        add_json(parser)
        return parser
