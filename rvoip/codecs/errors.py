"""What goes wrong in a codec."""

from __future__ import annotations

__all__ = ["CodecError", "CodecMissing"]


class CodecError(Exception):
    """What a codec was given is not what it takes: a frame of a wrong length, a payload that is none.

    `str()` is one line.
    """


class CodecMissing(CodecError):
    """The library that a codec stands on is not installed; `str()` says in one line what to install."""
