"""Date, Timestamp, Retry-After, Expires and other seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.time_headers import Date, RetryAfter, Timestamp
from rvoip.test.protocols.sip.samples import HeaderTable


class TimeHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of RFC 3261 section 20 and RFC 5626 section 10."""

    good = (
        ("Date", "Sat, 13 Nov 2010 23:29:00 GMT", Date(datetime(2010, 11, 13, 23, 29, tzinfo=UTC))),
        ("Date", "Thu, 06 Feb 2014 15:02:03 GMT", Date(datetime(2014, 2, 6, 15, 2, 3, tzinfo=UTC))),
        ("Date", "Mon, 01 Jan 0001 00:00:00 GMT", Date(datetime(1, 1, 1, tzinfo=UTC))),
        ("Timestamp", "54", Timestamp("54")),
        ("Timestamp", "54.000 2.5", Timestamp("54.000", "2.5")),
        ("Timestamp", "54.\t.25", Timestamp("54.", ".25")),
        ("Retry-After", "18000;duration=3600", RetryAfter(18000, None, 3600)),
        (
            "Retry-After",
            "120 (I'm in a meeting (a \\) long; one))",
            RetryAfter(120, "I'm in a meeting (a \\) long; one)"),
        ),
        ("Retry-After", '5(x) ; duration=60;y="(z"', RetryAfter(5, "x", 60, {"y": '"(z"'})),
        ("Retry-After", '5;y="(z"', RetryAfter(5, None, None, {"y": '"(z"'})),
        ("Expires", "5", 5),
        ("Min-Expires", "60", 60),
        ("Flow-Timer", "120", 120),
    )
    bad = (
        ("Date", "Fri, 01 Jan 2010 16:00:00 EST"),
        ("Date", "Sat, 13 Nov 2010 23:29:00 gmt"),
        ("Date", "Sat, 13 Nov 2010 23:29:00 +0000"),
        ("Date", "Sat, 31 Feb 2010 23:29:00 GMT"),
        ("Date", "Sat, 13 Nov 2010 24:29:00 GMT"),
        ("Date", "Sat, 13 Nov 2010 23:29:60 GMT"),
        ("Date", "Sat, 13 Nov 0000 23:29:00 GMT"),
        ("Date", "Sat, 13 Nov \u0662\u0660\u0661\u0660 23:29:00 GMT"),
        ("Date", "Saturday, 13-Nov-10 23:29:00 GMT"),
        ("Date", "Sat Nov 13 23:29:00 2010"),
        ("Date", ""),
        ("Timestamp", ""),
        ("Timestamp", ".5"),
        ("Timestamp", "1e3"),
        ("Timestamp", "54 nan"),
        ("Timestamp", "54 1 2"),
        ("Timestamp", "1" * 5000),
        ("Retry-After", ""),
        ("Retry-After", "soon"),
        ("Retry-After", "5 (open"),
        ("Retry-After", "5 (a) b"),
        ("Retry-After", "5 (a\\)"),
        ("Retry-After", "5;duration=x"),
        ("Retry-After", "4294967296"),
        ("Min-Expires", "1_0"),
        ("Flow-Timer", "12.5"),
    )

    def test_bad_expires(self) -> None:
        """What is no number counts as an hour (RFC 3261 section 20.19)."""
        for text in ("", "1_0", "-1", "4294967296", "soon", "9" * 5000, "\u0661"):
            self.assertEqual(self._read("Expires", text), 3600, text[:20])

    def test_delay(self) -> None:
        """Seconds, 0.0 where none is said."""
        for text, delay in (("54", 0.0), ("54 ", 0.0), ("54 2.5", 2.5), ("54 .25", 0.25), ("54 3.", 3.0)):
            self.assertEqual(self._read("Timestamp", text).delay_seconds, delay)
