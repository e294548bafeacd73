"""When to leave a service alone that does not answer: a circuit breaker, told the time."""

from __future__ import annotations

from typing import Final

__all__ = ["Breaker"]

FIRST_REST: Final = 1.0
LONGEST_REST: Final = 30.0
"""Seconds without questions after the service has failed: doubled each time that it fails again."""


class Breaker:
    """Closed while the service answers; open after `failures` questions in a row that it did not.

    While it is open nothing may be asked until a rest is over, then one question, whose outcome decides.
    """

    def __init__(self, failures: int = 3) -> None:
        self._most = failures
        self._failed = 0
        self._rest = FIRST_REST
        self._until = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the service is taken for dead."""
        return self._failed >= self._most

    def allows(self, now: float) -> bool:
        """Whether a question may be asked now."""
        return not self.is_open or (now >= self._until and not self._probing)

    def asked(self) -> None:
        """A question is asked."""
        self._probing = self.is_open

    def succeeded(self) -> bool:
        """A question was answered; tells whether the service was taken for dead."""
        was_open = self.is_open
        self._failed = 0
        self._probing = False
        self._rest = FIRST_REST
        return was_open

    def failed(self, now: float) -> bool:
        """A question was not answered; tells whether that opened the breaker."""
        if self.is_open:
            if self._probing:  # not one that was asked before
                self._probing = False
                self._rest = min(2 * self._rest, LONGEST_REST)
                self._until = now + self._rest
            return False
        self._failed += 1
        opened = self._failed >= self._most
        if opened:
            self._until = now + self._rest
        return opened
