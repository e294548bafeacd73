"""Who may send to many streams."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.addresses import pack_addresses, unpack_address
from rvoip.protocols.rtp.latch import Latch, LatchMode
from rvoip.protocols.rtp.latch_table import LatchTable
from rvoip.test.protocols.rtp.test_latch import NAT, OTHER, SDP, THIRD


class TableTests(SynchronousTestCase):
    """Many streams decide as each alone."""

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(
        st.integers(0, 2**32),
        st.sampled_from(tuple(LatchMode)),
        st.lists(
            st.lists(
                st.tuples(st.integers(0, 2), st.integers(0, 4), st.sampled_from((1, 1, 1, 2))), max_size=6
            ),
            max_size=40,
        ),
    )
    def test_as_each_alone(self, seed: int, mode: LatchMode, ticks: list[list[tuple[int, int, int]]]) -> None:
        addresses = [SDP, NAT, OTHER, THIRD, ("2001:db8::1", 4000)]
        expected = [SDP, ("10.0.0.5", 4000), ("2001:db8::1", 4000)]
        table = LatchTable(1)
        alone = [Latch(address, mode=mode) for address in expected]
        for address in expected:
            table.open(Latch(address, mode=mode))
        numbers = dict.fromkeys(((row, who) for row in range(3) for who in range(5)), 0)
        for tick, packets in enumerate(ticks):
            now = 0.2 * tick
            rows, sources, sequence = [], [], []
            for row, who, step in packets:
                numbers[row, who] += step
                rows.append(row)
                sources.append(addresses[who])
                sequence.append(numbers[row, who])
            taken = table.media(
                np.array(rows, np.int64),
                pack_addresses(sources),
                np.ones(len(rows), np.int64),
                np.array(sequence, np.int64),
                now,
            )
            expectation = [
                alone[row].media(source, 1, number, now)
                for row, source, number in zip(rows, sources, sequence, strict=True)
            ]
            if mode is LatchMode.OFF or len(set(rows)) == len(rows):
                self.assertEqual(taken.tolist(), expectation)
            for row in set(rows):
                if len(set(rows)) != len(rows):
                    # In one batch the stream is locked for what came before the lock too; go on from one
                    # state.
                    table._latches[row] = alone[row]
                    table.changed(row)
                remote = alone[row].remote
                self.assertEqual(unpack_address(table.source[row]), remote)

    def test_a_settled_stream_costs_no_call(self) -> None:
        table = LatchTable()
        row = table.open(Latch(SDP))
        rows = np.zeros(1000, np.int64)
        addresses = pack_addresses([SDP] + [OTHER] * 999)
        numbers = np.arange(1000)
        taken = table.media(rows, addresses, numbers, numbers, 0.0)
        self.assertEqual(taken.sum(), 1)
        self.assertTrue(table.settled[row])
        latch = table.latch(row)
        self.patch(latch, "media", None)
        self.assertEqual(table.media(rows, addresses, numbers, numbers, 1.0).sum(), 1)
        self.assertEqual(int(table.dropped[row]), 2 * 999)

    def test_srtp_control_and_rows(self) -> None:
        table = LatchTable()
        row = table.open(Latch(SDP, secure=True))
        rows = np.array([row])
        self.assertFalse(table.media(rows, pack_addresses([SDP]), rows, rows, 0.0)[0])
        self.assertTrue(table.authenticated(rows, pack_addresses([NAT]))[0])
        self.assertEqual(unpack_address(table.source[row]), NAT)
        self.assertFalse(table.media(rows, pack_addresses([NAT]), rows, rows, 0.0)[0])
        self.assertTrue(table.control(rows, pack_addresses([(NAT[0], 4001)]))[0])
        self.assertFalse(table.control(rows, pack_addresses([OTHER]))[0])
        table.latch(row).select(THIRD)
        table.changed(row)
        self.assertTrue(table.media(rows, pack_addresses([THIRD]), rows, rows, 0.0)[0])
        table.remove(row)
        self.assertRaises(KeyError, table.latch, row)
        self.assertFalse(table.media(rows, pack_addresses([THIRD]), rows, rows, 0.0)[0])
