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

    __slots__ = ("_bytes", "_generations", "_most_bytes", "_span", "deadline", "responses")

    def __init__(self, lifetime: float, most_bytes: int = 16 * 1024 * 1024) -> None:
        self._span = lifetime / _GENERATIONS
        self._most_bytes = most_bytes
        self.responses: dict[int, bytes] = {}
        """By the hash of the key; to be read by whoever wants to save a call."""
        # The hashes that were put in each span, the newest last; and how many octets they hold.
        self._generations: list[list[int]] = [[]]
        self._bytes: list[int] = [0]
        self.deadline: float | None = None

    def __len__(self) -> int:
        return len(self.responses)

    def put(self, key: str, response: bytes, now: float) -> None:
        """Keep the response to the request with this key. `deadline` is set when it was None."""
        if self.deadline is None:
            self.deadline = now + self._span
        wanted = hash(key)
        if wanted in self.responses:
            self._put_again(wanted)
        self.responses[wanted] = response
        self._generations[-1].append(wanted)
        self._bytes[-1] += len(response)
        if self._bytes[-1] > self._most_bytes // (_GENERATIONS + 1):
            self._turn(now)

    def _put_again(self, wanted: int) -> None:
        """It is forgotten with its new generation, not with the one that it was in."""
        for number, generation in enumerate(self._generations):
            if wanted in generation:
                generation.remove(wanted)
                self._bytes[number] -= len(self.responses[wanted])

    def get(self, key: str) -> bytes | None:
        """The response that this key was answered with, or None."""
        return self.responses.get(hash(key))

    def tick(self, now: float) -> None:
        """Close the current generation and drop what is too old; call at `deadline`."""
        if self.deadline is not None and now >= self.deadline:
            self._turn(now)
            if not self.responses:
                self._generations, self._bytes = [[]], [0]
                self.deadline = None

    def _turn(self, now: float) -> None:
        generations = self._generations
        if len(generations) > _GENERATIONS:
            forget = self.responses.pop
            for wanted in generations.pop(0):
                forget(wanted, None)
            del self._bytes[0]
        generations.append([])
        self._bytes.append(0)
        self.deadline = now + self._span
