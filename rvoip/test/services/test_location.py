"""The location of a role whose store answers later: counts, expiry, failure."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rvoip.proxy.targets import Refused
from rvoip.registrar.binding import Binding, Counts, Removed
from rvoip.registrar.errors import StoreError
from rvoip.registrar.stores.memory import MemoryStore
from rvoip.services.location import COUNT_EVERY, Location, LocationService
from rvoip.test.registrar.stores.contract import bound, change


class Later:
    """A store that others share; while it is `down` all fails."""

    at_once = False
    trouble = ""

    def __init__(self) -> None:
        self.down = False
        self.counts = Counts(3, 5)
        self.counted = 0
        self.over: list[Removed] = []

    def _given(self, value: Any) -> Deferred[Any]:
        return fail(StoreError("down")) if self.down else succeed(value)

    def open(self, now: float, wall_now: float) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def count(self) -> Deferred[Counts]:
        self.counted += 1
        return self._given(self.counts)

    def expire(self, now: float, wall_now: float) -> Deferred[list[Removed]]:
        over, self.over = self.over, []
        return self._given(over)

    def lookup(self, aor: str, now: float) -> Deferred[tuple[Binding, ...]]:
        return self._given((Binding("sip:a@192.0.2.1", "k", "c", 1, now + 60, 60),))


class SharedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Any] = []
        self.service = LocationService(self.clock, "memory:", self.clock.seconds, self.told.extend)
        self.store = self.service.store = Later()
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def test_counted_from_the_start(self) -> None:
        self.assertEqual(self.service.counts(), (3, 5))

    def test_counted_now_and_then(self) -> None:
        """However often it is asked for."""
        self.store.counts = Counts(4, 6)
        for _ in range(COUNT_EVERY - 1):
            self.clock.advance(1)
            self.assertEqual(self.service.counts(), (3, 5))
        self.clock.advance(1)
        self.assertEqual(self.service.counts(), (4, 6))
        self.assertEqual(self.store.counted, 2)

    def test_an_outage_keeps_the_last_counts(self) -> None:
        self.store.down = True
        self.clock.pump([1] * 2 * COUNT_EVERY)
        self.assertEqual(self.service.counts(), (3, 5))
        self.store.down, self.store.counts = False, Counts(1, 1)
        self.clock.pump([1] * COUNT_EVERY)
        self.assertEqual(self.service.counts(), (1, 1))

    def test_what_is_over_is_told(self) -> None:
        over = Removed("a@h", (), ())
        self.store.over = [over]
        self.clock.advance(1)
        self.assertEqual(self.told, [over])

    def test_lookup(self) -> None:
        """A store that does not answer is 503, not nobody."""
        location = Location(self.store, lambda aor: True, self.clock.seconds)
        found: Any = location.lookup("a@h")
        self.assertEqual([str(each.uri) for each in self.successResultOf(found)], ["sip:a@192.0.2.1"])
        self.store.down = True
        found = location.lookup("a@h")
        refused = self.failureResultOf(found, Refused).value
        self.assertEqual((refused.status, refused.headers), (503, (("Retry-After", "5"),)))


class OwnTests(SynchronousTestCase):
    def test_counted_when_asked(self) -> None:
        clock = Clock()
        service = LocationService(clock, "memory:", clock.seconds)
        assert isinstance(service.store, MemoryStore)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        self.assertEqual(service.counts(), (0, 0))
        service.store.apply(change(bound(now=0.0), now=0.0))
        self.assertEqual(service.counts(), (1, 1))
