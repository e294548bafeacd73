"""The clock of a server that several processes share, as one of them sees it.

Bindings end by the server's clock, so that the processes need not agree about the time. What a reply says of
it is older than the reply by the time of the way back: of several, the latest is the best.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ServerClock"]

_WINDOW: Final = 5.0
"""Seconds in which the best sample is looked for."""

_TOLERANCE: Final = 0.02
"""Seconds by which the difference may be wrong before it is corrected: bindings shall not jitter."""


class ServerClock:
    """The difference between the server's clock and ours, which is monotonic; seconds."""

    __slots__ = ("_best", "_until", "offset")

    def __init__(self) -> None:
        self.offset = 0.0
        """Added to our seconds it gives theirs, or a little less: never more, as long as no clock jumps."""
        self._best = 0.0
        self._until: float | None = None

    def sample(self, theirs: float, ours: float) -> None:
        """Take note of what the server's clock said in a reply that came at `ours`."""
        found = theirs - ours
        if self._until is None:
            self.reset(theirs, ours)
            return
        self._best = max(self._best, found)
        if found > self.offset + _TOLERANCE:
            self.offset = found  # an older sample was late, or the clock was put forward
        if ours >= self._until:
            if abs(self._best - self.offset) > _TOLERANCE:
                self.offset = self._best
            self._best = found
            self._until = ours + _WINDOW

    def reset(self, theirs: float, ours: float) -> None:
        """Forget earlier samples: the clock was set, or we were asleep."""
        self.offset = self._best = theirs - ours
        self._until = ours + _WINDOW
