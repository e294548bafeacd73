"""What media processing refuses, in one line."""

from __future__ import annotations

__all__ = [
    "AudioFileError",
    "ExtraError",
    "MediaError",
    "NegotiationError",
    "PromptError",
    "RecordingError",
    "ToneError",
]


class MediaError(Exception):
    """Something that a caller asked of a media library cannot be done; `str()` is one line."""


class ExtraError(MediaError):
    """An optional library is not installed; the line names the command that installs it."""


class ToneError(MediaError):
    """The text of a tone cannot be read; the line says which part, and what would be right."""


class AudioFileError(MediaError):
    """Octets that should be audio are none, or none that can be read; the line says what is wrong."""


class PromptError(MediaError):
    """What should be played cannot be: its name is none, no such file, or no audio."""


class RecordingError(MediaError):
    """A recording cannot be begun, or cannot be repaired."""


class NegotiationError(MediaError):
    """An offer or answer that there is no answer to.

    `status` is the SIP status that it deserves: 488 for an offer that cannot be met, 400 for one that is no
    description, 491 and 500 for one that comes at the wrong time. `reason` is safe to log and to send.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.status} {self.reason}"
