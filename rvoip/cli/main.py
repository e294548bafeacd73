"""`rvoip SUBCOMMAND`: the subcommands, and the one way in which they fail."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn, Protocol, cast

from rvoip import __version__
from rvoip.cli.errors import CommandError
from rvoip.common.errors import ConfigError, StartError
from rvoip.common.printable import printable

__all__ = ["COMMANDS", "main", "make_parser"]

COMMANDS = {
    "user": "accounts: add, passwd, roles, list, remove, import",
    "apikey": "keys for the HTTP API: add, list, revoke",
    "binding": "registered contacts of a running server: list, remove",
    "dialog": "the calls that are up: list, end",
    "gateway": "the gateways of a running proxy: list, set",
    "presence": "who watches whom, who may, and what waits: watchers, show, rule, unrule, mailbox, lists",
    "ban": "addresses that are not heard for a while: list, remove",
    "ladder": "the SIP messages of a recent call, drawn",
    "status": "how a running server is, and what it is at",
    "reload": "have a running server read its configuration again",
    "check": "whether a configuration file is right",
    "demo": "a registrar and proxy on loopback with two accounts (make run)",
    "completion": "completion of this command for a shell",
}
"""Each subcommand is the module of its name in this package."""

USAGE_ERROR = 2
INTERRUPTED = 130
"""128 + SIGINT, as a shell says it."""


class Command(Protocol):
    """What the module of a subcommand has."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments, and the defaults `run`: a function of the parsed arguments."""


class Parser(argparse.ArgumentParser):
    """An argument parser that says a mistake in one line, and takes no abbreviation for an option."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        super().__init__(*args, **options)

    def error(self, message: str) -> NoReturn:
        """Leave with status 2."""
        self.exit(USAGE_ERROR, printable(f"{self.prog}: {message}; see {self.prog} --help") + "\n")


def make_parser(wanted: Sequence[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The parser of the command line; only the subcommands in `wanted` know their arguments.

    A subcommand's module is imported for that, so that `rvoip --version` need not wait for a database's.
    """
    parser = Parser(prog="rvoip", description="Operate rvoip's SIP servers.")
    parser.add_argument("--version", action="version", version=f"rvoip {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="SUBCOMMAND", required=True)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=f"{_sentence(summary)}.")
        if name in wanted:
            cast(Command, import_module(f"rvoip.cli.{name}")).configure(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (by default the process's) and return its exit status.

    0 is success; 1 comes with one line on stderr; 2 is a mistake in the command line itself.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        parsed = make_parser(arguments).parse_args(arguments)
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except SystemExit as end:  # argparse, after it has said why
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (CommandError, ConfigError, StartError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        _discard_output()
        if not isinstance(error, BrokenPipeError):  # the reader, `head` perhaps, has seen enough
            place = f"{error.filename}: " if isinstance(error.filename, str) else "output: "
            sys.stderr.write(printable(f"{place}{error.strerror or error}") + "\n")
        return 1
    return status


def _discard_output() -> None:
    """Let what Python still flushes at the end go nowhere."""
    with contextlib.suppress(OSError, ValueError):  # standard output may be no file at all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    sys.exit(main())
