"""Changes of a session, and what may become of them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.errors import RequestFailed, RequestRefused, WrongState
from rvoip.protocols.sip.message import Request
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, SECOND_ANSWER, SECOND_OFFER, Peer, Stage, Told
from rvoip.test.protocols.dialog.with_peer import WithPeer


class Changed(WithPeer):
    """Re-INVITEs and UPDATEs of ours, and what may come of them."""

    def change(self, method: str = "INVITE", body: Body | None = SECOND_OFFER) -> tuple[Told, Any, Request]:
        session, _ = self.established()
        done = session.reinvite(body) if method == "INVITE" else session.update(body)
        self.stage.advance(0.01)
        return session, done, self.peer.one(method)

    def test_a_provisional_response(self) -> None:
        """Reliable ones are acknowledged, and what they answer counts; the 2xx need not say it again."""
        session, done, sent = self.change()
        self.peer.answer(sent, 100)
        self.peer.answer(sent, 180)
        reliable = "Require: 100rel\r\nRSeq: 1\r\n"
        self.peer.answer(sent, 183, extra=reliable, body=SECOND_ANSWER, contact="sip:moved@10.0.0.9")
        prack = self.peer.one("PRACK")
        self.assertEqual(prack.uri_text, "sip:moved@10.0.0.9")
        self.peer.answer(sent, 183, extra=reliable, body=SECOND_ANSWER)
        self.assertEqual(self.peer.starts(), [])
        self.peer.answer(prack, 200)
        self.assertEqual(session.got[-1], SECOND_ANSWER)
        self.peer.answer(sent, 200)
        self.assertEqual(self.peer.starts(), ["ACK"])
        self.assertEqual(self.successResultOf(done).status, 200)

    def test_a_2xx_that_comes_again(self) -> None:
        _, done, sent = self.change()
        for _ in range(3):
            self.peer.answer(sent, 200, body=SECOND_ANSWER)
        self.assertEqual(self.peer.starts(), ["ACK"] * 3)
        self.successResultOf(done)

    def test_a_2xx_after_our_bye(self) -> None:
        session, done, sent = self.change()
        session.bye()
        self.stage.advance(0.01)
        self.failureResultOf(done, RequestFailed)
        self.peer.answer(self.peer.one("BYE"), 200)
        self.peer.answer(sent, 200, body=SECOND_ANSWER)
        self.assertEqual(self.peer.starts(), ["ACK"])
        self.assert_nothing_left()

    def test_answers_that_are_missing(self) -> None:
        session, done, sent = self.change("UPDATE")
        self.peer.answer(sent, 200)
        self.assertEqual(self.failureResultOf(done, RequestFailed).value.reason, "no answer to the offer")
        self.assertEqual((session.state, session.offer_answer.local), ("confirmed", OFFER))
        session, done, sent = self.change()
        self.peer.answer(sent, 200)
        self.assertEqual(self.peer.starts(), ["ACK", "BYE"])
        self.failureResultOf(done, RequestFailed)
        self.assertEqual(session.events[-1], "ended 488 peer")

    def test_an_update_that_is_refused(self) -> None:
        session, done, sent = self.change("UPDATE")
        self.peer.answer(sent, 488)
        self.assertEqual(self.failureResultOf(done, RequestRefused).value.response.status, 488)
        self.assertEqual((session.state, session.offer_answer.local), ("confirmed", OFFER))

    def test_nobody_answers_an_update(self) -> None:
        session, done, _ = self.change("UPDATE")
        self.stage.advance(33)
        self.failureResultOf(done, RequestFailed)
        self.assertEqual(session.events[-1], "ended 408 network")
        self.assert_nothing_left()

    def test_a_reinvite_that_is_never_answered(self) -> None:
        session, done, sent = self.change()
        self.peer.answer(sent, 100)
        self.stage.advance(181)
        self.peer.answer(next(one for one in self.peer.take() if one.method == "CANCEL"), 200)
        self.stage.advance(33)
        self.failureResultOf(done, RequestFailed)
        self.assertEqual(session.events[-1], "ended 408 network")
        self.stage.advance(33)
        self.assert_nothing_left()

    def test_what_ends_the_dialog(self) -> None:
        session, done, sent = self.change()
        self.peer.answer(sent, 404)
        self.failureResultOf(done, RequestRefused)
        self.assertEqual(session.events[-1], "ended 404 peer")

    def test_491_while_the_peer_changes_the_session(self) -> None:
        """When the time to try again comes, the peer's turn is not over: it is waited for."""
        session, done, sent = self.change()
        self.peer.answer(sent, 491)
        self.peer.take()
        wait: Deferred[Any] = Deferred()
        session.answers.append(wait)
        self.peer.within(session.dialog, "INVITE", 1, body=OFFER)
        self.stage.advance(5)
        self.assertNotIn("INVITE", self.peer.starts())
        wait.callback(ANSWER)
        self.stage.advance(0.01)
        self.peer.within(session.dialog, "ACK", 1)
        self.stage.advance(1)
        again = next(one for one in self.peer.take() if isinstance(one, Request))
        self.peer.answer(again, 200, body=SECOND_ANSWER)
        self.successResultOf(done)

    def test_491_without_end(self) -> None:
        session, done, sent = self.change()
        for _ in range(6):
            self.peer.answer(sent, 491)
            self.stage.advance(4.2)
            sent = next(
                (one for one in self.peer.take() if isinstance(one, Request) and one.method == "INVITE"), sent
            )
        self.assertEqual(self.failureResultOf(done, RequestRefused).value.response.status, 491)
        self.assertEqual(session.state, "confirmed")

    def test_an_offer_asked_for_that_is_not_answered(self) -> None:
        session, done, sent = self.change(body=None)
        session.answers.append(None)
        self.peer.answer(sent, 200, body=SECOND_OFFER)
        self.assertEqual(self.peer.starts(), ["ACK", "BYE"])
        self.failureResultOf(done, RequestFailed)
        self.assertEqual(session.events[-1], "ended 488 us")

    def test_an_offer_in_a_provisional_response_that_is_not_answered(self) -> None:
        session, done, sent = self.change(body=None)
        session.answers.append(None)
        self.peer.answer(sent, 183, extra="Require: 100rel\r\nRSeq: 1\r\n", body=SECOND_OFFER)
        self.assertEqual(self.peer.starts(), ["BYE"])
        self.failureResultOf(done, RequestFailed)
        self.assertEqual(session.events[-1], "ended 488 us")
        self.peer.answer(sent, 487)
        self.assertEqual(self.peer.starts(), ["ACK"])

    def test_the_peers_update(self) -> None:
        session, _ = self.established()
        session.answers += [SECOND_ANSWER, None]
        self.peer.within(session.dialog, "UPDATE", 1, body=SECOND_OFFER)
        self.assertEqual(self.peer.one("200").body, SECOND_ANSWER.content)
        self.peer.within(session.dialog, "UPDATE", 2, body=SECOND_OFFER)
        self.peer.one("488")
        self.peer.within(session.dialog, "UPDATE", 3)
        self.assertEqual(self.peer.one("200").body, b"")
        self.assertEqual((session.state, session.offer_answer.local), ("confirmed", SECOND_ANSWER))

    def test_updates_of_the_peer_in_a_row(self) -> None:
        session, _ = self.established()
        wait: Deferred[Any] = Deferred()
        session.answers.append(wait)
        self.peer.within(session.dialog, "UPDATE", 1, body=SECOND_OFFER)
        self.peer.within(session.dialog, "UPDATE", 2, body=SECOND_OFFER)
        self.assertTrue(self.peer.one("500").has("retry-after"))
        session.bye()
        wait.callback(SECOND_ANSWER)
        self.stage.advance(0.01)
        self.assertEqual(sorted(self.peer.starts()), ["481 UPDATE", "BYE"])

    def test_no_offer_before_the_answer_has_arrived(self) -> None:
        """RFC 3311 section 5.1."""
        self.stage = Stage()
        self.peer, self.agent = Peer(self.stage), self.stage.alice.agent
        invite = self.called(accept=False, extra="Supported: 100rel\r\n")
        invite.progress(183, ANSWER)
        self.failureResultOf(invite.session.update(SECOND_OFFER), WrongState)
        self.stage.advance(0.01)
        rseq = self.peer.one("183").get("rseq")
        self.peer.within(invite.session.dialog, "PRACK", 2, extra=f"RAck: {rseq} 1 INVITE\r\n")
        self.peer.take()
        invite.session.update(SECOND_OFFER)
        self.stage.advance(0.01)
        self.peer.one("UPDATE")
