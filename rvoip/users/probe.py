"""Whether another connection has written to a SQLite database, without asking the database much."""

from __future__ import annotations

import sqlite3
from urllib.parse import quote

__all__ = ["WriteProbe"]


class WriteProbe:
    """Tells, when called, whether the SQLite database may have been written since it was last called.

    That costs ten microseconds, never waits, and is to be done from one thread. In doubt the answer is yes.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._seen = -1

    def __call__(self) -> bool:
        """Look."""
        try:
            if self._connection is None:
                uri = f"file:{quote(self._path)}?mode=ro"
                self._connection = sqlite3.connect(uri, uri=True, timeout=0.0)
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return True
        changed = bool(version != self._seen)
        self._seen = version
        return changed

    def close(self) -> None:
        """Let go of the file: the last connection of all puts what its -wal file holds into the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
