"""The E-model beside values that were published."""

from __future__ import annotations

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from rvoip.media.errors import MediaError
from rvoip.media.quality import CODECS, burst_ratio, impairment, mos, one_way_delay, rate, rating_factor


class QualityTests(SynchronousTestCase):
    def test_default_values(self) -> None:
        """G.107: all parameters at their default values give R = 93.2 and MOS = 4.41."""
        found = rate(0, 4.3, 0, 0)
        self.assertApproximates(float(found.r), 93.2, 0.05)
        self.assertApproximates(float(found.mos), 4.41, 0.005)

    def test_r_to_mos(self) -> None:
        """G.107 Annex B, table B.1 and the limits of its formula."""
        np.testing.assert_allclose(mos([90, 80, 70, 60, 50]), [4.34, 4.03, 3.60, 3.10, 2.58], atol=0.006)
        self.assertEqual(mos([-20, 0, 100, 150]).tolist(), [1, 1, 4.5, 4.5])
        curve = mos(np.linspace(-10, 110, 500))
        self.assertTrue((np.diff(curve) >= 0).all())
        self.assertGreaterEqual(curve.min(), 1)

    def test_loss_and_delay(self) -> None:
        """G.711 at 150 ms with loss, and at 250 ms; without concealment 5 % are ruinous."""
        for codec, loss, delay, wanted in (
            ("PCMU", 0.01, 0.15, 4.23),
            ("PCMU", 0.05, 0.15, 3.77),
            ("PCMA", 0.05, 0.25, 3.28),
            ("PCMA", 0.10, 0.15, 3.23),
        ):
            self.assertApproximates(float(rate(*impairment(codec), loss, delay).mos), wanted, 0.01)
        self.assertApproximates(float(rate(*impairment("PCMA", concealed=False), 0.05, 0.15).mos), 1.99, 0.01)

    def test_absolute_delay(self) -> None:
        """Without loss: next to nothing up to 150 ms, below 70 from 350 ms or so (G.114 figure 1)."""
        r = rating_factor(0, 25.1, 0, [0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5])
        np.testing.assert_allclose(r, [93.2, 90.7, 89.5, 86.9, 74.0, 62.3, 53.6], atol=1.5)
        self.assertTrue((np.diff(r) < 0).all())

    def test_bursts_are_worse(self) -> None:
        random, burst = rate(0, 25.1, 0.05, 0.1), rate(0, 25.1, 0.05, 0.1, 2)
        self.assertLess(float(burst.r), float(random.r))
        # Ie-eff = 95 * 5 / (5 / 2 + 25.1)
        self.assertApproximates(float(random.r - burst.r), 95 * 5 / (2.5 + 25.1) - 95 * 5 / 30.1, 1e-9)

    def test_listening_leaves_the_delay_out(self) -> None:
        found = rate(0, 25.1, [0, 0.05], [0.4, 0.4])
        self.assertTrue((found.listening > found.mos).all())
        np.testing.assert_allclose(found.listening, rate(0, 25.1, [0, 0.05], 0).mos)

    def test_columns_are_what_single_legs_are(self) -> None:
        rng = np.random.default_rng(1)
        loss, delay, burst = rng.uniform(0, 0.5, 50), rng.uniform(0, 0.6, 50), rng.uniform(0.5, 9, 50)
        values = [list(CODECS.values())[n] for n in rng.integers(len(CODECS), size=50)]
        found = rate([v.ie for v in values], [v.bpl for v in values], loss, delay, burst)
        for n in range(50):
            one = rate(values[n].ie, values[n].bpl, loss[n], delay[n], burst[n])
            np.testing.assert_allclose([one.r, one.mos, one.listening], [c[n] for c in found], rtol=1e-12)

    def test_nonsense_stays_within_bounds(self) -> None:
        found = rate(0, 25.1, [-1, 2, 1, 0], [-5, 1e9, 0, 0], [0, 100, -3, 0])
        self.assertTrue(np.isfinite(found.r).all())
        self.assertTrue(((found.mos >= 1) & (found.mos <= 4.5)).all())

    def test_burst_ratio(self) -> None:
        np.testing.assert_allclose(
            burst_ratio([0, 10, 10, 10, 1000], [0, 10, 5, 1, 1], [1000] * 4 + [1000]), [1, 1, 1.98, 8, 1]
        )
        rng = np.random.default_rng(1)
        lost = rng.random(200_000) < 0.1
        runs = int((lost[1:] & ~lost[:-1]).sum()) + int(lost[0])
        self.assertApproximates(float(burst_ratio(int(lost.sum()), runs, len(lost))), 1, 0.01)

    def test_delay_of_a_leg(self) -> None:
        np.testing.assert_allclose(one_way_delay([0.1, 0], [0.06, 0.02], 0.02, [0, 0.0065]), [0.13, 0.0465])

    def test_codecs(self) -> None:
        self.assertEqual(impairment("opus"), CODECS["OPUS"])
        self.assertEqual(impairment("pcmu"), (0, 25.1))
        self.assertIn("'x'", str(self.assertRaises(MediaError, impairment, "x")))
