"""What stands before the parser while the server has more to do than it can: in-dialog requests go first.

Responses and what belongs to a call or transaction pass at once; new requests wait in a `WaitingRoom` until
nothing of that is left, and those that would wait too long get a 503 from their octets. Without overload
there is no gate.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.address import salvage_via
from rvoip.protocols.sip.errors import SIPError
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Address, Flow
from rvoip.protocols.transport.intake import AMPLIFICATION, Hooks, Intake
from rvoip.services.glance import (
    Top,
    ack_tag,
    call_id,
    has_credentials,
    in_dialog,
    method,
    refuse,
    top_via,
    user_agent,
)
from rvoip.services.waiting_room import Kind, WaitingRoom

__all__ = ["Gate"]

SLICE: Final = 0.005
"""Seconds of new work between two looks for what goes first, as long as dense traffic may be gathered."""

REST: Final = 1.0
"""Seconds without anything that waits after which the overload is over."""

_KINDS: Final = {
    b"INVITE": Kind.CALL,
    b"REGISTER": Kind.WORK,
    b"SUBSCRIBE": Kind.WORK,
    b"MESSAGE": Kind.WORK,
    b"PUBLISH": Kind.WORK,
    b"OPTIONS": Kind.QUESTION,
    b"REFER": Kind.QUESTION,
    b"NOTIFY": Kind.QUESTION,
    b"CANCEL": Kind.LAST,
}
"""Methods that can begin something. All others are a part of what was begun."""

_EMERGENCY: Final = b"INVITE urn:service:sos"
"""How an emergency call begins (RFC 5031)."""

_Waiting = tuple[bytes, Address, Flow, Hooks]

_log = Logger(__name__)


class Gate:
    """`Intake.door` while there is overload, which `behind` says.

    `clock` is the reactor; `held` gathers what is sent while it is entered; `random` gives a number
    below 1: Retry-After is 5 to 30 seconds, so that the refused do not all come back at once.
    """

    def __init__(
        self,
        clock: Any,
        intake: Intake,
        transactions: TransactionLayer,
        held: Callable[[], AbstractContextManager[object]],
        random: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._now: Callable[[], float] = clock.seconds
        self._intake = intake
        self._transactions = transactions
        self._held = held
        self._random = random
        self._room: WaitingRoom[_Waiting] = WaitingRoom(self._now())
        self._work_call: IDelayedCall | None = None
        self._look_call: IDelayedCall | None = None
        self._more = False  # the last reading left something in a socket
        self._busy = False  # something had to wait since the last look
        self.overloads = 0
        """How often there was more to do than could be done."""
        self.refused = 0
        """Requests that got a 503."""
        self.passes: Callable[[str, Flow], bool] = lambda agent, flow: True
        """Whether a sender is answered at all, by its User-Agent and flow."""
        self._refused_before = 0
        self._told = False

    @property
    def closed(self) -> bool:
        """Whether new requests have to wait."""
        return self._look_call is not None

    @property
    def waiting(self) -> int:
        """How many do."""
        return len(self._room)

    def behind(self) -> None:
        """A socket was read, and there is more in it; or the reactor is late for other reasons."""
        self._more = self._busy = True
        if self._look_call is None:
            self.overloads += 1
            self._refused_before, self._told = self.refused, False
            self._room = WaitingRoom(self._now())
            self._intake.door = self.admit
            self._look_call = self._clock.callLater(REST, self._look)

    def stop(self) -> None:
        """Leave, and let those in that wait."""
        for call in (self._look_call, self._work_call):
            if call is not None:
                call.cancel()
        self._look_call = self._work_call = None
        self._intake.door = None
        while self._room:
            self._let_in(*self._room.take()[1])

    def _look(self) -> None:
        self._look_call = None
        if self._busy or self._room:
            self._busy = False
            self._look_call = self._clock.callLater(REST, self._look)
        else:
            self._intake.door = None
            if self._told:
                count = self.refused - self._refused_before
                _log.info("No longer overloaded: {count} requests were refused", count=count)

    def admit(self, data: bytes, source: Address, flow: Flow, hooks: Hooks) -> bool:
        """Take over a message; False lets it pass at once."""
        name = method(data)
        if name == b"ACK":
            return self._absorbs(data)
        kind = _KINDS.get(name)
        if kind is None:
            return False
        if kind is Kind.LAST:
            if not self._room:
                return False
        elif in_dialog(data) or data.startswith(_EMERGENCY):
            return False
        top = top_via(data)
        if top is not None and self._transactions.knows(top.key + name.decode("ascii")):
            return False  # it comes again, and was taken
        if (kind is Kind.CALL or kind is Kind.WORK) and has_credentials(data):
            kind = Kind.ANSWER
        if not self._room.offer(kind, (data, source, flow, hooks), self._now()):
            self._busy = True
            self._refuse(name, top, data, source, flow, hooks)
        elif self._work_call is None:
            self._work_call = self._clock.callLater(0, self._work)
        return True

    def _absorbs(self, data: bytes) -> bool:
        """Whether this is the ACK of an answer that left no state: with it all is over."""
        top, name = top_via(data), call_id(data)
        transactions = self._transactions
        if top is None or name is None or ack_tag(data) != transactions.tag_of(top.branch, name):
            return False
        if transactions.knows(f"{top.key}INVITE"):
            return False
        transactions.requests["ACK"] += 1
        return True

    def _refuse(
        self, name: bytes, top: Top | None, data: bytes, source: Address, flow: Flow, hooks: Hooks
    ) -> None:
        if not self._told:
            self._told = True
            _log.warn("Overloaded: new requests that would wait too long are refused with 503")
        if not self.passes(user_agent(data), flow):
            self._intake.counters.drop("screened")
            return
        self.refused += 1
        seconds = 5 + int(self._random() * 26)
        transactions = self._transactions
        refusal = None if top is None else refuse(data, top, source, transactions.tag_of, seconds)
        if top is None or refusal is None or len(refusal) > AMPLIFICATION * len(data):
            before, transactions.admit = transactions.admit, lambda request: seconds
            try:
                self._intake.process(data, flow, hooks)
            finally:
                transactions.admit = before
            return
        transactions.requests[name.decode("ascii")] += 1
        transactions.shed += 1
        try:
            back = flow if top.rport or flow.reliable else flow.reply_flow(salvage_via(top.text))
            back.send(refusal)
        except (FlowError, SIPError):
            transactions.unsent += 1
        else:
            transactions.responses_sent[5] += 1

    def _work(self) -> None:
        """Let some in; of what came meanwhile that goes first is read before the next ones."""
        self._work_call = None
        room, now = self._room, self._now
        # While a socket holds more there are few: a flood that takes all the time must not keep all out.
        until = now() + (SLICE / 5 if self._more else SLICE)
        self._more = False
        turns = 0
        after = now()
        with self._held():
            while room:
                began = after
                kind, waiting = room.take()
                invites = self._transactions.servers
                self._let_in(*waiting)
                turns += 1
                after = now()
                if kind is Kind.CALL and self._transactions.servers > invites:
                    room.charge(min(after - began, SLICE))  # more is a pause, and not the INVITE's
                if after >= until:
                    break
        room.worked(turns, after)
        if room:
            self._busy = True
            self._work_call = self._clock.callLater(0, self._work)

    def _let_in(self, data: bytes, source: Address, flow: Flow, hooks: Hooks) -> None:
        intake = self._intake
        try:
            if flow.transport == "UDP" and intake.early is not None and intake.early(data, source, flow):
                return
            intake.process(data, flow, hooks)
        except Exception:
            _log.failure("A request that waited could not be processed")
