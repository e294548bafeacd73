"""Content-Type, Content-Disposition, Content-Encoding, MIME-Version."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.content_headers import ContentDisposition, MediaType
from rvoip.test.protocols.sip.samples import HeaderTable, invite


class ContentHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of RFC 3261 sections 20.11 to 20.15 and 20.24."""

    good = (
        ("Content-Type", "application/SDP", MediaType("application", "sdp")),
        (
            "Content-Type",
            "text/html; charset=ISO-8859-4",
            MediaType("text", "html", {"charset": "ISO-8859-4"}),
        ),
        (
            "Content-Type",
            'multipart/Mixed ; Boundary="a;b\\"" ;x',
            MediaType("multipart", "mixed", {"boundary": '"a;b\\""', "x": None}),
        ),
        ("Content-Type", "text / plain", MediaType("text", "plain")),
        ("Content-Disposition", "Session", ContentDisposition("session")),
        (
            "Content-Disposition",
            'render;Handling=OPTIONAL;filename="x y.txt"',
            ContentDisposition("render", "optional", {"filename": '"x y.txt"'}),
        ),
        ("Content-Encoding", "GZIP, tar", ["gzip", "tar"]),
        ("Content-Language", "fr, en-GB", ["fr", "en-gb"]),
        ("MIME-Version", "1.0", "1.0"),
    )
    bad = (
        ("Content-Type", ""),
        ("Content-Type", "text"),
        ("Content-Type", "text/"),
        ("Content-Type", "/plain"),
        ("Content-Type", "text/plain/x"),
        ("Content-Type", "te xt/plain"),
        ("Content-Type", 'text/plain;charset="open'),
        ("Content-Type", "text/plain;;"),
        ("Content-Disposition", ";handling=optional"),
        ("Content-Disposition", "attachment; filename=smime.p7m handling=required"),
        ("Content-Encoding", "gzip,"),
        ("Content-Encoding", "gz ip"),
        ("MIME-Version", "1"),
        ("MIME-Version", "1.x"),
        ("MIME-Version", "1.0.0"),
    )

    def test_param(self) -> None:
        """Parameters come unquoted where they are asked for."""
        value = invite('c: multipart/mixed;boundary="a \\"b"').typed("content-type")
        self.assertEqual(
            (value.essence, value.param("boundary"), value.param("x")), ("multipart/mixed", 'a "b', None)
        )

    def test_content_length(self) -> None:
        """Octets."""
        self.assertEqual(invite("Content-Length: 0003", body=b"abc").typed("content-length"), 3)
