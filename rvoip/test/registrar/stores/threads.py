"""Stand-ins for tests of the store that has a thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReactorFromThreads)
class Pump:
    """The one method of a reactor that the store uses; calls are made by `wait`, in its thread."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[..., object], tuple[object, ...]]] = SimpleQueue()

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:
        self._calls.put((callable, args))

    def wait(self, result: Any) -> Any:
        """The value of `result`, or its failure raised; makes calls until it is there."""
        if not isinstance(result, Deferred):
            return result
        found: list[Any] = []
        result.addBoth(found.append)
        while not found:
            self.pump_one()
        if isinstance(found[0], Failure):
            found[0].raiseException()
        return found[0]

    def pump_one(self) -> None:
        """Make the next call, as soon as there is one."""
        call, args = self._calls.get(timeout=30)
        call(*args)


class Gate:
    """Makes connections that stop at each transaction while the gate is shut."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._reached = threading.Event()
        self.connections: list[sqlite3.Connection] = []

    def shut(self) -> None:
        """Stop whoever comes next."""
        self._reached.clear()
        self._open.clear()

    def wait(self) -> None:
        """Return when somebody stands at the gate."""
        self._reached.wait(30)

    def open(self) -> None:
        """Let them go on."""
        self._open.set()

    def connect(self, path: str, **kwargs: Any) -> sqlite3.Connection:
        gate = self

        class Gated(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
                if sql == "BEGIN IMMEDIATE":
                    gate._reached.set()
                    gate._open.wait()
                return super().execute(sql, *args)

        connection = sqlite3.connect(path, factory=Gated, **kwargs)
        self.connections.append(connection)
        return connection


class Faults:
    """Makes connections whose statement number `at` fails (counted over all of them, 0: none does)."""

    def __init__(self, at: int, error: Callable[[], sqlite3.Error]) -> None:
        self.at = at
        self.count = 0
        self._error = error

    def connect(self, path: str, **kwargs: Any) -> sqlite3.Connection:
        faults = self

        class Faulty(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
                faults.hit()
                return super().execute(sql, *args)

            def executemany(self, sql: str, *args: Any) -> sqlite3.Cursor:
                faults.hit()
                return super().executemany(sql, *args)

        return sqlite3.connect(path, factory=Faulty, **kwargs)

    def hit(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise self._error()
