"""Requests and responses made in one call."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.build import (
    REASONS,
    ack_for_failure,
    cancel_for,
    reason_phrase,
    request,
    respond,
    via_value,
)
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.errors import SIPBuildError, SIPParseError
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.uri import SipURI
from rvoip.test.protocols.sip.samples import HEAD


def invite(more: bytes = b"") -> Request:
    """A received INVITE with further header lines."""
    message = parse_message(HEAD + more + b"\r\n")
    assert isinstance(message, Request)
    return message


class RequestTests(SynchronousTestCase):
    """Requests of ours."""

    def test_whole(self) -> None:
        """Everything that can be given, and what reads back from it."""
        made = request(
            "INVITE",
            SipURI("sip", "bob", "biloxi.com"),
            from_=NameAddr("sip:alice@atlanta.com", "Alice", {"tag": "1"}),
            to="<sip:bob@biloxi.com>",
            call_id="abc",
            cseq=1,
            contact=NameAddr("sip:alice@pc33.atlanta.com"),
            routes=("<sip:p1;lr>", NameAddr("sip:p2;lr")),
            headers=(("Supported", "100rel"), ("X-Odd", "1")),
            body=b"v=0\r\n",
            content_type="application/sdp",
        )
        made.insert("via", via_value("UDP", "pc33.atlanta.com:5060", "z9hG4bK1"))
        self.assertEqual(
            made.to_bytes(),
            b"INVITE sip:bob@biloxi.com SIP/2.0\r\n"
            b"Via: SIP/2.0/UDP pc33.atlanta.com:5060;branch=z9hG4bK1;rport\r\n"
            b"Route: <sip:p1;lr>\r\n"
            b"Route: <sip:p2;lr>\r\n"
            b"Max-Forwards: 70\r\n"
            b'From: "Alice" <sip:alice@atlanta.com>;tag=1\r\n'
            b"To: <sip:bob@biloxi.com>\r\n"
            b"Call-ID: abc\r\n"
            b"CSeq: 1 INVITE\r\n"
            b"Contact: <sip:alice@pc33.atlanta.com>\r\n"
            b"Supported: 100rel\r\n"
            b"X-Odd: 1\r\n"
            b"Content-Type: application/sdp\r\n"
            b"Content-Length: 5\r\n\r\nv=0\r\n",
        )
        check(parse_message(made.to_bytes()))

    def test_least(self) -> None:
        """The mandatory headers (RFC 3261 section 8.1.1), but Via."""
        made = request(
            "x-Odd", "tel:+1", from_="<sip:a@b>;tag=1", to="<tel:+1>", call_id="c", cseq=0, max_forwards=0
        )
        self.assertEqual(made.names, ["max-forwards", "from", "to", "call-id", "cseq", "content-length"])

    def test_names(self) -> None:
        """Names in any spelling, compact ones included, are what they stand for."""
        headers = (("m", "<sip:a@b>"), ("sUbJeCt", "x"), ("X-Odd", "1"))
        made = request(
            "INVITE", "sip:a", from_="<sip:a@b>;tag=1", to="<sip:a@b>", call_id="c", cseq=1, headers=headers
        )
        self.assertEqual(made.lines[5:8], ["Contact: <sip:a@b>", "Subject: x", "X-Odd: 1"])
        self.assertEqual(made.contacts, [NameAddr("sip:a@b")])

    def test_refused(self) -> None:
        """What cannot be written is our error."""
        good: dict[str, Any] = {"from_": "<sip:a@b>;tag=1", "to": "<sip:b@c>", "call_id": "c", "cseq": 1}
        changes: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("IN VITE", "sip:a", {}),
            ("", "sip:a", {}),
            ("INVITE", "sip:a\r\nX: 1", {}),
            ("INVITE", "sip:a b", {}),
            ("INVITE", "", {}),
            ("INVITE", "sip:a", {"to": "<sip:b@c>\r\nX: 1"}),
            ("INVITE", "sip:a", {"from_": "<sip:b@c>\n"}),
            ("INVITE", "sip:a", {"call_id": "a\r\nX: 1"}),
            ("INVITE", "sip:a", {"cseq": -1}),
            ("INVITE", "sip:a", {"cseq": 1 << 32}),
            ("INVITE", "sip:a", {"max_forwards": -1}),
            ("INVITE", "sip:a", {"max_forwards": 256}),
        )
        for method, uri, changed in changes:
            self.assertRaises(SIPBuildError, request, method, uri, **(good | changed))
        for more in ({"body": b"x"}, {"headers": (("X-A", "a\r\nY: b"),)}, {"headers": (("X Y", "a"),)}):
            self.assertRaises(SIPBuildError, request, "INVITE", "sip:a", **(good | more))


class RespondTests(SynchronousTestCase):
    """RFC 3261 section 8.2.6."""

    def test_copied(self) -> None:
        """Via, From, To, Call-ID and CSeq octet for octet, and the tag on To."""
        received = invite(b"v: SIP/2.0/TCP  b ;branch=2\r\nSubject: x\r\n")
        made = respond(received, 404, to_tag="xyz")
        self.assertEqual(
            made.to_bytes(),
            b"SIP/2.0 404 Not Found\r\n"
            + HEAD.partition(b"\r\n")[2]
            .replace(b"Max-Forwards: 70\r\n", b"")
            .replace(b"<sip:bob@biloxi.example.com>", b"<sip:bob@biloxi.example.com>;tag=xyz")
            + b"v: SIP/2.0/TCP  b ;branch=2\r\nContent-Length: 0\r\n\r\n",
        )
        check(parse_message(made.to_bytes()))

    def test_tag(self) -> None:
        """None on a 100, none where there is one, however To is written."""
        self.assertIsNone(respond(invite(), 100, to_tag="x").to.tag)
        self.assertIsNone(respond(invite(), 200).to.tag)
        for to, tag in (
            (b"<sip:b@c>;tag=1", "1"),
            (b"<sip:b@c>;TAG = 1", "1"),
            (b"<sip:b@c;tag=9>", "x"),
            (b"sip:b@c;x=y", "x"),
            (b'"a;tag=2" <sip:b@c>', "x"),
        ):
            received = parse_message(HEAD.replace(b"Bob <sip:bob@biloxi.example.com>", to) + b"\r\n")
            assert isinstance(received, Request)
            self.assertEqual(respond(received, 200, to_tag="x").to.tag, tag, repr(to))

    def test_record_route(self) -> None:
        """Only where a dialog may come of it (RFC 3261 section 12.1.1)."""
        received = invite(b"Record-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>, <sip:p3;lr>\r\n")
        for status, count in ((100, 0), (180, 3), (200, 3), (299, 3), (302, 0), (486, 0), (603, 0)):
            self.assertEqual(len(respond(received, status, to_tag="x").record_routes), count, str(status))
        received.method = "REGISTER"
        self.assertEqual(respond(received, 200, to_tag="x").record_routes, [])

    def test_timestamp(self) -> None:
        """Into a 100 alone (section 8.2.6.1)."""
        received = invite(b"Timestamp: 54\r\n")
        self.assertEqual(respond(received, 100).get("timestamp"), "54")
        self.assertIsNone(respond(received, 200).get("timestamp"))

    def test_more(self) -> None:
        """Reason, headers, body."""
        made = respond(
            invite(), 200, "Fine", headers=(("Contact", "<sip:a@b>"),), body=b"x", content_type="text/plain"
        )
        self.assertTrue(made.to_bytes().startswith(b"SIP/2.0 200 Fine\r\n"))
        self.assertTrue(
            made.to_bytes().endswith(
                b"Contact: <sip:a@b>\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx"
            )
        )

    def test_refused(self) -> None:
        """No line break by way of reason, header or tag, and no status that is none."""
        for reason in ("a\r\nX: 1", "a\n", "\r"):
            self.assertRaises(SIPBuildError, respond, invite(), 400, reason)
        for status in (-1, 0, 99, 700, 1000):
            self.assertRaises(SIPBuildError, respond, invite(), status)
        for tag in ("", "a\r\nX: y", "a;b=c", "a b"):
            with self.assertRaises(SIPBuildError):
                respond(invite(), 200, to_tag=tag)
        self.assertRaises(SIPBuildError, lambda: respond(invite(), 400, headers=(("X-A", "a\r\nY: b"),)))

    def test_answers_what_cannot_be_read(self) -> None:
        """Every request that is refused can be answered, also for its To (RFC 4475 section 3.1.2.6)."""
        for to in (b'"Mr. J; User <sip:j@b>', b"<sip:b@c", b";tag=", b"<sip:b@c>;;=", b""):
            data = HEAD.replace(b"Bob <sip:bob@biloxi.example.com>", to) + b"\r\n"
            error = self.assertRaises(SIPParseError, lambda data=data: self._read(data))
            assert isinstance(error.message, Request)
            answer = respond(error.message, error.status, error.reason, to_tag="x")
            self.assertTrue(answer.to_bytes().startswith(b"SIP/2.0 400 "))
            self.assertTrue(answer.has("via") and answer.has("cseq"))

    def _read(self, data: bytes) -> None:
        message = parse_message(data)
        check(message)
        message.to.uri  # noqa: B018

    def test_reasons(self) -> None:
        """Every status has a phrase, the registered ones their own."""
        self.assertEqual(
            [reason_phrase(status) for status in (100, 401, 486, 603)],
            ["Trying", "Unauthorized", "Busy Here", "Decline"],
        )
        for status in (199, 299, 399, 499, 599, 699):
            self.assertTrue(reason_phrase(status))
            self.assertTrue(respond(invite(), status).reason)
        self.assertTrue(all(100 <= status <= 699 and phrase.isascii() for status, phrase in REASONS.items()))


class SameHopTests(SynchronousTestCase):
    """ACK for a failure and CANCEL (RFC 3261 sections 17.1.1.3 and 9.1)."""

    def test_ack(self) -> None:
        """The INVITE's URI, top Via, Route, From, Call-ID and CSeq number; To of the response."""
        sent = invite(
            b"Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nVia: SIP/2.0/TCP older\r\nProxy-Require: x\r\n"
        )
        made = ack_for_failure(sent, respond(sent, 486, to_tag="xyz"))
        self.assertEqual((made.method, made.uri_text, str(made.cseq)), ("ACK", sent.uri_text, "314159 ACK"))
        self.assertEqual(made.values("via"), [sent.get("via")])
        self.assertEqual(made.get_all("route"), ["<sip:p1;lr>", "<sip:p2;lr>"])
        self.assertEqual((made.to.tag, made.from_, made.call_id), ("xyz", sent.from_, sent.call_id))
        self.assertFalse(made.has("proxy-require"))
        check(parse_message(made.to_bytes()))

    def test_cancel(self) -> None:
        """As the ACK, with the INVITE's own To."""
        sent = invite(b"Route: <sip:p1;lr>\r\n")
        made = cancel_for(sent)
        self.assertEqual(
            (made.method, made.uri_text, str(made.cseq)), ("CANCEL", sent.uri_text, "314159 CANCEL")
        )
        self.assertEqual(
            (made.get("via"), made.get("to"), made.get("route")),
            (sent.get("via"), sent.get("to"), "<sip:p1;lr>"),
        )
        check(parse_message(made.to_bytes()))

    def test_via_in_one_line(self) -> None:
        """Only the topmost of several values."""
        sent = parse_message(HEAD.replace(b";rport\r\n", b";rport, SIP/2.0/TCP b\r\n", 1) + b"\r\n")
        assert isinstance(sent, Request)
        self.assertEqual([via.transport for via in cancel_for(sent).vias], ["UDP"])
