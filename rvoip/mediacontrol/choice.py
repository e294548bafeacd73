"""Which of several media servers has a call: a machine."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

__all__ = ["AVOIDED", "MOST_CALLS", "Choice"]

AVOIDED = 10.0
"""Seconds for which a server that did not answer gets no new calls, doubled each time up to 16 times."""
MOST_CALLS = 100_000
"""Calls that are remembered not to be where their hash says; beyond it the oldest are forgotten."""


class Choice:
    """Servers by name. A call goes where the hash of its Call-ID says, so that another proxy finds it too.

    Only a call that went elsewhere, because that server did not answer, is remembered. Times are monotonic
    seconds.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names: tuple[str, ...] = ()
        self._moved: dict[str, str] = {}
        self._silent: dict[str, tuple[float, int]] = {}
        self.use(names)

    def use(self, names: Sequence[str]) -> None:
        """Choose among these from now on; calls stay where they are as long as that is one of them."""
        self._names = tuple(dict.fromkeys(names))
        self._silent = {name: how for name, how in self._silent.items() if name in self._names}
        self._moved = {call: name for call, name in self._moved.items() if name in self._names}

    def _by_hash(self, call_id: str) -> list[str]:
        def score(name: str) -> bytes:
            return blake2b(f"{call_id}\n{name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()

        return sorted(self._names, key=score)

    def for_new(self, call_id: str, now: float) -> list[str]:
        """The servers to try for a call that may be new, best first."""
        moved = self._moved.get(call_id)
        ranked = self._by_hash(call_id)
        if moved is not None:
            ranked.remove(moved)
            ranked.insert(0, moved)
        return sorted(ranked, key=lambda name: name != moved and self.avoids(name, now))

    def of(self, call_id: str) -> str | None:
        """The server that has a call; None when there are no servers."""
        moved = self._moved.get(call_id)
        if moved is not None:
            return moved
        return self._by_hash(call_id)[0] if self._names else None

    def placed(self, call_id: str, name: str) -> None:
        """The call is there now."""
        self._moved.pop(call_id, None)
        if self._by_hash(call_id)[0] != name:
            if len(self._moved) >= MOST_CALLS:
                del self._moved[next(iter(self._moved))]
            self._moved[call_id] = name

    def ended(self, call_id: str) -> None:
        """The call is over."""
        self._moved.pop(call_id, None)

    def answered(self, name: str) -> None:
        """A server answered."""
        self._silent.pop(name, None)

    def was_silent(self, name: str, now: float) -> None:
        """A server did not answer."""
        times = self._silent.get(name, (0.0, 0))[1]
        self._silent[name] = (now + AVOIDED * 2 ** min(times, 4), times + 1)

    def avoids(self, name: str, now: float) -> bool:
        """Whether a server gets no new calls at present, as long as there is another."""
        until = self._silent.get(name)
        return until is not None and now < until[0]
