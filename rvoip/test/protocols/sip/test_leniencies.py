"""Each leniency of the parser by its name in docs/reference/leniencies.md, and how far it goes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import rvoip
from rvoip.protocols.sip.address import CSeq, NameAddr, parse_cseq, parse_name_addr, parse_via
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.digest import parse_credentials, parse_directives
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import is_host, parse_params, parse_q
from rvoip.protocols.sip.identity_headers import Identity, Privacy
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.session_headers import RAck, SessionID
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.test.protocols.sip.samples import HEAD, invite, without

PAGE = Path(rvoip.__file__).parent.parent / "docs" / "reference" / "leniencies.md"


class LeniencyTests(SynchronousTestCase):
    """What is read although the grammar has it otherwise, next to what is not."""

    # Messages.

    def test_lf_alone(self) -> None:
        """A datagram may end its lines with LF if it does so everywhere; what goes out has CRLF."""
        data = HEAD.replace(b"\r\n", b"\n") + b"Subject: a\n b\n\nbody\n"
        message = parse_message(data)
        check(message)
        self.assertEqual((message.get("subject"), message.body), ("a b", b"body\n"))
        self.assertEqual(message.to_bytes(), HEAD + b"Subject: a b\r\n\r\nbody\n")
        self.assertRaises(SIPParseError, parse_message, data.replace(b"\n", b"\r\n", 1))
        self.assertRaises(SIPParseError, parse_message, data.replace(b"body\n", b"body\r\n"))

    def test_length_of_lf_lines(self) -> None:
        """There a Content-Length may have counted CRLF, or nothing; it goes out put right."""
        whole = b"a\r\nb\r\n"
        for length, body in ((b"6", whole), (b"99", whole), (b"5", whole), (b"4", b"a\nb\n"), (b"1", b"a")):
            message = parse_message(
                HEAD.replace(b"\r\n", b"\n") + b"Content-Length: " + length + b"\n\na\nb\n"
            )
            self.assertEqual((message.body, message.content_length), (body, len(body)), repr(length))
        self.assertRaises(SIPParseError, parse_message, HEAD + b"Content-Length: 99\r\n\r\na\nb\n")

    def test_no_empty_line(self) -> None:
        """A datagram may end with its last header line, with a line break or without."""
        for data in (HEAD, HEAD.removesuffix(b"\r\n"), HEAD.replace(b"\r\n", b"\n")):
            message = parse_message(data)
            check(message)
            self.assertEqual(message.to_bytes(), HEAD + b"\r\n")
        self.assertRaises(SIPParseError, parse_message, HEAD + b"\r")

    def test_no_blank_after_status(self) -> None:
        """A status line may end with the status."""
        self.assertEqual(parse_message(b"SIP/2.0 100\r\nVia: x\r\n\r\n").start_line, "SIP/2.0 100 ")
        self.assertRaises(SIPParseError, parse_message, b"SIP/2.0 1000\r\nVia: x\r\n\r\n")

    def test_equal_lengths(self) -> None:
        """Content-Length may be repeated if its text is the same."""
        check(parse_message(HEAD + b"l: 1\r\nContent-Length: 1\r\n\r\nx"))
        self.assertRaises(SIPParseError, parse_message, HEAD + b"l: 1\r\nContent-Length: 01\r\n\r\nx")

    def test_unread_headers(self) -> None:
        """A malformed header that nobody asks for disturbs nobody, and goes on as it came."""
        for line in (
            "Date: Fri, 01 Jan 2010 16:00:00 EST",
            "Accept: ,,",
            "Session-Expires: soon",
            'Warning: "',
        ):
            message = invite(line)
            check(message)
            self.assertIn(line.encode(), message.to_bytes())
            self.assertRaises(SIPParseError, message.typed, line.partition(":")[0].lower())

    def test_large_max_forwards(self) -> None:
        """The check lets a Max-Forwards over 255 pass; whoever forwards refuses it."""
        message = parse_message(HEAD.replace(b": 70", b": 300") + b"\r\n")
        check(message)
        self.assertRaises(SIPParseError, lambda: message.max_forwards)

    def test_rfc_2543(self) -> None:
        """No tag on From, no branch, no Max-Forwards: what elder agents send."""
        data = (
            without("Max-Forwards").replace(b";branch=z9hG4bK776asdhds", b"").replace(b";tag=1928301774", b"")
        )
        message = parse_message(data + b"\r\n")
        check(message)
        self.assertEqual((message.via.branch, message.from_.tag, message.max_forwards), (None, None, None))

    def test_large_cseq(self) -> None:
        """A CSeq may be as large as 32 bits hold, not only 31."""
        self.assertEqual(parse_cseq("4294967295 INVITE"), CSeq(2**32 - 1, "INVITE"))
        self.assertRaises(SIPParseError, parse_cseq, "4294967296 INVITE")

    def test_empty_list(self) -> None:
        """A line without a value counts for nothing in a header that may hold several."""
        message = invite("Contact:", "Route: ", "Supported:", "Supported: path")
        check(message)
        self.assertEqual((message.contacts, message.routes, message.typed("supported")), ([], [], ["path"]))
        self.assertRaises(SIPParseError, lambda: invite("Route: ,").routes)

    # Addresses.

    def test_no_blank_before_bracket(self) -> None:
        """A display name may touch the bracket."""
        self.assertEqual(parse_name_addr("caller<sip:a@b>"), NameAddr("sip:a@b", "caller"))
        self.assertEqual(parse_name_addr('"caller"<sip:a@b>'), NameAddr("sip:a@b", "caller"))

    def test_unquoted_display_name(self) -> None:
        """Quotes may be missing, unless the name holds what separates; rebuilt it has them."""
        for name in ("Mr. O'Brien (home)", "Zo\u00eb @work: 1/2", "[x]{y}|z"):
            value = parse_name_addr(f"{name} <sip:a@b>")
            self.assertEqual((value.display, str(value)), (name, f'"{name}" <sip:a@b>'))
        for name in ("Bell, A", "a;tag=1", 'a "b" c', "a>b", "a\x00b", "a\x7fb"):
            self.assertRaises(SIPParseError, parse_name_addr, f"{name} <sip:a@b>")

    def test_question_mark_without_brackets(self) -> None:
        """A "?" in an address without brackets belongs to the URI, a semicolon to the header."""
        value = parse_name_addr("sip:a@b?Route=%3Csip:c%3E;expires=5")
        self.assertEqual((value.uri_text, value.params), ("sip:a@b?Route=%3Csip:c%3E", {"expires": "5"}))

    def test_blanks_within_brackets(self) -> None:
        """At either end and beside semicolons, where RFCs break lines; nowhere else."""
        value = parse_name_addr("< sip:a@b ; x=1 ;y >;tag=1")
        self.assertEqual((value.uri_text, value.tag), ("sip:a@b;x=1;y", "1"))
        for text in ("<sip:a @b>", "<sip:a@b c>", "<sip:a@b;x= 1>", "<sip: a@b>", "< >"):
            self.assertRaises(SIPParseError, parse_name_addr, text)

    def test_second_closing_bracket(self) -> None:
        """A stray ">" among the parameters is dropped."""
        self.assertEqual(parse_name_addr("<sip:a@b>;user=phone>;tag=1").params, {"user": "phone", "tag": "1"})
        self.assertRaises(SIPParseError, parse_name_addr, '<sip:a@b>;x=">";user=phone>')

    def test_empty_address_parameter(self) -> None:
        """Semicolons too many after an address; not in a Via or any other header."""
        self.assertEqual(parse_name_addr("<sip:a@b>;;tag=1;").params, {"tag": "1"})
        self.assertRaises(SIPParseError, parse_via, "SIP/2.0/UDP h;;branch=1")
        self.assertRaises(
            SIPParseError, invite("Session-Expires: 90;;refresher=uac").typed, "session-expires"
        )

    def test_unread_uri(self) -> None:
        """The URI of an address is looked at by whom it concerns; the address stands without."""
        message = invite("P-Asserted-Identity: <bob>")
        self.assertEqual(message.typed("p-asserted-identity"), [NameAddr("bob")])
        self.assertRaises(SIPParseError, lambda: message.typed("p-asserted-identity")[0].uri)

    # Parameters and lexical rules.

    def test_repeated_parameter(self) -> None:
        """Of two equal names the first counts, everywhere."""
        self.assertEqual(parse_params("tag=1;TAG=2"), {"tag": "1"})
        self.assertEqual(parse_via("SIP/2.0/UDP h;branch=1;branch=2").branch, "1")
        self.assertEqual(parse_directives('Digest nonce="1", nonce="2"')[1], {"nonce": "1"})

    def test_empty_parameter_value(self) -> None:
        """An equals sign with nothing after it, such as ``;rport=``; not where a number or word is needed."""
        self.assertEqual(parse_via("SIP/2.0/UDP h;rport=").rport, "")
        self.assertRaises(SIPParseError, invite("Session-Expires: 90;refresher=").typed, "session-expires")
        message = parse_message(HEAD.replace(b";branch=z9hG4bK776asdhds", b";branch=") + b"\r\n")
        self.assertRaises(SIPParseError, check, message)

    def test_odd_characters_in_values(self) -> None:
        """A parameter value may hold more than a token, but nothing that ends or separates values."""
        for value in ("a/b=c?d@e", "\\a\\", "{x}", "\u00e9"):
            self.assertEqual(parse_params(f"x={value}"), {"x": value})
        for value in ("a b", "a,b", "<a>", 'a"b', "\\<", "\\ a", "a\\\x00"):
            self.assertRaises(SIPParseError, parse_params, f"x={value}")

    def test_long_q(self) -> None:
        """Decimals after the third are cut off."""
        self.assertEqual((parse_q("0.500000"), parse_q("0.9999"), parse_q("1.000000")), (500, 999, 1000))
        self.assertRaises(SIPParseError, parse_q, "1.000001")

    def test_underscore_in_host(self) -> None:
        """Real names in the DNS have them."""
        self.assertTrue(is_host("_sip.my_host.example"))
        self.assertFalse(is_host("-sip.example"))

    def test_loose_ipv6(self) -> None:
        """An IPv6 address is hex digits, colons and dots; whoever sends to it finds out that it is none."""
        uri = parse_uri("sip:u@[2001:db8:::192.0.2.1]")
        assert isinstance(uri, SipURI)
        self.assertEqual((uri.host, str(uri)), ("2001:db8:::192.0.2.1", "sip:u@[2001:db8:::192.0.2.1]"))
        self.assertRaises(SIPParseError, parse_uri, "sip:u@[192.0.2.1]")

    def test_unescaped_uri(self) -> None:
        """What should be escaped in a URI, except blanks, controls, quotes, brackets and backslash."""
        for text in ("sip:*21#@h", "sip:a{b}|c^d`e@h", "sip:zo\u00eb@h", "sip:u@h;x={y}", "sip:u@h?x=#"):
            self.assertEqual(str(parse_uri(text)), text)
        for char in ' \t\r\n\x00\x0b\x7f"<>\\':
            for text in (f"sip:a{char}b@h", f"sip:u@h;x=a{char}b", f"sip:u@h?x=a{char}b"):
                self.assertRaises(SIPParseError, parse_uri, text)

    def test_number_sign_in_user(self) -> None:
        """ "#" and "%23" are one user, for phones dial both."""
        self.assertEqual(parse_uri("sip:*21#@h").aor, parse_uri("sip:*21%23@h").aor)

    # Single headers.

    def test_user_in_via(self) -> None:
        """A name before the host of a Via; answers go to the packet's source all the same."""
        via = parse_via("SIP/2.0/UDP p1@visited.net:5070;branch=1")
        self.assertEqual((via.sent_by, via.port), ("p1@visited.net:5070", 5070))
        for sent_by in ("p 1@visited.net", "@visited.net", "p1@[2001:db8::1]:5060"):
            self.assertRaises(SIPParseError, parse_via, f"SIP/2.0/UDP {sent_by}")

    def test_received_in_brackets(self) -> None:
        """An IPv6 address in ``received``, with brackets or without."""
        self.assertEqual(parse_via("SIP/2.0/UDP h;received=[2001:db8::1]").received, "2001:db8::1")
        self.assertEqual(parse_via("SIP/2.0/UDP h;received=2001:db8::1").received, "2001:db8::1")

    def test_bad_expires(self) -> None:
        """What is no number of seconds counts as 3600."""
        self.assertEqual(
            [invite(f"Expires: {text}").expires for text in ("", "soon", "4294967296")], [3600] * 3
        )
        self.assertEqual(invite("Expires: soon").typed("expires"), 3600)

    def test_odd_date(self) -> None:
        """A day of one digit, or the wrong day of the week; nothing else."""
        moment = datetime(2014, 2, 6, 15, 2, 3, tzinfo=UTC)
        for text in ("Thu, 6 Feb 2014 15:02:03 GMT", "Mon, 06 Feb 2014 15:02:03 GMT"):
            value = invite(f"Date: {text}").typed("date")
            self.assertEqual((value.moment, str(value)), (moment, "Thu, 06 Feb 2014 15:02:03 GMT"))
        self.assertRaises(SIPParseError, invite("Date: Thu, 06 Feb 2014 15:02:03 UTC").typed, "date")

    def test_commas_in_privacy(self) -> None:
        """A comma separates like a semicolon, and all lines count: no wish is overlooked."""
        self.assertEqual(
            invite("Privacy: user, id", "Privacy: header").typed("privacy"), Privacy(("user", "id", "header"))
        )

    def test_old_identity(self) -> None:
        """The quoted or bare signature of RFC 4474, with blanks where its examples fold it."""
        for text in ('"AB+/ CD=="', "AB+/ CD=="):
            self.assertEqual(invite(f"Identity: {text}").typed("identity"), [Identity("AB+/CD==")])

    def test_upper_case_session_id(self) -> None:
        """Hex digits of either case; they go out in lower case when rebuilt."""
        self.assertEqual(invite(f"Session-ID: {'AB' * 16}").typed("session-id"), SessionID("ab" * 16))

    def test_info_without_brackets(self) -> None:
        """The URI of an Alert-Info, Call-Info or Error-Info alone."""
        value = invite("Call-Info: cid:abcdef2@example.com;purpose=EmergencyCallData.cap").typed("call-info")[
            0
        ]
        self.assertEqual(
            (value.uri_text, value.purpose), ("cid:abcdef2@example.com", "emergencycalldata.cap")
        )

    def test_history_without_index(self) -> None:
        """An entry of History-Info that says nothing of its place."""
        self.assertEqual(invite("History-Info: <sip:a@b>").typed("history-info")[0].index, ())

    def test_zero_rseq(self) -> None:
        """RSeq 0, which should be 1 or more."""
        self.assertEqual(invite("RSeq: 0").typed("rseq"), 0)
        self.assertEqual(invite("RAck: 0 1 INVITE").typed("rack"), RAck(0, 1, "INVITE"))

    def test_digest_quoting(self) -> None:
        """Quotes where a token is due and the other way, and commas too many."""
        for text in (
            'Digest username="u", realm="r", nonce="n", uri="sip:a", response="0", qop="auth", '
            'algorithm="MD5", nc="1"',
            "Digest username=u,,realm=r,nonce=n, ,uri=sip:a,response=0,qop=auth,algorithm=MD5,nc=1,",
        ):
            value = parse_credentials(text)
            assert value is not None
            self.assertEqual(
                (value.username, value.uri, value.qop, value.algorithm, value.nc),
                ("u", "sip:a", "auth", "MD5", "1"),
            )


class PageTests(SynchronousTestCase):
    """The page and these tests name the same leniencies."""

    def test_page(self) -> None:
        """A row for each test, a test for each row."""
        if not PAGE.exists():
            raise SkipTest("docs/ is in a checkout only")
        rows = re.findall(r"^\| `([a-z0-9 ]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        tests = [
            name.removeprefix("test_").replace("_", " ")
            for name in vars(LeniencyTests)
            if name.startswith("test_")
        ]
        self.assertEqual(rows, tests)
