"""Alice, and a peer whose messages the test writes."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.session_timer import TimerSettings
from rvoip.protocols.sip.message import Request
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, Peer, Stage, Told

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
