"""What the SDP package raises: whose fault it is, and in which line."""

from __future__ import annotations

__all__ = ["SDPBuildError", "SDPError"]


class SDPError(Exception):
    """Text that is not acceptable SDP; the only error that a parser of this package lets out.

    ``reason`` is one clause that is safe to log (quoted input is cut and escaped); ``line`` is the number of
    the offending line, counted from 1, or 0 when no single line is to blame.
    """

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason, line)
        self.reason = reason
        self.line = line

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}" if self.line else self.reason


class SDPBuildError(SDPError, ValueError):
    """A value of ours that cannot be written as SDP (a line break in a name, a space in a protocol)."""
