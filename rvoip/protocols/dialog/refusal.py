"""What a machine has its owner answer to a request that may not be served."""

from __future__ import annotations

import attrs

__all__ = ["Refusal"]

LONGEST_RETRY = 10
"""Seconds: the largest Retry-After of a 500 to a request that came too early (RFC 3261 section 14.2)."""


@attrs.frozen
class Refusal:
    """A status from 300 up with the headers that explain it.

    ``retry_after`` asks for a Retry-After at random between 0 and 10 s, which `headers_with` adds.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    retry_after: bool = False

    def headers_with(self, random: float) -> tuple[tuple[str, str], ...]:
        """The headers of the answer; ``random`` is drawn from 0 up to but not including 1."""
        if not self.retry_after:
            return self.headers
        return (*self.headers, ("Retry-After", str(int(random * (LONGEST_RETRY + 1)))))
