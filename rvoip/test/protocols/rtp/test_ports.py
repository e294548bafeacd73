"""Which ports a stream gets."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.errors import PortError
from rvoip.protocols.rtp.ports import Interface, PortAllocator, PortPair, parse_range

SMALL = Interface("lan", "192.0.2.1", (20_001, 20_010))  # 20002, 20004, 20006, 20008


def allocator(*interfaces: Interface, seed: int = 1) -> PortAllocator:
    return PortAllocator(interfaces or (SMALL,), random.Random(seed).random, quarantine=5.0)


class RangeTests(SynchronousTestCase):
    def test_table(self) -> None:
        self.assertEqual(parse_range("20000-29999"), (20_000, 29_999))
        self.assertEqual(parse_range("20001-20003"), (20_001, 20_003))
        for wrong in (
            "",
            "20000",
            "20000-",
            "-1-5",
            "3-2",
            "0-100",
            "1-65536",
            "1-99999999999",
            "20000-20000",
            "20001-20002",
            "2_000-3000",
            "\u0661-\u0662",
            "20000-29999\n",
            " 20000-29999",
        ):
            self.assertRaises(PortError, parse_range, wrong)


class AllocatorTests(SynchronousTestCase):
    def test_each_pair_once_even_and_the_next(self) -> None:
        ports = allocator()
        pairs = [ports.allocate(0.0) for _ in range(4)]
        self.assertEqual(sorted(pair.rtp for pair in pairs), [20_002, 20_004, 20_006, 20_008])
        self.assertEqual(pairs[0].rtcp, pairs[0].rtp + 1)
        self.assertRaises(PortError, ports.allocate, 0.0)
        self.assertEqual(ports.free(0.0), 0)

    def test_the_search_begins_anywhere(self) -> None:
        first = {allocator(Interface("a", "192.0.2.1"), seed=seed).allocate(0.0).rtp for seed in range(20)}
        self.assertGreater(len(first), 15)

    def test_a_pair_rests_before_it_is_used_again(self) -> None:
        ports = allocator()
        pairs = [ports.allocate(0.0) for _ in range(4)]
        ports.release(pairs[2], 10.0)
        self.assertRaises(PortError, ports.allocate, 14.9)
        self.assertEqual(ports.allocate(15.0), pairs[2])

    def test_a_pair_that_cannot_be_bound(self) -> None:
        ports = allocator()
        pairs = [ports.allocate(0.0) for _ in range(4)]
        ports.refused(pairs[0], 0.0)
        self.assertRaises(PortError, ports.allocate, 59.0)
        self.assertEqual(ports.allocate(60.0), pairs[0])

    def test_only_what_is_given_out_comes_back(self) -> None:
        ports = allocator()
        pair = ports.allocate(0.0)
        ports.release(pair, 0.0)
        for wrong in (pair, PortPair(SMALL, 20_003), PortPair(SMALL, 30_000), PortPair(SMALL, 2)):
            self.assertRaises(KeyError, ports.release, wrong, 0.0)
        self.assertRaises(KeyError, ports.release, PortPair(Interface("b", "192.0.2.2"), 20_000), 0.0)

    def test_interfaces_and_versions(self) -> None:
        ports = allocator(
            Interface("lan", "10.0.0.1", (20_000, 20_001)),
            Interface("lan", "2001:db8::1", (20_000, 20_001)),
            Interface("wan", "10.0.0.1", (30_000, 30_001), "198.51.100.1"),
        )
        self.assertEqual(ports.default, "lan")
        self.assertEqual(ports.allocate(0.0).interface.told, "10.0.0.1")
        self.assertEqual(ports.allocate(0.0, version=6).interface.told, "2001:db8::1")
        pair = ports.allocate(0.0, "wan")
        self.assertEqual(
            (pair.interface.host, pair.interface.told, pair.rtp), ("10.0.0.1", "198.51.100.1", 30_000)
        )
        self.assertRaises(PortError, ports.allocate, 0.0, "wan", 6)
        self.assertRaises(PortError, ports.allocate, 0.0, "dmz")

    def test_two_addresses_of_one_interface(self) -> None:
        ports = allocator(
            Interface("lan", "10.0.0.1", (20_000, 20_001)), Interface("lan", "10.0.0.2", (20_000, 20_001))
        )
        self.assertEqual({ports.allocate(0.0).interface.host for _ in range(2)}, {"10.0.0.1", "10.0.0.2"})

    def test_what_cannot_be(self) -> None:
        for wrong in (
            (),
            (Interface("a", "media.example.test"),),
            (Interface("a", "10.0.0.1", advertise="example.test"),),
            (Interface("a", "10.0.0.1", advertise="2001:db8::1"),),
            (Interface("a", "10.0.0.1", (5, 4)),),
            (Interface("a", "10.0.0.1"), Interface("b", "10.0.0.1")),
            (Interface("a", "0.0.0.0"), Interface("b", "10.0.0.1", (29_999, 40_000))),
        ):
            self.assertRaises(PortError, PortAllocator, wrong, random.Random(1).random)

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.integers(0, 2**32), st.lists(st.integers(0, 9), max_size=60))
    def test_no_pair_is_given_twice(self, seed: int, steps: list[int]) -> None:
        ports, now = allocator(seed=seed), 0.0
        held: list[PortPair] = []
        rests: dict[int, float] = {}
        for step in steps:
            now += 1.0
            if step < 6:
                try:
                    pair = ports.allocate(now)
                except PortError:
                    waiting = [until for until in rests.values() if until > now]
                    self.assertEqual(len(held) + len(waiting), 4)
                    continue
                self.assertNotIn(pair, held)
                self.assertLessEqual(rests.pop(pair.rtp, 0.0), now)
                held.append(pair)
            elif held:
                pair = held.pop(step % len(held))
                ports.release(pair, now)
                rests[pair.rtp] = now + 5.0
