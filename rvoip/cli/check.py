"""`rvoip check`: whether a server would start with a configuration, as far as that can be told beforehand."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from importlib import import_module

from twisted.internet.task import Clock

from rvoip.cli.errors import CommandError
from rvoip.cli.output import write_line
from rvoip.common.config_table import defaults_file
from rvoip.common.errors import ConfigError, StartError
from rvoip.common.http_server import Listen
from rvoip.common.tls import ServerTLS
from rvoip.protocols.transport.errors import TLSFileError
from rvoip.protocols.transport.tls import TLSContexts
from rvoip.services.config import ROLES, Config, load
from rvoip.services.reloading import changed_keys
from rvoip.services.sip import tls_settings

__all__ = ["check_config", "configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=_run)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("file", metavar="FILE", nargs="?", help="the configuration file")
    what.add_argument(
        "--defaults", action="store_true", help="print a file with every key, its default and what it is for"
    )
    parser.add_argument(
        "--against",
        metavar="OLD",
        help="also say which keys differ from those of another file, and which of them take a restart",
    )
    parser.add_argument(
        "--role", choices=ROLES, default="proxy", help="whose tables count in a file for several roles"
    )


def _run(args: argparse.Namespace) -> int:
    if args.defaults:
        for line in defaults_file(Config).splitlines():
            write_line(line)
        return 0
    config = check_config(args.file, args.role)
    write_line(f"{args.file}: ok")
    if args.against is not None:
        for key, later in changed_keys(load(args.against, args.role), config):
            write_line(f"{key}: differs, in force after {'a restart' if later else 'SIGHUP'}")
    return 0


def check_config(file: str, role: str) -> Config:
    """The configuration in `file`, checked as far as that goes without opening a socket or a store.

    Beyond what every start checks: the files that it names are there and fit each other, certificates have
    not expired, and the role can be put together. Raises ConfigError.
    """
    config = load(file, role)
    _check_tls(config, file)
    _check_http(config, file)
    _check_role(file, role)
    return config


def _check_tls(config: Config, file: str) -> None:
    tls = config.tls
    if not (tls.certificate or tls.private_key or tls.ca or tls.name or tls.verify_client or tls.crl):
        return
    try:
        contexts = TLSContexts(tls_settings(tls))
    except TLSFileError as error:
        raise ConfigError(file, "tls", str(error)) from None
    now = datetime.now(UTC)
    if contexts.not_after is not None and contexts.not_after <= now:
        raise ConfigError(file, "tls", f"a certificate has expired on {contexts.not_after:%Y-%m-%d}")
    if contexts.crl_until is not None and contexts.crl_until <= now:
        raise ConfigError(file, "tls.crl", f"a revocation list has expired on {contexts.crl_until:%Y-%m-%d}")


def _check_http(config: Config, file: str) -> None:
    http = config.http
    try:
        if http.listen not in ("", "none"):
            Listen.parse(http.listen)
        if http.certificate or http.private_key or http.ca:
            if not (http.certificate and http.private_key):
                raise StartError("certificate and private_key go together, and ca goes with them")
            ServerTLS(http.certificate, http.private_key, http.ca)
    except StartError as error:
        raise ConfigError(file, "http", error.reason.removeprefix("[http] ")) from None


def _check_role(file: str, role: str) -> None:
    """Put the role together: it opens nothing before it starts, and refuses what it cannot use."""
    module = import_module(f"rvoip.services.{role}")
    options = module.Options()
    options.parseOptions(["--config", file])
    try:
        module.makeService(options, Clock())
    except SystemExit as error:
        raise CommandError(str(error)) from None
