"""Reception statistics (RFC 3550 appendix A), RTCP times (section 6.3), sources (section 8.2)."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.reports import Reception, ntp_of, round_trip
from rvoip.protocols.rtp.rows import turns
from rvoip.protocols.rtp.schedule import COMPENSATION, ReportSchedule, interval
from rvoip.protocols.rtp.sources import MOST_SOURCES, Participants, Verdict


class AppendixA:
    """Appendices A.1, A.3 and A.8 for one source, as the RFC writes them."""

    def __init__(self, number: int) -> None:
        self.restart(number)
        self.max_seq = (number - 1) & 0xFFFF
        self.probation = 2
        self.transit: int | None = None
        self.timestamp = 0
        self.jitter = 0

    def restart(self, number: int) -> None:
        self.base_seq = self.max_seq = number
        self.bad_seq = 65536 + 1
        self.cycles = self.received = self.received_prior = self.expected_prior = 0

    def update(self, number: int) -> bool:
        delta = (number - self.max_seq) & 0xFFFF
        if self.probation:
            if number == (self.max_seq + 1) & 0xFFFF:
                self.probation -= 1
                self.max_seq = number
                if self.probation == 0:
                    self.restart(number)
                    self.received += 1
                    return True
            else:
                self.probation = 1
                self.max_seq = number
            return False
        if delta < 3000:
            if number < self.max_seq:
                self.cycles += 65536
            self.max_seq = number
        elif delta <= 65536 - 100:
            if number != self.bad_seq:
                self.bad_seq = (number + 1) & 0xFFFF
                return False
            self.restart(number)
            self.transit, self.jitter = None, 0
        self.received += 1
        return True

    def arrived(self, timestamp: int, arrival: int, onward: bool) -> None:
        if self.transit is not None and onward and timestamp <= self.timestamp:
            return  # ours: a telephone event, which says nothing
        if self.transit is None or timestamp > self.timestamp:
            self.timestamp = timestamp
        transit = arrival - timestamp
        if self.transit is not None:
            self.jitter += abs(transit - self.transit) - ((self.jitter + 8) >> 4)
        self.transit = transit

    def report(self) -> tuple[int, int, int]:
        highest = self.cycles + self.max_seq
        expected = highest - self.base_seq + 1
        wanted, got = expected - self.expected_prior, self.received - self.received_prior
        self.expected_prior, self.received_prior = expected, self.received
        lost = wanted - got
        fraction = 0 if wanted == 0 or lost <= 0 else (lost << 8) // wanted
        return min(fraction, 255), expected - self.received, highest


def one(row: int = 0) -> np.ndarray[Any, Any]:
    return np.array([row])


def feed(reception: Reception, numbers: list[int], *, ssrc: int = 7, now: float = 0.0) -> list[bool]:
    """One batch of packets for row 0."""
    count = len(numbers)
    column = np.array(numbers)
    counted = reception.update(
        np.zeros(count, np.int64), np.full(count, ssrc), column & 0xFFFF, column * 160, now
    )
    return [bool(one) for one in counted]


def fresh(sequential: int = 2) -> Reception:
    reception = Reception(4, sequential=sequential)
    reception.add()
    return reception


class TurnTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.lists(st.integers(0, 4), max_size=30))
    def test_no_row_twice_in_a_turn_and_each_in_its_order(self, rows: list[int]) -> None:
        seen: dict[int, list[int]] = {}
        for turn in turns(np.array(rows, np.int64)):
            walked = [rows[index] for index in turn]
            self.assertEqual(len(set(walked)), len(walked))
            for index in turn.tolist():
                seen.setdefault(rows[index], []).append(index)
        for row in set(rows):
            self.assertEqual(seen[row], [index for index, value in enumerate(rows) if value == row])

    def test_a_flood_is_cut(self) -> None:
        self.assertEqual(sum(turn.size for turn in turns(np.zeros(100, np.int64), 7)), 7)


class ReceptionTests(SynchronousTestCase):
    """Numbers that the appendices give."""

    def test_table(self) -> None:
        """Sequence numbers; which of them count; received, lost, extended highest."""
        for numbers, counted, expected in (
            ([10, 11, 12], [0, 1, 1], (2, 0, 12)),
            ([10], [0], (0, 0, 10)),
            ([10, 12, 13], [0, 0, 1], (1, 0, 13)),
            ([10, 11, 13, 14], [0, 1, 1, 1], (3, 1, 14)),
            ([10, 11, 13, 12], [0, 1, 1, 1], (3, 0, 13)),
            ([10, 11, 12, 12, 12], [0, 1, 1, 1, 1], (4, -2, 12)),
            ([65534, 65535, 65536, 65537], [0, 1, 1, 1], (3, 0, 65537)),
            ([65535, 65536, 65535], [0, 1, 1], (2, -1, 0)),
            ([10, 11, 2900], [0, 1, 1], (2, 2888, 2900)),
            ([10, 11, 3011, 12], [0, 1, 0, 1], (2, 0, 12)),
            ([10, 11, 5000, 5001, 5002], [0, 1, 0, 1, 1], (2, 0, 5002)),
            ([1000, 1001, 902], [0, 1, 1], (2, -1, 1001)),
            ([1000, 1001, 900, 901], [0, 1, 0, 1], (1, 0, 901)),
        ):
            with self.subTest(numbers):
                reception = fresh()
                self.assertEqual(feed(reception, numbers), [bool(way) for way in counted])
                if not any(counted):
                    self.assertFalse(reception.heard(one())[0])
                    continue
                self.assertEqual(
                    (int(reception.received[0]), int(reception.lost(one())[0]), int(reception.highest[0])),
                    expected,
                )

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.integers(0, 65535),
        st.lists(
            st.tuples(
                st.sampled_from((1, 1, 1, 1, 1, 2, 5, 0, -1, -40, 2999, 3000, -100, -101, 30_000)),
                st.integers(0, 900),
            ),
            max_size=50,
        ),
        st.integers(1, 7),
    )
    def test_as_the_appendices(self, first: int, steps: list[tuple[int, int]], batch: int) -> None:
        expected, reception = AppendixA(first), fresh()
        reception.rate[0] = 1000.0
        number, now = first, 0
        packets = [(first, 0, 0)]
        for step, late in steps:
            number += step
            now += 20
            packets.append((number & 0xFFFF, number * 20, now + late))
        for start in range(0, len(packets), batch):
            part = packets[start : start + batch]
            counted = reception.update(
                np.zeros(len(part), np.int64),
                np.full(len(part), 7),
                np.array([packet[0] for packet in part]),
                np.array([packet[1] & 0xFFFFFFFF for packet in part]),
                np.array([packet[2] / 1000 + 1e-6 for packet in part]),
            )
            for (sequence, timestamp, arrival), way in zip(part, counted, strict=True):
                onward = (sequence - expected.max_seq) & 0xFFFF < 0x8000
                self.assertEqual(expected.update(sequence), way)
                if way:
                    expected.arrived(timestamp, arrival, onward)
            if expected.probation == 0:
                reports = reception.report(one(), 0.0)
                fraction, lost, highest = expected.report()
                block = reports.block(0)
                self.assertEqual(
                    (block.fraction_lost, block.cumulative_lost, block.highest_sequence, block.jitter),
                    (fraction, lost, highest, expected.jitter >> 4),
                )

    def test_a_digit_is_no_jitter(self) -> None:
        """Packets of one telephone event have one timestamp."""
        reception, now = fresh(1), 0.0
        times = (
            [160 * index for index in range(10)] + [1600] * 10 + [3200 + 160 * index for index in range(10)]
        )
        for number, time in enumerate(times):
            reception.update(one(), one(7), one(number), one(time), now + 1e-6)
            now += 0.02
        self.assertEqual(int(reception.jitter(one())[0]), 0)

    def test_rows_together_as_each_alone(self) -> None:
        draw = random.Random(5)
        together = Reception(2)
        alone = [fresh() for _ in range(5)]
        for _ in alone:
            together.add()
        numbers = [draw.randrange(65536) for _ in alone]
        for tick in range(60):
            rows = [draw.randrange(5) for _ in range(12)]
            batch = []
            for row in rows:
                numbers[row] = (numbers[row] + draw.choice((1, 1, 1, 2, 0, 4000))) & 0xFFFF
                batch.append(numbers[row])
            counted = together.update(
                np.array(rows), np.array(rows), np.array(batch), np.array(batch) * 160, 0.02 * tick
            )
            for row, number, way in zip(rows, batch, counted, strict=True):
                only = alone[row].update(
                    one(), one(row), np.array([number]), np.array([number * 160]), 0.02 * tick
                )
                self.assertEqual(bool(only[0]), way)
        reports = together.report(np.arange(5), 2.0)
        for row, single in enumerate(alone):
            self.assertEqual(reports.block(row), single.report(one(), 2.0).block(0))

    def test_another_source_takes_the_row_with_its_second_packet(self) -> None:
        reception = fresh()
        feed(reception, [1, 2, 3], ssrc=7)
        self.assertEqual(feed(reception, [900, 4], ssrc=8), [False, False])
        self.assertEqual(feed(reception, [4, 5], ssrc=7), [True, True])
        self.assertEqual(feed(reception, [50, 51, 52], ssrc=9), [False, True, True])
        self.assertEqual(
            (int(reception.ssrc[0]), int(reception.received[0]), int(reception.restarts[0])), (9, 2, 1)
        )
        self.assertEqual(int(reception.refused[0]), 4)

    def test_a_source_that_was_announced_counts_at_once(self) -> None:
        self.assertEqual(feed(fresh(1), [5, 6]), [True, True])

    def test_the_fraction_is_that_of_the_interval(self) -> None:
        reception = fresh(1)
        feed(reception, [0, 1, 2, 3])
        self.assertEqual(reception.report(one(), 0.0).block(0).fraction_lost, 0)
        feed(reception, [4, 7])
        self.assertEqual(reception.report(one(), 0.0).block(0).fraction_lost, 128)
        block = reception.report(one(), 0.0).block(0)
        self.assertEqual((block.fraction_lost, block.cumulative_lost), (0, 2))

    def test_losses_are_clipped_to_24_bits(self) -> None:
        reception = fresh(1)
        feed(reception, [0])
        reception.highest[0] = 1 << 25
        self.assertEqual(reception.report(one(), 0.0).block(0).cumulative_lost, 0x7FFFFF)

    def test_the_time_since_the_sender_report(self) -> None:
        reception = fresh(1)
        feed(reception, [0])
        self.assertEqual(reception.report(one(), 1.0).block(0).last_sr, 0)
        reception.sender_reported(0, 0x1122334455667788, 1.0)
        block = reception.report(one(), 1.5).block(0)
        self.assertEqual((block.last_sr, block.delay), (0x33445566, 32768))


class RoundTripTests(SynchronousTestCase):
    def test_figure_2(self) -> None:
        """The example of RFC 3550 section 6.4.1: 6.125 s."""
        self.assertEqual(float(round_trip(0xB7108000, 0xB7052000, 0x00054000)), 6.125)

    def test_what_cannot_be(self) -> None:
        last = np.array([0, 1000 << 16, (1000 << 16) - 5, 900 << 16, 10 << 16])
        seconds = round_trip(1000 << 16, last, np.array([0, 10, 4, 0, 0]))
        self.assertTrue(np.isnan(seconds[[0, 3, 4]]).all())
        self.assertEqual(seconds[1], 0.0)
        self.assertAlmostEqual(seconds[2], 1 / 65536)

    def test_the_middle_wraps(self) -> None:
        self.assertEqual(float(round_trip(1 << 15, 0xFFFF8000, 0)), 1.0)

    def test_ntp(self) -> None:
        self.assertEqual(ntp_of(0.0), 2_208_988_800 << 32)
        self.assertEqual(ntp_of(0.5) & 0xFFFFFFFF, 1 << 31)
        self.assertEqual(ntp_of(2_085_978_496.0), 0)  # 2036


class ScheduleTests(SynchronousTestCase):
    """Section 6.3."""

    def test_calculated(self) -> None:
        for members, senders, we_sent, initial, expected in (
            (2, 1, True, False, 5.0),
            (2, 1, True, True, 2.5),
            (1000, 500, False, False, 128 * 1000 / 400),
            (1000, 100, True, False, 128 * 100 / 100),
            (1000, 100, False, False, 128 * 900 / 300),
        ):
            found = interval(members, senders, 400.0, we_sent=we_sent, average=128.0, initial=initial)
            self.assertAlmostEqual(found, expected)

    def test_between_half_and_one_and_a_half(self) -> None:
        for drawn, factor in ((0.0, 0.5), (0.5, 1.0), (0.999999, 1.5)):
            schedule = ReportSchedule(100.0, lambda drawn=drawn: drawn)  # type: ignore[misc]
            self.assertAlmostEqual(schedule.deadline, 100.0 + 2.5 * factor / COMPENSATION, 4)
            self.assertTrue(schedule.expire(schedule.deadline + 1e-9))
            before = schedule.deadline
            self.assertTrue(schedule.expire(before + 1e-9))
            self.assertAlmostEqual(schedule.deadline - before, 5.0 * factor / COMPENSATION, 4)

    def test_reconsideration(self) -> None:
        """Many join while the timer runs: the report is put off until the longer interval has passed."""
        schedule = ReportSchedule(0.0, lambda: 0.5)
        deadline = schedule.deadline
        schedule.members = 200
        self.assertFalse(schedule.expire(deadline))
        self.assertAlmostEqual(schedule.deadline, 128 * 200 / 300 / COMPENSATION)
        self.assertTrue(schedule.expire(schedule.deadline + 1e-9))

    def test_reverse_reconsideration(self) -> None:
        """Half of them leave: the report comes at half the time that was left."""
        schedule = ReportSchedule(0.0, lambda: 0.5)
        schedule.members = 200
        schedule.expire(schedule.deadline)
        deadline = schedule.deadline
        schedule.members_left(100, 0, 10.0)
        self.assertAlmostEqual(schedule.deadline, 10.0 + (deadline - 10.0) / 2)

    def test_leaving(self) -> None:
        schedule = ReportSchedule(0.0, lambda: 0.5)
        schedule.members = 50
        self.assertTrue(schedule.leave(1.0, 80))
        schedule = ReportSchedule(0.0, lambda: 0.5)
        schedule.members = 51
        self.assertFalse(schedule.leave(1.0, 80))
        self.assertAlmostEqual(schedule.deadline, 1.0 + 2.5 / COMPENSATION)
        for _ in range(100):
            schedule.goodbye_received(80)
        self.assertFalse(schedule.expire(schedule.deadline))
        self.assertTrue(schedule.expire(schedule.deadline + 1e-9))

    def test_the_mean_size(self) -> None:
        schedule = ReportSchedule(0.0, lambda: 0.5, size=100)
        schedule.received(260)
        self.assertAlmostEqual(schedule.average, 138.0)


class ParticipantTests(SynchronousTestCase):
    """Section 8.2."""

    HERE, THERE = ("192.0.2.1", 4000), ("192.0.2.2", 5000)

    def make(self, *, moving: bool = True) -> Participants:
        numbers = iter((0x10, 0x20, 0x30, 0x40, *range(100, 200)))
        return Participants(1, lambda: next(numbers), moving=moving)

    def test_members_and_senders(self) -> None:
        known = self.make()
        known.seen(5, self.HERE, 0.0)
        known.seen(6, self.HERE, 0.0, control=True)
        self.assertEqual((known.members, known.senders(True), known.senders(False)), (3, 2, 1))
        self.assertEqual(known.expire(11.0, 5.0), [])
        self.assertEqual(known.senders(False), 0)
        self.assertEqual(sorted(known.expire(25.1, 5.0)), [5, 6])
        self.assertFalse(known.left(5))

    def test_a_collision_and_then_a_loop(self) -> None:
        known = self.make()
        known.seen(0x10, self.HERE, 0.0)
        self.assertIs(known.seen(1, self.THERE, 1.0), Verdict.COLLISION)
        self.assertEqual((known.ssrc, known.collided), (0x20, 1))
        self.assertIs(known.seen(1, self.THERE, 2.0), Verdict.TAKE)
        self.assertIs(known.seen(0x20, self.THERE, 3.0), Verdict.LOOP)
        self.assertEqual(known.ssrc, 0x20)
        known.expire(60.0, 5.0)
        self.assertIs(known.seen(0x20, self.THERE, 61.0), Verdict.COLLISION)

    def test_nobody_makes_us_change_for_ever(self) -> None:
        known = self.make()
        found = [known.seen(known.ssrc, ("192.0.2.9", port), 0.0) for port in range(50)]
        self.assertEqual(found.count(Verdict.COLLISION), 16)
        self.assertEqual(set(found[16:]), {Verdict.LOOP})

    def test_another_address(self) -> None:
        fixed, moving = self.make(moving=False), self.make()
        for known in (fixed, moving):
            self.assertIs(known.seen(5, self.HERE, 0.0), Verdict.TAKE)
        self.assertIs(fixed.seen(5, self.THERE, 1.0), Verdict.DROP)
        self.assertIs(moving.seen(5, self.THERE, 1.0), Verdict.TAKE)
        self.assertIs(fixed.seen(5, self.THERE, 1.0, control=True), Verdict.TAKE)

    def test_no_more_than_so_many(self) -> None:
        known = self.make()
        verdicts = [known.seen(1000 + ssrc, self.HERE, 0.0) for ssrc in range(MOST_SOURCES + 1)]
        self.assertEqual(verdicts.count(Verdict.DROP), 1)
