"""Which of several media servers is well, and which takes the next call: a machine.

Each is asked for its statistics every second. One that does not answer, or whose answer fails, is dead within
three seconds, and is asked on until it is back. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from rvoip.mediacontrol.schema import Stats

__all__ = ["DEAD_AFTER", "POLL_EVERY", "Change", "Member", "Pool", "State"]

POLL_EVERY: Final = 1.0
"""Seconds from one question to the next."""
DEAD_AFTER: Final = 1.5
"""Seconds after which a question that is not answered means that the server is dead."""
_SHARE: Final = 0.001
"""Load that a call adds until the server's next report, where its own figures do not tell."""

State = Literal["unknown", "up", "draining", "dead"]


class Change(Struct, frozen=True):
    """A server's state is another one now."""

    name: str
    state: State
    reason: str = ""


class Member:
    """A server, as the pool knows it."""

    __slots__ = ("asked", "drained", "due", "name", "placed", "reason", "state", "stats")

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: State = "unknown"
        self.reason = ""
        self.stats: Stats | None = None
        """Its last report."""
        self.due = 0.0
        self.asked: float | None = None
        self.drained = False
        """Whether the operator has taken it out."""
        self.placed = 0
        """Calls that went there since its last report."""

    @property
    def load(self) -> float:
        """0 to 1 and above, with what went there since it said so."""
        stats = self.stats
        if stats is None:
            return 1.0
        each = stats.load / stats.endpoints if stats.endpoints else _SHARE
        return stats.load + self.placed * max(each, _SHARE)


class Pool:
    """The servers, by name."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._members: dict[str, Member] = {}
        self.use(names)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    @property
    def members(self) -> list[Member]:
        """Each of them, for figures."""
        return list(self._members.values())

    def use(self, names: Iterable[str]) -> None:
        """These from now on. One that is among them already stays as it is known."""
        self._members = {name: self._members.get(name) or Member(name) for name in names}

    def due(self, now: float) -> list[str]:
        """Whom to ask for statistics now; they count as asked."""
        found = [each for each in self._members.values() if each.asked is None and each.due <= now]
        for each in found:
            each.asked = now
            each.due = now + POLL_EVERY
        return [each.name for each in found]

    def answered(self, name: str, stats: Stats, now: float) -> list[Change]:
        """It has reported."""
        member = self._members.get(name)
        if member is None:
            return []
        member.asked = None
        member.stats = stats
        member.placed = 0
        is_leaving = stats.draining or member.drained
        return self._become(member, "draining" if is_leaving else "up", "")

    def failed(self, name: str, reason: str, asked: float) -> list[Change]:
        """The question of that time failed: it is dead until it reports.

        Not when that question was given up before, as `tick` does: a later one may have been answered.
        """
        member = self._members.get(name)
        if member is None or member.asked != asked:
            return []
        member.asked = None
        return self._become(member, "dead", reason)

    def tick(self, now: float) -> list[Change]:
        """Time has passed: who has not answered is dead, and will be asked again."""
        changes: list[Change] = []
        for member in self._members.values():
            if member.asked is not None and now - member.asked >= DEAD_AFTER:
                member.asked = None
                changes += self._become(member, "dead", f"no answer in {DEAD_AFTER:g} s")
        return changes

    def drain(self, name: str, is_drained: bool = True) -> list[Change]:
        """Let it have no new calls, or have them again. KeyError for one that is not there."""
        member = self._members[name]
        member.drained = is_drained
        if member.state not in ("up", "draining"):
            return []
        is_leaving = is_drained or (member.stats is not None and member.stats.draining)
        return self._become(member, "draining" if is_leaving else "up", "by the operator")

    def choose(self) -> list[str]:
        """Who may have the next call, the least loaded first; nobody that is full."""
        able = [each for each in self._members.values() if each.state == "up" and each.load < 1.0]
        return [each.name for each in sorted(able, key=lambda each: each.load)]

    def placed(self, name: str) -> None:
        """A call has gone there."""
        member = self._members.get(name)
        if member is not None:
            member.placed += 1

    def why_none(self) -> str:
        """Why `choose` finds nobody."""
        said = [f"{each.name} is {each.state}" for each in self._members.values() if each.state != "up"]
        full = [f"{each.name} is full" for each in self._members.values() if each.state == "up"]
        return "; ".join(said + full) or "there are no media servers"

    @staticmethod
    def _become(member: Member, state: State, reason: str) -> list[Change]:
        member.reason = reason
        if member.state == state:
            return []
        member.state = state
        return [Change(member.name, state, reason)]
