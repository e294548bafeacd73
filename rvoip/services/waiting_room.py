"""Which new requests an overloaded server takes: those that will have their turn soon.

A machine: it is told the time, and measures how long a turn takes. What is under way is never asked about
here; it goes first, and new requests share what it leaves. So the rate at which they are taken follows from
the work itself, whatever a call costs on this machine today: nothing is estimated, set or switched.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from math import exp
from typing import Final, Generic, TypeVar

__all__ = ["PATIENCE", "Kind", "WaitingRoom"]

T = TypeVar("T")


class Kind(IntEnum):
    """What a request that is not in a dialog asks for."""

    CALL = 0
    """An INVITE: most of the work is still to come."""
    WORK = 1
    """REGISTER, SUBSCRIBE, MESSAGE, PUBLISH."""
    ANSWER = 2
    """One of those, or an INVITE, with credentials: refusing it would waste the challenge."""
    QUESTION = 3
    """All others, such as OPTIONS, by which peers learn whether we are well."""
    LAST = 4
    """What must not be lost, nor overtake what was before it: CANCEL."""


PATIENCE: Final = (0.1, 0.1, 0.2, 0.4, float("inf"))
"""Seconds that a request of each kind may have to wait for its turn. More are refused at once.

A pause of the process or of the machine shall refuse nobody, and a request is sent again after 500 ms (T1).
Twice as long for what answers a challenge, so that it finds a place wherever its first half found one.
"""

MOST: Final = 2000
"""Requests that wait, at most, before it is known how long a turn takes: 4 MB of datagrams."""

MEMORY: Final = 0.25
"""Seconds over which the length of a turn is averaged: five times the wait that it decides about, and short
beside the time in which a load grows."""

SHARE: Final = 1 / 3
"""Part of the time that INVITEs may take.

An INVITE is a quarter of the work of a call (tools/bench_proxy.py); the rest comes when it is answered and
ends, maybe minutes later, and cannot be refused then. At one third, what is taken on never needs more than
the whole time.
"""

CREDIT: Final = 0.2
"""Seconds of work that INVITEs may be ahead of their share: a burst is none yet."""


class WaitingRoom(Generic[T]):
    """A queue whose end is known to be near. Times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._queue: deque[tuple[Kind, T]] = deque()
        self._time = 0.0
        self._turns = 0.0
        self._since = now  # the time up to which turns were counted
        self._credit = CREDIT
        self._credited = now

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def turn(self) -> float:
        """Seconds from one turn to the next while some wait; 0 when it is not known yet."""
        return self._time / self._turns if self._turns else 0.0

    @property
    def wait(self) -> float:
        """Seconds that who comes now would wait."""
        return len(self._queue) * self.turn

    def offer(self, kind: Kind, item: T, now: float) -> bool:
        """Take a request in, or not."""
        queue = self._queue
        if queue:
            turn = self.turn
            if kind is not Kind.LAST and (len(queue) * turn > PATIENCE[kind] if turn else len(queue) >= MOST):
                return False
        else:
            self._since = now
        if kind is Kind.CALL:
            self._credit = min(CREDIT, self._credit + (now - self._credited) * SHARE)
            self._credited = now
            if self._credit <= 0.0:
                return False
        queue.append((kind, item))
        return True

    def take(self) -> tuple[Kind, T]:
        """The next one; IndexError when there is none."""
        return self._queue.popleft()

    def charge(self, seconds: float) -> None:
        """An INVITE was sent on, which took so long."""
        self._credit -= seconds

    def worked(self, turns: int, now: float) -> None:
        """So many had their turn since the last time, and all that goes first had its own."""
        passed = now - self._since
        self._since = now
        fade = exp(-passed / MEMORY) if passed > 0.0 else 1.0
        self._time = self._time * fade + passed
        self._turns = self._turns * fade + turns
