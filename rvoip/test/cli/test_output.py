"""Tables, times, and text that a stranger chose."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

from twisted.trial.unittest import TestCase

from rvoip.cli.output import duration, write_json, write_line, write_table


def printed(write: Callable[[], None]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        write()
    return out.getvalue()


class OutputTests(TestCase):
    """What is printed."""

    def test_columns_are_aligned_and_numbers_stand_right(self) -> None:
        rows = [("alice", 5, "x"), ("bo", 1234, "")]
        self.assertEqual(
            printed(lambda: write_table(("NAME", "N", "LAST"), rows)),
            "NAME      N  LAST\nalice     5  x\nbo     1234\n",
        )

    def test_an_empty_table_has_its_header(self) -> None:
        self.assertEqual(printed(lambda: write_table(("A", "B"), [])), "A  B\n")

    def test_nothing_drives_the_terminal(self) -> None:
        hostile = "x\x1b]0;gone\x07\r\n\u202e"
        shown = "x\\x1b]0;gone\\x07\\r\\n\\u202e"
        self.assertEqual(printed(lambda: write_line(hostile)), shown + "\n")
        self.assertEqual(printed(lambda: write_table(("A",), [(hostile,)])), f"A\n{shown}\n")
        self.assertEqual(
            printed(lambda: write_json(["\x9b\u202e\ud800"])), '[\n  "\\u009b\\u202e\\ud800"\n]\n'
        )

    def test_durations(self) -> None:
        for seconds, text in [
            (-1, "0s"),
            (0, "0s"),
            (59.9, "59s"),
            (60, "1m 0s"),
            (3599, "59m 59s"),
            (3600, "1h 0m"),
            (86400 * 3 + 3600 * 4 + 59, "3d 4h"),
        ]:
            self.assertEqual(duration(seconds), text)
