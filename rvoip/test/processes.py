"""Server processes for tests: started, listened to, and stopped."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

__all__ = ["Python", "Twistd"]

PATIENCE = 20.0
"""Seconds until a process must have said what a test waits for."""


class Python(ProcessProtocol):
    """A Python process whose output is kept.

    `environment` is added to that of this process. `ended` fires with the exit code, None after a signal.
    """

    def __init__(
        self, reactor: Any, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.text = ""
        self.ended: Deferred[int | None] = Deferred()
        self._reactor = reactor
        self._waiting: list[tuple[str, Deferred[None]]] = []
        self._running = True
        self._process = reactor.spawnProcess(
            self,
            sys.executable,
            [sys.executable, *arguments],
            env={**os.environ, **environment},
            path=str(folder),
        )

    def outReceived(self, data: bytes) -> None:
        self.text += data.decode()
        for entry in list(self._waiting):
            if entry[0] in self.text:
                self._waiting.remove(entry)
                entry[1].callback(None)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self._running = False
        ended = reason.value
        assert isinstance(ended, ProcessDone | ProcessTerminated)
        waiting, self._waiting = self._waiting, []
        for what, deferred in waiting:
            deferred.errback(AssertionError(f"it ended before it said {what!r}:\n{self.text}"))
        self.ended.callback(ended.exitCode)

    def said(self, what: str) -> Deferred[None]:
        """Fires once this is in the output; fails with the output when that takes too long."""
        waiting: Deferred[None] = Deferred()
        if what in self.text:
            waiting.callback(None)
            return waiting
        entry = (what, waiting)
        self._waiting.append(entry)

        def too_long(value: Any, seconds: float) -> Any:
            if entry in self._waiting:
                self._waiting.remove(entry)
            raise AssertionError(f"it did not say {what!r} within {seconds:g} seconds:\n{self.text}")

        return waiting.addTimeout(PATIENCE, self._reactor, too_long)

    async def stop(self, signal: str = "TERM") -> int | None:
        """Send it a signal, unless it has ended, and wait for its end; the exit code."""
        if self._running:
            self._process.signalProcess(signal)
            return await self.ended
        return None


class Twistd(Python):
    """A `twistd` in the foreground with this command."""

    def __init__(
        self, reactor: Any, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        program = "from twisted.scripts.twistd import run; run()"
        # -P: an installed twistd does not look for modules in the folder where it is started.
        super().__init__(reactor, ["-P", "-c", program, "-n", "--pidfile=", *arguments], folder, environment)
