"""Accept, Accept-Encoding, Accept-Language."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.accept_headers import MediaRange, Preference
from rvoip.test.protocols.sip.samples import HeaderTable, invite


class AcceptHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of RFC 3261 sections 20.1 to 20.3; q is in thousandths."""

    good = (
        (
            "Accept",
            "application/sdp;level=1, application/x-private, Text/HTML;q=0.5;a=b",
            [
                MediaRange("application", "sdp", 1000, {"level": "1"}),
                MediaRange("application", "x-private"),
                MediaRange("text", "html", 500, {"a": "b"}),
            ],
        ),
        ("Accept", "*/*;q=0.001, text/*", [MediaRange("*", "*", 1), MediaRange("text", "*")]),
        ("Accept", "", []),
        (
            "Accept-Encoding",
            "gzip;q=1.0, identity; q=0.5, *;q=0",
            [Preference("gzip"), Preference("identity", 500), Preference("*", 0)],
        ),
        ("Accept-Language", "da, en-GB;q=0.8;x=y", [Preference("da"), Preference("en-gb", 800, {"x": "y"})]),
    )
    bad = (
        ("Accept", "text"),
        ("Accept", "*/plain"),
        ("Accept", "text/html;q=1.1"),
        ("Accept", "text/html;q=\u0661"),
        ("Accept", "text/html;q=1_0"),
        ("Accept", "text/html;q"),
        ("Accept", "text/html,"),
        ("Accept-Encoding", "g zip"),
        ("Accept-Encoding", "gzip;q=-1"),
        ("Accept-Language", "en,;q=1"),
    )

    def test_covers(self) -> None:
        """A range covers what falls into it, unless its q is 0."""
        table = (
            ("*/*", "text/html", True),
            ("text/*", "text/html", True),
            ("text/*", "application/sdp", False),
            ("text/html", "text/html", True),
            ("text/html", "text/plain", False),
            ("text/html;q=0", "text/html", False),
        )
        for text, essence, covered in table:
            self.assertEqual(invite(f"Accept: {text}").typed("accept")[0].covers(essence), covered, text)
