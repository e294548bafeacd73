"""How streams are carried: SRTP by SDES and DTLS, opportunistic SRTP, ICE."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.media.agreed import Keying
from rvoip.media.negotiate import Negotiation
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.session import parse
from rvoip.protocols.sdp.transport import Setup
from rvoip.test.media.legs import (
    CRYPTO,
    FINGERPRINT,
    PHONE,
    PRINT,
    UGLY,
    described,
    keyed,
    local,
    our_ice,
    refusal,
)

AVP, SAVP = "m=audio 9000 RTP/AVP 0", "m=audio 9000 RTP/SAVP 0"
DTLS = "m=audio 9000 UDP/TLS/RTP/SAVPF 0"
ICE = ("ice-ufrag:abcd", "ice-pwd:0123456789abcdef012345", "candidate:1 1 udp 99 192.0.2.1 9000 typ host")


class SdesTests(SynchronousTestCase):
    def test_an_offer_is_answered_with_keys(self) -> None:
        leg = Negotiation(keyed())
        answer = parse(leg.answer(described(SAVP, UGLY, CRYPTO)).to_bytes())
        agreed = leg.agreed
        assert agreed is not None and agreed.sdes is not None
        self.assertEqual((answer.media[0].protocol, agreed.secure), ("RTP/SAVP", True))
        self.assertEqual([line.tag for line in answer.media[0].cryptos], [1])
        self.assertEqual(answer.media[0].value("crypto"), str(agreed.sdes.line))
        self.assertNotEqual(agreed.sdes.receive[0], agreed.sdes.send)

    def test_keys_in_use_stay(self) -> None:
        count = iter(range(100))
        keying = Keying(random=lambda size: bytes([next(count)]) * size)
        leg = Negotiation(local(keying=keying))
        first = leg.answer(described(SAVP, CRYPTO)).media[0].value("crypto")
        again = leg.answer(described(SAVP, CRYPTO, "sendonly", version=2)).media[0].value("crypto")
        self.assertEqual(first, again)
        self.assertEqual(leg.offer(Direction.INACTIVE).media[0].values("crypto"), (first,))
        leg.rollback()
        other = CRYPTO.replace("WVNf", "AAAA")
        changed = leg.answer(described(SAVP, other, version=3)).media[0].value("crypto")
        self.assertNotEqual(first, changed)

    def test_our_offer_and_what_becomes_of_it(self) -> None:
        leg = Negotiation(keyed(srtp="require"))
        offer = leg.offer().media[0]
        self.assertEqual(offer.protocol, "RTP/SAVP")
        tags = [line.tag for line in offer.cryptos]
        self.assertEqual(tags, list(range(1, len(tags) + 1)))
        chosen = offer.cryptos[-1]
        line = f"a=crypto:{chosen}"
        agreed = leg.receive_answer(described(SAVP, line))
        assert agreed.sdes is not None
        self.assertEqual(agreed.sdes.line.tag, chosen.tag)

    def test_answers_with_keys_that_were_not_offered(self) -> None:
        for lines in (
            (SAVP,),
            (AVP,),
            (SAVP, CRYPTO.replace(":1 ", ":99 ")),
            (SAVP, UGLY),
            (SAVP, CRYPTO, CRYPTO.replace(":1 ", ":2 ")),
        ):
            leg = Negotiation(keyed(srtp="require"))
            leg.offer()
            error = refusal(leg.receive_answer, described(*lines))
            self.assertEqual(error.status, 488)
            self.assertIn("is to be SRTP", error.reason)

    def test_what_is_refused(self) -> None:
        for leg, lines, reason in (
            (local(), (SAVP, CRYPTO), "none of its keys can be used: there are none"),
            (keyed(), (SAVP,), "none of its keys"),
            (keyed(), (SAVP, UGLY), "none of its keys"),
            (keyed(), (SAVP, CRYPTO.replace("AES_CM_128", "DES")), "not known here"),
            (keyed(srtp="off"), (SAVP, CRYPTO), "not wanted here"),
            (keyed(srtp="require"), (AVP,), "nothing else is wanted"),
            (keyed(), (DTLS, CRYPTO), "none of its keys"),
        ):
            error = refusal(Negotiation(leg).answer, described(*lines))
            self.assertEqual(error.status, 488)
            self.assertIn(reason, error.reason)
            self.assertNotIn("WVNf", error.reason)


class OpportunisticTests(SynchronousTestCase):
    def test_a_plain_offer_with_keys_beside(self) -> None:
        for srtp, secure in (("off", False), ("accept", True), ("opportunistic", True), ("require", True)):
            leg = Negotiation(keyed(srtp=srtp))
            answer = leg.answer(described(AVP, CRYPTO))
            assert leg.agreed is not None
            self.assertEqual((answer.media[0].protocol, leg.agreed.secure), ("RTP/AVP", secure), msg=srtp)
            self.assertEqual(answer.media[0].has("crypto"), secure)

    def test_keys_that_cannot_be_used_leave_it_plain(self) -> None:
        leg = Negotiation(keyed())
        leg.answer(described(AVP, UGLY))
        assert leg.agreed is not None
        self.assertFalse(leg.agreed.secure)

    def test_our_offer(self) -> None:
        for lines, secure in ((("crypto",), True), ((), False), ((PRINT, "setup:active"), True)):
            leg = Negotiation(keyed(srtp="opportunistic"))
            offer = leg.offer().media[0]
            self.assertEqual(
                (offer.protocol, offer.has("crypto"), offer.has("fingerprint")), ("RTP/AVP", True, True)
            )
            written = [f"a=crypto:{offer.cryptos[0]}" if line == "crypto" else line for line in lines]
            self.assertEqual(leg.receive_answer(described(AVP, *written)).secure, secure)

    def test_what_was_plain_stays_so(self) -> None:
        leg = Negotiation(keyed(srtp="accept"))
        leg.answer(described("m=audio 9000 RTP/AVPF 0"))
        offer = leg.offer().media[0]
        self.assertEqual((offer.protocol, offer.has("crypto")), ("RTP/AVPF", False))


class DtlsTests(SynchronousTestCase):
    def agreed(self, leg: Negotiation, *lines: str) -> tuple[Any, Any]:
        answer = leg.answer(described(DTLS, *lines))
        assert leg.agreed is not None and leg.agreed.dtls is not None
        return leg.agreed.dtls, answer.media[0]

    def test_who_opens(self) -> None:
        for setup, preferred, active in (
            ("setup:actpass", Setup.ACTIVE, True),
            ("setup:actpass", Setup.PASSIVE, False),
            ("setup:active", Setup.ACTIVE, False),
            ("setup:passive", Setup.PASSIVE, True),
            ("setup:nonsense", Setup.ACTIVE, False),
            ("x", Setup.ACTIVE, False),
        ):
            keying = Keying(fingerprints=(FINGERPRINT,), setup=preferred)
            dtls, media = self.agreed(Negotiation(local(keying=keying)), PRINT, setup)
            self.assertEqual(dtls.active, active, msg=setup)
            self.assertEqual(media.setup, Setup.ACTIVE if active else Setup.PASSIVE)
            self.assertEqual(
                (media.fingerprints, dtls.fingerprints[0].digest), ((FINGERPRINT,), b"\xab" * 32)
            )

    def test_the_ends_of_an_association_stay(self) -> None:
        leg = Negotiation(keyed())
        dtls, _ = self.agreed(leg, PRINT, "setup:active")
        self.assertFalse(dtls.active)
        dtls, media = self.agreed(leg, PRINT, "setup:actpass")
        self.assertEqual((dtls.active, media.setup), (False, Setup.PASSIVE))

    def test_fingerprints_of_the_session_count(self) -> None:
        leg = Negotiation(keyed())
        leg.answer(described(DTLS, top=(PRINT, "a=setup:actpass")))
        assert leg.agreed is not None and leg.agreed.dtls is not None
        self.assertTrue(leg.agreed.dtls.active)

    def test_our_offer(self) -> None:
        keying = Keying(fingerprints=(FINGERPRINT,))
        leg = Negotiation(local(keying=keying, srtp="require", feedback=True))
        offer = leg.offer().media[0]
        self.assertEqual((offer.protocol, offer.setup), ("UDP/TLS/RTP/SAVPF", Setup.ACTPASS))
        for setup, active in (("passive", True), ("active", False), ("actpass", False)):
            agreed = leg.receive_answer(described(DTLS, PRINT, f"setup:{setup}"), final=False)
            assert agreed.dtls is not None
            self.assertEqual(agreed.dtls.active, active)
        self.assertEqual(refusal(leg.receive_answer, described(DTLS), final=False).status, 488)
        self.assertEqual(refusal(leg.receive_answer, described(DTLS, PRINT, "setup:holdconn")).status, 488)

    def test_what_is_refused(self) -> None:
        for leg, lines in (
            (local(), (DTLS, PRINT, "setup:actpass")),
            (keyed(srtp="off"), (DTLS, PRINT, "setup:actpass")),
            (keyed(), (DTLS, PRINT, "setup:holdconn")),
            (keyed(), (DTLS, "fingerprint:sha-256 AB", "setup:actpass")),
        ):
            self.assertEqual(refusal(Negotiation(leg).answer, described(*lines)).status, 488)

    def test_secure_without_a_key_cannot_be_offered(self) -> None:
        error = refusal(Negotiation(local(srtp="require")).offer)
        self.assertEqual((error.status, "nothing to key it with" in error.reason), (488, True))


class IceTests(SynchronousTestCase):
    def test_an_offer_with_ice(self) -> None:
        leg = Negotiation(local(ice=our_ice))
        answer = parse(leg.answer(described(AVP, *ICE, "rtcp-mux")).to_bytes())
        agreed = leg.agreed
        assert agreed is not None and agreed.ice is not None
        self.assertEqual(
            (agreed.ice.ufrag, len(agreed.ice.candidates), agreed.ice_restarted), ("abcd", 1, False)
        )
        self.assertTrue(answer.ice_lite)
        media = answer.media[0]
        self.assertEqual((media.ice_ufrag, len(media.candidates)), ("ours1234", 1))
        self.assertTrue(media.end_of_candidates)

    def test_without_mux_control_packets_have_candidates(self) -> None:
        leg = Negotiation(local(ice=our_ice, rtcp_mux=False))
        self.assertEqual(len(leg.answer(described(AVP, *ICE)).media[0].candidates), 2)

    def test_a_phone_without_ice(self) -> None:
        leg = Negotiation(local(ice=our_ice))
        answer = leg.answer(described(*PHONE))
        assert leg.agreed is not None
        self.assertEqual((leg.agreed.ice, answer.ice_lite, answer.media[0].ice_ufrag), (None, False, None))

    def test_a_leg_without_ice(self) -> None:
        leg = Negotiation(local())
        answer = leg.answer(described(AVP, *ICE))
        assert leg.agreed is not None
        self.assertEqual((leg.agreed.ice, answer.media[0].has("ice-ufrag")), (None, False))

    def test_an_address_that_was_changed_on_the_way(self) -> None:
        leg = Negotiation(local(ice=our_ice))
        answer = leg.answer(described(AVP, *ICE, host="192.0.2.77"))
        assert leg.agreed is not None
        self.assertEqual((leg.agreed.ice, leg.agreed.remote), (None, ("192.0.2.77", 9000)))
        self.assertTrue(answer.media[0].has("ice-mismatch"))
        self.assertFalse(answer.media[0].has("ice-ufrag"))

    def test_an_address_that_will_follow(self) -> None:
        leg = Negotiation(local(ice=our_ice))
        lines = (ICE[0], ICE[1], "ice-options:trickle")
        leg.answer(described("m=audio 9 RTP/AVP 0", *lines, host="0.0.0.0"))
        agreed = leg.agreed
        assert agreed is not None and agreed.ice is not None
        self.assertEqual((agreed.remote, agreed.held, agreed.direction), (None, False, Direction.SENDRECV))
        self.assertEqual((agreed.ice.complete, agreed.ice.candidates), (False, ()))

    def test_restarts(self) -> None:
        leg = Negotiation(local(ice=our_ice))
        leg.answer(described(AVP, *ICE))
        same = leg.answer(described(AVP, *ICE, version=2))
        self.assertEqual(same.media[0].ice_ufrag, "ours1234")
        new = leg.answer(described(AVP, "ice-ufrag:efgh", *ICE[1:], version=3))
        assert leg.agreed is not None
        self.assertEqual((new.media[0].ice_ufrag, leg.agreed.ice_restarted), ("renewed1", True))

    def test_our_offer(self) -> None:
        leg = Negotiation(local(ice=our_ice))
        offer = leg.offer()
        self.assertEqual((offer.ice_lite, offer.media[0].ice_ufrag), (True, "ours1234"))
        self.assertIs(leg.receive_answer(described(AVP), final=False).ice, None)
        self.assertIs(leg.receive_answer(described(AVP, *ICE, "ice-mismatch"), final=False).ice, None)
        agreed = leg.receive_answer(described(AVP, *ICE))
        assert agreed.ice is not None
        self.assertEqual(agreed.ice.pwd, "0123456789abcdef012345")
        self.assertNotIn(agreed.ice.pwd, repr(agreed))

    def test_candidates_are_bounded(self) -> None:
        leg = Negotiation(local(ice=our_ice))
        leg.answer(described(AVP, *ICE, *[ICE[2]] * 500))
        assert leg.agreed is not None and leg.agreed.ice is not None
        self.assertEqual(len(leg.agreed.ice.candidates), 64)
