"""The page docs/reference/dialogs.md, made from the machines of `rvoip.protocols.dialog`.

Each machine has its table, and a picture of its states: an arrow for each way from one to another. See
tools/diagrams.py for how it is written and checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rvoip.protocols.dialog import session_timer, subscription
from rvoip.protocols.dialog.glare import Overlap, glare_delay
from rvoip.protocols.dialog.offer_answer import (
    ANSWERED_IN,
    EARLY_ANSWER,
    REFUSED_BY,
    OfferAnswer,
)
from rvoip.protocols.dialog.publication import Publication
from rvoip.protocols.dialog.refer import ReferProgress, ReferReport
from rvoip.protocols.dialog.reliable import EXPIRED, RESEND, ReliableServer
from rvoip.protocols.dialog.session_timer import SessionTimer, TimerSettings
from rvoip.protocols.dialog.subscription import Notifier, Subscriber
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.sip.message import Response
from rvoip.protocols.sip.subscription_headers import SubscriptionState

Rows = Mapping[tuple[str, str], tuple[str, str]]

HEAD = """\
# Dialogs

What lives in a dialog keeps its rules in machines of `rvoip.protocols.dialog`, which have no socket and no
clock. This page is made from their tables by `tools/diagrams.py`. An empty next state is the same state; in
the pictures, what leads from one state to another stands beside the arrow.
"""


def table(rows: Rows) -> str:
    """Transitions as a Markdown table; a state is named in its first row only."""
    lines = ["| state | event | next state | what it is, or what is done |", "|---|---|---|---|"]
    before = ""
    for (state, event), (following, what) in rows.items():
        shown = "" if state == before else state
        stays = "" if following == state else following
        lines.append(f"| {shown} | {event} | {stays} | {what} |")
        before = state
    return "\n".join(lines)


def picture(rows: Rows) -> str:
    """The states, and which events lead to which others."""
    ways: dict[str, dict[str, list[str]]] = {}
    for (state, event), (following, _) in rows.items():
        ways.setdefault(state, {})
        if following != state:
            ways[state].setdefault(following, []).append(event)
    wide = max(len(state) for state in ways)
    lines = []
    for state, targets in ways.items():
        shown = state
        for target, events in targets.items():
            lines.append(f"{shown:<{wide}} --> {target:<{wide}}  {', '.join(events)}")
            shown = ""
        if not targets:
            lines.append(state)
    return "```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```"


def section(title: str, source: str, rows: Rows, draw: bool = True) -> str:
    """One machine."""
    parts = [f"## {title}", source]
    if draw:
        parts.append(picture(rows))
    parts.append(table(rows))
    return "\n\n".join(parts) + "\n"


def offers() -> str:
    """Offer and answer: the patterns, and the table without what changes nothing."""
    lines = ["| offer in | answer in | refused by |", "|---|---|---|"]
    for carrier, answers in ANSWERED_IN.items():
        lines.append(f"| {carrier} | {' or '.join(answers)} | {REFUSED_BY[carrier]} |")
    rows = {
        (state, event): (following, what)
        for (state, event), (following, what) in OfferAnswer.TRANSITIONS.items()
        if following != state or what == EARLY_ANSWER
    }
    return (
        "## Offer and answer\n\n"
        "RFC 3264, RFC 6337, `offer_answer`. 1xx, 2xx and failure are responses to INVITE. Both ends of a\n"
        "dialog have this machine; what one sends the other receives.\n\n"
        + "\n".join(lines)
        + "\n\nA message without a row carries nothing of interest, or a description that is ignored\n"
        "because the first one counts. But an INVITE that comes while the state is not stable, or an offer\n"
        "in an UPDATE or PRACK, is refused: 491 while our offer is open, 500 with Retry-After while the\n"
        "peer's is (RFC 3261 section 14.2, RFC 3311 section 5.2).\n\n" + table(rows) + "\n"
    )


def response(*headers: tuple[str, str]) -> Response:
    """A 200 with these headers."""
    made = Response(200, "OK", [], [])
    for name, value in headers:
        made.add(name, value)
    return made


def reliable_times(wanted: str) -> str:
    """When a reliable provisional response does that if no PRACK comes."""
    server = ReliableServer[str](Timers(), 1)
    server.send("180", False, 0.0)
    found = []
    while server.deadline is not None:
        now = server.deadline
        found += [f"{now:g}" for output in server.poll(now) if output.what == wanted]
    return ", ".join(found)


def timer_times(seconds: int, wanted: str) -> str:
    """When a session of so many seconds is refreshed by us or given up."""
    timer = SessionTimer(TimerSettings())
    timer.accepted(response(("session-expires", f"{seconds};refresher=uac")), 0.0)
    return times(timer, wanted)


def subscription_times(seconds: int, wanted: str) -> str:
    """When a subscription of ours does that."""
    machine = Subscriber(Timers(), seconds, 0.0)
    machine.notified(SubscriptionState("active", expires=seconds), 0.0)
    return times(machine, wanted)


def times(machine: Any, wanted: str) -> str:
    """The seconds at which `poll` asks for that."""
    found = []
    while machine.deadline is not None:
        now = machine.deadline
        if machine.poll(now) == wanted:
            found.append(f"{now:g}")
    return ", ".join(found)


def timers() -> str:
    """What happens when, from the machines themselves."""
    almost = 1 - 2**-53
    own, other = ((glare_delay(owns, 0.0), glare_delay(owns, almost)) for owns in (True, False))
    rows = [
        ("reliable provisional response sent again", reliable_times(RESEND)),
        ("reliable provisional response given up", reliable_times(EXPIRED)),
        ("session of 1800 s refreshed", timer_times(1800, session_timer.REFRESH)),
        ("session of 1800 s given up", timer_times(1800, session_timer.EXPIRE)),
        ("session of 90 s refreshed", timer_times(90, session_timer.REFRESH)),
        ("session of 90 s given up", timer_times(90, session_timer.EXPIRE)),
        ("subscription of 3600 s refreshed", subscription_times(3600, subscription.REFRESH)),
        ("subscription of 60 s refreshed", subscription_times(60, subscription.REFRESH)),
        ("SUBSCRIBE without NOTIFY given up (N)", times(Subscriber(Timers(), 60, 0.0), subscription.ENDED)),
        ("INVITE sent again after 491, by the owner of the Call-ID", f"{own[0]:g} to {own[1]:g}"),
        ("INVITE sent again after 491, by the other side", f"{other[0]:g} to {other[1]:g}"),
    ]
    lines = ["| what | s |", "|---|---|"]
    lines += [f"| {what} | {seconds} |" for what, seconds in rows]
    return (
        "## Timers\n\nSeconds since the message that starts it, with T1 = 0.5 s, if nothing else comes.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def page() -> str:
    """The whole page."""
    parts = [
        HEAD,
        offers(),
        section(
            "INVITE that cross",
            "RFC 3261 section 14, `glare`.",
            Overlap.TRANSITIONS["INVITE"],
        ),
        section("UPDATE that cross", "RFC 3311 section 5.2, `glare`.", Overlap.TRANSITIONS["UPDATE"]),
        section("Session timer", "RFC 4028, `session_timer`.", SessionTimer.TRANSITIONS),
        section("Subscriber", "RFC 6665 section 4.1.2, `subscription`.", Subscriber.TRANSITIONS),
        section(
            "Notifier",
            "RFC 6665 section 4.2, `subscription`. Every end that is ours counts as rejected.",
            Notifier.TRANSITIONS,
        ),
        section("Who was referred", "RFC 3515, `refer`.", ReferReport.TRANSITIONS),
        section("Who refers", "RFC 3515, RFC 4488, `refer`.", ReferProgress.TRANSITIONS),
        section("Publication", "RFC 3903, `publication`.", Publication.TRANSITIONS),
        timers(),
    ]
    return "\n".join(parts)
