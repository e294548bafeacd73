"""What a request says of how it was diverted: Diversion (RFC 5806) and History-Info (RFC 7044)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI

__all__ = [
    "MOST_DIVERSIONS",
    "Attempt",
    "Step",
    "count_diversions",
    "say_diversions",
    "say_history",
    "wants_history",
]

MOST_DIVERSIONS = 5
"""How often a call is diverted at most."""

_CAUSES = {"unconditional": 302, "user-busy": 486, "no-answer": 408, "unavailable": 503, "deflection": 480}
"""The causes of RFC 4458 section 2, by the reasons of RFC 5806."""


class Step(NamedTuple):
    """One diversion."""

    by: SipURI
    """Who diverts: a user of ours."""
    to: SipURI
    reason: str
    """As in Diversion: "unconditional", "user-busy", "no-answer", "unavailable", "deflection"."""

    @property
    def cause(self) -> int:
        """The SIP status that stands for the reason (RFC 4458)."""
        return _CAUSES.get(self.reason, 404)


class Attempt(NamedTuple):
    """One branch of a request."""

    trail: tuple[Step, ...]
    uri: str
    """Where it went."""
    branch: int
    """Its number, from 0."""
    status: int = 0
    """How it failed; 0 where it has not."""


class _Entry:
    """An entry that others may follow from: its place in the list, its index, its URI."""

    def __init__(self, place: int, index: str, uri: str) -> None:
        self.place, self.index, self.uri = place, index, uri
        self._children = 0

    def child(self, number: int) -> str:
        """The index of an entry that follows from it, the next one where `number` is 0."""
        self._children = number or self._children + 1
        return f"{self.index}.{self._children}"


def count_diversions(request: Request) -> int:
    """How often the request says that it was diverted before it came here."""
    return len(request.get_all("diversion"))


def say_diversions(request: Request, trail: tuple[Step, ...]) -> None:
    """Put a Diversion for each step on top, the last one topmost."""
    for step in trail:
        request.insert("diversion", f"<{step.by}>;reason={step.reason};counter=1;screen=no;privacy=off")


def wants_history(request: Request) -> bool:
    """Whether its sender reads History-Info."""
    if request.has("history-info"):
        return True
    try:
        return request.has("supported") and "histinfo" in request.option_tags("supported")
    except SIPParseError:
        return False


def say_history(
    request: Request,
    before: str,
    trail: tuple[Step, ...],
    after: str,
    branch: int,
    failed: Iterable[Attempt] = (),
) -> None:
    """Add what became of the Request-URI here: it was `before`, then it was diverted, and is `after` now.

    `branch` counts the branches from 0; `failed` are those of before that have ended (RFC 7044 section 10.1).
    An entry that was diverted or that failed says why, in its Reason.
    """
    try:
        values = request.values("history-info")
    except SIPParseError:
        return  # one that nobody can add to
    made = list(values) or [f"<{_plain(before)}>;index=1"]
    root = _Entry(len(made) - 1, _index(made[-1]), before)
    entries: dict[tuple[Step, ...], _Entry] = {(): root}
    for attempt in (*failed, Attempt(trail, after, branch)):
        entry = root
        for passed, step in enumerate(attempt.trail, 1):
            way = attempt.trail[:passed]
            if way not in entries:
                made[entry.place] = _with_reason(made[entry.place], step.cause)
                index = entry.child(attempt.branch + 1 if entry is root else 0)
                made.append(f"<{_plain(str(step.to))};cause={step.cause}>;index={index};mp={entry.index}")
                entries[way] = _Entry(len(made) - 1, index, str(step.to))
            entry = entries[way]
        index = entry.child(attempt.branch + 1 if entry is root else 0)
        place = entry.place
        if _plain(attempt.uri) != _plain(entry.uri):
            place = len(made)
            made.append(f"<{_plain(attempt.uri)}>;index={index};rc={entry.index}")
        elif entry is root and (values or attempt.status):
            place = len(made)
            made.append(f"<{_plain(attempt.uri)}>;index={index};np={entry.index}")
        if attempt.status:
            made[place] = _with_reason(made[place], attempt.status)
    request.remove("history-info")
    for value in made:
        request.add("history-info", value)


def _plain(uri: str) -> str:
    """A URI without headers: those of an entry are about the entry."""
    return uri.partition("?")[0]


def _index(value: str) -> str:
    """The index of an entry; "1" where it has none."""
    for param in value.rpartition(">")[2].split(";"):
        name, _, text = param.strip(" \t").partition("=")
        text = text.strip(" \t")
        if name.lower() == "index" and text.replace(".", "").isdigit() and text.isascii():
            return text
    return "1"


def _with_reason(value: str, cause: int) -> str:
    """An entry that says in its URI why it was left (RFC 7044 section 10.2), unless it says so already."""
    uri, closing, params = value.rpartition(">")
    if not closing or "?" in uri:
        return value
    return f"{uri}?Reason=SIP%3Bcause%3D{cause}>{params}"
