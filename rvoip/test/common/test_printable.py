"""Text for a line of a terminal or a log."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.printable import UNPRINTABLE, is_plain, printable, shorten


class PrintableTests(SynchronousTestCase):
    def test_escapes(self) -> None:
        for text, shown in [
            ("plain text, ümlaut, 電話", "plain text, ümlaut, 電話"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\x1b[31mred", "\\x1b[31mred"),
            ("\x00\x7f\x85\x9b", "\\x00\\x7f\\x85\\x9b"),
            ("\u2028\u2029", "\\u2028\\u2029"),
            ("\u202eevil\u2066", "\\u202eevil\\u2066"),
            ("\u200b\ufeff", "\\u200b\\ufeff"),
            ("\ud800", "\\ud800"),
            ("\U000e0041", "\\U000e0041"),
            ("no\u00a0break", "no\u00a0break"),
        ]:
            self.assertEqual(printable(text), shown, ascii(text))

    def test_every_control_and_line_end_is_escaped(self) -> None:
        """Whatever Python or a terminal takes for a line end, a control or a direction is gone."""
        for code in range(0x110000):
            character = chr(code)
            kind = unicodedata.category(character)
            if kind in ("Cc", "Zl", "Zp", "Cs") or unicodedata.bidirectional(character) in (
                "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
            ):  # fmt: skip
                self.assertTrue(UNPRINTABLE.match(character), hex(code))
            elif kind[0] in "LNPSM" or character == " ":
                self.assertFalse(UNPRINTABLE.match(character), hex(code))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.text(st.characters()))
    def test_result_is_one_plain_line(self, text: str) -> None:
        shown = printable(text)
        self.assertTrue(is_plain(shown))
        self.assertLessEqual(len(shown.splitlines()), 1)
        self.assertEqual(printable(shown), shown)
        self.assertEqual(is_plain(text), shown == text)

    def test_shorten(self) -> None:
        self.assertEqual(shorten("abcdef", 6), "abcdef")
        self.assertEqual(shorten("abcdefg", 6), "abcdef...(+1)")
