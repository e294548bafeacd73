"""Whole calls between two user agents."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, Stage


class BasicCalls(SynchronousTestCase):
    """RFC 3665 section 3.1, without a proxy."""

    def test_ring_answer_hang_up(self) -> None:
        stage = Stage()
        ringing: list[Any] = []

        def ring(invite: Any) -> None:
            ringing.append(invite)
            invite.progress(180)

        stage.bob.agent.script = ring
        invite = stage.call()
        stage.advance(1)
        self.assertEqual(invite.events, ["180"])
        self.assertEqual(invite.sessions[ringing[0].session.dialog.local_tag].state, "early")
        self.assertEqual(ringing[0].offer, OFFER)
        ringing[0].accept(ANSWER)
        stage.advance(1)
        self.assertEqual(invite.events, ["180", "accepted"])
        self.assertEqual(invite.session.got, [ANSWER])
        self.assertEqual((invite.session.state, stage.bob.session.state), ("confirmed", "confirmed"))
        self.assertIn("established", stage.bob.session.events)
        self.assertEqual(
            stage.flow(), ["> INVITE", "< 180 INVITE", "> PRACK", "< 200 PRACK", "< 200 INVITE", "> ACK"]
        )
        invite.session.bye()
        stage.advance(1)
        self.assertEqual(stage.flow(), ["> BYE", "< 200 BYE"])
        self.assertEqual(invite.session.events[-1], "ended 200 us")
        self.assertEqual(stage.bob.session.events[-1], "ended 200 peer")
        self.assertEqual(stage.leftovers(), [])
