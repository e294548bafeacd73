"""Which response to a forked request goes back, and when (RFC 3261 section 16.7): a machine.

Branches are numbers. `receive` and `cancel` return what the owner must do, in order, as pairs:
("forward", branch) send this branch's response upstream, ("cancel", branch) cancel the branch,
("start", None) start the branches of the next group, ("best", branch) send this branch's final
response upstream: everything is over.
"""

from __future__ import annotations

__all__ = ["Fork"]

Action = tuple[str, "int | None"]

# 4xx that help the caller to try again are preferred (RFC 3261 section 16.7 step 6).
_TELLING = (401, 407, 415, 420, 484)


class Fork:
    """The response context of one request, as numbers. `invite`: whether losers can be cancelled."""

    __slots__ = ("_cancelled", "_done", "_final", "_groups", "_invite", "_next_group", "_pending")

    def __init__(self, groups: list[int], invite: bool) -> None:
        """`groups` is how many branches each group has; branches are numbered through."""
        self._invite = invite
        self._groups = groups
        self._next_group = 0
        self._pending: set[int] = set()
        self._final: dict[int, int] = {}
        self._done = False
        self._cancelled = False

    @property
    def done(self) -> bool:
        """Whether a final response was chosen."""
        return self._done

    @property
    def finals(self) -> dict[int, int]:
        """The final status of each branch that has one and was not forwarded at once."""
        return self._final

    @property
    def pending(self) -> frozenset[int]:
        """Branches that have no final response."""
        return frozenset(self._pending)

    def start(self) -> range:
        """The branches of the next group, which count as pending from now on."""
        first = sum(self._groups[: self._next_group])
        branches = range(first, first + self._groups[self._next_group])
        self._next_group += 1
        self._pending.update(branches)
        return branches

    def receive(self, branch: int, status: int) -> list[Action]:
        """A response of a branch (408 when it timed out, 503 when it could not be reached)."""
        if status < 200:
            if status == 100 or self._done:
                return []
            return [("forward", branch)]
        was_pending = branch in self._pending
        self._pending.discard(branch)
        if status < 300:
            if not self._invite and self._done:
                return []
            self._done = True
            return [("forward", branch), *self._cancel_pending()]
        if not was_pending:
            return []
        self._final[branch] = status
        if status >= 600:
            # The others are cancelled, and no new ones started; the 6xx goes back when they have ended.
            self._next_group = len(self._groups)
            actions = self._cancel_pending()
            return actions if self._pending or self._done else [*actions, self._choose()]
        if self._pending or self._done:
            return []
        if self._next_group < len(self._groups) and not self._cancelled:
            return [("start", None)]
        return [self._choose()]

    def cancel(self) -> list[Action]:
        """The caller gave up: cancel what rings, start nothing more."""
        if self._done or self._cancelled:
            return []
        self._cancelled = True
        return self._cancel_pending()

    def _cancel_pending(self) -> list[Action]:
        if not self._invite:
            return []
        return [("cancel", branch) for branch in sorted(self._pending)]

    def _choose(self) -> Action:
        self._done = True
        final = self._final
        return ("best", min(final, key=lambda branch: (self._rank(final[branch]), branch)))

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
