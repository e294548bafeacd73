"""`rvoip user`: accounts, straight in the store that the servers read.

It works while a server runs, which notices within a second, and while none does.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import sys
from collections.abc import Iterable, Iterator

from rvoip.cli.actions import Actions
from rvoip.cli.errors import CommandError
from rvoip.cli.options import add_config
from rvoip.cli.output import local_time, write_json, write_line, write_table
from rvoip.cli.user_limits import configure_limits, show_limits
from rvoip.services.account_roles import ROLES
from rvoip.services.config import load
from rvoip.users.accounts import Account, join_aor, split_aor
from rvoip.users.errors import AccountError, StoreError
from rvoip.users.store import UserStore

__all__ = ["configure", "open_store"]

PASSWORD_LIMIT = 4096
"""Bytes read of a password; more than any password has."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions."""
    actions = Actions(parser, add_config)
    add = actions.add("add", _add, "make an account")
    passwd = actions.add("passwd", _passwd, "give an account another password")
    for action in (add, passwd):
        action.add_argument("aor", metavar="USER@DOMAIN", help="the account; its digest realm is the domain")
        action.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from standard input; without it the terminal is asked",
        )
    listing = actions.add("list", _list, "list accounts")
    listing.add_argument("prefix", metavar="PREFIX", nargs="?", default="", help="how their names begin")
    add.add_argument(
        "--no-digest",
        action="store_true",
        help="an account for the API alone: no phone can use it; what is kept of its password is Argon2id",
    )
    roles = actions.add("roles", _roles, "say what an account may do in the API")
    roles.add_argument("aor", metavar="USER@DOMAIN", help="the account")
    roles.add_argument("roles", metavar="ROLE", nargs="+", choices=ROLES, help=", ".join(ROLES))
    limits = actions.add("limits", _limits, "show or change what an account may call, and how much")
    configure_limits(limits)
    remove = actions.add("remove", _remove, "remove an account")
    remove.add_argument("aor", metavar="USER@DOMAIN", help="the account")
    importing = actions.add("import", _import, "make or change many accounts, all or none")
    importing.add_argument(
        "file", metavar="FILE", help="lines of the form user:domain:password; - is standard input"
    )


@contextlib.contextmanager
def open_store(url: str, *, make: bool = False) -> Iterator[UserStore]:
    """The open store of `url`; what it or the caller's account lacks is a CommandError.

    A file that is not there yet is made only with `make`.
    """
    path = url.removeprefix("sqlite:")
    if not make and path != url and not os.path.exists(path):
        raise CommandError(f"{path}: there is no such database; rvoip user add makes it")
    try:
        with UserStore(url) as store:
            yield store
    except (AccountError, StoreError) as error:
        raise CommandError(error.reason) from None


def _store_url(args: argparse.Namespace) -> str:
    return load(args.config, args.role).users.store


def _add(args: argparse.Namespace) -> int:
    aor = _checked(args.aor)
    password = _password(args, aor)
    with open_store(_store_url(args), make=True) as store:
        store.add(Account.of(aor), password, digest=not args.no_digest)
    if not args.no_digest:
        _warn_of_domains(args, [split_aor(aor)[1]])
        _warn_of_source(args)
    return _done(args, aor, "added")


def _warn_of_domains(args: argparse.Namespace, domains: Iterable[str], what: str = "the account") -> None:
    """Say on standard error which of the accounts' domains the server of this configuration is not for."""
    served = [name.lower().rstrip(".") for name in load(args.config, args.role).sip.domains]
    file = args.config or "defaults"
    for domain in sorted(domains) if served else ():
        if domain not in served:
            line = f"{file}: sip.domains does not name {domain}, so no phone can use {what} yet\n"
            sys.stderr.write(line)


def _warn_of_source(args: argparse.Namespace) -> None:
    """Say on standard error that the phones' accounts are not those of the store, where it is so."""
    if load(args.config, args.role).users.source:
        file = args.config or "defaults"
        sys.stderr.write(
            f"{file}: users.source has the accounts of phones; those of the store are for the API\n"
        )


def _passwd(args: argparse.Namespace) -> int:
    aor = _checked(args.aor)
    password = _password(args, aor)
    with open_store(_store_url(args)) as store:
        store.set_password(aor, password)
    return _done(args, aor, "changed")


def _roles(args: argparse.Namespace) -> int:
    aor = _checked(args.aor)
    with open_store(_store_url(args)) as store:
        roles = sorted(store.update(aor, roles=args.roles).roles)
    if args.json:
        write_json({"aor": aor, "roles": roles})
    else:
        write_line(f"{aor} has the role{'s' if len(roles) > 1 else ''} {', '.join(roles)}")
    return 0


def _limits(args: argparse.Namespace) -> int:
    aor = _checked(args.aor)
    with open_store(_store_url(args)) as store:
        return show_limits(args, store, aor)


def _remove(args: argparse.Namespace) -> int:
    aor = _checked(args.aor)
    with open_store(_store_url(args)) as store:
        store.remove(aor)
    return _done(args, aor, "removed")


def _done(args: argparse.Namespace, aor: str, what: str) -> int:
    if args.json:
        write_json({"aor": aor, "result": what})
    else:
        write_line(f"{what} {aor}" if what != "changed" else f"changed the password of {aor}")
    return 0


def _list(args: argparse.Namespace) -> int:
    with open_store(_store_url(args)) as store:
        accounts = list(_pages(store, args.prefix))
    if args.json:
        write_json(
            [
                {
                    "aor": account.aor,
                    "user": account.user,
                    "domain": account.domain,
                    "display_name": account.display_name,
                    "enabled": account.enabled,
                    "roles": sorted(account.roles),
                    "created": account.created,
                    "changed": account.changed,
                }
                for account in accounts
            ]
        )
    else:
        write_table(
            ("ACCOUNT", "ENABLED", "ROLES", "CHANGED"),
            [
                (
                    account.aor,
                    "yes" if account.enabled else "no",
                    " ".join(sorted(account.roles)),
                    local_time(account.changed),
                )
                for account in accounts
            ],
        )
    return 0


def _pages(store: UserStore, prefix: str) -> Iterator[Account]:
    after = ""
    while True:
        page = store.list(prefix, after, 1000)
        yield from page.accounts
        after = page.next
        if not after:
            return


def _import(args: argparse.Namespace) -> int:
    name = "standard input" if args.file == "-" else args.file
    with contextlib.ExitStack() as stack:
        lines: Iterable[bytes]
        if args.file == "-":
            lines = sys.stdin.buffer
        else:
            try:
                lines = stack.enter_context(open(args.file, "rb"))
            except OSError as error:
                raise CommandError(f"{name}: {error.strerror}") from None
        url = _store_url(args)
        try:
            with open_store(url, make=True) as store:
                result = store.import_many(lines)
        except OSError as error:  # a folder opens and cannot be read
            raise CommandError(f"{name}: {error.strerror}") from None
        except CommandError as error:
            line = error.line
            raise CommandError(
                f"{name}: {line}; nothing was imported" if line.startswith("line ") else line
            ) from None
    _warn_of_domains(args, result.domains, "its accounts")
    _warn_of_source(args)
    if args.json:
        write_json({"added": result.added, "changed": result.changed, "unchanged": result.unchanged})
    else:
        write_line(f"{result.added} added, {result.changed} changed, {result.unchanged} unchanged")
    return 0


def _checked(aor: str) -> str:
    try:
        return join_aor(*split_aor(aor))
    except AccountError as error:
        raise CommandError(error.reason) from None


def _password(args: argparse.Namespace, aor: str) -> str:
    if args.password_stdin:
        read = sys.stdin.buffer.read(PASSWORD_LIMIT)
        try:
            return read.removesuffix(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            raise CommandError("the password is not UTF-8") from None
    if not sys.stdin.isatty():
        raise CommandError("standard input is no terminal to ask for a password: use --password-stdin")
    password = getpass.getpass(f"Password of {aor}: ")
    if getpass.getpass("Once more: ") != password:
        raise CommandError("the two passwords differ")
    return password
