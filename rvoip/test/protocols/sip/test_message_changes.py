"""Changes to messages: headers, bodies, the stamp on a received Via."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.errors import SIPBuildError
from rvoip.protocols.sip.message import Message, Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.test.protocols.sip.samples import HEAD, RESPONSE, invite, request


class EditTests(SynchronousTestCase):
    """Changes keep names and lines aligned."""

    def check(self, message: Message, *lines: str) -> None:
        """The lines after the mandatory ones, and that what is written reads back the same."""
        self.assertEqual(message.lines[6:], list(lines))
        again = parse_message(message.to_bytes())
        self.assertEqual((again.names, again.lines), (message.names, message.lines))

    def test_set(self) -> None:
        """In the place of the first line; the others of its name go; at the end when absent."""
        message = invite("Path: <sip:a>", "X-A: 1", "Path: <sip:b>")
        message.set("path", "<sip:c>")
        message.set("subject", "hi")
        self.check(message, "Path: <sip:c>", "X-A: 1", "Subject: hi")

    def test_add_and_insert(self) -> None:
        """At the end; before the first of its name; at the top when absent."""
        message = invite("Path: <sip:a>", "X-A: 1")
        message.add("path", "<sip:b>")
        message.insert("path", "<sip:c>")
        self.check(message, "Path: <sip:c>", "Path: <sip:a>", "X-A: 1", "Path: <sip:b>")
        message.insert("record-route", "<sip:p;lr>")
        self.assertEqual(message.lines[0], "Record-Route: <sip:p;lr>")
        message.insert("via", "SIP/2.0/TCP us;branch=z9hG4bK1")
        self.assertEqual((message.via.transport, len(message.vias)), ("TCP", 2))
        self.assertEqual(message.names[:3], ["record-route", "via", "via"])

    def test_remove(self) -> None:
        """All lines of the name, compact ones included; none is no error."""
        message = invite("Supported: a", "X-A: 1", "k: b")
        message.remove("supported")
        message.remove("subject")
        self.check(message, "X-A: 1")

    def test_remove_first_value(self) -> None:
        """The topmost value, be it a line or part of one."""
        message = invite('Route: <sip:a,b;lr>;x=",",  <sip:c;lr>', "Route: <sip:d;lr>")
        message.remove_first_value("route")
        self.check(message, "Route: <sip:c;lr>", "Route: <sip:d;lr>")
        self.assertEqual(len(message.routes), 2)
        message.remove_first_value("route")
        self.check(message, "Route: <sip:d;lr>")
        message.remove_first_value("route")
        message.remove_first_value("route")
        self.check(message)

    def test_replace_in(self) -> None:
        """In the values of one header alone; what was parsed before is parsed anew."""
        message = invite()
        message.add("route", "<sip:via;lr>")
        message.add("route", "<sip:b;lr>, <sip:via.b;lr>")
        message.add("x-other", "via")
        self.assertEqual(len(message.routes), 3 + len(invite().routes))
        message.replace_in("route", "via", "a")
        self.assertEqual(message.values("route")[-3:], ["<sip:a;lr>", "<sip:b;lr>", "<sip:a.b;lr>"])
        self.assertEqual(message.routes[-3].sip_uri.host, "a")
        self.assertEqual(message.get("x-other"), "via")
        message.replace_in("route", "Route", "x")
        self.assertTrue(message.lines[-2].startswith("Route: "))
        self.assertRaises(SIPBuildError, message.replace_in, "route", "a", "b\r\nX: 1")

    def test_body(self) -> None:
        """Content-Type and Content-Length follow the body."""
        message = invite()
        message.set_body(b"v=0\r\n", "application/sdp")
        self.assertTrue(
            message.to_bytes().endswith(b"Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n")
        )
        message.set_body(b"", None)
        self.assertTrue(message.to_bytes().endswith(b"\r\nContent-Length: 0\r\n\r\n"))
        self.assertFalse(message.has("content-type"))

    def test_injection(self) -> None:
        """A line break never gets into a header or a request line by way of a value."""
        message = invite()
        for value in ("a\r\nX: 1", "a\n", "\r"):
            for change in (message.set, message.add, message.insert):
                self.assertRaises(SIPBuildError, change, "subject", value)
        for name in ("a b", "x\r\ny", "x:", ""):
            self.assertRaises(SIPBuildError, message.add, name, "1")
        assert isinstance(message, Request)
        for uri in ("sip:a\r\nX: 1", "sip:a b", "", SipURI("sip", "a\r\nX: 1", "h")):
            self.assertRaises(SIPBuildError, message.set_uri, uri)
        self.assertEqual(message.to_bytes(), HEAD + b"\r\n")

    def test_set_uri(self) -> None:
        """As text or as a value."""
        message = request(HEAD + b"\r\n")
        message.set_uri("sip:x@Y")
        self.assertEqual((message.uri_text, message.uri), ("sip:x@Y", parse_uri("sip:x@y")))
        uri = SipURI("sip", "z", "h")
        message.set_uri(uri)
        self.assertIs(message.uri, uri)
        self.assertTrue(message.to_bytes().startswith(b"INVITE sip:z@h SIP/2.0\r\n"))

    def test_copy(self) -> None:
        """A copy changes alone."""
        for data in (HEAD + b"\r\n", RESPONSE):
            message = parse_message(data)
            copied = message.copy()
            copied.set("subject", "x")
            copied.remove("via")
            self.assertEqual(message.to_bytes(), data)
            self.assertNotEqual(copied.to_bytes(), data)


class StampViaTests(SynchronousTestCase):
    """RFC 3261 section 18.2.1 and RFC 3581 section 4."""

    def stamp(self, via: str, host: str = "192.0.2.9", port: int = 5077) -> list[str]:
        """The Via lines after the stamp; they and the value in memory agree."""
        head = HEAD.replace(
            b"SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport", via.encode()
        )
        message = request(head + b"\r\n")
        message.stamp_via(host, port)
        again = parse_message(message.to_bytes())
        self.assertEqual(again.via, message.via)
        return message.get_all("via")

    def test_source_differs(self) -> None:
        """received names the packet's source."""
        self.assertEqual(self.stamp("SIP/2.0/UDP h;branch=1"), ["SIP/2.0/UDP h;branch=1;received=192.0.2.9"])

    def test_the_sent_by_stays_as_it_was_written(self) -> None:
        """Whoever wrote it may compare it octet for octet."""
        for via in ("SIP/2.0/UDP Phone.LOCAL", "SIP / 2.0 / UDP  Phone.LOCAL : 5061"):
            self.assertEqual(self.stamp(f"{via};branch=1"), [f"{via};branch=1;received=192.0.2.9"])

    def test_source_is_sent_by(self) -> None:
        """Nothing to say: the line stays octet for octet."""
        self.assertEqual(self.stamp("SIP/2.0/UDP  192.0.2.9 ;branch=1"), ["SIP/2.0/UDP  192.0.2.9 ;branch=1"])

    def test_rport(self) -> None:
        """Port and address, wherever the parameter stands."""
        for tail in (
            ";branch=1;rport",
            ";rport;branch=1",
            ";branch=1;rport=",
            ";rport=1;branch=1",
            ";branch=1;RPORT;x",
        ):
            (line,) = self.stamp(f"SIP/2.0/UDP 192.0.2.9{tail}")
            via = request(
                HEAD.replace(
                    b"SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport", line.encode()
                )
                + b"\r\n"
            ).via
            self.assertEqual((via.rport, via.received, via.branch), ("5077", "192.0.2.9", "1"), tail)

    def test_claims_are_dropped(self) -> None:
        """What the client says of its own address is never believed."""
        for tail in (
            ";branch=1;received=10.0.0.1",
            ";received=10.0.0.1;rport=9;branch=1",
            ';x="received";received=10.0.0.1;rport;branch=1',
        ):
            (line,) = self.stamp(f"SIP/2.0/UDP h{tail}")
            self.assertNotIn("10.0.0.1", line)
            self.assertIn("received=192.0.2.9", line)
        self.assertEqual(
            self.stamp("SIP/2.0/UDP 192.0.2.9;branch=1;received=10.0.0.1"), ["SIP/2.0/UDP 192.0.2.9;branch=1"]
        )

    def test_quoted_look_alike(self) -> None:
        """The parameter is filled in, not a quoted text that looks like it."""
        (line,) = self.stamp('SIP/2.0/UDP h;x=";rport;";rport;branch=1')
        self.assertIn('x=";rport;"', line)
        self.assertIn(";rport=5077", line)

    def test_topmost_alone(self) -> None:
        """The other values stay, in this line and the next."""
        lines = self.stamp("SIP/2.0/UDP a;branch=1;rport , SIP/2.0/TCP b;rport\r\nVia: SIP/2.0/TLS c;rport")
        self.assertEqual(
            lines,
            [
                "SIP/2.0/UDP a;branch=1;rport=5077;received=192.0.2.9, SIP/2.0/TCP b;rport",
                "SIP/2.0/TLS c;rport",
            ],
        )

    def test_ipv6(self) -> None:
        """The address without brackets (RFC 5118 section 4.5)."""
        self.assertEqual(
            self.stamp("SIP/2.0/UDP [2001:db8::1]:5060;branch=1", "2001:db8::2"),
            ["SIP/2.0/UDP [2001:db8::1]:5060;branch=1;received=2001:db8::2"],
        )
        self.assertEqual(
            self.stamp("SIP/2.0/UDP [2001:DB8::1];branch=1", "2001:db8::1"),
            ["SIP/2.0/UDP [2001:DB8::1];branch=1"],
        )
