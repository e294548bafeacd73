"""Supported and its like, Allow, Accept-Contact, Feature-Caps, Info-Package."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.capability_headers import ContactPredicate, FeatureCaps, InfoPackage
from rvoip.test.protocols.sip.samples import HeaderTable, invite


class CapabilityHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of RFC 3261, RFC 3841, RFC 6086 and RFC 6809."""

    good = (
        ("Supported", "100rel, Path,timer", ["100rel", "Path", "timer"]),
        ("Supported", "", []),
        ("Require", "100rel", ["100rel"]),
        ("Proxy-Require", "foo", ["foo"]),
        ("Unsupported", "nothingSupportsThis", ["nothingSupportsThis"]),
        ("Allow", "INVITE, ACK, x-Odd", ["INVITE", "ACK", "x-Odd"]),
        (
            "Accept-Contact",
            '*;audio;require, *;mobility="fixed";methods="INVITE,BYE";Explicit;require',
            [
                ContactPredicate({"audio": None}, require=True),
                ContactPredicate(
                    {"mobility": '"fixed"', "methods": '"INVITE,BYE"'}, require=True, explicit=True
                ),
            ],
        ),
        ("Reject-Contact", '*;actor="msg-taker"', [ContactPredicate({"actor": '"msg-taker"'})]),
        ("Request-Disposition", "Proxy, no-fork", ["proxy", "no-fork"]),
        (
            "Feature-Caps",
            '*;+sip.pns="acme";+sip.608',
            [FeatureCaps({"+sip.pns": '"acme"', "+sip.608": None})],
        ),
        ("Info-Package", "foo;x=y", InfoPackage("foo", {"x": "y"})),
        ("Recv-Info", "P, R;q", [InfoPackage("P"), InfoPackage("R", {"q": None})]),
        ("Recv-Info", "", []),
    )
    bad = (
        ("Supported", "path . . ."),
        ("Supported", "path,,timer"),
        ("Require", "<foo>"),
        ("Allow", "INVITE,"),
        ("Allow", "IN VITE"),
        ("Accept-Contact", "sip:a@b"),
        ("Accept-Contact", '*;methods="open'),
        ("Reject-Contact", "*audio"),
        ("Request-Disposition", "no fork"),
        ("Feature-Caps", "+sip.608"),
        ("Info-Package", ""),
        ("Info-Package", "a b"),
        ("Recv-Info", "P,,R"),
    )

    def test_feature(self) -> None:
        """A feature comes unquoted, "" without a value, None when absent."""
        for name in ("Accept-Contact", "Feature-Caps"):
            value = invite(f'{name}: *;audio;x="a b"').typed(name.lower())[0]
            self.assertEqual(
                (value.feature("audio"), value.feature("x"), value.feature("y")), ("", "a b", None)
            )
