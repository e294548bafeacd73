"""SecureLegs: what a batch does to datagrams is what a leg does to each of them."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.errors import RTPBuildError
from rvoip.protocols.rtp.srtp import Drops, Reason, SecureLegs
from rvoip.protocols.rtp.suites import AES_CM_128_HMAC_SHA1_80, SUITES
from rvoip.test.protocols.rtp.secure import SSRC, key, pair, report, rtp

SLOT = 256


def columns(datagrams: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """A buffer with these datagrams, and their lengths. What is behind them is not zero."""
    buffer = np.full((len(datagrams), SLOT), 0xEE, np.uint8)
    lengths = np.array([len(datagram) for datagram in datagrams], np.int32)
    for row, datagram in enumerate(datagrams):
        buffer[row, : len(datagram)] = np.frombuffer(datagram, np.uint8)
    return buffer, lengths


def datagrams(buffer: NDArray[np.uint8], lengths: NDArray[np.int32]) -> list[bytes]:
    """The datagrams of a buffer."""
    return [buffer[row, :length].tobytes() for row, length in enumerate(lengths.tolist())]


class BatchTests(SynchronousTestCase):
    def test_batches_and_single_packets_agree(self) -> None:
        """Legs of all suites, with and without MKI, one in the middle of a new key; damage and replays."""
        numbers = random.Random(5)
        batch, single = SecureLegs(), []
        senders = []
        for suite in SUITES.values():
            for mki in (b"", b"\x01"):
                ours, theirs = pair(suite, mki)
                _, again = pair(suite, mki)
                senders.append(ours)
                batch.add(theirs)
                single.append(again)
        for leg in (senders[0], senders[3]):
            leg.rekey_send(key(leg.sealer.key.suite, "second"))
        for at in (0, 3):
            batch[at].rekey_receive(key(batch[at].opener.key.suite, "second"))
            single[at].rekey_receive(key(single[at].opener.key.suite, "second"))
        for tick in range(30):
            rows, sent = [], []
            for _ in range(50):
                row = numbers.randrange(len(senders))
                packet = senders[row].protect(rtp(tick * 50 + numbers.randrange(50), SSRC + row % 3))
                if packet is None:
                    continue
                if numbers.random() < 0.2:
                    place = numbers.randrange(len(packet))
                    packet = packet[:place] + bytes((packet[place] ^ 0x80,)) + packet[place + 1 :]
                if numbers.random() < 0.1:
                    packet = packet[: numbers.randrange(len(packet) + 1)]
                rows.append(row)
                sent.append(packet)
                if numbers.random() < 0.2:
                    rows.append(row)
                    sent.append(packet)
            buffer, lengths = columns(sent)
            left = batch.unprotect(np.array(rows), buffer, lengths, np.arange(len(rows)))
            expected = [single[row].unprotect(packet) or b"" for row, packet in zip(rows, sent)]
            self.assertEqual(datagrams(buffer, lengths), expected)
            self.assertEqual(left, sum(map(bool, expected)))
        for row, leg in enumerate(single):
            self.assertEqual(leg.dropped, batch[row].dropped)
            self.assertEqual(leg.opener.streams, batch[row].opener.streams)
            self.assertGreater(sum(leg.drops), 0)

    def test_what_is_sent_agrees_too(self) -> None:
        batch, single, receivers = SecureLegs(), [], []
        for suite in SUITES.values():
            for mki in (b"", b"\x01\x02"):
                ours, theirs = pair(suite, mki)
                batch.add(ours)
                single.append(pair(suite, mki)[0])
                receivers.append(theirs)
        for sequence in range(5):
            rows = list(range(len(single))) * 2  # the second time it is a packet that was sent before
            packets = [rtp(sequence, SSRC + row) for row in rows]
            buffer, lengths = columns(packets)
            batch.protect(np.array(rows), buffer, lengths, np.arange(len(rows)))
            expected = [single[row].protect(packet) or b"" for row, packet in zip(rows, packets)]
            self.assertEqual(datagrams(buffer, lengths), expected)
            self.assertEqual([bool(one) for one in expected], [True] * len(single) + [False] * len(single))
            for row, packet in zip(rows[: len(single)], expected):
                self.assertEqual(receivers[row].unprotect(packet), rtp(sequence, SSRC + row))
        for row, leg in enumerate(single):
            self.assertEqual(leg.send_drops, batch[row].send_drops)
            self.assertEqual((leg.sealer.left, leg.sealer.streams), (2**48 - 5, batch[row].sealer.streams))

    def test_reports(self) -> None:
        ours, theirs = pair(AES_CM_128_HMAC_SHA1_80)
        sending, receiving = SecureLegs(), SecureLegs()
        sending.add(ours)
        receiving.add(theirs)
        buffer, lengths = columns([report(number=1), b"\x80", report(number=2)])
        rows, at = np.zeros(3, np.intp), np.arange(3)
        self.assertEqual(sending.protect_control(rows, buffer, lengths, at), 2)
        self.assertEqual(receiving.unprotect_control(rows, buffer, lengths, at), 2)
        self.assertEqual(datagrams(buffer, lengths), [report(number=1), b"", report(number=2)])

    def test_only_the_datagrams_that_are_named(self) -> None:
        ours, theirs = pair(AES_CM_128_HMAC_SHA1_80)
        legs = SecureLegs()
        row = legs.add(theirs)
        sealed = [ours.protect(rtp(n)) or b"" for n in range(4)]
        buffer, lengths = columns(sealed)
        self.assertEqual(legs.unprotect(np.array([row, row]), buffer, lengths, np.array([3, 1])), 2)
        self.assertEqual(datagrams(buffer, lengths), [sealed[0], rtp(1), sealed[2], rtp(3)])
        empty = np.zeros(0, np.intp)
        self.assertEqual(legs.unprotect(empty, buffer, lengths, empty), 0)

    def test_no_room_to_grow(self) -> None:
        """A packet that would grow over the end of its slot is not touched, nor the slot behind it."""
        ours, _ = pair(AES_CM_128_HMAC_SHA1_80)
        legs = SecureLegs()
        row = legs.add(ours)
        long = rtp(1, payload=bytes(SLOT - 12 - 13))
        buffer, lengths = columns([rtp(0), long, rtp(2)])
        rows = np.full(3, row)
        self.assertEqual(legs.protect(rows, buffer, lengths, np.arange(3)), 2)
        self.assertEqual(lengths.tolist(), [182, 0, 182])
        self.assertTrue((buffer[1, len(long) :] == 0xEE).all())
        self.assertEqual(ours.send_drops[Reason.MALFORMED], 1)

    def test_lengths_that_lie(self) -> None:
        ours, theirs = pair(AES_CM_128_HMAC_SHA1_80)
        legs = SecureLegs()
        sender, receiver = legs.add(ours), legs.add(theirs)
        for length in (-1, -(2**31), SLOT + 1, 2**31 - 1, 0, 11):
            for call, row in ((legs.protect, sender), (legs.unprotect, receiver)):
                buffer, lengths = columns([rtp(0)])
                lengths[0] = length
                self.assertEqual(call(np.array([row]), buffer, lengths, np.arange(1)), 0)
                self.assertEqual(lengths[0], 0)

    def test_rows_come_and_go(self) -> None:
        ours, theirs = pair(AES_CM_128_HMAC_SHA1_80)
        legs = SecureLegs()
        first, second = legs.add(theirs), legs.add(pair(AES_CM_128_HMAC_SHA1_80)[0])
        self.assertEqual((len(legs), legs.remove(first) is theirs), (2, True))
        self.assertRaises(KeyError, legs.remove, first)
        buffer, lengths = columns([ours.protect(rtp(0)) or b"", report()])
        rows = np.array([first, first])
        self.assertEqual(legs.unprotect(rows, buffer, lengths, np.arange(2)), 0)
        self.assertEqual(legs.unprotect_control(rows, buffer, lengths, np.arange(2)), 0)
        self.assertEqual(lengths.tolist(), [0, 0])
        self.assertEqual(legs.add(theirs), first)
        self.assertNotEqual(first, second)
        self.assertEqual(theirs.dropped, Drops())

    def test_columns_of_a_wrong_shape(self) -> None:
        legs = SecureLegs()
        row, at = np.zeros(1, np.intp), np.zeros(1, np.intp)
        good, lengths = columns([rtp(0)])
        for buffer in (good[0], good[:, ::2], good.astype(np.int16), good[:, :8].copy()):
            self.assertRaises(RTPBuildError, legs.unprotect, row, buffer, lengths, at)
        for bad in (lengths.astype(np.int64), np.zeros(2, np.int32)):
            self.assertRaises(RTPBuildError, legs.protect, row, good, bad, at)
