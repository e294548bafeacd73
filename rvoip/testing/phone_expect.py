"""Deferreds that fire when something that a test expects has happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

__all__ = ["Expectations", "NotMet"]

_T = TypeVar("_T")


class NotMet(AssertionError):
    """What was expected did not happen in time."""


class Expectations(Generic[_T]):
    """Those who wait for something, in the order in which they came; each happening is for one of them."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._waiting: list[tuple[Callable[[_T], bool], Deferred[_T], IDelayedCall]] = []

    def expect(
        self, fits: Callable[[_T], bool], within: float, what: object, before: Iterable[_T] = ()
    ) -> Deferred[_T]:
        """
        Fires with the first of `before` that fits, or the next one that happens; fails with `NotMet` after
        `within` seconds. `what` describes it then: a callable is asked for the text.
        """
        result: Deferred[_T] = Deferred()
        for one in before:
            if fits(one):
                result.callback(one)
                return result
        timer = self._reactor.callLater(within, self._missed, result, what)
        self._waiting.append((fits, result, timer))
        return result

    def happened(self, one: _T) -> bool:
        """Hand it to the first who waits for it; False when no one does."""
        for waiting in self._waiting:
            fits, result, timer = waiting
            if fits(one):
                self._waiting.remove(waiting)
                timer.cancel()
                result.callback(one)
                return True
        return False

    def _missed(self, result: Deferred[_T], what: object) -> None:
        self._waiting = [waiting for waiting in self._waiting if waiting[1] is not result]
        result.errback(NotMet(f"it did not happen: {what() if callable(what) else what}"))

    def stop(self) -> None:
        """Let no one wait any longer."""
        waiting, self._waiting = self._waiting, []
        for _, result, timer in waiting:
            timer.cancel()
            result.errback(NotMet("the phone was stopped"))
