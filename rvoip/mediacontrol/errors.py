"""What media control raises."""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BencodeError",
    "MediaError",
    "MediaLost",
    "MediaRefused",
    "MediaUnavailable",
    "MediaUnsupported",
]


class MediaError(Exception):
    """Base of all errors of this package.

    `reason` is one line of plain text; `status` is what HTTP calls it: below 500 the caller asked for what
    cannot be, from 500 on the media server cannot now.
    """

    usual_status: ClassVar[int] = 500

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status or self.usual_status


class MediaUnavailable(MediaError):
    """No media server answers, or the one that does takes nothing new; nothing was done."""

    usual_status = 503


class MediaLost(MediaUnavailable):
    """A command was sent and never answered: it may have been done or not."""

    usual_status = 504


class MediaRefused(MediaError):
    """A media server answered that it does not do this."""

    usual_status = 400


class MediaUnsupported(MediaRefused):
    """What is behind this interface has no way to do this, for nobody and at no time."""

    usual_status = 501


class BencodeError(MediaError):
    """Octets that are no bencoded value, or a value that cannot be bencoded."""

    usual_status = 502
