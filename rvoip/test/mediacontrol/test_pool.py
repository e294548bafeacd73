"""Which media server has the next call."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rvoip.mediacontrol.errors import MediaRefused, MediaUnavailable
from rvoip.mediacontrol.lease_keeper import LeaseKeeper
from rvoip.mediacontrol.pool import DEAD_AFTER, POLL_EVERY, Change, Pool
from rvoip.mediacontrol.schema import CreateEndpoint, Stats
from rvoip.mediacontrol.server_pool import ServerPool
from rvoip.testing.media import FakeMediaServer


def stats(load: float, endpoints: int = 0, draining: bool = False) -> Stats:
    return Stats(pids=[1], endpoints=endpoints, conferences=0, ports_free=100, load=load, draining=draining)


class PoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pool = Pool(["a", "b", "c"])

    def test_nobody_is_chosen_before_it_reported(self) -> None:
        self.assertEqual(self.pool.choose(), [])
        self.assertEqual(self.pool.why_none(), "a is unknown; b is unknown; c is unknown")
        self.assertEqual(Pool().why_none(), "there are no media servers")

    def test_the_least_loaded_first(self) -> None:
        for name, load in (("a", 0.5), ("b", 0.2), ("c", 1.0)):
            self.assertEqual(self.pool.answered(name, stats(load), 0.0), [Change(name, "up")])
        self.assertEqual(self.pool.choose(), ["b", "a"])
        self.pool.answered("a", stats(1.2), 1.0)
        self.pool.answered("b", stats(1.0), 1.0)
        self.assertEqual(self.pool.choose(), [])
        self.assertEqual(self.pool.why_none(), "a is full; b is full; c is full")

    def test_calls_since_the_last_report_count(self) -> None:
        self.pool.use(["a", "b"])
        self.pool.answered("a", stats(0.10, endpoints=10), 0.0)
        self.pool.answered("b", stats(0.13, endpoints=13), 0.0)
        placed = []
        for _ in range(6):
            name = self.pool.choose()[0]
            self.pool.placed(name)
            placed.append(name)
        self.assertEqual(sorted(placed), ["a"] * 5 + ["b"])
        self.pool.answered("a", stats(0.10, endpoints=10), 1.0)
        self.assertEqual(self.pool.choose()[0], "a")

    def test_one_that_is_silent_is_dead_and_asked_on(self) -> None:
        self.assertEqual(self.pool.due(0.0), ["a", "b", "c"])
        self.assertEqual(self.pool.due(5.0), [])
        self.pool.answered("a", stats(0.0), 0.1)
        self.pool.answered("b", stats(0.0), 0.1)
        self.assertEqual(self.pool.tick(DEAD_AFTER - 0.01), [])
        self.assertEqual(self.pool.tick(DEAD_AFTER), [Change("c", "dead", "no answer in 1.5 s")])
        self.assertEqual(self.pool.tick(DEAD_AFTER + 1), [])
        self.assertEqual(self.pool.due(DEAD_AFTER), ["a", "b", "c"])
        self.assertEqual(self.pool.answered("c", stats(0.0), 3.0), [Change("c", "up")])
        self.assertLess(POLL_EVERY + DEAD_AFTER, 3.0)

    def test_a_failure_is_death_at_once(self) -> None:
        self.pool.due(0.0)
        self.pool.answered("a", stats(0.0), 0.0)
        self.pool.due(1.0)
        self.assertEqual(self.pool.failed("a", "refused", 1.0), [Change("a", "dead", "refused")])
        self.pool.due(2.0)
        self.assertEqual(self.pool.failed("a", "refused", 2.0), [])
        self.assertEqual(self.pool.choose(), [])

    def test_a_late_failure_is_of_the_past(self) -> None:
        self.pool.due(0.0)
        self.pool.tick(DEAD_AFTER)
        self.pool.due(DEAD_AFTER)
        self.pool.answered("a", stats(0.0), 2.0)
        self.assertEqual(self.pool.failed("a", "no answer in 5 s", 0.0), [])
        self.assertEqual(self.pool.choose(), ["a"])

    def test_draining_by_the_operator_and_by_itself(self) -> None:
        self.pool.answered("a", stats(0.0), 0.0)
        self.assertEqual(self.pool.drain("a"), [Change("a", "draining", "by the operator")])
        self.assertEqual(self.pool.answered("a", stats(0.0), 1.0), [])
        self.assertEqual(self.pool.choose(), [])
        self.assertEqual(self.pool.drain("a", False), [Change("a", "up", "by the operator")])
        self.assertEqual(self.pool.answered("a", stats(0.0, draining=True), 2.0), [Change("a", "draining")])
        self.assertEqual(self.pool.drain("a", False), [])
        self.assertEqual(self.pool.drain("b"), [])
        self.assertEqual(self.pool.answered("b", stats(0.0), 3.0), [Change("b", "draining")])
        self.assertRaises(KeyError, self.pool.drain, "d")

    def test_others(self) -> None:
        self.pool.answered("a", stats(0.3), 0.0)
        self.pool.use(["a", "d"])
        self.assertEqual(self.pool.choose(), ["a"])
        self.assertEqual(self.pool.answered("b", stats(0.0), 1.0), [])
        self.assertEqual(self.pool.failed("b", "gone", 1.0), [])
        self.assertNotIn("b", self.pool)


class ServerPoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.one = FakeMediaServer(self.clock, "one", capacity=10)
        self.two = FakeMediaServer(self.clock, "two", capacity=10)
        self.pool = ServerPool(self.clock, {"one": self.one, "two": self.two})
        self.changes: list[Change] = []
        self.pool.watch(self.changes.append)
        self.pool.open()
        self.addCleanup(self.pool.close)

    def test_calls_go_to_the_least_loaded(self) -> None:
        self.one.load = 0.5
        self.clock.advance(1.0)
        for _ in range(3):
            self.assertEqual(self.successResultOf(self.pool.place(CreateEndpoint())).endpoint.id[:3], "two")
        self.assertEqual(self.pool.choose(), ("two", self.two))
        self.pool.drain("two")
        placed = self.successResultOf(self.pool.place(CreateEndpoint()))
        self.assertEqual((placed.name, placed.server), ("one", self.one))
        self.assertIs(self.pool.server("two"), self.two)

    def test_one_that_dies_is_told_within_three_seconds(self) -> None:
        """It just falls silent: no connection breaks."""
        self.changes.clear()
        self.one.late = 1e6
        died = self.clock.seconds()
        while not self.changes:
            self.clock.advance(0.1)
        self.assertEqual(self.changes, [Change("one", "dead", "no answer in 1.5 s")])
        self.assertLessEqual(self.clock.seconds() - died, 3.0)
        self.assertEqual(self.successResultOf(self.pool.place(CreateEndpoint())).name, "two")
        self.one.late = 0.0
        self.clock.pump([0.25] * 8)
        self.assertEqual(self.changes[-1], Change("one", "up"))

    def test_a_full_one_is_passed_over(self) -> None:
        self.two.load = 0.9
        self.clock.advance(1.0)
        self.one.refuse("create_endpoint", MediaUnavailable("full"))
        self.assertEqual(self.successResultOf(self.pool.place(CreateEndpoint())).name, "two")
        self.one.refuse("create_endpoint", MediaRefused("no", 488))
        self.assertEqual(self.failureResultOf(self.pool.place(CreateEndpoint())).value.status, 488)
        self.one.crash()
        self.two.crash()
        self.assertIsInstance(self.failureResultOf(self.pool.place(CreateEndpoint())).value, MediaUnavailable)
        self.clock.advance(1.0)
        self.assertRaises(MediaUnavailable, self.pool.choose)

    def test_a_lease_of_each(self) -> None:
        keeper = LeaseKeeper(self.clock, self.one, 9.0)
        keeper.open()
        self.addCleanup(keeper.close)
        self.pool.use({"one": self.one})
        placed = self.successResultOf(self.pool.place(CreateEndpoint(), leases={"one": keeper.lease}))
        self.assertEqual(self.one.live[placed.endpoint.id].lease, keeper.lease)

    def test_a_watcher_that_fails_harms_nobody(self) -> None:
        def fails(change: Change) -> None:
            raise ValueError(change.name)

        remove = self.pool.watch(fails)
        told: list[Change] = []
        self.pool.watch(told.append)
        self.pool.drain("one")
        self.assertEqual(len(told), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        remove()
        self.pool.drain("one", False)
        self.assertEqual(len(told), 2)


class LeaseKeeperTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.fake = FakeMediaServer(self.clock)
        self.lost: list[str] = []
        self.keeper = LeaseKeeper(self.clock, self.fake, 9.0, self.lost.append)
        self.addCleanup(self.keeper.close)

    def test_it_is_renewed(self) -> None:
        self.keeper.open()
        self.clock.pump([1.0] * 60)
        self.assertEqual((self.keeper.lease, self.lost), ("l1", []))
        self.assertIn("l1", self.fake.leases)
        self.keeper.close()
        self.clock.advance(9.0)
        self.assertNotIn("l1", self.fake.leases)

    def test_a_short_outage_does_no_harm(self) -> None:
        self.keeper.open()
        self.fake.down = True
        self.clock.pump([1.0] * 5)
        self.fake.down = False
        self.clock.pump([1.0] * 20)
        self.assertEqual((self.keeper.lease, self.lost), ("l1", []))

    def test_one_that_lapsed_is_told_and_made_anew(self) -> None:
        self.keeper.open()
        self.fake.crash()
        self.clock.pump([1.0] * 12)
        self.fake.down = False
        self.clock.pump([1.0] * 2)
        self.assertEqual((self.keeper.lease, self.lost), ("l2", ["l1"]))

    def test_one_of_before_is_taken_up(self) -> None:
        lease = self.successResultOf(self._lease()).id
        self.keeper.open(lease)
        self.clock.pump([1.0] * 20)
        self.assertEqual(self.keeper.lease, lease)

    def _lease(self) -> Deferred[Any]:
        from rvoip.mediacontrol.schema import CreateLease

        return self.fake.create_lease(CreateLease(ttl=9.0))
