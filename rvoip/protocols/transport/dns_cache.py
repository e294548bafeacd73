"""Answers of DNS, kept while they may be believed, and longer when DNS is down (RFC 2308, RFC 8767)."""

from __future__ import annotations

from rvoip.protocols.transport.bounded import Recent
from rvoip.protocols.transport.dns_records import LARGEST_TTL, Answer, Outcome, Question

__all__ = ["AnswerCache"]

SMALLEST_TTL = 1.0
"""Seconds that any answer is kept: a TTL of 0 would make a query of each request."""
LARGEST_NEGATIVE_TTL = 300.0
FAILURE_TTL = 5.0
"""Seconds for which a failure is not tried again (RFC 2308 section 7)."""
STALE_TTL = 3600.0
"""Seconds after its end that an answer is still used when no better one can be had (RFC 8767)."""
STALE_RETRY = 30.0
"""Seconds between two attempts to renew an answer that is used beyond its end (RFC 8767 section 5)."""


class _Entry:
    __slots__ = ("answer", "expires_at", "retry_at")

    def __init__(self, answer: Answer, expires_at: float) -> None:
        self.answer = answer
        self.expires_at = expires_at
        self.retry_at = 0.0


class AnswerCache:
    """A machine: at most `size` answers; it is told the monotonic time."""

    def __init__(self, size: int = 4096) -> None:
        self._entries: Recent[Question, _Entry] = Recent(size)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, question: Question, now: float) -> Answer | None:
        """The answer, if it may be used without asking; None: ask."""
        entry = self._entries.get(question)
        if entry is None or (now >= entry.expires_at and now >= entry.retry_at):
            return None
        return entry.answer

    def good_until(self, question: Question) -> float:
        """Until when `get` gives the present answer."""
        entry = self._entries.get(question)
        return 0.0 if entry is None else max(entry.expires_at, entry.retry_at)

    def stale(self, question: Question, now: float) -> Answer | None:
        """What was found before, if it is not too old for a time in which DNS does not answer."""
        entry = self._entries.get(question)
        if entry is None or entry.answer.outcome is not Outcome.FOUND or now >= entry.expires_at + STALE_TTL:
            return None
        return entry.answer

    def put(self, question: Question, answer: Answer, now: float) -> Answer:
        """Keep an answer, and return the one to use: after a failure an old one, where there is one."""
        if answer.outcome is Outcome.FOUND:
            life = min(max(answer.ttl, SMALLEST_TTL), LARGEST_TTL)
        elif answer.outcome is Outcome.NONE:
            life = min(max(answer.ttl, SMALLEST_TTL), LARGEST_NEGATIVE_TTL)
        else:
            old = self.stale(question, now)
            if old is not None:
                entry = self._entries.get(question)
                if entry is not None:
                    entry.retry_at = min(now + STALE_RETRY, entry.expires_at + STALE_TTL)
                return old
            life = FAILURE_TTL
        self._entries.put(question, _Entry(answer, now + life))
        return answer

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
