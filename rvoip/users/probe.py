"""A cheap look at whether a database file was written to, for whoever would else ask it again and again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from urllib.parse import quote

__all__ = ["write_probe"]


def write_probe(path: str) -> Callable[[], bool]:
    """A function that tells whether the SQLite database may have been written since it was last called.

    It costs ten microseconds, never waits, and is to be called from one thread. In doubt the answer is yes.
    """
    connection: sqlite3.Connection | None = None
    seen = -1

    def written() -> bool:
        nonlocal connection, seen
        try:
            if connection is None:
                connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=0.0)
            (version,) = connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return True
        changed = bool(version != seen)
        seen = version
        return changed

    return written
