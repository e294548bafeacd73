"""SecureLeg: both directions, keys that change, sources that come and go, counters that wrap or were lost."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.errors import RTPBuildError
from rvoip.protocols.rtp.rollover import estimate
from rvoip.protocols.rtp.srtp import Drops, Reason, SecureLeg
from rvoip.protocols.rtp.suites import (
    AEAD_AES_128_GCM,
    AES_CM_128_HMAC_SHA1_32,
    AES_CM_128_HMAC_SHA1_80,
    SUITES,
    MasterKey,
)
from rvoip.test.protocols.rtp.secure import SSRC, key, pair, report, rtp

BOTH = (AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM)
"""One suite of each kind."""


class SuiteTests(SynchronousTestCase):
    def test_every_suite_both_ways(self) -> None:
        for suite in SUITES.values():
            ours, theirs = pair(suite)
            for sequence in (0, 1, 2):
                sealed = ours.protect(rtp(sequence))
                assert sealed is not None
                self.assertEqual(len(sealed), len(rtp(0)) + suite.tag)
                self.assertNotIn(b"\xd5" * 16, sealed)
                self.assertEqual(theirs.unprotect(sealed), rtp(sequence), suite.name)
                self.assertEqual(ours.unprotect(theirs.protect(rtp(sequence)) or b""), rtp(sequence))
                control = ours.protect_control(report(number=sequence))
                assert control is not None
                self.assertEqual(len(control), len(report()) + suite.control_tag + 4)
                self.assertEqual(theirs.unprotect_control(control), report(number=sequence))
            self.assertEqual(theirs.dropped, Drops())

    def test_a_key_says_nothing_of_itself(self) -> None:
        one = key(AEAD_AES_128_GCM)
        self.assertEqual(repr(one), f"MasterKey(AEAD_AES_128_GCM, ..., mki=None, lifetime={2**48})")
        self.assertEqual(one.material, one.key + one.salt)

    def test_keys_of_a_wrong_length(self) -> None:
        for suite in SUITES.values():
            for material in (bytes(suite.length - 1), bytes(suite.length + 1), b""):
                self.assertRaises(RTPBuildError, MasterKey.cut, suite, material)
        good = bytes(AEAD_AES_128_GCM.length)
        self.assertRaises(RTPBuildError, MasterKey.cut, AEAD_AES_128_GCM, good, bytes(129))
        for lifetime in (0, -1, 2**48 + 1):
            self.assertRaises(RTPBuildError, MasterKey.cut, AEAD_AES_128_GCM, good, b"", lifetime)

    def test_a_leg_that_cannot_be(self) -> None:
        one = key(AEAD_AES_128_GCM)
        self.assertRaises(RTPBuildError, SecureLeg, [], one)
        self.assertRaises(RTPBuildError, SecureLeg, [one, one], one)
        self.assertRaises(RTPBuildError, SecureLeg, one, one, window=63)
        self.assertRaises(RTPBuildError, SecureLeg, one, one, window=32768)


class DropTests(SynchronousTestCase):
    """Row 25 of what is promised: bad packets are dropped and counted, and good ones still come through."""

    def test_a_thousand_bad_tags_between_good_packets(self) -> None:
        for suite in SUITES.values():
            ours, theirs = pair(suite)
            for sequence in range(1000):
                sealed = ours.protect(rtp(sequence)) or b""
                bad = sealed[:-1] + bytes((sealed[-1] ^ 1,))
                self.assertIsNone(theirs.unprotect(bad))
                self.assertEqual(theirs.unprotect(sealed), rtp(sequence))
            self.assertEqual(theirs.dropped, Drops(auth=1000))

    def test_replays(self) -> None:
        for suite in BOTH:
            ours, theirs = pair(suite)
            sealed = [ours.protect(rtp(sequence)) or b"" for sequence in range(300)]
            for packet in sealed:
                self.assertIsNotNone(theirs.unprotect(packet))
            for packet in sealed:
                self.assertIsNone(theirs.unprotect(packet))
            self.assertEqual(theirs.dropped, Drops(replay=300))
            control = ours.protect_control(report()) or b""
            self.assertIsNotNone(theirs.unprotect_control(control))
            self.assertIsNone(theirs.unprotect_control(control))
            self.assertEqual(theirs.dropped, Drops(replay=301))

    def test_out_of_order_within_the_window(self) -> None:
        for suite in BOTH:
            ours, theirs = pair(suite, window=256)
            sealed = [ours.protect(rtp(sequence)) or b"" for sequence in range(300)]
            self.assertIsNotNone(theirs.unprotect(sealed[0]))
            self.assertIsNotNone(theirs.unprotect(sealed[299]))
            for sequence in range(298, 44, -1):
                self.assertEqual(theirs.unprotect(sealed[sequence]), rtp(sequence))
            self.assertIsNone(theirs.unprotect(sealed[30]))
            self.assertEqual(theirs.dropped, Drops(replay=1))

    def test_malformed(self) -> None:
        ours, theirs = pair(AES_CM_128_HMAC_SHA1_80)
        sealed = ours.protect(rtp(0)) or b""
        bad = [b"", b"\x80", sealed[:12], b"\x00" + sealed[1:], b"\xc0" + sealed[1:], bytes(65536)]
        for datagram in bad:
            self.assertIsNone(theirs.unprotect(datagram))
            self.assertIsNone(theirs.unprotect_control(datagram))
        self.assertEqual(theirs.dropped, Drops(malformed=2 * len(bad)))
        # more sources and more extension than there are octets
        for first in (0x8F, 0x90, 0x9F):
            self.assertIsNone(theirs.unprotect(bytes((first,)) + sealed[1:12] + b"\xff" * 20))
        self.assertEqual(sum(theirs.drops), 2 * len(bad) + 3)
        self.assertEqual(theirs.unprotect(sealed), rtp(0))

    def test_malformed_packets_of_ours(self) -> None:
        ours, _ = pair(AES_CM_128_HMAC_SHA1_80)
        for packet in (b"", b"\x80" * 11, b"\x00" * 40, b"\x80" * 65500):
            self.assertIsNone(ours.protect(packet))
            self.assertIsNone(ours.protect_control(packet[:7] if packet[:1] == b"\x80" else packet))
        self.assertIsNotNone(ours.protect(rtp(5)))
        self.assertIsNone(ours.protect(rtp(5)))
        self.assertEqual(ours.send_drops[Reason.MALFORMED], 8)
        self.assertEqual(ours.send_drops[Reason.REPLAY], 1)

    def test_sources_are_bounded(self) -> None:
        for suite in BOTH:
            ours, theirs = pair(suite, max_sources=8)
            sealed = [ours.protect(rtp(1, ssrc)) for ssrc in range(9)]
            self.assertEqual([packet is None for packet in sealed], [False] * 8 + [True])
            self.assertEqual(ours.send_drops[Reason.SOURCES], 1)
            self.assertIsNone(ours.protect_control(report(99)))
            other, _ = pair(suite)
            for ssrc in range(20):
                opened = theirs.unprotect(other.protect(rtp(1, ssrc)) or b"")
                self.assertEqual(opened is not None, ssrc < 8)
            self.assertIsNone(theirs.unprotect_control(other.protect_control(report(99)) or b""))
            self.assertEqual(theirs.dropped, Drops(sources=13))

    def test_forged_sources_take_no_place(self) -> None:
        ours, theirs = pair(AEAD_AES_128_GCM, max_sources=8)
        for ssrc in range(1000, 3000):
            self.assertIsNone(theirs.unprotect(rtp(1, ssrc)))
        self.assertEqual(theirs.opener.streams, {})
        self.assertEqual((len(theirs.opener._strangers), theirs.opener._failures), (32, {}))
        self.assertEqual(theirs.unprotect(ours.protect(rtp(1)) or b""), rtp(1))

    def test_a_key_that_has_lived(self) -> None:
        suite = AES_CM_128_HMAC_SHA1_80
        ours = SecureLeg(key(suite, "theirs"), key(suite, "ours", lifetime=3))
        self.assertEqual([ours.protect(rtp(n)) is None for n in range(5)], [False] * 3 + [True] * 2)
        self.assertEqual((ours.sealer.left, ours.send_drops[Reason.EXPIRED]), (0, 2))
        ours.rekey_send(key(suite, "next"))
        self.assertIsNotNone(ours.protect(rtp(5)))


class RolloverTests(SynchronousTestCase):
    """The counter above the sequence number."""

    def test_estimates(self) -> None:
        table = [
            # last, sequence, index
            (0, 0, 0),
            (0, 65535, 65535),
            (0x8000, 0, 0),
            (0x8001, 0, 0x10000),
            (0x8001, 1, 1),
            (65535, 0, 65536),
            (65536, 65535, 65535),
            (65536 + 0x7FFF, 65535, 2 * 65536 - 1),
            (65536 + 0x7FFE, 65535, 65535),
            (0x5FFFF, 5, 0x60005),
            (0x60005, 0xFFFF, 0x5FFFF),
        ]
        for last, sequence, index in table:
            self.assertEqual(estimate(last, sequence), index, (last, sequence))

    def test_many_rounds(self) -> None:
        for suite in BOTH:
            ours, theirs = pair(suite)
            for index in range(0, 5 * 65536, 1021):
                sealed = ours.protect(rtp(index)) or b""
                self.assertEqual(theirs.unprotect(sealed), rtp(index))
            self.assertEqual(theirs.opener.streams[SSRC], index)
            self.assertEqual(theirs.dropped, Drops())

    def test_out_of_order_over_the_wrap(self) -> None:
        for suite in BOTH:
            ours, theirs = pair(suite)
            sealed = {index: ours.protect(rtp(index)) or b"" for index in range(65530, 65542)}
            for index in (65530, 65537, 65534, 65536, 65535, 65531, 65541, 65532):
                self.assertEqual(theirs.unprotect(sealed[index]), rtp(index), index)
            self.assertIsNone(theirs.unprotect(sealed[65534]))
            self.assertEqual(theirs.dropped, Drops(replay=1))

    def test_the_first_packet_comes_after_the_wrap(self) -> None:
        """The one before was overtaken: the counter of the sender is one already."""
        ours, theirs = pair(AES_CM_128_HMAC_SHA1_80)
        ours.protect(rtp(65535))
        opened = [theirs.unprotect(ours.protect(rtp(65536 + n)) or b"") is not None for n in range(10)]
        self.assertEqual(opened, [False] * 4 + [True] * 6)

    def test_late_join(self) -> None:
        """Who hears a source for the first time after many rounds finds its counter in a few packets."""
        for suite in SUITES.values():
            ours, theirs = pair(suite)
            ours.sealer.seek(SSRC, 40 * 65536 + 77)
            opened = [theirs.unprotect(ours.protect(rtp(n)) or b"") is not None for n in range(78, 98)]
            self.assertEqual(opened, [False] * 4 + [True] * 16, suite.name)
            self.assertEqual(theirs.opener.streams[SSRC], 40 * 65536 + 97)

    def test_a_sender_that_was_restarted_goes_on(self) -> None:
        for suite in BOTH:
            ours, theirs = pair(suite)
            for index in range(0, 3 * 65536, 4096):
                self.assertIsNotNone(theirs.unprotect(ours.protect(rtp(index)) or b""))
            again, _ = pair(suite)
            again.sealer.seek(SSRC, index + 100)
            self.assertEqual(theirs.unprotect(again.protect(rtp(index + 101)) or b""), rtp(index + 101))

    def test_more_lost_than_can_be_reckoned(self) -> None:
        for suite in BOTH:
            for lost in (32_000, 40_000, 60_000, 70_000, 600_000):
                ours, theirs = pair(suite)
                self.assertIsNotNone(theirs.unprotect(ours.protect(rtp(60_000)) or b""))
                ours.sealer.seek(SSRC, 60_000 + lost)
                good = [
                    theirs.unprotect(ours.protect(rtp(60_001 + lost + n)) or b"") is not None
                    for n in range(12)
                ]
                self.assertTrue(all(good[4:]), (suite.name, lost, good))

    def test_a_recording_of_an_earlier_round_stays_a_replay(self) -> None:
        """However often it is sent: nothing goes back, and the live stream is not disturbed."""
        for suite in BOTH:
            ours, theirs = pair(suite)
            recorded = [ours.protect(rtp(n)) or b"" for n in range(100)]
            controls = [ours.protect_control(report(number=n)) or b"" for n in range(10)]
            for packet in recorded:
                theirs.unprotect(packet)
            for packet in controls:
                self.assertIsNotNone(theirs.unprotect_control(packet))
            ours.sealer.seek(SSRC, 20 * 65536 + 50)
            live = [ours.protect(rtp(20 * 65536 + 51 + n)) or b"" for n in range(500)]
            accepted = 0
            for number, packet in enumerate(live):
                accepted += theirs.unprotect(packet) is not None
                for _ in range(3):
                    self.assertIsNone(theirs.unprotect(recorded[number % 100]))
            self.assertGreaterEqual(accepted, 490)
            for packet in controls:
                self.assertIsNone(theirs.unprotect_control(packet))

    def test_beyond_what_can_be_reached(self) -> None:
        ours, theirs = pair(AES_CM_128_HMAC_SHA1_80)
        self.assertRaises(ValueError, ours.sealer.seek, SSRC, 2**32)
        self.assertRaises(ValueError, theirs.opener.seek, SSRC, 2**32)


class RekeyTests(SynchronousTestCase):
    def test_nothing_is_lost(self) -> None:
        """Packets under way with the old key and with the new one, in any order, all count."""
        for suite in BOTH:
            ours, theirs = pair(suite)
            old = [ours.protect(rtp(n)) or b"" for n in range(20)]
            for packet in old[:10]:
                self.assertIsNotNone(theirs.unprotect(packet))
            ours.rekey_send(key(suite, "second"))
            new = [ours.protect(rtp(n)) or b"" for n in range(20, 40)]
            theirs.rekey_receive(key(suite, "second"))
            for n in range(10):
                self.assertEqual(theirs.unprotect(old[10 + n]), rtp(10 + n))
                self.assertEqual(theirs.unprotect(new[n]), rtp(20 + n))
            self.assertEqual(theirs.dropped, Drops())
            for packet in old:
                self.assertIsNone(theirs.unprotect(packet))
            self.assertEqual(theirs.unprotect(new[10]), rtp(30))

    def test_the_old_key_is_forgotten(self) -> None:
        suite = AES_CM_128_HMAC_SHA1_80
        for settle in (True, False):
            ours, theirs = pair(suite)
            late = ours.protect(rtp(0)) or b""
            ours.rekey_send(key(suite, "second"))
            theirs.rekey_receive(key(suite, "second"))
            self.assertIsNone(theirs.native)
            for n in range(1 if settle else 256):
                self.assertIsNotNone(theirs.unprotect(ours.protect(rtp(n + 1)) or b""))
            if settle:
                theirs.settle()
            self.assertIsNotNone(theirs.native)
            self.assertIsNone(theirs.unprotect(late))

    def test_the_counter_goes_on_or_begins_again(self) -> None:
        """RFC 3711 section 3.3.1 says that it goes on; a peer that begins again is understood too."""
        for suite in BOTH:
            for keep in (True, False):
                ours, theirs = pair(suite)
                for index in range(0, 3 * 65536, 4096):
                    self.assertIsNotNone(theirs.unprotect(ours.protect(rtp(index)) or b""))
                ours.rekey_send(key(suite, "second"), keep_rollover=keep)
                theirs.rekey_receive(key(suite, "second"))
                for n in range(index + 1, index + 50):
                    self.assertEqual(theirs.unprotect(ours.protect(rtp(n)) or b""), rtp(n), (keep, n))
                self.assertEqual(theirs.opener.streams[SSRC] >> 16, 2 if keep else 0)

    def test_a_new_suite(self) -> None:
        ours, theirs = pair(AES_CM_128_HMAC_SHA1_32)
        late = ours.protect(rtp(0)) or b""
        ours.rekey_send(key(AEAD_AES_128_GCM, "second"))
        theirs.rekey_receive(key(AEAD_AES_128_GCM, "second"))
        self.assertEqual(theirs.unprotect(ours.protect(rtp(1)) or b""), rtp(1))
        self.assertEqual(theirs.unprotect(late), rtp(0))

    def test_keys_kept_are_few(self) -> None:
        suite = AES_CM_128_HMAC_SHA1_80
        _, theirs = pair(suite)
        for number in range(50):
            theirs.rekey_receive(key(suite, str(number)))
        self.assertEqual(len(theirs.openers), 3)

    def test_what_is_known_of_sources_is_bounded(self) -> None:
        suite = AES_CM_128_HMAC_SHA1_80
        ours, theirs = pair(suite, max_sources=8)
        for turn in range(10):
            for ssrc in range(8):
                sealed = ours.protect(rtp(turn, 100 * turn + ssrc)) or b""
                self.assertIsNotNone(theirs.unprotect(sealed))
            ours.rekey_send(key(suite, str(turn)))
            theirs.rekey_receive(key(suite, str(turn)))
        self.assertEqual(sorted(theirs.opener.hints), [900 + ssrc for ssrc in range(8)])

    def test_identifiers(self) -> None:
        """With an MKI, each packet says its key, and several are known from the beginning."""
        for suite in SUITES.values():
            keys = [key(suite, str(n), bytes((0, n))) for n in range(3)]
            theirs = SecureLeg(keys, key(suite))
            ours = SecureLeg(key(suite), keys[0])
            for n, one in enumerate(keys):
                ours.rekey_send(one)
                sealed = ours.protect(rtp(n)) or b""
                self.assertEqual(len(sealed), len(rtp(n)) + suite.tag + 2)
                self.assertEqual(theirs.unprotect(sealed), rtp(n))
                control = ours.protect_control(report()) or b""
                self.assertEqual(len(control), len(report()) + suite.control_tag + 6)
                self.assertEqual(theirs.unprotect_control(control), report())
            ours.rekey_send(key(suite, "0", b"\x07\x07"))
            self.assertIsNone(theirs.unprotect(ours.protect(rtp(9)) or b""))
            self.assertIsNone(theirs.unprotect(b"\x80" + b"\xff" * 12))
            self.assertEqual(theirs.dropped, Drops(auth=2))
