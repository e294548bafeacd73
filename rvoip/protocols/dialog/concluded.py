"""Timer K for all transactions at once: requests that got their final response, in case that comes again.

A non-INVITE client transaction with a final response has nothing left to do but to absorb retransmissions
for T4 (RFC 3261 section 17.1.2.2). It needs no object and no timer of its own then.
"""

from __future__ import annotations

__all__ = ["ConcludedRequests"]


class ConcludedRequests:
    """Transaction keys, each for at least `lifetime` seconds.

    Keys are kept as their 64-bit hashes. Above `most` in one lifetime the oldest half goes early; a
    response that comes again after that belongs to no transaction.
    """

    __slots__ = ("_lifetime", "_most", "_old", "_turned", "_young")

    def __init__(self, lifetime: float, most: int = 100_000) -> None:
        self._lifetime = lifetime
        self._most = most
        self._young: set[int] = set()
        self._old: set[int] = set()
        self._turned = 0.0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(self, key: str, now: float) -> None:
        """The request of this key got its final response."""
        if now - self._turned >= self._lifetime or len(self._young) >= self._most:
            # Nothing is young that came more than a lifetime ago, so two turns later nobody needs it.
            self._old = self._young if now - self._turned < 2 * self._lifetime else set()
            self._young = set()
            self._turned = now
        self._young.add(hash(key))

    def knows(self, key: str) -> bool:
        """Whether the request of this key got its final response lately."""
        known = hash(key)
        return known in self._young or known in self._old
