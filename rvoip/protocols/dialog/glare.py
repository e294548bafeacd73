"""Requests for one change that cross: who waits, how long (RFC 3261 section 14, RFC 3311 section 5.2)."""

from __future__ import annotations

from typing import ClassVar, Final

from rvoip.protocols.dialog.refusal import Refusal

__all__ = ["Overlap", "Retry", "glare_delay"]

STEP = 0.01
"""Seconds: the times are "chosen in units of 10 ms" (RFC 3261 section 14.1)."""


def glare_delay(owns_call_id: bool, random: float) -> float:
    """Seconds to wait before a request that was answered 491 is sent again: 2.1 to 4.0 for the side that made
    the Call-ID, 0.0 to 2.0 for the other; ``random`` is drawn from 0 up to but not including 1.
    """
    if owns_call_id:
        return round(2.1 + int(random * 191) * STEP, 2)
    return round(int(random * 201) * STEP, 2)


IDLE: Final = "Idle"
OURS: Final = "Ours is open"
THEIRS: Final = "Theirs is open"
BOTH: Final = "Both are open"
UNACKNOWLEDGED: Final = "Theirs is answered"

WAIT: Final = "wait"
PENDING: Final = "491"
TOO_SOON: Final = "500"

_Rows = dict[tuple[str, str], tuple[str, str]]


class Overlap:
    """Which INVITE and which UPDATE are open in a dialog.

    An INVITE of ours is over with its final response. One of the peer's keeps us waiting until the ACK, but
    not the peer, whose ACK may have got lost. Two UPDATEs may cross, and one may be open beside an INVITE:
    whether they may carry offers is for `rvoip.protocols.dialog.offer_answer` to say.
    """

    __slots__ = ("_states",)

    TRANSITIONS: ClassVar[dict[str, _Rows]] = {
        "INVITE": {
            (IDLE, "send"): (OURS, ""),
            (IDLE, "receive"): (THEIRS, ""),
            (OURS, "send"): (OURS, WAIT),
            (OURS, "receive"): (OURS, PENDING),
            (OURS, "answer received"): (IDLE, ""),
            (THEIRS, "send"): (THEIRS, WAIT),
            (THEIRS, "receive"): (THEIRS, TOO_SOON),
            (THEIRS, "answer sent"): (UNACKNOWLEDGED, ""),
            (UNACKNOWLEDGED, "send"): (UNACKNOWLEDGED, WAIT),
            (UNACKNOWLEDGED, "receive"): (THEIRS, ""),
            (UNACKNOWLEDGED, "ACK"): (IDLE, ""),
        },
        "UPDATE": {
            (IDLE, "send"): (OURS, ""),
            (IDLE, "receive"): (THEIRS, ""),
            (OURS, "send"): (OURS, WAIT),
            (OURS, "receive"): (BOTH, ""),
            (OURS, "answer received"): (IDLE, ""),
            (THEIRS, "send"): (BOTH, ""),
            (THEIRS, "receive"): (THEIRS, TOO_SOON),
            (THEIRS, "answer sent"): (IDLE, ""),
            (BOTH, "send"): (BOTH, WAIT),
            (BOTH, "receive"): (BOTH, TOO_SOON),
            (BOTH, "answer received"): (THEIRS, ""),
            (BOTH, "answer sent"): (OURS, ""),
        },
    }

    def __init__(self) -> None:
        self._states = dict.fromkeys(self.TRANSITIONS, IDLE)

    def state(self, method: str) -> str:
        """What is open of that method, INVITE or UPDATE."""
        return self._states[method]

    def may_send(self, method: str) -> bool:
        """Whether we may send that now; any other method always."""
        state = self._states.get(method)
        return state is None or self.TRANSITIONS[method][state, "send"][1] != WAIT

    def sent(self, method: str) -> None:
        """Ours goes out; it `may_send`."""
        self._go(method, "send")

    def sent_ended(self, method: str) -> None:
        """Ours got its final response, or none will come."""
        self._go(method, "answer received")

    def received(self, method: str) -> Refusal | None:
        """One of the peer's came; a refusal is what to answer it, and it is then not open."""
        what = self._go(method, "receive")
        if what == PENDING:
            return Refusal(491)
        return Refusal(500, retry_after=True) if what == TOO_SOON else None

    def received_ended(self, method: str) -> None:
        """We answered theirs with a final response."""
        self._go(method, "answer sent")

    def acked(self) -> None:
        """The ACK to our final response to an INVITE came, or none will come any more."""
        self._go("INVITE", "ACK")

    def _go(self, method: str, event: str) -> str:
        state = self._states.get(method)
        if state is None:
            return ""
        self._states[method], what = self.TRANSITIONS[method].get((state, event), (state, ""))
        return what


class Retry:
    """A request that was answered 491 and is to be sent again, unless nobody wants it any more by then."""

    __slots__ = ("deadline",)

    def __init__(self) -> None:
        self.deadline: float | None = None

    def refused(self, owns_call_id: bool, random: float, now: float) -> None:
        """The 491 came."""
        self.deadline = now + glare_delay(owns_call_id, random)

    def poll(self, now: float) -> bool:
        """Whether to send it again now; call at `deadline`. True once."""
        if self.deadline is None or now < self.deadline:
            return False
        self.deadline = None
        return True

    def cancel(self) -> None:
        """It is not wanted any more."""
        self.deadline = None
