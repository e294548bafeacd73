"""The examples of docs/reference/audio.md run, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

import rvoip.media
from rvoip.media.mixer import ROLES
from rvoip.media.tone_countries import COUNTRIES, TONES
from rvoip.test.docs.test_pages import page


class AudioPage(TestCase):
    def test_the_examples_run(self) -> None:
        blocks = re.findall(r"^```python\n(.*?)^```", page("reference/audio.md"), re.M | re.S)
        self.assertEqual(len(blocks), 6)
        names: dict[str, Any] = {}
        for block in blocks:
            exec(compile(block, "docs/reference/audio.md", "exec"), names)

    def test_tables(self) -> None:
        text = page("reference/audio.md")
        for name in (*COUNTRIES, *TONES, *ROLES):
            self.assertIn(f"`{name}`", text)
        self.assertIn(f"tones of {len(COUNTRIES)} national networks", text)
        there = {path.stem for path in Path(rvoip.media.__file__).parent.glob("*.py")}
        modules = set(re.findall(r"^\| `(\w+)` \|", text.partition("## Rooms")[0], re.M))
        self.assertLessEqual(modules, there)
