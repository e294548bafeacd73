"""Tokens, numbers, quoting, splitting and parameters."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import (
    Params,
    end_of_quoted,
    format_host,
    format_host_port,
    format_params,
    format_q,
    head_and_params,
    is_host,
    is_token,
    parse_number,
    parse_params,
    parse_q,
    quote,
    split_host_port,
    split_outside,
    take_number,
    take_q,
    take_text,
    token_or_quoted,
    unquote,
)

# What `int` or `str.isdigit` would take, and SIP does not.
NO_NUMBERS = (
    "",
    "1_0",
    "+1",
    "-1",
    " 1",
    "1 ",
    "1\n",
    "\x1c1",
    "\u0661",
    "\uff11",
    "\u00b2",
    "0x1",
    "1e3",
    "1.0",
    "9" * 5000,
)


class TokenTests(SynchronousTestCase):
    """Tokens and hosts."""

    def test_tokens(self) -> None:
        """The characters of RFC 3261 section 25.1, and at least one."""
        for text in ("a", "INVITE", "-.!%*_+`'~", "z9hG4bK776asdhds", "2.0"):
            self.assertTrue(is_token(text), text)
        for text in (
            "",
            "a b",
            "a\n",
            "a\x00",
            "\u00e9",
            "\u212a",
            'a"',
            "a/b",
            "a@b",
            "(a)",
            "a,b",
            "a;b",
            "[a]",
            "a\u2028",
        ):
            self.assertFalse(is_token(text), repr(text))

    def test_hosts(self) -> None:
        """Names, IPv4 and bracketed IPv6."""
        for text in (
            "example.com",
            "example.com.",
            "a_b.example",
            "192.0.2.1",
            "[2001:db8::1]",
            "[::ffff:192.0.2.1]",
            "[fe80::1%eth0]",
        ):
            self.assertTrue(is_host(text), text)
        for text in (
            "",
            "-a",
            ".",
            "a b",
            "2001:db8::1",
            "[::1",
            "::1]",
            "[]",
            "[g::1]",
            "a\n",
            "ex\u00e4mple",
            "a/b",
            "[::1%]",
        ):
            self.assertFalse(is_host(text), repr(text))


class NumberTests(SynchronousTestCase):
    """Python's idea of a number is not SIP's."""

    def test_good(self) -> None:
        """ASCII digits up to the bound, leading zeros included."""
        for text, number in (("0", 0), ("0009", 9), ("255", 255), ("0" * 17 + "255", 255)):
            self.assertEqual(parse_number(text, 255, "x"), number)

    def test_bad(self) -> None:
        """Signs, underscores, blanks, other scripts' digits, what is too large: a 400 that says where."""
        for text in (*NO_NUMBERS, "256", "0" * 18 + "255"):
            error = self.assertRaises(SIPParseError, parse_number, text, 255, "Max-Forwards")
            self.assertEqual((error.reason, error.status), ("Bad Max-Forwards", 400), repr(text[:10]))

    def test_q(self) -> None:
        """Thousandths; a comparison needs no floating point."""
        for text, q in (
            ("0", 0),
            ("0.", 0),
            ("0.5", 500),
            ("0.05", 50),
            ("0.001", 1),
            ("0.999", 999),
            ("1", 1000),
            ("1.000", 1000),
        ):
            self.assertEqual(parse_q(text), q, text)
            self.assertEqual(parse_q(format_q(q)), q)
        for text in (*NO_NUMBERS[:-3], "1.001", "2", ".5", "00.5", "0.5.5", "0,5", "0." + "1" * 40):
            if text not in ("1.0",):
                self.assertRaises(SIPParseError, parse_q, text)

    def test_format_q(self) -> None:
        """The shortest text."""
        self.assertEqual(
            [format_q(q) for q in (0, 1, 50, 500, 999, 1000, 1001)],
            ["0", "0.001", "0.05", "0.5", "0.999", "1", "1"],
        )


class QuotingTests(SynchronousTestCase):
    """Quoted strings."""

    def test_round_trip(self) -> None:
        """Whatever is quoted can be unquoted."""
        for text in ("", "a", 'say "hi"', "back\\slash", '\\"', "\x00", "\u00e9", "a,b;c<d>"):
            self.assertEqual(unquote(quote(text)), text)
            self.assertEqual(end_of_quoted(quote(text), 0), len(quote(text)) - 1)

    def test_unquote(self) -> None:
        """Escapes are resolved once; without quotes nothing is done."""
        for text, plain in (
            ('"a\\\\b"', "a\\b"),
            ('"\\\x00"', "\x00"),
            ("a", "a"),
            ('"', '"'),
            ('""', ""),
            ('"\\"', "\\"),
        ):
            self.assertEqual(unquote(text), plain, text)

    def test_end_of_quoted(self) -> None:
        """The closing quote, not an escaped one."""
        for text, end in (('""', 1), ('"a"b"', 2), ('"\\""', 3), ('"\\\\"', 3), ('"\\\\\\""', 5)):
            self.assertEqual(end_of_quoted(text, 0), end, text)
        for text in ('"', '"a', '"\\"', '"\\\\\\"'):
            self.assertRaises(SIPParseError, end_of_quoted, text, 0)

    def test_token_or_quoted(self) -> None:
        """Quotes where they are needed."""
        self.assertEqual([token_or_quoted(text) for text in ("a", "a b", "")], ["a", '"a b"', '""'])


class SplitTests(SynchronousTestCase):
    """Splitting where neither quotes nor brackets protect."""

    def test_split(self) -> None:
        """Commas in quoted strings and between brackets belong to the value."""
        table = (
            ("", [""]),
            ("a", ["a"]),
            ("a,b", ["a", "b"]),
            (",a,", ["", "a", ""]),
            ('"a,b",c', ['"a,b"', "c"]),
            ('"a\\",b",c', ['"a\\",b"', "c"]),
            ("<a,b>,c", ["<a,b>", "c"]),
            ('<a",b>,"c,d"', ['<a",b>', '"c,d"']),
            ('"<",a', ['"<"', "a"]),
            ("a>,b", ["a>", "b"]),
        )
        for text, pieces in table:
            self.assertEqual(split_outside(text, ","), pieces, text)

    def test_unterminated(self) -> None:
        """What is opened must be closed, whether a separator follows or not."""
        for text in ('"', '"a,b', "<a,b", "<", '"a\\"', '<a,"b', 'a,"', '"a","', "a<b,>c,<"):
            self.assertRaises(SIPParseError, split_outside, text, ",")
            self.assertRaises(SIPParseError, split_outside, text.replace(",", "-"), ",")


class ParamTests(SynchronousTestCase):
    """Parameters of headers."""

    def test_read_and_written(self) -> None:
        """Names in lower case, values as written, in order."""
        table: tuple[tuple[str, Params], ...] = (
            ("a", {"a": None}),
            ("A=B;c", {"a": "B", "c": None}),
            ('a="x;y";b', {"a": '"x;y"', "b": None}),
            ('a="x\\"y";b="z"', {"a": '"x\\"y"', "b": '"z"'}),
            ("rport=", {"rport": ""}),
            ("a=[::1]:5;b=x/y@z", {"a": "[::1]:5", "b": "x/y@z"}),
            ("a=b=c", {"a": "b=c"}),
            ("tag=1;tag=2;TAG=3", {"tag": "1"}),
        )
        for text, params in table:
            self.assertEqual(parse_params(text), params, text)
            self.assertEqual(list(parse_params(text)), list(params))
            self.assertEqual(parse_params(format_params(params)[1:]), params)

    def test_blanks(self) -> None:
        """Blanks may stand around the signs (RFC 3261 section 25.1, SEMI and EQUAL)."""
        self.assertEqual(parse_params('a = b ;\tc\t; d= "e" '), {"a": "b", "c": None, "d": '"e"'})

    def test_bad(self) -> None:
        """Empty ones, names that are no tokens, values with what ends a value."""
        for text in (
            "",
            ";",
            ";a",
            "a;",
            ";;a",
            "=a",
            "a b",
            "a=b c",
            'a="b',
            'a="b"c',
            "a=<b>",
            "a=b,c",
            "a=b\x00",
            "\u212a=1",
            "a=\x0bb",
            'a=b"c"',
        ):
            self.assertRaises(SIPParseError, parse_params, text)

    def test_kelvin_sign(self) -> None:
        """U+212A becomes "k" in lower case; it is no letter of a token."""
        self.assertRaises(SIPParseError, parse_params, "to\u212aen=1")

    def test_head_and_params(self) -> None:
        """The value before the first semicolon."""
        self.assertEqual(head_and_params(" a ;b=c"), ("a", {"b": "c"}))
        self.assertEqual(head_and_params("a"), ("a", {}))
        self.assertRaises(SIPParseError, head_and_params, "a;")

    def test_take(self) -> None:
        """Taking one leaves the others."""
        params = parse_params('a="x y";n=5;flag;q=0.25')
        self.assertEqual(
            (take_text(params, "a"), take_text(params, "flag"), take_text(params, "b")), ("x y", "", None)
        )
        self.assertEqual((take_number(params, "n", 9), take_number(params, "n", 9)), (5, None))
        self.assertEqual((take_q(params), take_q(params)), (250, None))
        self.assertEqual(params, {})

    def test_take_bad(self) -> None:
        """A number out of bounds or without a value is an error."""
        for text in ("n=10", "n", "n=", "n=x"):
            self.assertRaises(SIPParseError, take_number, parse_params(text), "n", 9)
        self.assertRaises(SIPParseError, take_q, parse_params("q"))


class HostPortTests(SynchronousTestCase):
    """Host and port."""

    def test_good(self) -> None:
        """IPv6 without brackets, in lower case; blanks around the colon as Via allows."""
        table = (
            ("Example.COM", ("example.com", None)),
            ("example.com:5060", ("example.com", 5060)),
            ("192.0.2.1 : 5060", ("192.0.2.1", 5060)),
            ("[2001:DB8::1]", ("2001:db8::1", None)),
            ("[2001:db8::1]:65535", ("2001:db8::1", 65535)),
            ("[::1] : 0", ("::1", 0)),
        )
        for text, value in table:
            self.assertEqual(split_host_port(text, "Via"), value, text)
            self.assertEqual(split_host_port(format_host_port(*value), "Via"), value)

    def test_bad(self) -> None:
        """A 400 that names the place."""
        for text in (
            "",
            ":5060",
            "a:",
            "a:x",
            "a:65536",
            "a:1_0",
            "a:\u0661",
            "[::1",
            "[::1]5060",
            "[::1]:",
            "::1",
            "a b",
            "[a]:1",
            "a:1:2",
        ):
            error = self.assertRaises(SIPParseError, split_host_port, text, "Via")
            self.assertIn("Via", error.reason)

    def test_format_host(self) -> None:
        """Brackets for IPv6 alone."""
        self.assertEqual((format_host("::1"), format_host("a.example")), ("[::1]", "a.example"))
