"""How many calls each gateway has, by Call-ID: for the least loaded one, and for limits."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["LONGEST_CALL", "LONGEST_SETUP", "MOST_CALLS", "Loads"]

LONGEST_SETUP = 200.0
"""Seconds after which a call that was neither answered nor refused is forgotten: more than Timer C."""
LONGEST_CALL = 6 * 3600.0
"""Seconds after which an answered call whose end nobody saw is forgotten."""
MOST_CALLS = 200_000
"""Calls that are remembered; beyond it the oldest are forgotten."""


class Loads:
    """Calls under way. `now` gives monotonic seconds.

    A call that is sent on again (with credentials this time, or to the next gateway) counts once.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # Call-ID -> (gateway, when it is forgotten), each in the order of that time.
        self._beginning: dict[str, tuple[str, float]] = {}
        self._answered: dict[str, tuple[str, float]] = {}
        self._count: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._beginning) + len(self._answered)

    def of(self, gateway: str) -> int:
        """The calls of a gateway."""
        self._forget()
        return self._count.get(gateway, 0)

    def has(self, call_id: str, gateway: str) -> bool:
        """Whether a call is with this gateway."""
        known = self._answered.get(call_id) or self._beginning.get(call_id)
        return known is not None and known[0] == gateway

    def began(self, call_id: str, gateway: str) -> None:
        """A call is sent to a gateway."""
        if call_id in self._answered:
            return  # a re-INVITE that lost its way
        self._remove(self._beginning, call_id)
        self._add(self._beginning, call_id, gateway, LONGEST_SETUP)
        self._forget()

    def answered(self, call_id: str, gateway: str) -> None:
        """The call was taken by this gateway."""
        self._remove(self._beginning, call_id)
        self._remove(self._answered, call_id)
        self._add(self._answered, call_id, gateway, LONGEST_CALL)

    def ended(self, call_id: str, gateway: str = "") -> None:
        """The call is over; with `gateway`, only if it is that one that has it."""
        for calls in (self._beginning, self._answered):
            known = calls.get(call_id)
            if known is not None and gateway in ("", known[0]):
                self._remove(calls, call_id)

    def _add(self, calls: dict[str, tuple[str, float]], call_id: str, gateway: str, lasts: float) -> None:
        if len(self) >= MOST_CALLS:
            oldest = self._beginning or self._answered
            self._remove(oldest, next(iter(oldest)))
        calls[call_id] = (gateway, self._now() + lasts)
        self._count[gateway] = self._count.get(gateway, 0) + 1

    def _remove(self, calls: dict[str, tuple[str, float]], call_id: str) -> None:
        known = calls.pop(call_id, None)
        if known is not None:
            left = self._count.get(known[0], 0) - 1
            if left > 0:
                self._count[known[0]] = left
            else:
                self._count.pop(known[0], None)

    def _forget(self) -> None:
        now = self._now()
        for calls in (self._beginning, self._answered):
            while calls:
                first = next(iter(calls))
                if calls[first][1] > now:
                    break
                self._remove(calls, first)
