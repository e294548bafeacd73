"""The reactor's clock as this package uses it, named without importing the reactor's side of Twisted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Clock", "DelayedCall"]


class DelayedCall(Protocol):
    """One call that is due later (the part of `IDelayedCall` that is used here)."""

    def cancel(self) -> None:
        """Give the call up; an error when it was made or given up before."""

    def active(self) -> bool:
        """Tell whether the call is still due."""


class Clock(Protocol):
    """What tells the time and calls back (the part of `IReactorTime` that is used here).

    A reactor and `twisted.internet.task.Clock` both do.
    """

    def seconds(self) -> float:
        """Return seconds that never run backwards."""

    def callLater(  # Twisted's spelling
        self, delay: float, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> Any:  # a DelayedCall, but mypy finds no zope interface to be one
        """Call `callable` after `delay` seconds."""
