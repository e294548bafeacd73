"""Calls that make several dialogs, and the routes of each."""

from __future__ import annotations

from typing import Any

from rvoip.protocols.dialog.errors import WrongState
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, SECOND_ANSWER
from rvoip.test.protocols.dialog.with_peer import WithPeer


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
        self.assertIs(invite.session, invite.sessions["a"])
        self.assertEqual(invite.sessions["a"].got, [ANSWER])
        self.assertEqual(invite.sessions["b"].got, [SECOND_ANSWER])

    def test_one_that_rang_may_be_kept_too(self) -> None:
        invite, request = self.call()
        invite.keep_all = True
        self.peer.answer(request, 180, "a")
        self.peer.answer(request, 180, "b")
        rang = invite.sessions["b"]
        self.peer.answer(request, 200, "a", body=ANSWER)
        self.peer.answer(request, 200, "b", body=SECOND_ANSWER)
        self.assertEqual(self.peer.starts(), ["ACK", "ACK"])
        self.assertEqual(invite.events, ["180", "180", "accepted", "accepted"])
        kept = invite.sessions["b"]
        self.assertEqual((rang.state, rang.events), ("terminated", ["ended 487 us"]))
        self.assertEqual((kept.state, kept.got), ("confirmed", [SECOND_ANSWER]))
        self.peer.answer(request, 200, "b", body=SECOND_ANSWER)
        self.assertEqual(self.peer.one("ACK").to.tag, "b")
        self.peer.within(kept.dialog, "BYE", 1)
        self.assertEqual(self.peer.one("200").to.tag, kept.dialog.local_tag)
        self.assertEqual(kept.events[-1], "ended 200 peer")
        self.assertEqual(invite.session.state, "confirmed")
        invite.session.bye()
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("BYE"), 200)
        self.assert_nothing_left()

    def test_the_final_response_is_there_to_look_at(self) -> None:
        for status in (200, 486):
            invite, request = self.call()
            seen: list[Any] = []
            invite.accepted = invite.failed = lambda *more, invite=invite, seen=seen: seen.append(
                (invite.response.status, invite.response.get("subject"))
            )
            self.peer.answer(request, status, extra="Subject: hi\r\n", body=ANSWER)
            self.assertEqual((seen, invite.response), ([(status, "hi")], None))
            self.peer.take()

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
        # One of those that were not looked at answers, and then all others do.
        self.peer.answer(request, 200, "t50", body=ANSWER)
        self.assertEqual((self.peer.one("ACK").to.tag, invite.events[-1]), ("t50", "accepted"))
        for number in range(60):
            self.peer.answer(request, 200, f"t{number}", body=ANSWER)
        for one in self.peer.take():
            if one.method == "BYE":
                self.peer.answer(one, 200)
        self.assertLessEqual(len(invite.sessions), 33)
        invite.session.bye()
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("BYE"), 200)
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
