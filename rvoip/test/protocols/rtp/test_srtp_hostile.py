"""Any octets at all, in place of secure media: dropped and counted, never an error, good packets unharmed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.srtp import SecureLeg, SecureLegs
from rvoip.protocols.rtp.suites import SUITES
from rvoip.test.protocols.rtp.secure import SSRC, key, pair, report, rtp

HEADERS = st.builds(
    lambda first, second, rest: bytes((0x80 | first, second)) + rest,
    st.integers(0, 0x3F),
    st.integers(0, 255),
    st.binary(max_size=120),
)
DATAGRAMS = st.one_of(st.binary(max_size=150), HEADERS)
SUITE = st.sampled_from(list(SUITES.values()))
MKI = st.sampled_from([b"", b"\x01", bytes(128)])
PROFILE = settings(derandomize=True, deadline=None, max_examples=200)


class HostileTests(SynchronousTestCase):
    @PROFILE
    @given(SUITE, MKI, st.lists(DATAGRAMS, max_size=12))
    def test_single_datagrams(self, suite: object, mki: bytes, datagrams: list[bytes]) -> None:
        ours, theirs = pair(suite, mki)  # type: ignore[arg-type]
        for datagram in datagrams:
            self.assertIsNone(theirs.unprotect(datagram))
            self.assertIsNone(theirs.unprotect_control(datagram))
        self.assertEqual(sum(theirs.drops), 2 * len(datagrams))
        self.assertEqual(theirs.unprotect(ours.protect(rtp(1)) or b""), rtp(1))
        self.assertEqual(theirs.unprotect_control(ours.protect_control(report()) or b""), report())

    @PROFILE
    @given(SUITE, MKI, st.lists(DATAGRAMS, max_size=12))
    def test_batches(self, suite: object, mki: bytes, datagrams: list[bytes]) -> None:
        ours, theirs = pair(suite, mki)  # type: ignore[arg-type]
        legs = SecureLegs()
        row = legs.add(theirs)
        good = [ours.protect(rtp(n)) or b"" for n in range(2)]
        sent = [good[0], *datagrams, good[1]]
        buffer = np.zeros((len(sent), 320), np.uint8)
        lengths = np.array([len(datagram) for datagram in sent], np.int32)
        for number, datagram in enumerate(sent):
            buffer[number, : len(datagram)] = np.frombuffer(datagram, np.uint8)
        rows = np.full(len(sent), row)
        self.assertEqual(legs.unprotect(rows, buffer, lengths, np.arange(len(sent))), 2)
        self.assertEqual(buffer[-1, : lengths[-1]].tobytes(), rtp(1))
        self.assertFalse(lengths[1:-1].any())

    @PROFILE
    @given(SUITE, st.integers(0, 200), st.integers(1, 255), st.booleans())
    def test_one_octet_changed(self, suite: object, place: int, change: int, cut: bool) -> None:
        ours, theirs = pair(suite)  # type: ignore[arg-type]
        sealed = ours.protect(rtp(7)) or b""
        place %= len(sealed)
        bad = (
            sealed[:place] if cut else sealed[:place] + bytes((sealed[place] ^ change,)) + sealed[place + 1 :]
        )
        self.assertIsNone(theirs.unprotect(bad))
        self.assertEqual(theirs.unprotect(sealed), rtp(7))

    @PROFILE
    @given(SUITE, st.lists(DATAGRAMS, max_size=12))
    def test_packets_of_ours(self, suite: object, packets: list[bytes]) -> None:
        """What an application hands in to be protected: None, or a datagram that opens to the same."""
        ours, theirs = pair(suite)  # type: ignore[arg-type]
        for packet in packets:
            sealed = ours.protect(packet)
            if sealed is not None and len(packet) > 12:
                opened = theirs.unprotect(sealed)
                self.assertIn(opened, (packet, None))
            control = ours.protect_control(packet)
            if control is not None:
                self.assertEqual(theirs.unprotect_control(control), packet)

    @PROFILE
    @given(st.lists(st.integers(-3000, 3000), max_size=60), st.integers(0, 9 * 65536))
    def test_any_order(self, steps: list[int], start: int) -> None:
        """Of any walk through the sequence numbers, each packet is accepted once, and the window decides."""
        suite = next(iter(SUITES.values()))
        ours = SecureLeg(key(suite), key(suite, "ours"), window=32767)
        theirs = SecureLeg(key(suite, "ours"), key(suite))
        if start > 65536:
            ours.sealer.seek(SSRC, start)
            theirs.opener.seek(SSRC, start)
        highest, index, seen = -1, start + 3000, set()
        for step in steps:
            index = max(index + step, start + 1)
            sealed = ours.protect(rtp(index))
            if index in seen:
                self.assertIsNone(sealed)
                continue
            if highest < 0 and start <= 65536 and index > 65535:
                return  # the counter of a new stream begins at zero
            if sealed is None:
                continue
            seen.add(index)
            highest = max(highest, index)
            if index > highest - 128:
                self.assertEqual(theirs.unprotect(sealed), rtp(index))
            else:
                self.assertIsNone(theirs.unprotect(sealed))
            self.assertIsNone(theirs.unprotect(sealed))
