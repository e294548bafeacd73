"""What the soak concludes from its samples, and the SIP that its phone speaks."""

from __future__ import annotations

import socket
import sys

from twisted.trial.unittest import TestCase

from rvoip.test.tools import TOOLS, load


class SlopeTests(TestCase):
    """A climb is told from noise."""

    def setUp(self) -> None:
        self.patch(sys, "path", [str(TOOLS), *sys.path])
        self.slope = load("soak").slope

    def test_slope(self) -> None:
        cases = [
            ([], 0.0),
            ([(3.0, 500.0)], 0.0),
            ([(1.0, 700.0), (1.0, 900.0)], 0.0),
            ([(0.0, 40.0), (1.0, 40.0), (2.0, 40.0)], 0.0),
            ([(0.0, 100.0), (1.0, 160.0), (2.0, 220.0)], 60.0),
            ([(0.0, 10.0), (1.0, 12.0), (2.0, 8.0), (3.0, 10.0)], -0.4),
        ]
        for samples, expected in cases:
            with self.subTest(samples):
                self.assertAlmostEqual(self.slope(samples), expected)


class PhoneTests(TestCase):
    """The phone of the soak."""

    def setUp(self) -> None:
        self.phone = load("soak_phone")

    def test_digest_of_rfc_2617(self) -> None:
        """The example of section 3.5."""
        challenge = (
            'Digest realm="testrealm@host.com", qop="auth,auth-int", '
            'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        )
        answer = self.phone.digest(
            challenge, "Mufasa", "Circle Of Life", "GET", "/dir/index.html", "0a4f113b"
        )
        self.assertIn('response="6629fae49393a05397450978507c4ef1"', answer)

    def test_message(self) -> None:
        message = self.phone.Message(
            b"SIP/2.0 180 Ringing\r\nRecord-Route: <sip:a;lr>\r\nRECORD-ROUTE: <sip:b;lr>\r\n"
            b"CSeq: 7 INVITE\r\nCall-ID: x\r\n\r\nbody: no header"
        )
        self.assertEqual((message.status, message.method, message.one("call-id")), (180, "INVITE", "x"))
        self.assertEqual(message.all("record-route"), ["<sip:a;lr>", "<sip:b;lr>"])
        self.assertEqual(message.one("body"), "")
        self.assertFalse(self.phone.answers("x", "INVITE")(message))
        self.assertTrue(self.phone.answers("x", "INVITE", final=False)(message))
        self.assertFalse(self.phone.asks("x", "INVITE")(message))

    def test_a_phone_that_hears_nothing_says_so(self) -> None:
        """It sends again, and gives up when its patience ends."""
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
            self.phone.Phone("a", "", "soak.test", "127.0.6.1") as deaf,
        ):
            silent.bind(("127.0.6.1", 0))
            deaf.server = silent.getsockname()
            self.assertRaises(self.phone.Silence, deaf.options, patience=0.05)
