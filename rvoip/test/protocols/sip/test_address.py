"""Via, CSeq and name-addr values."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import (
    CSeq,
    NameAddr,
    Via,
    parse_cseq,
    parse_name_addr,
    parse_via,
    salvage_via,
)
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import Params
from rvoip.protocols.sip.uri import OpaqueURI, SipURI


class ViaTests(SynchronousTestCase):
    """RFC 3261 section 20.42, RFC 3581."""

    def test_read_and_written(self) -> None:
        """Values both ways; the written form reads back."""
        table = (
            (
                "SIP/2.0/UDP erlang.bell-telephone.com:5060;branch=z9hG4bK87asdks7",
                Via("UDP", "erlang.bell-telephone.com", 5060, {"branch": "z9hG4bK87asdks7"}),
            ),
            (
                "SIP/2.0/UDP 192.0.2.1:5060 ;received=192.0.2.207 ;branch=z9hG4bK77asjd",
                Via("UDP", "192.0.2.1", 5060, {"received": "192.0.2.207", "branch": "z9hG4bK77asjd"}),
            ),
            (
                "SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 ;branch=z9hG4bKa7c6a8dlze.1",
                Via(
                    "UDP",
                    "first.example.com",
                    4000,
                    {"ttl": "16", "maddr": "224.2.0.1", "branch": "z9hG4bKa7c6a8dlze.1"},
                ),
            ),
            ("sip/2.0/tls [2001:DB8::9:1]:6050;rport", Via("TLS", "2001:db8::9:1", 6050, {"rport": None})),
            ("SIP/2.0/TCP\th", Via("TCP", "h", None, {})),
            ("SIP\t/\t2.0/ SCTP   h : 1", Via("SCTP", "h", 1, {})),
            ('SIP/2.0/Unknown-~ h;x="a,b;c"', Via("UNKNOWN-~", "h", None, {"x": '"a,b;c"'})),
        )
        for text, via in table:
            self.assertEqual(parse_via(text), via, text)
            self.assertEqual((parse_via(text).host, parse_via(text).port), (via.host, via.port))
            self.assertEqual(parse_via(str(via)), via)

    def test_parameters(self) -> None:
        """rport absent, asked for, and filled in; received with brackets or without."""
        for tail, rport, received in (
            ("", None, None),
            (";rport", "", None),
            (";rport=", "", None),
            (";rport=5061;received=192.0.2.1", "5061", "192.0.2.1"),
            (";received=[2001:db8::1]", None, "2001:db8::1"),
            (";received=2001:db8::1", None, "2001:db8::1"),
            (";received", None, None),
        ):
            via = parse_via(f"SIP/2.0/UDP h{tail}")
            self.assertEqual((via.rport, via.received, via.branch), (rport, received, None), tail)

    def test_sent_by(self) -> None:
        """Host, port if there is one, brackets for IPv6."""
        self.assertEqual(parse_via("SIP/2.0/UDP H").sent_by, "h")
        self.assertEqual(parse_via("SIP/2.0/UDP [::1]:5060").sent_by, "[::1]:5060")

    def test_salvage(self) -> None:
        """Of a Via that is none, where the answer goes (RFC 4475 sections 3.1.2.1 and 3.1.2.16)."""
        for text, host, port, rport in (
            ("SIP/2.0/UDP 192.0.2.15;;,;,,", "192.0.2.15", None, None),
            ("SIP/7.0/UDP c.example.com;branch=z9hG4bK1", "c.example.com", None, None),
            ("SIP/7.0/UDP [2001:db8::1]:5070;;rport", "2001:db8::1", 5070, ""),
            ("SIP/2.0/UDP h : 65535 ;x=\x01, SIP/2.0/UDP b;rport", "h", 65535, None),
        ):
            self.assertRaises(SIPParseError, parse_via, text)
            via = salvage_via(text)
            self.assertEqual((via.host, via.port, via.rport), (host, port, rport), text)
        for text in (
            "",
            "nonsense h",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP h:1x",
            "SIP/2.0/UDP \u0660",
        ):
            self.assertRaises(SIPParseError, salvage_via, text)

    def test_bad(self) -> None:
        """None of these is a Via."""
        for text in (
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0 h",
            "SIP/3.0/UDP h",
            "SIPS/2.0/TLS h",
            "\u017fip/2.0/UDP h",
            "SIP/2.0//UDP h",
            "SIP/2.0/UDP/x h",
            "SIP/2.0/U<P h",
            "SIP/2.0/UDP\x0bh",
            "SIP/2.0/UDP\xa0h",
            "SIP/2.0/UDP h h2",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP h:5_0",
            "SIP/2.0/UDP sip:h",
            "SIP/2.0/UDP 2001:db8::1",
            "SIP/2.0/UDP h;",
            "SIP/2.0/UDP h;;branch=1",
            "SIP/2.0/UDP h;branch=1;",
            "SIP/2.0/UDP ;branch=1",
            "SIP/2.0/UDP h;branch=a b",
            "SIP/2.0/UDP <h>",
            "SIP/2.0/UDP a b@h",
            "SIP/2.0/UDP @h",
        ):
            self.assertRaises(SIPParseError, parse_via, text)


class CSeqTests(SynchronousTestCase):
    """RFC 3261 section 20.16."""

    def test_good(self) -> None:
        """Any blanks between, leading zeros, the largest number; methods keep their case."""
        for text, cseq in (
            ("4711 INVITE", CSeq(4711, "INVITE")),
            ("0009 \t  INVITE", CSeq(9, "INVITE")),
            ("4294967295 x-Odd", CSeq(2**32 - 1, "x-Odd")),
            ("0\tACK", CSeq(0, "ACK")),
        ):
            self.assertEqual(parse_cseq(text), cseq)
            self.assertEqual(parse_cseq(str(cseq)), cseq)
            self.assertEqual(hash(parse_cseq(text)), hash(cseq))
        self.assertNotEqual(CSeq(1, "INVITE"), CSeq(1, "ACK"))

    def test_bad(self) -> None:
        """Missing parts, blanks that are none in SIP, numbers that are none."""
        for text in (
            "",
            "1",
            "INVITE",
            "1INVITE",
            "INVITE 1",
            "1 INVITE 2",
            "1\x0bINVITE",
            "1\x0cINVITE",
            "1\x1cINVITE",
            "1\x85INVITE",
            "1\xa0INVITE",
            "1\u2028INVITE",
            "1_0 INVITE",
            "+1 INVITE",
            "-1 INVITE",
            "\u0661 INVITE",
            "\u00b9 INVITE",
            "4294967296 INVITE",
            "9" * 5000 + " INVITE",
            "1 IN<VITE",
            "1 \u212aINVITE",
        ):
            self.assertRaises(SIPParseError, parse_cseq, text)


class NameAddrTests(SynchronousTestCase):
    """RFC 3261 sections 20.10 and 25.1."""

    def test_read(self) -> None:
        """Display name, URI text and parameters."""
        table: tuple[tuple[str, tuple[str, str, Params]], ...] = (
            ("sip:alice@atlanta.com", ("", "sip:alice@atlanta.com", {})),
            ("sip:alice@atlanta.com;tag=1", ("", "sip:alice@atlanta.com", {"tag": "1"})),
            ("<sip:alice@atlanta.com;lr>;tag=1", ("", "sip:alice@atlanta.com;lr", {"tag": "1"})),
            ("Alice <sip:a@b>", ("Alice", "sip:a@b", {})),
            ("Alice B. C <sip:a@b> ; Tag = x ;y", ("Alice B. C", "sip:a@b", {"tag": "x", "y": None})),
            ("Alice<sip:a@b>", ("Alice", "sip:a@b", {})),
            ('"Alice" <sip:a@b>', ("Alice", "sip:a@b", {})),
            ('"A. \\"G\\" \\\\ Bell"<sip:a@b>;q=0.1', ('A. "G" \\ Bell', "sip:a@b", {"q": "0.1"})),
            ('"<sip:x@y>" <sip:a@b>', ("<sip:x@y>", "sip:a@b", {})),
            ('"" <sip:a@b>', ("", "sip:a@b", {})),
            ('<sip:a@b>;+sip.instance="<urn:uuid:1>"', ("", "sip:a@b", {"+sip.instance": '"<urn:uuid:1>"'})),
            ("*", ("", "*", {})),
            ("<tel:+1>", ("", "tel:+1", {})),
            ("\u00c5 <sip:a@b>", ("\u00c5", "sip:a@b", {})),
            (" \t<sip:a@b>\t", ("", "sip:a@b", {})),
        )
        for text, (display, uri_text, params) in table:
            value = parse_name_addr(text)
            self.assertEqual((value.display, value.uri_text, value.params), (display, uri_text, params), text)

    def test_write(self) -> None:
        """Brackets always, quotes where there is a name; it reads back to the same."""
        for value, text in (
            (NameAddr("sip:a@b"), "<sip:a@b>"),
            (NameAddr("sip:a@b", 'A "x" \\'), '"A \\"x\\" \\\\" <sip:a@b>'),
            (NameAddr(SipURI("sip", "a", "b"), "", {"tag": "1", "x": None}), "<sip:a@b>;tag=1;x"),
        ):
            self.assertEqual(str(value), text)
            self.assertEqual(parse_name_addr(text), value)
            self.assertEqual(parse_name_addr(text).display, value.display)

    def test_uri(self) -> None:
        """Parsed when first asked for, then kept."""
        value = parse_name_addr("<sip:a@B>")
        self.assertIs(value.uri, value.uri)
        self.assertEqual(value.sip_uri.host, "b")
        uri = SipURI("sip", "a", "b")
        self.assertIs(NameAddr(uri).uri, uri)

    def test_bad_uri(self) -> None:
        """The value stands, its URI does not; a scheme that is not SIP's is a 416."""
        self.assertRaises(SIPParseError, lambda: parse_name_addr("<bob>").uri)
        value = parse_name_addr("<http://example.com>")
        self.assertIsInstance(value.uri, OpaqueURI)
        error = self.assertRaises(SIPParseError, lambda: value.sip_uri)
        self.assertEqual(error.status, 416)

    def test_param(self) -> None:
        """Unquoted; "" for one without a value."""
        value = parse_name_addr('<sip:a@b>;tag=t;x="a \\"b";y')
        self.assertEqual(
            (value.tag, value.param("x"), value.param("y"), value.param("z")), ("t", 'a "b', "", None)
        )
        self.assertIsNone(parse_name_addr("sip:a@b").tag)

    def test_bad(self) -> None:
        """None of these is an address."""
        for text in (
            "",
            " ",
            "<>",
            "<sip:a@b",
            '"open <sip:a@b>',
            '"Alice"',
            '"Alice" sip:a@b',
            '"Alice" x <sip:a@b>',
            'Al"ice <sip:a@b>',
            "Alice > <sip:a@b>",
            "Bell, Alexander <sip:a@b>",
            "Al\x00ice <sip:a@b>",
            "<sip:a@b> x",
            "<sip:a@b> . . .",
            "<sip:a@b><sip:c@d>",
            "<sip:a@b>;tag=a b",
            '<sip:a@b>;tag="open',
            "<sip:a b@c>",
            "a b",
            "sip:a@b;tag=<x>",
            ";tag=1",
        ):
            self.assertRaises(SIPParseError, parse_name_addr, text)
