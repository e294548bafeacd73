"""`rvoip presence`: who watches whom at a running server, who may, and what waits for whom."""

from __future__ import annotations

import argparse

from rvoip.cli.actions import Actions
from rvoip.cli.api import connect, segment
from rvoip.cli.options import add_server
from rvoip.cli.output import duration, write_json, write_line, write_table

__all__ = ["configure"]

_MOST = 1000
"""As many as the server lists at once."""

DECISIONS = ("allow", "confirm", "polite", "deny")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions."""
    actions = Actions(parser, add_server)
    watchers = actions.add("watchers", _watchers, "list who watches whom")
    watchers.add_argument("user", metavar="USER@DOMAIN", nargs="?", default="", help="only of this user")
    show = actions.add("show", _show, "show what is known of a user")
    show.add_argument("user", metavar="USER@DOMAIN")
    for name, run, summary in (
        ("rule", _rule, "decide what a watcher sees of a user"),
        ("unrule", _unrule, "withdraw such a decision"),
    ):
        action = actions.add(name, run, summary)
        action.add_argument("user", metavar="USER@DOMAIN")
        action.add_argument("watcher", metavar="WATCHER", help="USER@DOMAIN, *@DOMAIN or *")
        if name == "rule":
            action.add_argument(
                "decision", choices=DECISIONS, help="polite: sees somebody who is never there"
            )
    mailbox = actions.add("mailbox", _mailbox, "say how many messages wait for a user")
    mailbox.add_argument("user", metavar="USER@DOMAIN")
    mailbox.add_argument("new", metavar="NEW", type=int, help="messages that were not heard yet")
    mailbox.add_argument("old", metavar="OLD", type=int, nargs="?", default=0, help="the others")
    lists = actions.add("lists", _lists, "list the users that are watched as one")
    lists.add_argument("owner", metavar="OWNER", nargs="?", default="", help="only of this user")
    make = actions.add("list", _list, "make or change a list of users that are watched as one")
    make.add_argument("name", metavar="NAME@DOMAIN", help="the address that is watched")
    make.add_argument("owner", metavar="OWNER", help="the only user who may")
    make.add_argument("members", metavar="MEMBER", nargs="+")
    unlist = actions.add("unlist", _unlist, "remove a list")
    unlist.add_argument("name", metavar="NAME@DOMAIN")


def _watchers(args: argparse.Namespace) -> int:
    found = connect(args).get("/v1/subscriptions", user=args.user, limit=_MOST)["subscriptions"]
    if args.json:
        write_json(found)
        return 0
    write_table(
        ("WATCHER", "USER", "PACKAGE", "STATE", "LEFT"),
        [
            (each["watcher"], each["user"], each["package"], each["state"], duration(each["expires"]))
            for each in found
        ],
    )
    return 0


def _show(args: argparse.Namespace) -> int:
    found = connect(args).get(f"/v1/presence/{segment(args.user)}")
    if args.json:
        write_json(found)
        return 0
    write_line(f"calls: {found['calls']}")
    for rule in found["rules"]:
        place = " (configuration)" if rule["configured"] else ""
        write_line(f"rule: {rule['watcher']} {rule['decision']}{place}")
    for line in found["mailbox"].split("\r\n"):
        if line:
            write_line(f"mailbox: {line}")
    for each in found["publications"]:
        write_line(f"published: {each['package']} by {each['publisher']}, {duration(each['expires'])} left")
    return 0


def _rule(args: argparse.Namespace) -> int:
    connect(args).put(_place(args), {"decision": args.decision})
    return _done(args, f"{args.watcher}: {args.decision}")


def _unrule(args: argparse.Namespace) -> int:
    connect(args).delete(_place(args))
    return _done(args, f"{args.watcher}: no rule")


def _place(args: argparse.Namespace) -> str:
    return f"/v1/presence/{segment(args.user)}/rules/{segment(args.watcher)}"


def _mailbox(args: argparse.Namespace) -> int:
    body = {"new": args.new, "old": args.old}
    connect(args).put(f"/v1/presence/{segment(args.user)}/mailbox", body)
    return _done(args, f"{args.user}: {args.new} new, {args.old} old")


def _lists(args: argparse.Namespace) -> int:
    found = connect(args).get("/v1/lists", owner=args.owner, limit=_MOST)["lists"]
    if args.json:
        write_json(found)
        return 0
    rows = [
        (
            each["name"],
            each["owner"],
            " ".join(each["members"]),
            "configuration" if each["configured"] else "",
        )
        for each in found
    ]
    write_table(("LIST", "OWNER", "MEMBERS", ""), rows)
    return 0


def _list(args: argparse.Namespace) -> int:
    connect(args).put(f"/v1/lists/{segment(args.name)}", {"owner": args.owner, "members": args.members})
    return _done(args, f"{args.name}: {' '.join(args.members)}")


def _unlist(args: argparse.Namespace) -> int:
    connect(args).delete(f"/v1/lists/{segment(args.name)}")
    return _done(args, f"{args.name}: no list")


def _done(args: argparse.Namespace, text: str) -> int:
    if args.json:
        write_json({})
    else:
        write_line(text)
    return 0
