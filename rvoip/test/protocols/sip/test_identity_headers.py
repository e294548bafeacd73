"""P-Asserted-Identity, Privacy, Identity, Remote-Party-ID."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.identity_headers import Identity, Privacy, parse_remote_party_id
from rvoip.test.protocols.sip.samples import HeaderTable, invite

SHAKEN = "eyJhbGciOiJFUzI1NiJ9.eyJhdHRlc3QiOiJBIn0.q_jA-T"


class IdentityHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of RFC 3323, RFC 3325, RFC 4474 and RFC 8224."""

    good = (
        (
            "P-Asserted-Identity",
            '"Cullen Jennings" <sip:fluffy@cisco.com>, tel:+14085264000',
            [NameAddr("sip:fluffy@cisco.com", "Cullen Jennings"), NameAddr("tel:+14085264000")],
        ),
        ("P-Preferred-Identity", '"C, J" <sip:fluffy@cisco.com>', [NameAddr("sip:fluffy@cisco.com", "C, J")]),
        ("Privacy", "id", Privacy(("id",))),
        ("Privacy", "Header ; session;USER;critical", Privacy(("header", "session", "user", "critical"))),
        ("Privacy", "none", Privacy(("none",))),
        (
            "Identity",
            f'{SHAKEN};info=<https://a.example/cert.pem;x>;alg=ES256;ppt="shaken"',
            [Identity(SHAKEN, "https://a.example/cert.pem;x", "ES256", "shaken")],
        ),
        (
            "Identity",
            f"..{SHAKEN[-6:]};info=<https://a.example/c>",
            [Identity(f"..{SHAKEN[-6:]}", "https://a.example/c")],
        ),
        ("Identity", '"ZYNB bHC/0=+"', [Identity("ZYNBbHC/0=+")]),
        (
            "Identity",
            "a.b.c;x=1;INFO = <cid:1> ;y",
            [Identity("a.b.c", "cid:1", None, None, {"x": "1", "y": None})],
        ),
        (
            "Remote-Party-ID",
            '"Bob" <sip:bob@x>;party=calling;screen=yes, <sip:b@x>;privacy=full',
            [
                NameAddr("sip:bob@x", "Bob", {"party": "calling", "screen": "yes"}),
                NameAddr("sip:b@x", "", {"privacy": "full"}),
            ],
        ),
    )
    bad = (
        ("P-Asserted-Identity", "<sip:a@b"),
        ("P-Asserted-Identity", '"open <sip:a@b>'),
        ("P-Asserted-Identity", "<sip:a@b>,,<sip:c@d>"),
        ("Privacy", ""),
        ("Privacy", "id;"),
        ("Privacy", "id user"),
        ("Identity", ";info=<https://a.example/c>"),
        ("Identity", "a.b.c;info=<https://a.example/c"),
        ("Identity", "a.b.c;info=<>"),
        ("Identity", "a.b.c;info=<a b>"),
        ("Identity", "a.b.c;info=https://a.example/<c>"),
        ("Identity", "a$b"),
        ("Remote-Party-ID", "Bob sip:bob@x"),
    )


class PrivacyTests(SynchronousTestCase):
    """No wish for privacy is overlooked."""

    def test_hides_identity(self) -> None:
        """``id`` keeps the asserted identity from leaving (RFC 3325 section 7)."""
        privacy = invite("Privacy: user;ID").typed("privacy")
        self.assertTrue(privacy.hides_identity)
        self.assertIn("user", privacy)
        self.assertNotIn("none", privacy)
        self.assertFalse(Privacy(("none",)).hides_identity)

    def test_several_lines(self) -> None:
        """Wishes of all lines count."""
        self.assertEqual(invite("Privacy: user", "Privacy: id").typed("privacy"), Privacy(("user", "id")))


class IdentityLineTests(SynchronousTestCase):
    """A request may carry several PASSporTs, each in a line of its own."""

    def test_several(self) -> None:
        """One value a line."""
        values = invite(f"Identity: {SHAKEN};info=<https://a.example/c>", 'y: "AAAA"').typed("identity")
        self.assertEqual(values, [Identity(SHAKEN, "https://a.example/c"), Identity("AAAA")])


class RemotePartyIDTests(SynchronousTestCase):
    """What gateways read from it."""

    def test_parameters(self) -> None:
        """Values are compared without case; without privacy it is off."""
        value = parse_remote_party_id('"Bob" <sip:bob@x>;Party=Called;privacy=FULL;screen=YES')
        self.assertEqual((value.party, value.privacy, value.screened), ("called", "full", True))
        value = parse_remote_party_id("<sip:bob@x>;screen=no")
        self.assertEqual((value.party, value.privacy, value.screened), (None, "off", False))
