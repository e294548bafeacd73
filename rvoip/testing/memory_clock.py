"""A clock that tests turn by hand, on which each call sees its own time."""

from __future__ import annotations

from bisect import bisect_left, insort_right
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["BUSY_LIMIT", "MemoryClock", "NotFiredError"]

_T = TypeVar("_T")

#: So many calls at one instant are taken for a loop that never lets time pass.
BUSY_LIMIT = 100_000


class NotFiredError(AssertionError):
    """A Deferred had no result within the simulated time it was given."""


class MemoryClock(Clock):
    """
    `twisted.internet.task.Clock`, closer to a reactor in four ways.

    - While a call runs, `seconds()` is the time that it was due, not the end of the `advance()` it runs in: a
      chain of calls unrolls within one `advance()`.
    - An exception in a call is logged (which fails a trial test), and the others still run.
    - `call_from_thread` may be used from any thread; what it is given runs in `advance()`.
    - It stays fast with many thousand calls pending: O(log n) each.

    Calls due at the same time run in the order they were made.
    """

    _log = Logger()

    def __init__(self) -> None:
        super().__init__()
        self._from_threads: deque[tuple[Callable[..., object], tuple[object, ...], dict[str, object]]] = (
            deque()
        )
        self._advancing = False

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """As `IReactorTime.callLater`; a negative delay is refused, as the reactors do."""
        if not delay >= 0:
            raise AssertionError(f"{delay} is not greater than or equal to 0 seconds")
        call = DelayedCall(
            self.rightNow + delay, callable, args, kw, self._forget, self._moved_forward, self.seconds
        )
        insort_right(self.calls, call)
        return cast(IDelayedCall, call)

    def _forget(self, call: DelayedCall) -> None:
        index = bisect_left(self.calls, call.time, key=_time)
        while index < len(self.calls) and self.calls[index] is not call:
            index += 1
        del self.calls[index]

    def _moved_forward(self, call: DelayedCall) -> None:
        # Its time has changed already, so its place cannot be found by it.
        self.calls.remove(call)
        insort_right(self.calls, call)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """The calls that are pending, the earliest first."""
        return cast(Sequence[IDelayedCall], sorted(self.calls, key=DelayedCall.getTime))

    def next_call_at(self) -> float | None:
        """When the earliest pending call is due; None without any."""
        calls = self.calls
        while calls and calls[0].delayed_time:
            # It was put off after it was filed: file it where it belongs now.
            call = calls.pop(0)
            call.activate_delay()
            insort_right(calls, call)
        return calls[0].time if calls else None

    def call_from_thread(self, function: Callable[..., object], *args: object, **kw: object) -> None:
        """Run `function` within the present or next `advance()`; safe from any thread."""
        self._from_threads.append((function, args, kw))

    def advance(self, amount: float = 0.0) -> None:
        """
        Let `amount` seconds pass, and run what falls due in them, each call at its time.

        `advance(0)` runs what is due now, and all that this makes due now.
        """
        if not amount >= 0:
            raise ValueError(f"time does not run backwards: {amount}")
        self._advance_to(self.rightNow + amount)

    def _advance_to(self, end: float) -> None:
        if self._advancing:
            raise RuntimeError("advance() was called from within a call that advance() runs")
        self._advancing = True
        try:
            while (due := self._next_due()) is not None and due <= end:
                self.rightNow = max(self.rightNow, due)
                self._run_due()
            self.rightNow = end
        finally:
            self._advancing = False

    def _next_due(self) -> float | None:
        return self.rightNow if self._from_threads else self.next_call_at()

    def _run_due(self) -> None:
        """Run all that is due at this instant, also what that makes due."""
        for _ in range(BUSY_LIMIT):
            if self._from_threads:
                self._run(*self._from_threads.popleft())
                continue
            due = self.next_call_at()
            if due is None or due > self.rightNow:
                return
            call = self.calls.pop(0)
            call.called = 1
            self._run(call.func, call.args, call.kw)
        raise RuntimeError(f"{BUSY_LIMIT} calls at {self.rightNow} s, and more are due: {self.calls[:1]}")

    def _run(self, function: Callable[..., object], args: Sequence[object], kw: dict[str, object]) -> None:
        try:
            function(*args, **kw)
        except Exception:
            self._log.failure("while a delayed call ran at {now} s", now=self.rightNow)

    def run_until(self, condition: Callable[[], bool], within: float = 64.0) -> bool:
        """
        Let time pass, from call to call, until `condition()` holds, at most `within` seconds.

        It is asked after each instant at which something ran. Returns whether it holds.
        """
        end = self.rightNow + within
        while not condition():
            due = self._next_due()
            if due is None or due > end:
                self._advance_to(end)
                return condition()
            self._advance_to(max(due, self.rightNow))
        return True

    def result_of(
        self, awaitable: Deferred[_T] | Coroutine[Deferred[Any], Any, _T], within: float = 64.0
    ) -> _T:
        """
        Let time pass until a Deferred or coroutine has a result, and return it, or raise its exception.

        After `within` seconds of simulated time without one it is cancelled, and `NotFiredError` raised.
        """
        deferred = awaitable if isinstance(awaitable, Deferred) else Deferred.fromCoroutine(awaitable)
        outcome: list[_T | Failure] = []
        deferred.addBoth(outcome.append)
        if not self.run_until(lambda: bool(outcome), within):
            pending = [str(call) for call in self.getDelayedCalls()[:5]]
            deferred.cancel()
            raise NotFiredError(f"no result within {within} s; the next calls: {pending}")
        result = outcome[0]
        if isinstance(result, Failure):
            result.raiseException()
        return result


def _time(call: DelayedCall) -> float:
    return call.time
