"""Messages: what is read, what is written back, and what changes do."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import CSeq, NameAddr
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import Limits, parse_message
from rvoip.protocols.sip.uri import SipURI
from rvoip.test.protocols.sip.samples import HEAD, RESPONSE, invite, request


class ReadTests(SynchronousTestCase):
    """What a message is found to hold."""

    def test_request(self) -> None:
        """Method, URI, headers."""
        message = request(HEAD + b"\r\nbody")
        self.assertEqual((message.method, message.uri_text), ("INVITE", "sip:bob@biloxi.example.com"))
        self.assertEqual(message.uri, SipURI("sip", "bob", "biloxi.example.com"))
        self.assertEqual(message.names, ["via", "max-forwards", "from", "to", "call-id", "cseq"])
        self.assertEqual(message.body, b"body")
        self.assertEqual(
            (message.via.transport, message.via.host, message.via.port),
            ("UDP", "pc33.atlanta.example.com", 5066),
        )
        self.assertEqual(
            (message.via.branch, message.via.rport, message.via.received), ("z9hG4bK776asdhds", "", None)
        )
        self.assertEqual(
            (message.from_.display, message.from_.tag, message.to.tag), ("Alice", "1928301774", None)
        )
        self.assertEqual(
            (message.call_id, message.cseq),
            ("a84b4c76e66710@pc33.atlanta.example.com", CSeq(314159, "INVITE")),
        )
        self.assertEqual(
            (message.max_forwards, message.expires, message.content_length, message.content_type),
            (70, None, None, None),
        )
        self.assertEqual((message.contacts, message.routes, message.record_routes), ([], [], []))

    def test_response(self) -> None:
        """Status, reason, several Via values in two lines, a body."""
        message = parse_message(RESPONSE)
        assert isinstance(message, Response)
        self.assertEqual((message.status, message.reason, message.body), (200, "OK", b"v=0\n"))
        self.assertEqual(
            [via.host for via in message.vias],
            ["server10.biloxi.com", "bigbox3.site3.atlanta.com", "pc33.atlanta.com"],
        )
        self.assertEqual((message.content_type, message.content_length), ("application/sdp", 4))
        self.assertEqual(message.contacts, [NameAddr("sip:bob@192.0.2.4")])

    def test_start_lines(self) -> None:
        """Which are refused, with what status, and whether enough is known for an answer."""
        table: tuple[tuple[bytes, int, bool], ...] = (
            (b"INVITE  sip:a@b SIP/2.0", 400, True),
            (b"INVITE sip:a@b  SIP/2.0", 400, True),
            (b"INVITE sip:a@b SIP/2.0 ", 400, True),
            (b" INVITE sip:a@b SIP/2.0", 400, False),
            (b"INVITE sip:a@b", 400, True),
            (b"INVITE", 400, True),
            (b"INVITE sip:a@b SIP/3.0", 505, True),
            (b"INVITE sip:a@b SIP/2.00", 505, True),
            (b"INVITE sip:a@b HTTP/1.1", 400, True),
            (b"IN\tVITE sip:a@b SIP/2.0", 400, False),
            (b"INV<ITE sip:a@b SIP/2.0", 400, False),
            ("\u0130NVITE sip:a@b SIP/2.0".encode(), 400, False),
            (b"INVITE sip:a@b \xc5\xbfIP/2.0", 400, True),
            (b"SIP/2.0 20 OK", 400, False),
            (b"SIP/2.0 099 OK", 400, False),
            (b"SIP/2.0 700 OK", 400, False),
            (b"SIP/2.0 2000 OK", 400, False),
            (b"SIP/2.0 2_0 OK", 400, False),
            ("SIP/2.0 \u0662\u0660\u0660 OK".encode(), 400, False),
            (b"SIP/2.0  200 OK", 400, False),
            (b"SIP/2.0 ", 400, False),
            (b"SIP/2.0", 400, False),
            (b"SIP/3.0 200 OK", 400, False),
            (b"\xc5\xbfIP/2.0 200 OK", 400, False),
            (b"", 400, False),
        )
        rest = HEAD.partition(b"\r\n")[2] + b"\r\n"
        for start, status, answerable in table:
            error = self.assertRaises(SIPParseError, parse_message, start + b"\r\n" + rest)
            self.assertEqual(
                (error.status, isinstance(error.message, Request)), (status, answerable), repr(start)
            )

    def test_good_start_lines(self) -> None:
        """Reason phrases of any kind, or none; unknown methods."""
        for start, status, reason in (
            (b"SIP/2.0 100 ", 100, ""),
            (b"SIP/2.0 100", 100, ""),
            (b"SIP/2.0 699 a  b ", 699, "a  b "),
            (b"SIP/2.0 200 \xd0\x9d\xff", 200, "\u041d\udcff"),
            (b"SIP/2.0 200 SIP/2.0", 200, "SIP/2.0"),
        ):
            message = parse_message(start + b"\r\nVia: x\r\n\r\n")
            assert isinstance(message, Response)
            self.assertEqual((message.status, message.reason), (status, reason), repr(start))
        self.assertEqual(request(b"x-Odd! * SIP/2.0\r\nVia: x\r\n\r\n").method, "x-Odd!")

    def test_names(self) -> None:
        """Compact forms, any case, blanks before the colon: one canonical name, and it is what is written."""
        for spelled, written in (
            (b"v", b"v"),
            (b"V", b"V"),
            (b"VIA", b"VIA"),
            (b"vIA", b"vIA"),
            (b"Via ", b"Via"),
            (b"via\t \t", b"via"),
        ):
            message = parse_message(b"INVITE sip:a SIP/2.0\r\n" + spelled + b": SIP/2.0/UDP h\r\n\r\n")
            self.assertEqual(message.names, ["via"])
            self.assertEqual(
                message.to_bytes(), b"INVITE sip:a SIP/2.0\r\n" + written + b": SIP/2.0/UDP h\r\n\r\n"
            )
        self.assertEqual(parse_message(b"INVITE sip:a SIP/2.0\r\nX-OdD: 1\r\n\r\n").names, ["x-odd"])

    def test_bad_header_lines(self) -> None:
        """No colon, no name, a name that is none: 400, and the rest can be used for the answer."""
        for line in (
            b"Subject",
            b"Via",
            b"Vias",
            b": x",
            b" ",
            b"Sub ject: x",
            b"Subject\x0b: x",
            b"Subj\x00ect: x",
            "S\u00fcbject: x".encode(),
            b"Subject\xc2\xa0: x",
            b"<Subject>: x",
            b"\x0bSubject: x",
        ):
            data = HEAD + line + b"\r\n\r\n"
            if line == b" ":
                self.assertEqual(parse_message(data).cseq.number, 314159)
                continue
            error = self.assertRaises(SIPParseError, parse_message, data)
            assert error.message is not None
            self.assertEqual(
                (error.status, error.message.call_id), (400, "a84b4c76e66710@pc33.atlanta.example.com")
            )

    def test_folding(self) -> None:
        """A continued line is one line with one blank (RFC 3261 section 7.3.1)."""
        message = parse_message(
            HEAD + b"Subject: I know\r\n \t  you're there,\t\r\n\tpick up\r\n  \r\n the phone\r\n\r\n"
        )
        self.assertEqual(message.get("subject"), "I know you're there, pick up the phone")
        self.assertIn(b"\r\nSubject: I know you're there, pick up the phone\r\n\r\n", message.to_bytes())

    def test_line_breaks(self) -> None:
        """LF alone, CR alone, or a mixture is refused; so nobody can see other lines than we do."""
        for line in (
            b"X-A: a\nY: b",
            b"X-A: a\rY: b",
            b"X-A: a\n\rY: b",
            b"X-A: a\r\r\nY: b",
            b"X-A: a\r\n\nY: b",
            b"X-A: a\n\nY: b",
        ):
            self.assertRaises(SIPParseError, parse_message, HEAD + line + b"\r\n\r\n")
        for separator in ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"):
            message = parse_message(HEAD + f"X-A: a{separator}Y: b\r\n\r\n".encode())
            self.assertEqual(message.names[-1], "x-a")
            self.assertFalse(message.has("y"))
            self.assertEqual(message.get("x-a"), f"a{separator}Y: b")

    def test_body(self) -> None:
        """Cut at Content-Length; without one all there is; octets of any kind."""
        for length, body, kept in (
            (b"Content-Length: 3\r\n", b"abcdef", b"abc"),
            (b"l:0\r\n", b"abc", b""),
            (b"Content-Length: 003\r\nl: 003\r\n", b"abc", b"abc"),
            (b"", b"a\r\n\r\nb\x00\xff", b"a\r\n\r\nb\x00\xff"),
            (b"Content-Length: 0\r\n", b"", b""),
        ):
            self.assertEqual(parse_message(HEAD + length + b"\r\n" + body).body, kept)

    def test_bad_content_length(self) -> None:
        """Too much promised, no number, two that differ: 400 with the message."""
        for length, body in (
            (b"4", b"abc"),
            (b"", b""),
            (b"-1", b""),
            (b"+3", b"abc"),
            (b"1_0", b"a" * 10),
            (b"3 3", b"abc"),
            (b"0x3", b"abc"),
            (b"\xd9\xa3", b"abc"),
            (b"5: 0", b""),
            (b"0;x", b""),
            (b"10000000", b""),
            (b"4294967299", b"abc"),
            (b"9" * 5000, b""),
            (b"3\r\nContent-Length: 2", b"abc"),
            (b"3\r\nl: 03", b"abc"),
        ):
            data = HEAD + b"Content-Length: " + length + b"\r\n\r\n" + body
            error = self.assertRaises(SIPParseError, parse_message, data)
            self.assertEqual(error.status, 400, repr(length))
            self.assertIsInstance(error.message, Request)

    def test_differing_lengths_without_body(self) -> None:
        """Also with no body, two lengths do not pass the check: another hop might believe the second."""
        for first, second in ((b"0", b"5"), (b"0", b"00"), (b"0", b"")):
            data = HEAD + b"Content-Length: " + first + b"\r\nl: " + second + b"\r\n\r\n"
            self.assertRaises(SIPParseError, lambda data=data: check(parse_message(data)))

    def test_limits(self) -> None:
        """Octets of the message and of a header, number of headers."""
        self.assertEqual(
            self.assertRaises(SIPParseError, parse_message, HEAD + b"\r\n" + b"x" * 65536).status, 513
        )
        small = Limits(header=100, headers=8)
        parse_message(HEAD + b"X-A: " + b"x" * 95 + b"\r\n\r\n", small)
        self.assertRaises(SIPParseError, parse_message, HEAD + b"X-A: " + b"x" * 96 + b"\r\n\r\n", small)
        parse_message(HEAD + b"X-A: 1\r\n" * 2 + b"\r\n", small)
        self.assertRaises(SIPParseError, parse_message, HEAD + b"X-A: 1\r\n" * 3 + b"\r\n", small)

    def test_leading_line_breaks(self) -> None:
        """Empty lines before the start line are skipped (RFC 3261 section 7.5)."""
        self.assertEqual(parse_message(b"\r\n\r\n" + HEAD + b"\r\n").names[0], "via")

    def test_rubbish(self) -> None:
        """Octets that are no SIP at all are an error and nothing else."""
        for data in (
            b"",
            b"\x00",
            b"\r\n",
            b"\r\n\r\n",
            b"\xff" * 100,
            b"\x16\x03\x01\x02\x00",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"INVITE sip:a SIP/2.0",
            b"INVITE sip:a SIP/2.0\r\n",
        ):
            self.assertRaises(SIPParseError, lambda data=data: check(parse_message(data)))


class AccessTests(SynchronousTestCase):
    """Lazy access to text and values."""

    def test_text(self) -> None:
        """First value, all lines, all values."""
        message = invite("Supported: a, b", "k:  c\t", "Supported:")
        self.assertEqual(message.get("supported"), "a, b")
        self.assertEqual(message.get_all("supported"), ["a, b", "c", ""])
        self.assertEqual(message.values("supported"), ["a", "b", "c"])
        self.assertEqual((message.get("x"), message.get_all("x"), message.values("x")), (None, [], []))
        self.assertEqual((message.has("supported"), message.has("x")), (True, False))

    def test_commas_that_separate_nothing(self) -> None:
        """Only headers that are lists are split."""
        message = invite("Date: Sat, 13 Nov 2010 23:29:00 GMT", "Subject: a, b")
        self.assertEqual(message.values("date"), ["Sat, 13 Nov 2010 23:29:00 GMT"])
        self.assertEqual(message.values("subject"), ["a, b"])

    def test_empty_value(self) -> None:
        """Nothing between two commas is an error."""
        for text in ("a,,b", ",a", "a,"):
            self.assertRaises(SIPParseError, invite(f"Supported: {text}").values, "supported")

    def test_values_are_read_when_asked_for(self) -> None:
        """A bad header disturbs nobody who does not read it."""
        message = invite('Contact: "open <sip:a@b>', "Route: <")
        self.assertEqual(message.get("contact"), '"open <sip:a@b>')
        self.assertEqual(message.from_.tag, "1928301774")
        self.assertRaises(SIPParseError, lambda: message.contacts)
        self.assertRaises(SIPParseError, lambda: message.routes)

    def test_values_are_kept(self) -> None:
        """The same object until the header changes."""
        message = invite("Contact: <sip:a@b>")
        self.assertIs(message.via, message.via)
        self.assertIs(message.cseq, message.cseq)
        self.assertIs(message.contacts, message.contacts)
        message.set("contact", "<sip:c@d>")
        self.assertEqual(message.contacts, [NameAddr("sip:c@d")])

    def test_missing(self) -> None:
        """What every message must have is asked for by name."""
        message = parse_message(b"INVITE sip:a SIP/2.0\r\nX: 1\r\n\r\n")
        for ask in ("via", "from_", "to", "call_id", "cseq"):
            error = self.assertRaises(SIPParseError, getattr, message, ask)
            self.assertIn("Missing", error.reason)

    def test_numbers(self) -> None:
        """Max-Forwards up to 255; Expires that is no number is an hour."""
        self.assertRaises(
            SIPParseError, lambda: parse_message(HEAD.replace(b": 70", b": 256") + b"\r\n").max_forwards
        )
        for text, seconds in (
            ("60", 60),
            ("4294967295", 2**32 - 1),
            ("4294967296", 3600),
            ("-1", 3600),
            ("1_0", 3600),
        ):
            self.assertEqual(invite(f"Expires: {text}").expires, seconds)
        self.assertEqual(invite("RSeq: 5").number("rseq"), 5)

    def test_option_tags(self) -> None:
        """In lower case, whatever the line."""
        self.assertEqual(
            invite("Require: 100rel", "Require: Path").option_tags("require"), ["100rel", "path"]
        )
        self.assertEqual(invite().option_tags("require"), [])

    def test_other_tags(self) -> None:
        """Those that are not known, spelled as they came: their sender looks for them in Unsupported."""
        request = invite("Require: 100rel, aTag", "Require: Path")
        self.assertEqual(request.other_tags("require", ("path", "outbound")), ["100rel", "aTag"])
        self.assertEqual(invite().other_tags("require", ()), [])


class WriteTests(SynchronousTestCase):
    """Unchanged lines are written back octet for octet."""

    ODD = (
        b"INVITE sip:bob@biloxi.example.com SIP/2.0\r\n"
        b"v:SIP/2.0/UDP  h ;branch=z9hG4bK1\r\n"
        b'FROM:\t"A\\"" <sip:a@b>;tag = 1\r\n'
        b"t: sip:b@c\r\n"
        b"X-\x7e!: \xff\xfe\xc3\x28 \xed\xa0\x80\x00 \r\n"
        b"i:1\r\n"
        b"CSeq: 1   INVITE\r\n\r\n\x00\xff"
    )

    def test_octet_for_octet(self) -> None:
        """Odd spelling, blanks, octets that are no UTF-8: all survive, also after every value was read."""
        for data in (self.ODD, RESPONSE, HEAD + b"\r\n"):
            message = parse_message(data)
            self.assertEqual(message.to_bytes(), data)
            for name in message.names:
                message.typed(name)
            self.assertEqual(message.to_bytes(), data)

    def test_change_in_between(self) -> None:
        """A changed line is ours, those around it stay."""
        message = parse_message(self.ODD)
        message.set("to", "<sip:x@y>")
        self.assertEqual(message.to_bytes(), self.ODD.replace(b"t: sip:b@c", b"To: <sip:x@y>"))

    def test_str(self) -> None:
        """For people: what is no UTF-8 is shown as such."""
        self.assertIn("\ufffd", str(parse_message(self.ODD)))
        self.assertTrue(str(parse_message(RESPONSE)).startswith("SIP/2.0 200 OK\r\n"))
