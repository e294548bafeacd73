"""Timer J for all transactions at once: what was answered, in case the request comes again.

A non-INVITE server transaction whose final response is sent has nothing left to do but to send it
again for 64*T1 (RFC 3261 section 17.2.2). It needs no object and no timer of its own then: the response
is kept here by generation, and a generation is dropped whole when its time has passed.
"""

from __future__ import annotations

__all__ = ["AnsweredRequests"]

_GENERATIONS = 8


class AnsweredRequests:
    """Responses by transaction key, each for at least `lifetime` seconds unless memory runs out.

    Keys are kept as their 64-bit hashes: Python seeds those anew in each process, so nobody can aim
    for an equal one. Above `most_bytes` of responses the oldest generation goes first; a request that
    comes again after that is processed again.
    """

    __slots__ = ("_current", "_older", "_share", "_size", "_span", "deadline")

    def __init__(self, lifetime: float, most_bytes: int = 16 * 1024 * 1024) -> None:
        self._span = lifetime / _GENERATIONS
        self._share = most_bytes // (_GENERATIONS + 1)
        self._current: dict[int, bytes] = {}
        self._older: list[dict[int, bytes]] = []
        self._size = 0
        self.deadline: float | None = None

    def __len__(self) -> int:
        return len(self._current) + sum([len(one) for one in self._older])

    def put(self, key: str, response: bytes, now: float) -> None:
        """Keep the response to the request with this key. `deadline` is set when it was None."""
        if self.deadline is None:
            self.deadline = now + self._span
        self._size += len(response)
        if self._size > self._share:
            self._turn(now)
            self._size = len(response)
        self._current[hash(key)] = response

    def get(self, key: str) -> bytes | None:
        """The response that this key was answered with, or None."""
        wanted = hash(key)
        found = self._current.get(wanted)
        if found is None:
            for generation in self._older:
                found = generation.get(wanted)
                if found is not None:
                    return found
        return found

    def tick(self, now: float) -> None:
        """Close the current generation and drop what is too old; call at `deadline`."""
        if self.deadline is not None and now >= self.deadline:
            self._turn(now)
            if not self._current and not any(self._older):
                self._older.clear()
                self.deadline = None

    def _turn(self, now: float) -> None:
        self._older.insert(0, self._current)
        del self._older[_GENERATIONS:]
        self._current = {}
        self._size = 0
        self.deadline = now + self._span
