"""Where the log of a role goes, and what happens to it while the role runs."""

from __future__ import annotations

import io
import os
import sys
import syslog
from pathlib import Path

from twisted.logger import ILogObserver, Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.common.errors import ConfigError
from rvoip.services.config import Log
from rvoip.services.log_output import LogOutput

FOREGROUND = {"nodaemon": True, "logfile": None, "syslog": False, "prefix": "twisted"}


class LogOutputTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.file = self.folder / "role.log"
        self.stdout = io.StringIO()
        self.patch(sys, "__stdout__", self.stdout)
        before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)

    def output(self, table: Log, **twistd: object) -> LogOutput:
        self.made = LogOutput(table, {**FOREGROUND, **twistd}, "rvoip.toml")
        self.log = Logger("rvoip.test", observer=self.made)
        return self.made

    def test_connections_that_cannot_be_accepted(self) -> None:
        """One line in ten seconds, whatever Twisted says."""
        log = Logger("twisted.internet.tcp.Port", observer=self.output(Log()))
        for _ in range(500):
            log.info("EMFILE encountered; releasing reserved file descriptor.")
            log.info("EMFILE recovery: Closed socket from {address}", address="192.0.2.9")
            log.info("Re-reserving EMFILE recovery file descriptor.")
        log.info("Could not accept new connection ({acceptError})", acceptError="ENOBUFS")
        log.info("something else")
        first, second = self.stdout.getvalue().splitlines()
        self.assertIn(
            " warn twisted.internet.tcp.Port: No connection can be accepted: too many files are open (0 more",
            first,
        )
        self.assertTrue(second.endswith("something else"))

    def test_interface(self) -> None:
        verifyObject(ILogObserver, self.output(Log()))

    def test_standard_output(self) -> None:
        """In the foreground, when nobody says otherwise; also in a .tac."""
        for twistd in (FOREGROUND, {**FOREGROUND, "logfile": "-"}, None):
            Logger("x", observer=LogOutput(Log(), twistd, "f")).info("hello")
        self.assertEqual(self.stdout.getvalue().count("hello"), 3)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_file(self) -> None:
        self.file.write_bytes(b"older\n")
        self.output(Log(file=str(self.file)))
        self.log.info("newer \u00fc")
        self.assertEqual(self.stdout.getvalue(), "")
        older, newer = self.file.read_text("utf-8").splitlines()
        self.assertEqual((older, newer.split(": ")[1]), ("older", "newer \u00fc"))

    def test_a_new_file_is_not_for_all(self) -> None:
        self.output(Log(file=str(self.file)))
        self.assertEqual(self.file.stat().st_mode & 0o007, 0)

    def test_the_command_line_wins(self) -> None:
        told = self.folder / "told.log"
        self.output(Log(file=str(self.file)), logfile="told.log")
        os.chdir("/")
        self.log.info("hello")
        self.made.apply(Log(file=str(self.file), level="warn"), "rvoip.toml")
        self.log.info("dropped")
        self.log.warn("kept")
        self.assertFalse(self.file.exists())
        self.assertEqual([line.split(": ")[1] for line in told.read_text().splitlines()], ["hello", "kept"])

    def test_in_the_background(self) -> None:
        self.output(Log(), nodaemon=False)
        self.log.info("hello")
        self.assertIn("hello", (self.folder / "twistd.log").read_text())

    def test_syslog(self) -> None:
        lines: list[tuple[int, str]] = []
        opened: list[str] = []
        self.patch(syslog, "openlog", lambda prefix, *rest: opened.append(prefix))
        self.patch(syslog, "syslog", lambda priority, line: lines.append((priority, line)))
        self.output(Log(format="json"), syslog=True, prefix="edge")
        self.log.info("hello")
        self.log.debug("not shown")
        self.log.error("trouble")
        self.assertEqual(opened, ["edge"])
        self.assertEqual([priority for priority, _ in lines], [syslog.LOG_INFO, syslog.LOG_ERR])
        self.assertRegex(lines[1][1], r'^\{.*"message":"trouble".*\}$')
        self.assertEqual(self.stdout.getvalue(), "")

    def test_reopen(self) -> None:
        """What a program does that rotates logs."""
        self.output(Log(file=str(self.file)))
        self.log.info("first")
        renamed = self.folder / "role.log.1"
        self.file.rename(renamed)
        self.log.info("second")
        self.made.reopen()
        self.log.info("third")
        self.assertEqual(renamed.read_text().count("\n"), 2)
        self.assertIn("third", self.file.read_text())

    def test_reopen_fails(self) -> None:
        folder = self.folder / "logs"
        folder.mkdir()
        file = folder / "role.log"
        self.output(Log(file=str(file)))
        renamed = self.folder / "moved.log"
        file.rename(renamed)
        folder.rmdir()
        self.made.reopen()
        self.log.info("still here")
        self.assertIn("still here", renamed.read_text())

    def test_another_table(self) -> None:
        self.output(Log(file=str(self.file)))
        other = self.folder / "other.log"
        self.made.apply(Log(file=str(other), format="json", level="error"), "rvoip.toml")
        self.log.warn("dropped")
        self.log.error("kept")
        self.assertEqual(self.file.read_text(), "")
        self.assertIn('"message":"kept"', other.read_text())
        self.made.apply(Log(), "rvoip.toml")
        self.log.info("to the terminal")
        self.assertIn("to the terminal", self.stdout.getvalue())

    def test_it_cannot_be_opened(self) -> None:
        missing = str(self.folder / "no" / "role.log")
        with self.assertRaises(ConfigError) as caught:
            self.output(Log(file=missing))
        self.assertEqual(str(caught.exception), f"rvoip.toml: log.file: {missing}: No such file or directory")
        with self.assertRaises(ConfigError) as caught:
            self.output(Log(), logfile=missing)
        self.assertIn("--logfile", str(caught.exception))
        output = self.output(Log(file=str(self.file)))
        self.assertRaises(ConfigError, output.check, Log(file=missing), "rvoip.toml")
        self.assertRaises(ConfigError, output.apply, Log(file=missing), "rvoip.toml")
        self.log.info("goes on")
        self.assertIn("goes on", self.file.read_text())
        output.check(Log(file=str(self.folder / "fine.log")), "rvoip.toml")
