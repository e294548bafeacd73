"""Stores on files of a test's own, with a clock that the test sets and a fast Argon2id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from twisted.trial.unittest import SynchronousTestCase

from rvoip.users import schema
from rvoip.users.passwords import PasswordHash
from rvoip.users.store import UserStore

#: What is tested is ours, not Argon2's strength.
FAST = PasswordHash(time_cost=1, memory_kib=8, parallelism=1)


class WallClock:
    """Wall time that stands until it is set."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class ImmediateThreads:
    """A thread pool and a reactor's thread in one: calls run at once, or when `release` is called."""

    def __init__(self) -> None:
        self.is_held = False
        self.held: list[Callable[[], object]] = []

    def callInThreadWithCallback(  # noqa: N802
        self, on_result: Callable[[bool, Any], object], call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        """Run `call` and report as twisted.python.threadpool does."""
        from twisted.python.failure import Failure

        def run() -> None:
            try:
                result = call(*args, **kwargs)
            except Exception:
                on_result(False, Failure())
            else:
                on_result(True, result)

        if self.is_held:
            self.held.append(run)
        else:
            run()

    def callFromThread(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Run it here and now."""
        call(*args, **kwargs)

    def release(self) -> None:
        """Run what was held, and from now on at once."""
        self.is_held = False
        while self.held:
            self.held.pop(0)()


class StoreTestCase(SynchronousTestCase):
    """A test with a store in a folder of its own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "users.db"
        self.url = f"sqlite:{self.path}"
        self.clock = WallClock()
        self.store = self.make_store().open()

    def make_store(self, **options: Any) -> UserStore:
        """A store over the test's file, not opened yet."""
        options = {"busy_timeout": 0.05, "wall_clock": self.clock, "password_hash": FAST, **options}
        store = UserStore(self.url, **options)
        self.addCleanup(store.close)
        return store

    def rows(self, table: sa.Table) -> list[tuple[Any, ...]]:
        """Every row of a table."""
        with self.store._database.reading() as connection:
            return [tuple(row) for row in connection.execute(sa.select(*table.c))]

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table but the log of changes."""
        return {
            table.name: self.rows(table)
            for table in schema.metadata.sorted_tables
            if table is not schema.changes
        }
