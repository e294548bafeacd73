"""The direction of a stream, and what an answer may make of an offered one (RFC 3264 section 6.1)."""

from __future__ import annotations

from enum import Enum

__all__ = ["DIRECTIONS", "Direction"]


class Direction(Enum):
    """Which way media flows, seen from the one who wrote the description."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, sends: bool, receives: bool) -> Direction:
        """The direction of one who sends and receives so."""
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE

    @property
    def sends(self) -> bool:
        """Whether the writer sends media."""
        return self is Direction.SENDRECV or self is Direction.SENDONLY

    @property
    def receives(self) -> bool:
        """Whether the writer takes media."""
        return self is Direction.SENDRECV or self is Direction.RECVONLY

    @property
    def reversed(self) -> Direction:
        """The same flow seen from the other end."""
        return Direction.of(self.receives, self.sends)

    def answer(self, wanted: Direction) -> Direction:
        """The answer to this offer of one who would like ``wanted``: never more than was offered."""
        return Direction.of(self.receives and wanted.sends, self.sends and wanted.receives)


DIRECTIONS = {direction.value: direction for direction in Direction}
