"""Values of attributes: text to value and back, what is refused, and what is derived from them."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.formats import STATIC_CODECS, Codec, ExtMap, Fmtp, RtcpFeedback, RtpMap
from rvoip.protocols.sdp.ice import Candidate
from rvoip.protocols.sdp.lines import Connection
from rvoip.protocols.sdp.media import read_packet_time, read_port, read_size
from rvoip.protocols.sdp.security import Crypto, CryptoKey, Fingerprint
from rvoip.protocols.sdp.streams import Group, Msid, Rid, Simulcast, SimulcastStream, SsrcAttribute, SsrcGroup
from rvoip.protocols.sdp.transport import Rtcp, SctpMap, Setup

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
KEY_OCTETS = b"YS___semctl () {\t220;}\n}\nunles"
SHA1 = "4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB"
P = SimulcastStream

# Reader, text, value; the value must write that text.
BOTH_WAYS: list[tuple[Callable[[str], object], str, object]] = [
    (Attribute.parse, "sendrecv", Attribute("sendrecv")),
    (Attribute.parse, "rtpmap:0 PCMU/8000", Attribute("rtpmap", "0 PCMU/8000")),
    (Attribute.parse, "x:", Attribute("x", "")),
    (Attribute.parse, "x: a:b ", Attribute("x", " a:b ")),
    (RtpMap.parse, "0 PCMU/8000", RtpMap(0, "PCMU", 8000)),
    (RtpMap.parse, "111 opus/48000/2", RtpMap(111, "opus", 48000, "2")),
    (RtpMap.parse, "101 telephone-event", RtpMap(101, "telephone-event", None)),
    (RtpMap.parse, "96 a/1/b/c", RtpMap(96, "a", 1, "b/c")),
    (Fmtp.parse, "111 minptime=10;useinbandfec=1", Fmtp("111", "minptime=10;useinbandfec=1")),
    (Fmtp.parse, "wb orient=portrait; x", Fmtp("wb", "orient=portrait; x")),
    (RtcpFeedback.parse, "* nack", RtcpFeedback("*", "nack")),
    (RtcpFeedback.parse, "98 nack rpsi", RtcpFeedback("98", "nack", "rpsi")),
    (RtcpFeedback.parse, "98 trr-int 100", RtcpFeedback("98", "trr-int", "100")),
    (RtcpFeedback.parse, "* ccm pause config=2", RtcpFeedback("*", "ccm", "pause config=2")),
    (ExtMap.parse, "1 urn:a", ExtMap(1, "urn:a")),
    (ExtMap.parse, "4351/recvonly urn:a x y", ExtMap(4351, "urn:a", Direction.RECVONLY, "x y")),
    (
        Candidate.parse,
        "1 1 UDP 2130706431 192.0.2.1 3478 typ host",
        Candidate("1", 1, "UDP", 2130706431, "192.0.2.1", 3478, "host"),
    ),
    (
        Candidate.parse,
        "a+/b 2 tcp 1 fe80::1 9 typ srflx raddr 10.0.1.1 rport 0 tcptype so generation 0 network-cost 10",
        Candidate(
            "a+/b",
            2,
            "tcp",
            1,
            "fe80::1",
            9,
            "srflx",
            "10.0.1.1",
            0,
            "so",
            (("generation", "0"), ("network-cost", "10")),
        ),
    ),
    (Fingerprint.parse, f"sha-1 {SHA1}", Fingerprint("sha-1", bytes.fromhex(SHA1.replace(":", "")))),
    (Fingerprint.parse, "sha-3-99 AB", Fingerprint("sha-3-99", b"\xab")),
    (
        Crypto.parse,
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4 FEC_ORDER=FEC_SRTP -x",
        Crypto(
            1,
            "AES_CM_128_HMAC_SHA1_80",
            (CryptoKey(KEY_OCTETS, "2^20", 1, 4),),
            ("FEC_ORDER=FEC_SRTP", "-x"),
        ),
    ),
    (
        Crypto.parse,
        f"0 X_NEW inline:{KEY}|1:32;inline:{KEY}|64",
        Crypto(0, "X_NEW", (CryptoKey(KEY_OCTETS, None, 1, 32), CryptoKey(KEY_OCTETS, "64"))),
    ),
    (SsrcAttribute.parse, "1399694169 foo:bar baz", SsrcAttribute(1399694169, "foo", "bar baz")),
    (SsrcAttribute.parse, "4294967295 baz", SsrcAttribute(4294967295, "baz")),
    (SsrcGroup.parse, "FID 1 2", SsrcGroup("FID", (1, 2))),
    (Msid.parse, "- t", Msid("-", "t")),
    (Msid.parse, "s", Msid("s")),
    (Group.parse, "BUNDLE a v", Group("BUNDLE", ("a", "v"))),
    (Group.parse, "LS", Group("LS")),
    (Rid.parse, "1 send", Rid("1", "send")),
    (
        Rid.parse,
        "1 recv pt=97,98;max-width=1280;flag",
        Rid("1", "recv", ("97", "98"), (("max-width", "1280"), ("flag", ""))),
    ),
    (Rid.parse, "1 send max-fps=30", Rid("1", "send", (), (("max-fps", "30"),))),
    (
        Simulcast.parse,
        "send 1,~4;2;3 recv c",
        Simulcast(((P("1"), P("4", True)), (P("2"),), (P("3"),)), ((P("c"),),)),
    ),
    (Simulcast.parse, "recv 1_a;~2-b", Simulcast((), ((P("1_a"),), (P("2-b", True),)))),
    (Rtcp.parse, "53020", Rtcp(53020)),
    (Rtcp.parse, "53020 IN IP6 2001:db8::1", Rtcp(53020, Connection("IN", "IP6", "2001:db8::1"))),
    (SctpMap.parse, "5000 webrtc-datachannel 1024", SctpMap(5000, "webrtc-datachannel", 1024)),
    (SctpMap.parse, "5000 x", SctpMap(5000, "x")),
    (Setup.parse, "active", Setup.ACTIVE),
    (Setup.parse, "passive", Setup.PASSIVE),
    (Setup.parse, "actpass", Setup.ACTPASS),
    (Setup.parse, "holdconn", Setup.HOLDCONN),
]

# Reader, text, a text that says the same and is how the value is written.
RESPELLED: list[tuple[Callable[[str], object], str, str]] = [
    (Attribute.parse, "sendrecv \t", "sendrecv"),
    (RtpMap.parse, "0  PCMU/8000 ", "0 PCMU/8000"),
    (RtpMap.parse, "0 PCMU/08000", "0 PCMU/8000"),
    (Fmtp.parse, "111  a=1 ", "111 a=1"),
    (RtcpFeedback.parse, " 96  nack  pli", "96 nack pli"),
    (Fingerprint.parse, f"SHA-1 {SHA1.lower()}", f"sha-1 {SHA1}"),
    (Crypto.parse, f"01 X INLINE:{KEY}; inline:{KEY}", f"1 X inline:{KEY};inline:{KEY}"),
    (Rid.parse, "1 send pt=97; max-fps=30", "1 send pt=97;max-fps=30"),
    (Simulcast.parse, " recv 1 send 2 ", "send 2 recv 1"),
    (
        Candidate.parse,
        "1 1 udp 1 a 1 typ host generation 0 tcptype so",
        "1 1 udp 1 a 1 typ host tcptype so generation 0",
    ),
    (Setup.parse, " active ", "active"),
]

REFUSED: list[tuple[Callable[[str], object], tuple[str, ...]]] = [
    (Attribute.parse, ("", ":", ":x", " ")),
    (
        RtpMap.parse,
        (
            "",
            "0",
            "0 ",
            "128 a/8000",
            "-1 a/8000",
            "\u0660 a/8000",
            "0 /8000",
            "0 a/",
            "0 a/0",
            "0 a/1_0",
            "0 a/4294967296",
            "0 a/8000 x",
            "0 \u00e4/8000",
            "0 a\x00/8000",
            "0 a/" + "9" * 5000,
        ),
    ),
    (Fmtp.parse, ("", "111", "111 ")),
    (RtcpFeedback.parse, ("", "*", "* ")),
    (ExtMap.parse, ("", "1", "0 u", "4352 u", "1/ u", "1/both u", "1_0 u", "1/sendonly", "1 \u00e4")),
    (
        Candidate.parse,
        (
            "",
            "1 1 UDP 1 a 1 typ",
            "1 1 UDP 1 a 1 tap host",
            "1 0 UDP 1 a 1 typ host",
            "1 257 UDP 1 a 1 typ host",
            "1 1 UDP 0 a 1 typ host",
            "1 1 UDP 2147483648 a 1 typ host",
            "1 1 UDP 1 a 65536 typ host",
            "1 1 UDP 1 a 1_0 typ host",
            "1 1 UDP 1 a 1 typ host raddr",
            "1 1 UDP 1 a 1 typ srflx raddr b rport \u0661",
            "x" * 33 + " 1 UDP 1 a 1 typ host",
        ),
    ),
    (
        Fingerprint.parse,
        (
            "",
            "sha-1",
            "sha-1 " + SHA1[:-3],
            f"sha-1 {SHA1}:",
            f"sha-1  : {SHA1}",
            f"sha-256 {SHA1}",
            "x A:B",
            "x \uff21B",
            "x " + ":".join(["AB"] * 65),
        ),
    ),
    (
        Crypto.parse,
        (
            "",
            "1 X",
            f"x X inline:{KEY}",
            f"-1 X inline:{KEY}",
            f"1000000000 X inline:{KEY}",
            "1 X inline:",
            "1 X inline:a",
            "1 X inline:ab*d",
            f"1 X prompt:{KEY}",
            f"1 X inline:{KEY}|x",
            f"1 X inline:{KEY}|2^20|1",
            f"1 X inline:{KEY}|2^20|1:0",
            f"1 X inline:{KEY}|2^20|1:129",
            f"1 X inline:{KEY}|2^20|1_0:4",
            f"1 X inline:{KEY}|2^20|1:4|x",
            f"1 X inline:{KEY}; FEC_ORDER=FEC_SRTP",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-4]}",
            f"1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}",
        ),
    ),
    (SsrcAttribute.parse, ("", "1", "1 ", "1 :x", "-1 a", "4294967296 a", "1_0 a", "\u0661 a")),
    (SsrcGroup.parse, ("", "FID x", "FID 4294967296")),
    (Msid.parse, ("", "a b c", "\u00e4")),
    (Group.parse, ("", " ", "\u00e4")),
    (Rid.parse, ("", "1", "1 both", "1 send ;", "1 send pt=97;;x=1", "1 send =1")),
    (
        Simulcast.parse,
        (
            "",
            "send",
            "send 1 send 2",
            "both 1",
            "send 1;",
            "send ,1",
            "send ~",
            "send ~~1",
            "send \u0661",
            " send rid=1,4;2;3 paused=4 recv rid=c",
        ),
    ),
    (Rtcp.parse, ("", "65536", "1_0", "1 IN", "1 IN IP4", "\u0661")),
    (SctpMap.parse, ("", "5000", "5000 ", "65536 x", "1 x 65536", "1 x 1 y")),
    (Setup.parse, ("", "ACTIVE", "both")),
    (read_packet_time, ("", "0", "-20", "10001", "1_0", "nan", "inf", "1e3", "\u0662\u0660", "9" * 5000)),
    (read_port, ("", "65536", "-1", "1_0")),
    (read_size, ("", "-1", str(2**64))),
]


class TableTests(SynchronousTestCase):
    """The tables above."""

    def test_both_ways(self) -> None:
        for reader, text, value in BOTH_WAYS:
            self.assertEqual(reader(text), value)
            self.assertEqual(str(value), text)

    def test_respelled(self) -> None:
        for reader, text, written in RESPELLED:
            value = reader(text)
            self.assertEqual(str(value), written)
            self.assertEqual(reader(written), value)

    def test_refused(self) -> None:
        for reader, texts in REFUSED:
            for text in texts:
                error = self.assertRaises(SDPError, reader, text)
                self.assertTrue(error.reason.isascii() and error.reason.isprintable())
                self.assertLess(len(error.reason), 140)


class FormatTests(SynchronousTestCase):
    """What formats are asked for."""

    def test_channels(self) -> None:
        for parameters, channels in ((None, 1), ("2", 2), ("0", 1), ("", 1), ("x", 1), ("9" * 5000, 1)):
            self.assertEqual(RtpMap(96, "L16", 8000, parameters).channels, channels)

    def test_fmtp_parameters(self) -> None:
        for text, parameters in (
            ("minptime=10; useInbandFEC=1;", {"minptime": "10", "useinbandfec": "1"}),
            ("0-16", {"0-16": ""}),
            ("a=1;a=2;b==;=c", {"a": "1", "b": "="}),
        ):
            self.assertEqual(Fmtp("96", text).parameters, parameters)

    def test_encrypted_extension(self) -> None:
        encrypt = "urn:ietf:params:rtp-hdrext:encrypt"
        self.assertEqual(ExtMap.parse(f"3 {encrypt} urn:b 25@600/24").encrypted_uri, "urn:b")
        self.assertIsNone(ExtMap.parse(f"3 {encrypt}").encrypted_uri)
        self.assertIsNone(ExtMap.parse("3 urn:b urn:c").encrypted_uri)

    def test_static_payload_types(self) -> None:
        for payload_type, text in (
            (0, "0 PCMU/8000"),
            (8, "8 PCMA/8000"),
            (9, "9 G722/8000"),
            (10, "10 L16/44100/2"),
        ):
            self.assertEqual(str(STATIC_CODECS[payload_type].rtpmap), text)
        self.assertTrue(all(key == codec.payload_type for key, codec in STATIC_CODECS.items()))

    def test_codecs_match(self) -> None:
        opus = Codec(96, "opus", 48000, 2, "useinbandfec=1")
        self.assertTrue(opus.matches(Codec(111, "OPUS", 48000, 2)))
        self.assertFalse(opus.matches(Codec(96, "opus", 48000, 1)))
        self.assertFalse(opus.matches(Codec(96, "opus", 24000, 2)))
        self.assertFalse(opus.matches(Codec(96, "L16", 48000, 2)))
        self.assertEqual(opus.parameters, {"useinbandfec": "1"})
        self.assertEqual(Codec(0, "PCMU", 8000).parameters, {})


class CandidateTests(SynchronousTestCase):
    """What candidates are asked for."""

    def test_ip(self) -> None:
        for address, ip in (("2001:db8::1", ip_address("2001:db8::1")), ("a1b2.local", None)):
            self.assertEqual(Candidate.parse(f"1 1 UDP 1 {address} 1 typ host").ip, ip)


class SecurityTests(SynchronousTestCase):
    """What keys are asked for, and that they stay out of logs."""

    def test_lifetime(self) -> None:
        for text, packets in (("|2^20", 1048576), ("|64", 64), ("", None), ("|1:4", None)):
            self.assertEqual(CryptoKey.parse(f"inline:{KEY}{text}").lifetime_packets, packets)

    def test_secrets_are_not_in_representations(self) -> None:
        crypto = Crypto.parse(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")
        for value in (
            crypto,
            Attribute("crypto", str(crypto)),
            Attribute("ice-pwd", KEY),
            Attribute("key-mgmt", f"mikey {KEY}"),
        ):
            self.assertNotIn(KEY, repr(value))
            self.assertNotIn("semctl", repr(value))
        self.assertEqual(repr(Attribute("mid", "a")), "Attribute('mid', 'a')")
        self.assertEqual(repr(Attribute("crypto")), "Attribute('crypto')")
