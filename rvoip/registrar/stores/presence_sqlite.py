"""Presence in SQLite: written by a thread, many changes to a transaction, and there again after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from rvoip.registrar.errors import StoreError
from rvoip.registrar.interfaces import IPresenceStore
from rvoip.registrar.presence_changes import PresenceChange, StoredPresence
from rvoip.registrar.stores.presence_file import PresenceFile
from rvoip.registrar.stores.worker import MAX_WAITING, Limits, Task, Trouble, Worker

__all__ = ["PresenceSQLite"]


@implementer(IPresenceStore)
class PresenceSQLite:
    """Presence in the SQLite file at `path`; `patience` is how many seconds a change may take."""

    def __init__(
        self, path: str, reactor: Any, *, patience: float = 3.0, max_waiting: int = MAX_WAITING
    ) -> None:
        self._file = PresenceFile(path, patience=patience)
        self._worker = Worker(
            "presence writer",
            path,
            reactor,
            self._serve,
            self._file.close,
            Limits(patience, max_waiting),
            "Publications",
        )

    @property
    def trouble(self) -> str:
        """Why changes fail at the moment, or ""."""
        return self._worker.trouble

    def open(self, now: float, wall_now: float) -> StoredPresence:
        """Read the file and start the writer; blocks. Raises StoreError."""
        stored = self._file.open(now, wall_now)
        self._worker.start()
        return stored

    def close(self) -> Deferred[None]:
        """Let the writer finish; fires when the file is closed."""
        return self._worker.close()

    def write(self, change: PresenceChange) -> Deferred[None]:
        """Queue the change; fires after its commit."""
        return self._worker.ask(change)

    def expire(self, now: float) -> None:
        """Have the writer delete the rows of what is over; the next call tries again what fails."""
        self._worker.ask(now).addErrback(lambda failure: failure.trap(StoreError) and None)

    # -- in the writer's thread

    def _serve(self, tasks: Sequence[Task]) -> list[Any]:
        changes = [task.what for task in tasks if not isinstance(task.what, float)]
        written = iter(self._file.write(changes) if changes else ())
        results: list[Any] = []
        for task in tasks:
            if isinstance(task.what, float):
                results.append(self._sweep(task.what))
            else:
                results.append(next(written))
        return results

    def _sweep(self, now: float) -> Trouble | None:
        """What was written before it in the same batch stays written when this fails."""
        try:
            self._file.sweep(now)
        except StoreError as error:
            return Trouble(error)
        return None
