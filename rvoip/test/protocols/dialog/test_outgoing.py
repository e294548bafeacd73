"""Requests of ours: where they go, and where else when that fails (RFC 3263)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.errors import RequestFailed
from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.selection import LocateError
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, SECOND_OFFER, Names, Peer, Stage

PLAIN = AgentSettings(reliable="off")


class Slow(Names):
    """Finds nothing at once: `wait` fires when it may."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.wait: Deferred[None] = Deferred()
        self.slow = True

    def locate_now(self, uri: Any) -> list[Target] | None:
        return None if self.slow else super().locate_now(uri)

    async def locate(self, uri: Any) -> list[Target]:
        await self.wait
        found = super().locate_now(uri)
        assert found is not None
        return found


class Where(SynchronousTestCase):
    """Targets and failover."""

    def setUp(self) -> None:
        self.stage = Stage(PLAIN)
        self.first = Peer(self.stage, "first", "10.0.0.8")
        self.second = Peer(self.stage, "second", "10.0.0.9")
        self.locator = self.stage.alice.locator
        self.locator.names["both.test"] = [Target("UDP", "10.0.0.8", 5060), Target("UDP", "10.0.0.9", 5060)]

    def call(self, uri: str = "sip:bob@both.test", body: Body = OFFER) -> Any:
        invite = self.stage.call(body, uri)
        self.stage.advance(0.01)
        return invite

    def test_503_goes_on_to_the_next(self) -> None:
        invite = self.call()
        sent = self.first.one("INVITE")
        self.first.answer(sent, 503)
        self.assertEqual(self.first.starts(), ["ACK"])
        again = self.second.one("INVITE")
        self.assertEqual((again.call_id, again.cseq), (sent.call_id, sent.cseq))
        self.assertNotEqual(again.via.branch, sent.via.branch)
        self.second.answer(again, 503)
        self.assertEqual(invite.events, ["failed 503 Answered"])

    def test_silence_goes_on_to_the_next(self) -> None:
        invite = self.call()
        self.stage.advance(33)
        self.second.answer(self.second.take()[0], 200, body=ANSWER)
        self.assertEqual(invite.events, ["accepted"])
        self.assertTrue(self.locator.blacklist.avoids(Target("UDP", "10.0.0.8", 5060), 40.0))

    def test_silence_after_a_provisional_response_does_not(self) -> None:
        done = self.stage.alice.agent.request_outside(
            "MESSAGE", "sip:bob@both.test", from_="<sip:alice@10.0.0.1>"
        )
        self.stage.advance(0.01)
        self.first.answer(self.first.one("MESSAGE"), 100)
        self.stage.advance(40)
        self.assertEqual(self.failureResultOf(done, RequestFailed).value.reason, "timeout")
        self.assertEqual(self.second.starts(), [])

    def test_cancelled_before_it_goes_on(self) -> None:
        invite = self.call()
        invite.cancel()
        self.first.answer(self.first.one("INVITE"), 503)
        self.assertEqual(invite.events, ["failed 503 Answered"])
        self.assertEqual(self.second.starts(), [])

    def test_a_large_request_falls_back_to_udp(self) -> None:
        """RFC 3261 section 18.1.1: TCP first; nobody listens there."""
        self.call(body=Body(b"v=0\r\n" + b"a=x\r\n" * 400))
        self.stage.advance(1)
        self.assertEqual([one.via.transport for one in self.first.take()], ["UDP", "UDP"])

    def test_nowhere(self) -> None:
        self.locator.names["none.test"] = []
        self.assertEqual(self.call("sip:bob@none.test").events, ["failed no target"])
        self.assertEqual(self.call("sip:bob@gone.test").events, ["failed no target: there is no gone.test"])
        self.assertEqual(self.call("mailto:x@y").events[0][:16], "failed no target")


class Later(SynchronousTestCase):
    """DNS takes its time."""

    def setUp(self) -> None:
        self.stage = Stage(PLAIN)
        self.peer = Peer(self.stage)
        self.locator = Slow(self.stage.alice.reactor)
        self.stage.alice.agent.locator = self.locator

    def test_it_goes_when_it_is_known_where_to(self) -> None:
        invite = self.stage.call(OFFER, self.peer.uri)
        self.stage.advance(1)
        self.assertEqual(self.peer.starts(), [])
        self.locator.wait.callback(None)
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("INVITE"), 200, body=ANSWER)
        # So does the ACK.
        self.peer.one("ACK")
        self.assertEqual(invite.events, ["accepted"])

    def test_it_cannot_be_known(self) -> None:
        invite = self.stage.call(OFFER, self.peer.uri)
        self.locator.wait.errback(LocateError("DNS is silent"))
        self.assertEqual(invite.events, ["failed no target: DNS is silent"])
        self.assertEqual(self.stage.alice.leftovers(), [])

    def test_cancelled_meanwhile(self) -> None:
        invite = self.stage.call(OFFER, self.peer.uri)
        invite.cancel()
        self.assertEqual(invite.events, ["failed cancelled"])
        self.locator.wait.callback(None)
        self.stage.advance(1)
        self.assertEqual(self.peer.starts(), [])
        self.assertEqual(self.stage.alice.leftovers(), [])

    def test_the_way_of_an_ack_is_found_when_it_is_needed_again(self) -> None:
        self.locator.slow = False
        invite = self.stage.call(OFFER, self.peer.uri)
        self.stage.advance(0.01)
        sent = self.peer.one("INVITE")
        self.locator.slow = True
        self.peer.answer(sent, 200, body=ANSWER)
        self.assertEqual(self.peer.starts(), [])
        self.locator.wait.errback(LocateError("DNS is silent"))
        self.locator.slow = False
        self.peer.answer(sent, 200, body=ANSWER)
        self.assertEqual(self.peer.starts(), ["ACK"])
        self.assertEqual(invite.events, ["accepted"])


class Flows(SynchronousTestCase):
    """Requests of a dialog that stay on a connection, or go back where the peer's came from."""

    def test_a_caller_over_tcp_is_reached_over_its_connection(self) -> None:
        stage = Stage(PLAIN)
        stage.bob.agent.script = lambda invite: invite.accept(ANSWER)
        stage.alice.agent.contact = lambda flow, dialog, message: "<sip:alice@192.168.1.1>"  # type: ignore[method-assign]
        invite = stage.call(uri=f"{stage.bob.uri};transport=tcp")
        stage.advance(1)
        # It is not closed as idle while the call lasts.
        stage.advance(3600)
        stage.bob.session.bye()
        stage.advance(1)
        self.assertEqual(invite.session.events[-1], "ended 200 peer")

    def test_symmetric(self) -> None:
        stage = Stage(AgentSettings(reliable="off", symmetric=True))
        stage.bob.agent.script = lambda invite: invite.accept(ANSWER)
        stage.alice.agent.contact = lambda flow, dialog, message: "<sip:alice@192.168.1.1>"  # type: ignore[method-assign]
        invite = stage.call()
        stage.advance(1)
        done = stage.bob.session.reinvite(SECOND_OFFER)
        stage.advance(1)
        self.successResultOf(done)
        self.assertEqual(invite.session.offers, [SECOND_OFFER])

    def test_contacts(self) -> None:
        stage = Stage(PLAIN)
        agent, layer = stage.alice.agent, stage.alice.layer
        request = agent.make_request("OPTIONS", "sip:x@y", from_="<sip:alice@a.test>")
        udp, tcp = (layer.transport.flow_to(Target(one, "10.0.0.2", 5060)) for one in ("UDP", "TCP"))
        self.assertEqual(agent.contact(udp, None, request), "<sip:alice@10.0.0.1:5060>")
        self.assertEqual(agent.contact(tcp, None, request), "<sip:alice@10.0.0.1:5060;transport=tcp>")
        request = agent.make_request("OPTIONS", "sips:x@y", from_="<sip:alice@a.test>")
        self.assertEqual(agent.contact(tcp, None, request), "<sips:alice@10.0.0.1:5060>")

    def test_a_contact_of_the_callers_stays(self) -> None:
        stage = Stage(PLAIN)
        peer = Peer(stage)
        stage.call(OFFER, peer.uri, headers=(("Contact", "<sip:gruu@x.test>"),))
        stage.advance(0.01)
        self.assertEqual(peer.one("INVITE").contacts[0].uri_text, "sip:gruu@x.test")
