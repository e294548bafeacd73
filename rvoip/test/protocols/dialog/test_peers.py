"""User agents against peers whose messages the test writes: forks, mistakes, and what nobody sends."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.errors import Gone, RequestFailed, RequestRefused, WrongState
from rvoip.protocols.dialog.session_timer import TimerSettings
from rvoip.protocols.sip.message import Request
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, SECOND_ANSWER, SECOND_OFFER, Peer, Stage, Told

PLAIN = AgentSettings(reliable="off", timer=TimerSettings(policy="off"))


class WithPeer(SynchronousTestCase):
    """Alice, and a peer that is the test."""

    settings = PLAIN

    def setUp(self) -> None:
        self.stage = Stage(self.settings)
        self.peer = Peer(self.stage)
        self.agent = self.stage.alice.agent

    def call(self, body: Body | None = OFFER, **more: Any) -> tuple[Any, Request]:
        """Alice calls; her INVITE as it came."""
        invite = self.stage.call(body, self.peer.uri, **more)
        self.stage.advance(0.01)
        return invite, self.peer.one("INVITE")

    def established(self) -> tuple[Told, Request]:
        """A call that Alice made and the peer answered."""
        invite, request = self.call()
        self.peer.answer(request, 200, body=ANSWER)
        self.peer.one("ACK")
        return invite.session, request

    def called(self, accept: bool = True, **more: Any) -> Any:
        """The peer calls Alice: the INVITE at Alice's, accepted or not."""
        self.peer.request("INVITE", body=OFFER, **more)
        (invite,) = self.agent.received
        if accept:
            invite.accept(ANSWER)
            self.stage.advance(0.01)
            self.peer.one("200")
            self.peer.within(invite.session.dialog, "ACK", 1)
        return invite

    def assert_nothing_left(self) -> None:
        self.stage.advance(200)
        self.assertEqual(self.stage.alice.leftovers(), [])


class Forked(WithPeer):
    """One INVITE, several dialogs (RFC 3261 section 13.2.2.4)."""

    def test_each_early_dialog_is_one_of_its_own(self) -> None:
        invite, request = self.call()
        for tag in ("a", "b", "a"):
            self.peer.answer(request, 180, tag)
        self.assertEqual(sorted(invite.sessions), ["a", "b"])
        self.assertEqual(len(self.agent), 2)
        self.peer.answer(request, 200, "b", body=ANSWER)
        self.assertIs(invite.session, invite.sessions["b"])
        self.assertEqual(self.peer.starts(), ["ACK"])
        self.assertEqual(invite.sessions["a"].events, ["ended 487 us"])
        self.assertEqual(invite.session.state, "confirmed")
        self.assertEqual(len(self.agent), 1)

    def test_a_surplus_2xx_is_acknowledged_and_hung_up(self) -> None:
        invite, request = self.call()
        self.peer.answer(request, 180, "a")
        self.peer.answer(request, 180, "b")
        self.peer.answer(request, 200, "a", body=ANSWER)
        self.assertEqual(self.peer.one("ACK").to.tag, "a")
        for tag in ("b", "c"):
            self.peer.answer(request, 200, tag, body=ANSWER)
            ack, bye = self.peer.take()
            self.assertEqual((ack.method, ack.to.tag, bye.method, bye.to.tag), ("ACK", tag, "BYE", tag))
            self.peer.answer(bye, 200)
            self.peer.answer(request, 200, tag, body=ANSWER)
            self.assertEqual(self.peer.one("ACK").to.tag, tag)
        self.assertEqual(invite.events, ["180", "180", "accepted"])
        invite.session.bye()
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("BYE"), 200)
        self.assert_nothing_left()

    def test_a_surplus_2xx_may_be_kept(self) -> None:
        invite, request = self.call()
        invite.keep_all = True
        self.peer.answer(request, 200, "a", body=ANSWER)
        self.peer.answer(request, 200, "b", body=SECOND_ANSWER)
        self.assertEqual(self.peer.starts(), ["ACK", "ACK"])
        self.assertEqual(invite.events, ["accepted", "accepted"])
        self.assertEqual(invite.sessions["a"].got, [ANSWER])
        self.assertEqual(invite.sessions["b"].got, [SECOND_ANSWER])

    def test_199_ends_an_early_dialog(self) -> None:
        invite, request = self.call()
        self.peer.answer(request, 180, "a")
        self.peer.answer(request, 180, "b")
        self.peer.answer(request, 199, "a", "Reason: SIP;cause=486\r\n")
        self.assertEqual(invite.sessions["a"].state, "terminated")
        self.assertEqual(invite.sessions["a"].ending.reason, "SIP;cause=486")
        self.assertEqual(invite.sessions["b"].state, "early")

    def test_more_forks_than_anyone_needs(self) -> None:
        invite, request = self.call()
        for number in range(60):
            self.peer.answer(request, 180, f"t{number}")
        self.assertEqual(len(invite.sessions), 32)
        invite.cancel()
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("CANCEL"), 200)
        self.peer.answer(request, 487)
        self.assert_nothing_left()

    def test_a_failure_ends_all(self) -> None:
        invite, request = self.call()
        self.peer.answer(request, 180, "a")
        self.peer.answer(request, 183, "b", body=ANSWER)
        self.peer.answer(request, 486, "c")
        self.assertEqual(invite.events, ["180", "183", "failed 486 Answered"])
        self.assertEqual(invite.sessions["a"].events, ["ended 486 peer"])
        self.assertEqual(invite.sessions["b"].events, ["preview", "ended 486 peer"])
        self.assertEqual(self.peer.starts(), ["ACK"])
        self.assert_nothing_left()

    def test_a_2xx_after_we_hung_up_the_early_dialog(self) -> None:
        invite, request = self.call()
        self.peer.answer(request, 180, "a")
        invite.sessions["a"].bye()
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("BYE"), 200)
        self.peer.answer(request, 200, "a", body=ANSWER)
        ack, bye = self.peer.take()
        self.assertEqual((ack.method, bye.method), ("ACK", "BYE"))
        self.assertEqual(invite.events, ["180", "failed hung up"])
        self.peer.answer(bye, 481)
        self.assert_nothing_left()


class Routes(WithPeer):
    """Route sets (RFC 3261 sections 12.1 and 12.2.1.1)."""

    def test_of_the_caller(self) -> None:
        invite, request = self.call()
        routes = "Record-Route: <sip:10.0.0.9;lr;n=1>, <sip:far.test;lr>\r\n"
        self.peer.answer(request, 200, extra=routes, body=ANSWER)
        # The route of the response counts backwards; nobody finds far.test.
        self.stage.alice.locator.names["far.test"] = []
        self.assertEqual(invite.session.dialog.route_set, ("<sip:far.test;lr>", "<sip:10.0.0.9;lr;n=1>"))

    def test_of_the_called(self) -> None:
        invite = self.called(accept=False, extra="Record-Route: <sip:10.0.0.9;lr>, <sip:far.test;lr>\r\n")
        self.assertEqual(invite.session.dialog.route_set, ("<sip:10.0.0.9;lr>", "<sip:far.test;lr>"))
        invite.accept(ANSWER)
        self.stage.advance(0.01)
        self.peer.one("200")
        self.peer.within(invite.session.dialog, "ACK", 1)
        invite.session.bye()
        self.stage.advance(0.01)
        bye = self.peer.one("BYE")
        self.assertEqual(bye.uri_text, self.peer.uri)
        self.assertEqual([one.uri_text for one in bye.routes], ["sip:10.0.0.9;lr", "sip:far.test;lr"])

    def test_a_strict_router_is_the_request_uri(self) -> None:
        invite, request = self.call()
        self.peer.answer(
            request, 200, extra="Record-Route: <sip:far.test;lr>, <sip:10.0.0.9;a=b>\r\n", body=ANSWER
        )
        ack = self.peer.one("ACK")
        self.assertEqual(ack.uri_text, "sip:10.0.0.9;a=b")
        self.assertEqual([one.uri_text for one in ack.routes], ["sip:far.test;lr", self.peer.uri])
        self.assertEqual(invite.session.state, "confirmed")

    def test_the_2xx_sets_the_route_anew(self) -> None:
        _, request = self.call()
        self.peer.answer(request, 180, extra="Record-Route: <sip:10.0.0.9;lr;n=1>\r\n")
        self.peer.answer(request, 200, extra="Record-Route: <sip:10.0.0.9;lr;n=2>\r\n", body=ANSWER)
        self.assertEqual(self.peer.one("ACK").routes[0].uri_text, "sip:10.0.0.9;lr;n=2")

    def test_bad_routes_and_contacts_make_no_dialog(self) -> None:
        self.peer.request("INVITE", extra="Record-Route: tel:1\r\n")
        self.assertEqual(self.peer.starts(), ["416 INVITE"])
        invite, request = self.call()
        self.peer.answer(request, 180, contact="sip:a b@c")
        self.assertEqual(len(self.agent), 0)
        self.peer.answer(request, 200, extra="Record-Route: tel:1\r\n", body=ANSWER)
        self.assertEqual(invite.events, ["failed bad response: Unsupported URI scheme tel"])
        self.assert_nothing_left()

    def test_preloaded(self) -> None:
        invite = self.stage.call(OFFER, "sip:far@away.test", routes=["<sip:10.0.0.9;lr>"])
        self.stage.advance(0.01)
        request = self.peer.one("INVITE")
        self.assertEqual(
            (request.uri_text, request.routes[0].uri_text), ("sip:far@away.test", "sip:10.0.0.9;lr")
        )
        self.peer.answer(request, 404)
        self.assertEqual(invite.events, ["failed 404 Answered"])


class InDialog(WithPeer):
    """Requests within dialogs (RFC 3261 section 12.2)."""

    def test_none_that_is_known(self) -> None:
        for method in ("BYE", "INVITE", "UPDATE", "INFO", "OPTIONS", "PRACK"):
            self.peer.request(method, to_tag="gone")
            self.assertEqual(self.peer.starts(), [f"481 {method}"])
        self.peer.request("ACK", to_tag="gone")
        self.assertEqual(self.peer.starts(), [])

    def test_order(self) -> None:
        session, _ = self.established()
        for cseq, status in ((5, 200), (4, 500), (5, 482), (6, 200)):
            self.peer.within(session.dialog, "INFO", cseq)
            self.assertEqual(self.peer.starts(), [f"{status} INFO"])

    def test_unknown_methods_and_extensions(self) -> None:
        session, _ = self.established()
        self.peer.within(session.dialog, "SUBSCRIBE", 1)
        refused = self.peer.one("405")
        self.assertIn("INFO", refused.get("allow"))
        self.peer.within(session.dialog, "FOO", 2)
        self.peer.one("501")
        self.peer.within(session.dialog, "INFO", 3, extra="Require: magic\r\n")
        self.assertEqual(self.peer.one("420").get("unsupported"), "magic")
        self.peer.within(session.dialog, "OPTIONS", 4)
        self.assertIn(
            "100rel" if self.settings.reliable != "off" else "replaces", self.peer.one("200").get("supported")
        )
        self.peer.within(session.dialog, "MESSAGE", 5, body=Body(b"hi", "text/plain"))
        self.peer.one("405")

    def test_info(self) -> None:
        session, _ = self.established()
        self.peer.within(session.dialog, "INFO", 1, extra="Info-Package: foo\r\n")
        self.assertEqual(self.peer.one("469").get("recv-info"), "")
        self.peer.within(session.dialog, "INFO", 2, body=Body(b"Signal=1", "application/dtmf-relay"))
        self.peer.one("415")
        seen: list[Request] = []
        session.info_received = seen.append  # type: ignore[method-assign, assignment]
        self.peer.within(session.dialog, "INFO", 3, body=Body(b"Signal=1", "application/dtmf-relay"))
        self.peer.one("200")
        self.assertEqual(seen[0].body, b"Signal=1")

    def test_a_hook_that_fails(self) -> None:
        session, _ = self.established()

        async def fail(request: Request) -> None:
            raise ValueError("oh")

        session.info_received = fail  # type: ignore[method-assign]
        self.peer.within(session.dialog, "INFO", 1)
        self.peer.one("500")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_only_so_many_wait_for_an_answer(self) -> None:
        session, _ = self.established()
        waiting: list[Deferred[None]] = []

        def later(request: Request) -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        session.info_received = later  # type: ignore[method-assign]
        for cseq in range(1, 20):
            self.peer.within(session.dialog, "INFO", cseq)
        refused = self.peer.take()
        self.assertEqual([one.status for one in refused], [503] * 3)
        self.assertTrue(all(one.has("retry-after") for one in refused))
        for one in waiting:
            one.callback(None)
        self.stage.advance(0.01)
        self.assertEqual(self.peer.starts(), ["200 INFO"] * 16)
        self.peer.within(session.dialog, "BYE", 30)
        self.assertEqual(self.peer.starts(), ["200 BYE"])
        self.assert_nothing_left()

    def test_failures_end_what_rfc_5057_says(self) -> None:
        for status, ended in (
            (404, True),
            (408, True),
            (480, True),
            (481, True),
            (500, False),
            (405, False),
            (603, False),
        ):
            session, _ = self.established()
            done = session.request("INFO")
            self.stage.advance(0.01)
            self.peer.answer(self.peer.one("INFO"), status)
            self.assertEqual(self.successResultOf(done).status, status)
            self.assertEqual(session.ending is not None, ended, status)
            for one in self.peer.take():
                self.assertEqual(one.method, "BYE")
                self.peer.answer(one, 481)
            session.bye()
            self.stage.advance(0.01)
            for one in self.peer.take():
                self.peer.answer(one, 200)
        self.assert_nothing_left()

    def test_reinvites_in_a_row(self) -> None:
        """RFC 3261 section 14.2: one at a time; the peer's is answered 500 with Retry-After."""
        session, _ = self.established()
        wait: Deferred[Any] = Deferred()
        session.answers.append(wait)
        self.peer.within(session.dialog, "INVITE", 1, body=SECOND_OFFER)
        self.peer.within(session.dialog, "INVITE", 2, body=SECOND_OFFER)
        self.assertLessEqual(int(self.peer.one("500").get("retry-after")), 10)
        self.peer.within(session.dialog, "ACK", 2)
        wait.callback(SECOND_ANSWER)
        self.stage.advance(0.01)
        self.peer.one("200")
        self.peer.within(session.dialog, "ACK", 1)
        self.assertEqual(session.offer_answer.local, SECOND_ANSWER)

    def test_a_reinvite_is_cancelled(self) -> None:
        session, _ = self.established()
        wait: Deferred[Any] = Deferred()
        session.answers.append(wait)
        self.peer.within(session.dialog, "INVITE", 1, body=SECOND_OFFER, branch="z9hG4bK-re")
        self.peer.within(session.dialog, "CANCEL", 1, branch="z9hG4bK-re")
        self.assertEqual(self.peer.starts(), ["200 CANCEL", "487 INVITE"])
        self.peer.within(session.dialog, "ACK", 1, branch="z9hG4bK-re")
        wait.callback(SECOND_ANSWER)
        self.assertEqual((session.state, session.offer_answer.local), ("confirmed", OFFER))
        self.peer.within(session.dialog, "INVITE", 2, body=SECOND_OFFER)
        self.peer.one("200")

    def test_a_reinvite_is_answered_422_and_491(self) -> None:
        self.stage = Stage(AgentSettings(reliable="off"))
        self.peer = Peer(self.stage)
        session, _ = self.established()
        done = session.reinvite(SECOND_OFFER)
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("INVITE"), 422, extra="Min-SE: 3600\r\n")
        _, again = self.peer.take()
        self.assertEqual((again.get("session-expires") or "")[:4], "3600")
        self.peer.answer(again, 491)
        self.peer.one("ACK")
        self.stage.advance(2)
        self.assertEqual(self.peer.starts(), [])
        self.stage.advance(2.1)
        self.peer.answer(self.peer.take()[0], 603)
        self.assertEqual(self.failureResultOf(done, RequestRefused).value.response.status, 603)

    def test_the_answer_that_never_comes(self) -> None:
        """Bob's 2xx has no answer to Alice's offer: acknowledged, and hung up."""
        invite, request = self.call()
        self.peer.answer(request, 200)
        ack, bye = self.peer.take()
        self.assertEqual((ack.method, bye.method), ("ACK", "BYE"))
        self.peer.answer(bye, 200)
        self.assertEqual(invite.session.events[-1], "ended 488 peer")
        self.assert_nothing_left()

    def test_an_early_answer_stands_in_for_that_of_the_2xx(self) -> None:
        invite, request = self.call()
        self.peer.answer(request, 183, body=ANSWER)
        self.peer.answer(request, 200)
        self.assertEqual(self.peer.starts(), ["ACK"])
        self.assertEqual(invite.session.offer_answer.remote, ANSWER)


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

    def test_nobody_answers_it(self) -> None:
        """A caller that is gone sends no CANCEL; nothing is kept for it for ever."""
        invite = self.called(accept=False)
        self.stage.advance(299)
        self.peer.take()
        self.stage.advance(1.2)
        self.peer.one("480")
        self.assertTrue(invite.answered)
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


class Fork(WithPeer):
    """Several early dialogs of one INVITE that came, for an element that passes on those of another."""

    def test_fork(self) -> None:
        invite = self.called(accept=False)
        first, second = invite.session, invite.fork()
        invite.progress(183, ANSWER)
        invite.progress(180, session=second)
        self.stage.advance(0.01)
        one, other = self.peer.take()
        self.assertNotEqual(one.to.tag, other.to.tag)
        self.assertEqual(len(self.agent), 2)
        invite.accept(SECOND_ANSWER, session=second)
        self.stage.advance(0.01)
        self.assertEqual(self.peer.one("200").to.tag, second.dialog.local_tag)
        self.peer.within(second.dialog, "ACK", 1)
        self.assertEqual(first.events[-1], "ended 487 us")
        self.assertEqual(second.state, "confirmed")
        self.assertRaises(WrongState, invite.accept, ANSWER)
        second.bye()
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("BYE"), 200)
        self.assert_nothing_left()
