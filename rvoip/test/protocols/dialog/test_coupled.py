"""Two legs coupled, as a B2BUA does it: what one end says, the other end hears, and answers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body, session_part
from rvoip.protocols.dialog.ending import Ending
from rvoip.protocols.dialog.errors import Refused, RequestRefused
from rvoip.protocols.dialog.session import Session
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.test.protocols.dialog.agents import (
    ANSWER,
    OFFER,
    SECOND_ANSWER,
    SECOND_OFFER,
    Agent,
    Called,
    Calling,
    End,
    Stage,
    Told,
)


class Leg(Told):
    """One side of a call; `other` is the other one."""

    other: Leg | None = None
    answered: Deferred[Body] | None = None

    def __init__(self, agent: Any, dialog: Any, invite: Any) -> None:
        super().__init__(agent, dialog, invite)
        if isinstance(invite, Out):
            invite.couple(self)

    async def offer_received(self, offer: Body, message: Message) -> Body:
        self.events.append("offer")
        other = self.other
        assert other is not None
        if isinstance(message, Response):
            # An offer that was asked for: the other side's answer is on its way back.
            self.answered = Deferred()
            other.take_offer(offer, message)
            return await self.answered
        if isinstance(message, Request) and message.method == "PRACK":
            # It goes on as the PRACK of the other side; the answer comes with the 200 to that.
            self.answered = Deferred()
            return await self.answered
        try:
            if isinstance(message, Request) and message.method == "UPDATE":
                response = await other.update(offer)
            else:
                response = await other.reinvite(offer)
        except RequestRefused as error:
            raise Refused(error.response.status, error.response.reason) from None
        found = session_part(response)
        assert found is not None
        return found

    def offer_wanted(self, request: Request) -> Deferred[Body]:
        assert self.other is not None
        self.wanted: Deferred[Body] = Deferred()
        self.other.reinvite().addErrback(self.refused)
        return self.wanted

    def refused(self, failure: Any) -> None:
        self.wanted.errback(Refused(failure.value.response.status))

    def take_offer(self, offer: Body, message: Response) -> None:
        """What the other side's peer offers in a response, for ours."""
        if self.state == "confirmed":
            self.wanted.callback(offer)
        elif message.status < 200:
            self.invite.progress(message.status, offer, reliable=True)
        else:
            self.invite.accept(offer)

    def answer_received(self, answer: Body, message: Message) -> None:
        super().answer_received(answer, message)
        other = self.other
        if other is not None and other.answered is not None:
            waiting, other.answered = other.answered, None
            waiting.callback(answer)

    def ended(self, ending: Ending) -> None:
        super().ended(ending)
        if self.other is not None and self.other.state == "confirmed":
            self.other.bye((("Reason", f"SIP;cause={ending.status}"),))


class In(Called):
    """The call that came."""

    out: Out

    def cancel_received(self, cancel: Request) -> None:
        self.out.cancel(tuple(("Reason", value) for value in cancel.get_all("reason")))


class Out(Calling):
    """The call that it makes."""

    came: In

    async def progressed(self, response: Response, session: Session | None) -> Any:
        self.events.append(f"{response.status}")
        reliable = response.has("rseq")
        body = session_part(response)
        if self.body is None and body is not None and reliable:
            return None  # `offer_received` passes it on
        prack = await self.came.progress(response.status, body, reliable=reliable)
        return None if prack is None else session_part(prack)

    def couple(self, session: Session) -> None:
        assert isinstance(session, Leg)
        leg = self.came.session
        assert isinstance(leg, Leg)
        leg.other, session.other = session, leg

    def accepted(self, session: Session) -> None:
        self.events.append("accepted")
        if not self.came.answered and session.offer_answer.settled:
            settled = self.came.session.offer_answer.settled
            self.came.accept(None if settled else session.offer_answer.remote)

    def failed(self, response: Response | None, reason: str) -> None:
        self.events.append(f"failed {reason}")
        self.came.reject(500 if response is None else response.status)


class Middle(Agent):
    """Takes a call, and makes one to Bob for it."""

    server_invite = In
    client_invite = Out
    session = Leg
    bob = ""

    def invite_received(self, invite: Any) -> None:
        out = Out(self, self.bob, from_=str(invite.request.from_).partition(";tag=")[0], body=invite.offer)
        out.came, invite.out = invite, out
        self.calls.append(out)
        out.start()

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.calls: list[Out] = []


class CoupledTests(SynchronousTestCase):
    """Alice calls Bob by way of the middle."""

    reliable = "supported"

    def setUp(self) -> None:
        settings = AgentSettings(reliable=self.reliable)
        self.stage = Stage(settings)
        self.middle = End(self.stage, "middle", "10.0.0.5", settings, None, Middle)
        self.middle.agent.bob = self.stage.bob.uri  # type: ignore[attr-defined]
        self.bob = self.stage.bob.agent

    def call(self, body: Body | None = OFFER) -> Any:
        invite = self.stage.call(body, self.middle.uri)
        self.stage.advance(1)
        return invite

    def both(self) -> tuple[Told, Told]:
        self.bob.script = lambda invite: invite.accept(ANSWER)
        invite = self.call()
        self.assertEqual(invite.events, ["accepted"])
        return invite.session, self.stage.bob.session

    def assert_over(self) -> None:
        self.assertEqual(self.stage.leftovers(), [])
        self.assertEqual(self.middle.leftovers(), [])

    def test_a_call(self) -> None:
        ours, theirs = self.both()
        self.assertEqual((theirs.invite.offer, ours.got), (OFFER, [ANSWER]))
        self.assertNotEqual(ours.dialog.call_id, theirs.dialog.call_id)
        ours.bye()
        self.stage.advance(1)
        self.assertEqual(theirs.events[-1], "ended 200 peer")
        assert theirs.ending is not None
        self.assertEqual(theirs.ending.reason, "SIP;cause=200")
        self.assert_over()

    def test_early_media_and_its_prack(self) -> None:
        """Bob's PRACK is Alice's: with her second offer, which he answers in the 200."""
        self.bob.script = lambda invite: invite.progress(183, ANSWER)
        self.bob.answer = SECOND_ANSWER
        invite = self.stage.call(OFFER, self.middle.uri)
        invite.prack_body = SECOND_OFFER
        self.stage.advance(1)
        theirs = self.stage.bob.session
        self.assertEqual(invite.events, ["183"])
        (ours,) = invite.sessions.values()
        if self.reliable == "supported":
            self.assertEqual((theirs.offers, ours.got), ([SECOND_OFFER], [ANSWER, SECOND_ANSWER]))
        else:
            self.assertEqual(ours.events, ["preview"])
        theirs.invite.accept()
        self.stage.advance(1)
        self.assertEqual(invite.events, ["183", "accepted"])
        self.assertEqual(ours.state, "confirmed")
        theirs.bye()
        self.assert_over()

    def test_delayed_offer(self) -> None:
        self.bob.script = lambda invite: invite.accept(OFFER)
        invite = self.call(None)
        self.assertEqual(invite.events, ["accepted"])
        self.assertEqual(invite.session.offers, [OFFER])
        self.assertEqual(self.stage.bob.session.got, [ANSWER])
        invite.session.bye()
        self.assert_over()

    def test_delayed_offer_in_a_183(self) -> None:
        self.bob.script = lambda invite: invite.progress(183, OFFER)
        invite = self.call(None)
        self.assertEqual(self.stage.bob.session.got, [ANSWER])
        self.stage.bob.session.invite.accept()
        self.stage.advance(1)
        self.assertEqual(invite.events, ["183", "accepted"])
        invite.session.bye()
        self.assert_over()

    def test_hold_both_ways(self) -> None:
        ours, theirs = self.both()
        for session, other in ((ours, theirs), (theirs, ours)):
            other.answers.append(SECOND_ANSWER)
            done = session.reinvite(SECOND_OFFER)
            self.stage.advance(1)
            self.assertEqual(self.successResultOf(done).status, 200)
            self.assertEqual((other.offers[-1], session.got[-1]), (SECOND_OFFER, SECOND_ANSWER))
            done = session.update(SECOND_OFFER)
            self.stage.advance(1)
            self.assertEqual(self.successResultOf(done).status, 200)

    def test_a_refused_reinvite(self) -> None:
        ours, theirs = self.both()

        async def refuse() -> Any:
            raise Refused(488)

        theirs.answers.append(refuse())
        done = ours.reinvite(SECOND_OFFER)
        self.stage.advance(1)
        self.assertEqual(self.failureResultOf(done, RequestRefused).value.response.status, 488)

    def test_a_reinvite_without_an_offer(self) -> None:
        ours, theirs = self.both()
        theirs.answers.append(SECOND_OFFER)
        self.stage.alice.agent.answer = SECOND_ANSWER
        done = ours.reinvite()
        self.stage.advance(1)
        self.assertEqual(self.successResultOf(done).status, 200)
        self.assertEqual((ours.offers[-1], theirs.got[-1]), (SECOND_OFFER, SECOND_ANSWER))

    def test_cancel(self) -> None:
        self.bob.script = lambda invite: invite.progress()
        invite = self.call()
        invite.cancel((("Reason", "SIP;cause=200"),))
        self.stage.advance(1)
        self.assertEqual(self.stage.bob.session.events, ["ended 487 peer"])
        called = self.bob.received[0]
        assert called.cancel is not None
        self.assertEqual(called.cancel.get("reason"), "SIP;cause=200")
        self.assert_over()

    def test_busy(self) -> None:
        self.bob.script = lambda invite: invite.reject(486)
        self.assertEqual(self.call().events, ["failed 486 Busy Here"])
        self.assert_over()


class WithoutReliable(CoupledTests):
    """The same where nobody acknowledges provisional responses."""

    reliable = "off"

    def test_delayed_offer_in_a_183(self) -> None:
        """An offer cannot be in one."""
