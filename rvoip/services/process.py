"""The process's signals: drain on SIGTERM, reload on SIGHUP, a new log file on SIGUSR1."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred

__all__ = ["Signals", "has_terminal"]


class Signals(Service):
    """Takes SIGTERM, SIGHUP and SIGUSR1 while it runs.

    The first SIGTERM calls `drain`, waits for its Deferred, and lets Twisted's own way of stopping go
    on; a second one ends the process at once. SIGHUP calls `reload`, SIGUSR1 `reopen`. A SIGHUP because the
    terminal that the process was started on has gone is as a SIGTERM, unless it was started with `nohup`.
    """

    name = "signals"

    def __init__(
        self,
        reactor: Any,
        drain: Callable[[], Deferred[None]],
        reload: Callable[[], object],
        reopen: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._drain = drain
        self._reload = reload
        self._reopen = reopen
        self._previous: Any = None
        self._draining = False
        self._on_terminal = False

    def startService(self) -> None:
        """Install the handlers as soon as the reactor has installed its own."""
        super().startService()
        if self._reactor is not None:
            self._reactor.callWhenRunning(self._install)

    def _install(self) -> None:
        if not self.running:
            return
        self._previous = signal.signal(signal.SIGTERM, self._terminate)
        ignored = signal.signal(signal.SIGHUP, self._hang_up) is signal.SIG_IGN
        self._on_terminal = not ignored and has_terminal()
        signal.signal(signal.SIGUSR1, self._rotate)

    def _hang_up(self, number: int, frame: Any) -> None:
        if self._on_terminal and not has_terminal():
            self._on_terminal = False
            if not self._draining:
                self._terminate(number, frame)
            return
        self._reactor.callFromThread(self._reload)

    def _rotate(self, number: int, frame: Any) -> None:
        self._reactor.callFromThread(self._reopen)

    def _terminate(self, number: int, frame: Any) -> None:
        if self._draining:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self._draining = True
        self._reactor.callFromThread(self._begin)

    def _begin(self) -> None:
        self._drain().addBoth(self._drained)

    def _drained(self, result: object) -> None:
        previous = self._previous
        if callable(previous):
            previous(signal.SIGTERM, None)
        else:
            self._reactor.stop()


def has_terminal() -> bool:
    """Whether the process has a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
