"""The listing of docs/howto/connect-two-phones.md, between two phones on a simulated network."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.test.docs.test_school_registrar import ROOT
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, SECOND_OFFER, End, Stage

EXAMPLE = ROOT / "docs" / "examples" / "click_to_call" / "click.py"


def example() -> ModuleType:
    if not EXAMPLE.exists():
        raise SkipTest("the examples are in a checkout only")
    spec = importlib.util.spec_from_file_location("click_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["click_example"] = module
    spec.loader.exec_module(module)
    return module


class ClickToCallTests(SynchronousTestCase):
    def setUp(self) -> None:
        settings = AgentSettings(reliable="off")
        self.stage = Stage(settings)
        self.addCleanup(sys.modules.pop, "click_example", None)
        self.end = End(self.stage, "click", "10.0.0.7", settings, None, example().ClickToCall)
        self.agent: Any = self.end.agent
        self.stage.alice.agent.script = lambda invite: invite.accept(OFFER)
        self.stage.bob.agent.script = lambda invite: invite.accept(ANSWER)

    def connect(self) -> None:
        self.agent.connect(self.stage.alice.uri, self.stage.bob.uri)
        self.stage.advance(1)

    def assert_over(self) -> None:
        self.assertEqual(self.stage.leftovers() + self.end.leftovers(), [])

    def test_both_talk(self) -> None:
        self.connect()
        alice, bob = self.stage.alice.session, self.stage.bob.session
        self.assertEqual(self.stage.bob.agent.received[0].offer, OFFER)
        self.assertEqual(alice.got, [ANSWER])
        self.assertEqual((alice.state, bob.state), ("confirmed", "confirmed"))
        bob.bye()
        self.stage.advance(1)
        self.assertEqual(alice.events[-1], "ended 200 peer")
        self.assert_over()

    def test_the_second_is_busy(self) -> None:
        self.stage.bob.agent.script = lambda invite: invite.reject(486)
        self.connect()
        self.assertEqual(self.stage.alice.session.events[-1][:5], "ended")
        self.assert_over()

    def test_the_first_does_not_answer(self) -> None:
        self.stage.alice.agent.script = lambda invite: invite.reject(480)
        self.connect()
        self.assertEqual(self.stage.bob.agent.received, [])
        self.assert_over()

    def test_the_first_hangs_up_while_the_second_rings(self) -> None:
        ringing: list[Any] = []
        self.stage.bob.agent.script = ringing.append
        self.connect()
        self.stage.alice.session.bye()
        self.stage.advance(1)
        # Its 2xx waits for the ACK: that comes with the answer, which there will not be.
        self.stage.advance(39)
        self.assertTrue(ringing[0].answered)
        self.assertEqual(self.stage.bob.session.state, "terminated")
        self.assert_over()

    def test_what_a_phone_offers_later_is_refused(self) -> None:
        self.connect()
        done = self.stage.bob.session.reinvite(SECOND_OFFER)
        self.stage.advance(1)
        self.assertIn("488", str(self.failureResultOf(done).value))
