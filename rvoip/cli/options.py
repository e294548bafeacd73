"""Options that several subcommands share."""

from __future__ import annotations

import argparse

from rvoip.services.config import ROLES

__all__ = ["add_config", "add_json", "add_server"]


def add_config(parser: argparse.ArgumentParser) -> None:
    """Declare `--config` and `--role`."""
    parser.add_argument(
        "--config",
        "-c",
        metavar="FILE",
        help="the server's configuration file; without one, what a server without one uses",
    )
    parser.add_argument(
        "--role", choices=ROLES, default="proxy", help="whose tables count in a file for several roles"
    )


def add_server(parser: argparse.ArgumentParser) -> None:
    """Declare how to reach the API of a running server."""
    add_config(parser)
    parser.add_argument("--url", help="the server's API, http://HOST:PORT, instead of what a file says")
    parser.add_argument("--token", help="the API's token; better in the variable RVOIP_TOKEN, out of sight")
    parser.add_argument("--ca", metavar="FILE", help="authorities that an https server's certificate is of")
    parser.add_argument("--certificate", metavar="FILE", help="our own certificate, where the server asks")
    parser.add_argument("--private-key", metavar="FILE", help="the key of --certificate")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Declare `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON, for another program")
