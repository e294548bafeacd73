"""Telephone events (RFC 4733) and comfort noise (RFC 3389)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.comfort_noise import ComfortNoise, noise_levels
from rvoip.protocols.rtp.errors import RTPBuildError, RTPError
from rvoip.protocols.rtp.telephone_event import (
    EventEnded,
    EventPacket,
    EventReceiver,
    EventSender,
    EventStarted,
    TelephoneEvent,
    read_events,
)

EVENTS = st.builds(
    TelephoneEvent, st.integers(0, 255), st.booleans(), st.integers(0, 63), st.integers(0, 0xFFFF)
)


def drive(sender: EventSender, start: int, polls: int, step: int) -> list[EventPacket]:
    """Poll once a packet interval."""
    packets = []
    for poll in range(polls):
        packets += sender.poll((start + poll * step) & 0xFFFFFFFF)
    return packets


def say(packets: list[EventPacket]) -> list[tuple[int, bool, int, int, bool]]:
    """Event, end, duration, timestamp, marker of each."""
    told = []
    for packet in packets:
        event = TelephoneEvent.parse(packet.payload)
        told.append((event.event, event.end, event.duration, packet.timestamp, packet.marker))
    return told


class PayloadTests(SynchronousTestCase):
    def test_table(self) -> None:
        for octets, event in (
            ("050a00a0", TelephoneEvent(5, False, 10, 160)),
            ("0b8a0320", TelephoneEvent(11, True, 10, 800)),
            ("ffbfffff", TelephoneEvent(255, True, 63, 65535)),
        ):
            self.assertEqual(TelephoneEvent.parse(bytes.fromhex(octets)), event)
            self.assertEqual(event.to_bytes(), bytes.fromhex(octets))
        # The reserved bit is ignored, and so is what follows.
        self.assertEqual(
            TelephoneEvent.parse(bytes.fromhex("054a00a0ffff")), TelephoneEvent(5, False, 10, 160)
        )

    def test_malformed(self) -> None:
        for size in range(4):
            self.assertRaises(RTPError, TelephoneEvent.parse, bytes(size))
        for wrong in (
            TelephoneEvent(256, False, 0, 0),
            TelephoneEvent(0, False, 64, 0),
            TelephoneEvent(0, False, 0, 65536),
            TelephoneEvent(-1, False, 0, 0),
        ):
            self.assertRaises(RTPBuildError, wrong.to_bytes)

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.lists(EVENTS.map(TelephoneEvent.to_bytes) | st.binary(max_size=6), max_size=6))
    def test_columns_agree(self, payloads: list[bytes]) -> None:
        buffer = np.full((len(payloads), 20), 0xA5, np.uint8)
        for row, payload in enumerate(payloads):
            buffer[row, 12 : 12 + len(payload)] = np.frombuffer(payload, np.uint8)
        lengths = np.array([len(payload) for payload in payloads], np.int64)
        event, end, volume, duration, valid = read_events(buffer, np.full(len(payloads), 12), lengths)
        for row, payload in enumerate(payloads):
            self.assertEqual(bool(valid[row]), len(payload) >= 4)
            if valid[row]:
                self.assertEqual(
                    (event[row], bool(end[row]), volume[row], duration[row]), TelephoneEvent.parse(payload)
                )


class SenderTests(SynchronousTestCase):
    def test_one_digit(self) -> None:
        """Beginning with the marker, updates, the end three times (RFC 4733 section 2.5.1)."""
        sender = EventSender()
        sender.digits("5", seconds=0.08)
        self.assertEqual(
            say(drive(sender, 1000, 20, 160)),
            [
                (5, False, 0, 1000, True),
                (5, False, 160, 1000, False),
                (5, False, 320, 1000, False),
                (5, False, 480, 1000, False),
                (5, True, 640, 1000, False),
                (5, True, 640, 1000, False),
                (5, True, 640, 1000, False),
            ],
        )
        self.assertFalse(sender.active)

    def test_each_clock_rate(self) -> None:
        for rate in (8000, 16_000, 24_000, 48_000):
            sender = EventSender(rate)
            sender.digits("#", seconds=0.1)
            packets = say(drive(sender, 0, 20, rate // 50))
            self.assertEqual({packet[2] for packet in packets if packet[1]}, {rate // 10})

    def test_digits_have_gaps(self) -> None:
        sender = EventSender()
        sender.digits("1A*", seconds=0.1, gap=0.1)
        packets = say(drive(sender, 2**32 - 800, 60, 160))
        begins = [packet[3] for packet in packets if packet[4]]
        self.assertEqual([packet[0] for packet in packets if packet[4]], [1, 12, 10])
        self.assertEqual([(second - first) & 0xFFFFFFFF for first, second in pairwise(begins)], [1600] * 2)

    def test_an_event_longer_than_one_packet_can_say(self) -> None:
        """Segments: none is an end but the last, only the first has the marker (section 2.5.1.3)."""
        sender = EventSender(48_000)
        sender.start(3)
        packets = drive(sender, 0, 150, 960)
        sender.stop(150 * 960)
        packets += drive(sender, 150 * 960, 5, 960)
        told = say(packets)
        self.assertEqual(sorted({packet[3] for packet in told}), [0, 65535, 131070])
        self.assertEqual([packet[4] for packet in told].count(True), 1)
        self.assertIn((3, False, 65535, 0, False), told)
        self.assertIn((3, False, 65535, 65535, False), told)
        self.assertEqual(told[-3:], [(3, True, 144_000 - 131_070, 131_070, False)] * 3)
        self.assertEqual(sum(packet[1] for packet in told), 3)
        self.assertLessEqual(max(packet[2] for packet in told), 65535)

    def test_stop(self) -> None:
        sender = EventSender()
        sender.digits("12", seconds=1.0)
        drive(sender, 0, 3, 160)
        sender.stop(480)
        told = say(drive(sender, 480, 10, 160))
        self.assertEqual(told, [(1, True, 480, 0, False)] * 3)

    def test_what_cannot_be_sent(self) -> None:
        sender = EventSender()
        for wrong in ("12X", "é", "\u0661"):
            self.assertRaises(RTPBuildError, sender.digits, wrong)
        self.assertFalse(sender.active)
        self.assertRaises(RTPBuildError, sender.start, 256)
        self.assertRaises(RTPBuildError, sender.digits, "1" * 257)


class ReceiverTests(SynchronousTestCase):
    """Each event is told once."""

    def hear(
        self, packets: list[tuple[int, bool, int, int]], *, rate: int = 8000
    ) -> list[EventStarted | EventEnded]:
        """Event, end, duration, timestamp; 20 ms apart, and half a second of nothing at the end."""
        receiver = EventReceiver(rate)
        told: list[EventStarted | EventEnded] = []
        now = 0.0
        for event, end, duration, timestamp in packets:
            told += receiver.expire(now)
            told += receiver.receive(TelephoneEvent(event, end, 10, duration).to_bytes(), timestamp, now)
            now += 0.02
        told += receiver.expire(now + 0.5)
        self.assertIsNone(receiver.deadline)
        return told

    def test_table(self) -> None:
        started, ended = EventStarted(5, 10), EventEnded(5, 0.06, True)
        whole = [(5, False, 160, 0), (5, False, 320, 0), *[(5, True, 480, 0)] * 3]
        self.assertEqual(self.hear(whole), [started, ended])
        self.assertEqual(self.hear(whole[1:]), [started, ended])  # the beginning was lost
        self.assertEqual(self.hear(whole[-1:]), [started, ended])  # all but one end
        self.assertEqual(self.hear([*whole[:2], whole[1], whole[0], *whole[2:]]), [started, ended])
        self.assertEqual(self.hear([*whole, whole[1]]), [started, ended])  # late
        self.assertEqual(self.hear(whole[:2]), [started, EventEnded(5, 0.04, False)])  # all ends

    def test_the_end_of_one_is_lost_and_another_begins(self) -> None:
        told = self.hear(
            [(1, False, 160, 0), (1, False, 320, 0), (2, False, 160, 1600), (2, True, 320, 1600)]
        )
        self.assertEqual(
            told,
            [EventStarted(1, 10), EventEnded(1, 0.04, False), EventStarted(2, 10), EventEnded(2, 0.04, True)],
        )

    def test_the_same_digit_twice(self) -> None:
        told = self.hear([(1, True, 320, 0), (1, True, 320, 800), (1, True, 320, 800)])
        self.assertEqual(told, [EventStarted(1, 10), EventEnded(1, 0.04, True)] * 2)

    def test_each_clock_rate_and_every_single_loss(self) -> None:
        for rate in (8000, 16_000, 48_000):
            sender = EventSender(rate)
            sender.digits("159D", seconds=0.1, gap=0.06)
            sent = drive(sender, 2**32 - rate // 4, 60, rate // 50)
            for lost in range(len(sent)):
                receiver = EventReceiver(rate)
                told: list[EventStarted | EventEnded] = []
                for place, packet in enumerate(sent):
                    if place != lost:
                        told += receiver.receive(packet.payload, packet.timestamp, 0.02 * place)
                self.assertEqual([one.event for one in told if isinstance(one, EventStarted)], [1, 5, 9, 15])
                self.assertEqual(
                    [one for one in told if isinstance(one, EventEnded)],
                    [EventEnded(event, 0.1, True) for event in (1, 5, 9, 15)],
                )

    def test_segments_are_one_event(self) -> None:
        sender = EventSender(48_000)
        sender.start(3, seconds=3.0)
        sent = drive(sender, 10, 160, 960)
        receiver = EventReceiver(48_000)
        told: list[EventStarted | EventEnded] = []
        for place, packet in enumerate(sent):
            told += receiver.receive(packet.payload, packet.timestamp, 0.02 * place)
        self.assertEqual(told, [EventStarted(3, 10), EventEnded(3, 3.0, True)])

    def test_a_new_stream(self) -> None:
        receiver = EventReceiver()
        receiver.receive(TelephoneEvent(1, False, 10, 160).to_bytes(), 1000, 0.0)
        self.assertEqual(receiver.reset(), [EventEnded(1, 0.02, False)])
        self.assertEqual(
            receiver.receive(TelephoneEvent(1, False, 10, 160).to_bytes(), 900, 0.0), [EventStarted(1, 10)]
        )

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(
            st.tuples(EVENTS, st.sampled_from((0, 160, 480, 65535, 2**31, 2**32 - 1)), st.floats(0, 0.3)),
            max_size=25,
        )
    )
    def test_whatever_comes_starts_and_ends_take_turns(
        self, packets: list[tuple[TelephoneEvent, int, float]]
    ) -> None:
        receiver, now = EventReceiver(), 0.0
        told: list[EventStarted | EventEnded] = []
        for event, timestamp, wait in packets:
            now += wait
            told += receiver.expire(now)
            told += receiver.receive(event.to_bytes(), timestamp, now)
        told += receiver.expire(now + 1)
        self.assertEqual(len(told) % 2, 0)
        for start, end in zip(told[::2], told[1::2], strict=True):
            assert isinstance(start, EventStarted)
            assert isinstance(end, EventEnded)
            self.assertEqual(start.event, end.event)


class ComfortNoiseTests(SynchronousTestCase):
    def test_table(self) -> None:
        for octets, noise in (
            ("40", ComfortNoise(64)),
            ("00", ComfortNoise(0)),
            ("7f7f", ComfortNoise(127, (0.0,))),
            ("3a00fe", ComfortNoise(58, (-127 * 258 / 32768, 127 * 258 / 32768))),
        ):
            self.assertEqual(ComfortNoise.parse(bytes.fromhex(octets)), noise)
            self.assertEqual(noise.to_bytes(), bytes.fromhex(octets))
        self.assertEqual(ComfortNoise.parse(b"\xc0").level, 64)  # the first bit is 0, and ignored

    def test_malformed(self) -> None:
        self.assertRaises(RTPError, ComfortNoise.parse, b"")
        self.assertRaises(RTPError, ComfortNoise.parse, b"\x40\xff")
        for wrong in (
            ComfortNoise(128),
            ComfortNoise(-1),
            ComfortNoise(0, (1.0,)),
            ComfortNoise(0, (0.0,) * 33),
        ):
            self.assertRaises(RTPBuildError, wrong.to_bytes)

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.integers(0, 127), st.lists(st.integers(0, 254), max_size=32))
    def test_round_trip(self, level: int, indices: list[int]) -> None:
        octets = bytes((level, *indices))
        self.assertEqual(ComfortNoise.parse(octets).to_bytes(), octets)

    def test_levels(self) -> None:
        audio = np.zeros((4, 160), np.int16)
        audio[0] = -32768
        audio[1, ::2], audio[1, 1::2] = 3277, -3277
        audio[2] = 1
        self.assertEqual(noise_levels(audio).tolist(), [0, 20, 90, 127])
