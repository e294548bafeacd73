"""How long the frames of a WebSocket say they are, as soon as they say it (RFC 6455 section 5.2)."""

from __future__ import annotations

from typing import Final

__all__ = ["FrameLengths"]

_SHORT: Final = 125
"""The largest length that stands in the second octet itself; 126 and 127 announce two and eight more."""


class FrameLengths:
    """Reads the heads of frames, and skips what is in them."""

    def __init__(self) -> None:
        self._head = b""
        self._skip = 0

    def receive(self, data: bytes) -> int:
        """The length of the longest payload that is announced in these octets; 0 where none is."""
        longest = place = 0
        while place < len(data):
            if self._skip:
                step = min(self._skip, len(data) - place)
                self._skip -= step
                place += step
                continue
            self._head += data[place : place + 1]
            place += 1
            length = _payload(self._head)
            if length is not None:
                longest = max(longest, length)
                masked = bool(self._head[1] & 0x80)
                self._skip = length + (4 if masked else 0)
                self._head = b""
        return longest


def _payload(head: bytes) -> int | None:
    """The length of the payload; None as long as the head is not complete."""
    if len(head) < 2:
        return None
    short = head[1] & 0x7F
    if short <= _SHORT:
        return short
    size = 2 if short == _SHORT + 1 else 8
    return int.from_bytes(head[2:], "big") if len(head) == 2 + size else None
