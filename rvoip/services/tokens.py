"""Random text for branches, tags and names."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["TokenSource"]

_BYTES = 8
_BATCH = 512


class TokenSource:
    """Gives 16 hexadecimal digits, 64 bits of the system's randomness, at each call.

    The system is asked for many at once: one call of it costs more than the rest of a Via.
    """

    __slots__ = ("_digits", "_position", "_random")

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._digits = ""
        self._position = 0

    def __call__(self) -> str:
        position = self._position
        if position >= len(self._digits):
            self._digits = self._random(_BYTES * _BATCH).hex()
            position = 0
        self._position = end = position + 2 * _BYTES
        return self._digits[position:end]
