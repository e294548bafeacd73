"""What media control raises."""

from __future__ import annotations

__all__ = ["BencodeError", "MediaError", "MediaRefused", "MediaUnavailable"]


class MediaError(Exception):
    """Base of all errors of this package; `reason` is one line of plain text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MediaUnavailable(MediaError):
    """No media server answers."""


class MediaRefused(MediaError):
    """A media server answered that it does not do this."""


class BencodeError(MediaError):
    """Octets that are no bencoded value, or a value that cannot be bencoded."""
