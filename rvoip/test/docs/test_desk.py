"""The listing of docs/howto/hold-and-transfer.md, between three of its phones on a simulated network."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.protocols.sdp.session import parse
from rvoip.protocols.sip.message import Request
from rvoip.test.docs.test_school_registrar import ROOT
from rvoip.test.protocols.dialog.agents import End, Stage

EXAMPLE = ROOT / "docs" / "examples" / "desk" / "desk.py"


def example() -> ModuleType:
    if not EXAMPLE.exists():
        raise SkipTest("the examples are in a checkout only")
    spec = importlib.util.spec_from_file_location("desk_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["desk_example"] = module
    spec.loader.exec_module(module)
    return module


class DeskTests(SynchronousTestCase):
    def setUp(self) -> None:
        desk: Any = example().Desk
        self.addCleanup(sys.modules.pop, "desk_example", None)
        self.stage = Stage(agent_class=desk)
        self.carol = End(self.stage, "carol", "10.0.0.3", None, None, desk)
        self.ends = (self.stage.alice, self.stage.bob, self.carol)
        for end in self.ends:
            agent: Any = end.agent
            agent.host, agent.address = end.address, end.uri

    def call(self, caller: End, callee: End) -> tuple[Any, Any]:
        """The sessions of both in a call."""
        agent: Any = caller.agent
        invite = agent.call(callee.uri)
        self.stage.advance(1)
        assert invite.session is not None
        return invite.session, self.sessions(callee)[-1]

    def sessions(self, end: End) -> list[Any]:
        """Those that live, the oldest first."""
        return [end.agent.session_in(dialog) for dialog in end.agent.dialogs]

    def assert_over(self) -> None:
        self.stage.advance(200)
        self.assertEqual([end.leftovers() for end in self.ends], [[], [], []])

    def test_hold_and_back(self) -> None:
        here, there = self.call(self.stage.alice, self.stage.bob)
        for change, ours, theirs in (
            (here.hold, "sendonly", "recvonly"),
            (here.resume, "sendrecv", "sendrecv"),
            (there.hold, "recvonly", "sendonly"),
        ):
            done = Deferred.fromCoroutine(change())
            self.stage.advance(1)
            self.successResultOf(done)
            shown = [one.local.direction_of(one.local.media[0]).value for one in (here, there)]
            self.assertEqual(shown, [ours, theirs])
            held = parse(here.offer_answer.remote.content)
            self.assertEqual(held.direction_of(held.media[0]).value, theirs)
        here.bye()
        self.assert_over()

    def test_transfer(self) -> None:
        here, _ = self.call(self.stage.alice, self.stage.bob)
        alice: Any = self.stage.alice.agent
        alice.transfer(here, self.carol.uri)
        self.stage.advance(1)
        self.assertEqual(self.sessions(self.stage.alice), [])
        (bob,), (carol,) = self.sessions(self.stage.bob), self.sessions(self.carol)
        self.assertEqual(bob.dialog.call_id, carol.dialog.call_id)
        self.assertEqual(carol.invite.request.get("referred-by"), f"<{self.stage.alice.uri}>")
        bob.bye()
        self.assert_over()

    def test_join_up(self) -> None:
        """Alice has called Bob and asked Carol, and leaves the two to themselves."""
        first, _ = self.call(self.stage.alice, self.stage.bob)
        second, _ = self.call(self.stage.alice, self.carol)
        alice: Any = self.stage.alice.agent
        alice.join_up(first, second)
        self.stage.advance(1)
        self.assertEqual(self.sessions(self.stage.alice), [])
        (bob,), (carol,) = self.sessions(self.stage.bob), self.sessions(self.carol)
        self.assertEqual(bob.dialog.call_id, carol.dialog.call_id)
        # Bob is the same party in both calls (RFC 7989 section 6).
        named = {
            (one.get("session-id") or "").partition(";")[0]
            for source, one in self.stage.messages
            if source == self.stage.bob.address and one.has("session-id")
        }
        self.assertEqual(len(named), 1)
        carol.bye()
        self.assert_over()

    def test_to_nobody(self) -> None:
        """The call stays as it is."""
        here, there = self.call(self.stage.alice, self.stage.bob)
        alice: Any = self.stage.alice.agent
        alice.transfer(here, "sip:nobody@10.0.0.99")
        self.stage.advance(60)
        self.assertEqual((here.state, there.state), ("confirmed", "confirmed"))
        there.bye()
        self.assert_over()

    def test_strangers_do_not_send_it_anywhere(self) -> None:
        desk: Any = sys.modules["desk_example"]
        refer = desk.ClientRefer(self.stage.alice.agent, self.carol.uri)
        refer.send_to(self.stage.bob.uri, from_="<sip:stranger@10.0.0.1>")
        self.stage.advance(1)
        self.assertEqual((refer.progress.outcome, refer.progress.status), ("refused", 603))
        sent = [one.method for _, one in self.stage.messages if isinstance(one, Request)]
        self.assertNotIn("INVITE", sent)
        self.assert_over()
