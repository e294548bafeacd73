"""The INVITEs that ring, by the users of ours whose phones they ring."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rvoip.proxy.context import ResponseContext

__all__ = ["Ringing"]


class Ringing:
    """Knows which requests somebody who registers now is to get too."""

    def __init__(self) -> None:
        self._by_aor: dict[str, list[ResponseContext]] = {}
        self._aors: dict[ResponseContext, list[str]] = {}

    def __len__(self) -> int:
        return len(self._aors)

    def add(self, context: ResponseContext, aor: str) -> None:
        """A request rings the phones of a user; "" is nobody."""
        if not aor:
            return
        aors = self._aors.setdefault(context, [])
        if aor not in aors:
            aors.append(aor)
            self._by_aor.setdefault(aor, []).append(context)

    def remove(self, context: ResponseContext) -> None:
        """It rings no more."""
        for aor in self._aors.pop(context, ()):
            there = self._by_aor[aor]
            there.remove(context)
            if not there:
                del self._by_aor[aor]

    def of(self, aor: str) -> list[ResponseContext]:
        """The requests that ring a user's phones."""
        return list(self._by_aor.get(aor, ()))
