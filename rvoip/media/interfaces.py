"""What this library asks of others: who opens files and who writes them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["Identity", "IPromptFolder", "PromptFile"]


class Identity(NamedTuple):
    """What tells one state of a file from another."""

    path: str
    modified: int
    """Nanoseconds."""
    size: int
    """Octets."""


class PromptFile(NamedTuple):
    """A file that was read."""

    identity: Identity
    data: bytes


class IPromptFolder(Protocol):
    """Finds files by the parts of their names, and never outside of its folder. Errors are PromptErrors."""

    def identify(self, parts: tuple[str, ...]) -> Identity:
        """Say which state of a file there is now."""

    def read(self, parts: tuple[str, ...]) -> PromptFile:
        """Read a file."""
