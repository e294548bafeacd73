"""Offers and answers of a leg: codecs, numbers, directions, sections, turns."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.codecs.policy import Policy
from rvoip.media.negotiate import Negotiation
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.session import SessionDescription, parse
from rvoip.test.media.legs import PHONE, described, local, refusal

SENDRECV, SENDONLY, RECVONLY, INACTIVE = Direction


def answered(offer: bytes, **changes: object) -> tuple[Negotiation, SessionDescription]:
    """The answer to an offer, as the peer reads it."""
    leg = Negotiation(local(**changes))
    return leg, parse(leg.answer(offer).to_bytes())


class AnswerTests(SynchronousTestCase):
    def test_a_whole_answer(self) -> None:
        leg, answer = answered(described(*PHONE))
        self.assertEqual(
            answer.to_bytes().decode().splitlines(),
            [
                "v=0",
                "o=- 7 1 IN IP4 198.51.100.1",
                "s=-",
                "c=IN IP4 198.51.100.1",
                "t=0 0",
                "m=audio 20000 RTP/AVP 8 0 101",
                "a=rtpmap:8 PCMA/8000",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-15",
                "a=ptime:20",
                "a=maxptime:120",
                "a=sendrecv",
            ],
        )
        agreed = leg.agreed
        assert agreed is not None
        self.assertEqual(agreed.codec.name, "PCMA")
        self.assertEqual((agreed.remote, agreed.remote_rtcp), (("192.0.2.1", 10018), ("192.0.2.1", 10019)))
        assert agreed.events is not None
        self.assertEqual((agreed.events.receive_payload_type, agreed.noise), (101, None))
        self.assertEqual((agreed.secure, agreed.held, agreed.direction), (False, False, SENDRECV))

    def test_numbers_are_those_of_the_offer(self) -> None:
        offer = described(
            "m=audio 9 RTP/AVP 120 97 13 119 118",
            "rtpmap:120 L16/16000",
            "rtpmap:97 PCMA/8000",
            "rtpmap:119 telephone-event/16000",
            "rtpmap:118 telephone-event/8000",
        )
        leg, answer = answered(offer)
        self.assertEqual(answer.media[0].formats, ("120", "97", "119", "118", "13"))
        agreed = leg.agreed
        assert agreed is not None and agreed.events is not None
        self.assertEqual((agreed.codec.sample_rate, agreed.events.receive_payload_type), (16000, 119))
        self.assertIs(agreed.noise, None)
        leg.local = local(policy=Policy(allow=("PCMA",)))
        leg.answer(offer)
        agreed = leg.agreed
        assert agreed is not None and agreed.events is not None and agreed.noise is not None
        self.assertEqual((agreed.events.receive_payload_type, agreed.noise.receive_payload_type), (118, 13))

    def test_packets_are_as_the_peer_wants_them(self) -> None:
        for lines, wanted, asked in (
            ((), 20, "20"),
            (("ptime:30",), 30, "30"),
            (("ptime:30", "maxptime:20"), 20, "20"),
            (("ptime:200",), 120, "120"),
            (("ptime:2000",), 20, "20"),
            (("ptime:99999",), 20, "20"),
            (("ptime:0",), 20, "20"),
            (("ptime:-1",), 20, "20"),
        ):
            leg, answer = answered(described("m=audio 9 RTP/AVP 0", *lines))
            assert leg.agreed is not None
            self.assertEqual(
                (leg.agreed.ptime, answer.media[0].value("ptime")), (wanted, asked), msg=str(lines)
            )

    def test_the_family_of_the_peer_is_answered_with(self) -> None:
        leg, answer = answered(described(*PHONE, host="2001:db8::99"))
        assert leg.agreed is not None and answer.connection is not None
        self.assertEqual((leg.agreed.local_host, answer.connection.address_type), ("2001:db8::1", "IP6"))
        self.assertEqual(answer.origin.address_type, "IP6")
        only_four = Negotiation(local(hosts=("198.51.100.1",)))
        error = refusal(only_four.answer, described(*PHONE, host="2001:db8::99"))
        self.assertEqual((error.status, "IPv6" in error.reason), (488, True))

    def test_control_packets(self) -> None:
        for lines, mux, control, written in (
            ((), False, ("192.0.2.1", 10019), []),
            (("rtcp:5000",), False, ("192.0.2.1", 5000), []),
            (("rtcp:5000 IN IP4 192.0.2.9",), False, ("192.0.2.9", 5000), []),
            (("rtcp-mux",), True, ("192.0.2.1", 10018), ["rtcp-mux"]),
            (("rtcp-mux-only",), True, ("192.0.2.1", 10018), ["rtcp-mux"]),
        ):
            leg, answer = answered(described(*PHONE, *lines))
            assert leg.agreed is not None
            self.assertEqual((leg.agreed.rtcp_mux, leg.agreed.remote_rtcp), (mux, control), msg=str(lines))
            self.assertEqual([a.name for a in answer.media[0].attributes if "rtcp" in a.name], written)
        leg, answer = answered(described(*PHONE, "rtcp-mux"), rtcp_mux=False, rtcp_port=30000)
        self.assertEqual((answer.media[0].value("rtcp"), answer.media[0].rtcp_mux), ("30000", False))
        leg = Negotiation(local(rtcp_mux=False))
        self.assertEqual(refusal(leg.answer, described(*PHONE, "rtcp-mux-only")).status, 488)

    def test_feedback_profiles(self) -> None:
        for profile, reduced in (("RTP/AVP", False), ("RTP/AVPF", True), ("rtp/avpf", True)):
            leg, answer = answered(described(f"m=audio 9 {profile} 0", "rtcp-rsize", "rtcp-fb:* nack"))
            assert leg.agreed is not None
            self.assertEqual((answer.media[0].protocol, leg.agreed.rtcp_rsize), (profile, reduced))
            self.assertEqual(answer.media[0].rtcp_fb, ())

    def test_header_extensions_that_we_know(self) -> None:
        level = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
        lines = (
            f"extmap:1 {level}",
            "extmap:2 urn:x:other",
            f"extmap:3 {level}",
            "extmap:4/sendonly urn:x:y",
        )
        leg, answer = answered(described(*PHONE, *lines), extensions=(level, "urn:x:y"))
        self.assertEqual(answer.media[0].values("extmap"), (f"1 {level}", "4/recvonly urn:x:y"))
        assert leg.agreed is not None
        self.assertEqual([extension.id for extension in leg.agreed.extensions], [1, 4])

    def test_other_sections_are_refused_in_their_places(self) -> None:
        offer = described(
            "m=video 5000 RTP/AVP 96",
            "rtpmap:96 VP8/90000",
            "m=audio 0 RTP/AVP 0",
            "m=audio 5002 TCP/RTP/AVP 0",
            "m=audio 5004 RTP/AVP 0",
            "m=application 5006 UDP/DTLS/SCTP webrtc-datachannel",
            "m=image 5008 udptl t38",
            "m=audio 5010 RTP/AVP 8",
            "m=message 7654 TCP/MSRP *",
        )
        leg, answer = answered(offer)
        self.assertEqual([media.port for media in answer.media], [0, 0, 0, 20000, 0, 0, 0, 0])
        self.assertEqual([m.kind for m in answer.media], [m.kind for m in parse(offer).media])
        self.assertEqual([m.protocol for m in answer.media], [m.protocol for m in parse(offer).media])
        assert leg.agreed is not None
        self.assertEqual((leg.agreed.index, leg.agreed.codec.name), (3, "PCMU"))

    def test_the_first_audio_that_can_be_met_is_taken(self) -> None:
        _, answer = answered(described("m=audio 5000 RTP/SAVP 0", "m=audio 5002 RTP/AVP 0"))
        self.assertEqual([media.port for media in answer.media], [0, 20000])

    def test_a_bundle_of_one(self) -> None:
        top = ("a=group:BUNDLE a1 v1",)
        offer = described(*PHONE, "mid:a1", "m=video 10018 RTP/AVP 96", "mid:v1", top=top)
        _, answer = answered(offer)
        self.assertEqual(answer.value("group"), "BUNDLE a1")
        self.assertEqual([(media.mid, media.port) for media in answer.media], [("a1", 20000), ("v1", 0)])
        _, answer = answered(described(*PHONE, "mid:a1"))
        self.assertEqual((answer.value("group"), answer.media[0].mid), (None, "a1"))

    def test_audio_whose_port_is_that_of_its_bundle(self) -> None:
        video = ("m=video 7000 RTP/AVP 96", "mid:v1")
        audio = ("m=audio 0 RTP/AVP 0", "mid:a1", "bundle-only")
        leg, answer = answered(described(*video, *audio, top=("a=group:BUNDLE v1 a1",)))
        assert leg.agreed is not None
        self.assertEqual((leg.agreed.remote, answer.media[1].port), (("192.0.2.1", 7000), 20000))
        error = refusal(Negotiation(local()).answer, described(*audio))
        self.assertEqual((error.status, "has no port" in error.reason), (488, True))

    def test_what_cannot_be_met_is_488_with_its_reason(self) -> None:
        for lines, reason in (
            ((), "no audio is offered"),
            (("m=video 9 RTP/AVP 96",), "no audio is offered"),
            (("m=audio 0 RTP/AVP 0",), "no audio is offered"),
            (("m=audio 9 RTP/AVP 4 18",), "the audio has no codec that is spoken here (G723, G729)"),
            (("m=audio 9 RTP/AVP 96",), "no codec that is spoken here (none that is named)"),
            (("m=audio 9 RTP/AVP 101", "rtpmap:101 telephone-event/8000"), "no codec that is spoken here"),
            (("m=audio 9 RTP/AVP",), "no codec"),
            (("m=audio 9 TCP/MSRP 0",), "the audio has the profile 'TCP/MSRP'"),
            (("m=audio 9 RTP/SAVP 0",), "is to be SRTP"),
            (("m=audio 9 RTP/AVP 0", "c=IN IP4 224.2.1.1/127"), "an address that is for many"),
            (("m=audio 9 RTP/AVP 0", "c=IN IP6 ff02::1"), "an address that is for many"),
            (("m=audio 9 RTP/AVP 0", "c=IN IP4 255.255.255.255"), "an address that is for many"),
            (("m=audio 9 RTP/AVP 0", "rtcp:9 IN IP4 224.2.1.1"), "an address that is for many"),
            (("m=audio 9 RTP/AVP 0", "c=ATM NSAP 47.0091"), "another network"),
        ):
            leg = Negotiation(local())
            error = refusal(leg.answer, described(*lines))
            self.assertEqual(error.status, 488, msg=str(lines))
            self.assertIn(reason, error.reason)
            self.assertEqual((leg.agreed, leg.description), (None, None))

    def test_an_address_that_is_not_permitted(self) -> None:
        asked: list[tuple[str, int]] = []

        def permitted(host: str, port: int) -> bool:
            asked.append((host, port))
            return not host.startswith("127.")

        answered(described(*PHONE, "rtcp:7 IN IP4 192.0.2.7"), permitted=permitted)
        self.assertEqual(asked, [("192.0.2.1", 10018), ("192.0.2.7", 7)])
        leg = Negotiation(local(permitted=permitted))
        for offer in (described(*PHONE, host="127.0.0.1"), described(*PHONE, "rtcp:7 IN IP4 127.0.0.1")):
            self.assertIn("may not be sent to", refusal(leg.answer, offer).reason)

    def test_what_is_no_description_is_400(self) -> None:
        for octets in (b"", b"v=0\r\n", b"\xff\xfe", b"{}", b"v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\nm=audio\r\n"):
            error = refusal(Negotiation(local()).answer, octets)
            self.assertEqual(error.status, 400)
            self.assertTrue(error.reason.isprintable())

    def test_an_offer_without_an_address(self) -> None:
        offer = described(*PHONE).replace(b"c=IN IP4 192.0.2.1\r\n", b"")
        self.assertIn("no c= line", refusal(Negotiation(local()).answer, offer).reason)


class HoldTests(SynchronousTestCase):
    def test_the_algebra_of_directions(self) -> None:
        for offered, wanted, answer in (
            ("sendrecv", SENDRECV, "sendrecv"),
            ("sendrecv", SENDONLY, "sendonly"),
            ("sendrecv", RECVONLY, "recvonly"),
            ("sendrecv", INACTIVE, "inactive"),
            ("sendonly", SENDRECV, "recvonly"),
            ("sendonly", SENDONLY, "inactive"),
            ("sendonly", RECVONLY, "recvonly"),
            ("recvonly", SENDRECV, "sendonly"),
            ("recvonly", RECVONLY, "inactive"),
            ("inactive", SENDRECV, "inactive"),
            ("inactive", SENDONLY, "inactive"),
        ):
            leg = Negotiation(local(), wanted)
            found = leg.answer(described(*PHONE, offered))
            self.assertEqual(found.media[0].own_direction, Direction(answer), msg=f"{offered} {wanted}")
            assert leg.agreed is not None
            self.assertEqual(leg.agreed.direction.value, answer)
            self.assertEqual(leg.held, offered in ("sendonly", "inactive"))

    def test_held_and_resumed_by_the_peer(self) -> None:
        leg = Negotiation(local())
        for version, (lines, host, direction, held) in enumerate(
            (
                ((), "192.0.2.1", SENDRECV, False),
                (("sendonly",), "192.0.2.1", RECVONLY, True),
                (("inactive",), "192.0.2.1", INACTIVE, True),
                ((), "0.0.0.0", RECVONLY, True),
                (("sendonly",), "0.0.0.0", RECVONLY, True),
                (("recvonly",), "0.0.0.0", INACTIVE, True),
                (("sendrecv",), "192.0.2.1", SENDRECV, False),
            ),
            1,
        ):
            leg.answer(described(*PHONE, *lines, host=host, version=version))
            assert leg.agreed is not None
            self.assertEqual((leg.agreed.direction, leg.held), (direction, held), msg=f"{lines} {host}")
            self.assertEqual(leg.agreed.remote is None, host == "0.0.0.0")

    def test_we_hold_and_resume(self) -> None:
        leg = Negotiation(local())
        leg.answer(described(*PHONE))
        for wanted, theirs, direction in (
            (SENDONLY, "recvonly", SENDONLY),
            (INACTIVE, "inactive", INACTIVE),
            (SENDONLY, "sendrecv", SENDONLY),
            (SENDONLY, "inactive", INACTIVE),
            (SENDRECV, "sendrecv", SENDRECV),
            (SENDRECV, "sendonly", RECVONLY),
        ):
            offer = leg.offer(wanted)
            self.assertEqual(offer.media[0].own_direction, wanted)
            agreed = leg.receive_answer(described(*PHONE, theirs))
            self.assertEqual(agreed.direction, direction, msg=f"{wanted} {theirs}")
        self.assertTrue(leg.held)

    def test_while_we_hold_the_peer_cannot_end_it(self) -> None:
        leg = Negotiation(local())
        leg.answer(described(*PHONE))
        leg.offer(SENDONLY)
        leg.receive_answer(described(*PHONE, "recvonly"))
        answer = leg.answer(described(*PHONE, version=2))
        self.assertEqual(answer.media[0].own_direction, SENDONLY)


class OfferTests(SynchronousTestCase):
    def test_a_whole_offer(self) -> None:
        leg = Negotiation(local(policy=Policy(allow=("PCMU", "L16/16000/1"), noise=True)))
        offer = parse(leg.offer().to_bytes())
        self.assertEqual(
            offer.to_bytes().decode().splitlines()[3:],
            [
                "c=IN IP4 198.51.100.1",
                "t=0 0",
                "m=audio 20000 RTP/AVP 0 96 101 97 13 98",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:96 L16/16000",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-15",
                "a=rtpmap:97 telephone-event/16000",
                "a=fmtp:97 0-15",
                "a=rtpmap:13 CN/8000",
                "a=rtpmap:98 CN/16000",
                "a=ptime:20",
                "a=maxptime:120",
                "a=sendrecv",
                "a=rtcp-mux",
            ],
        )

    def test_the_answer_decides(self) -> None:
        leg = Negotiation(local())
        leg.offer()
        self.assertTrue(leg.pending)
        agreed = leg.receive_answer(described("m=audio 4000 RTP/AVP 0", "ptime:40", "rtcp-mux"))
        self.assertEqual((agreed.codec.name, agreed.ptime, agreed.rtcp_mux), ("PCMU", 40, True))
        self.assertEqual((agreed.remote, leg.pending), (("192.0.2.1", 4000), False))

    def test_an_answer_with_numbers_of_its_own(self) -> None:
        leg = Negotiation(local(policy=Policy(allow=("L16/16000/1",))))
        number = leg.offer().media[0].formats[0]
        agreed = leg.receive_answer(described("m=audio 4000 RTP/AVP 120", "rtpmap:120 L16/16000"))
        self.assertEqual(agreed.choices[0].format.payload_type, 120)
        self.assertEqual(str(agreed.choices[0].receive_payload_type), number)

    def test_answers_that_cannot_be(self) -> None:
        for lines, status, reason in (
            (("m=audio 0 RTP/AVP 0",), 488, "refused by the peer"),
            (("m=video 9 RTP/AVP 0",), 488, "answered by something else"),
            ((), 488, "is not answered"),
            (("m=audio 9 RTP/AVP 18",), 488, "without a codec that was offered (G729)"),
            (("m=audio 9 RTP/SAVP 0",), 488, "without keys"),
            (("m=audio 9 UDP 0",), 488, "profile"),
        ):
            leg = Negotiation(local())
            leg.offer()
            error = refusal(leg.receive_answer, described(*lines))
            self.assertEqual(error.status, status)
            self.assertIn(reason, error.reason)
            self.assertEqual((leg.pending, leg.agreed), (False, None))
        leg = Negotiation(local())
        self.assertEqual(refusal(leg.receive_answer, described(*PHONE)).status, 400)
        leg.offer()
        self.assertEqual(refusal(leg.receive_answer, b"x").status, 400)
        self.assertTrue(leg.pending)

    def test_nothing_to_offer(self) -> None:
        leg = Negotiation(local(policy=Policy(deny=("PCMA", "PCMU", "opus", "G722"), allow=("PCMA",))))
        self.assertEqual(refusal(leg.offer).status, 488)
        self.assertFalse(leg.pending)

    def test_early_answers_of_a_fork(self) -> None:
        leg = Negotiation(local())
        leg.offer()
        first = leg.receive_answer(described("m=audio 4000 RTP/AVP 0", host="192.0.2.1"), final=False)
        second = leg.receive_answer(described("m=audio 4002 RTP/AVP 8", host="192.0.2.2"), final=False)
        self.assertEqual([first.codec.name, second.codec.name], ["PCMU", "PCMA"])
        self.assertEqual((leg.agreed, leg.pending), (second, True))
        error = refusal(leg.receive_answer, described("m=audio 0 RTP/AVP 0"), final=False)
        self.assertEqual((error.status, leg.pending, leg.agreed), (488, True, second))
        last = leg.receive_answer(described("m=audio 4004 RTP/AVP 0", host="192.0.2.3"))
        self.assertEqual((last.remote, leg.pending), (("192.0.2.3", 4004), False))
        self.assertEqual(refusal(leg.receive_answer, described(*PHONE)).status, 400)


class TurnTests(SynchronousTestCase):
    def test_offers_that_cross(self) -> None:
        leg = Negotiation(local())
        leg.answer(described(*PHONE))
        leg.offer()
        self.assertEqual(refusal(leg.answer, described(*PHONE, version=2)).status, 491)
        self.assertEqual(refusal(leg.offer).status, 491)
        leg.receive_answer(described(*PHONE))
        leg.answer(described(*PHONE, version=2))

    def test_a_refused_offer_changes_nothing(self) -> None:
        leg = Negotiation(local())
        leg.answer(described(*PHONE))
        before = leg.agreed
        leg.offer(INACTIVE, Policy(allow=("L16",)))
        leg.receive_answer(described("m=audio 1 RTP/AVP 10"), final=False)
        self.assertNotEqual(leg.agreed, before)
        leg.rollback()
        self.assertEqual((leg.agreed, leg.wanted, leg.pending), (before, SENDRECV, False))
        self.assertEqual(leg.local.policy.allow, ("PCMA", "PCMU", "L16"))
        leg.rollback()
        answer = leg.answer(described(*PHONE, version=2))
        self.assertEqual(answer.media[0].formats, ("8", "0", "101"))

    def test_a_refused_answer_changes_nothing(self) -> None:
        leg = Negotiation(local())
        leg.answer(described(*PHONE))
        before, sent = leg.agreed, leg.description
        self.assertEqual(refusal(leg.answer, described("m=audio 9 RTP/AVP 18", version=2)).status, 488)
        self.assertEqual((leg.agreed, leg.description), (before, sent))

    def test_versions_count_changes(self) -> None:
        leg = Negotiation(local())
        versions = [leg.answer(described(*PHONE)).origin.session_version]
        versions.append(leg.answer(described(*PHONE, version=2)).origin.session_version)
        versions.append(leg.answer(described(*PHONE, "sendonly", version=3)).origin.session_version)
        versions.append(leg.offer(INACTIVE).origin.session_version)
        leg.rollback()
        versions.append(leg.offer(INACTIVE).origin.session_version)
        leg.receive_answer(described(*PHONE, "inactive"))
        self.assertEqual(versions, [1, 1, 2, 3, 4])
        self.assertEqual({leg.answer(described(*PHONE)).origin.session_id}, {"7"})

    def test_sections_keep_their_places(self) -> None:
        leg = Negotiation(local())
        leg.answer(described("m=video 9 RTP/AVP 96", *PHONE, "m=image 9 udptl t38"))
        offer = leg.offer()
        self.assertEqual(
            [(m.kind, m.port) for m in offer.media], [("video", 0), ("audio", 20000), ("image", 0)]
        )
        leg.receive_answer(described("m=video 0 RTP/AVP 96", *PHONE, "m=image 0 udptl t38"))
        answer = leg.answer(
            described("m=audio 9 RTP/AVP 0", *PHONE, "m=image 0 udptl t38", "m=video 9 RTP/AVP 96")
        )
        self.assertEqual([media.port for media in answer.media], [0, 20000, 0, 0])

    def test_numbers_keep_their_meaning(self) -> None:
        leg = Negotiation(local(policy=Policy(allow=("L16/16000/1", "PCMU", "L16/48000/1"))))
        leg.answer(
            described(
                "m=audio 9 RTP/AVP 96 0 105",
                "rtpmap:96 L16/16000",
                "rtpmap:105 telephone-event/8000",
            )
        )
        offer = leg.offer().media[0]
        numbers = {(c.encoding, c.clock_rate): c.payload_type for c in offer.codecs}
        self.assertEqual(numbers["L16", 16000], 96)
        self.assertEqual(numbers["telephone-event", 8000], 105)
        self.assertEqual(len(set(numbers.values())), len(numbers))
        leg.rollback()
        leg.offer(policy=Policy(allow=("PCMU", "L16/48000/1")))
        leg.receive_answer(described("m=audio 9 RTP/AVP 0"))
        again = leg.offer(policy=Policy(allow=("L16/16000/1", "L16/48000/1"))).media[0]
        numbers = {(c.encoding, c.clock_rate): c.payload_type for c in again.codecs}
        self.assertEqual(numbers["L16", 16000], 96)
        self.assertNotEqual(numbers["L16", 48000], 96)

    def test_the_peer_ends_the_stream_and_begins_it_again(self) -> None:
        leg = Negotiation(local())
        leg.answer(described(*PHONE))
        answer = leg.answer(described("m=audio 0 RTP/AVP 0", version=2))
        self.assertEqual(([media.port for media in answer.media], leg.agreed), ([0], None))
        self.assertEqual(parse(answer.to_bytes()), answer)
        answer = leg.answer(described(*PHONE, version=3))
        self.assertEqual((answer.media[0].port, leg.agreed is None), (20000, False))

    def test_another_peer_takes_over_with_fewer_sections(self) -> None:
        """Whoever re-invites on behalf of another may not know how many there were; phones do so."""
        leg = Negotiation(local())
        leg.answer(described("m=video 9 RTP/AVP 96", *PHONE))
        answer = leg.answer(described(*PHONE, version=2))
        self.assertEqual([media.port for media in answer.media], [20000])
        assert leg.agreed is not None
        self.assertEqual(leg.agreed.index, 0)
