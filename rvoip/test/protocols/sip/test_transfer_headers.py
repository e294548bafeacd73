"""Refer-To, Referred-By, Refer-Sub, Replaces, Join, Target-Dialog."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.transfer_headers import (
    Join,
    ReferSub,
    Replaces,
    TargetDialog,
    parse_refer_to,
    parse_referred_by,
)
from rvoip.test.protocols.sip.samples import HeaderTable


class TransferHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of RFC 3515, 3891, 3892, 3911, 4488 and 4538."""

    good = (
        (
            "Replaces",
            "425928@bobster.example.org;to-tag=7743;from-tag=6472",
            Replaces("425928@bobster.example.org", "7743", "6472"),
        ),
        (
            "Replaces",
            "12adf2f34456gs5;to-tag=12345;from-tag=54321;early-only",
            Replaces("12adf2f34456gs5", "12345", "54321", True),
        ),
        (
            "Replaces",
            "87134@1 ; from-tag=0 ; to-tag=24796 ;x",
            Replaces("87134@1", "24796", "0", False, {"x": None}),
        ),
        ("Join", "12adf2f34456gs5;to-tag=12345;from-tag=54321", Join("12adf2f34456gs5", "12345", "54321")),
        (
            "Target-Dialog",
            "fa77as7dad8-sd98ajzz@host.example.com;local-tag=kkaz-;remote-tag=6544",
            TargetDialog("fa77as7dad8-sd98ajzz@host.example.com", "kkaz-", "6544"),
        ),
        ("Refer-To", "<sip:dave@denver.example.org>", NameAddr("sip:dave@denver.example.org")),
        ("Refer-To", "tel:+12125551234", NameAddr("tel:+12125551234")),
        (
            "Referred-By",
            '"R" <sip:r@ref.example>;cid="2@x"',
            NameAddr("sip:r@ref.example", "R", {"cid": '"2@x"'}),
        ),
        ("Refer-Sub", "false", ReferSub(False)),
        ("Refer-Sub", "TRUE ;x=y", ReferSub(True, {"x": "y"})),
        (
            "In-Reply-To",
            "70710@saturn.bell-tel.com, 17320@saturn",
            ["70710@saturn.bell-tel.com", "17320@saturn"],
        ),
    )
    bad = (
        ("Replaces", "call;to-tag=1"),
        ("Replaces", "call;from-tag=1"),
        ("Replaces", ";to-tag=1;from-tag=2"),
        ("Replaces", "a b;to-tag=1;from-tag=2"),
        ("Replaces", "call;to-tag;from-tag=2"),
        ("Replaces", 'call;to-tag="a b";from-tag=2'),
        ("Join", "call"),
        ("Target-Dialog", "call;local-tag=1"),
        ("Target-Dialog", "call;remote-tag=1"),
        ("Refer-To", ""),
        ("Refer-To", "<sip:dave@denver.example.org"),
        ("Refer-To", "(whatever)  x"),
        ("Refer-Sub", "maybe"),
        ("Refer-Sub", ""),
        ("In-Reply-To", "a b"),
        ("In-Reply-To", "a,,b"),
    )


class ReferToTests(SynchronousTestCase):
    """What the referred-to URI asks for."""

    def test_method(self) -> None:
        """INVITE unless the URI says otherwise."""
        self.assertEqual(parse_refer_to("<sip:a@b>").method, "INVITE")
        self.assertEqual(parse_refer_to("<sip:a@b;method=SUBSCRIBE>").method, "SUBSCRIBE")
        self.assertEqual(parse_refer_to("<http://example.com/>").method, "INVITE")

    def test_replaces(self) -> None:
        """An attended transfer names the dialog in an escaped header of the URI (RFC 5589 section 7)."""
        value = parse_refer_to(
            "<sips:carol@chicago.example.com?Replaces=090459243588173445%3B"
            "to-tag%3D7m2n3wq%3Bfrom-tag%3D763231&Require=replaces>"
        )
        self.assertEqual(value.replaces, Replaces("090459243588173445", "7m2n3wq", "763231"))

    def test_no_replaces(self) -> None:
        """None without one, whatever the scheme."""
        self.assertIsNone(parse_refer_to("<sip:a@b?Subject=Replaces>").replaces)
        self.assertIsNone(parse_refer_to("tel:+12125551234").replaces)

    def test_bad_replaces(self) -> None:
        """A bad one is an error and not None."""
        value = parse_refer_to("<sip:a@b?Replaces=1%3Bto-tag%3D7>")
        self.assertRaises(SIPParseError, lambda: value.replaces)

    def test_as_written(self) -> None:
        """The URI's text is kept as it came."""
        self.assertEqual(str(parse_refer_to("<SIP:a@B.Example>")), "<SIP:a@B.Example>")


class ReferredByTests(SynchronousTestCase):
    """The reference to a signed token."""

    def test_cid(self) -> None:
        """The Content-ID comes unquoted."""
        self.assertEqual(
            parse_referred_by('<sip:r@x>;cid="20398823.2UWQFN309shb3@x"').cid, "20398823.2UWQFN309shb3@x"
        )
        self.assertIsNone(parse_referred_by("sip:r@x").cid)
