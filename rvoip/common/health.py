"""Whether a role is alive, ready for work, or on its way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import msgspec
from twisted.logger import Logger

__all__ = ["Health", "HealthReport", "State"]

State = Literal["starting", "ready", "failing", "draining"]

Check = Callable[[], str | None]
"""None when all is well, else why not, in a few words. It is called often and must not wait for anything."""

_CHECK_FAILED: Final = "the check itself failed"

_log = Logger()


class HealthReport(msgspec.Struct, frozen=True):
    """What `/health` answers."""

    status: State
    checks: dict[str, str]
    """Name of each check: "ok", or why not."""

    @property
    def ready(self) -> bool:
        """Whether new work is welcome."""
        return self.status == "ready"


class Health:
    """The state of a role and its named checks.

    A role is `starting` until `start()`, then `ready` while all checks are well and `failing` while not, and
    `draining` after `drain()`, for good.
    """

    def __init__(self) -> None:
        self._checks: dict[str, tuple[Check, bool]] = {}
        self._started = False
        self._draining = False

    def add(self, name: str, check: Check, *, vital: bool = False) -> None:
        """Ask `check` for each report. A `vital` check that is not well means that only a restart helps."""
        if name in self._checks:
            raise ValueError(f"there is a check {name!r} already")
        self._checks[name] = (check, vital)

    def remove(self, name: str) -> None:
        """Forget a check; harmless when there is none of this name."""
        self._checks.pop(name, None)

    def start(self) -> None:
        """Say that all parts of the role are up."""
        self._started = True

    def drain(self) -> None:
        """Say that the role takes no new work and ends when its work has ended."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """Whether `drain` was called."""
        return self._draining

    def report(self) -> HealthReport:
        """Ask all checks; new work is welcome when the report is `ready`."""
        return self._report(self._checks)

    def live(self) -> HealthReport:
        """Ask the vital checks alone: `failing` means that the process should be replaced."""
        report = self._report({name: entry for name, entry in self._checks.items() if entry[1]})
        well = all(reason == "ok" for reason in report.checks.values())
        return HealthReport(report.status if well else "failing", report.checks)

    def _report(self, entries: dict[str, tuple[Check, bool]]) -> HealthReport:
        checks = {name: self._ask(name, check) for name, (check, _) in entries.items()}
        status: State
        if self._draining:
            status = "draining"
        elif not self._started:
            status = "starting"
        else:
            status = "ready" if all(reason == "ok" for reason in checks.values()) else "failing"
        return HealthReport(status, checks)

    @staticmethod
    def _ask(name: str, check: Check) -> str:
        try:
            return check() or "ok"
        except Exception:
            _log.failure("Health check {check} failed", check=name)
            return _CHECK_FAILED
