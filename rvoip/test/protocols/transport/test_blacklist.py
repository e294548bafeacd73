from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.transport.blacklist import Blacklist
from rvoip.protocols.transport.flow import Target

ONE, TWO, THREE = (Target("UDP", f"192.0.2.{index}", 5060) for index in (1, 2, 3))


class BlacklistTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.blacklist = Blacklist(first=30.0, longest=300.0)

    def test_failed_ones_come_last_in_their_order(self) -> None:
        self.assertEqual(self.blacklist.order([ONE, TWO, THREE], 0.0), [ONE, TWO, THREE])
        self.blacklist.failed(ONE, 0.0)
        self.assertEqual(self.blacklist.order([ONE, TWO, THREE], 29.9), [TWO, THREE, ONE])
        self.blacklist.failed(TWO, 1.0)
        self.assertEqual(self.blacklist.order([ONE, TWO, THREE], 29.9), [THREE, ONE, TWO])
        self.blacklist.failed(THREE, 1.0)
        self.assertEqual(self.blacklist.order([ONE, TWO, THREE], 29.9), [ONE, TWO, THREE])
        self.assertEqual(self.blacklist.order([ONE, TWO, THREE], 30.0), [ONE, TWO, THREE])

    def test_it_doubles(self) -> None:
        now = 0.0
        for wait in (30.0, 60.0, 120.0, 240.0, 300.0, 300.0):
            self.blacklist.failed(ONE, now)
            self.assertTrue(self.blacklist.avoids(ONE, now + wait - 0.1))
            now += wait
            self.assertFalse(self.blacklist.avoids(ONE, now))

    def test_success_clears(self) -> None:
        self.blacklist.succeeded(ONE)
        self.blacklist.failed(ONE, 0.0)
        self.blacklist.failed(ONE, 0.0)
        self.blacklist.succeeded(ONE)
        self.assertFalse(self.blacklist.avoids(ONE, 0.0))
        self.blacklist.failed(ONE, 10.0)
        self.assertFalse(self.blacklist.avoids(ONE, 40.0), "the count began anew")

    def test_retry_after(self) -> None:
        self.blacklist.failed(ONE, 0.0, 10.0)
        self.assertTrue(self.blacklist.avoids(ONE, 9.9))
        self.assertFalse(self.blacklist.avoids(ONE, 10.0))
        self.blacklist.failed(TWO, 0.0, 1e9)
        self.assertFalse(self.blacklist.avoids(TWO, 300.0), "no one can have himself avoided for ever")

    def test_the_name_does_not_count(self) -> None:
        self.blacklist.failed(Target("TLS", "192.0.2.1", 5061, "a.test"), 0.0)
        self.assertTrue(self.blacklist.avoids(Target("TLS", "192.0.2.1", 5061, "b.test"), 0.0))
        self.assertFalse(self.blacklist.avoids(Target("TCP", "192.0.2.1", 5061), 0.0))

    def test_it_is_bounded(self) -> None:
        blacklist = Blacklist(size=100)
        for port in range(1, 10_000):
            blacklist.failed(Target("UDP", "192.0.2.1", port), 0.0)
        self.assertLessEqual(len(blacklist), 100)
