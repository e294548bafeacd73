"""Alert-Info, Call-Info, Error-Info, Warning."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.call_info_headers import WarningValue, parse_call_info
from rvoip.test.protocols.sip.samples import HeaderTable


class CallInfoHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of RFC 3261 sections 20.4, 20.9, 20.18 and 20.43."""

    good = (
        (
            "Alert-Info",
            "<http://www.example.com/sounds/a,b.wav>, <urn:alert:service:call-waiting>;appearance=1",
            [
                NameAddr("http://www.example.com/sounds/a,b.wav"),
                NameAddr("urn:alert:service:call-waiting", "", {"appearance": "1"}),
            ],
        ),
        (
            "Call-Info",
            "<http://a.example/photo.jpg> ;purpose=icon,<http://a.example/> ;purpose=info",
            [
                NameAddr("http://a.example/photo.jpg", "", {"purpose": "icon"}),
                NameAddr("http://a.example/", "", {"purpose": "info"}),
            ],
        ),
        (
            "Error-Info",
            "<sip:not-in-service-recording@atlanta.com>",
            [NameAddr("sip:not-in-service-recording@atlanta.com")],
        ),
        (
            "Identity-Info",
            "<https://a.example/a.cer>;alg=rsa-sha1",
            NameAddr("https://a.example/a.cer", "", {"alg": "rsa-sha1"}),
        ),
        (
            "Warning",
            '307 isi.edu "Session parameter \'foo\' not understood", 301 [2001:db8::1]:5060 "\\"a, b\\""',
            [
                WarningValue(307, "isi.edu", "Session parameter 'foo' not understood"),
                WarningValue(301, "[2001:db8::1]:5060", '"a, b"'),
            ],
        ),
        ("Warning", '399 1.2.3.4:5060 ""', [WarningValue(399, "1.2.3.4:5060", "")]),
        ("Warning", '399 pseudo~nym "x"', [WarningValue(399, "pseudo~nym", "x")]),
    )
    bad = (
        ("Alert-Info", "Ring <http://a>"),
        ("Alert-Info", "<http://a"),
        ("Call-Info", "<>"),
        ("Error-Info", "<sip:a@b>,,<sip:c@d>"),
        ("Warning", "307 isi.edu text"),
        ("Warning", '307 "text"'),
        ("Warning", '30 isi.edu "text"'),
        ("Warning", '3_7 isi.edu "text"'),
        ("Warning", '307 isi.edu "text'),
        ("Warning", '307 isi.edu "text" more'),
        ("Warning", '307 a<b "text"'),
    )

    def test_purpose(self) -> None:
        """Compared without case; None when absent."""
        self.assertEqual(parse_call_info("<http://a>;purpose=ICON").purpose, "icon")
        self.assertIsNone(parse_call_info("<http://a>").purpose)
