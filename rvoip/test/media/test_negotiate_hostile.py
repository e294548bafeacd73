"""Descriptions of standards, browsers and strangers: each is answered or refused, nothing else happens."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.codecs.policy import Policy
from rvoip.media.agreed import Local
from rvoip.media.errors import NegotiationError
from rvoip.media.negotiate import Negotiation
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.session import parse
from rvoip.test.media.legs import described, keyed, local, our_ice
from rvoip.test.protocols.sdp.samples import BROWSER, EVERYTHING, PHONE

CONFORMANCE_DIR = os.environ.get("CONFORMANCE_DIR")


class Case(SynchronousTestCase):
    def exchange(self, leg: Local, octets: bytes) -> int:
        """Offer these octets to a leg; 200 or the status of the refusal."""
        negotiation = Negotiation(leg)
        try:
            answer = negotiation.answer(octets)
        except NegotiationError as error:
            self.assertIn(error.status, (400, 488))
            self.assertTrue(error.reason.isascii() and error.reason.isprintable(), msg=error.reason)
            self.assertLess(len(error.reason), 600)
            self.assertEqual((negotiation.agreed, negotiation.description), (None, None))
            return error.status
        offer = parse(octets)
        agreed = negotiation.agreed
        assert agreed is not None
        self.assertEqual(parse(answer.to_bytes()), answer)
        self.assertEqual([m.kind for m in answer.media], [m.kind for m in offer.media])
        self.assertEqual([m.protocol for m in answer.media], [m.protocol for m in offer.media])
        live = [index for index, media in enumerate(answer.media) if media.port]
        self.assertEqual(live, [agreed.index])
        offered = set(offer.media[agreed.index].payload_types)
        self.assertTrue(set(answer.media[agreed.index].payload_types) <= offered)
        self.assertFalse(offer.holds(offer.media[agreed.index]) and agreed.direction.sends)
        # The same offer again changes nothing, and we can offer in turn.
        self.assertEqual(negotiation.answer(octets), answer)
        again = negotiation.offer()
        self.assertEqual(parse(again.to_bytes()), again)
        self.assertEqual(len(again.media), len(offer.media))
        negotiation.rollback()
        return 200


class FixtureTests(Case):
    def files(self) -> list[Path]:
        if CONFORMANCE_DIR is None:
            raise SkipTest("CONFORMANCE_DIR is not set")
        return sorted(Path(CONFORMANCE_DIR, "sdp").rglob("*.sdp"))

    def test_every_description_of_the_standards(self) -> None:
        anything = Policy(allow=("PCMU", "PCMA", "G722", "L16", "opus"))
        counts: dict[int, int] = {}
        for path in self.files():
            for leg in (local(), local(policy=anything), keyed(ice=our_ice, policy=anything)):
                status = self.exchange(leg, path.read_bytes())
                counts[status] = counts.get(status, 0) + 1
        self.assertGreater(counts[200], 200)
        self.assertGreater(counts[488], 100)
        self.assertGreater(counts[400], 10)

    def test_as_answers(self) -> None:
        taken = 0
        for path in self.files():
            leg = Negotiation(keyed(srtp="opportunistic", ice=our_ice))
            leg.offer()
            try:
                leg.receive_answer(path.read_bytes())
                taken += 1
            except NegotiationError as error:
                self.assertIn(error.status, (400, 488))
        self.assertGreater(taken, 50)

    def test_samples(self) -> None:
        self.assertEqual(self.exchange(local(), PHONE), 200)
        self.assertEqual(self.exchange(keyed(ice=our_ice), BROWSER), 200)
        self.assertEqual(self.exchange(local(), BROWSER), 488)
        self.assertEqual(self.exchange(local(), EVERYTHING), 488)


class StrangerTests(Case):
    def test_large_ones(self) -> None:
        for lines in (
            ["m=audio 9 RTP/AVP " + " ".join(map(str, range(128)))],
            ["m=audio 9 RTP/AVP 0", *["rtpmap:0 " + "x" * 200 + "/8000"] * 100],
            ["m=video 9 RTP/AVP 96"] * 30 + ["m=audio 9 RTP/AVP 0"],
            ["m=audio 9 RTP/AVP 0 " + "9" * 4000],
            ["m=audio 65535 RTP/AVP 0"],
            ["m=audio 9/2 RTP/AVP 0"],
            ["m=AUDIO 9 rtp/avp 0"],
            ["m=audio 9 RTP/AVP 0", "mid:x y", "mid:" + "é" * 50],
            ["m=audio 9 RTP/AVP 0", "c=IN IP4 host.example.com"],
        ):
            self.exchange(local(), described(*lines))

    LINES = st.sampled_from(
        (
            "m=audio 9 RTP/AVP 0 8 101",
            "m=audio 0 RTP/AVP 0",
            "m=audio 9 RTP/SAVPF 8",
            "m=audio 9 UDP/TLS/RTP/SAVPF 9 0",
            "m=video 9 RTP/AVP 96",
            "c=IN IP4 0.0.0.0",
            "c=IN IP6 ::",
            "c=IN IP4 192.0.2.5",
            "a=sendonly",
            "a=inactive",
            "a=rtcp-mux",
            "a=rtcp-mux-only",
            "a=rtcp:1",
            "a=bundle-only",
            "a=mid:a",
            "a=group:BUNDLE a",
            "a=ptime:7",
            "a=maxptime:1",
            "a=ptime:0.5",
            "a=rtpmap:0 PCMA/8000",
            "a=rtpmap:8 telephone-event/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 16-20",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
            "a=fingerprint:sha-256 " + ":".join(["00"] * 32),
            "a=setup:actpass",
            "a=setup:holdconn",
            "a=ice-ufrag:abcd",
            "a=ice-pwd:0123456789abcdef012345",
            "a=candidate:1 1 udp 9 192.0.2.1 9 typ host",
            "a=extmap:1 urn:x",
            "a=extmap:4000 urn:x",
        )
    )

    @settings(derandomize=True, deadline=None, max_examples=250)
    @given(st.lists(LINES, max_size=14), st.sampled_from(("off", "accept", "require")))
    def test_any_lines(self, lines: list[str], srtp: str) -> None:
        octets = described("m=audio 9 RTP/AVP 0", *lines)
        self.exchange(keyed(ice=our_ice, extensions=("urn:x",), srtp=srtp), octets)
        leg = Negotiation(keyed(ice=our_ice, srtp="opportunistic"))
        leg.offer()
        try:
            leg.receive_answer(octets)
        except NegotiationError as error:
            self.assertEqual(error.status, 488)

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(st.integers(0, 2000), st.binary(min_size=1, max_size=8))
    def test_any_octets(self, at: int, octets: bytes) -> None:
        for sample in (PHONE, BROWSER):
            place = at % len(sample)
            data = sample[:place] + octets + sample[place + len(octets) :]
            try:
                parse(data)
            except SDPError:
                self.assertEqual(self.exchange(local(), data), 400)
            else:
                self.exchange(keyed(ice=our_ice), data)
