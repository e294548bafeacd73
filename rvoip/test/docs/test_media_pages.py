"""The examples of the pages on prompts, recordings and negotiation run; their tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

from twisted.trial.unittest import TestCase

import rvoip.media
from rvoip.media.agreed import Srtp
from rvoip.media.audio_file import RAW_ENDINGS
from rvoip.media.recorder import FORMATS, TRACKS
from rvoip.media.source import parse_source
from rvoip.media.transport_terms import PROFILES
from rvoip.test.docs.test_pages import page


class Pages(TestCase):
    def run_examples(self, name: str, count: int) -> None:
        blocks = re.findall(r"^```python\n(.*?)^```", page(name), re.M | re.S)
        self.assertEqual(len(blocks), count)
        names: dict[str, Any] = {}
        for block in blocks:
            exec(compile(block, name, "exec"), names)

    def test_prompts_and_recordings(self) -> None:
        name = "reference/prompts-and-recordings.md"
        self.run_examples(name, 2)
        text = page(name)
        for word in (*FORMATS, *TRACKS, *{"ended", "stopped", "barge_in", "removed"}):
            self.assertIn(f"`{word}`", text)
        for ending in (".ulaw", ".alaw", ".s16", ".sln", ".sln16", ".sln24", ".sln48"):
            self.assertIn(ending, RAW_ENDINGS)
            self.assertIn(f"`{ending}`", text)
        sources = text.partition("| source |")[2].partition("\n\n")[0]
        for source in re.findall(r"`([^`]+)`", sources):
            parse_source(source)

    def test_negotiation(self) -> None:
        name = "reference/negotiation.md"
        self.run_examples(name, 1)
        self.assertEqual(
            re.findall(r"^\| `(off|accept|opportunistic|require)` \|", page(name), re.M), [*get_args(Srtp)]
        )
        self.assertEqual(len(PROFILES), 6)

    def test_modules(self) -> None:
        there = {path.stem for path in Path(rvoip.media.__file__).parent.glob("*.py")}
        table = page("reference/prompts-and-recordings.md").partition("## What can")[0]
        self.assertLessEqual(set(re.findall(r"^\| `(\w+)` \|", table, re.M)), there)
