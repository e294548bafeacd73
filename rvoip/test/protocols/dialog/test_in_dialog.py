"""Requests within dialogs, from peers whose messages the test writes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.ending import Ending
from rvoip.protocols.dialog.errors import RequestRefused
from rvoip.protocols.dialog.interfaces import IDialogUsage
from rvoip.protocols.sip.message import Request, Response
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, SECOND_ANSWER, SECOND_OFFER, Peer, Stage, Told
from rvoip.test.protocols.dialog.with_peer import WithPeer


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

    def test_a_reinvite_while_our_bye_waits_for_an_ack_that_got_lost(self) -> None:
        self.peer.request("INVITE", body=OFFER)
        invite = self.agent.received[0]
        invite.accept(ANSWER)
        self.stage.advance(0.01)
        self.peer.one("200")
        invite.session.bye()
        self.peer.within(invite.session.dialog, "INVITE", 2, body=SECOND_OFFER)
        bye, refused = sorted(self.peer.take(), key=lambda one: isinstance(one, Response))
        self.assertEqual((bye.method, refused.status), ("BYE", 487))
        self.peer.answer(bye, 200)
        self.assert_nothing_left()

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


@implementer(IDialogUsage)
class Subscription:
    """Another usage in the dialog of a call, which takes SUBSCRIBE."""

    def __init__(self, agent: Any, dialog: Dialog) -> None:
        self.agent, self.dialog = agent, dialog
        self.endings: list[Ending] = []
        agent.attach(dialog, self)

    def takes(self, request: Request) -> bool:
        return request.method == "SUBSCRIBE"

    def request_received(self, transaction: Any) -> None:
        self.agent.respond(transaction, 202, dialog=self.dialog)

    def ack_received(self, request: Request) -> None:
        raise AssertionError("it gave no 2xx to an INVITE")

    def usage_ended(self, ending: Ending) -> None:
        self.endings.append(ending)
        self.agent.detach(self.dialog, self)


class Shared(WithPeer):
    """Several usages in one dialog (RFC 5057)."""

    def both(self) -> tuple[Told, Subscription]:
        session, _ = self.established()
        return session, Subscription(self.agent, session.dialog)

    def test_each_gets_its_own(self) -> None:
        session, _ = self.both()
        self.peer.within(session.dialog, "SUBSCRIBE", 1)
        self.peer.within(session.dialog, "INFO", 2)
        self.assertEqual(self.peer.starts(), ["202 SUBSCRIBE", "200 INFO"])

    def test_the_dialog_outlives_the_call(self) -> None:
        session, subscription = self.both()
        self.peer.within(session.dialog, "BYE", 1)
        self.assertEqual((session.state, session.dialog.state), ("terminated", "confirmed"))
        for method, status in (("SUBSCRIBE", 202), ("BYE", 481), ("INVITE", 481), ("UPDATE", 481)):
            self.peer.take()
            self.peer.within(session.dialog, method, session.dialog.remote_cseq + 1)  # type: ignore[operator]
            self.assertEqual(self.peer.starts(), [f"{status} {method}"])
        subscription.usage_ended(Ending(200, "done", "us"))
        self.assertEqual((session.dialog.state, len(self.agent)), ("terminated", 0))
        self.peer.within(session.dialog, "SUBSCRIBE", 9)
        self.peer.one("481")

    def test_what_a_failure_ends(self) -> None:
        for status, ended in ((481, [True, False]), (404, [True, True]), (486, [False, False])):
            session, subscription = self.both()
            done = session.request("INFO")
            self.stage.advance(0.01)
            self.peer.answer(self.peer.one("INFO"), status)
            self.successResultOf(done)
            self.assertEqual([session.ending is not None, bool(subscription.endings)], ended)
            self.stage.advance(0.01)
            # Whoever does not know the session hears that it is over (RFC 3261 section 12.2.1.2).
            self.assertEqual([one.split()[0] for one in self.peer.starts()], ["BYE"] if status == 481 else [])

    def test_a_refresh_of_a_session_that_the_peer_does_not_know(self) -> None:
        session, _ = self.established()
        done = session.update()
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("UPDATE"), 481)
        self.failureResultOf(done)
        self.assertEqual((session.events[-1], session.state), ("ended 481 peer", "terminated"))
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("BYE"), 481)
        self.assert_nothing_left()

    def test_close(self) -> None:
        session, subscription = self.both()
        self.agent.close()
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("BYE"), 200)
        self.assertEqual(subscription.endings[0].status, 503)
        self.assertEqual(session.state, "terminated")
        self.assert_nothing_left()
