"""What trial printed becomes one line and an exit status."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from rvoip.test.tools import load


def closing(ran: int, result: str) -> str:
    return f"  test_x ...   [OK]\n\n{'-' * 79}\nRan {ran} tests in 1.850s\n\n{result}\n"


class SummaryTests(TestCase):
    """Logs on disk, as `.ci/run` leaves them."""

    def setUp(self) -> None:
        self.summary = load("summary")
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def log(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return str(self.folder / name)

    def run_main(self, *arguments: str) -> tuple[str, int]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = self.summary.main(list(arguments))
        return printed.getvalue(), status

    def test_closing_lines(self) -> None:
        cases = [
            (closing(10, "PASSED (successes=10)"), (10, 0, 0)),
            (closing(11, "PASSED (skips=1, successes=10)"), (10, 0, 1)),
            (closing(6, "FAILED (failures=1, errors=2, successes=3)"), (3, 3, 0)),
            (closing(3, "FAILED (unexpectedSuccesses=1, successes=2)"), (2, 1, 0)),
            (closing(3, "PASSED (expectedFailures=1, successes=2)"), (2, 0, 1)),
            (closing(2, "PASSED (skips=2)"), (0, 0, 2)),
            (closing(1, "PASSED (successes=1)") + closing(2, "FAILED (errors=1, successes=1)"), (2, 1, 0)),
            # One test that fails and then leaves the reactor dirty counts twice, as trial counts it.
            (closing(1, "FAILED (failures=1, errors=1)"), (0, 2, 0)),
        ]
        for text, expected in cases:
            with self.subTest(text):
                self.assertEqual(self.summary.count(text), expected)

    def test_silence_is_a_failure(self) -> None:
        killed = "rvoip.test.test_x\n  test_a ...   [OK]\nKilled\n"
        only_quoted = "a test printed PASSED (successes=5)\nPASSED (successes=5)\n"
        for text in ("", killed, only_quoted, closing(0, "PASSED")):
            with self.subTest(text):
                self.assertEqual(self.summary.count(text), (0, 1, 0))

    def test_a_missing_log_is_a_failure(self) -> None:
        good = self.log("test.log", closing(4, "PASSED (successes=4)"))
        printed = self.run_main(good, str(self.folder / "interop.log"))
        self.assertEqual(printed, ("4 passed, 1 failed, 0 skipped\n", 1))

    def test_no_logs_is_a_failure(self) -> None:
        self.assertEqual(self.run_main(), ("0 passed, 1 failed, 0 skipped\n", 1))

    def test_skips_count_as_failures_where_asked(self) -> None:
        unit = self.log("test.log", closing(5, "PASSED (skips=1, successes=4)"))
        interop = self.log("interop.log", closing(3, "PASSED (skips=2, successes=1)"))
        self.assertEqual(self.run_main(unit, interop), ("5 passed, 0 failed, 3 skipped\n", 0))
        self.assertEqual(self.run_main(unit, "--no-skips", interop), ("5 passed, 2 failed, 1 skipped\n", 1))

    def test_what_trial_really_prints(self) -> None:
        """A run of trial, alone and over workers, with every kind of result."""
        (self.folder / "test_kinds.py").write_text(
            "from twisted.trial.unittest import TestCase\n"
            "class Kinds(TestCase):\n"
            "    def test_passes(self): pass\n"
            "    def test_fails(self): self.fail()\n"
            "    def test_errs(self): 1 / 0\n"
            "    def test_skips(self): pass\n"
            "    test_skips.skip = 'no peer'\n",
            encoding="utf-8",
        )
        for options in ([], ["-j2"]):
            with self.subTest(options):
                trial = [sys.executable, "-m", "twisted.trial", *options, "test_kinds"]
                done = subprocess.run(trial, cwd=self.folder, capture_output=True, text=True, check=False)
                self.assertEqual(self.summary.count(done.stdout), (1, 2, 1), done.stdout + done.stderr)
