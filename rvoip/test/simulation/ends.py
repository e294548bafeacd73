"""The two kinds of phone seen as one: what a simulation has them do, and what it asks of them afterwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.errors import DialogError
from rvoip.protocols.dialog.invite_server import ServerInvite
from rvoip.protocols.dialog.session_timer import TimerSettings
from rvoip.protocols.sip.message import Response
from rvoip.test.simulation.elements import DOMAIN, PASSWORD
from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.testing.memory_wire import Endpoint
from rvoip.testing.phone import Call, NoResponse, Phone
from rvoip.testing.softphone import SoftInvite, Softphone, SoftSession

__all__ = ["End", "PhoneEnd", "Placed", "SoftEnd"]

RING = 60.0
"""Seconds after which a phone that rings stops to, as phones do."""
SESSION = 90
"""Seconds within which a `SoftEnd` refreshes its calls: a call that is up at one end only lasts no longer."""

_SETTINGS = AgentSettings(ring=100.0, answer=RING, timer=TimerSettings(interval=SESSION))


class Placed:
    """A call as it was placed: `outcomes` has what its INVITE came to, which must be one thing."""

    def __init__(self, end: End, call_id: str, to: str) -> None:
        self.end = end
        self.call_id = call_id
        self.to = to
        self.outcomes: list[str] = []

    def __repr__(self) -> str:
        return f"call {self.call_id} from {self.end.name} to {self.to}: {self.outcomes}"


class End(ABC):
    """One phone; `fate` is what it does with calls: answer, later, early, busy, ring, silent or decline."""

    def __init__(self, name: str, aor: str, fate: str) -> None:
        self.name = name
        self.aor = aor
        self.fate = fate
        self.expires = 0
        self.placed: list[Placed] = []
        self.promises: dict[str, tuple[float, float]] = {}
        """By contact: when the REGISTER was sent that was acknowledged, and until when it binds at least."""
        self.registers = False
        """Whether a REGISTER is under way."""

    def __repr__(self) -> str:
        return f"{self.name} ({type(self).__name__}, {self.fate})"

    reactor: MemoryReactor
    contact: str

    async def register(self, expires: int) -> int:
        """Register; returns the status, 0 when no answer came. Keeps the promise that a 200 makes."""
        sent = self.reactor.seconds()
        self.registers = True
        if not expires:
            self.promises.clear()
        response = await self._register(expires)
        self.registers = False
        if response is None:
            return 0
        if response.status == 200 and expires:
            mine = [one for one in response.contacts if one.uri_text == self.contact]
            granted = int(mine[0].param("expires") or 0) if mine else 0
            self.promises[self.contact] = (sent, sent + granted)
        return response.status

    @abstractmethod
    async def _register(self, expires: int) -> Response | None:
        """The final response, None when there is none."""

    @abstractmethod
    def call(self, user: str, answered: Callable[[Any], object]) -> tuple[Placed, Callable[[], object]]:
        """Call; returns what comes of it, and what gives the call up."""

    @abstractmethod
    def up(self) -> Counter[str]:
        """How many calls are up here, by Call-ID."""

    def guarded(self, call_id: str) -> bool:
        """Whether a session timer will end what is up here of this Call-ID, should the other end be gone."""
        return False

    @abstractmethod
    def hang_up(self, call_id: str) -> None:
        """End the calls that are up of this Call-ID."""

    @abstractmethod
    def change(self, call_id: str) -> None:
        """Send a re-INVITE in the calls that are up of this Call-ID."""

    @abstractmethod
    def leftovers(self) -> list[str]:
        """What it remembers of calls, a line each."""

    @abstractmethod
    def problems(self) -> list[str]:
        """What was done to it that must not be."""

    @abstractmethod
    def finals(self, strict: bool) -> list[str]:
        """The INVITEs of ours that came to several ends, but for 2xx of several phones.

        With `strict`, also those that were answered in another way when the answer was repeated.
        """

    @abstractmethod
    def close(self) -> Deferred[Any]:
        """Close its sockets."""

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Do something later."""
        self.reactor.callLater(seconds, function)


class PhoneEnd(End):
    """A test phone: no session timer; what servers do wrong it tells in `problems`."""

    def __init__(
        self, reactor: MemoryReactor, name: str, aor: str, fate: str, server: Endpoint, **more: Any
    ) -> None:
        super().__init__(name, aor, fate)
        self.reactor = reactor
        self.phone = Phone(reactor, aor, server=server, password=PASSWORD, script=self._called, **more).open()
        self.contact = self.phone.contact

    async def _register(self, expires: int) -> Response | None:
        try:
            return await self.phone.register(expires)
        except NoResponse:
            return None

    def _called(self, call: Call) -> None:
        match self.fate:
            case "busy":
                call.reject(486)
            case "decline":
                call.reject(603)
            case "answer":
                call.ring()
                call.answer()
            case "silent":
                self.phone.after(RING, lambda: self._stop_ringing(call))
            case "early":
                call.ring(183, self.phone.sdp())
                self.phone.after(1.5, lambda: self._answer(call))
            case _:
                call.ring()
                if self.fate == "later":
                    self.phone.after(2.5, lambda: self._answer(call))
                else:
                    self.phone.after(RING, lambda: self._stop_ringing(call))

    @staticmethod
    def _answer(call: Call) -> None:
        if call.state == "ringing":
            call.answer()

    @staticmethod
    def _stop_ringing(call: Call) -> None:
        if call.state in ("calling", "ringing"):
            call.reject(480)

    def call(self, user: str, answered: Callable[[Any], object]) -> tuple[Placed, Callable[[], object]]:
        """Call; returns what comes of it, and what gives the call up."""
        call = self.phone.call(f"sip:{user}@{DOMAIN}")
        placed = Placed(self, call.call_id, user)
        self.placed.append(placed)

        async def follow() -> None:
            await call.until("up", "over", within=1000.0)
            placed.outcomes.append("accepted" if call.state == "up" else call.why)
            if call.state == "up":
                answered(call)

        self.phone.wait_for(follow())
        return placed, call.cancel

    def up(self) -> Counter[str]:
        """How many calls are up here, by Call-ID."""
        return Counter(call.call_id for call in self.phone.calls if call.state == "up")

    def hang_up(self, call_id: str) -> None:
        """End the calls that are up of this Call-ID."""
        for call in self.phone.calls:
            if call.call_id == call_id and call.state == "up":
                Deferred.fromCoroutine(call.bye()).addErrback(lambda failure: failure.trap(NoResponse))

    def change(self, call_id: str) -> None:
        """Send a re-INVITE in the calls that are up of this Call-ID."""
        for call in self.phone.calls:
            if call.call_id == call_id and call.state == "up":
                changed = Deferred.fromCoroutine(call.reinvite(self.phone.sdp("sendonly"), within=64.0))
                changed.addErrback(lambda failure: None)  # at a bad time, or to somebody who is gone

    def leftovers(self) -> list[str]:
        """What it remembers of calls, a line each."""
        found = [f"{one.request.method} client" for one in self.phone.client_transactions.values()]
        found += [f"{one.request.method} server" for one in self.phone.server_transactions.values()]
        return found + [repr(call) for call in self.phone.calls if call.state != "over"]

    def problems(self) -> list[str]:
        """What was done to it that must not be."""
        return list(self.phone.problems)

    def finals(self, strict: bool) -> list[str]:
        """See `End`."""
        found: dict[tuple[str, int], list[tuple[int, str | None]]] = {}
        for one in self.phone.messages:
            message = one.message
            if one.sent or not isinstance(message, Response) or message.status < 200:
                continue
            # An INVITE that is refused without state is looked at again when it comes again, and its
            # credentials, good for once, are asked for anew: that changes nothing for whoever has an answer.
            counts = one.new or (strict and message.status != 407)
            if message.cseq.method == "INVITE" and counts:
                answers = found.setdefault((message.call_id, message.cseq.number), [])
                answer = (message.status, message.to.tag)
                if one.new or answer not in answers:
                    answers.append(answer)
        return [
            f"INVITE {number} of {call_id} got {answers}"
            for (call_id, number), answers in found.items()
            if len(answers) != len(set(answers))
            or (len(answers) > 1 and any(status >= 300 for status, _ in answers))
        ]

    def close(self) -> Deferred[Any]:
        """Close."""
        return self.phone.close()


class SoftEnd(End):
    """A user agent of ours."""

    def __init__(
        self, reactor: MemoryReactor, name: str, aor: str, fate: str, server: Endpoint, **more: Any
    ) -> None:
        super().__init__(name, aor, fate)
        self.reactor = reactor
        self.phone = Softphone(
            reactor,
            aor,
            server=server,
            password=PASSWORD,
            script=self._called,
            settings=_SETTINGS,
            **more,
        ).open()
        self.contact = self.phone.contact
        self._chance = Random(f"{name} {more['seed']}")

    async def _register(self, expires: int) -> Response | None:
        try:
            return await self.phone.register(expires)
        except DialogError:
            return None

    def _called(self, invite: ServerInvite) -> None:
        match self.fate:
            case "busy":
                invite.reject(486)
            case "decline":
                invite.reject(603)
            case "silent":
                return
            case "early":
                lost = invite.progress(183, self._answer_body(invite))
                lost.addErrback(lambda failure: failure.trap(DialogError))
                self.later(1.5, lambda: self._answer(invite))
            case _:
                lost = invite.progress()
                lost.addErrback(lambda failure: failure.trap(DialogError))
                if self.fate == "answer":
                    self._answer(invite)
                elif self.fate == "later":
                    self.later(2.5, lambda: self._answer(invite))

    def _answer_body(self, invite: ServerInvite) -> Any:
        return self.phone.sdp() if invite.offer is not None else None

    def _answer(self, invite: ServerInvite) -> None:
        if not invite.answered:
            shown = invite.session.offer_answer
            invite.accept(None if shown.settled or shown.early else self.phone.sdp())

    def call(self, user: str, answered: Callable[[Any], object]) -> tuple[Placed, Callable[[], object]]:
        """Call; returns what comes of it, and what gives the call up."""
        offer = self._chance.random() < 0.7  # or the callee offers, and the ACK answers
        invite: SoftInvite = self.phone.call(f"sip:{user}@{DOMAIN}", offer)
        invite.answered = answered
        placed = Placed(self, invite.request.call_id, user)
        placed.outcomes = invite.outcomes
        self.placed.append(placed)
        return placed, invite.cancel

    def _sessions(self, call_id: str) -> list[SoftSession]:
        return [
            one
            for one in self.phone.sessions
            if one.dialog.call_id == call_id and one.ending is None and one.state == "confirmed"
        ]

    def guarded(self, call_id: str) -> bool:
        """See `End`."""
        return any(one.timer is not None and one.timer.state != "Off" for one in self._sessions(call_id))

    def up(self) -> Counter[str]:
        """How many calls are up here, by Call-ID."""
        return Counter(
            one.dialog.call_id
            for one in self.phone.sessions
            if one.ending is None and one.state == "confirmed"
        )

    def hang_up(self, call_id: str) -> None:
        """End the calls that are up of this Call-ID."""
        for session in self._sessions(call_id):
            session.bye()

    def change(self, call_id: str) -> None:
        """Send a re-INVITE in the calls that are up of this Call-ID."""
        for session in self._sessions(call_id):
            try:
                changed = session.reinvite(self.phone.sdp("sendonly"))
            except DialogError:
                continue
            changed.addErrback(lambda failure: failure.trap(DialogError))

    def leftovers(self) -> list[str]:
        """What it remembers of calls, a line each."""
        found = self.phone.leftovers()
        if self.phone.sockets.connections:
            found.append(f"{self.phone.sockets.connections} connections")
        return found

    def problems(self) -> list[str]:
        """Sessions that were not told once of their end."""
        return [
            f"{one!r} of {one.dialog.call_id} was told of {len(one.endings)} ends"
            for one in self.phone.sessions
            if len(one.endings) != (one.ending is not None)
        ]

    def finals(self, strict: bool) -> list[str]:
        """See `End`."""
        return [f"{one!r} came to {one.outcomes}" for one in self.phone.invites if len(one.outcomes) > 1]

    def close(self) -> Deferred[Any]:
        """Close."""
        return self.phone.close()
