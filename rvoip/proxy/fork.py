"""Which response to a forked request goes back, and when (RFC 3261 section 16.7): a machine.

Branches are numbers. What happens returns what the owner must do, in order, as pairs:
("forward", branch) send this branch's response upstream, ("cancel", branch) cancel the branch,
("start", None) start the branches of the next group, ("more", branch) all have failed, this one best: ask
for further targets, then call `extend` or `conclude`; ("best", branch) send this branch's final response
upstream (None: none has any): everything is over.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Fork"]

Action = tuple[str, "int | None"]

# 4xx that help the caller to try again are preferred (RFC 3261 section 16.7 step 6).
_TELLING = (401, 407, 415, 420, 484)


class Fork:
    """The response context of one request, as numbers.

    `groups` is how many branches each group has; branches are numbered through. `invite`: whether losers can
    be cancelled. `go_on`: statuses after which the next group is started, None for all below 600. `more`:
    whether the owner can be asked for further targets.
    """

    __slots__ = (
        "_asking",
        "_cancelled",
        "_count",
        "_done",
        "_final",
        "_go_on",
        "_group",
        "_groups",
        "_invite",
        "_more",
        "_pending",
        "_refused",
    )

    def __init__(
        self,
        groups: Iterable[int],
        invite: bool,
        go_on: frozenset[int] | None = None,
        more: bool = False,
    ) -> None:
        self._invite = invite
        self._go_on = go_on
        self._more = more
        self._count = 0
        self._groups = [self._number(size) for size in groups]
        # Sets of branches, a bit each: what stays with a call for 64*T1 is to be small.
        self._group = 0
        """The branches of the group that was started last."""
        self._pending = 0
        self._final: dict[int, int] = {}
        self._refused = False
        """Whether a 6xx came."""
        self._asking = False
        self._done = False
        self._cancelled = False

    def _number(self, size: int) -> range:
        first = self._count
        self._count += size
        return range(first, self._count)

    @property
    def done(self) -> bool:
        """Whether a final response was chosen."""
        return self._done

    @property
    def open(self) -> bool:
        """Whether further branches may still be started."""
        return not (self._done or self._cancelled or self._refused)

    @property
    def finals(self) -> dict[int, int]:
        """The final status of each branch that has one and was not forwarded at once."""
        return self._final

    @property
    def pending(self) -> frozenset[int]:
        """Branches that have no final response."""
        return frozenset(self._members(self._pending))

    @property
    def any_pending(self) -> bool:
        """Whether any branch has no final response."""
        return self._pending != 0

    def _members(self, branches: int) -> list[int]:
        return [number for number in range(self._count) if branches >> number & 1]

    def start(self) -> range:
        """The branches of the next group, which count as pending from now on."""
        branches = self._groups.pop(0)
        self._group = _bits(branches)
        self._pending |= self._group
        return branches

    def join(self, size: int) -> range:
        """So many further branches in the group that is under way."""
        branches = self._number(size)
        self._group |= _bits(branches)
        self._pending |= _bits(branches)
        return branches

    def insert(self, sizes: Iterable[int]) -> list[range]:
        """Further groups, to be started before those that wait."""
        made = [self._number(size) for size in sizes]
        self._groups[:0] = made
        return made

    def extend(self, sizes: Iterable[int], go_on: frozenset[int] | None, more: bool) -> list[range]:
        """The further groups that were asked for; the first is to be started now."""
        self._asking = False
        self._go_on = go_on
        self._more = more
        return self.insert(sizes)

    def conclude(self) -> list[Action]:
        """There are no further targets."""
        self._asking = False
        return [] if self._done else [self._choose()]

    def receive(self, branch: int, status: int) -> list[Action]:
        """A response of a branch (408 when it timed out, 503 when it could not be reached)."""
        if status < 200:
            if status == 100 or self._done:
                return []
            return [("forward", branch)]
        was_pending = self._pending >> branch & 1
        self._pending &= ~(1 << branch)
        if status < 300:
            if not self._invite and self._done:
                return []
            self._done = True
            return [("forward", branch), *self._cancel_pending()]
        if not was_pending:
            return []
        self._final[branch] = status
        if status >= 600 and not self._refused:
            # The others are cancelled, and no new ones started; the 6xx goes back when they have ended.
            self._refused = True
            self._groups.clear()
            return [*self._cancel_pending(), *self._ended()]
        return self._ended()

    def drop(self, branch: int) -> list[Action]:
        """A branch has ended and others stand for it: it was redirected."""
        self._pending &= ~(1 << branch)
        return self._ended()

    def _ended(self) -> list[Action]:
        """What follows when a branch has ended."""
        if self._pending or self._done or self._asking:
            return []
        if self._groups and not self._cancelled and self._may_go_on():
            return [("start", None)]
        self._groups.clear()
        if self._more and not self._cancelled and self._final:
            self._asking = True
            return [("more", self._best())]
        return [self._choose()]

    def _may_go_on(self) -> bool:
        if self._go_on is None:
            return True
        statuses = [self._final[branch] for branch in self._members(self._group) if branch in self._final]
        return all(status in self._go_on for status in statuses)

    def cancel(self) -> list[Action]:
        """The caller gave up: cancel what rings, start nothing more."""
        if self._done or self._cancelled:
            return []
        self._cancelled = True
        if self._asking:
            return self.conclude()
        return self._cancel_pending()

    def _cancel_pending(self) -> list[Action]:
        if not self._invite:
            return []
        return [("cancel", branch) for branch in self._members(self._pending)]

    def _best(self) -> int:
        final = self._final
        return min(final, key=lambda branch: (self._rank(final[branch]), branch))

    def _choose(self) -> Action:
        self._done = True
        return ("best", self._best() if self._final else None)

    def _rank(self, status: int) -> tuple[int, int]:
        """Order of preference: 6xx, then the lowest class, within 4xx what helps the caller."""
        if status >= 600:
            return (0, status)
        family = status // 100
        if family == 4:
            if self._cancelled:
                return (family, 0 if status == 487 else 1)
            # A branch that never answered says less than one that did.
            return (family, 0 if status in _TELLING else 2 if status == 408 else 1)
        return (family, 1 if status == 503 else 0)


def _bits(branches: range) -> int:
    return (1 << branches.stop) - (1 << branches.start)
