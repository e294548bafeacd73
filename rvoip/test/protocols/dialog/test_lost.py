"""Calls of which the network loses a part, and peers that are gone."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.ending import Ending
from rvoip.protocols.dialog.errors import RequestFailed
from rvoip.test.protocols.dialog.agents import (
    ANSWER,
    SECOND_OFFER,
    Stage,
)

PLAIN = AgentSettings(reliable="off")


class Lost(SynchronousTestCase):
    """What the network loses."""

    def test_a_2xx_is_sent_until_it_is_acknowledged(self) -> None:
        stage = Stage(PLAIN)
        stage.network.lose_if(lambda one: one.data.startswith(b"ACK") and stage.network.clock.seconds() < 4)
        stage.bob.agent.script = lambda invite: invite.accept(ANSWER)
        invite = stage.call()
        stage.advance(20)
        self.assertEqual(stage.flow(), ["> INVITE", *["< 200 INVITE"] * 5, "> ACK"])
        self.assertEqual((invite.session.state, stage.bob.session.state), ("confirmed", "confirmed"))
        invite.session.bye()
        self.assertEqual(stage.leftovers(), [])

    def test_a_2xx_that_nobody_acknowledges(self) -> None:
        stage = Stage(PLAIN)
        stage.network.lose_if(lambda one: one.data.startswith(b"ACK"))
        stage.bob.agent.script = lambda invite: invite.accept(ANSWER)
        invite = stage.call()
        stage.advance(40)
        self.assertEqual(stage.flow()[-2:], ["< BYE", "> 200 BYE"])
        self.assertEqual(stage.bob.session.events[-1], "ended 408 network")
        self.assertEqual(invite.session.events[-1], "ended 200 peer")
        self.assertEqual(stage.leftovers(), [])

    def test_an_ack_that_got_lost_is_made_up_for_by_the_next_invite(self) -> None:
        stage = Stage(PLAIN)
        lost = stage.network.lose_if(lambda one: one.data.startswith(b"ACK"))
        stage.bob.agent.script = lambda invite: invite.accept(ANSWER)
        invite = stage.call()
        stage.advance(0.1)
        lost()
        done = invite.session.reinvite(SECOND_OFFER)
        stage.advance(1)
        self.successResultOf(done)
        self.assertIn("established", stage.bob.session.events)
        stage.advance(60)
        self.assertEqual(stage.bob.session.state, "confirmed")

    def test_a_request_to_a_peer_that_is_gone_ends_the_session(self) -> None:
        for name in ("INFO", "reinvite"):
            stage = Stage(PLAIN)
            ours, _ = stage.established()
            stage.network.partition(["bob"])
            done = ours.request("INFO") if name == "INFO" else ours.reinvite(SECOND_OFFER)
            stage.advance(40)
            self.failureResultOf(done, RequestFailed)
            self.assertEqual(ours.events[-1], "ended 408 network")
            stage.advance(60)
            self.assertEqual(stage.alice.leftovers(), [])

    def test_a_peer_that_forgot_the_dialog_ends_the_session(self) -> None:
        stage = Stage(PLAIN)
        ours, theirs = stage.established()
        theirs.end(Ending(500, "forgotten", "us"))
        done = ours.request("INFO")
        stage.advance(1)
        self.assertEqual(self.successResultOf(done).status, 481)
        self.assertEqual(ours.events[-1], "ended 481 peer")
        self.assertEqual(stage.leftovers(), [])
