"""Where the log of a role goes: `[log] file`, else where twistd was told, else standard output."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from io import StringIO
from typing import Any

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from zope.interface import implementer

from rvoip.common.errors import ConfigError
from rvoip.common.log import LogLimiter, log_observer
from rvoip.common.log_file import LogFile
from rvoip.common.log_syslog import SyslogObserver
from rvoip.services.config import Log

__all__ = ["LogOutput"]

TWISTD_FILE = "twistd.log"
"""Where twistd writes in the background when it is not told."""

_NOT_ACCEPTED = ("EMFILE ", "Re-reserving EMFILE", "Could not accept new connection")
"""How Twisted's lines about connections begin that there is no descriptor or memory for."""

_log = Logger()


@implementer(ILogObserver)
class LogOutput:
    """The observer of the application, whose file, format and level may change while it runs.

    `twistd` holds twistd's own options, None where nobody knows them (a .tac). `--syslog` and `--logfile` win
    over `[log] file`; in the background without any of them the file is twistd.log in the folder that twistd
    was started in, which is twistd's own choice. Raises `ConfigError` when the file cannot be opened.
    """

    def __init__(self, table: Log, twistd: Mapping[str, Any] | None, config_file: str) -> None:
        twistd = twistd or {}
        self._syslog = bool(twistd.get("syslog"))
        self._prefix = str(twistd.get("prefix") or "rvoip")
        # Both are relative to the folder that twistd is started in, which it may leave.
        self._told = _absolute(twistd.get("logfile") or "")
        self._otherwise = os.path.abspath(TWISTD_FILE) if twistd and not twistd.get("nodaemon") else "-"
        self._lines = LogLimiter(time.monotonic)
        self._file: LogFile | None = None
        self._observer = self._open(table, config_file)

    def __call__(self, event: LogEvent) -> None:
        """Write an event.

        What Twisted says of each connection that it cannot accept is one line in 10 seconds: there may be
        thousands, and the disk should not be next.
        """
        text = event.get("log_format")
        if isinstance(text, str) and text.startswith(_NOT_ACCEPTED):
            suppressed = self._lines.allow("accept")
            if suppressed is None:
                return
            event = {
                **event,
                "log_level": LogLevel.warn,
                "log_format": "No connection can be accepted: {reason} ({suppressed} more lines before)",
                "reason": event.get("acceptError", "too many files are open"),
                "suppressed": suppressed,
            }
        self._observer(event)

    @property
    def is_standard_output(self) -> bool:
        """Whether lines go where the command was given."""
        return self._file is None and not self._syslog

    def check(self, table: Log, config_file: str) -> None:
        """See that `apply` would be able to; `ConfigError` when not."""
        path = self._path(table)
        if path != "-" and not self._syslog:
            file = self._opened(path, config_file)
            if file is not self._file:
                file.close()

    def apply(self, table: Log, config_file: str) -> None:
        """Go on as another `[log]` table says; a `ConfigError` leaves all as it was."""
        old = self._file
        self._observer = self._open(table, config_file)
        if old is not None and old is not self._file:
            old.close()

    def reopen(self) -> None:
        """Open the file anew, after another program has renamed it."""
        if self._file is not None:
            try:
                self._file.reopen()
            except OSError as error:
                _log.error(
                    "The log goes on in the old file, {path} cannot be opened: {reason}",
                    path=self._file.path,
                    reason=error.strerror,
                )

    def _path(self, table: Log) -> str:
        """Where lines go: a path, or "-" for standard output."""
        return self._told or _absolute(table.file) or self._otherwise

    def _open(self, table: Log, config_file: str) -> ILogObserver:
        path = self._path(table)
        if self._syslog:
            return SyslogObserver(log_observer(table.format, table.level, StringIO()), self._prefix)
        if path == "-":
            self._file = None
            assert sys.__stdout__ is not None, "the process has no standard output"
            return log_observer(table.format, table.level, sys.__stdout__)
        self._file = self._opened(path, config_file)
        return log_observer(table.format, table.level, self._file)

    def _opened(self, path: str, config_file: str) -> LogFile:
        """The file at a path; the one that is open, if it is that."""
        if self._file is not None and self._file.path == path:
            return self._file
        try:
            return LogFile(path)
        except OSError as error:
            where = ("twistd", "--logfile") if path == self._told else (config_file, "log.file")
            raise ConfigError(*where, f"{path}: {error.strerror}") from None


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path and path != "-" else path
