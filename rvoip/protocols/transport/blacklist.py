"""Targets that failed lately, and for how long they are tried last."""

from __future__ import annotations

from collections.abc import Sequence

from rvoip.protocols.transport.bounded import Recent
from rvoip.protocols.transport.flow import Target

__all__ = ["Blacklist"]


class _Failure:
    __slots__ = ("count", "until")

    def __init__(self) -> None:
        self.count = 0
        self.until = 0.0


class Blacklist:
    """
    A machine: it is told the monotonic time; at most `size` targets.

    A target that failed is avoided for `first` seconds, and for twice as long with each failure that follows,
    up to `longest`. It is never dropped: where all failed, they are tried in their usual order.
    """

    def __init__(self, first: float = 30.0, longest: float = 300.0, size: int = 4096) -> None:
        self._first = first
        self._longest = longest
        self._failures: Recent[tuple[str, str, int], _Failure] = Recent(size)

    def __len__(self) -> int:
        return len(self._failures)

    def failed(self, target: Target, now: float, seconds: float | None = None) -> None:
        """The target did not answer, or said 503; `seconds` is its Retry-After, where it gave one."""
        failure = self._failures.find_or(target[:3], lambda key: _Failure())
        failure.count = min(failure.count + 1, 16)
        wait = self._first * 2.0 ** (failure.count - 1) if seconds is None else seconds
        failure.until = max(failure.until, now + min(wait, self._longest))

    def succeeded(self, target: Target) -> None:
        """The target answered."""
        if self._failures:
            self._failures.pop(target[:3])

    def avoids(self, target: Target, now: float) -> bool:
        """Whether the target is to be tried last."""
        failure = self._failures.get(target[:3])
        return failure is not None and now < failure.until

    def order(self, targets: Sequence[Target], now: float) -> list[Target]:
        """The targets in their order, but the avoided ones at the end."""
        if not self._failures:
            return list(targets)
        return sorted(targets, key=lambda target: self.avoids(target, now))
