"""A format as a session description lists it: plain values, read by name so that anybody's class will do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from rvoip.codecs.registry import codec_key

__all__ = ["Format", "IsFormat", "free_numbers", "readable"]

MAX_FORMATS = 128
DYNAMIC = (*range(96, 128), *range(35, 64))
"""Payload types without a fixed meaning, in the order in which they are given out (RFC 3551 section 6)."""


class IsFormat(Protocol):
    """What is read of a format. `Format` is one, and so is a codec of `rvoip.protocols.sdp`."""

    @property
    def payload_type(self) -> int: ...
    @property
    def encoding(self) -> str: ...
    @property
    def clock_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def fmtp(self) -> str | None: ...


class Format(Struct, frozen=True, gc=False):
    """A payload type, what it stands for, and its parameters."""

    payload_type: int
    encoding: str
    clock_rate: int
    channels: int = 1
    fmtp: str | None = None

    @property
    def key(self) -> str:
        """See `codec_key`."""
        return codec_key(self.encoding, self.clock_rate, self.channels)


def readable(formats: Iterable[IsFormat]) -> list[Format]:
    """The formats of a peer that can be meant: the first of each payload type from 0 to 127, 128 at most."""
    found: dict[int, Format] = {}
    for format in formats:
        if 0 <= format.payload_type <= 127 and format.payload_type not in found:
            found[format.payload_type] = Format(
                format.payload_type, format.encoding, format.clock_rate, format.channels, format.fmtp or None
            )
            if len(found) == MAX_FORMATS:
                break
    return list(found.values())


def free_numbers(taken: Iterable[int]) -> Iterator[int]:
    """Payload types that may be given a meaning, without those that have one."""
    used = frozenset(taken)
    return (number for number in DYNAMIC if number not in used)
