"""What the page about presence has operators write is right."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import rvoip
from rvoip.services.config import load
from rvoip.services.domains import Domains
from rvoip.services.presence_rules import ConfiguredRules

PAGE = Path(rvoip.__file__).parent.parent / "docs" / "howto" / "presence-and-busy-lamps.md"


class PresencePageTests(SynchronousTestCase):
    def test_the_configurations(self) -> None:
        if not PAGE.exists():
            raise SkipTest("docs/ is in a checkout only")
        blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        self.assertEqual(len(blocks), 3)
        file = Path(self.mktemp())
        file.write_text("[registrar]\n" + "\n".join(blocks), encoding="utf-8")
        config = load(str(file), "proxy", {})
        assert config.presence is not None
        made = ConfiguredRules(config.presence, Domains(["example.test"], [("127.0.0.1", 5060)]), str(file))
        self.assertEqual((len(made.rules), list(made.lists)), (2, ["team@example.test"]))
