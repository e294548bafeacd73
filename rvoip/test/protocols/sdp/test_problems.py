"""What accessors pass over has a name and a line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sdp.problems import problems
from rvoip.protocols.sdp.session import parse
from rvoip.test.protocols.sdp.samples import BROWSER, EVERYTHING, PHONE, edited


class ProblemTests(SynchronousTestCase):
    """`problems`."""

    def test_none(self) -> None:
        for data in (PHONE, BROWSER, EVERYTHING):
            self.assertEqual(problems(parse(data)), [])

    def test_lines(self) -> None:
        data = edited("a=setup:actpass", "a=setup:both", BROWSER)
        data = edited("a=maxptime:120", "a=maxptime:0", data)
        data = edited("a=rid:1 send", "a=rid", data)
        lines = data.decode().split("\r\n")
        found = problems(parse(data))
        self.assertEqual([lines[p.line - 1] for p in found], ["a=setup:both", "a=maxptime:0", "a=rid"])
        self.assertEqual(
            [p.reason for p in found],
            [
                "setup is unknown: 'both'",
                "packet time is not a number above 0 and up to 10000: '0'",
                "rid has no value",
            ],
        )

    def test_what_is_unknown_is_no_problem(self) -> None:
        self.assertEqual(problems(parse(edited("a=ptime:20", "a=x-anything:!\r\na=candidate-x"))), [])
