"""What is remembered of the ends of dialogs: where they moved to, and who took a call just now.

Nothing here is needed as long as both ends stay where they were and route as they were told to.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

__all__ = ["Ends", "Taker"]


class Taker(NamedTuple):
    """Who accepted an INVITE."""

    caller_tag: str
    contact: str
    """Its Contact, as it came."""
    target: str
    """What counts of that: see `rvoip.proxy.record_route.address_key`."""
    flow_token: str
    """The flow that the INVITE went out on."""


class Ends:
    """Bounded: the oldest are forgotten first. An end of a dialog is its Call-ID and its tag."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._moved: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._takers: OrderedDict[tuple[str, str], Taker] = OrderedDict()

    def __len__(self) -> int:
        return len(self._moved) + len(self._takers)

    def moved(self, call_id: str, tag: str, target: str) -> None:
        """An end is reached at another address from now on (a target refresh, RFC 3261 section 12.2)."""
        moved = self._moved
        moved[call_id, tag] = target
        moved.move_to_end((call_id, tag))
        if len(moved) > self._most:
            moved.popitem(last=False)

    def is_at(self, call_id: str, tag: str, target: str) -> bool:
        """Whether an end moved to this address."""
        return self._moved.get((call_id, tag)) == target

    def took(self, call_id: str, tag: str, taker: Taker) -> None:
        """An end accepted a call: an ACK that follows no route set finds it."""
        takers = self._takers
        takers[call_id, tag] = taker
        if len(takers) > self._most // 2:
            takers.popitem(last=False)

    def taker(self, call_id: str, tag: str) -> Taker | None:
        """Who accepted."""
        return self._takers.get((call_id, tag))

    def over(self, call_id: str, *tags: str) -> None:
        """A call has ended."""
        for tag in tags:
            self._moved.pop((call_id, tag), None)
            self._takers.pop((call_id, tag), None)
