"""Requests outside dialogs: what is refused, calls that come, and those that replace another one."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.errors import Gone, WrongState
from rvoip.protocols.sip.errors import SIPBuildError
from rvoip.protocols.sip.message import Request
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, Peer, Stage, Told
from rvoip.test.protocols.dialog.with_peer import WithPeer


class Outside(WithPeer):
    """Requests outside dialogs (RFC 3261 section 8.2)."""

    def test_merged(self) -> None:
        self.called(accept=False, call_id="one", cseq=7)
        self.peer.request("INVITE", call_id="one", cseq=7, body=OFFER)
        self.assertEqual(self.peer.starts(), ["482 INVITE"])
        self.assertEqual(len(self.agent.received), 1)

    def test_a_request_that_was_answered_without_a_trace_is_not_merged(self) -> None:
        """It comes again, with its branch, where the answer got lost."""

        def challenge(transaction: Any, dialog: Any) -> None:
            transaction.respond_stateless(self.agent.make_response(transaction, 401))

        self.agent.register_method("SUBSCRIBE", challenge)
        for _ in range(2):
            self.peer.request("SUBSCRIBE", call_id="one", cseq=7, branch="z9hG4bK-x")
            self.assertEqual(self.peer.starts(), ["401 SUBSCRIBE"])
        self.peer.request("SUBSCRIBE", call_id="one", cseq=7, branch="z9hG4bK-y")
        self.assertEqual(self.peer.starts(), ["482 SUBSCRIBE"])

    def test_options(self) -> None:
        self.peer.request("OPTIONS")
        answer = self.peer.one("200")
        self.assertIn("INVITE", answer.get("allow"))
        self.assertIn("application/sdp", answer.get("accept"))
        self.assertTrue(answer.to.tag)

    def test_methods(self) -> None:
        for method, status in (
            ("MESSAGE", 405),
            ("REGISTER", 405),
            ("FOO", 501),
            ("BYE", 481),
            ("REFER", 405),
        ):
            self.peer.request(method)
            self.assertEqual(self.peer.starts(), [f"{status} {method}"])

    def test_registered_methods(self) -> None:
        taken: list[Any] = []

        def take(transaction: Any, dialog: Any) -> None:
            taken.append(dialog)
            self.agent.respond(transaction, 202)

        self.agent.register_method("REFER", take)
        self.assertIn("REFER", self.agent.allow)
        self.peer.request("REFER")
        self.assertEqual(self.peer.starts(), ["202 REFER"])
        session, _ = self.established()
        self.peer.within(session.dialog, "REFER", 1)
        self.assertEqual(self.peer.starts(), ["202 REFER"])
        self.assertEqual(taken, [None, session.dialog])

    def test_messages(self) -> None:
        class Chatty(type(self.agent)):  # type: ignore[misc]
            async def message_received(self, request: Request) -> int:
                return 202

        self.agent.__class__ = Chatty
        self.peer.request("MESSAGE", body=Body(b"hi", "text/plain"))
        self.assertEqual(self.peer.starts(), ["202 MESSAGE"])

    def test_refusals(self) -> None:
        self.peer.request("INVITE", body=Body(b"x", "application/foo"))
        self.assertIn("application/sdp", self.peer.one("415").get("accept"))
        self.peer.request(
            "INVITE", body=Body(b"x", "application/foo"), extra="Content-Disposition: x;handling=optional\r\n"
        )
        self.assertEqual(self.agent.received[-1].offer, None)
        self.peer.take()
        self.peer.request("INVITE", extra="Require: 100rel, magic\r\n")
        self.assertEqual(self.peer.one("420").get("unsupported"), "100rel, magic")
        self.peer.request("INVITE", uri="mailto:x@y")
        self.peer.one("416")
        self.peer.request("INVITE", body=OFFER, extra="Content-Encoding: gzip\r\n")
        self.peer.one("415")

    def test_full(self) -> None:
        self.stage = Stage(AgentSettings(dialogs=1))
        self.peer = Peer(self.stage)
        session, _ = self.established()
        self.peer.request("INVITE", body=OFFER)
        self.assertTrue(self.peer.one("503").has("retry-after"))
        session.bye()

    def test_requests_of_ours(self) -> None:
        done = self.agent.request_outside(
            "MESSAGE", self.peer.uri, from_="<sip:alice@10.0.0.1>", body=Body(b"hi", "text/plain")
        )
        self.stage.advance(0.01)
        request = self.peer.one("MESSAGE")
        self.assertEqual((request.body, request.has("contact")), (b"hi", False))
        self.peer.answer(request, 202)
        self.assertEqual(self.successResultOf(done).status, 202)
        done = self.agent.request_outside("OPTIONS", "sip:x@nowhere.test", from_="<sip:alice@10.0.0.1>")
        self.failureResultOf(done)
        done = self.agent.request_outside("OPTIONS", self.peer.uri, from_="<sip:alice@10.0.0.1>")
        done.cancel()
        self.failureResultOf(done)
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("OPTIONS"), 200)
        self.assert_nothing_left()


class Early(WithPeer):
    """Calls that come and are not answered yet."""

    def test_a_bye_of_the_caller(self) -> None:
        """RFC 3261 section 15.1.2: the INVITE is answered 487."""
        invite = self.called(accept=False)
        invite.progress()
        self.stage.advance(0.01)
        self.peer.one("180")
        self.peer.within(invite.session.dialog, "BYE", 2)
        self.assertEqual(self.peer.starts(), ["200 BYE", "487 INVITE"])
        self.assertEqual(self.stage.alice.session.events, ["ended 200 peer"])
        self.assertRaises(WrongState, invite.accept, ANSWER)
        self.assert_nothing_left()

    def test_a_bye_in_one_of_two(self) -> None:
        invite = self.called(accept=False)
        first, second = invite.session, invite.fork()
        invite.progress(session=first)
        invite.progress(session=second)
        self.stage.advance(0.01)
        self.peer.take()
        self.peer.within(first.dialog, "BYE", 2)
        self.assertEqual(self.peer.starts(), ["200 BYE"])
        self.assertRaises(WrongState, invite.progress, session=first)
        self.assertRaises(WrongState, invite.accept, ANSWER, session=first)
        invite.accept(ANSWER)
        self.stage.advance(0.01)
        self.assertEqual(self.peer.one("200").to.tag, second.dialog.local_tag)

    def test_a_cancel_that_comes_too_late(self) -> None:
        """It is answered, and changes nothing (RFC 3261 section 9.2)."""
        self.peer.request("INVITE", body=OFFER, branch="z9hG4bK-c")
        (invite,) = self.agent.received
        invite.accept(ANSWER)
        self.peer.request("CANCEL", branch="z9hG4bK-c")
        self.assertEqual(sorted(self.peer.starts()), ["200 CANCEL", "200 INVITE"])
        self.peer.within(invite.session.dialog, "ACK", 1)
        self.assertEqual((invite.session.state, invite.cancelled), ("confirmed", False))

    def test_nobody_answers_it(self) -> None:
        """A caller that is gone sends no CANCEL; nothing is kept for it for ever."""
        invite = self.called(accept=False)
        self.stage.advance(299)
        self.peer.take()
        self.stage.advance(1.2)
        self.peer.one("480")
        self.assertTrue(invite.answered)
        self.assertRaises(Gone, invite.accept, ANSWER)
        self.assert_nothing_left()

    def test_an_answer_that_cannot_be_written(self) -> None:
        """The mistake is ours: 500, one event, and the caller is not left waiting."""
        self.agent.script = lambda invite: invite.accept(ANSWER, headers=(("Subject", "a\r\nb"),))
        self.peer.request("INVITE", body=OFFER)
        self.assertEqual(self.peer.starts(), ["500 INVITE"])
        self.assertEqual(len(self.flushLoggedErrors(SIPBuildError)), 1)
        self.assert_nothing_left()

    def test_whoever_answers_too_late_is_told_without_a_log(self) -> None:
        wait: Deferred[None] = Deferred()

        async def answer(invite: Any) -> None:
            await wait
            invite.accept(ANSWER)

        self.agent.script = answer
        self.peer.request("INVITE", body=OFFER, branch="z9hG4bK-c")
        self.peer.request("CANCEL", branch="z9hG4bK-c")
        self.assertEqual(self.peer.starts(), ["200 CANCEL", "487 INVITE"])
        self.assertRaises(Gone, self.agent.received[0].progress)
        wait.callback(None)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.peer.request("ACK", branch="z9hG4bK-c")
        self.assert_nothing_left()


class Replaced(WithPeer):
    """Replaces and Join (RFC 3891, RFC 3911)."""

    def header(self, session: Told, more: str = "", name: str = "Replaces") -> str:
        dialog = session.dialog
        return f"{name}: {dialog.call_id};to-tag={dialog.local_tag};from-tag={dialog.remote_tag}{more}\r\n"

    def test_a_call_is_replaced(self) -> None:
        session, _ = self.established()
        self.peer.request("INVITE", body=OFFER, tag="new", extra=self.header(session))
        (invite,) = self.agent.received
        self.assertIs(invite.replaces, session)
        self.assertEqual(session.state, "confirmed")
        invite.accept(ANSWER)
        self.stage.advance(0.01)
        answer, bye = self.peer.take()
        self.assertEqual((answer.status, bye.method, bye.call_id), (200, "BYE", session.dialog.call_id))
        self.assertEqual(session.events[-1], "ended 200 us")

    def test_a_call_of_ours_that_rings_is_replaced(self) -> None:
        calling, request = self.call()
        self.peer.answer(request, 180)
        self.peer.request(
            "INVITE", body=OFFER, tag="new", extra=self.header(calling.sessions["t1"], ";early-only")
        )
        self.agent.received[0].accept(ANSWER)
        self.stage.advance(0.01)
        self.assertEqual(sorted(self.peer.starts()), ["200 INVITE", "CANCEL"])
        self.peer.answer(request, 487)
        self.assertEqual(calling.events[-1], "failed 487 Answered")

    def test_refusals(self) -> None:
        session, _ = self.established()
        ringing = self.called(accept=False, tag="r", extra="Subject: ring\r\n")
        ringing.progress()
        self.stage.advance(0.01)
        self.peer.take()
        gone, _ = self.established()
        self.peer.within(gone.dialog, "BYE", 1)
        self.peer.take()
        for header, status in (
            (self.header(session, ";early-only"), 486),
            (self.header(ringing.session), 481),
            (self.header(gone), 603),
            ("Replaces: never;to-tag=1;from-tag=2\r\n", 481),
            ("Replaces: never;to-tag=1\r\n", 400),
            (self.header(session) + self.header(session, name="Join"), 400),
            (self.header(session, name="Join"), 403),
            (self.header(session) * 2, 400),
        ):
            self.peer.request("INVITE", body=OFFER, extra=header)
            self.assertEqual(self.peer.starts(), [f"{status} INVITE"], header)
        self.assertEqual(session.state, "confirmed")

    def test_who_may(self) -> None:
        session, _ = self.established()
        self.agent.takes_over = False
        self.peer.request("INVITE", body=OFFER, extra=self.header(session))
        self.assertEqual(self.peer.starts(), ["403 INVITE"])
        self.agent.takes_over = True
        self.peer.request("INVITE", body=OFFER, extra=self.header(session, name="Join"))
        self.assertIs(self.agent.received[-1].joins, session)
        self.agent.received[-1].accept(ANSWER)
        self.stage.advance(0.01)
        self.assertEqual(self.peer.starts(), ["200 INVITE"])
        self.assertEqual(session.state, "confirmed")
