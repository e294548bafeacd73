from __future__ import annotations

from twisted.trial.unittest import TestCase

from rvoip.proxy.health import ACTIVE, DISABLED, INACTIVE, PROBING, Health


class HealthTests(TestCase):
    def test_fails_and_recovers(self) -> None:
        health = Health(0.0, fail_after=3, recover_after=2, probed=True)
        seen = []
        for now, well in enumerate((True, False, False, False, False, True, False, True, True)):
            (health.succeeded if well else health.failed)(float(now))
            seen.append(health.look(float(now)))
        self.assertEqual(
            seen,
            [ACTIVE, PROBING, PROBING, INACTIVE, INACTIVE, INACTIVE, INACTIVE, INACTIVE, ACTIVE],
        )
        self.assertEqual(health.since, 8.0)

    def test_failures_in_a_row(self) -> None:
        health = Health(0.0, fail_after=2, recover_after=1)
        for now in range(10):
            health.failed(float(now))
            health.succeeded(now + 0.5)
            self.assertEqual(health.look(now + 0.6), ACTIVE)

    def test_one_failure_is_enough(self) -> None:
        health = Health(0.0, fail_after=1)
        health.failed(1.0)
        self.assertEqual(health.look(1.0), INACTIVE)

    def test_rest_without_probes(self) -> None:
        health = Health(0.0, fail_after=2, rest=60.0)
        health.failed(0.0)
        health.failed(1.0)
        self.assertEqual(health.look(60.9), INACTIVE)
        self.assertEqual(health.look(61.0), PROBING)
        health.failed(62.0)
        self.assertEqual(health.look(63.0), INACTIVE, "one more failure, and it rests again")
        self.assertEqual(health.look(122.0), PROBING)
        health.succeeded(123.0)
        self.assertEqual(health.look(123.0), ACTIVE)

    def test_probed_ones_wait_for_a_probe(self) -> None:
        health = Health(0.0, fail_after=1, rest=60.0, probed=True)
        health.failed(0.0)
        self.assertEqual(health.look(1e6), INACTIVE)

    def test_retry_after(self) -> None:
        health = Health(0.0, probed=True)
        health.failed(10.0, rest=30.0)
        self.assertEqual(health.look(10.0), INACTIVE)
        health.succeeded(20.0)
        self.assertEqual(health.look(39.0), INACTIVE, "an answer to OPTIONS does not end it")
        self.assertEqual(health.look(40.0), PROBING)
        health.succeeded(41.0)
        self.assertEqual(health.look(41.0), ACTIVE)

    def test_operator(self) -> None:
        health = Health(0.0, fail_after=2)
        health.set_state(DISABLED, 1.0)
        health.failed(2.0)
        health.failed(2.0, rest=5.0)
        health.succeeded(3.0)
        self.assertEqual(health.look(1e6), DISABLED, "until the operator says otherwise")
        health.set_state(INACTIVE, 4.0)
        self.assertEqual(health.look(1e6), INACTIVE)
        health.succeeded(5.0)
        self.assertEqual(health.look(5.0), ACTIVE)
        health.set_state(PROBING, 6.0)
        health.failed(7.0)
        self.assertEqual(health.look(7.0), INACTIVE)
        health.set_state(ACTIVE, 8.0)
        self.assertEqual((health.look(8.0), health.failures), (ACTIVE, 0))
        self.assertRaises(ValueError, health.set_state, "tired", 9.0)
