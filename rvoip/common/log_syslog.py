"""Log lines to the system's log, by syslog(3)."""

from __future__ import annotations

import syslog
from typing import Final

from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from rvoip.common.log import JSONObserver, TextObserver

__all__ = ["SyslogObserver"]

_PRIORITIES: Final = {
    "debug": syslog.LOG_DEBUG,
    "info": syslog.LOG_INFO,
    "warn": syslog.LOG_WARNING,
    "error": syslog.LOG_ERR,
    "critical": syslog.LOG_CRIT,
}


@implementer(ILogObserver)
class SyslogObserver:
    """Hands each line that `lines` makes of an event to syslog, at the event's level."""

    def __init__(self, lines: JSONObserver | TextObserver, prefix: str) -> None:
        self._lines = lines
        syslog.openlog(prefix, syslog.LOG_PID, syslog.LOG_DAEMON)

    def __call__(self, event: LogEvent) -> None:
        """Write `event` when its level is shown."""
        line = self._lines.line(event)
        if line is not None:
            syslog.syslog(_PRIORITIES[event["log_level"].name], line.rstrip("\n"))
