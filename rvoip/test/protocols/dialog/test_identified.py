"""One Session-ID in all messages of a call, whoever sends them (RFC 7989)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog import identified
from rvoip.protocols.dialog.identified import IdentifiedAgent
from rvoip.protocols.sip.message import Message
from rvoip.protocols.sip.session_headers import NIL_UUID, parse_session_id
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, Agent, Peer, Stage


class Identified(IdentifiedAgent, Agent):
    """An agent of the tests with identifiers."""


class IdentifierTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Stage(agent_class=Identified)

    def halves(self, message: Message) -> tuple[str, str]:
        found = parse_session_id(message.get("session-id") or "")
        assert found.remote is not None
        return found.local, found.remote

    def check(self, messages: list[Any]) -> None:
        """Alice's half first in what she sends, Bob's in what he does; hers says nil before she knows his."""
        seen = [(source, self.halves(one)) for source, one in messages if getattr(one, "status", 0) != 100]
        (alice, nil) = seen[0][1]
        self.assertEqual(nil, NIL_UUID)
        bob = next(local for source, (local, _) in seen if source == "10.0.0.2")
        self.assertNotEqual(alice, bob)
        known = False
        for source, halves in seen:
            if source == "10.0.0.2":
                self.assertEqual(halves, (bob, alice))
                known = True
            else:
                self.assertEqual(halves, (alice, bob if known else NIL_UUID))

    def test_a_call(self) -> None:
        here, there = self.established()
        here.reinvite(OFFER)
        self.stage.advance(1)
        there.request("OPTIONS")
        self.stage.advance(1)
        there.bye()
        self.stage.advance(1)
        self.check(self.stage.messages)
        self.assertEqual(self.stage.leftovers(), [])

    def established(self) -> Any:
        self.stage.bob.agent.script = lambda invite: (invite.progress(180), invite.accept(ANSWER))
        invite = self.stage.call()
        self.stage.advance(1)
        return invite.session, self.stage.bob.session

    def test_a_call_that_is_cancelled(self) -> None:
        """CANCEL and the ACK of its 487 have what the INVITE has, for they are told from it alone."""
        self.stage.bob.agent.script = lambda invite: invite.progress(180)
        invite = self.stage.call()
        self.stage.advance(1)
        invite.cancel()
        self.stage.advance(1)
        sent = {one.method: self.halves(one) for _, one in self.stage.messages if hasattr(one, "method")}
        self.assertEqual(set(sent), {"INVITE", "PRACK", "CANCEL", "ACK"})
        self.assertEqual(sent["CANCEL"], sent["INVITE"])
        self.assertEqual(sent["ACK"], sent["INVITE"])

    def test_a_refusal(self) -> None:
        self.stage.bob.agent.script = lambda invite: invite.reject(486)
        self.stage.call()
        self.stage.advance(1)
        asked, refused = [one for _, one in self.stage.messages if getattr(one, "status", 486) == 486][:2]
        self.assertEqual(self.halves(refused)[1], self.halves(asked)[0])

    def test_outside_dialogs(self) -> None:
        self.stage.alice.agent.request_outside("OPTIONS", self.stage.bob.uri, from_="<sip:a@x>")
        self.stage.advance(1)
        (_, asked), (_, answer) = self.stage.messages
        self.assertEqual(self.halves(answer)[1], self.halves(asked)[0])

    def test_it_goes_on(self) -> None:
        """A call in place of another keeps our half (RFC 7989 section 6)."""
        here, _ = self.established()
        agent: Any = self.stage.alice.agent
        identifier = agent.identifier(here.dialog)
        self.stage.messages = []
        self.stage.call(headers=(("Session-ID", identifier.continued().header),))
        self.stage.advance(1)
        self.check(self.stage.messages)
        self.assertEqual(self.halves(self.stage.messages[0][1]), (identifier.local, NIL_UUID))
        self.assertNotEqual(identifier.remote, NIL_UUID)

    def test_forks_have_their_own_peers(self) -> None:
        peer = Peer(self.stage)
        invite = self.stage.call(uri=peer.uri)
        self.stage.advance(0.1)
        asked = peer.one("INVITE")
        local, _ = self.halves(asked)
        for tag in ("a", "b"):
            peer.answer(asked, 180, tag=tag, extra=f"Session-ID: {tag * 32};remote={local}\r\n")
        agent: Any = self.stage.alice.agent
        found = {tag: agent.identifier(session.dialog).remote for tag, session in invite.sessions.items()}
        self.assertEqual(found, {"a": "a" * 32, "b": "b" * 32})
        self.assertEqual({agent.identifier(one.dialog).local for one in invite.sessions.values()}, {local})

    def test_a_peer_that_knows_none(self) -> None:
        peer = Peer(self.stage)
        self.stage.call(uri=peer.uri)
        self.stage.advance(0.1)
        asked = peer.one("INVITE")
        peer.answer(asked, 200, body=ANSWER)
        ack = peer.one("ACK")
        self.assertEqual(self.halves(ack), self.halves(asked))

    def test_garbage(self) -> None:
        peer = Peer(self.stage)
        peer.request("OPTIONS", extra="Session-ID: garbage\r\n")
        self.assertEqual(self.halves(peer.one("200"))[1], NIL_UUID)

    def test_memory_is_bounded(self) -> None:
        self.patch(identified, "_MOST", 10)
        peer = Peer(self.stage)
        for _ in range(20):
            peer.request("OPTIONS")
        agent: Any = self.stage.alice.agent
        self.assertEqual(len(agent._identifiers), 10)
