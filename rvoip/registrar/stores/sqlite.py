"""Bindings that outlast the process: SQLite behind a writer thread that commits in groups.

Reads come from memory, which shows a change after its commit. All changes that wait are one transaction, so
one sync to disk serves many requests.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from zope.interface import implementer

from rvoip.registrar.binding import (
    ALL_CONTACTS,
    TOMBSTONE,
    Applied,
    Binding,
    Change,
    Counts,
    Outcome,
    Removed,
    find_bindings,
)
from rvoip.registrar.compare_and_set import merge
from rvoip.registrar.errors import StoreBusy, StoreError
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.index import BindingIndex
from rvoip.registrar.stores.location_file import LocationFile, Result
from rvoip.registrar.stores.sqlite_file import IMPATIENT, PATIENT, Connect

__all__ = ["MAX_WAITING", "WINDOW", "SQLiteStore"]

WINDOW: Final = 0.004
"""Seconds that the writer waits for more changes before a transaction of few."""

MAX_WAITING: Final = 5000
"""Changes that may wait for the writer; one more is StoreBusy."""

_MOST_AT_ONCE: Final = 500
_FEW: Final = 64

_JUMP: Final = 2.0
"""Seconds that wall time has to leave its course by to count as a jump."""

_log = Logger()

_Waiting = tuple[Change, Deferred[Applied]]


@implementer(IBindingStore)
class SQLiteStore:
    """Bindings in the SQLite file at `path`.

    `max_aors` bounds the AORs that have bindings (0: no bound), `max_waiting` the changes in the queue;
    `tombstone_seconds` is how long a removal is remembered, `window` how long a small group waits to grow.
    """

    at_once = True

    def __init__(
        self,
        path: str,
        reactor: IReactorFromThreads,
        *,
        max_aors: int = 0,
        max_waiting: int = MAX_WAITING,
        tombstone_seconds: float = TOMBSTONE,
        window: float = WINDOW,
        patience: float = 3.0,
        connect: Connect = sqlite3.connect,
    ) -> None:
        self._reactor = reactor
        self._file = LocationFile(
            path, tombstone_seconds=tombstone_seconds, patience=patience, connect=connect
        )
        self._index = BindingIndex()
        self._max_aors = max_aors
        self._max_waiting = max_waiting
        self._window = window
        self._thread: threading.Thread | None = None
        self._closed: Deferred[None] | None = None
        self._wall_offset = 0.0
        self._failing = ""
        # Shared with the writer, which alone takes out of the queue and resets `_awake`.
        self._queue: deque[_Waiting] = deque()
        self._wake = threading.Event()
        self._awake = False
        self._closing = threading.Event()
        self._sweep_at: float | None = None
        self._jumped_to: tuple[float, float] | None = None

    # -- in the reactor's thread

    def open(self, now: float, wall_now: float) -> None:
        """Read the file and start the writer; blocks. Raises StoreError."""
        if self._thread is not None:
            raise StoreError(f"{self._file.path} is open already")
        aor = ""
        bindings: list[Binding] = []
        for of, binding in self._file.open(now, wall_now):
            if of != aor:
                self._index.replace(aor, tuple(bindings))
                aor = of
                bindings = []
            bindings.append(binding)
        self._index.replace(aor, tuple(bindings))
        self._wall_offset = wall_now - now
        self._closing.clear()
        self._thread = threading.Thread(target=self._run, name="location writer", daemon=True)
        self._thread.start()

    def close(self) -> Deferred[None] | None:
        """Let the writer finish; fires when the file is closed."""
        if self._thread is None:
            return None
        closed: Deferred[None] = Deferred()
        if self._closed is None:
            self._closed = closed
            self._closing.set()
            self._wake.set()
        else:
            self._closed.addBoth(_passed_on, closed)
        return closed

    def lookup(self, aor: str, now: float) -> tuple[Binding, ...]:
        """The live bindings of an AOR, at once."""
        return self._index.lookup(aor, now)

    def apply(self, change: Change) -> Deferred[Applied]:
        """Queue the change; fires after its commit."""
        if self._thread is None or self._closed is not None:
            raise StoreError(f"{self._file.path} is closed")
        if len(self._queue) >= self._max_waiting:
            raise StoreBusy(f"{self._max_waiting} changes wait for {self._file.path}")
        index = self._index
        if change.puts and 0 < self._max_aors <= len(index) and change.aor not in index:
            raise StoreBusy(f"{self._max_aors} addresses are registered, as many as are allowed")
        waiting: Deferred[Applied] = Deferred()
        self._queue.append((change, waiting))
        if not self._awake:
            self._awake = True
            self._wake.set()
        return waiting

    def remove(self, aor: str, which: str | None, now: float) -> Removed | Deferred[Removed]:
        """Take bindings away without comparing; at once when there are none."""
        held = self.lookup(aor, now)
        keys = ALL_CONTACTS
        if which is not None:
            keys = tuple([each.key for each in find_bindings(held, which)])
        if not held or not keys:
            return Removed(aor, (), held)
        applied = self.apply(Change(aor, now, removes=keys))
        return applied.addCallback(lambda made: Removed(aor, made.removed, made.bindings))

    def aors(self, prefix: str, after: str, limit: int, now: float) -> Sequence[str]:
        """AORs with live bindings, sorted; at once."""
        return self._index.aors(prefix, after, limit, now)

    @property
    def trouble(self) -> str:
        """Why changes fail at the moment, or ""."""
        return self._failing

    def count(self) -> Counts:
        """How many AORs and bindings there are; at once."""
        return self._index.count()

    def expire(self, now: float, wall_now: float) -> list[Removed]:
        """Drop what is over, and have the writer delete its rows bit by bit."""
        if self._thread is None or self._closed is not None:
            return []
        offset = wall_now - now
        if abs(offset - self._wall_offset) >= _JUMP:
            _log.warn(
                "Wall time has jumped by {seconds} seconds; registrations last as long as before",
                seconds=round(offset - self._wall_offset, 1),
            )
            self._wall_offset = offset
            self._jumped_to = (now, wall_now)
        self._sweep_at = now
        self._wake.set()
        return self._index.expire(now)

    def _settle(self, batch: list[_Waiting], results: list[Result]) -> None:
        """Show in memory what was committed, and answer those who wait."""
        index = self._index
        for (change, waiting), result in zip(batch, results, strict=True):
            if result is None:
                outcome, after, removed = merge(index.held(change.aor), change)
                index.replace(change.aor, after)
                waiting.callback(Applied(change, outcome, after, removed))
            elif isinstance(result, Outcome):
                waiting.callback(Applied(change, result, index.lookup(change.aor, change.now)))
            else:
                waiting.errback(result)

    def _report(self, reason: str) -> None:
        """Log when writing begins to fail, and when it works again."""
        if reason and not self._failing:
            _log.error("Registrations are refused: {reason}", reason=reason)
        elif self._failing and not reason:
            _log.info("Registrations are stored in {path} again", path=self._file.path)
        self._failing = reason

    def _finish(self, error: StoreError | None) -> None:
        closed, self._closed = self._closed, None
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        if closed is not None:
            if error is None:
                closed.callback(None)
            else:
                closed.errback(error)

    # -- in the writer's thread

    def _run(self) -> None:
        queue = self._queue
        failing = False
        error: StoreError | None = None
        self._file.be_patient(PATIENT)
        while True:
            self._wake.wait()
            # In this order, so that a change which finds the writer awake is in the queue when it looks.
            self._wake.clear()
            self._awake = False
            closing = self._closing.is_set()  # asked first, so that all that came before the close is done
            while queue:
                if len(queue) < _FEW and not closing:
                    self._closing.wait(self._window)
                batch = [queue.popleft() for _ in range(min(len(queue), _MOST_AT_ONCE))]
                failing = self._write(batch, failing)
            failing = self._do_chores(failing)
            if closing:
                break
        try:
            self._file.close()
        except StoreError as raised:
            error = raised
        self._reactor.callFromThread(self._finish, error)

    def _write(self, batch: list[_Waiting], failing: bool) -> bool:
        """One transaction; returns whether it failed."""
        results: list[Result] = []

        def write() -> None:
            results.extend(self._file.write([change for change, _ in batch]))

        failed = self._attempt(write)
        if failed is not None:
            # One error each: whoever waits may raise it, and a traceback belongs to one of them.
            results = [type(failed)(failed.reason) for _ in batch]
        failing = self._note(failed, failing)
        self._reactor.callFromThread(self._settle, batch, results)
        return failing

    def _do_chores(self, failing: bool) -> bool:
        """What is not urgent: it is tried again when it fails."""
        jumped, sweep_at = self._jumped_to, self._sweep_at
        if jumped is None and sweep_at is None:
            return failing
        self._sweep_at = None

        def work() -> None:
            if jumped is not None:
                self._file.correct_clock(*jumped)
                if self._jumped_to is jumped:
                    self._jumped_to = None
            if sweep_at is not None:
                self._file.sweep(sweep_at)

        return self._note(self._attempt(work), failing)

    def _attempt(self, work: Callable[[], object]) -> StoreError | None:
        """Do it; whatever goes wrong, the thread lives on."""
        try:
            work()
        except StoreError as error:
            return error
        except Exception as error:
            return StoreError(f"{self._file.path}: {error!r}")
        return None

    def _note(self, failed: StoreError | None, failing: bool) -> bool:
        """Report a change from working to failing or back; returns whether it fails."""
        if (failed is not None) != failing:
            self._file.be_patient(PATIENT if failing else IMPATIENT)
            self._reactor.callFromThread(self._report, "" if failed is None else failed.reason)
        return failed is not None


def _passed_on(result: object, to: Deferred[None]) -> object:
    to.callback(None)
    return result
