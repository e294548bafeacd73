"""Whether new work is taken: not while draining, and no more than can be done when that is too much."""

from __future__ import annotations

from collections.abc import Callable

from rvoip.protocols.sip.message import Request

__all__ = ["BEHIND", "FAR_BEHIND", "Admission"]

BEHIND = 0.05
"""Seconds of lasting reactor lag above which new requests wait until what is under way has had its turn: the
reactor's part of what the first of them may wait (`rvoip.services.waiting_room.PATIENCE`)."""
FAR_BEHIND = 0.2
"""Seconds of lasting reactor lag above which we are not well, and say so: four turns of a call's setup are
more than T1 then, and clients send again."""


class Admission:
    """Answers `TransactionLayer.admit` for each request that is not in a dialog, while draining.

    `ask` is called with True when requests must be asked for from now on: in the good case nothing is asked.
    `behind` is called when the reactor is late: what is taken then is the `Gate`'s to say. `spread` gives a
    random number from 0 up to (not including) its argument; Retry-After is 5 to 30 seconds, so that the
    refused do not all come back at once.
    """

    def __init__(
        self,
        spread: Callable[[int], int],
        ask: Callable[[bool], object],
        behind: Callable[[], object] = lambda: None,
    ) -> None:
        self._spread = spread
        self._ask = ask
        self._behind = behind
        self._lag = 0.0
        self.draining = False
        self.refused = 0

    @property
    def lag(self) -> float:
        """How many seconds the reactor is behind, and has been for a while."""
        return self._lag

    def drain(self) -> None:
        """Take nothing new any more."""
        if not self.draining:
            self.draining = True
            self._ask(True)

    def note_lag(self, lag: float) -> None:
        """The reactor is `lag` seconds behind, and has been for a while."""
        self._lag = lag
        if lag >= BEHIND:
            self._behind()

    def __call__(self, request: Request) -> int | None:
        """None to let the request in, else the seconds of a Retry-After."""
        if not self.draining:
            return None
        self.refused += 1
        return 5 + self._spread(26)
