"""Connects two phones: `click_to_call.connect("sip:alice@10.0.0.1", "sip:bob@10.0.0.2")`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from rvoip.protocols.dialog.agent import UserAgent
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.ending import Ending
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.invite_client import ClientInvite
from rvoip.protocols.dialog.session import Session
from rvoip.protocols.sip.message import Message, Response

US = "Click to call <sip:click@example.test>"


class Leg(Session):
    """One of the two calls. Each hangs up the other."""

    other: Session | None = None

    async def offer_received(self, offer: Body, message: Message) -> Any:
        """The first phone is picked up: its offer goes to the second, whose answer goes with the ACK."""
        if isinstance(message, Response):
            return await self.invite.second(self, offer)
        raise Refused(488)

    def ended(self, ending: Ending) -> None:
        if self.other is not None:
            self.other.bye()
        elif isinstance(self.invite, First) and self.invite.call is not None:
            self.invite.call.cancel()


class First(ClientInvite):
    """The call to the first phone. It has no offer: the phone makes one when it is picked up."""

    to_call = ""
    call: ClientInvite | None = None

    def second(self, leg: Leg, offer: Body) -> Deferred[Body]:
        """Call the second phone with the offer of the first."""
        self.call = call = Second(self.agent, self.to_call, from_=US, body=offer)
        call.first = leg
        call.start()
        return call.answer


class Second(ClientInvite):
    """The call to the second phone."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.answer: Deferred[Body] = Deferred()
        self.first: Leg

    def accepted(self, session: Session) -> None:
        answer = session.offer_answer.remote
        if self.first.ending is None and isinstance(session, Leg) and answer is not None:
            self.first.other, session.other = session, self.first
            self.answer.callback(answer)
        else:
            session.bye()

    def failed(self, response: Response | None, reason: str) -> None:
        if not self.answer.called:
            self.answer.errback(Refused(480 if response is None else response.status))


class ClickToCall(UserAgent):
    """A user agent that calls two others and leaves them to talk (RFC 3725 section 4.1)."""

    session = Leg

    def connect(self, one: str, other: str) -> ClientInvite:
        """Call `one`, and when it is picked up `other`."""
        call = First(self, one, from_=US)
        call.to_call = other
        call.start()
        return call
