"""A thread that does what blocks, many tasks at a time, with a limit to how long and how many may wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from rvoip.registrar.errors import StoreBusy, StoreError

__all__ = ["MAX_WAITING", "Limits", "Task", "Trouble", "Worker"]

MAX_WAITING: Final = 5000
"""Tasks that may wait; one more is StoreBusy."""

_MOST_AT_ONCE: Final = 500
_LOOK: Final = 0.25
"""Seconds between looks for tasks that have waited for too long."""

_log = Logger()


class Task(NamedTuple):
    """What is to be done, and until when somebody waits for it (monotonic seconds of the reactor)."""

    what: Any
    deadline: float


class Trouble(NamedTuple):
    """The result of a task that the server could not do, where others of its batch are done."""

    error: StoreError


class Limits(NamedTuple):
    """How long a task may wait, in seconds, and how many may."""

    patience: float
    max_waiting: int = MAX_WAITING


class Worker:
    """Calls `serve` in a thread with tasks that wait; it returns a result, an error or `Trouble` for each.

    `end` is called in the thread when there is nothing more to come. `shown` names the server in errors, and
    `what` is refused, says the log, when it fails. A task that is not done in time fails, and while the
    thread is still at it all others fail at once.
    """

    def __init__(
        self,
        name: str,
        shown: str,
        reactor: Any,
        serve: Callable[[Sequence[Task]], list[Any]],
        end: Callable[[], None],
        limits: Limits,
        what: str = "Registrations",
    ) -> None:
        self.trouble = ""
        """Why tasks fail at the moment."""
        self._shown = shown
        self._what = what
        self._reactor = reactor
        self._serve = serve
        self._end = end
        self._patience, self._max_waiting = limits
        self._asked: deque[tuple[float, Deferred[Any]]] = deque()
        self._look_call: Any = None
        self._closed: Deferred[None] | None = None
        self._running = False
        # Shared with the thread, which alone takes out of the queue.
        self._queue: deque[tuple[Task, Deferred[Any]]] = deque()
        self._wake = threading.Event()
        self._awake = False
        self._closing = False
        self._stuck_since: float | None = None  # set by the thread around what blocks
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._running = True
        self._thread.start()

    def ask(self, what: Any) -> Deferred[Any]:
        """Have it done; fails with StoreError or StoreBusy."""
        if not self._running or self._closed is not None:
            return fail(StoreError(f"{self._shown} is closed"))
        now = self._reactor.seconds()
        while self._asked and self._asked[0][1].called:
            self._asked.popleft()
        if self._is_stuck(now):
            return fail(StoreError(f"{self._shown} does not answer"))
        if len(self._queue) >= self._max_waiting:
            return fail(StoreBusy(f"{self._max_waiting} tasks wait for {self._shown}"))
        done: Deferred[Any] = Deferred()
        deadline = now + self._patience
        self._asked.append((deadline, done))
        self._queue.append((Task(what, deadline), done))
        if self._look_call is None:
            self._look_call = self._reactor.callLater(_LOOK, self._look)
        if not self._awake:
            self._awake = True
            self._wake.set()
        return done

    def close(self) -> Deferred[None]:
        """Let the thread finish; fires when it has, or does not within `patience` seconds."""
        fired: Deferred[None] = Deferred()
        if self._closed is None:
            self._closed = Deferred()
            if not self._running:
                self._closed.callback(None)
            else:
                self._closing = True
                self._wake.set()
                self._closed.addTimeout(self._patience, self._reactor)
                self._closed.addErrback(lambda _: None)
                self._closed.addCallback(self._stop_looking)
        self._closed.addBoth(_passed_on, fired)
        return fired

    def _stop_looking(self, result: None) -> None:
        if self._look_call is not None:
            self._look_call.cancel()
            self._look_call = None
        for _, done in self._asked:
            if not done.called:
                done.errback(StoreError(f"{self._shown} is closed"))

    def _is_stuck(self, now: float) -> bool:
        """Whether the thread is at something that should be done by now."""
        since = self._stuck_since
        return since is not None and now >= since + self._patience

    def _look(self) -> None:
        """Fail what has waited for too long."""
        self._look_call = None
        now = self._reactor.seconds()
        asked = self._asked
        while asked and (asked[0][1].called or asked[0][0] <= now):
            _, done = asked.popleft()
            if not done.called:
                self._report(f"{self._shown} does not answer")
                done.errback(StoreError(f"{self._shown} does not answer"))
        if asked:
            self._look_call = self._reactor.callLater(_LOOK, self._look)

    def _report(self, reason: str) -> None:
        """Log when work begins to fail, and when it goes on."""
        if reason and not self.trouble:
            _log.error("{what} are refused: {reason}", what=self._what, reason=reason)
        elif self.trouble and not reason:
            _log.info("{server} answers again", server=self._shown)
        self.trouble = reason

    def _settle(self, batch: list[tuple[Task, Deferred[Any]]], results: list[Any], failed: str) -> None:
        self._report(failed)
        for (_, done), result in zip(batch, results, strict=True):
            if done.called:
                continue
            if isinstance(result, Trouble):
                done.errback(result.error)
            elif isinstance(result, Exception):
                done.errback(result)
            else:
                done.callback(result)

    # -- in the thread

    def _run(self) -> None:
        queue = self._queue
        while True:
            self._wake.wait()
            # In this order, so that a task which finds the thread awake is in the queue when it looks.
            self._wake.clear()
            self._awake = False
            closing = self._closing
            while queue:
                batch = [queue.popleft() for _ in range(min(len(queue), _MOST_AT_ONCE))]
                self._do(batch)
            if closing:
                break
        self._end()
        self._reactor.callFromThread(self._ended)

    def _do(self, batch: list[tuple[Task, Deferred[Any]]]) -> None:
        failed = ""
        self._stuck_since = self._reactor.seconds()
        try:
            results = self._serve([task for task, _ in batch])
            failed = next((each.error.reason for each in results if isinstance(each, Trouble)), "")
        except StoreError as error:
            failed = error.reason
            results = [type(error)(failed) for _ in batch]  # one each: a traceback belongs to one
        except Exception as error:
            failed = f"{self._shown}: {error!r}"
            results = [StoreError(failed) for _ in batch]
        self._stuck_since = None
        self._reactor.callFromThread(self._settle, batch, results, failed)

    def _ended(self) -> None:
        self._running = False
        if self._closed is not None and not self._closed.called:
            self._closed.callback(None)


def _passed_on(result: Any, to: Deferred[None]) -> Any:
    to.callback(None)
    return result
