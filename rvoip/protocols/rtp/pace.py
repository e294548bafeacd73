"""How often a port is read: at once after a silence, then once an interval till there is nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

from rvoip.protocols.rtp.beat import Beat

__all__ = ["NO_DESCRIPTOR", "Pace"]

NO_DESCRIPTOR: Final = -1


class _Watched:
    """A descriptor in the reactor."""

    def __init__(self, descriptor: int, ready: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self.doRead = ready

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "media"

    def connectionLost(self, reason: object) -> None:
        """The reactor stops, or calls the descriptor bad: whoever owns it ends it."""


class Pace:
    """Calls `turn`, which reads and says whether there was anything.

    `descriptor` is readable when something has come (-1: whoever knows calls `something_came`). While turns
    find something, the clock asks for the next, every `interval` seconds, and the descriptor is not watched:
    a datagram that comes then wakes nobody; `busy` says that it is so.
    """

    def __init__(self, reactor: Any, interval: float, descriptor: int, turn: Callable[[], bool]) -> None:
        self._reactor = reactor
        self._interval = interval
        self._turn = turn
        self.busy = False
        self._stopped = False
        self._call: IDelayedCall | None = None
        self._watched = _Watched(descriptor, self.something_came) if descriptor != NO_DESCRIPTOR else None
        self._beat: Beat | None = None
        if self._watched is None:
            return
        try:
            self._beat = Beat(interval)
        except OSError:
            pass  # the reactor's own clock will do
        else:
            self._beating = _Watched(self._beat.fileno(), self._beaten)
            reactor.addReader(self._beating)
        reactor.addReader(self._watched)

    def something_came(self) -> None:
        """Take a turn now, unless the clock will ask anyway."""
        if not self.busy and self._turn() and not self._stopped:
            self.busy = True
            if self._watched is not None:
                self._reactor.removeReader(self._watched)
            if self._beat is not None:
                self._beat.on()
            else:
                self._call = self._reactor.callLater(self._interval, self._called)

    def _beaten(self) -> None:
        if self._beat is not None:
            self._beat.taken()
            if self.busy and not self._turn() and not self._stopped:
                self._beat.off()
                self._rest()

    def _called(self) -> None:
        self._call = None
        # Armed first: a turn may take a while.
        self._call = self._reactor.callLater(self._interval, self._called)
        if not self._turn() and not self._stopped:
            self._call.cancel()
            self._call = None
            self._rest()

    def _rest(self) -> None:
        self.busy = False
        if self._watched is not None:
            self._reactor.addReader(self._watched)

    def stop(self) -> None:
        """Take no more turns."""
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._watched is not None:
            self._reactor.removeReader(self._watched)
        if self._beat is not None:
            self._reactor.removeReader(self._beating)
            self._beat.close()
            self._beat = None
