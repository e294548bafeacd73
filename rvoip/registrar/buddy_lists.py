"""Lists of resources that are watched as one (RFC 4662)."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

__all__ = ["Buddy", "BuddyList", "BuddyLists"]


@attrs.frozen
class Buddy:
    """A member: its AOR, and a name for people."""

    aor: str
    name: str = ""


@attrs.frozen
class BuddyList:
    """A list by its own AOR; only `owner` may watch it."""

    aor: str
    owner: str
    members: tuple[Buddy, ...] = ()
    name: str = ""


class BuddyLists:
    """All lists, found by their AOR and by their members. `max_members` bounds each."""

    def __init__(self, *, max_members: int = 200) -> None:
        self.max_members = max_members
        self._lists: dict[str, BuddyList] = {}
        self._containing: dict[str, set[str]] = {}

    def get(self, aor: str) -> BuddyList | None:
        """The list of this AOR."""
        return self._lists.get(aor)

    def containing(self, aor: str) -> tuple[str, ...]:
        """The AORs of the lists that have this member."""
        return tuple(sorted(self._containing.get(aor, ())))

    def __iter__(self) -> Iterator[BuddyList]:
        """All lists, by their names."""
        return iter(sorted(self._lists.values(), key=lambda each: each.aor))

    def of(self, owner: str) -> tuple[BuddyList, ...]:
        """The lists of an owner."""
        return tuple([each for each in self._lists.values() if each.owner == owner])

    def put(self, new: BuddyList) -> None:
        """Make a list, or put it in the place of the one that was."""
        self.drop(new.aor)
        self._lists[new.aor] = new
        for member in new.members:
            self._containing.setdefault(member.aor, set()).add(new.aor)

    def drop(self, aor: str) -> bool:
        """Remove a list; whether there was one."""
        old = self._lists.pop(aor, None)
        if old is None:
            return False
        for member in old.members:
            containing = self._containing.get(member.aor)
            if containing is not None:
                containing.discard(aor)
                if not containing:
                    del self._containing[member.aor]
        return True
