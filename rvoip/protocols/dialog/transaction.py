"""The four transaction machines (RFC 3261 section 17, with RFC 6026 for INVITE and RFC 4320).

Each machine is told the time in monotonic seconds and owns no message, socket or clock. An input
returns what its owner must do, as flags:

    SEND     send (again) the request, or the last response
    PASS     hand the message to the transaction user
    ACK      acknowledge the failure response (INVITE client)
    TIMEOUT  tell the user that the peer is silent
    END      forget the transaction

`deadline` is when `tick` wants to be called next, None for never. The tables below are the figures of
the RFCs; `docs/reference/transactions.md` draws them.
"""

from __future__ import annotations

from typing import ClassVar

from rvoip.protocols.dialog.timers import Timers

__all__ = [
    "ACK",
    "END",
    "PASS",
    "SEND",
    "TIMEOUT",
    "InviteClient",
    "InviteServer",
    "NonInviteClient",
    "NonInviteServer",
]

SEND = 1
PASS = 2
ACK = 4
TIMEOUT = 8
END = 16

# States, by the names in the figures.
CALLING = "Calling"
TRYING = "Trying"
PROCEEDING = "Proceeding"
ACCEPTED = "Accepted"
COMPLETED = "Completed"
CONFIRMED = "Confirmed"
TERMINATED = "Terminated"


def response_class(status: int) -> str:
    """Which event of the tables a response is: "1xx", "2xx" or "300-699"."""
    return "1xx" if status < 200 else "2xx" if status < 300 else "300-699"


class InviteClient:
    """INVITE client transaction (RFC 3261 figure 5, RFC 6026 figure 5)."""

    __slots__ = ("_expire", "_interval", "_reliable", "_retransmit", "_timers", "deadline", "state")

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, int]]] = {
        (CALLING, "1xx"): (PROCEEDING, PASS),
        (CALLING, "2xx"): (ACCEPTED, PASS),
        (CALLING, "300-699"): (COMPLETED, ACK | PASS),
        (CALLING, "timer A"): (CALLING, SEND),
        (CALLING, "timer B"): (TERMINATED, TIMEOUT | END),
        (CALLING, "transport error"): (TERMINATED, END),
        (PROCEEDING, "1xx"): (PROCEEDING, PASS),
        (PROCEEDING, "2xx"): (ACCEPTED, PASS),
        (PROCEEDING, "300-699"): (COMPLETED, ACK | PASS),
        (PROCEEDING, "transport error"): (TERMINATED, END),
        (ACCEPTED, "2xx"): (ACCEPTED, PASS),
        (ACCEPTED, "timer M"): (TERMINATED, END),
        (COMPLETED, "300-699"): (COMPLETED, ACK),
        (COMPLETED, "timer D"): (TERMINATED, END),
        (COMPLETED, "transport error"): (TERMINATED, END),
    }

    def __init__(self, timers: Timers, reliable: bool, now: float) -> None:
        self.state = CALLING
        self._timers = timers
        self._reliable = reliable
        self._interval = timers.t1
        self._retransmit: float | None = None if reliable else now + timers.t1
        self._expire = now + timers.lifetime
        self.deadline: float | None = self._expire if self._retransmit is None else self._retransmit

    def receive(self, status: int, now: float) -> int:
        """A response came; returns what to do (0: nothing, it is absorbed)."""
        state, actions = self.TRANSITIONS.get((self.state, response_class(status)), (self.state, 0))
        if state != self.state:
            self.state = state
            if state == PROCEEDING:
                self.deadline = None  # the user bounds this (Timer C, section 16.6 step 11)
            elif state == ACCEPTED:
                self.deadline = now + self._timers.lifetime
            elif self._reliable:
                self.state = TERMINATED
                self.deadline = None
                return actions | END
            else:
                self.deadline = now + self._timers.d
        return actions

    def tick(self, now: float) -> int:
        """The time is `now`; call at `deadline` or later."""
        if self.deadline is None or now < self.deadline:
            return 0
        if self.state == CALLING and now < self._expire:
            self._interval *= 2
            self.deadline = min(now + self._interval, self._expire)
            return self.TRANSITIONS[CALLING, "timer A"][1]
        timer = {CALLING: "timer B", ACCEPTED: "timer M", COMPLETED: "timer D"}[self.state]
        self.state, actions = self.TRANSITIONS[self.state, timer]
        self.deadline = None
        return actions

    def fail(self) -> int:
        """The transport gave up."""
        state, actions = self.TRANSITIONS.get((self.state, "transport error"), (self.state, 0))
        self.state = state
        if actions:
            self.deadline = None
        return actions


class NonInviteClient:
    """Non-INVITE client transaction (RFC 3261 figure 6)."""

    __slots__ = ("_expire", "_interval", "_reliable", "_timers", "deadline", "state")

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, int]]] = {
        (TRYING, "1xx"): (PROCEEDING, PASS),
        (TRYING, "2xx"): (COMPLETED, PASS),
        (TRYING, "300-699"): (COMPLETED, PASS),
        (TRYING, "timer E"): (TRYING, SEND),
        (TRYING, "timer F"): (TERMINATED, TIMEOUT | END),
        (TRYING, "transport error"): (TERMINATED, END),
        (PROCEEDING, "1xx"): (PROCEEDING, PASS),
        (PROCEEDING, "2xx"): (COMPLETED, PASS),
        (PROCEEDING, "300-699"): (COMPLETED, PASS),
        (PROCEEDING, "timer E"): (PROCEEDING, SEND),
        (PROCEEDING, "timer F"): (TERMINATED, TIMEOUT | END),
        (PROCEEDING, "transport error"): (TERMINATED, END),
        (COMPLETED, "timer K"): (TERMINATED, END),
    }

    def __init__(self, timers: Timers, reliable: bool, now: float) -> None:
        self.state = TRYING
        self._timers = timers
        self._reliable = reliable
        self._interval = timers.t1
        self._expire = now + timers.lifetime
        self.deadline: float | None = self._expire if reliable else now + timers.t1

    def receive(self, status: int, now: float) -> int:
        """A response came; returns what to do (0: nothing, it is absorbed)."""
        state, actions = self.TRANSITIONS.get((self.state, response_class(status)), (self.state, 0))
        if state != self.state:
            self.state = state
            if state == PROCEEDING:
                # The next retransmission keeps its time; those after it come every T2.
                self._interval = self._timers.t2
            elif self._reliable:
                self.state = TERMINATED
                self.deadline = None
                return actions | END
            else:
                self.deadline = now + self._timers.t4
        return actions

    def tick(self, now: float) -> int:
        """The time is `now`; call at `deadline` or later."""
        if self.deadline is None or now < self.deadline:
            return 0
        state = self.state
        if state != COMPLETED and now < self._expire:
            self._interval = min(self._interval * 2, self._timers.t2)
            self.deadline = min(now + self._interval, self._expire)
            return self.TRANSITIONS[state, "timer E"][1]
        timer = "timer K" if state == COMPLETED else "timer F"
        self.state, actions = self.TRANSITIONS[state, timer]
        self.deadline = None
        return actions

    def fail(self) -> int:
        """The transport gave up."""
        state, actions = self.TRANSITIONS.get((self.state, "transport error"), (self.state, 0))
        self.state = state
        if actions:
            self.deadline = None
        return actions


class InviteServer:
    """INVITE server transaction (RFC 3261 figure 7, RFC 6026 figure 7)."""

    __slots__ = ("_expire", "_interval", "_reliable", "_timers", "deadline", "state")

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, int]]] = {
        (PROCEEDING, "INVITE"): (PROCEEDING, SEND),
        (PROCEEDING, "send 1xx"): (PROCEEDING, SEND),
        (PROCEEDING, "send 2xx"): (ACCEPTED, SEND),
        (PROCEEDING, "send 300-699"): (COMPLETED, SEND),
        (PROCEEDING, "transport error"): (TERMINATED, END),
        (ACCEPTED, "send 2xx"): (ACCEPTED, SEND),
        (ACCEPTED, "ACK"): (ACCEPTED, PASS),
        (ACCEPTED, "timer L"): (TERMINATED, END),
        (COMPLETED, "INVITE"): (COMPLETED, SEND),
        (COMPLETED, "ACK"): (CONFIRMED, 0),
        (COMPLETED, "timer G"): (COMPLETED, SEND),
        (COMPLETED, "timer H"): (TERMINATED, TIMEOUT | END),
        (COMPLETED, "transport error"): (TERMINATED, END),
        (CONFIRMED, "timer I"): (TERMINATED, END),
    }

    def __init__(self, timers: Timers, reliable: bool) -> None:
        self.state = PROCEEDING
        self._timers = timers
        self._reliable = reliable
        self._interval = timers.t1
        self._expire = 0.0
        self.deadline: float | None = None

    def receive(self, method: str, now: float) -> int:
        """An INVITE came again, or an ACK; returns what to do (0: nothing, it is absorbed)."""
        state, actions = self.TRANSITIONS.get((self.state, method), (self.state, 0))
        if state == CONFIRMED and self.state == COMPLETED:
            if self._reliable:
                self.state = TERMINATED
                self.deadline = None
                return END
            self.deadline = now + self._timers.t4
        self.state = state
        return actions

    def respond(self, status: int, now: float) -> int:
        """The user answers; SEND when the response may go out, 0 when it comes too late."""
        state, actions = self.TRANSITIONS.get((self.state, "send " + response_class(status)), (self.state, 0))
        if state != self.state:
            self.state = state
            self._expire = now + self._timers.lifetime
            if state == ACCEPTED or self._reliable:
                self.deadline = self._expire
            else:
                self.deadline = now + self._interval
        return actions

    def tick(self, now: float) -> int:
        """The time is `now`; call at `deadline` or later."""
        if self.deadline is None or now < self.deadline:
            return 0
        if self.state == COMPLETED and now < self._expire:
            self._interval = min(self._interval * 2, self._timers.t2)
            self.deadline = min(now + self._interval, self._expire)
            return self.TRANSITIONS[COMPLETED, "timer G"][1]
        timer = {ACCEPTED: "timer L", COMPLETED: "timer H", CONFIRMED: "timer I"}[self.state]
        self.state, actions = self.TRANSITIONS[self.state, timer]
        self.deadline = None
        return actions

    def fail(self) -> int:
        """The transport gave up."""
        state, actions = self.TRANSITIONS.get((self.state, "transport error"), (self.state, 0))
        self.state = state
        if actions:
            self.deadline = None
        return actions


class NonInviteServer:
    """Non-INVITE server transaction (RFC 3261 figure 8).

    No provisional response before T2 has passed (RFC 4320 section 4.1): the owner asks `may_trouble`.
    """

    __slots__ = ("_quiet_until", "_reliable", "_timers", "deadline", "state")

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, int]]] = {
        (TRYING, "request"): (TRYING, 0),
        (TRYING, "send 1xx"): (PROCEEDING, SEND),
        (TRYING, "send 2xx"): (COMPLETED, SEND),
        (TRYING, "send 300-699"): (COMPLETED, SEND),
        (PROCEEDING, "request"): (PROCEEDING, SEND),
        (PROCEEDING, "send 1xx"): (PROCEEDING, SEND),
        (PROCEEDING, "send 2xx"): (COMPLETED, SEND),
        (PROCEEDING, "send 300-699"): (COMPLETED, SEND),
        (PROCEEDING, "transport error"): (TERMINATED, END),
        (COMPLETED, "request"): (COMPLETED, SEND),
        (COMPLETED, "timer J"): (TERMINATED, END),
        (COMPLETED, "transport error"): (TERMINATED, END),
    }

    def __init__(self, timers: Timers, reliable: bool, now: float) -> None:
        self.state = TRYING
        self._timers = timers
        self._reliable = reliable
        self._quiet_until = 0.0 if reliable else now + timers.t2
        self.deadline: float | None = None

    def may_trouble(self, now: float) -> bool:
        """Whether a provisional response other than 100 is never, and a 100 now, in order (RFC 4320)."""
        return now >= self._quiet_until

    def receive(self, now: float) -> int:
        """The request came again."""
        return self.TRANSITIONS.get((self.state, "request"), (self.state, 0))[1]

    def respond(self, status: int, now: float) -> int:
        """The user answers; SEND when the response may go out, 0 when it comes too late."""
        state, actions = self.TRANSITIONS.get((self.state, "send " + response_class(status)), (self.state, 0))
        if state == COMPLETED and self.state != COMPLETED:
            if self._reliable:
                self.state = TERMINATED
                return actions | END
            self.deadline = now + self._timers.lifetime
        self.state = state
        return actions

    def tick(self, now: float) -> int:
        """The time is `now`; call at `deadline` or later."""
        if self.deadline is None or now < self.deadline:
            return 0
        self.state, actions = self.TRANSITIONS[COMPLETED, "timer J"]
        self.deadline = None
        return actions

    def fail(self) -> int:
        """The transport gave up."""
        state, actions = self.TRANSITIONS.get((self.state, "transport error"), (self.state, 0))
        self.state = state
        if actions:
            self.deadline = None
        return actions
