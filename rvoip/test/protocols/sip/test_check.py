"""What every element refuses."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.check import KNOWN_METHODS, check
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message, Request
from rvoip.protocols.sip.names import SINGLE
from rvoip.protocols.sip.reader import Limits, parse_message
from rvoip.test.protocols.sip.samples import HEAD, without


def response(head: bytes = HEAD) -> bytes:
    """The request's headers under a status line."""
    return b"SIP/2.0 200 OK\r\n" + head.partition(b"\r\n")[2] + b"\r\n"


class CheckTests(SynchronousTestCase):
    """Messages that pass and messages that do not."""

    def refused(self, data: bytes, status: int = 400) -> Message:
        """The message that the check's error carries."""
        message = parse_message(data)
        error = self.assertRaises(SIPParseError, check, message)
        self.assertEqual(error.status, status, repr(data[-100:]))
        self.assertIs(error.message, message)
        return message

    def test_passes(self) -> None:
        """A request and a response with what is mandatory."""
        check(parse_message(HEAD + b"\r\n"))
        check(parse_message(response()))

    def test_missing(self) -> None:
        """Each mandatory header; Max-Forwards is none (RFC 3261 section 16.3 step 3)."""
        for name in ("Via", "From", "To", "Call-ID", "CSeq"):
            self.refused(without(name) + b"\r\n")
            self.refused(response(without(name)))
        check(parse_message(without("Max-Forwards") + b"\r\n"))

    def test_repeated(self) -> None:
        """What may stand only once (RFC 4475 section 3.3.8), compact or not."""
        values = {"from": "<sip:a@b>", "to": "<sip:a@b>", "cseq": "314159 INVITE", "content-length": "0"}
        for name in SINGLE - {"content-length"}:
            line = f"{name}: {values.get(name, '1')}\r\n".encode()
            self.refused(HEAD + line * 2 + b"\r\n")
        for short in (b"f: <sip:a@b>", b"t: <sip:a@b>", b"i: 1"):
            self.refused(HEAD + short + b"\r\n\r\n")
        message = self.refused(HEAD + b"From: <sip:a@b>\r\nCall-ID: 1\r\nMax-Forwards: 1\r\n\r\n")
        error = self.assertRaises(SIPParseError, check, message)
        first = next(one for one in message.names if one in ("from", "call-id", "max-forwards"))
        self.assertEqual(error.reason.lower(), f"more than one {first}", "whatever the hash seed")
        check(parse_message(HEAD + b"Content-Length: 0\r\nl: 0\r\n\r\n"))
        check(parse_message(HEAD + b"Via: SIP/2.0/UDP b\r\nX-A: 1\r\nX-A: 2\r\nSupported: a\r\nk: b\r\n\r\n"))

    def test_too_many(self) -> None:
        """Via and Route lines are counted."""
        limits = Limits(vias=2, routes=2)
        for line in (b"Via: SIP/2.0/UDP b\r\n", b"Route: <sip:a;lr>\r\n"):
            count = 1 if line.startswith(b"Via") else 2
            check(parse_message(HEAD + line * count + b"\r\n"), limits)
            self.assertRaises(
                SIPParseError, check, parse_message(HEAD + line * (count + 1) + b"\r\n"), limits
            )

    def test_malformed(self) -> None:
        """Mandatory values that are none, in requests and responses."""
        for name, value in (
            ("Via", "SIP/2.0/UDP"),
            ("Via", "SIP/1.0/UDP h"),
            ("Via", "SIP/2.0/UDP h;;,;,,"),
            ("Via", "SIP/2.0/UDP h;branch="),
            ("Via", "SIP/2.0/UDP h;branch=1,"),
            ("From", '"open <sip:a@b>'),
            ("From", "<sip:a@b"),
            ("From", "> x <"),
            ("From", "<sip:a@b> x"),
            ("From", "<sip:a@b>;tag=a b"),
            ("From", "<sip:a@b>;tag=<x>"),
            ("To", ""),
            ("To", "<>"),
            ("To", '<sip:a@b>;x="'),
            ("Call-ID", ""),
            ("CSeq", "1"),
            ("CSeq", "x INVITE"),
            ("CSeq", "4294967296 INVITE"),
        ):
            if (name, value) == ("Via", "SIP/2.0/UDP h;branch=1,"):
                continue
            line = f"{name}: {value}\r\n\r\n".encode()
            self.refused(without(name) + line)
            self.refused(response(without(name))[:-2] + line)

    def test_addresses_can_be_read(self) -> None:
        """Whatever passes, From, To and Contact can be read."""
        values = (
            "<sip:a@b>",
            "A <sip:a@b>;tag=1",
            'A "b" <sip:a@b>',
            '"A" <sip:a@b>;tag=1;x="y z"',
            "sip:a@b",
            "sip:a@b;tag=1",
            "A;B <sip:a@b>",
            "A,B <sip:a@b>",
            "<sip:a@b>;tag",
            "<sip:a@b>;tag=",
            "<sip:a@b>;;tag=1",
            "<sip:a@b>; tag = 1",
            "<sip:a@b>tag=1",
            "<sip:a@b>>;tag=1",
            "<<sip:a@b>",
            "<sip:a@b>;a=b=c",
            "<sip:a@b>;a=[::1]:5",
            "<sip:a b>",
            "<sip:a@b;x\\y>",
            "\x7f<sip:a@b>",
            "\x0b<sip:a@b>",
            "A\tB\t<sip:a@b>\t;tag=1",
            "\u00c5 <sip:a@b>;t\u00e4g=1",
            "<sip:\u00e4@b>",
            "<sip:a@b>;tag=\u00e4",
            "<sip:a@b>;\u212aey=1",
        )
        passed = 0
        for name in ("From", "To", "Contact"):
            for value in values:
                message = parse_message(without(name) + f"{name}: {value}\r\n\r\n".encode())
                try:
                    check(message)
                except SIPParseError:
                    continue
                passed += 1
                message.from_.tag, message.to.tag, message.contacts  # noqa: B018
        self.assertGreater(passed, 30)

    def test_cseq_method(self) -> None:
        """That of the request (RFC 4475 sections 3.1.2.17 and 3.1.2.18); a response's is its own."""
        self.refused(HEAD.replace(b"INVITE sip", b"OPTIONS sip") + b"\r\n")
        self.refused(HEAD.replace(b"INVITE sip", b"NEWMETHOD sip") + b"\r\n", 501)
        self.refused(HEAD.replace(b"INVITE sip", b"invite sip") + b"\r\n", 501)
        check(parse_message(response(HEAD.replace(b"159 INVITE", b"159 BYE"))))

    def test_request_uri(self) -> None:
        """One that is none, or that carries headers (RFC 4475 section 3.1.2.11); other schemes pass."""
        for uri in (
            b"<sip:a@b>",
            b"sip:",
            b"a@b",
            b"sip:a@2001:db8::1",
            b"sip:a@b;",
            b"sip:a@b?Route=%3Csip:x%3E",
            b"sip:a\tb@c",
            b"sip:a@b\x0b",
            b"tel:x",
        ):
            self.refused(HEAD.replace(b"sip:bob@biloxi.example.com SIP", uri + b" SIP") + b"\r\n")
        for uri in (
            b"nobodyKnowsThisScheme:totallyopaquecontent",
            b"tel:+1",
            b"urn:service:sos",
            b"sips:b",
            b"sip:[::1]",
        ):
            check(parse_message(HEAD.replace(b"sip:bob@biloxi.example.com SIP", uri + b" SIP") + b"\r\n"))

    def test_max_forwards(self) -> None:
        """A number; too large a one is for whoever forwards to refuse (RFC 4475 section 3.1.2.4)."""
        for text, passes in (
            (b"0", True),
            (b"255", True),
            (b"300", True),
            (b"-1", False),
            (b"7_0", False),
            (b"", False),
            (b"9" * 5000, False),
        ):
            data = without("Max-Forwards") + b"Max-Forwards: " + text + b"\r\n\r\n"
            if passes:
                check(parse_message(data))
            else:
                self.refused(data)

    def test_contact(self) -> None:
        """Extraneous separators (RFC 4475 section 3.1.2.1) and open quotes."""
        for value in (
            b"<sip:a@b>,,<sip:c@d>",
            b'"open <sip:a@b>',
            b"<sip:a@b>, <sip:c@d",
            b"<sip:a@b> . . .",
        ):
            self.refused(HEAD + b"Contact: " + value + b"\r\n\r\n")
        for value in (b"*", b"<sip:a@b>;x", b'"A, B" <sip:a@b>, <tel:+1>', b""):
            check(parse_message(HEAD + b"Contact: " + value + b"\r\n\r\n"))

    def test_known_methods(self) -> None:
        """The fourteen of RFC 3261 and its extensions."""
        self.assertEqual(len(KNOWN_METHODS), 14)
        for method in KNOWN_METHODS:
            message = parse_message(HEAD.replace(b"INVITE", method.encode()) + b"\r\n")
            check(message)
            assert isinstance(message, Request)
            self.assertEqual(message.method, method)
