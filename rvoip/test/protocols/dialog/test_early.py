"""Before a call is answered: reliable responses, PRACK and UPDATE (RFC 3262, RFC 3311, RFC 6337)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.errors import Refused, WrongState
from rvoip.protocols.sip.message import Request, Response
from rvoip.test.protocols.dialog.agents import (
    ANSWER,
    OFFER,
    SECOND_ANSWER,
    SECOND_OFFER,
    Peer,
    Stage,
)


class Reliable(SynchronousTestCase):
    """Both ends are ours."""

    def test_an_answer_in_a_183(self) -> None:
        stage = Stage()
        acknowledged: list[Request | None] = []

        def ring(invite: Any) -> None:
            invite.progress(183, ANSWER).addCallback(acknowledged.append)

        stage.bob.agent.script = ring
        invite = stage.call()
        stage.advance(1)
        self.assertEqual(stage.flow(), ["> INVITE", "< 183 INVITE", "> PRACK", "< 200 PRACK"])
        (session,) = invite.sessions.values()
        self.assertEqual((session.got, session.offer_answer.settled), ([ANSWER], True))
        assert acknowledged[0] is not None
        self.assertEqual(acknowledged[0].method, "PRACK")
        stage.bob.agent.received[0].accept()
        stage.advance(1)
        self.assertEqual(stage.flow(), ["< 200 INVITE", "> ACK"])
        self.assertEqual(session.got, [ANSWER])
        self.assertIs(invite.session, session)
        session.bye()
        self.assertEqual(stage.leftovers(), [])

    def test_one_after_the_other(self) -> None:
        stage = Stage()

        async def ring(invite: Any) -> None:
            await invite.progress(180)
            await invite.progress(183, ANSWER)
            await invite.progress(180)
            invite.accept()

        stage.bob.agent.script = ring
        invite = stage.call()
        stage.advance(1)
        self.assertEqual(invite.events, ["180", "183", "180", "accepted"])
        self.assertEqual(stage.flow().count("> PRACK"), 3)

    def test_all_at_once(self) -> None:
        """The next waits for the PRACK of the first, the 2xx for that of the answer."""
        stage = Stage()

        def ring(invite: Any) -> None:
            invite.progress(180)
            invite.progress(183, ANSWER)
            invite.accept()

        stage.bob.agent.script = ring
        invite = stage.call()
        stage.advance(1)
        self.assertEqual(invite.events, ["180", "183", "accepted"])
        self.assertEqual(
            "|".join(stage.flow()),
            "> INVITE|< 180 INVITE|> PRACK|< 200 PRACK|< 183 INVITE|> PRACK|< 200 PRACK|< 200 INVITE|> ACK",
        )

    def test_lost(self) -> None:
        stage = Stage()
        stage.network.lose_if(lambda one: b"183" in one.data[:16] and stage.network.clock.seconds() < 3)
        stage.bob.agent.script = lambda invite: invite.progress(183, ANSWER)
        invite = stage.call()
        stage.advance(10)
        self.assertEqual(invite.events, ["183"])
        stage.bob.agent.received[0].reject(486)
        self.assertEqual(stage.leftovers(), [])

    def test_a_prack_that_never_comes(self) -> None:
        stage = Stage()
        stage.network.lose_if(lambda one: one.data.startswith(b"PRACK"))
        results: list[Request | None] = []
        stage.bob.agent.script = lambda invite: invite.progress(180).addCallback(results.append)
        invite = stage.call()
        stage.advance(33)
        self.assertEqual(invite.events[-1], "failed 504 Server Time-out")
        self.assertEqual(results, [None])
        self.assertEqual(stage.leftovers(), [])

    def accepted_without_prack(self) -> tuple[Stage, Any]:
        """A 2xx that waits for the PRACK of its answer, which gets lost."""
        stage = Stage()
        stage.network.lose_if(lambda one: one.data.startswith(b"PRACK"))

        def ring(invite: Any) -> None:
            invite.progress(183, ANSWER)
            invite.accept()

        stage.bob.agent.script = ring
        invite = stage.call()
        stage.advance(3)
        self.assertEqual((invite.events, stage.bob.session.events), (["183"], []))
        return stage, invite

    def test_a_2xx_that_waits_for_ever(self) -> None:
        stage, invite = self.accepted_without_prack()
        stage.advance(33)
        self.assertEqual(invite.events[-1], "failed 504 Server Time-out")
        self.assertEqual(stage.bob.session.events, ["ended 504 network"])
        self.assertEqual(stage.leftovers(), [])

    def test_cancelled_while_the_2xx_waits(self) -> None:
        stage, invite = self.accepted_without_prack()
        invite.cancel((("Reason", "SIP;cause=480"),))
        stage.advance(1)
        self.assertEqual(invite.events[-1], "failed 487 Request Terminated")
        self.assertEqual(stage.bob.session.events, ["ended 487 peer"])
        (called,) = stage.bob.agent.received
        assert called.cancel is not None
        self.assertEqual(called.cancel.get("reason"), "SIP;cause=480")
        self.assertEqual(stage.leftovers(), [])

    def test_the_prack_waits_for_the_hook(self) -> None:
        """As when one end of two passes on what the other end says."""
        stage = Stage()
        stage.bob.agent.script = lambda invite: invite.progress(183, ANSWER)
        wait: Deferred[Any] = Deferred()
        invite = stage.call()
        invite.prack_body = wait
        stage.advance(0.3)
        self.assertEqual(stage.flow(), ["> INVITE", "< 183 INVITE"])
        wait.callback(SECOND_OFFER)
        stage.advance(1)
        self.assertEqual(stage.flow(), ["> PRACK", "< 200 PRACK"])
        self.assertEqual(stage.bob.session.offers, [SECOND_OFFER])
        (session,) = invite.sessions.values()
        self.assertEqual(session.got, [ANSWER, ANSWER])
        self.assertEqual(session.offer_answer.local, SECOND_OFFER)

    def test_an_offer_in_a_183(self) -> None:
        """The INVITE has none; the answer goes with the PRACK."""
        stage = Stage()
        answered: list[Any] = []
        stage.bob.agent.script = lambda invite: invite.progress(183, OFFER).addCallback(answered.append)
        stage.call(body=None)
        stage.advance(1)
        self.assertEqual(stage.bob.session.got, [ANSWER])
        self.assertEqual(answered[0].body, ANSWER.content)
        stage.bob.agent.received[0].accept()
        stage.advance(1)
        self.assertEqual(stage.flow()[-2:], ["< 200 INVITE", "> ACK"])
        self.assertEqual(stage.alice.session.offers, [OFFER])

    def test_an_offer_in_a_183_that_is_not_acceptable(self) -> None:
        stage = Stage()

        async def refuse() -> Any:
            raise Refused(488)

        stage.alice.agent.answer = refuse()
        stage.bob.agent.script = lambda invite: invite.progress(183, OFFER)
        invite = stage.call(body=None)
        stage.advance(40)
        self.assertEqual(invite.events[-1], "failed 487 Request Terminated")
        self.assertEqual(stage.leftovers(), [])

    def test_update_before_the_answer(self) -> None:
        stage = Stage()
        stage.bob.agent.script = lambda invite: invite.progress(183, ANSWER)
        invite = stage.call()
        stage.advance(1)
        (ours,) = invite.sessions.values()
        theirs = stage.bob.session
        theirs.answers.append(SECOND_ANSWER)
        done = ours.update(SECOND_OFFER)
        stage.advance(1)
        self.successResultOf(done)
        self.assertEqual(ours.got, [ANSWER, SECOND_ANSWER])
        done = theirs.update(SECOND_OFFER)
        stage.advance(1)
        self.successResultOf(done)
        self.failureResultOf(ours.reinvite(SECOND_OFFER), WrongState)
        stage.bob.agent.received[0].accept()
        stage.advance(1)
        self.assertEqual(invite.events, ["183", "accepted"])

    def test_policies(self) -> None:
        off, supported, required = (AgentSettings(reliable=one) for one in ("off", "supported", "required"))
        for ours, theirs, pracks, ends in (
            (supported, off, 0, "accepted"),
            (off, supported, 0, "accepted"),
            (required, supported, 1, "accepted"),
            (supported, required, 1, "accepted"),
            # Told that it must, or must not, the caller tries again.
            (off, required, 1, "accepted"),
            (required, off, 0, "accepted"),
        ):
            stage = Stage(ours, theirs)

            def ring(invite: Any) -> None:
                invite.progress(180)
                invite.accept(ANSWER)

            stage.bob.agent.script = ring
            invite = stage.call()
            stage.advance(1)
            self.assertEqual(invite.events[-1], ends)
            self.assertEqual(stage.flow().count("> PRACK"), pracks)
            invite.session.bye()
            self.assertEqual(stage.leftovers(), [])

    def test_what_may_not_come_now(self) -> None:
        stage = Stage()
        stage.bob.agent.script = lambda invite: invite.progress(183, ANSWER)
        stage.call()
        stage.advance(1)
        (called,) = stage.bob.agent.received
        self.assertRaises(WrongState, called.progress, 183, SECOND_OFFER)
        called.reject(486)
        called.reject(487)
        self.assertRaises(WrongState, called.progress)


class Pracks(SynchronousTestCase):
    """PRACKs and reliable responses that the test writes."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.peer = Peer(self.stage)
        self.agent = self.stage.alice.agent

    def test_matching(self) -> None:
        self.peer.request("INVITE", body=OFFER, cseq=10, extra="Supported: 100rel\r\n")
        (invite,) = self.agent.received
        invite.progress(183, ANSWER)
        self.stage.advance(0.01)
        early = self.peer.one("183")
        self.assertEqual(early.option_tags("require"), ["100rel"])
        rseq = early.typed("rseq")
        dialog = invite.session.dialog
        for cseq, rack, status in (
            (11, f"{rseq + 1} 10 INVITE", 481),
            (12, f"{rseq} 9 INVITE", 481),
            (13, f"{rseq} 10 UPDATE", 481),
            (14, "x", 400),
            (15, f"{rseq} 10 INVITE", 200),
            (16, f"{rseq} 10 INVITE", 481),
        ):
            self.peer.within(dialog, "PRACK", cseq, extra=f"RAck: {rack}\r\n")
            self.assertEqual(self.peer.starts(), [f"{status} PRACK"], rack)
        self.peer.within(dialog, "PRACK", 17)
        self.peer.one("400")

    def test_a_late_prack_is_still_matched(self) -> None:
        self.peer.request("INVITE", body=OFFER, cseq=10, extra="Supported: 100rel\r\n")
        (invite,) = self.agent.received
        invite.progress(180)
        self.stage.advance(0.01)
        rseq = self.peer.one("180").typed("rseq")
        invite.accept(ANSWER)
        self.stage.advance(0.01)
        self.peer.one("200")
        self.peer.within(invite.session.dialog, "ACK", 10)
        self.peer.within(invite.session.dialog, "PRACK", 11, extra=f"RAck: {rseq} 10 INVITE\r\n")
        self.peer.one("200")

    def test_required_of_us(self) -> None:
        self.peer.request("INVITE", body=OFFER, extra="Require: 100rel\r\n")
        self.agent.received[0].progress(180, reliable=False)
        self.stage.advance(0.01)
        self.assertTrue(self.peer.one("180").has("rseq"))

    def test_ringing_that_would_have_to_have_an_offer(self) -> None:
        """The first reliable response to an INVITE without an offer has one (RFC 3262 section 5)."""
        for extra, sent in (("Require: 100rel\r\n", []), ("Supported: 100rel\r\n", ["180 INVITE"])):
            self.peer.request("INVITE", extra=extra)
            self.successResultOf(self.agent.received[-1].progress(180))
            self.stage.advance(0.01)
            self.assertEqual(self.peer.starts(), sent)
            self.agent.received[-1].progress(183, OFFER)
            self.stage.advance(0.01)
            self.assertTrue(self.peer.one("183").has("rseq"))

    def reliable(self, sent: Request, rseq: int, tag: str = "t1", status: int = 183, **more: Any) -> None:
        self.peer.answer(sent, status, tag, extra=f"Require: 100rel\r\nRSeq: {rseq}\r\n", **more)

    def test_order(self) -> None:
        """RFC 3262 section 4: each once, one after the other; what comes early is dropped."""
        invite = self.stage.call(OFFER, self.peer.uri)
        self.stage.advance(0.01)
        sent = self.peer.one("INVITE")
        for rseq, pracked in ((7, True), (7, False), (9, False), (8, True), (9, True), (6, False)):
            self.reliable(sent, rseq)
            pracks = [one for one in self.peer.take() if one.method == "PRACK"]
            self.assertEqual([one.get("rack") for one in pracks], [f"{rseq} 1 INVITE"] if pracked else [])
            for one in pracks:
                self.peer.answer(one, 200)
        self.assertEqual(invite.events, ["183"] * 3)

    def test_each_early_dialog_counts_for_itself(self) -> None:
        self.stage.call(OFFER, self.peer.uri)
        self.stage.advance(0.01)
        sent = self.peer.one("INVITE")
        for tag, rseq in (("a", 5), ("b", 90), ("a", 6), ("b", 91)):
            self.reliable(sent, rseq, tag)
            prack = self.peer.one("PRACK")
            self.assertEqual((prack.to.tag, prack.get("rack")), (tag, f"{rseq} 1 INVITE"))
            self.peer.answer(prack, 200)

    def test_a_refused_prack_ends_nothing(self) -> None:
        invite = self.stage.call(OFFER, self.peer.uri)
        self.stage.advance(0.01)
        sent = self.peer.one("INVITE")
        self.reliable(sent, 1)
        self.peer.answer(self.peer.one("PRACK"), 481)
        self.peer.answer(sent, 200, body=ANSWER)
        self.peer.one("ACK")
        self.assertEqual(invite.session.state, "confirmed")

    def test_a_bad_rseq_is_dropped(self) -> None:
        invite = self.stage.call(OFFER, self.peer.uri)
        self.stage.advance(0.01)
        sent = self.peer.one("INVITE")
        self.peer.answer(sent, 183, extra="Require: 100rel\r\nRSeq: x\r\n")
        self.assertEqual((self.peer.take(), invite.events), ([], []))

    def test_a_provisional_response_without_a_tag(self) -> None:
        invite = self.stage.call(OFFER, self.peer.uri)
        seen: list[tuple[Response, Any]] = []
        invite.progressed = lambda response, session: seen.append((response, session))
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("INVITE"), 181, "")
        self.assertEqual((seen[0][0].status, seen[0][1]), (181, None))
