"""What a command ends with when it cannot do its work."""

from __future__ import annotations

from rvoip.common.printable import printable

__all__ = ["CommandError"]


class CommandError(Exception):
    """A command cannot do what it was asked; `str()` is one line for stderr, and the exit status is 1."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.line = line

    def __str__(self) -> str:
        return printable(self.line)
