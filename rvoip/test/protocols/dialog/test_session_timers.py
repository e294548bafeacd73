"""Calls with session timers (RFC 4028), on the clock."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.session_timer import TimerSettings
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, Peer, Stage


def settings(**more: Any) -> AgentSettings:
    return AgentSettings(reliable="off", timer=TimerSettings(**more))


class Refreshing(SynchronousTestCase):
    """Who refreshes, how, and what happens when nobody does."""

    def test_the_caller_refreshes_by_update(self) -> None:
        stage = Stage(settings(interval=200, refresher="uac"))
        ours, theirs = stage.established()
        stage.advance(101)
        self.assertEqual(stage.flow(), ["> UPDATE", "< 200 UPDATE"])
        self.assertEqual((ours.events[-1], theirs.events[-1]), ("refreshed", "refreshed"))
        stage.advance(1000)
        self.assertEqual((ours.state, theirs.state), ("confirmed", "confirmed"))
        self.assertEqual(stage.flow(), ["> UPDATE", "< 200 UPDATE"] * 10)
        theirs.bye()
        self.assertEqual(stage.leftovers(), [])

    def test_the_called_refreshes(self) -> None:
        stage = Stage(settings(interval=200, refresher="uas"))
        stage.established()
        stage.advance(101)
        self.assertEqual(stage.flow(), ["< UPDATE", "> 200 UPDATE"])

    def test_by_reinvite_where_the_peer_has_no_update(self) -> None:
        stage = Stage(settings(interval=200, refresher="uac"))
        stage.bob.agent.own_headers = (("Allow", "INVITE, ACK, BYE"),)
        ours, theirs = stage.established()
        stage.advance(101)
        self.assertEqual(stage.flow(), ["> INVITE", "< 200 INVITE", "> ACK"])
        self.assertEqual(theirs.offers, [OFFER])
        self.assertEqual(ours.state, "confirmed")

    def test_a_peer_that_does_not_refresh_is_hung_up(self) -> None:
        stage = Stage(settings(interval=200, refresher="uac"))
        ours, theirs = stage.established()
        stage.network.partition(["alice"])
        stage.advance(150)
        self.assertEqual(ours.events[-1], "ended 408 network")
        stage.advance(30)
        self.assertEqual(theirs.events[-1], "ended 408 network")
        self.assertEqual(stage.leftovers(), [])

    def test_a_refresh_while_the_peer_changes_the_session(self) -> None:
        stage = Stage(settings(interval=200, refresher="uac"))
        ours, theirs = stage.established()
        stage.advance(99.9)
        done = theirs.reinvite(ANSWER)
        stage.advance(400)
        self.successResultOf(done)
        self.assertEqual((ours.state, theirs.state), ("confirmed", "confirmed"))

    def test_422(self) -> None:
        stage = Stage(settings(interval=100, min_se=90), settings(interval=900, min_se=600))
        stage.bob.agent.script = lambda invite: invite.accept(ANSWER)
        invite = stage.call()
        stage.advance(1)
        self.assertEqual(invite.events, ["accepted"])
        self.assertEqual(stage.flow()[:4], ["> INVITE", "< 422 INVITE", "> ACK", "> INVITE"])
        self.assertEqual(invite.session.timer.interval, 600)

    def test_an_interval_that_is_too_small_from_a_peer(self) -> None:
        stage = Stage(settings())
        peer = Peer(stage)
        peer.request("INVITE", body=OFFER, extra="Supported: timer\r\nSession-Expires: 30\r\n")
        self.assertEqual(peer.one("422").get("min-se"), "90")
        self.assertEqual(stage.alice.agent.received, [])

    def test_off(self) -> None:
        stage = Stage(settings(policy="off"))
        ours, _ = stage.established()
        self.assertIsNone(ours.timer)
        stage.advance(5000)
        self.assertEqual((stage.flow(), ours.state), ([], "confirmed"))
