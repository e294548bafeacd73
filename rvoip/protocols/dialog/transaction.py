"""The four transaction machines (RFC 3261 section 17, with RFC 6026 for INVITE and RFC 4320).

Each machine is told the time in monotonic seconds and owns no message, socket or clock. An input
returns what its owner must do, as flags:

    SEND         send (again) the request, or the last response
    PASS         hand the message to the transaction user
    ACK          acknowledge the failure response (INVITE client)
    PROVISIONAL  answer 100, since the user has not answered yet (servers)
    TIMEOUT      tell the user that the peer is silent
    END          forget the transaction

`deadline` is when `tick` wants to be called next, None for never. The tables below are the figures of
the RFCs; docs/reference/transactions.md is drawn from them.
"""

from __future__ import annotations

from typing import ClassVar

from rvoip.protocols.dialog.timers import Timers

__all__ = [
    "ACK",
    "END",
    "PASS",
    "PROVISIONAL",
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
PROVISIONAL = 32

TRYING_AFTER = 0.2
"""Seconds after which an INVITE that is not answered gets a 100 (RFC 3261 section 17.2.1)."""

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

    __slots__ = ("_expire", "_interval", "_reliable", "_timers", "deadline", "state")

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
        self._expire = now + timers.lifetime
        self.deadline: float | None = self._expire if reliable else now + timers.t1

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

    def hush(self) -> None:
        """Stop timer A: nobody wants an answer any more. What was sent may be answered until timer B."""
        if self.state == CALLING:
            self.deadline = self._expire

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
    """INVITE server transaction (RFC 3261 figure 7, RFC 6026 figure 7).

    A response that cannot be sent changes nothing (RFC 6026 section 8.8).
    """

    __slots__ = ("_expire", "_interval", "_reliable", "_timers", "deadline", "state")

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, int]]] = {
        (PROCEEDING, "INVITE"): (PROCEEDING, SEND),
        (PROCEEDING, "200 ms"): (PROCEEDING, PROVISIONAL),
        (PROCEEDING, "send 1xx"): (PROCEEDING, SEND),
        (PROCEEDING, "send 2xx"): (ACCEPTED, SEND),
        (PROCEEDING, "send 300-699"): (COMPLETED, SEND),
        (ACCEPTED, "send 2xx"): (ACCEPTED, SEND),
        (ACCEPTED, "ACK"): (ACCEPTED, PASS),
        (ACCEPTED, "timer L"): (TERMINATED, END),
        (COMPLETED, "INVITE"): (COMPLETED, SEND),
        (COMPLETED, "ACK"): (CONFIRMED, 0),
        (COMPLETED, "timer G"): (COMPLETED, SEND),
        (COMPLETED, "timer H"): (TERMINATED, TIMEOUT | END),
        (CONFIRMED, "timer I"): (TERMINATED, END),
    }

    def __init__(self, timers: Timers, reliable: bool, now: float) -> None:
        self.state = PROCEEDING
        self._timers = timers
        self._reliable = reliable
        self._interval = timers.t1
        self._expire = 0.0
        self.deadline: float | None = now + TRYING_AFTER

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
        elif state == PROCEEDING:
            self.deadline = None  # the user answers at its leisure
        return actions

    def tick(self, now: float) -> int:
        """The time is `now`; call at `deadline` or later."""
        if self.deadline is None or now < self.deadline:
            return 0
        if self.state == COMPLETED and now < self._expire:
            self._interval = min(self._interval * 2, self._timers.t2)
            self.deadline = min(now + self._interval, self._expire)
            return self.TRANSITIONS[COMPLETED, "timer G"][1]
        self.deadline = None
        timer = {PROCEEDING: "200 ms", ACCEPTED: "timer L", COMPLETED: "timer H", CONFIRMED: "timer I"}
        self.state, actions = self.TRANSITIONS[self.state, timer[self.state]]
        return actions


class NonInviteServer:
    """Non-INVITE server transaction (RFC 3261 figure 8, RFC 4320).

    The only provisional response is a 100, when the client sends at T2 intervals, and it is not the user
    who gives it. Nobody waits for an answer any more after 64*T1, so the transaction ends without one.
    """

    __slots__ = ("_expire", "_reliable", "_timers", "deadline", "state")

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, int]]] = {
        (TRYING, "request"): (TRYING, 0),
        (TRYING, "timer E at T2"): (PROCEEDING, PROVISIONAL),
        (TRYING, "send 2xx"): (COMPLETED, SEND),
        (TRYING, "send 300-699"): (COMPLETED, SEND),
        (TRYING, "64*T1"): (TERMINATED, TIMEOUT | END),
        (PROCEEDING, "request"): (PROCEEDING, SEND),
        (PROCEEDING, "send 2xx"): (COMPLETED, SEND),
        (PROCEEDING, "send 300-699"): (COMPLETED, SEND),
        (PROCEEDING, "64*T1"): (TERMINATED, TIMEOUT | END),
        (COMPLETED, "request"): (COMPLETED, SEND),
        (COMPLETED, "timer J"): (TERMINATED, END),
    }

    def __init__(self, timers: Timers, reliable: bool, now: float) -> None:
        self.state = TRYING
        self._timers = timers
        self._reliable = reliable
        self._expire = now + timers.lifetime
        self.deadline: float | None = now + min(timers.patience, timers.lifetime)

    def receive(self, event: str, now: float) -> int:
        """The "request" came again; returns what to do (0: nothing, it is absorbed)."""
        return self.TRANSITIONS.get((self.state, event), (self.state, 0))[1]

    def respond(self, status: int, now: float) -> int:
        """The user answers; SEND when the response may go out, 0 when it comes too late or is a 1xx."""
        state, actions = self.TRANSITIONS.get((self.state, "send " + response_class(status)), (self.state, 0))
        if state != self.state:
            if self._reliable:
                self.state = TERMINATED
                self.deadline = None
                return actions | END
            self.state = state
            self.deadline = now + self._timers.lifetime
        return actions

    def tick(self, now: float) -> int:
        """The time is `now`; call at `deadline` or later."""
        if self.deadline is None or now < self.deadline:
            return 0
        if self.state == COMPLETED:
            timer = "timer J"
        else:
            timer = "64*T1" if now >= self._expire else "timer E at T2"
        self.state, actions = self.TRANSITIONS[self.state, timer]
        self.deadline = self._expire if self.state == PROCEEDING else None
        return actions
