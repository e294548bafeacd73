"""The examples of docs/reference/codecs.md run, and its tables name what there is."""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import TestCase

from rvoip.codecs.operations import CodecOperations
from rvoip.codecs.policy import Policy
from rvoip.test.docs.test_pages import page


class CodecsPage(TestCase):
    def test_the_examples_run(self) -> None:
        blocks = re.findall(r"^```python\n(.*?)^```", page("reference/codecs.md"), re.M | re.S)
        self.assertEqual(len(blocks), 5)
        names: dict[str, Any] = {}
        for block in blocks:
            exec(compile(block, "docs/reference/codecs.md", "exec"), names)

    def test_every_field_is_in_a_table(self) -> None:
        text = page("reference/codecs.md")
        for name in (*Policy.__struct_fields__, *CodecOperations.__struct_fields__):
            self.assertRegex(text, rf"(?m)^\|.*`{name}`")
