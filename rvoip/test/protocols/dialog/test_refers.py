"""Transfers between user agents: REFER in a call and outside, followed to the end (RFC 3515, 5589)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.errors import Refused, WrongState
from rvoip.protocols.dialog.interfaces import IDialogUsage
from rvoip.protocols.dialog.refer_client import ClientRefer
from rvoip.protocols.dialog.refer_server import ReferServer, ServerRefer
from rvoip.protocols.dialog.session import Session
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.transfer_headers import Replaces
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, Agent, Calling, End, Peer, Stage

SIPFRAG = "message/sipfrag"


class Referring(ClientRefer):
    """A REFER that writes down what it is told."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.events: list[str] = []

    def progressed(self, status: int, reason: str) -> Any:
        self.events.append(f"{status} {reason}")

    def ended(self, outcome: str, status: int, reason: str) -> Any:
        self.events.append(f"{outcome} {status}")


class Following(Calling):
    """The call that a REFER asks for: tells the referrer how it goes."""

    refer: ServerRefer

    def progressed(self, response: Response, session: Session | None) -> Any:
        self.refer.progress(response.status, response.reason)

    def accepted(self, session: Session) -> Any:
        self.refer.progress(200)

    def failed(self, response: Response | None, reason: str) -> Any:
        self.refer.progress(503 if response is None else response.status)


class TransferTests(SynchronousTestCase):
    """Alice calls Bob, and has him call Carol."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.carol = End(self.stage, "carol", "10.0.0.3", None, None, Agent)
        self.carol.agent.script = lambda invite: invite.accept(ANSWER)
        self.refers: list[ServerRefer] = []
        self.policy: Any = self.follow
        ReferServer(self.stage.bob.agent, lambda refer: self.policy(refer))

    def follow(self, refer: ServerRefer) -> None:
        self.refers.append(refer)
        refer.accept()
        made = Following(
            self.stage.bob.agent,
            refer.triggered.uri,
            from_=f"<{self.stage.bob.uri}>",
            body=OFFER,
            headers=refer.triggered.headers,
        )
        made.refer = refer
        made.start()

    def refer(self, **more: Any) -> Referring:
        return Referring(self.stage.alice.agent, self.carol.uri, **more)

    def check_quiet(self) -> None:
        self.assertEqual(self.stage.leftovers() + self.carol.leftovers(), [])

    def test_blind(self) -> None:
        here, there = self.stage.established()
        refer = self.refer(referred_by=self.stage.alice.uri)
        refer.send(here.dialog)
        verifyObject(IDialogUsage, refer)
        self.stage.advance(1)
        self.assertEqual(refer.events, ["100 Trying", "200 OK", "succeeded 200"])
        (found,) = self.refers
        self.assertIs(found.session, there)
        (invite,) = self.carol.agent.received
        self.assertEqual(invite.request.get("referred-by"), f"<{self.stage.alice.uri}>")
        # The first call goes on, until somebody hangs up (RFC 5589 section 6.1).
        self.assertEqual((here.state, there.state), ("confirmed", "confirmed"))
        here.bye()
        self.stage.advance(1)
        self.carol.session.bye()
        self.check_quiet()

    def test_the_messages(self) -> None:
        here, _ = self.stage.established()
        self.refer().send(here.dialog)
        self.stage.advance(1)
        taken = self.stage.take()
        asked = next(one for one in taken if isinstance(one, Request) and one.method == "REFER")
        self.assertEqual(asked.get("refer-to"), f"<{self.carol.uri}>")
        self.assertTrue(asked.has("contact"))
        notifies: list[Any] = [one for one in taken if isinstance(one, Request) and one.method == "NOTIFY"]
        shown = [
            (one.get("event"), one.get("subscription-state"), one.get("content-type"), one.body)
            for one in notifies
        ]
        event = f"refer;id={asked.cseq.number}"
        fragment = "message/sipfrag;version=2.0"
        self.assertEqual(
            shown,
            [
                (event, "active;expires=180", fragment, b"SIP/2.0 100 Trying\r\n"),
                (event, "terminated;reason=noresource", fragment, b"SIP/2.0 200 OK\r\n"),
            ],
        )

    def test_the_call_ends_first(self) -> None:
        """The referrer hangs up, and still learns how it went: the usages share a dialog (RFC 5057)."""
        self.carol.agent.script = lambda invite: invite.progress(180)
        here, there = self.stage.established()
        refer = self.refer()
        refer.send(here.dialog)
        self.stage.advance(0.5)
        here.bye()
        self.stage.advance(0.5)
        self.assertEqual((here.state, there.state), ("terminated", "terminated"))
        self.assertEqual(refer.events, ["100 Trying", "180 Ringing"])
        self.carol.agent.received[0].accept(ANSWER)
        self.stage.advance(1)
        self.assertEqual(refer.events[2:], ["200 OK", "succeeded 200"])
        self.carol.session.bye()
        self.check_quiet()

    def test_attended(self) -> None:
        """Alice has asked Carol first; Bob's call takes over hers (RFC 5589 section 7.1)."""
        here, _ = self.stage.established()
        consulting = self.stage.call(uri=self.carol.uri)
        self.stage.advance(1)
        second = consulting.session
        assert second is not None
        dialog = second.dialog
        refer = self.refer(replaces=Replaces(dialog.call_id, dialog.remote_tag, dialog.local_tag))
        refer.send(here.dialog)
        self.stage.advance(1)
        self.assertEqual(refer.events[-1], "succeeded 200")
        self.assertEqual(
            self.refers[0].refer.replaces, Replaces(dialog.call_id, dialog.remote_tag, dialog.local_tag)
        )
        invite = self.carol.agent.received[-1]
        assert invite.replaces is not None
        self.assertEqual(invite.replaces.dialog.call_id, dialog.call_id)
        self.assertEqual(second.state, "terminated", "Carol hung up on Alice")
        here.bye()
        self.carol.session.bye()
        self.check_quiet()

    def test_the_target_is_busy(self) -> None:
        self.carol.agent.script = lambda invite: invite.reject(486)
        here, _ = self.stage.established()
        refer = self.refer()
        refer.send(here.dialog)
        self.stage.advance(1)
        self.assertEqual(refer.events[-2:], ["486 Busy Here", "failed 486"])
        self.assertEqual(here.state, "confirmed")
        here.bye()
        self.check_quiet()

    def test_refused(self) -> None:
        here, _ = self.stage.established()

        def denied(refer: ServerRefer) -> None:
            raise Refused(403)

        for policy, status in ((denied, 403), (lambda refer: refer.reject(), 603)):
            self.policy = policy
            refer = self.refer()
            refer.send(here.dialog)
            self.stage.advance(1)
            self.assertEqual(refer.events, [f"refused {status}"])
        self.assertEqual(here.state, "confirmed")
        here.bye()
        self.check_quiet()

    def test_nobody_takes_refers(self) -> None:
        here, there = self.stage.established()
        refer = Referring(self.stage.bob.agent, self.carol.uri)
        refer.send(there.dialog)
        self.stage.advance(1)
        self.assertEqual(refer.events, ["refused 405"])
        here.bye()
        self.check_quiet()

    def test_without_a_subscription(self) -> None:
        here, _ = self.stage.established()
        refer = self.refer(subscription=False)
        refer.send(here.dialog)
        self.stage.advance(1)
        self.assertEqual(refer.events, ["unknown 0"])
        taken = self.stage.take()
        accepted = next(one for one in taken if isinstance(one, Response) and one.cseq.method == "REFER")
        self.assertEqual((accepted.status, accepted.get("refer-sub")), (202, "false"))
        self.assertFalse(any(isinstance(one, Request) and one.method == "NOTIFY" for one in taken))
        here.bye()
        self.carol.session.bye()
        self.check_quiet()

    def test_two_at_once(self) -> None:
        """Each NOTIFY finds the REFER that it is about, by its id."""
        here, _ = self.stage.established()

        def accept(refer: ServerRefer) -> None:
            self.refers.append(refer)
            refer.accept()

        self.policy = accept
        one, two = self.refer(), self.refer()
        one.send(here.dialog)
        two.send(here.dialog)
        self.stage.advance(1)
        self.refers[1].progress(200)
        self.stage.advance(1)
        self.refers[0].progress(404)
        self.stage.advance(1)
        self.assertEqual(one.events, ["100 Trying", "404 Not Found", "failed 404"])
        self.assertEqual(two.events, ["100 Trying", "200 OK", "succeeded 200"])
        self.refers[0].progress(200)
        self.assertRaises(WrongState, self.refers[0].accept)
        self.refers[0].reject()
        here.bye()
        self.check_quiet()

    def test_nothing_is_heard(self) -> None:
        """The implicit subscription ends by itself."""
        here, _ = self.stage.established()
        self.policy = lambda refer: refer.accept()
        refer = self.refer()
        refer.send(here.dialog)
        self.stage.advance(181)
        self.assertEqual(refer.events, ["100 Trying", "unknown 100"])
        here.bye()
        self.check_quiet()

    def test_outside_a_dialog(self) -> None:
        """Click to dial: who is referred has no call yet."""
        refer = self.refer()
        refer.send_to(self.stage.bob.uri, from_=f"<{self.stage.alice.uri}>")
        self.stage.advance(1)
        self.assertEqual(refer.events, ["100 Trying", "200 OK", "succeeded 200"])
        self.assertIsNone(self.refers[0].session)
        self.carol.session.bye()
        self.check_quiet()

    def test_outside_but_about_a_call(self) -> None:
        """Target-Dialog names the call (RFC 4538)."""
        here, there = self.stage.established()
        dialog = here.dialog
        value = f"{dialog.call_id};local-tag={dialog.remote_tag};remote-tag={dialog.local_tag}"
        for text, session in ((value, there), (f"{value}x", None), ("bad;", None)):
            refer = self.refer(headers=(("Target-Dialog", text),))
            refer.send_to(self.stage.bob.uri, from_=f"<{self.stage.alice.uri}>")
            self.stage.advance(1)
            self.assertIs(self.refers[-1].session, session)
        here.bye()
        for session in self.carol.agent.sessions:
            session.bye()
        self.check_quiet()

    def test_nobody_there(self) -> None:
        refer = self.refer()
        refer.send_to("sip:x@nowhere.test", from_="<sip:a@x>")
        self.assertEqual(refer.events, ["refused 503"])
        here, _ = self.stage.established()
        self.stage.network.partition(["alice"], ["bob"])
        refer = self.refer()
        refer.send(here.dialog)
        self.stage.advance(40)
        self.assertEqual(refer.events, ["refused 408"])
        self.assertEqual(here.state, "confirmed")
        self.stage.network.heal()
        here.bye()
        self.check_quiet()


class PeerTests(SynchronousTestCase):
    """What a peer writes by hand."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.peer = Peer(self.stage)
        self.refers: list[ServerRefer] = []
        ReferServer(self.stage.alice.agent, self.take)

    def take(self, refer: ServerRefer) -> None:
        self.refers.append(refer)
        refer.accept()

    def test_what_is_no_refer(self) -> None:
        for extra, status in (
            ("", "400"),
            ("Refer-To: <sip:a@x>\r\nRefer-To: <sip:b@x>\r\n", "400"),
            ("Refer-To: <sip:a@x;method=ACK>\r\n", "501"),
            ("Refer-To: <sip:a@x>\r\nRequire: multiple-refer\r\n", "420"),
            ("Refer-To: <sip:a@x>\r\nReferred-By: <\r\n", "400"),
        ):
            self.peer.request("REFER", extra=extra)
            self.peer.one(status)
        self.assertEqual(self.refers, [])
        self.assertEqual(self.stage.leftovers(), [])

    def test_headers_that_do_not_matter(self) -> None:
        self.peer.request("REFER", extra="Refer-To: <sip:a@x>\r\nAccept: , ,\r\nEvent: ;\r\n")
        self.assertEqual(self.peer.starts(), ["202 REFER", "NOTIFY"])

    def test_many_in_a_dialog(self) -> None:
        self.peer.request("REFER", extra="Refer-To: <sip:a@x>\r\n")
        self.peer.take()
        dialog = self.refers[0].subscription.dialog  # type: ignore[union-attr]
        for number in range(20):
            self.peer.within(dialog, "REFER", number + 2, extra="Refer-To: <sip:a@x>\r\n")
        answers = [one.status for one in self.peer.take() if isinstance(one, Response)]
        self.assertEqual(answers, [202] * 15 + [503] * 5)

    def test_an_unsubscribe(self) -> None:
        self.peer.request("REFER", call_id="r", extra="Refer-To: <sip:a@x>\r\n")
        accepted, notify = self.peer.take()
        self.assertEqual((accepted.status, notify.method), (202, "NOTIFY"))
        self.peer.answer(notify, 200)
        dialog = self.refers[0].subscription.dialog  # type: ignore[union-attr]
        self.peer.within(dialog, "SUBSCRIBE", 2, extra="Event: refer;id=1\r\nExpires: 0\r\n")
        last = self.peer.take()[-1]
        self.assertEqual(last.get("subscription-state"), "terminated;reason=timeout")
        self.peer.answer(last, 200)
        self.refers[0].progress(200)
        self.assertEqual(self.peer.take(), [])
        self.assertEqual(self.stage.leftovers(), [])

    def test_notifies_that_err(self) -> None:
        agent = self.stage.alice.agent
        refer = Referring(agent, "sip:c@x")
        refer.send_to(self.peer.uri, from_=f"<{self.stage.alice.uri}>")
        self.stage.advance(0.1)
        asked = self.peer.one("REFER")

        def notify(event: str, state: str, body: bytes, cseq: int, tag: str = "t1") -> None:
            self.peer.request(
                "NOTIFY",
                tag=tag,
                to_tag=asked.from_.tag or "",
                call_id=asked.call_id,
                cseq=cseq,
                extra=f"Event: {event}\r\nSubscription-State: {state}\r\n",
                body=Body(body, SIPFRAG),
            )

        notify("presence", "active", b"SIP/2.0 100 Trying", 1)
        self.peer.one("481")
        # Without an id, and before the 202.
        notify("refer", "active;expires=60", b"SIP/2.0 100 Trying", 1)
        self.peer.one("200")
        self.peer.answer(asked, 202)
        notify("refer;id=99", "active", b"SIP/2.0 200 OK", 2)
        self.peer.one("481")
        notify("refer", "active", b"no status line", 3)
        self.peer.one("200")
        notify("refer", "active", b"SIP/2.0 100 Trying", 1, tag="t2")
        self.peer.one("481")
        notify(f"refer;id={asked.cseq.number}", "terminated;reason=noresource", b"SIP/2.0 503 x", 4)
        self.peer.one("200")
        self.assertEqual(refer.events, ["100 Trying", "503 x", "failed 503"])
        notify("refer", "active", b"SIP/2.0 200 OK", 5)
        self.peer.one("481")
        self.assertEqual(self.stage.leftovers(), [])
