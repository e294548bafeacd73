from __future__ import annotations

from twisted.trial.unittest import TestCase

from rvoip.proxy.statuses import parse_statuses


class StatusesTests(TestCase):
    def test_words(self) -> None:
        self.assertEqual(parse_statuses(["408", 503]), {408, 503})
        self.assertEqual(parse_statuses(["5xx"]), set(range(500, 600)))
        self.assertEqual(parse_statuses(["500-502", "404"]), {404, 500, 501, 502})
        self.assertEqual(parse_statuses([]), set())

    def test_refused(self) -> None:
        for word in ("", "40", "4xx5", "700", "xx", "4x4", "503-500", "٤٠٨", "408 ", 40, 4080, True):
            self.assertRaises(ValueError, parse_statuses, [word])
