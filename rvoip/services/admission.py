"""Whether new work is taken: not while draining, and less of it when the reactor falls behind."""

from __future__ import annotations

from collections.abc import Callable

from rvoip.protocols.sip.message import Request

__all__ = ["Admission"]

BEHIND = 0.05
"""Seconds of reactor lag above which new calls and registrations are refused."""
FAR_BEHIND = 0.2
"""Seconds of reactor lag above which everything outside a dialog is refused."""

_HEAVY = frozenset(("INVITE", "REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH"))


class Admission:
    """Answers `TransactionLayer`'s question for each request that is not in a dialog.

    `lag` is how late timers fire, in seconds; `spread` gives a random number from 0 up to (not
    including) its argument. Retry-After is 5 to 30 seconds, so that the refused do not all come back
    at once.
    """

    def __init__(self, lag: Callable[[], float], spread: Callable[[int], int]) -> None:
        self._lag = lag
        self._spread = spread
        self.draining = False
        self.refused = 0

    def __call__(self, request: Request) -> int | None:
        if not self.draining:
            lag = self._lag()
            if lag < BEHIND or (lag < FAR_BEHIND and request.method not in _HEAVY):
                return None
        self.refused += 1
        return 5 + self._spread(26)
