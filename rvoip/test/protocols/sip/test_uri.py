"""SIP, SIPS, tel and other URIs: reading, writing, comparing, escaping."""

from __future__ import annotations

from itertools import combinations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import (
    OpaqueURI,
    SipURI,
    TelURI,
    equivalent,
    escape_user,
    is_one_word,
    parse_uri,
    unescape,
)


class SipURITests(SynchronousTestCase):
    """RFC 3261 section 19.1.1."""

    def test_parts(self) -> None:
        """Every example of section 19.1.3, and every part, both ways."""
        table = (
            ("sip:alice@atlanta.com", SipURI("sip", "alice", "atlanta.com")),
            (
                "sip:alice:secretword@atlanta.com;transport=tcp",
                SipURI("sip", "alice", "atlanta.com", None, (("transport", "tcp"),), (), "secretword"),
            ),
            (
                "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
                SipURI(
                    "sips",
                    "alice",
                    "atlanta.com",
                    None,
                    (),
                    (("subject", "project%20x"), ("priority", "urgent")),
                ),
            ),
            (
                "sip:+1-212-555-1212:1234@gateway.com;user=phone",
                SipURI("sip", "+1-212-555-1212", "gateway.com", None, (("user", "phone"),), (), "1234"),
            ),
            ("sips:1212@gateway.com", SipURI("sips", "1212", "gateway.com")),
            ("sip:alice@192.0.2.4", SipURI("sip", "alice", "192.0.2.4")),
            (
                "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
                SipURI(
                    "sip",
                    None,
                    "atlanta.com",
                    None,
                    (("method", "REGISTER"),),
                    (("to", "alice%40atlanta.com"),),
                ),
            ),
            ("sip:alice;day=tuesday@atlanta.com", SipURI("sip", "alice;day=tuesday", "atlanta.com")),
            ("sip:[2001:db8::1]:5060;lr", SipURI("sip", None, "2001:db8::1", 5060, (("lr", None),))),
            ("sip:u@[2001:db8::1]", SipURI("sip", "u", "2001:db8::1")),
            ("sip:a?b/c@h", SipURI("sip", "a?b/c", "h")),
            ("sip:h;a=;b", SipURI("sip", None, "h", None, (("a", ""), ("b", None)))),
            ("sip:h?a=&b=c", SipURI("sip", None, "h", None, (), (("a", ""), ("b", "c")))),
            ("sip:u:@h", SipURI("sip", "u", "h", None, (), (), "")),
        )
        for text, uri in table:
            parsed = parse_uri(text)
            assert isinstance(parsed, SipURI)
            for part in ("scheme", "user", "password", "host", "port", "params", "headers"):
                self.assertEqual(getattr(parsed, part), getattr(uri, part), f"{part} of {text}")
            self.assertEqual(str(uri), text)
            self.assertEqual(str(parsed), text)

    def test_case(self) -> None:
        """Scheme and host are lowered, nothing else is."""
        self.assertEqual(
            str(parse_uri("SIP:Alice@AtLanTa.CoM;Transport=TCP")), "sip:Alice@atlanta.com;Transport=TCP"
        )
        self.assertEqual(str(parse_uri("sips:[2001:DB8::A]")), "sips:[2001:db8::a]")

    def test_bad(self) -> None:
        """None of these is a URI, and the error is a 400."""
        for text in (
            "",
            "sip",
            "sip:",
            ":alice@atlanta.com",
            "sip:@atlanta.com",
            "sip::secret@atlanta.com",
            "sip:alice@",
            "sip:alice@@atlanta.com",
            "sip:alice@atlanta.com:",
            "sip:alice@atlanta.com:65536",
            "sip:alice@atlanta.com:5_0",
            "sip:alice@atlanta.com:\u0665",
            "sip:alice@atlanta.com:5060:5061",
            "sip:alice@2001:db8::10",
            "sip:alice@[2001:db8::10",
            "sip:alice@[2001:db8::10]5060",
            "sip:alice@[atlanta.com]",
            "sip:ali ce@atlanta.com",
            "sip:alice@atlan ta.com",
            "sip:alice@atlanta.com ",
            " sip:alice@atlanta.com",
            "sip:ali\rce@atlanta.com",
            "sip:ali\x00ce@atlanta.com",
            "sip:ali\x0bce@atlanta.com",
            'sip:"alice"@atlanta.com',
            "sip:<alice>@atlanta.com",
            "sip:alice@atlanta.com\x85",
            "sip:alice@-atlanta.com",
            "sip:ali%xe@atlanta.com",
            "sip:ali%4@atlanta.com",
            "sip:ali%+1@atlanta.com",
            "sip:alice@atlanta.com;",
            "sip:alice@atlanta.com;;lr",
            "sip:alice@atlanta.com;=x",
            "sip:alice@atlanta.com;a=%zz",
            "sip:alice@atlanta.com;a=b c",
            "sip:alice@atlanta.com?",
            "sip:alice@atlanta.com?a=b&",
            "sip:alice@atlanta.com?=b",
            "sip:alice@atlanta.com?a=%",
            "<sip:alice@atlanta.com>",
        ):
            error = self.assertRaises(SIPParseError, parse_uri, text)
            self.assertEqual(error.status, 400, repr(text))

    def test_lookups(self) -> None:
        """Parameters by name, without case; "" for one without a value."""
        uri = parse_uri("sips:u@h;LR;transport=TCP;maddr=239.255.255.1;x=")
        assert isinstance(uri, SipURI)
        self.assertEqual(
            (uri.param("lr"), uri.param("maddr"), uri.param("x"), uri.param("y")),
            ("", "239.255.255.1", "", None),
        )
        self.assertEqual((uri.loose, uri.secure, uri.transport), (True, True, "tcp"))
        self.assertEqual((uri.has_param("lr"), uri.has_param("y")), (True, False))
        plain = SipURI("sip", None, "h")
        self.assertEqual(
            (plain.loose, plain.secure, plain.transport, plain.user_unescaped), (False, False, None, None)
        )

    def test_changed_copies(self) -> None:
        """Copies with other parts; the first stays as it was."""
        uri = SipURI("sip", "u", "h", 5070, (("lr", None), ("Transport", "udp")), (("a", "b"),), "secret")
        self.assertEqual(
            str(uri.with_params(transport="tcp", maddr="h2")),
            "sip:u:secret@h:5070;lr;transport=tcp;maddr=h2?a=b",
        )
        self.assertEqual(str(uri.with_params(ob="", lr=None)), "sip:u:secret@h:5070;Transport=udp;ob?a=b")
        self.assertEqual(str(uri.without_params("transport", "x")), "sip:u:secret@h:5070;lr?a=b")
        self.assertEqual(
            str(uri.replace(host="h3", port=1, user="v")), "sip:v:secret@h3:1;lr;Transport=udp?a=b"
        )
        self.assertEqual(str(uri), "sip:u:secret@h:5070;lr;Transport=udp?a=b")

    def test_for_request_line(self) -> None:
        """No headers and no method in a Request-URI (RFC 3261 table 1)."""
        uri = parse_uri("sip:u@h;method=INVITE;lr?a=b")
        assert isinstance(uri, SipURI)
        self.assertEqual(str(uri.for_request_line()), "sip:u@h;lr")
        plain = SipURI("sip", "u", "h")
        self.assertIs(plain.for_request_line(), plain)

    def test_equality_of_texts(self) -> None:
        """`==` is of the text; a hash goes with it."""
        self.assertEqual(SipURI("sip", "u", "h"), parse_uri("SIP:u@H"))
        self.assertEqual(hash(SipURI("sip", "u", "h")), hash(parse_uri("sip:u@h")))
        self.assertNotEqual(parse_uri("sip:u@h"), parse_uri("sip:u@h;lr"))
        self.assertNotEqual(parse_uri("tel:+1"), parse_uri("sip:+1@h"))

    def test_cache(self) -> None:
        """Repeated values are the same object, and the cache does not grow without bound."""
        self.assertIs(parse_uri("sip:cached@h"), parse_uri("sip:cached@h"))
        for number in range(5000):
            parse_uri(f"sip:u{number}@h")
        self.assertEqual(str(parse_uri("sip:cached@h")), "sip:cached@h")


class EscapingTests(SynchronousTestCase):
    """RFC 3261 section 19.1.2 and RFC 4475 sections 3.1.1.3 and 3.1.1.4."""

    def test_unescape(self) -> None:
        """Once, and only what is an escape; octets that are no UTF-8 survive."""
        table = (
            ("alice", "alice"),
            ("%61lice", "alice"),
            ("value%25%34%31", "value%41"),
            ("null-%00-null", "null-\x00-null"),
            ("%C3%A9%e4%b8%ad", "\u00e9\u4e2d"),
            ("%ff", "\udcff"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%+1% 1%_1%1_%\u0661\u0661", "%+1% 1%_1%1_%\u0661\u0661"),
            ("%%41", "%A"),
        )
        for text, plain in table:
            self.assertEqual(unescape(text), plain, text)

    def test_escape(self) -> None:
        """What must be escaped is, and reads back to what it was."""
        table = (
            ("alice", "alice"),
            ("a b", "a%20b"),
            ("user@example.com", "user%40example.com"),
            ("a:b", "a%3Ab"),
            ("&=+$,;?/", "&=+$,;?/"),
            ("-_.!~*'()", "-_.!~*'()"),
            ("\r\nX: 1", "%0D%0AX%3A%201"),
            ('<">\\^`{|}[]#%', "%3C%22%3E%5C%5E%60%7B%7C%7D%5B%5D%23%25"),
            ("\u00e9", "%C3%A9"),
            ("\udcff\x00", "%FF%00"),
        )
        for plain, text in table:
            self.assertEqual(escape_user(plain), text)
            self.assertEqual(unescape(text), plain)
            uri = parse_uri(f"sip:{text}@h")
            assert isinstance(uri, SipURI)
            self.assertEqual(uri.user_unescaped, plain)

    def test_aor(self) -> None:
        """One address-of-record for all spellings (RFC 3261 section 10.3 step 5)."""
        table = (
            ("sip:Alice@ATLANTA.com", "Alice@atlanta.com"),
            ("sips:%41lice:secret@atlanta.com:5061;transport=tcp?a=b", "Alice@atlanta.com"),
            ("sip:%2b1%3b2@h", "+1;2@h"),
            ("sip:a%40b@h", "a%40b@h"),
            ("sip:a%3ab@h", "a%3Ab@h"),
            ("sip:%00@h", "%00@h"),
            ("sip:%00%00@h", "%00%00@h"),
            ("sip:%231@h", "#1@h"),
            ("sip:#1@h", "#1@h"),
            ("sip:u@[::1]:5060", "u@[::1]"),
            ("sip:h", "h"),
            ("tel:+1-(212)-555.1212;ext=3", "+12125551212"),
            ("tel:ABC*;phone-context=x", "abc*"),
            ("urn:service:sos", "urn:service:sos"),
        )
        for text, aor in table:
            self.assertEqual(parse_uri(text).aor, aor, text)

    def test_one_word(self) -> None:
        """What may stand in a request line."""
        for text in ("sip:a@b", "*", "x\u00e9"):
            self.assertTrue(is_one_word(text))
        for text in ("", "a b", "a\tb", "a\r\nX: y", "a\x00", "a\x7f", "a\n"):
            self.assertFalse(is_one_word(text), repr(text))


class EquivalenceTests(SynchronousTestCase):
    """RFC 3261 section 19.1.4, RFC 5954 and RFC 3966 section 4."""

    # Each row is a class: all in it are equivalent. The first two are the examples of section 19.1.4.
    SAME = (
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&Subject=project%20x",
        ),
        ("sip:u@[2001:db8::9:1]", "sip:u@[2001:db8::9:01]", "sip:u@[2001:0DB8:0:0:0:0:9:1]"),
        ("sip:u@[::ffff:192.0.2.1]", "sip:u@[::ffff:c000:201]"),
        ("sip:u:%73ecret@h", "sip:u:secret@h"),
        ("sip:h;lr", "sip:h;lr=", "sip:h"),
        ("sip:a%40b@h", "sip:%61%40%62@h"),
        ("tel:+1-201-555-0123", "tel:+12015550123", "tel:+1(201)555.0123", "TEL:+12015550123"),
        ("tel:7042;phone-context=Example.com", "tel:70-42;phone-context=example.com"),
        ("tel:863-1234;phone-context=+1-914-555", "tel:8631234;phone-context=+1914555"),
        ("tel:+1201;ext=5-5;isub=1", "tel:+1-201;isub=1;ext=55"),
        ("urn:service:sos", "urn:service:sos"),
    )
    # No two in a row are equivalent; most are the examples of section 19.1.4.
    DIFFERENT = (
        ("sip:ALICE@AtLanTa.CoM;transport=udp", "sip:alice@AtLanTa.CoM;transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", "sip:bob@biloxi.com;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:u@h", "sips:u@h"),
        ("sip:u@h", "sip:h"),
        ("sip:u@h", "sip:u:@h"),
        ("sip:u@h", "sip:u@h;user=phone", "sip:u@h;user=ip"),
        ("sip:u@h", "sip:u@h;ttl=1"),
        ("sip:u@h", "sip:u@h;method=INVITE"),
        ("sip:u@h", "sip:u@h;maddr=239.255.255.1"),
        ("sip:u@h?a=b", "sip:u@h?a=B", "sip:u@h?a=b&c=d"),
        ("sip:%2B1@h", "sip:+1@h"),
        ("sip:a%00b@h", "sip:a%00@h", "sip:a@h"),
        ("sip:u@[2001:db8::1]", "sip:u@[2001:db8::2]"),
        ("tel:+12015550123", "tel:12015550123", "tel:+12015550123;ext=1", "sip:+12015550123@h"),
        ("tel:7042;phone-context=a.example", "tel:7042;phone-context=b.example"),
        ("urn:service:sos", "URN:service:sos"),
    )

    def test_same(self) -> None:
        """Equivalent in both directions and to themselves."""
        for row in self.SAME:
            for left, right in combinations(row, 2):
                self.assertTrue(equivalent(parse_uri(left), parse_uri(right)), f"{left} {right}")
                self.assertTrue(equivalent(parse_uri(right), parse_uri(left)), f"{right} {left}")
            for text in row:
                self.assertTrue(equivalent(parse_uri(text), parse_uri(text)))

    def test_not_transitive(self) -> None:
        """Section 19.1.4: two may each be equivalent to a third and not to each other."""
        plain, on, off = (
            parse_uri(f"sip:carol@chicago.com{tail}") for tail in ("", ";security=on", ";security=off")
        )
        self.assertTrue(equivalent(plain, on) and equivalent(plain, off))
        self.assertFalse(equivalent(on, off))

    def test_different(self) -> None:
        """Different in both directions."""
        for row in self.DIFFERENT:
            for left, right in combinations(row, 2):
                self.assertFalse(equivalent(parse_uri(left), parse_uri(right)), f"{left} {right}")
                self.assertFalse(equivalent(parse_uri(right), parse_uri(left)), f"{right} {left}")


class TelURITests(SynchronousTestCase):
    """RFC 3966."""

    def test_good(self) -> None:
        """Global and local numbers, both ways."""
        for text, number, digits, global_ in (
            ("tel:+1-201-555-0123", "+1-201-555-0123", "+12015550123", True),
            ("tel:7042;phone-context=example.com", "7042", "7042", False),
            ("tel:*21#;phone-context=+1", "*21#", "*21#", False),
            ("tel:+1(201)555.0123;ext=1;npdi", "+1(201)555.0123", "+12015550123", True),
            ("tel:aBc;x", "aBc", "aBc", False),
        ):
            uri = parse_uri(text)
            assert isinstance(uri, TelURI)
            self.assertEqual(
                (uri.number, uri.digits, uri.is_global, str(uri)), (number, digits, global_, text)
            )

    def test_param(self) -> None:
        """Without case; "" for one without a value."""
        uri = parse_uri("tel:+1201;Ext=5;npdi")
        assert isinstance(uri, TelURI)
        self.assertEqual((uri.param("ext"), uri.param("npdi"), uri.param("x")), ("5", "", None))

    def test_bad(self) -> None:
        """No digits, letters in a global number, what a number never holds."""
        for text in (
            "tel:",
            "tel:+",
            "tel:+-()",
            "tel:-.",
            "tel:+12a",
            "tel:1 2",
            "tel:+\u0661",
            "tel:xyz",
            "tel:1;;x",
            "tel:1;a=%",
            "tel:+1+2",
        ):
            self.assertRaises(SIPParseError, parse_uri, text)


class OpaqueURITests(SynchronousTestCase):
    """Other schemes are kept as they are."""

    def test_good(self) -> None:
        """Text in, text out, also with what SIP would not allow."""
        for text in (
            "mailto:watson@bell-telephone.com",
            "http://a/b;c?d#e",
            "soap.beep://192.0.2.103:3002",
            "isbn:2983792873",
            "urn:service:sos",
            "X+y-z.1:%",
        ):
            uri = parse_uri(text)
            assert isinstance(uri, OpaqueURI)
            self.assertEqual(str(uri), text)
            self.assertEqual(uri, parse_uri(text))
            self.assertEqual(hash(uri), hash(parse_uri(text)))

    def test_bad(self) -> None:
        """No scheme, or what ends an address."""
        for text in ("1x:y", "x y:z", "x:y z", "x:<y>", 'x:"', "x:\x00", "\u0131x:y", "x", "*", "x:\r\n"):
            self.assertRaises(SIPParseError, parse_uri, text)
