"""The jitter buffer: beside a plain model, many rows beside one, and what a call needs of it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.jitter import (
    DTX,
    FRAME,
    HELD,
    LATE,
    LOST,
    NOTHING,
    JitterBuffers,
    JitterLimits,
)
from rvoip.protocols.rtp.jitter_stream import JitterBuffer, JitterFrame
from rvoip.protocols.rtp.packet import RTPPacket
from rvoip.test.protocols.rtp.jitter_model import Model

SECONDS = st.sampled_from((0.0, 0.001, 0.005, 0.02, 0.06, 0.15, 0.3, 0.7))

# How the sender goes on (packets skipped, samples skipped, samples of a packet, another SSRC), and how long
# the
# packet takes.
STEPS = st.tuples(
    st.sampled_from((1, 1, 1, 1, 1, 1, 2, 3, 30, 40, 5000, 0, -1, -3, -60)),
    st.sampled_from((0, 0, 0, 0, 0, 0, 0, 0, 160, 800, 16_000, 10_000_000, -80)),
    st.sampled_from((160, 160, 160, 80, 240, 320, 480, 20, 1)),
    st.sampled_from((False,) * 20 + (True,)),
    SECONDS,
)


def stream(
    index: int, *, samples: int = 160, ssrc: int = 7, sequence: int = 65_530, timestamp: int = 2**32 - 400
) -> RTPPacket:
    """Packet `index` of a stream whose numbers wrap soon."""
    return RTPPacket(
        0,
        (sequence + index) & 0xFFFF,
        (timestamp + index * samples) & 0xFFFFFFFF,
        ssrc,
        bytes((index & 0xFF,)) * 8,
    )


def run(
    buffer: JitterBuffer, arrivals: list[tuple[float, RTPPacket]], ticks: int, *, samples: int = 160
) -> list[JitterFrame]:
    """Push what came and pull every 20 ms, from time 0.01 on."""
    waiting = sorted(arrivals, key=lambda arrival: arrival[0])
    frames = []
    for tick in range(ticks):
        now = 0.01 + 0.02 * tick
        while waiting and waiting[0][0] <= now:
            came, packet = waiting.pop(0)
            buffer.push(packet, came, samples=samples)
        frames += buffer.pull(160, now)
    return frames


def states(frames: list[JitterFrame]) -> list[int]:
    return [frame.state for frame in frames]


class ModelTests(SynchronousTestCase):
    """The arrays do what the model says."""

    @settings(derandomize=True, deadline=None, max_examples=250)
    @given(st.lists(st.tuples(STEPS, st.integers(0, 3), st.booleans()), min_size=1, max_size=60))
    def test_as_the_model(self, steps: list[tuple[Any, int, bool]]) -> None:
        buffer = JitterBuffer(8000, slots=8)
        model = Model(8000, 8)
        now, sequence, timestamp, ssrc = 100.0, 65_530, 2**32 - 800, 1
        for (ahead, gap, samples, other, wait), pulls, quiet in steps:
            sequence = (sequence + ahead) & 0xFFFF
            timestamp = (timestamp + ahead * 160 + gap) & 0xFFFFFFFF
            ssrc += other
            now += wait
            packet = RTPPacket(0, sequence, timestamp, ssrc, bytes(1 + samples % 9), quiet)
            self.assertEqual(
                buffer.push(packet, now, samples=samples), model.push(packet, now, samples), packet
            )
            for _ in range(pulls):
                now += 0.02
                self.assertEqual(buffer.pull(160, now, quiet=quiet), model.pull(160, now, quiet))
            for name, count in model.counts.items():
                self.assertEqual(int(getattr(buffer.columns, name)[0]), count, name)
            self.assertEqual(buffer.waiting, len(model.packets))
            self.assertLessEqual(buffer.waiting, 8)

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(st.integers(0, 2**32), st.integers(2, 5), st.sampled_from((0.0, 0.05, 0.2)))
    def test_many_rows_as_each_alone(self, seed: int, rows: int, jitter: float) -> None:
        """Several packets of a row may come in one batch, in any order, beside those of others."""
        draw = random.Random(seed)
        together = JitterBuffers(1)
        alone = [JitterBuffer(8000, octets=320) for _ in range(rows)]
        for _ in range(rows):
            together.open(together.add(), 8000)
        coming = sorted(
            (index * 0.02 + draw.random() * jitter, row, index)
            for index in range(40)
            for row in range(rows)
            if draw.random() > 0.1
        )
        for tick in range(45):
            now = 0.02 * tick
            batch = []
            while coming and coming[0][0] <= now:
                batch.append(coming.pop(0))
            packets = [stream(index, ssrc=row) for _, row, index in batch]
            which = np.array([row for _, row, _ in batch], np.int64)
            octets = np.zeros((len(batch), 20), np.uint8)
            for place, packet in enumerate(packets):
                octets[place, 12:] = np.frombuffer(packet.payload, np.uint8)
            taken = together.push(
                which,
                which,
                np.array([packet.sequence for packet in packets], np.uint16),
                np.array([packet.timestamp for packet in packets], np.uint32),
                np.zeros(len(batch), np.uint8),
                np.zeros(len(batch), bool),
                octets,
                np.full(len(batch), 12),
                np.full(len(batch), 8),
                np.array([came for came, _, _ in batch]),
            )
            for (came, row, _), packet, was in zip(batch, packets, taken, strict=True):
                self.assertEqual(alone[row].push(packet, came), was)
            pulled = together.pull(np.arange(rows), 160, now)
            self.assertFalse(pulled.more.any())
            for row in range(rows):
                frames = alone[row].pull(160, now)
                self.assertEqual(states(frames) or [HELD], [pulled.state[row]])
                if pulled.state[row] == FRAME:
                    size = pulled.length[row]
                    self.assertEqual(frames[0].payload, pulled.payload[row, :size].tobytes())
                    self.assertEqual(frames[0].timestamp, pulled.timestamp[row])


class CallTests(SynchronousTestCase):
    """What is heard of a call."""

    def test_an_even_stream_is_played_as_it_was_sent(self) -> None:
        buffer = JitterBuffer(8000)
        frames = run(buffer, [(0.02 * index, stream(index)) for index in range(50)], 50)
        self.assertEqual(Counter(states(frames)), {FRAME: 48, NOTHING: 2})
        self.assertEqual([frame.payload[0] for frame in frames if frame.state == FRAME], list(range(48)))
        self.assertEqual(frames[2].timestamp, 2**32 - 400)
        self.assertEqual(frames[5].timestamp, 80)
        self.assertLess(buffer.delay(0.99), 0.08)

    def test_reordered_and_duplicate_packets(self) -> None:
        order = [0, 1, 3, 2, 2, 5, 4, 6, 6, 7]
        buffer = JitterBuffer(8000)
        frames = run(buffer, [(0.018 * place, stream(index)) for place, index in enumerate(order)], 12)
        self.assertEqual([frame.payload[0] for frame in frames if frame.state == FRAME], list(range(8)))
        self.assertNotIn(LOST, states(frames))
        self.assertEqual(int(buffer.columns.duplicates[0]), 2)

    def test_a_lost_packet_is_concealed_in_its_place(self) -> None:
        buffer = JitterBuffer(8000)
        sent = [(0.02 * index, stream(index)) for index in range(20) if index not in (8, 12, 13)]
        heard = [frame for frame in run(buffer, sent, 18) if frame.state != NOTHING]
        self.assertEqual([place for place, state in enumerate(states(heard)) if state == LOST], [8, 12, 13])
        self.assertEqual(int(buffer.columns.lost[0]), 3)

    def test_silence_is_no_loss(self) -> None:
        """The sequence goes on where the time has jumped: the sender was silent (DTX)."""
        buffer = JitterBuffer(8000)
        sent = [(0.02 * index, stream(index)) for index in range(5)]
        sent += [(0.02 * (index + 3), stream(index, timestamp=2**32 - 400 + 480)) for index in range(5, 9)]
        heard = states(run(buffer, sent, 14))
        self.assertNotIn(LOST, heard)
        self.assertEqual(heard.count(FRAME), 9)
        self.assertEqual(heard.count(DTX) + heard.count(LATE), 3)

    def test_telephone_events_are_no_loss(self) -> None:
        """Four packets of an event stand in for sound, then four come beside it."""
        buffer = JitterBuffer(8000)
        heard: list[JitterFrame] = []
        number = 65_530
        for tick in range(30):
            now = 0.02 * tick
            if 8 <= tick < 12 or 20 <= tick < 24:
                event = RTPPacket(101, number & 0xFFFF, 0, 7, b"\x05\x0a\0\0")
                buffer.pass_over(event)
                number += 1
            if not 8 <= tick < 12:
                buffer.push(RTPPacket(0, number & 0xFFFF, 160 * tick, 7, bytes(160)), now, samples=160)
                number += 1
            heard += buffer.pull(160, now + 0.005)
        counts = Counter(states(heard))
        self.assertEqual((counts[DTX], counts[LOST], counts[LATE]), (4, 0, 0))
        self.assertEqual(int(buffer.columns.lost[0]) + int(buffer.columns.resyncs[0]), 0)
        buffer.pass_over(RTPPacket(101, 0, 0, 8, b"\x05\x0a\0\0"))  # another source's

    def test_comfort_noise_lasts_until_speech(self) -> None:
        buffer = JitterBuffer(8000)
        noise = RTPPacket(13, 1, 160, 7, b"\x40")
        buffer.push(RTPPacket(0, 0, 0, 7, bytes(160)), 0.0, samples=160)
        buffer.push(noise, 0.02, samples=160)
        heard = []
        for tick in range(1, 60):
            heard += buffer.pull(160, 0.02 * tick)
        heard = [frame for frame in heard if frame.state != NOTHING]
        self.assertEqual(states(heard)[:2], [FRAME, FRAME])
        self.assertEqual(heard[1].payload_type, 13)
        self.assertEqual(set(states(heard)[2:]), {DTX})
        self.assertEqual(int(buffer.columns.lost[0]), 0)

    def test_the_delay_follows_the_jitter_up_at_once_and_down_in_silence(self) -> None:
        draw = random.Random(3)
        buffer = JitterBuffer(8000)
        delays = {}
        waiting: list[tuple[float, int]] = []
        for index in range(2500):
            jitter = 0.1 if 500 <= index < 1000 else 0.0
            waiting.append((0.02 * index + jitter * draw.random(), index))
        waiting.sort()
        for tick in range(2500):
            now = 0.005 + 0.02 * tick
            while waiting and waiting[0][0] <= now:
                came, index = waiting.pop(0)
                buffer.push(stream(index), came, samples=160)
            buffer.pull(160, now, quiet=tick % 100 > 60)
            delays[tick] = buffer.delay(now)
        self.assertLess(delays[499], 0.065)
        self.assertGreater(delays[600], 0.09)
        self.assertLess(max(delays.values()), 0.19)
        self.assertGreater(delays[1100], 0.08)
        self.assertLess(delays[2499], 0.065)
        self.assertLess(int(buffer.columns.late[0]), 10)

    def test_loss_and_jitter(self) -> None:
        """5 % loss and 100 ms of jitter: all that was not lost is heard, but a handful."""
        draw = random.Random(1)
        sent = [
            (0.02 * index + 0.1 * draw.random(), stream(index))
            for index in range(1000)
            if draw.random() > 0.05
        ]
        frames = run(JitterBuffer(8000), sent, 1000)
        heard = [frame.payload[0] for frame in frames if frame.state == FRAME]
        self.assertGreater(len(heard), len(sent) - 12)

    def test_the_delay_never_rises_above_its_limit(self) -> None:
        draw = random.Random(2)
        buffer = JitterBuffer(8000, limits=JitterLimits(most=0.1))
        sent = sorted((0.02 * index + 0.4 * draw.random(), index) for index in range(500))
        for tick in range(520):
            now = 0.02 * tick
            while sent and sent[0][0] <= now:
                came, index = sent.pop(0)
                buffer.push(stream(index), came, samples=160)
            buffer.pull(160, now)
            self.assertLess(buffer.delay(now), 0.1 + 0.051)

    def test_packets_of_every_length(self) -> None:
        """10 to 60 ms a packet, told or learned: all is heard, nothing is said to be lost."""
        for milliseconds in (10, 20, 30, 40, 60):
            for told in (True, False):
                samples = 8 * milliseconds
                buffer = JitterBuffer(8000)
                pending = [(milliseconds * index / 1000, index) for index in range(3000 // milliseconds)]
                heard: Counter[int] = Counter()
                for tick in range(140):
                    now = 0.001 + 0.02 * tick
                    while pending and pending[0][0] <= now:
                        came, index = pending.pop(0)
                        buffer.push(stream(index, samples=samples), came, samples=samples if told else None)
                    frames = buffer.pull(160, now)
                    heard.update(states(frames))
                # How long the first one lasts is learned from the second.
                self.assertLessEqual(heard[LOST] + heard[DTX], 0 if told else 1, milliseconds)
                self.assertLessEqual(heard[LATE], 1, (milliseconds, told))
                self.assertGreater(heard[FRAME] * milliseconds, 2600, milliseconds)

    def test_packets_change_their_length(self) -> None:
        """The sender goes from 20 to 30 to 10 ms without a word."""
        buffer = JitterBuffer(8000)
        time, timestamp, sent = 0.0, 0, []
        for index, samples in enumerate([160] * 20 + [240] * 20 + [80] * 40):
            time += samples / 8000
            sent.append((time, RTPPacket(0, index, timestamp, 7, bytes(samples))))
            timestamp += samples
        heard: Counter[int] = Counter()
        for tick in range(75):
            now = 0.003 + 0.02 * tick
            while sent and sent[0][0] <= now:
                came, packet = sent.pop(0)
                buffer.push(packet, came)
            heard.update(states(buffer.pull(160, now)))
        self.assertEqual(heard[FRAME], 80)
        self.assertLessEqual(heard[LOST] + heard[DTX] + int(buffer.columns.late[0]), 2)


class TroubleTests(SynchronousTestCase):
    """Restarts, jumps and floods."""

    def flows_again(self, restarted: list[RTPPacket], *, after: float = 0.02) -> None:
        """After 20 packets the stream is another: from its second packet on it is heard."""
        buffer = JitterBuffer(8000)
        now = 0.0
        for index in range(20):
            now = 0.02 * index
            buffer.push(stream(index), now, samples=160)
            buffer.pull(160, now + 0.005)
        begun = now = now + after
        taken = None
        for index, packet in enumerate(restarted):
            now = begun + 0.02 * index
            if buffer.push(packet, now, samples=160) and taken is None:
                taken = now - begun
            buffer.pull(160, now + 0.005)
        assert taken is not None
        self.assertLessEqual(taken, 0.03)
        self.assertEqual(int(buffer.columns.resyncs[0]), 1)
        self.assertLessEqual(buffer.delay(now + 0.005), 0.08)

    def test_jumps_are_followed_within_30_ms(self) -> None:
        for other in (
            {"ssrc": 8},
            {"ssrc": 8, "sequence": 1, "timestamp": 1},
            {"sequence": 30_000, "timestamp": 2**32 - 400 + 20 * 160},
            {"sequence": 65_530 + 20, "timestamp": 1 << 30},
            {"sequence": 60_000, "timestamp": 3 << 30},
            {"sequence": 65_530 + 5, "timestamp": 3 << 29},
        ):
            with self.subTest(other):
                first = 20 if other == {"ssrc": 8} else 0
                self.flows_again([stream(first + index, **other) for index in range(10)])

    def test_after_a_pause_the_first_packet_counts(self) -> None:
        buffer = JitterBuffer(8000)
        run(buffer, [(0.02 * index, stream(index)) for index in range(10)], 60)
        self.assertEqual(states(buffer.pull(160, 1.21)), [NOTHING])
        self.assertTrue(buffer.push(RTPPacket(0, 5, 5, 9, bytes(160)), 1.22, samples=160))

    def test_one_strange_packet_disturbs_nothing(self) -> None:
        buffer = JitterBuffer(8000)
        sent = [(0.02 * index, stream(index)) for index in range(40)]
        strange = [
            RTPPacket(0, 1000, 5, 7, b"bad"),
            RTPPacket(0, (65_530 + 22) & 0xFFFF, 5, 66, b"bad"),
            RTPPacket(0, (65_530 + 24) & 0xFFFF, 1 << 31, 7, b"bad"),
        ]
        sent += [(0.2 + 0.05 * place, packet) for place, packet in enumerate(strange)]
        heard = [frame for frame in run(buffer, sent, 38) if frame.state != NOTHING]
        self.assertEqual(set(states(heard)), {FRAME})
        self.assertNotIn(b"bad", [frame.payload for frame in heard])
        self.assertEqual(int(buffer.columns.dropped[0]), 3)

    def test_a_longer_way_is_learned_with_the_second_packet(self) -> None:
        """All packets take 400 ms more from one moment on: they are played, not dropped as late."""
        buffer = JitterBuffer(8000)
        sent = [(0.02 * index, stream(index)) for index in range(20)]
        sent += [(0.02 * index + 0.4, stream(index)) for index in range(20, 60)]
        frames = run(buffer, sent, 80)
        self.assertGreater(states(frames).count(FRAME), 50)
        self.assertLess(buffer.delay(1.6), 0.12)

    def test_a_packet_that_is_too_long_is_dropped(self) -> None:
        buffer = JitterBuffer(8000, octets=160)
        self.assertFalse(buffer.push(RTPPacket(0, 1, 0, 7, bytes(161)), 0.0))
        self.assertTrue(buffer.push(RTPPacket(0, 1, 0, 7, bytes(160)), 0.0))
        self.assertEqual(int(buffer.columns.dropped[0]), 1)

    def test_a_flood_is_bounded(self) -> None:
        """10,000 packets of one stream in one batch: a few are looked at, the other stream has its packet."""
        buffers = JitterBuffers(2)
        for _ in range(2):
            buffers.open(buffers.add(), 8000)
        count = 10_001
        rows = np.zeros(count, np.int64)
        rows[-1] = 1
        numbers = np.arange(count)
        taken = buffers.push(
            rows,
            rows,
            numbers & 0xFFFF,
            numbers * 160,
            np.zeros(count, np.uint8),
            np.zeros(count, bool),
            np.zeros((count, 20), np.uint8),
            np.full(count, 12),
            np.full(count, 8),
            0.0,
        )
        self.assertTrue(taken[-1])
        self.assertLessEqual(buffers.waiting(np.array([0]))[0], 32)
        self.assertEqual(int(buffers.dropped[0]) + taken[:-1].sum(), 10_000)

    def test_a_peer_that_says_its_packets_last_no_time_costs_no_time(self) -> None:
        buffer = JitterBuffer(8000)
        for index in range(32):
            buffer.push(RTPPacket(0, index, index, 7, bytes(8)), 0.0, samples=0)
        for tick in range(20):
            self.assertLessEqual(len(buffer.pull(160, 0.1 + 0.02 * tick)), 16)

    def test_rows_are_used_again(self) -> None:
        buffers = JitterBuffers(1)
        first = buffers.add()
        buffers.open(first, 8000)
        one = np.array([first])
        push = (np.array([9]), np.array([1]), np.array([0]), np.array([0]), np.array([False]))
        octets = (np.ones((1, 20), np.uint8), np.array([12]), np.array([8]), 0.0)
        self.assertTrue(buffers.push(one, *push, *octets)[0])
        second = buffers.add()
        self.assertNotEqual(first, second)
        self.assertEqual(int(buffers.waiting(one)[0]), 1)  # growth keeps what was there
        buffers.remove(first)
        self.assertRaises(KeyError, buffers.remove, first)
        again = buffers.add()
        self.assertEqual((again, int(buffers.waiting(one)[0]), int(buffers.received[again])), (first, 0, 0))
        self.assertEqual(buffers.taken().tolist(), [0, 1])

    def test_there_is_a_most_of_rows(self) -> None:
        buffers = JitterBuffers(1, 3)
        for _ in range(3):
            buffers.add()
        self.assertRaises(OverflowError, buffers.add)
        self.assertEqual(len(buffers), 3)

    def test_no_rows(self) -> None:
        buffers = JitterBuffers(1)
        none = np.zeros(0, np.int64)
        octets = np.zeros((0, 20), np.uint8)
        taken = buffers.push(none, none, none, none, none, none, octets, none, none, 0.0)
        pulled = buffers.pull(none, 160, 0.0)
        self.assertEqual((taken.size, pulled.state.size, pulled.payload.shape), (0, 0, (0, 0)))

    def test_slots_are_a_power_of_two(self) -> None:
        self.assertRaises(ValueError, JitterBuffers, slots=12)
