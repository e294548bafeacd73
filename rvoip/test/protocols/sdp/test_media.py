"""Media sections: their line, codecs and everything else they are asked for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.build import OPUS, PCMU
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.formats import Codec
from rvoip.protocols.sdp.media import Media
from rvoip.protocols.sdp.session import parse
from rvoip.protocols.sdp.streams import SimulcastStream
from rvoip.test.protocols.sdp.samples import BROWSER, PHONE, crlf


def section(*attributes: str, line: str = "audio 9 RTP/AVP 0") -> Media:
    """A section with those attributes."""
    return Media.parse(line).adding(*map(Attribute.parse, attributes))


class LineTests(SynchronousTestCase):
    """The m= line."""

    def test_both_ways(self) -> None:
        for text, value in (
            ("audio 49170 RTP/AVP 0 8", Media("audio", 49170, "RTP/AVP", ("0", "8"))),
            ("audio 49170/2 RTP/AVP 0", Media("audio", 49170, "RTP/AVP", ("0",), 2)),
            ("application 9 UDP/DTLS/SCTP x", Media("application", 9, "UDP/DTLS/SCTP", ("x",))),
            ("video 0 RTP/AVP", Media("video", 0, "RTP/AVP", ())),
        ):
            self.assertEqual(Media.parse(text), value)
            self.assertEqual(str(value), text)

    def test_refused(self) -> None:
        for text in (
            "",
            "audio",
            "audio 1",
            "audio x RTP/AVP 0",
            "audio 1/x RTP/AVP 0",
            "audio 1/65536 RTP/AVP 0",
        ):
            self.assertRaises(SDPError, Media.parse, text)

    def test_protocols(self) -> None:
        for protocol, is_rtp, is_secure, uses_dtls in (
            ("RTP/AVP", True, False, False),
            ("rtp/avp", True, False, False),
            ("RTP/SAVP", True, True, False),
            ("UDP/TLS/RTP/SAVPF", True, True, True),
            ("TCP/DTLS/RTP/SAVPF", True, True, True),
            ("UDP/DTLS/SCTP", False, False, True),
            ("TCP/MSRP", False, False, False),
            ("udptl", False, False, False),
        ):
            media = Media("audio", 1, protocol, ("0",))
            self.assertEqual((media.is_rtp, media.is_secure, media.uses_dtls), (is_rtp, is_secure, uses_dtls))

    def test_rejected(self) -> None:
        self.assertFalse(section().is_rejected)
        self.assertTrue(section(line="audio 0 RTP/AVP 0").is_rejected)
        self.assertFalse(section("bundle-only", line="audio 0 RTP/AVP 0").is_rejected)

    def test_rejecting(self) -> None:
        media = section("mid:a", "sendrecv", line="audio 9/2 RTP/AVP 0 8").replace(information="x")
        self.assertEqual(media.rejected().lines(), ["m=audio 0 RTP/AVP 0", "a=mid:a"])

    def test_payload_types(self) -> None:
        for line, payload_types in (
            ("audio 9 RTP/AVP 0 8 101", (0, 8, 101)),
            ("audio 9 RTP/AVP 127 128 -1 1_0 \N{DIGIT ONE}x 0", (127, 0)),
            ("application 9 udp 0", ()),
            ("audio 9 RTP/AVP", ()),
        ):
            self.assertEqual(Media.parse(line).payload_types, payload_types)


class CodecTests(SynchronousTestCase):
    """Payload types with their meaning."""

    def test_of_a_phone(self) -> None:
        media = parse(PHONE).media[0]
        self.assertEqual(
            media.codecs,
            (Codec(8, "PCMA", 8000), Codec(0, "PCMU", 8000), Codec(101, "telephone-event", 8000, 1, "0-15")),
        )
        self.assertEqual(media.ptime, 20)
        self.assertIsNone(media.maxptime)

    def test_static_types_need_no_rtpmap(self) -> None:
        media = section("fmtp:18 annexb=no", line="audio 9 RTP/AVP 9 18")
        self.assertEqual(media.codecs, (Codec(9, "G722", 8000), Codec(18, "G729", 8000, 1, "annexb=no")))
        self.assertEqual(str(media.rtpmap(9)), "9 G722/8000")

    def test_a_rtpmap_comes_before_the_fixed_meaning(self) -> None:
        media = section("rtpmap:9 G722/16000")
        self.assertEqual(str(media.rtpmap(9)), "9 G722/16000")
        self.assertIsNone(media.rtpmap(96))

    def test_what_means_nothing_is_left_out(self) -> None:
        media = section(
            "rtpmap:97 telephone-event",
            "rtpmap:98 x/0",
            "rtpmap:0 PCMU",
            "rtpmap:8 other",
            line="audio 9 RTP/AVP 96 97 98 0 8",
        )
        self.assertEqual(media.codecs, (Codec(0, "PCMU", 8000),))

    def test_the_first_of_two_counts(self) -> None:
        media = section(
            "rtpmap:96 a/8000", "rtpmap:96 b/8000", "fmtp:96 x=1", "fmtp:96 x=2", line="audio 9 RTP/AVP 96 96"
        )
        self.assertEqual(media.codecs, (Codec(96, "a", 8000, 1, "x=1"),))
        self.assertEqual(str(media.rtpmap(96)), "96 a/8000")
        self.assertEqual(str(media.fmtp(96)), "96 x=1")

    def test_fmtp_by_name(self) -> None:
        media = section("fmtp:wb orient=portrait", line="application 9 udp wb")
        self.assertEqual(str(media.fmtp("wb")), "wb orient=portrait")
        self.assertIsNone(media.fmtp("x"))

    def test_with_codecs(self) -> None:
        media = parse(PHONE).media[0].with_codecs((OPUS, PCMU))
        self.assertEqual(
            media.lines(),
            [
                "m=audio 10018 RTP/AVP 96 0",
                "a=rtpmap:96 opus/48000/2",
                "a=fmtp:96 useinbandfec=1",
                "a=rtpmap:0 PCMU/8000",
                "a=ptime:20",
                "a=sendrecv",
            ],
        )
        self.assertEqual(media.codecs, (OPUS, PCMU))


class AccessorTests(SynchronousTestCase):
    """Everything else."""

    def test_of_a_browser(self) -> None:
        audio, video = parse(BROWSER).media
        self.assertEqual((audio.mid, video.mid), ("a1", "v1"))
        self.assertEqual(audio.maxptime, 120)
        self.assertEqual(list(map(str, audio.msids)), ["- f83006c5"])
        self.assertEqual(str(audio.rtcp), "9 IN IP4 0.0.0.0")
        self.assertTrue(audio.rtcp_mux and audio.rtcp_rsize and audio.end_of_candidates)
        self.assertFalse(video.rtcp_mux or video.rtcp_rsize or video.end_of_candidates)
        self.assertEqual([(c.address, c.port) for c in audio.candidates], [("192.0.2.1", 56500)])
        self.assertEqual([(s.ssrc, s.name) for s in audio.ssrcs], [(1732846380, "cname")])
        self.assertEqual([g.ssrcs for g in video.ssrc_groups], [(1366781083, 1366781084)])
        self.assertEqual([(f.format, f.kind, f.parameters) for f in video.rtcp_fb], [("100", "nack", "pli")])
        self.assertEqual([(r.id, r.direction) for r in video.rids], [("1", "send")])
        simulcast = video.simulcast
        assert simulcast is not None
        self.assertEqual(simulcast.send, ((SimulcastStream("1"),),))
        self.assertEqual((audio.simulcast, audio.rtcp_fb, audio.rids), (None, (), ()))

    def test_of_a_gateway(self) -> None:
        key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
        media = section(
            f"crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}",
            f"crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{key}",
            "crypto:3 AES_CM_128_HMAC_SHA1_32 inline:broken",
            "label:10",
            "content:slides,main",
            "setup:passive",
            "connection:new ",
        )
        self.assertEqual([c.tag for c in media.cryptos], [1, 2])
        self.assertEqual(
            (media.label, media.content, media.connection_reuse), ("10", ("slides", "main"), "new")
        )
        self.assertEqual((section().label, section().content, section().connection_reuse), (None, (), None))

    def test_of_a_data_channel(self) -> None:
        new = section(
            "sctp-port:5000", "max-message-size:100000", line="application 9 UDP/DTLS/SCTP webrtc-datachannel"
        )
        old = section("sctpmap:5001 webrtc-datachannel 1024", line="application 9 DTLS/SCTP 5001")
        self.assertEqual((new.sctp_port, new.max_message_size), (5000, 100000))
        self.assertEqual((old.sctp_port, old.max_message_size), (5001, None))
        self.assertIsNone(section().sctp_port)

    def test_only_mux(self) -> None:
        self.assertTrue(section("rtcp-mux-only").rtcp_mux)

    def test_what_cannot_be_read_is_passed_over(self) -> None:
        media = section(
            "rtpmap:x",
            "rtpmap:96 a/8000",
            "ptime:0",
            "ptime:30",
            "candidate:x",
            "mid",
            "fmtp:96",
            "rtcp:99999",
        )
        self.assertEqual(list(map(str, media.rtpmaps)), ["96 a/8000"])
        self.assertEqual(media.ptime, 30)
        self.assertEqual((media.candidates, media.fmtps, media.mid, media.rtcp), ((), (), None, None))

    def test_hostile_packet_times(self) -> None:
        for text in (
            "0",
            "-20",
            "99999999999",
            "1e9",
            "inf",
            "nan",
            "\N{ARABIC-INDIC DIGIT TWO}0",
            "9" * 5000,
        ):
            self.assertIsNone(section(f"ptime:{text}", f"maxptime:{text}").ptime)

    def test_several_addresses(self) -> None:
        """RFC 5118 section 4.8: one section at an IPv4 address, the next at an IPv6 address."""
        description = parse(
            crlf(
                "v=0\no=bob 280744730 28977631 IN IP4 host.example.com\ns=\nt=0 0\n"
                "m=audio 22334 RTP/AVP 0\nc=IN IP4 192.0.2.1\n"
                "m=video 6024 RTP/AVP 107\nc=IN IP6 2001:db8::1\n"
                "a=rtpmap:107 H263-1998/90000\n"
            ),
            strict=True,
        )
        self.assertEqual(
            [str(description.connections_of(media)[0].ip) for media in description.media],
            ["192.0.2.1", "2001:db8::1"],
        )
