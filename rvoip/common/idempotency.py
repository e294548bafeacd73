"""Answers kept for `Idempotency-Key`, so that a POST that is sent again is not done again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec

from rvoip.common.problem import HTTPError

__all__ = ["Answer", "IdempotencyKeys"]

KEY_LIMIT: Final = 255


class Answer(msgspec.Struct, frozen=True):
    """What went over the wire, ready to go again."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Entry:
    __slots__ = ("answer", "expires", "fingerprint")

    def __init__(self, fingerprint: bytes) -> None:
        self.fingerprint = fingerprint
        self.answer: Answer | None = None  # None while the first request is at work
        self.expires = 0.0


class IdempotencyKeys:
    """The answers of recent requests by caller and key, bounded in number, bytes and age; oldest go first."""

    def __init__(self, max_entries: int = 1000, max_bytes: int = 8 << 20, ttl: float = 3600.0) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._ttl = ttl
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """Count the keys that are remembered."""
        return len(self._entries)

    def begin(self, caller: str, key: str, fingerprint: bytes, now: float) -> Answer | None:
        """Return the answer to give again, or None: do the work, then `finish` or `forget`.

        `fingerprint` stands for the request. Raises HTTPError: 400 for a key that is none, 422 for one that
        was used for another request, 409 while the first request with it is at work, 503 when as many as can
        be remembered are at work.
        """
        if not (0 < len(key) <= KEY_LIMIT and key.isascii() and key.isprintable()):
            raise HTTPError(400, f"Idempotency-Key must be 1 to {KEY_LIMIT} printable ASCII characters")
        entry = self._entries.get((caller, key))
        if entry is not None and entry.answer is not None and entry.expires <= now:
            self.forget(caller, key)
            entry = None
        if entry is None:
            self._entries[caller, key] = _Entry(fingerprint)
            self._shrink()
            if len(self._entries) > self._max_entries:
                self.forget(caller, key)
                raise HTTPError(
                    503, "too many requests with an Idempotency-Key", headers={"Retry-After": "1"}
                )
            return None
        if entry.fingerprint != fingerprint:
            raise HTTPError(422, "this Idempotency-Key was used for another request")
        if entry.answer is None:
            raise HTTPError(
                409, "the first request with this Idempotency-Key is at work", headers={"Retry-After": "1"}
            )
        return entry.answer

    def finish(self, caller: str, key: str, answer: Answer, now: float) -> None:
        """Keep the answer; one of 500 and above is not kept, so that the work can be tried again."""
        entry = self._entries.get((caller, key))
        if entry is None or entry.answer is not None:
            return
        if answer.status >= 500 or len(answer.body) > self._max_bytes:
            self.forget(caller, key)
            return
        entry.answer = answer
        entry.expires = now + self._ttl
        self._bytes += len(answer.body)
        self._entries.move_to_end((caller, key))
        self._shrink()

    def forget(self, caller: str, key: str) -> None:
        """Drop a key: its work failed, or its time is over."""
        entry = self._entries.pop((caller, key), None)
        if entry is not None and entry.answer is not None:
            self._bytes -= len(entry.answer.body)

    def _shrink(self) -> None:
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            # Not one that is at work: its repetition would be done twice.
            done = (place for place, entry in self._entries.items() if entry.answer is not None)
            oldest = next(done, None)
            if oldest is None:
                return
            self.forget(*oldest)
