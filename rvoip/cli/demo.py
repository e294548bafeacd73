"""`rvoip demo`, which is `make run`: a registrar and proxy on loopback with two accounts to try it with."""

from __future__ import annotations

import argparse
import errno
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import rvoip
from rvoip.cli.errors import CommandError
from rvoip.cli.output import write_line
from rvoip.cli.selfsigned import write_certificate
from rvoip.cli.user import open_store
from rvoip.common.printable import printable
from rvoip.protocols.sip.grammar import format_host, format_host_port
from rvoip.protocols.transport.addresses import ListenAddress, default_port, is_wildcard
from rvoip.services.config import Config, load
from rvoip.services.config_rules import listen_addresses
from rvoip.users.accounts import Account

__all__ = ["CONFIG", "configure"]

USERS = ("alice", "bob")
ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without the characters that are easily taken for others: a password may have to be typed."""
PASSWORD_LENGTH = 16

CONFIG = """\
# The demo's server. Change it as you like; it is written only when it is missing.
# `rvoip check --defaults` prints every key there is, with its default.

[sip]
listen = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "tls:127.0.0.1:5061"]
# The addresses above stand for the first domain: alice@127.0.0.1 is alice@localhost.
domains = ["localhost"]

[tls]
# Made at the first start; a phone that checks certificates is given certificate.pem to trust.
certificate = "certificate.pem"
private_key = "private_key.pem"

[http]
# API, metrics and health; open, because only this machine reaches it.
listen = "127.0.0.1:8080"

[log]
# A line for each registration and call.
activity = true

[users]
store = "sqlite:users.db"

[location]
# A registration is answered when it is on disk.
store = "sqlite:location.db"

# With this table the proxy is a registrar too.
[registrar]
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=_run)
    parser.add_argument(
        "--directory",
        metavar="FOLDER",
        default="var",
        help="where configuration, certificate and databases are kept (default: var)",
    )


def _run(args: argparse.Namespace) -> NoReturn:
    file = os.path.join(args.directory, "rvoip.toml")
    config = _prepare(args.directory, file)
    addresses = listen_addresses(config, file)
    _check_free(config, addresses, file)
    made, total = _make_accounts(config)
    for line in _greeting(config, addresses, file, made, total):
        write_line(line)
    sys.stdout.flush()
    _become(_server(file))


def _prepare(directory: str, file: str) -> Config:
    """The configuration, after making what is missing of folder, file and certificate."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        try:
            with open(file, "x", encoding="utf-8") as written:
                written.write(CONFIG)
        except FileExistsError:
            pass
        config = load(file, "proxy")
        tls = config.tls
        missing = [path for path in (tls.certificate, tls.private_key) if path and not os.path.exists(path)]
        if len(missing) == 2:
            hosts = [address.host for address in listen_addresses(config, file)]
            names = dict.fromkeys([*(config.sip.domains or ["localhost"]), "localhost", "127.0.0.1", *hosts])
            write_certificate(tls.certificate, tls.private_key, [name for name in names if name])
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None
    return config


def _check_free(config: Config, addresses: Sequence[ListenAddress], file: str) -> None:
    """See that the ports are free before anything is promised; the server says it too, but later."""
    wanted = [(str(address), address.transport, address.host, address.port) for address in addresses]
    host, colon, port = config.http.listen.rpartition(":")
    if colon and port.isdecimal():
        wanted.append((f"http:{config.http.listen}", "TCP", host.strip("[]"), int(port)))
    for name, transport, host, number in wanted:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        kind = socket.SOCK_DGRAM if transport == "UDP" else socket.SOCK_STREAM
        with socket.socket(family, kind) as probe:
            if transport != "UDP":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, number))
            except OSError as error:
                reason = "the address is in use" if error.errno == errno.EADDRINUSE else error.strerror
                raise CommandError(
                    f"cannot listen on {name}: {reason}; stop what has it, or change {file}"
                ) from None


def _make_accounts(config: Config) -> tuple[list[tuple[str, str]], int]:
    """(AOR, password) of the accounts made now, which are none when there are any; and how many there are."""
    domain = config.sip.domains[0] if config.sip.domains else "localhost"
    made = []
    with open_store(config.users.store, make=True) as store:
        total = store.count()
        if not total:
            for user in USERS:
                password = "".join(secrets.choice(ALPHABET) for _ in range(PASSWORD_LENGTH))
                made.append((store.add(Account.of(f"{user}@{domain}"), password).aor, password))
            total = len(made)
    return made, total


def _greeting(
    config: Config,
    addresses: Sequence[ListenAddress],
    file: str,
    made: list[tuple[str, str]],
    total: int,
) -> list[str]:
    command = sys.argv[0] if os.path.basename(sys.argv[0]) == "rvoip" else "rvoip"
    options = f"--config {shlex.quote(file)}"
    domain = config.sip.domains[0] if config.sip.domains else "localhost"
    lines = []
    if made:
        lines += [f"account {aor} password {password}" for aor, password in made]
        lines += ["", "These passwords are not shown again. One line for baresip (~/.baresip/accounts):"]
        for aor, password in made:
            lines += [f"  {_account_line(aor, password, address)}" for address in addresses]
        lines += _other_phones(config, addresses, made)
    else:
        lines += [
            f"{total} accounts, as they were left. A forgotten password is set anew with",
            f"  {command} user passwd {USERS[0]}@{domain} --password-stdin {options}",
        ]
    lines += [
        "",
        f"listening on {', '.join(map(str, addresses))}",
        f"API, metrics and health on {_http_name(config)}",
        "",
        f"another account:    echo PASSWORD | {command} user add carol@{domain} --password-stdin {options}",
        f"who is registered:  {command} binding list {options}",
        f"the last call:      {command} ladder --last {options}",
        "stop with Ctrl-C; registrations and calls are shown below",
        "",
    ]
    return lines


def _account_line(aor: str, password: str, address: ListenAddress) -> str:
    user = aor.partition("@")[0]
    host = _reachable(address)
    is_default = address.port == default_port(address.transport)
    place = format_host(host) if is_default else format_host_port(host, address.port)
    return f"<sip:{user}@{place};transport={address.transport.lower()}>;auth_user={user};auth_pass={password}"


def _other_phones(
    config: Config, addresses: Sequence[ListenAddress], made: list[tuple[str, str]]
) -> list[str]:
    places = ", ".join(
        f"{address.transport} {format_host_port(_reachable(address), address.port)}" for address in addresses
    )
    users = " or ".join(aor.partition("@")[0] for aor, _ in made)
    lines = [f"Any other phone: user {users}, domain {made[0][0].partition('@')[2]}, server {places}."]
    if any(address.transport == "TLS" for address in addresses):
        lines.append(
            f"A phone that checks certificates must trust {os.path.relpath(config.tls.certificate)}."
        )
    return lines


def _reachable(address: ListenAddress) -> str:
    """What a phone on this machine sends to."""
    if is_wildcard(address.host):
        return "::1" if ":" in address.host else "127.0.0.1"
    return address.host


def _http_name(config: Config) -> str:
    listen = config.http.listen
    if listen == "none":
        return "no address"
    return listen if listen.startswith("unix:") else f"http://{listen or '127.0.0.1:8080'}"


def _server(file: str) -> list[str]:
    """The command line of the server, in the foreground and without a pidfile."""
    twistd = os.path.join(os.path.dirname(sys.executable), "twistd")
    program = [twistd] if os.path.exists(twistd) else ["-c", "from twisted.scripts.twistd import run; run()"]
    return [sys.executable, *program, "-n", "--pidfile=", "rvoip-proxy", "--config", file]


def _become(command: list[str]) -> NoReturn:
    """Let another program take the place of this one; it finds this package where this one did."""
    places = [str(Path(rvoip.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    try:
        os.execve(command[0], command, environment)
    except OSError as error:
        raise CommandError(printable(f"{command[0]}: {error.strerror}")) from None
