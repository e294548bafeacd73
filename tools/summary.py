"""Add up trial runs: `summary.py [--no-skips LOG] LOG...` reads their output and prints one line.

The line is `N passed, N failed, N skipped`, summed over every run in every log. A log that holds no finished
run, or a run of no tests, counts as one failure, because silence is not success; with --no-skips a test that
was skipped in that log is a failure. The exit status is 1 when anything failed.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import NamedTuple

_CLOSING = re.compile(r"^Ran (\d+) tests in [\d.]+s\n\n(?:PASSED|FAILED)(?: \(([^)\n]*)\))?$", re.MULTILINE)
_PASSED = ("successes",)
_SKIPPED = ("skips", "expectedFailures")


class Totals(NamedTuple):
    """How many tests passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def plus(self, other: Totals) -> Totals:
        """Both together."""
        return Totals(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count(log: str, skips_fail: bool = False) -> Totals:
    """Add up the trial runs in the text of one log."""
    totals = Totals()
    for ran, words in _CLOSING.findall(log):
        counts = dict.fromkeys(_PASSED + _SKIPPED, 0)
        for word in filter(None, words.split(", ")):
            name, _, number = word.partition("=")
            counts[name] = int(number)
        passed = sum(counts[name] for name in _PASSED)
        skipped = sum(counts[name] for name in _SKIPPED)
        failed = sum(counts.values()) - passed - skipped
        # Whatever ran and is named under no word did not pass either.
        failed = max(failed, int(ran) - passed - skipped, 0 if int(ran) else 1)
        if skips_fail:
            failed, skipped = failed + skipped, 0
        totals = totals.plus(Totals(passed, failed, skipped))
    return totals if any(totals) else Totals(failed=1)


def main(arguments: list[str]) -> int:
    """Print the line; return the exit status."""
    parser = argparse.ArgumentParser(description="Add up trial runs.")
    parser.add_argument("--no-skips", action="append", default=[], metavar="LOG", type=Path)
    parser.add_argument("logs", nargs="*", metavar="LOG", type=Path)
    options = parser.parse_args(arguments)
    totals = Totals()
    for path in options.logs + options.no_skips:
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        totals = totals.plus(count(text, skips_fail=path in options.no_skips))
    print(totals if options.logs or options.no_skips else Totals(failed=1))
    return 1 if totals.failed or not any(totals) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
