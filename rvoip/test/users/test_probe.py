"""Tests of the look at whether a database was written to."""

from __future__ import annotations

import os
import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from rvoip.users.probe import WriteProbe


class ProbeTests(SynchronousTestCase):
    """It tells of writes by others, and in doubt says yes."""

    def setUp(self) -> None:
        """Make a database in WAL mode with another connection to it."""
        self.path = self.mktemp() + " a?b#c.db"
        self.other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(self.other.close)
        self.other.execute("PRAGMA journal_mode = WAL")
        self.other.execute("CREATE TABLE t (x)")

    def test_tells_of_writes(self) -> None:
        """Yes at first and after each write, else no."""
        written = WriteProbe(self.path)
        self.addCleanup(written.close)
        self.assertEqual([written(), written(), written()], [True, False, False])
        self.other.execute("INSERT INTO t VALUES (1)")
        self.assertEqual([written(), written()], [True, False])

    def test_does_not_wait_for_a_writer(self) -> None:
        """A transaction that holds the write lock is not a write yet."""
        written = WriteProbe(self.path)
        written()
        self.other.execute("BEGIN EXCLUSIVE")
        self.other.execute("INSERT INTO t VALUES (1)")
        self.assertFalse(written())
        self.other.execute("COMMIT")
        self.assertTrue(written())

    def test_in_doubt_yes(self) -> None:
        """A file that cannot be read may hold anything."""
        written = WriteProbe(os.path.join(self.mktemp(), "none.db"))
        self.assertEqual([written(), written()], [True, True])

    def test_lets_go(self) -> None:
        """Once it is closed the last other connection takes the -wal file away."""
        written = WriteProbe(self.path)
        written()
        written.close()
        written.close()
        self.other.close()
        self.assertFalse(os.path.exists(self.path + "-wal"))
