"""Offers of our own making."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.build import G722, OPUS, PCMA, PCMU, TELEPHONE_EVENT, audio_media, audio_offer
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.errors import SDPBuildError
from rvoip.protocols.sdp.formats import Codec
from rvoip.protocols.sdp.session import parse
from rvoip.test.protocols.sdp.samples import crlf


class AudioOfferTests(SynchronousTestCase):
    """`audio_offer`."""

    def test_the_shortest(self) -> None:
        self.assertEqual(
            audio_offer("192.0.2.1", 4000, session_id=7, version=1).to_bytes(),
            crlf("""
v=0
o=- 7 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
m=audio 4000 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=sendrecv
"""),
        )

    def test_the_longest(self) -> None:
        offer = audio_offer(
            "2001:db8::1",
            4000,
            codecs=[OPUS, G722, Codec(97, "L16", 44100, 2)],
            direction=Direction.SENDONLY,
            session_id="7",
            version=2**62,
            protocol="UDP/TLS/RTP/SAVPF",
            ptime=None,
            name="Desk",
            username="alice",
            attributes=[Attribute("rtcp-mux"), Attribute("mid", "0")],
        )
        self.assertEqual(
            offer.to_bytes(),
            crlf("""
v=0
o=alice 7 4611686018427387904 IN IP6 2001:db8::1
s=Desk
c=IN IP6 2001:db8::1
t=0 0
m=audio 4000 UDP/TLS/RTP/SAVPF 96 9 97
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:9 G722/8000
a=rtpmap:97 L16/44100/2
a=sendonly
a=rtcp-mux
a=mid:0
"""),
        )
        self.assertEqual(parse(offer.to_bytes(), strict=True), offer)

    def test_codecs_come_back(self) -> None:
        codecs = (OPUS, PCMU, PCMA, G722, TELEPHONE_EVENT)
        self.assertEqual(audio_media(4000, codecs).codecs, codecs)

    def test_what_cannot_be_written(self) -> None:
        for host, port, codec in (
            ("192.0.2.1\r\na=x", 4000, PCMU),
            ("192.0.2.1 x", 4000, PCMU),
            ("", 4000, PCMU),
            ("192.0.2.1", 65536, PCMU),
            ("192.0.2.1", -1, PCMU),
            ("192.0.2.1", 4000, Codec(96, "x\r\na=y", 8000)),
        ):
            offer = audio_offer(host, port, codecs=[codec], session_id=1, version=1)
            self.assertRaises(SDPBuildError, offer.to_bytes)
