"""Whether new work is taken: not while draining, and less of it while the reactor stays behind."""

from __future__ import annotations

from collections.abc import Callable

from rvoip.protocols.sip.message import Request

__all__ = ["BEHIND", "FAR_BEHIND", "Admission"]

BEHIND = 0.05
"""Seconds of lasting reactor lag above which new calls and registrations are refused."""
FAR_BEHIND = 0.2
"""Seconds of lasting reactor lag above which everything outside a dialog is refused."""

_HEAVY = frozenset(("INVITE", "REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH"))


class Admission:
    """Answers `TransactionLayer.admit` for each request that is not in a dialog, while there is need to ask.

    `ask` is called with True when requests must be asked for from now on and with False when all may pass:
    in the good case nothing is asked. `spread` gives a random number from 0 up to (not including) its
    argument; Retry-After is 5 to 30 seconds, so that the refused do not all come back at once.
    """

    def __init__(self, spread: Callable[[int], int], ask: Callable[[bool], object]) -> None:
        self._spread = spread
        self._ask = ask
        self._lag = 0.0
        self._asking = False
        self.draining = False
        self.refused = 0

    @property
    def lag(self) -> float:
        """How many seconds the reactor is behind, and has been for a while."""
        return self._lag

    def drain(self) -> None:
        """Take nothing new any more."""
        self.draining = True
        self._update()

    def note_lag(self, lag: float) -> None:
        """The reactor is `lag` seconds behind, and has been for a while."""
        self._lag = lag
        self._update()

    def _update(self) -> None:
        asking = self.draining or self._lag >= BEHIND
        if asking is not self._asking:
            self._asking = asking
            self._ask(asking)

    def __call__(self, request: Request) -> int | None:
        """None to let the request in, else the seconds of a Retry-After."""
        if not self.draining and (
            self._lag < BEHIND or (self._lag < FAR_BEHIND and request.method not in _HEAVY)
        ):
            return None
        self.refused += 1
        return 5 + self._spread(26)
