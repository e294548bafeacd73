"""User agents by way of the proxy, which asks for credentials, over a network that loses and reorders."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.challenge import Credential
from rvoip.proxy.proxy import ProxySettings
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, SECOND_ANSWER, SECOND_OFFER, Agent, End
from rvoip.test.proxy.scene import DOMAIN, PASSWORD, PROXY, Scene


def find(realm: str, host: str) -> Credential | None:
    """Alice's password, for the proxy and nobody else."""
    credential = Credential("alice", PASSWORD, DOMAIN, frozenset((PROXY, DOMAIN)))
    return credential if credential.serves(realm, host) else None


class ByProxyTests(SynchronousTestCase):
    def stage(self, settings: AgentSettings | None = None, **knobs: Any) -> tuple[Scene, End, End]:
        scene = Scene(ProxySettings(authenticate=True), **knobs)
        stage: Any = scene
        alice = End(stage, "alice", "10.0.5.1", settings, find, Agent)
        bob = End(stage, "bob", "10.0.5.2", settings, None, Agent)
        scene.places.bind("bob", "sip:bob@10.0.5.2:5060")
        scene.places.bind("alice", "sip:alice@10.0.5.1:5060")
        return scene, alice, bob

    def call(self, alice: End) -> Any:
        return alice.agent.invite(
            f"sip:bob@{DOMAIN}", from_=f"<sip:alice@{DOMAIN}>", routes=[f"<sip:{PROXY};lr>"], body=OFFER
        )

    def test_a_call_with_all_that_is_in_it(self) -> None:
        scene, alice, bob = self.stage()
        bob.agent.script = lambda invite: invite.progress(183, ANSWER)
        invite = self.call(alice)
        scene.advance(1)
        self.assertEqual(invite.events, ["183"])
        bob.agent.received[0].accept()
        scene.advance(1)
        self.assertEqual(invite.events, ["183", "accepted"])
        for session, other in ((invite.session, bob.session), (bob.session, invite.session)):
            other.answers += [SECOND_ANSWER, SECOND_ANSWER]
            for change in (session.reinvite(SECOND_OFFER), session.request("INFO")):
                scene.advance(1)
                self.assertEqual(self.successResultOf(change).status, 200)
        bob.session.bye()
        scene.advance(1)
        self.assertEqual(invite.session.events[-1], "ended 200 peer")
        scene.advance(100)
        self.assertEqual(alice.leftovers() + bob.leftovers() + scene.leftovers(), [])

    def test_a_cancelled_one(self) -> None:
        scene, alice, bob = self.stage()
        bob.agent.script = lambda invite: invite.progress()
        invite = self.call(alice)
        scene.advance(1)
        invite.cancel((("Reason", "SIP;cause=487"),))
        scene.advance(1)
        self.assertEqual(invite.events, ["180", "failed 487 Request Terminated"])
        self.assertEqual(bob.session.events, ["ended 487 peer"])
        scene.advance(100)
        self.assertEqual(alice.leftovers() + bob.leftovers() + scene.leftovers(), [])

    def test_loss(self) -> None:
        """Calls at 5 % loss on each hop: each is answered, changed and hung up, and nothing is left."""
        for seed in range(3):
            scene, alice, bob = self.stage(seed=seed, loss=0.05, reorder=0.05, delay=(0.005, 0.04))
            bob.agent.script = lambda invite: invite.accept(ANSWER)
            calls = []
            for _ in range(20):
                calls.append(self.call(alice))
                scene.advance(0.2)
            scene.advance(40)
            self.assertEqual([one.events for one in calls], [["accepted"]] * 20, seed)
            changes = [one.session.reinvite(SECOND_OFFER) for one in calls]
            scene.advance(40)
            for change in changes:
                self.assertEqual(self.successResultOf(change).status, 200, seed)
            theirs = {one.dialog.call_id: one for one in bob.agent.sessions}
            for number, one in enumerate(calls):
                (one.session if number % 2 else theirs[one.session.dialog.call_id]).bye()
            scene.advance(100)
            self.assertEqual(alice.leftovers() + bob.leftovers() + scene.leftovers(), [], seed)
