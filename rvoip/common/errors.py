"""What keeps a role from starting, said in one line to the operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rvoip.common.printable import printable

__all__ = ["ConfigError", "StartError", "exit_in_one_line"]


class ConfigError(Exception):
    """A configuration file, or a variable that overrides it, cannot be used as it stands.

    `str()` is one line, `FILE: KEY: reason; remedy`, without the parts that are empty.
    """

    def __init__(self, file: str, key: str, reason: str, remedy: str = "") -> None:
        super().__init__(file, key, reason, remedy)
        self.file = file
        """Path of the file, or the name of the environment variable."""
        self.key = key
        """Dotted key as in `proxy.route[2].to`, a place as in `line 3, column 7`, or empty."""
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.file, self.key) if part)
        line = f"{place}: {self.reason}" if place else self.reason
        return printable(f"{line}; {self.remedy}" if self.remedy else line)


class StartError(Exception):
    """A role cannot start: a port is in use, a certificate is missing, a store is locked.

    `str()` is one line.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return printable(self.reason)


@contextmanager
def exit_in_one_line() -> Iterator[None]:
    """Turn a ConfigError or a StartError into `SystemExit(line)`: one line on stderr and exit status 1."""
    try:
        yield
    except (ConfigError, StartError) as error:
        raise SystemExit(str(error)) from None
