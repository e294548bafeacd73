"""What the RTP package raises: whose fault it is."""

from __future__ import annotations

__all__ = ["PortError", "RTPBuildError", "RTPError"]


class RTPError(Exception):
    """Octets of a peer that are no acceptable packet; the only error that a parser of this package lets out.

    `reason` is one clause of plain text, with nothing in it that the peer wrote.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RTPBuildError(RTPError, ValueError):
    """A value of ours that cannot be written as a packet: a number too large, a payload too long."""


class PortError(Exception):
    """No port can be given out, or a range of ports is not usable; the text says which and why."""
