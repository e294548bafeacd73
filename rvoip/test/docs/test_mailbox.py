"""The listing of docs/howto/tell-watchers.md, between two user agents on a simulated network."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.subscription_server import EventServer
from rvoip.protocols.sip.message_summary import CONTENT_TYPE
from rvoip.test.docs.test_school_registrar import ROOT
from rvoip.test.protocols.dialog.agents import Stage

EXAMPLE = ROOT / "docs" / "examples" / "mailbox" / "mailbox.py"


def example() -> ModuleType:
    if not EXAMPLE.exists():
        raise SkipTest("the examples are in a checkout only")
    spec = importlib.util.spec_from_file_location("mailbox_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mailbox_example"] = module
    spec.loader.exec_module(module)
    return module


class MailboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.example: Any = example()
        self.addCleanup(sys.modules.pop, "mailbox_example", None)
        self.stage = Stage()
        self.server = EventServer(self.stage.bob.agent)
        self.mailboxes = self.example.Mailboxes(self.server)
        self.owner = f"sip:alice@{self.stage.bob.address}"

    def lamp(self, owner: str = "", watcher: str = "") -> Any:
        made = self.example.Lamp(
            self.stage.alice.agent,
            owner or self.owner,
            "message-summary",
            from_=f"<{watcher or self.owner}>",
            accept=[CONTENT_TYPE],
        )
        made.start()
        self.stage.advance(1)
        return made

    def test_the_lamp_follows(self) -> None:
        self.mailboxes.put(self.owner, 0, 5)
        lamp = self.lamp()
        self.assertEqual((lamp.state, lamp.lit), ("Active", False))
        for new, lit in ((2, True), (0, False), (1, True)):
            self.mailboxes.put(self.owner, new, 5)
            self.stage.advance(1.1)
            self.assertEqual(lamp.lit, lit)
        lamp.stop()
        self.stage.advance(1)
        self.assertFalse(lamp.lit)
        self.assertEqual(self.stage.leftovers(), [])

    def test_who_may_watch(self) -> None:
        self.mailboxes.put(self.owner, 1, 0)
        other = self.lamp(watcher="sip:mallory@x")
        self.assertEqual((other.end.status, other.lit), (403, False))
        nobody = self.lamp(owner=f"sip:nobody@{self.stage.bob.address}")
        self.assertEqual(nobody.end.status, 404)
        self.assertEqual(self.stage.leftovers(), [])

    def test_a_body_that_is_none(self) -> None:
        self.mailboxes.put(self.owner, 1, 0)
        self.mailboxes.state = lambda subscription: Body(b"garbage", CONTENT_TYPE)
        lamp = self.lamp()
        self.assertFalse(lamp.lit)
        lamp.stop()
        self.assertEqual(self.stage.leftovers(), [])
