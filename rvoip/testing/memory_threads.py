"""A thread pool without threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

__all__ = ["MemoryThreadPool"]


class MemoryThreadPool:
    """A `twisted.python.threadpool.ThreadPool` without threads: work runs in the next turn of its reactor."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor

    def callInThread(self, func: Callable[..., object], *args: object, **kw: object) -> None:
        """Run it in the next turn."""
        self._reactor.callLater(0, func, *args, **kw)

    def callInThreadWithCallback(
        self,
        onResult: Callable[[bool, Any], object] | None,
        func: Callable[..., object],
        *args: object,
        **kw: object,
    ) -> None:
        """Run it in the next turn and hand `(True, result)` or `(False, Failure)` to `onResult`."""

        def work() -> None:
            try:
                result = func(*args, **kw)
            except Exception:
                if onResult is None:
                    raise
                onResult(False, Failure())
            else:
                if onResult is not None:
                    onResult(True, result)

        self._reactor.callLater(0, work)
