"""The states of a role."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.health import Health, HealthReport


class HealthTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.health = Health()
        self.store: str | None = None
        self.health.add("store", lambda: self.store)

    def test_a_life(self) -> None:
        self.assertEqual(self.health.report(), HealthReport("starting", {"store": "ok"}))
        self.health.start()
        self.assertEqual(self.health.report(), HealthReport("ready", {"store": "ok"}))
        self.assertTrue(self.health.report().ready)
        self.store = "the database is locked"
        self.assertEqual(self.health.report(), HealthReport("failing", {"store": "the database is locked"}))
        self.store = None
        self.assertTrue(self.health.report().ready)
        self.health.drain()
        self.assertTrue(self.health.draining)
        self.assertEqual(self.health.report().status, "draining")
        self.health.start()
        self.assertFalse(self.health.report().ready)

    def test_only_vital_checks_decide_whether_it_lives(self) -> None:
        self.health.start()
        self.store = "gone"
        self.assertEqual(self.health.live(), HealthReport("ready", {}))
        self.health.add("writer", lambda: "the thread died", vital=True)
        self.assertEqual(self.health.live(), HealthReport("failing", {"writer": "the thread died"}))
        self.health.drain()
        self.assertEqual(self.health.live().status, "failing")
        self.health.remove("writer")
        self.health.remove("writer")
        self.assertEqual(self.health.live(), HealthReport("draining", {}))

    def test_a_check_that_raises_is_not_well(self) -> None:
        def broken() -> str | None:
            raise ValueError("secret detail")

        self.health.start()
        self.health.add("broken", broken)
        self.assertEqual(
            self.health.report(),
            HealthReport("failing", {"store": "ok", "broken": "the check itself failed"}),
        )
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_names_are_unique(self) -> None:
        self.assertRaises(ValueError, self.health.add, "store", lambda: None)
