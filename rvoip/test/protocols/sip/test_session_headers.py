"""Session-Expires, Min-SE, RAck, RSeq, Session-ID, User-to-User."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.session_headers import (
    NIL_UUID,
    RAck,
    SessionExpires,
    SessionID,
    UserToUser,
    parse_user_to_user,
)
from rvoip.test.protocols.sip.samples import HeaderTable

LOCAL = "ab30317f1a784dc48ff824d0d3715d86"
REMOTE = "47755a9de7794ba387653f2099600ef2"


class SessionHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of RFC 3262, RFC 4028, RFC 7433 and RFC 7989."""

    good = (
        ("Session-Expires", "4000;refresher=uac", SessionExpires(4000, "uac")),
        ("Session-Expires", "1800 ; Refresher = UAS ;x=1", SessionExpires(1800, "uas", {"x": "1"})),
        ("Session-Expires", "4294967295", SessionExpires(2**32 - 1)),
        ("Min-SE", "90", 90),
        ("Min-SE", "120;lr", 120),
        ("RAck", "776656 1 INVITE", RAck(776656, 1, "INVITE")),
        ("RAck", "1 \t 4294967295   PRACK", RAck(1, 2**32 - 1, "PRACK")),
        ("RSeq", "988789", 988789),
        ("Session-ID", f"{LOCAL};remote={REMOTE}", SessionID(LOCAL, REMOTE)),
        ("Session-ID", f"{LOCAL};remote={NIL_UUID};logme", SessionID(LOCAL, NIL_UUID, {"logme": None})),
        ("Session-ID", LOCAL, SessionID(LOCAL)),
        (
            "User-to-User",
            '56a390f3d2b7310023a2;encoding=hex;purpose=foo;content=bar, "Hello; \\"you\\"" ;purpose=x',
            [
                UserToUser("56a390f3d2b7310023a2", "hex", "bar", "foo"),
                UserToUser('Hello; "you"', None, None, "x"),
            ],
        ),
    )
    bad = (
        ("Session-Expires", ""),
        ("Session-Expires", "1_0"),
        ("Session-Expires", "4294967296"),
        ("Session-Expires", "-1"),
        ("Session-Expires", "90;refresher"),
        ("Session-Expires", "90;refresher=proxy"),
        ("Session-Expires", "90;;"),
        ("Min-SE", "ninety"),
        ("Min-SE", "1" * 5000),
        ("RAck", "1 1"),
        ("RAck", "1 1 INVITE INVITE"),
        ("RAck", "1\x0b1 INVITE"),
        ("RAck", "4294967296 1 INVITE"),
        ("RAck", "1 1 <INVITE>"),
        ("RSeq", "+1"),
        ("RSeq", "\u0661"),
        ("Session-ID", LOCAL[:-1]),
        ("Session-ID", LOCAL + "0"),
        ("Session-ID", f"{LOCAL};remote=0"),
        ("Session-ID", f"{LOCAL};remote"),
        ("Session-ID", "g" * 32),
        ("User-to-User", '"open'),
        ("User-to-User", '"a"b;purpose=x'),
        ("User-to-User", "a b"),
    )


class UserToUserTests(SynchronousTestCase):
    """Data given in hex."""

    def test_octets(self) -> None:
        """Hex digits are decoded where the encoding is hex or not said."""
        self.assertEqual(parse_user_to_user("48656C6c6f;encoding=hex").octets, b"Hello")
        self.assertEqual(parse_user_to_user("48656C6c6f").octets, b"Hello")

    def test_not_hex(self) -> None:
        """Anything else is refused, also what `bytes.fromhex` would skip over."""
        for text in ("4865;encoding=base64", "486", '"48 65"', "xy"):
            value = parse_user_to_user(text)
            self.assertRaises(SIPParseError, lambda value=value: value.octets)
