from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.transport.addresses import parse_networks
from rvoip.protocols.transport.bounded import Recent
from rvoip.protocols.transport.guard import Guard

A, B = "192.0.2.1", "192.0.2.2"


class RecentTests(SynchronousTestCase):
    def test_what_is_used_stays(self) -> None:
        recent: Recent[int, str] = Recent(8)
        recent.put(0, "kept")
        for number in range(1, 100):
            recent.put(number, "new")
            self.assertEqual(recent.get(0), "kept")
        self.assertIsNone(recent.get(50))

    def test_the_young_one_is_always_the_same_dictionary(self) -> None:
        recent: Recent[int, str] = Recent(4)
        get = recent.young.get
        for number in range(9):
            recent.put(number, str(number))
        self.assertEqual(get(8), "8")

    def test_pop_clear_and_find_or(self) -> None:
        recent: Recent[int, str] = Recent(4)
        self.assertEqual(recent.find_or(1, str), "1")
        recent.put(2, "2")
        recent.put(3, "3")
        self.assertEqual(recent.pop(1), "1")
        self.assertIsNone(recent.pop(1))
        self.assertEqual(sorted(recent.values()), ["2", "3"])
        recent.clear()
        self.assertEqual(len(recent), 0)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=200), st.integers(1, 12))
    def test_bounded_and_never_wrong(self, steps: list[tuple[bool, int]], size: int) -> None:
        recent: Recent[int, int] = Recent(size)
        model: dict[int, int] = {}
        for step, (put, key) in enumerate(steps):
            if put:
                recent.put(key, step)
                model[key] = step
            else:
                found = recent.get(key)
                self.assertIn(found, (None, model.get(key)))
            self.assertLessEqual(len(recent), max(2, size))


class GuardTests(SynchronousTestCase):
    def test_off(self) -> None:
        guard = Guard()
        self.assertFalse(guard.active)
        self.assertTrue(all(guard.admit(A, 0.0) for _ in range(10_000)))
        self.assertFalse(guard.failed(A, 0.0))
        self.assertTrue(guard.admits_connection(A, 0.0))

    def test_rate(self) -> None:
        guard = Guard(rate=10)
        self.assertEqual(sum(guard.admit(A, 100.0) for _ in range(50)), 20)
        self.assertEqual(sum(guard.admit(B, 100.0) for _ in range(5)), 5)
        self.assertEqual(sum(guard.admit(A, 100.5) for _ in range(50)), 5)
        self.assertEqual(sum(guard.admit(A, 1000.0) for _ in range(50)), 20)
        self.assertEqual(guard.limited, 30 + 45 + 30)

    def test_a_steady_rate_passes(self) -> None:
        guard = Guard(rate=10)
        self.assertTrue(all(guard.admit(A, tick / 10) for tick in range(1000)))

    def test_burst(self) -> None:
        guard = Guard(rate=1, burst=3)
        self.assertEqual(sum(guard.admit(A, 0.0) for _ in range(9)), 3)

    def test_one_ipv6_network_is_one_source(self) -> None:
        guard = Guard(rate=1, burst=4)
        admitted = [guard.admit(f"2001:db8::{host:x}", 0.0) for host in range(10)]
        self.assertEqual(admitted, [True] * 4 + [False] * 6)
        self.assertTrue(guard.admit("2001:db8:0:1::1", 0.0))

    def test_trusted(self) -> None:
        guard = Guard(rate=1, ban_after=1, trusted=parse_networks(["192.0.2.0/24", "2001:db8::1"]))
        self.assertTrue(all(guard.admit(A, 0.0) for _ in range(1000)))
        self.assertFalse(guard.failed(A, 0.0))
        self.assertTrue(guard.trusts("2001:db8::1"))
        self.assertFalse(guard.trusts("2001:db8::2"))
        for _ in range(50):
            guard.admit("2001:db8::2", 0.0)
        self.assertFalse(guard.admit("2001:db8::2", 0.0))
        self.assertTrue(guard.admit("2001:db8::1", 0.0))

    def test_ban(self) -> None:
        guard = Guard(ban_after=3, ban_time=60)
        self.assertEqual([guard.failed(A, now) for now in (0.0, 1.0, 2.0)], [False, False, True])
        self.assertTrue(guard.active)
        self.assertFalse(guard.admit(A, 3.0))
        self.assertFalse(guard.admits_connection(A, 3.0))
        self.assertTrue(guard.admit(B, 3.0))
        self.assertEqual(guard.banned(3.0), {A: 59.0})
        self.assertTrue(guard.admit(A, 62.0))
        self.assertFalse(guard.active)
        self.assertEqual(guard.refused, 2)

    def test_failures_count_within_a_window(self) -> None:
        guard = Guard(ban_after=2, failure_window=10)
        self.assertFalse(guard.failed(A, 0.0))
        self.assertFalse(guard.failed(A, 11.0))
        self.assertTrue(guard.failed(A, 12.0))

    def test_unban(self) -> None:
        guard = Guard(ban_after=1)
        guard.failed(A, 0.0)
        self.assertTrue(guard.unban(A))
        self.assertFalse(guard.unban(A))
        self.assertTrue(guard.admit(A, 0.0))

    def test_configure_ends_bans_of_those_now_trusted(self) -> None:
        guard = Guard(ban_after=1)
        guard.failed(A, 0.0)
        guard.failed(B, 0.0)
        guard.configure(0, 1, parse_networks([A]))
        self.assertEqual(list(guard.banned(0.0)), [B])

    def test_memory_is_bounded(self) -> None:
        guard = Guard(rate=1, ban_after=1, max_sources=100)
        for number in range(5000):
            host = f"10.0.{number >> 8}.{number & 255}"
            guard.admit(host, 0.0)
            guard.failed(host, float(number))
        self.assertLessEqual(len(guard.banned(0.0)), 100)
        self.assertLessEqual(len(guard._buckets) + len(guard._failures), 200)
