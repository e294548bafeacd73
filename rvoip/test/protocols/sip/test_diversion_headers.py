"""Diversion, History-Info, Reason."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.diversion_headers import Reason, parse_diversion, parse_history_info
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.test.protocols.sip.samples import HeaderTable


class DiversionHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of RFC 3326, RFC 5806 and RFC 7044."""

    good = (
        (
            "Reason",
            'SIP;cause=200;text="Call completed elsewhere"',
            [Reason("SIP", 200, "Call completed elsewhere")],
        ),
        (
            "Reason",
            'Q.850 ;cause=16 ;text="Terminated, \\"ok\\"";location=LN, SIP ;cause=600',
            [Reason("Q.850", 16, 'Terminated, "ok"', {"location": "LN"}), Reason("SIP", 600)],
        ),
        ("Reason", "Preemption;cause=1", [Reason("Preemption", 1)]),
        (
            "Diversion",
            '"A, B" <sip:a@b>;reason=no-answer;counter=1, <tel:+1555>;reason="user-busy"',
            [
                NameAddr("sip:a@b", "A, B", {"reason": "no-answer", "counter": "1"}),
                NameAddr("tel:+1555", "", {"reason": '"user-busy"'}),
            ],
        ),
        (
            "History-Info",
            "<sip:UserA@ims.example.com>;index=1,<sip:UserB@example.com?Reason=SIP%3Bcause%3D302>;index=1.1;mp=1",
            [
                NameAddr("sip:UserA@ims.example.com", "", {"index": "1"}),
                NameAddr("sip:UserB@example.com?Reason=SIP%3Bcause%3D302", "", {"index": "1.1", "mp": "1"}),
            ],
        ),
    )
    bad = (
        ("Reason", ";cause=200"),
        ("Reason", "SIP;cause=1_0"),
        ("Reason", "SIP;cause=1000"),
        ("Reason", "SIP;cause"),
        ("Reason", 'SIP;text="open'),
        ("Reason", "SIP,,SIP"),
        ("Diversion", "<sip:a@b>;counter=x"),
        ("Diversion", "<sip:a@b>;counter=100"),
        ("Diversion", "<sip:a@b>;limit=-1"),
        ("Diversion", "<sip:a@b"),
        ("History-Info", "<sip:a@b>;index=1..2"),
        ("History-Info", "<sip:a@b>;index=1.x"),
        ("History-Info", "<sip:a@b>;index=1.99999999999"),
        ("History-Info", "<sip:a@b>;index=" + ".".join(["1"] * 71)),
        ("History-Info", "<sip:a@b>;index=1;rc="),
        ("History-Info", "<sip:a@b>;index=1;mp=1.\u0661"),
    )


class DiversionTests(SynchronousTestCase):
    """What is said of a diversion."""

    def test_parameters(self) -> None:
        """All of RFC 5806 section 4."""
        value = parse_diversion('<sip:a@b>;reason="User-Busy";counter=2;limit=5;privacy=Full;screen=yes')
        self.assertEqual(
            (value.reason, value.counter, value.limit, value.privacy, value.screened),
            ("user-busy", 2, 5, "full", True),
        )

    def test_defaults(self) -> None:
        """An entry that says nothing is one diversion for a reason unknown."""
        value = parse_diversion("<sip:a@b>")
        self.assertEqual(
            (value.reason, value.counter, value.limit, value.privacy, value.screened),
            ("unknown", 1, None, "off", False),
        )


class HistoryInfoTests(SynchronousTestCase):
    """An entry's place and what its URI says."""

    def test_indices(self) -> None:
        """Places in the tree are tuples of numbers."""
        value = parse_history_info("<sip:a@b>;index=1.2.10;rc=1.2")
        self.assertEqual((value.index, value.rc, value.mp), ((1, 2, 10), (1, 2), None))
        self.assertEqual(parse_history_info("<sip:a@b>").index, ())
        self.assertEqual(parse_history_info("<sip:a@b>;index=1.1;mp=1").mp, (1,))

    def test_cause(self) -> None:
        """RFC 4458 puts it into the URI."""
        value = parse_history_info("<sip:+15555551002@atlanta.com;cause=380;user=phone>;index=1.1;mp=1")
        self.assertEqual(value.cause, 380)
        self.assertIsNone(parse_history_info("<sip:a@b>;index=1").cause)
        self.assertIsNone(parse_history_info("<tel:+1555>;index=1").cause)
        bad = parse_history_info("<sip:a@b;cause=busy>;index=1")
        self.assertRaises(SIPParseError, lambda: bad.cause)

    def test_reasons(self) -> None:
        """RFC 7044 section 10.2: reasons escaped in the URI, several perhaps."""
        value = parse_history_info(
            "<sip:a@b?Reason=SIP%3Bcause%3D408%2CQ.850%3Bcause%3D102%3Btext%3D%22Timer%2C%20out%22>;index=1"
        )
        self.assertEqual(value.reasons, [Reason("SIP", 408), Reason("Q.850", 102, "Timer, out")])
        self.assertEqual(parse_history_info("<tel:+1555>;index=1").reasons, [])

    def test_private(self) -> None:
        """An entry with a Privacy header is not for the far end (RFC 7044 section 10.1.2)."""
        self.assertTrue(parse_history_info("<sip:a@b?Privacy=history>;index=1").private)
        self.assertFalse(parse_history_info("<sip:a@b?Reason=SIP%3Bcause%3D302>;index=1").private)
