"""Whole calls between two user agents."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.errors import Refused, RequestFailed, RequestRefused, WrongState
from rvoip.protocols.sip.message import Request, Response
from rvoip.test.protocols.dialog.agents import (
    ANSWER,
    OFFER,
    SECOND_ANSWER,
    SECOND_OFFER,
    Agent,
    Peer,
    Stage,
)

PLAIN = AgentSettings(reliable="off")


class BasicCalls(SynchronousTestCase):
    """RFC 3665 section 3, without a proxy."""

    def test_ring_answer_hang_up(self) -> None:
        stage = Stage(PLAIN)
        stage.bob.agent.script = lambda invite: invite.progress(180)
        invite = stage.call()
        stage.advance(1)
        (called,) = stage.bob.agent.received
        self.assertEqual(invite.events, ["180"])
        self.assertEqual(invite.sessions[called.session.dialog.local_tag].state, "early")
        self.assertEqual(called.offer, OFFER)
        called.accept(ANSWER)
        stage.advance(1)
        self.assertEqual(invite.events, ["180", "accepted"])
        self.assertEqual(invite.session.got, [ANSWER])
        self.assertEqual((invite.session.state, stage.bob.session.state), ("confirmed", "confirmed"))
        self.assertIn("established", stage.bob.session.events)
        self.assertEqual(stage.flow(), ["> INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK"])
        invite.session.bye()
        stage.advance(1)
        self.assertEqual(stage.flow(), ["> BYE", "< 200 BYE"])
        self.assertEqual(invite.session.events[-1], "ended 200 us")
        self.assertEqual(stage.bob.session.events[-1], "ended 200 peer")
        self.assertEqual(stage.leftovers(), [])

    def test_callee_hangs_up_with_a_reason(self) -> None:
        stage = Stage()
        ours, theirs = stage.established()
        theirs.bye((("Reason", "Q.850;cause=16"),))
        stage.advance(1)
        self.assertEqual(stage.flow(), ["< BYE", "> 200 BYE"])
        assert ours.ending is not None
        self.assertEqual(ours.ending.reason, "Q.850;cause=16")
        self.assertEqual(stage.leftovers(), [])

    def test_offer_in_the_2xx(self) -> None:
        stage = Stage()
        stage.bob.agent.script = lambda invite: invite.accept(OFFER)
        invite = stage.call(body=None)
        stage.advance(1)
        self.assertEqual(stage.flow(), ["> INVITE", "< 200 INVITE", "> ACK"])
        self.assertEqual(invite.session.offers, [OFFER])
        self.assertEqual(stage.bob.session.got, [ANSWER])

    def test_offer_in_the_2xx_is_answered_later(self) -> None:
        stage = Stage()
        stage.bob.agent.script = lambda invite: invite.accept(OFFER)
        answer: Deferred[Any] = Deferred()
        stage.alice.agent.answer = answer
        invite = stage.call(body=None)
        stage.advance(2)
        self.assertNotIn("> ACK", stage.flow())
        answer.callback(SECOND_ANSWER)
        stage.advance(0.01)
        self.assertEqual(stage.flow(), ["> ACK"])
        self.assertEqual(stage.bob.session.got, [SECOND_ANSWER])
        self.assertEqual(invite.session.state, "confirmed")
        stage.advance(40)
        self.assertEqual(stage.flow(), [])

    def test_offer_in_the_2xx_that_is_not_acceptable(self) -> None:
        stage = Stage()
        stage.bob.agent.script = lambda invite: invite.accept(OFFER)

        async def refuse() -> Any:
            raise Refused(488)

        stage.alice.agent.answer = refuse()
        invite = stage.call(body=None)
        stage.advance(1)
        # Bob misses the answer in the ACK, and hangs up too.
        self.assertEqual(stage.flow()[:5], ["> INVITE", "< 200 INVITE", "> ACK", "> BYE", "< BYE"])
        self.assertEqual(invite.session.events[-1], "ended 488 us")
        self.assertEqual(stage.leftovers(), [])

    def test_busy(self) -> None:
        stage = Stage()
        stage.bob.agent.script = lambda invite: invite.reject(486)
        invite = stage.call()
        stage.advance(1)
        self.assertEqual(stage.flow(), ["> INVITE", "< 486 INVITE", "> ACK"])
        self.assertEqual(invite.events, ["failed 486 Busy Here"])
        self.assertEqual(stage.bob.session.events, ["ended 486 us"])
        self.assertEqual(stage.leftovers(), [])

    def test_redirection(self) -> None:
        stage = Stage()
        stage.bob.agent.script = lambda invite: invite.redirect(["sip:carol@10.0.0.3"])
        invite = stage.call()
        seen: list[Response | None] = []
        invite.failed = lambda response, reason: seen.append(response)
        stage.advance(1)
        (response,) = seen
        assert response is not None
        self.assertEqual((response.status, response.contacts[0].uri_text), (302, "sip:carol@10.0.0.3"))

    def test_refused_by_the_hook(self) -> None:
        stage = Stage()

        def refuse(invite: Any) -> None:
            raise Refused(606, "Not Today", (("Warning", '399 rvoip "No"'),))

        stage.bob.agent.script = refuse
        invite = stage.call()
        stage.advance(1)
        self.assertEqual(invite.events, ["failed 606 Not Today"])
        self.assertEqual(stage.leftovers(), [])

    def test_a_hook_that_fails_is_a_500_and_one_event(self) -> None:
        for asynchronous in (False, True):
            stage = Stage()

            def fail(invite: Any) -> None:
                raise KeyError("oh")

            async def fail_later(invite: Any) -> None:
                raise KeyError("oh")

            stage.bob.agent.script = fail_later if asynchronous else fail
            invite = stage.call()
            stage.advance(1)
            self.assertEqual(invite.events, ["failed 500 Server Internal Error"])
            self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
            self.assertEqual(stage.leftovers(), [])

    def test_asynchronous_hook(self) -> None:
        stage = Stage()
        wait: Deferred[None] = Deferred()

        async def answer(invite: Any) -> None:
            invite.progress(180)
            await wait
            invite.accept(ANSWER)

        stage.bob.agent.script = answer
        invite = stage.call()
        stage.advance(1)
        self.assertEqual(invite.events, ["180"])
        wait.callback(None)
        stage.advance(1)
        self.assertEqual(invite.events, ["180", "accepted"])

    def test_by_default_nobody_is_there(self) -> None:
        from rvoip.protocols.dialog.agent import UserAgent

        class Plain(Agent):
            invite_received = UserAgent.invite_received

        stage = Stage(agent_class=Plain)
        invite = stage.call()
        stage.advance(1)
        self.assertEqual(invite.events, ["failed 480 Temporarily Unavailable"])

    def test_nobody_answers(self) -> None:
        stage = Stage()
        invite = stage.call(uri="sip:nobody@10.0.0.77")
        stage.advance(40)
        self.assertEqual(invite.events, ["failed timeout"])
        self.assertEqual(stage.leftovers(), [])

    def test_no_target(self) -> None:
        stage = Stage()
        invite = stage.call(uri="sip:nobody@nowhere.test")
        self.assertEqual(invite.events, ["failed no target: there is no nowhere.test"])
        self.assertEqual(stage.leftovers(), [])

    def test_ringing_for_too_long(self) -> None:
        stage = Stage(AgentSettings(ring=20, reliable="off"))
        stage.bob.agent.script = lambda invite: invite.progress()
        invite = stage.call()
        stage.advance(25)
        self.assertEqual(invite.events, ["180", "failed 487 Request Terminated"])
        (called,) = stage.bob.agent.received
        assert called.cancel is not None
        self.assertIn("cause=408", called.cancel.get("reason") or "")
        self.assertEqual(stage.leftovers(), [])

    def test_a_call_that_rings_is_shown_again_each_minute(self) -> None:
        stage = Stage(PLAIN)
        stage.bob.agent.script = lambda invite: invite.progress(183)
        stage.call()
        stage.advance(1)
        stage.take()
        stage.advance(120.5)
        self.assertEqual(stage.flow(), ["< 183 INVITE"] * 2)

    def test_expires(self) -> None:
        stage = Stage(PLAIN)
        stage.bob.agent.script = lambda invite: invite.progress()
        invite = stage.call(headers=(("Expires", "10"),))
        stage.advance(11)
        self.assertEqual(invite.events, ["180", "failed 487 Request Terminated"])
        self.assertEqual(stage.leftovers(), [])

    def test_large_offers_go_over_tcp(self) -> None:
        from rvoip.protocols.dialog.body import Body

        stage = Stage()
        stage.bob.agent.script = lambda invite: invite.accept(ANSWER)
        invite = stage.call(body=Body(b"v=0\r\n" + b"a=x\r\n" * 400))
        stage.advance(1)
        self.assertEqual(invite.events, ["accepted"])
        self.assertEqual(invite.session.dialog.flow.transport, "TCP")
        self.assertEqual(stage.bob.session.state, "confirmed")
        invite.session.bye()
        stage.advance(1)
        self.assertEqual(stage.bob.session.events[-1], "ended 200 peer")


class Cancelled(SynchronousTestCase):
    """RFC 3261 sections 9 and 15."""

    def test_cancel(self) -> None:
        stage = Stage(PLAIN)
        stage.bob.agent.script = lambda invite: invite.progress()
        invite = stage.call()
        stage.advance(1)
        invite.cancel((("Reason", "SIP;cause=200"),))
        stage.advance(1)
        self.assertEqual(
            stage.flow(),
            ["> INVITE", "< 180 INVITE", "> CANCEL", "< 200 CANCEL", "< 487 INVITE", "> ACK"],
        )
        self.assertEqual(invite.events, ["180", "failed 487 Request Terminated"])
        (called,) = stage.bob.agent.received
        assert called.cancel is not None
        self.assertEqual(called.cancel.get("reason"), "SIP;cause=200")
        self.assertEqual(stage.bob.session.events, ["ended 487 peer"])
        self.assertRaises(WrongState, called.accept, ANSWER)
        self.assertRaises(WrongState, called.progress)
        self.assertEqual(stage.leftovers(), [])

    def test_cancel_before_anything_came(self) -> None:
        stage = Stage(PLAIN)
        stage.network.link("alice", "bob", delay=(0.3, 0.3))
        stage.bob.agent.script = lambda invite: invite.progress()
        invite = stage.call()
        invite.cancel()
        stage.advance(3)
        self.assertEqual(invite.events, ["failed 487 Request Terminated"])
        self.assertEqual(stage.leftovers(), [])

    def test_a_2xx_crosses_the_cancel(self) -> None:
        stage = Stage(PLAIN)
        stage.bob.agent.script = lambda invite: invite.progress()
        invite = stage.call()
        stage.advance(1)
        stage.network.link("alice", "bob", delay=(0.1, 0.1))
        stage.bob.agent.received[0].accept(ANSWER)
        invite.cancel()
        stage.advance(2)
        self.assertEqual(invite.events, ["180", "failed cancelled"])
        self.assertEqual(
            sorted(stage.flow()),
            sorted(
                "> INVITE|< 180 INVITE|> CANCEL|< 200 INVITE|< 200 CANCEL|> ACK|> BYE|< 200 BYE".split("|")
            ),
        )
        self.assertEqual(stage.bob.session.events[-1], "ended 200 peer")
        self.assertEqual(stage.leftovers(), [])

    def test_hanging_up_what_rings_here_rejects_it(self) -> None:
        stage = Stage(PLAIN)
        stage.bob.agent.script = lambda invite: invite.progress()
        invite = stage.call()
        stage.advance(1)
        stage.bob.session.bye()
        stage.advance(1)
        self.assertEqual(invite.events, ["180", "failed 480 Temporarily Unavailable"])
        self.assertEqual(stage.leftovers(), [])

    def test_a_bye_waits_for_the_ack(self) -> None:
        stage = Stage(PLAIN)
        stage.network.lose_if(lambda one: one.data.startswith(b"ACK") and stage.network.clock.seconds() < 2)
        stage.bob.agent.script = lambda invite: invite.accept(ANSWER)
        stage.call()
        stage.advance(0.1)
        stage.bob.session.bye()
        stage.bob.session.bye()
        stage.advance(0.1)
        self.assertNotIn("< BYE", stage.flow())
        stage.advance(5)
        self.assertEqual(stage.flow()[-2:], ["< BYE", "> 200 BYE"])
        self.assertEqual(stage.leftovers(), [])

    def test_close_ends_all(self) -> None:
        stage = Stage(PLAIN)
        stage.established()
        stage.bob.agent.script = lambda invite: invite.progress()
        stage.call()
        stage.advance(1)
        silent = stage.call(uri="sip:nobody@10.0.0.77")
        stage.take()
        stage.alice.agent.close((("Reason", "SIP;cause=503"),))
        stage.advance(1)
        self.assertEqual(len(stage.alice.agent), 0)
        self.assertEqual(len(stage.bob.agent), 0)
        shown = stage.flow()
        self.assertEqual((shown.count("> BYE"), shown.count("> CANCEL")), (1, 1))
        self.assertEqual(stage.leftovers(), [])
        self.assertEqual(silent.events, ["failed timeout"])

    def test_close_refuses_what_rings_here(self) -> None:
        stage = Stage(PLAIN)
        invite = stage.call()
        stage.advance(1)
        stage.bob.agent.close()
        stage.advance(1)
        self.assertEqual(invite.events, ["failed 503 Service Unavailable"])
        self.assertEqual(stage.leftovers(), [])


class LateAcknowledgements(SynchronousTestCase):
    """Phones that take a re-INVITE before they have heard the ACK to their 2xx."""

    def test_the_first_2xx_comes_again_after_a_reinvite(self) -> None:
        """It gets the ACK of its own INVITE once more, and the call stands."""
        stage = Stage(PLAIN)
        peer = Peer(stage)
        invite = stage.call(uri=peer.uri)
        stage.advance(0.1)
        first = peer.one("INVITE")
        peer.answer(first, 200, body=ANSWER)
        self.assertEqual(peer.one("ACK").cseq.number, 1)
        invite.session.reinvite(SECOND_OFFER)
        stage.advance(0.1)
        second = peer.one("INVITE")
        peer.answer(second, 200, body=SECOND_ANSWER)
        self.assertEqual(peer.one("ACK").cseq.number, 2)
        for again, number in ((first, 1), (second, 2), (first, 1)):
            peer.answer(again, 200, body=ANSWER)
            self.assertEqual(peer.one("ACK").cseq.number, number)
        self.assertEqual(invite.session.state, "confirmed")


class Changes(SynchronousTestCase):
    """Re-INVITE and UPDATE, and what crosses (RFC 3261 section 14, RFC 3311)."""

    def test_hold_by_either_side(self) -> None:
        stage = Stage(PLAIN)
        ours, theirs = stage.established()
        for session, other in ((ours, theirs), (theirs, ours)):
            other.answers.append(SECOND_ANSWER)
            done = session.reinvite(SECOND_OFFER)
            stage.advance(1)
            self.assertEqual(self.successResultOf(done).status, 200)
            self.assertEqual(session.got[-1], SECOND_ANSWER)
            self.assertEqual(other.offers[-1], SECOND_OFFER)
            self.assertEqual(session.offer_answer.remote, SECOND_ANSWER)
            self.assertEqual(other.offer_answer.local, SECOND_ANSWER)
            self.assertEqual([one[2:] for one in stage.flow()], ["INVITE", "200 INVITE", "ACK"])
        self.assertEqual(ours.events.count("established"), 1)
        ours.bye()
        self.assertEqual(stage.leftovers(), [])

    def test_offer_wanted(self) -> None:
        stage = Stage(PLAIN)
        ours, theirs = stage.established()
        done = ours.reinvite()
        stage.advance(1)
        self.assertEqual(self.successResultOf(done).status, 200)
        self.assertEqual(ours.offers, [ANSWER])
        self.assertEqual(theirs.got, [ANSWER])

    def test_a_reinvite_that_is_refused_leaves_all_as_it_was(self) -> None:
        stage = Stage(PLAIN)
        ours, theirs = stage.established()

        async def refuse() -> Any:
            raise Refused(488)

        theirs.answers.append(refuse())
        done = ours.reinvite(SECOND_OFFER)
        stage.advance(1)
        self.assertEqual(self.failureResultOf(done, RequestRefused).value.response.status, 488)
        self.assertEqual(ours.offer_answer.local, OFFER)
        self.assertEqual((ours.state, theirs.state), ("confirmed", "confirmed"))
        done = theirs.reinvite(SECOND_OFFER)
        stage.advance(1)
        self.assertEqual(self.successResultOf(done).status, 200)

    def test_glare(self) -> None:
        stage = Stage(PLAIN)
        stage.network.link("alice", "bob", delay=(0.05, 0.05))
        ours, theirs = stage.established()
        first, second = ours.reinvite(SECOND_OFFER), theirs.reinvite(SECOND_OFFER)
        stage.advance(10)
        self.assertEqual(self.successResultOf(first).status, 200)
        self.assertEqual(self.successResultOf(second).status, 200)
        starts = stage.flow()
        self.assertEqual((starts.count("> 491 INVITE"), starts.count("< 491 INVITE")), (1, 1))
        ours.bye()
        self.assertEqual(stage.leftovers(), [])

    def test_one_at_a_time(self) -> None:
        stage = Stage(PLAIN)
        ours, theirs = stage.established()
        wait: Deferred[Any] = Deferred()
        theirs.answers.append(wait)
        first = ours.reinvite(SECOND_OFFER)
        self.failureResultOf(ours.reinvite(SECOND_OFFER), WrongState)
        self.failureResultOf(ours.update(SECOND_OFFER), WrongState)
        stage.advance(1)
        self.failureResultOf(theirs.reinvite(SECOND_OFFER), WrongState)
        wait.callback(SECOND_ANSWER)
        stage.advance(1)
        self.successResultOf(first)

    def test_a_bye_while_a_reinvite_is_open(self) -> None:
        for who in ("alice", "bob"):
            stage = Stage(PLAIN)
            ours, theirs = stage.established()
            wait: Deferred[Any] = Deferred()
            theirs.answers.append(wait)
            done = ours.reinvite(SECOND_OFFER)
            stage.advance(1)
            (ours if who == "alice" else theirs).bye()
            stage.advance(1)
            self.failureResultOf(done, RequestFailed, RequestRefused)
            self.assertIn("< 487 INVITE", stage.flow())
            wait.callback(SECOND_ANSWER)
            self.assertEqual(stage.leftovers(), [])

    def test_update(self) -> None:
        stage = Stage(PLAIN)
        ours, theirs = stage.established()
        theirs.answers.append(SECOND_ANSWER)
        done = ours.update(SECOND_OFFER)
        stage.advance(1)
        self.successResultOf(done)
        self.assertEqual(stage.flow(), ["> UPDATE", "< 200 UPDATE"])
        self.assertEqual(ours.got[-1], SECOND_ANSWER)
        done = theirs.update()
        stage.advance(1)
        self.assertEqual(self.successResultOf(done).status, 200)
        self.assertEqual(ours.offers, [])

    def test_updates_cross(self) -> None:
        stage = Stage(PLAIN)
        stage.network.link("alice", "bob", delay=(0.05, 0.05))
        ours, theirs = stage.established()
        first, second = ours.update(SECOND_OFFER), theirs.update(SECOND_OFFER)
        stage.advance(10)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertIn("> 491 UPDATE", stage.flow())

    def test_the_target_moves(self) -> None:
        stage = Stage(PLAIN)
        ours, theirs = stage.established()
        stage.alice.agent.contact = lambda flow, dialog, message: "<sip:moved@10.0.0.1:5060>"  # type: ignore[method-assign]
        ours.update()
        stage.advance(1)
        self.assertEqual(theirs.dialog.remote_target, "sip:moved@10.0.0.1:5060")
        stage.take()
        theirs.bye()
        stage.advance(1)
        bye = stage.take()[0]
        assert isinstance(bye, Request)
        self.assertEqual(bye.uri_text, "sip:moved@10.0.0.1:5060")
