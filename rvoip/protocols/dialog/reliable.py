"""Provisional responses that arrive: 100rel, RSeq, RAck and PRACK (RFC 3262).

`ReliableServer` sends them until they are acknowledged, `ReliableClient` says which of those received count.
Neither touches a message: the responses that the server keeps are its owner's.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

import attrs

from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.session_headers import RAck

__all__ = [
    "ACKNOWLEDGED",
    "EXPIRED",
    "RELEASE",
    "RESEND",
    "SEND",
    "UNMATCHED",
    "Output",
    "ReliableClient",
    "ReliableServer",
    "negotiate_reliable",
    "reliable_headers",
    "reliable_retry",
]

TAG: Final = "100rel"

# What the owner of a `ReliableServer` does.
SEND: Final = "send"
"""Give the response its RSeq and Require: 100rel, and send it."""
RESEND: Final = "resend"
ACKNOWLEDGED: Final = "acknowledged"
"""Answer the PRACK 200."""
UNMATCHED: Final = "unmatched"
"""Answer the PRACK 481."""
RELEASE: Final = "release"
"""The 2xx that had to wait may go now."""
EXPIRED: Final = "expired"
"""No PRACK came in 64*T1: reject the INVITE with a 5xx (section 3)."""

Kept = TypeVar("Kept")


@attrs.frozen
class Output(Generic[Kept]):
    """One thing to do, and the response that it is about."""

    what: str
    rseq: int = 0
    response: Kept | None = None


class _Sent(Generic[Kept]):
    """A response that waits for its PRACK."""

    __slots__ = ("deadline", "expire", "interval", "response", "rseq", "session")

    def __init__(self, rseq: int, response: Kept, session: bool, timers: Timers, now: float) -> None:
        self.rseq = rseq
        self.response = response
        self.session = session
        self.interval = timers.t1
        self.expire = now + timers.lifetime
        self.deadline = min(now + timers.t1, self.expire)


class ReliableServer(Generic[Kept]):
    """The reliable provisional responses to one INVITE, with one To tag.

    The first one is alone until it is acknowledged, and so is one with a description: the next waits for its
    PRACK (sections 3 and 5). Each is sent again after T1, 2*T1, 4*T1 and so on, not bounded by T2.
    `first_rseq` is drawn by the caller from 1 to 2**31 - 1.
    """

    __slots__ = ("_acknowledged", "_expired", "_held", "_next", "_over", "_timers", "_unacked", "_waiting")

    def __init__(self, timers: Timers, first_rseq: int) -> None:
        self._timers = timers
        self._next = first_rseq
        self._waiting: deque[tuple[Kept, bool]] = deque()
        self._unacked: list[_Sent[Kept]] = []
        self._acknowledged = False
        self._held = False
        self._over = False
        self._expired = False

    @property
    def pending(self) -> int:
        """How many responses are not acknowledged, or not even sent."""
        return len(self._unacked) + len(self._waiting)

    @property
    def deadline(self) -> float | None:
        """When `poll` wants to be called; None for never."""
        if self._over or not self._unacked:
            return None
        return min(sent.deadline for sent in self._unacked)

    def send(self, response: Kept, session: bool, now: float) -> list[Output[Kept]]:
        """A response of 101 to 199 is to go reliably; `session` when it carries a description.

        Dropped once a final response is on its way (section 3).
        """
        if self._over or self._held or self._expired:
            return []
        self._waiting.append((response, session))
        return self._send_waiting(now)

    def receive(self, rack: RAck, cseq: int, now: float) -> list[Output[Kept]]:
        """A PRACK came; `cseq` is the number of the INVITE."""
        matched = [sent for sent in self._unacked if sent.rseq == rack.rseq]
        if not matched or (rack.cseq, rack.method) != (cseq, "INVITE"):
            return [Output(UNMATCHED, rack.rseq)]
        (sent,) = matched
        self._unacked.remove(sent)
        self._acknowledged = True
        outputs: list[Output[Kept]] = [Output(ACKNOWLEDGED, sent.rseq, sent.response)]
        if self._held and not self._describes():
            self._held = False
            self._over = True
            outputs.append(Output(RELEASE))
        return outputs + self._send_waiting(now)

    def finish(self, status: int, now: float) -> bool:
        """A final response is to go; False when it has to wait for "release".

        Only a 2xx waits, while a description is not acknowledged. Nothing is sent again after the final
        response, but PRACKs are still matched (section 3).
        """
        if status < 300 and not self._over and self._describes():
            self._held = True
            # What is not sent yet is of no use beside a final response, unless it is what the 2xx relies on.
            self._waiting = deque(waiting for waiting in self._waiting if waiting[1])
            return False
        self._over = True
        self._held = False
        self._waiting.clear()
        return True

    def poll(self, now: float) -> list[Output[Kept]]:
        """Call at `deadline`."""
        if self._over:
            return []
        outputs: list[Output[Kept]] = []
        for sent in self._unacked:
            if now < sent.deadline:
                continue
            if now >= sent.expire:
                self._expired = self._over = True
                self._held = False
                self._waiting.clear()
                return [Output(EXPIRED, sent.rseq, sent.response)]
            sent.interval *= 2
            sent.deadline = min(now + sent.interval, sent.expire)
            outputs.append(Output(RESEND, sent.rseq, sent.response))
        return outputs

    def _describes(self) -> bool:
        """Whether a description has not arrived for certain."""
        return any(sent.session for sent in self._unacked) or any(session for _, session in self._waiting)

    def _send_waiting(self, now: float) -> list[Output[Kept]]:
        outputs: list[Output[Kept]] = []
        while self._waiting and not self._over:
            if self._unacked and (not self._acknowledged or any(sent.session for sent in self._unacked)):
                break
            response, session = self._waiting.popleft()
            sent = _Sent(self._next, response, session, self._timers, now)
            self._next += 1
            self._unacked.append(sent)
            outputs.append(Output(SEND, sent.rseq, response))
        return outputs


class ReliableClient:
    """The reliable provisional responses to one INVITE of ours, with one To tag (section 4)."""

    __slots__ = ("_cseq", "_last")

    def __init__(self) -> None:
        self._cseq = -1
        self._last = 0

    def receive(self, rseq: int, cseq: int) -> RAck | None:
        """One came with that RSeq and CSeq number: process it and send PRACK with this RAck.

        None for one that came again or before its time: drop it. Whoever sent it sends it once more, after
        those that are missing.
        """
        if cseq == self._cseq and rseq != self._last + 1:
            return None
        if cseq < self._cseq or rseq == 0:
            return None
        self._cseq = cseq
        self._last = rseq
        return RAck(rseq, cseq, "INVITE")


def negotiate_reliable(request: Request, policy: str) -> bool | Refusal:
    """Whether to answer an INVITE with reliable provisional responses, or how to refuse it (section 3).

    `policy` is "off", "supported" (reliable when the caller can) or "required".
    """
    required = TAG in request.option_tags("require")
    if policy == "off":
        return Refusal(420, (("Unsupported", TAG),)) if required else False
    if required or TAG in request.option_tags("supported"):
        return True
    return Refusal(421, (("Require", TAG),)) if policy == "required" else False


def reliable_headers(policy: str) -> tuple[tuple[str, str], ...]:
    """The headers of an INVITE of ours for that policy, as in `negotiate_reliable`."""
    if policy == "off":
        return ()
    return (("Require" if policy == "required" else "Supported", TAG),)


def reliable_retry(policy: str, response: Response) -> str | None:
    """The policy with which to send an INVITE again after a 420 or 421; None when that would not help."""
    if response.status == 421 and policy == "off" and TAG in response.option_tags("require"):
        return "supported"
    if response.status == 420 and policy != "off" and TAG in response.option_tags("unsupported"):
        return "off"
    return None
