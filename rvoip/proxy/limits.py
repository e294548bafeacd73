"""What users may call, and how much of it: classes of numbers, and the limits of each user.

Machines: they are told the time. Calls between our users are none of their business, nor are emergency calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs

from rvoip.protocols.sip.uri import SipURI, TelURI
from rvoip.proxy.numbers import NumberPlan, bare_number
from rvoip.proxy.pattern import Pattern
from rvoip.proxy.rewrite import dialled

__all__ = [
    "NOBODY",
    "OTHER",
    "CallLimits",
    "Hold",
    "Limited",
    "NumberClass",
    "NumberClasses",
    "OverLimit",
    "Spent",
    "UserLimits",
]

OTHER: Final = "other"
"""The class of what no class is for: further numbers, and addresses elsewhere."""

MOST_USERS: Final = 200_000
"""Users of whom calls are remembered; beyond it those that have none are forgotten, the oldest first."""

_MINUTE: Final = 60.0


@attrs.frozen
class UserLimits:
    """What one user may: calls at once, begun in 60 seconds, begun in a day, minutes of talk in a day.

    0 is no limit. `allow` are the classes of numbers that may be called; None: all.
    """

    calls: int = 0
    calls_a_minute: int = 0
    calls_a_day: int = 0
    minutes_a_day: int = 0
    allow: frozenset[str] | None = None

    @property
    def counts(self) -> bool:
        """Whether calls have to be counted."""
        return bool(self.calls or self.calls_a_minute or self.calls_a_day or self.minutes_a_day)


NOBODY: Final = UserLimits()
"""No limit at all."""


@attrs.frozen
class Limited:
    """A call was refused by a limit of `user`: `what` is "class", "calls", "minute", "day" or "minutes".

    `number_class` is what was called, `limit` the number that was reached (0 for a class).
    """

    user: str
    what: str
    number_class: str
    limit: int
    call_id: str
    uri: str
    source: str


@attrs.frozen
class Spent:
    """What a user has used: calls that are up or under way now, and calls and seconds of talk of this day."""

    now: int
    calls: int
    seconds: float


class OverLimit(Exception):
    """Not to be sent on: a limit was reached, or the class of the number is not allowed.

    `status`, `reason` and `headers` are what to answer.
    """

    def __init__(self, what: str, number_class: str, limit: int, again: float = 0.0) -> None:
        status, reason, text = _ANSWERS[what]
        text = text.format(limit=limit, number_class=number_class)
        headers = [("Warning", f'399 proxy "{text}"')]
        if again > 0:
            headers.append(("Retry-After", str(int(again) + 1)))
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = tuple(headers)
        self.what = what
        self.number_class = number_class
        self.limit = limit


_ANSWERS: Final = {
    "class": (
        403,
        "Destination Not Allowed",
        "This account may not call the class {number_class}",
    ),
    "calls": (486, "Too Many Calls", "This account may have {limit} calls at once"),
    "minute": (603, "Too Many Calls A Minute", "This account may begin {limit} calls a minute"),
    "day": (603, "Too Many Calls Today", "This account may begin {limit} calls a day"),
    "minutes": (603, "Too Many Minutes Today", "This account may talk {limit} minutes a day"),
}


class NumberClass:
    """Numbers that begin with one of `prefixes`, or match `regex`.

    A prefix with + is compared with the number as E.164, others with what was dialled; a regex with both.
    """

    __slots__ = ("name", "prefixes", "regex")

    def __init__(self, name: str, prefixes: Iterable[str] = (), regex: Pattern | None = None) -> None:
        self.name = name
        self.prefixes = tuple(prefixes)
        self.regex = regex


class NumberClasses:
    """Tells what class a number is of: that of the first regex that matches, else of the longest prefix."""

    def __init__(
        self,
        classes: Iterable[NumberClass] = (),
        plan: NumberPlan | None = None,
        emergency: Iterable[str] = (),
    ) -> None:
        listed = list(classes)
        self._plan = plan or NumberPlan()
        self._emergency = frozenset(emergency)
        self.names = [one.name for one in listed]
        self._regexes = [(one.regex, one.name) for one in listed if one.regex is not None]
        self._prefixes = {prefix: one.name for one in listed for prefix in one.prefixes}
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)

    def __len__(self) -> int:
        return len(self.names)

    def _forms(self, uri: SipURI | TelURI) -> list[str]:
        """The number as it was dialled, and as E.164 if that is another form."""
        user = str(uri.digits) if isinstance(uri, TelURI) else dialled(uri)
        user = bare_number(user) or user
        number = self._plan.e164(user) if user else None
        return [user] if number is None or number == user else [user, number]

    def is_emergency(self, uri: SipURI | TelURI) -> bool:
        """Whether it is a number that is never limited."""
        return bool(self._emergency) and not self._emergency.isdisjoint(self._forms(uri))

    def of(self, uri: SipURI | TelURI) -> str:
        """The name of the class; `OTHER` when it is of none."""
        forms = self._forms(uri)
        for regex, name in self._regexes:
            if any(regex.search(form) is not None for form in forms):
                return name
        for length in self._lengths:
            for form in forms:
                found = self._prefixes.get(form[:length])
                if found is not None:
                    return found
        return OTHER


class Hold:
    """A call of a user that counts, from its INVITE to its end."""

    __slots__ = ("answered", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.answered: float | None = None
        """When it was answered, on the clock that `CallLimits` is told."""


class _User:
    """What is known of one user's calls."""

    __slots__ = ("begun", "calls", "holds", "seconds")

    def __init__(self) -> None:
        self.holds: set[Hold] = set()
        self.begun: deque[float] = deque()
        """When the calls of the last minute began: no more of them than the limit."""
        self.calls = 0
        """Calls of this day, and seconds of talk."""
        self.seconds = 0.0


class CallLimits:
    """Counts calls and says no.

    `limits_of` gives the limits of a user. Days are names, in order, which `day` is told when one begins.
    What was counted since the last look is taken by `changes`; what others counted is told by `counted`.
    """

    def __init__(self, limits_of: Callable[[str], UserLimits], classes: NumberClasses | None = None) -> None:
        self.limits_of = limits_of
        self.classes = classes or NumberClasses()
        self.refused = dict.fromkeys(_ANSWERS, 0)
        self.day = ""
        self._users: dict[str, _User] = {}
        self._changed: dict[str, list[float]] = {}
        self.held = 0
        """Calls that count now."""

    def __len__(self) -> int:
        return len(self._users)

    def begin_day(self, day: str) -> None:
        """Another day: what counts by the day begins at nothing, the calls that are up go on."""
        if day != self.day:
            self.day = day
            self._changed = {}
            for user in self._users.values():
                user.calls, user.seconds = 0, 0.0

    def admit(self, user: str, uris: Iterable[SipURI | TelURI], now: float, left: float) -> Hold | None:
        """Count a call of this user to these places; None when nothing of it is to be counted.

        `left` is how many seconds of the day are left. Raises `OverLimit`; then nothing was counted.
        """
        called = [uri for uri in uris if not self.classes.is_emergency(uri)]
        if not called:
            return None
        limits = self.limits_of(user)
        number_class = OTHER
        for uri in called:
            number_class = self.classes.of(uri)
            if limits.allow is not None and number_class not in limits.allow:
                raise self._refuse("class", number_class, 0)
        if not limits.counts:
            return None
        known = self._users.get(user) or self._remember(user)
        if limits.calls and len(known.holds) >= limits.calls:
            raise self._refuse("calls", number_class, limits.calls)
        begun = known.begun
        while begun and begun[0] <= now - _MINUTE:
            begun.popleft()
        if limits.calls_a_minute and len(begun) >= limits.calls_a_minute:
            raise self._refuse("minute", number_class, limits.calls_a_minute, begun[0] + _MINUTE - now)
        if limits.calls_a_day and known.calls >= limits.calls_a_day:
            raise self._refuse("day", number_class, limits.calls_a_day, left)
        if limits.minutes_a_day and self._talked(known, now) >= 60.0 * limits.minutes_a_day:
            raise self._refuse("minutes", number_class, limits.minutes_a_day, left)
        if limits.calls_a_minute:
            begun.append(now)
        known.calls += 1
        self._note(user, 1, 0.0)
        hold = Hold(user)
        known.holds.add(hold)
        self.held += 1
        return hold

    def _refuse(self, what: str, number_class: str, limit: int, again: float = 0.0) -> OverLimit:
        self.refused[what] += 1
        return OverLimit(what, number_class, limit, again)

    def answered(self, hold: Hold, now: float) -> None:
        """The call was answered: from now on its seconds count."""
        if hold.answered is None:
            hold.answered = now

    def ended(self, hold: Hold, now: float) -> None:
        """The call is over, or came to nothing; harmless when that is known."""
        known = self._users.get(hold.user)
        if known is None or hold not in known.holds:
            return
        known.holds.discard(hold)
        self.held -= 1
        if hold.answered is not None:
            seconds = max(0.0, now - hold.answered)
            known.seconds += seconds
            self._note(hold.user, 0, seconds)

    def _note(self, user: str, calls: int, seconds: float) -> None:
        changed = self._changed.setdefault(user, [0, 0.0])
        changed[0] += calls
        changed[1] += seconds

    def _remember(self, user: str) -> _User:
        if len(self._users) >= MOST_USERS:
            idle = next((name for name, one in self._users.items() if not one.holds), None)
            if idle is not None:
                del self._users[idle]
        made = self._users[user] = _User()
        return made

    @staticmethod
    def _talked(known: _User, now: float) -> float:
        running = sum([now - hold.answered for hold in known.holds if hold.answered is not None])
        return known.seconds + running

    def spent(self, user: str, now: float) -> Spent:
        """What a user has used."""
        known = self._users.get(user)
        if known is None:
            return Spent(0, 0, 0.0)
        return Spent(len(known.holds), known.calls, self._talked(known, now))

    # What is kept.

    def changes(self) -> dict[str, tuple[int, float]]:
        """Calls and seconds of each user since this was asked last; to be added to what is kept."""
        changed, self._changed = self._changed, {}
        return {user: (int(calls), seconds) for user, (calls, seconds) in changed.items()}

    def put_back(self, day: str, changes: Mapping[str, tuple[int, float]]) -> None:
        """These could not be kept: they are changes still, unless their day is over."""
        if day == self.day:
            for user, (calls, seconds) in changes.items():
                self._note(user, calls, seconds)

    def counted(self, day: str, totals: Mapping[str, tuple[int, float]]) -> None:
        """What is kept of users: what all have counted; what was not kept yet is on top of it."""
        if day != self.day:
            return
        for user, (calls, seconds) in totals.items():
            known = self._users.get(user) or self._remember(user)
            more_calls, more_seconds = self._changed.get(user, (0, 0.0))
            known.calls = calls + int(more_calls)
            known.seconds = seconds + more_seconds
