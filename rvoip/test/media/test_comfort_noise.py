"""Noise as loud and as coloured as a peer says."""

from __future__ import annotations

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from rvoip.media.arrays import Frames
from rvoip.media.comfort_noise import ComfortNoise, reflection
from rvoip.media.levels import dbov, mean_square


def noise(generator: ComfortNoise, rows: list[int], seconds: float = 2, step: int = 160) -> Frames:
    frames = [generator.process(np.array(rows), step) for _ in range(round(seconds * 8000 / step))]
    return np.concatenate(frames, axis=1)


class ComfortNoiseTests(SynchronousTestCase):
    def test_it_is_as_loud_as_was_said(self) -> None:
        generator = ComfortNoise()
        rows = [generator.begin(seed) for seed in range(5)]
        levels = np.array([-30, -40, -50, -60, -70.0])
        generator.describe(np.array(rows), levels)
        found = dbov(mean_square(noise(generator, rows)))
        np.testing.assert_allclose(found, levels, atol=0.5)
        colours = np.array([[0.9, 0, 0], [-0.9, 0, 0], [0.5, 0.5, 0.1], [-0.98, 0.9, 0], [2, -2, 2]])
        generator.describe(np.array(rows), levels, colours)
        found = dbov(mean_square(noise(generator, rows, 4)))
        np.testing.assert_allclose(found, levels, atol=1.5)

    def test_white_noise_is_flat(self) -> None:
        generator = ComfortNoise()
        row = generator.begin(1)
        generator.describe(np.array([row]), -30)
        bands = self.bands(noise(generator, [row], 8))
        self.assertLess(bands.max() / bands.min(), 1.25)

    def test_coloured_noise_has_its_colour(self) -> None:
        generator = ComfortNoise()
        rows = [generator.begin(1), generator.begin(2)]
        # One reflection coefficient: 1/(1 + k z^-1), a low-pass where k is negative.
        generator.describe(np.array(rows), -30, np.array([[-0.8], [0.8]]))
        low, high = (self.bands(line[np.newaxis]) for line in noise(generator, rows, 8))
        edge = np.abs(1 / (1 - 0.8 * np.exp(-1j * np.pi * np.array([0.0625, 0.9375])))) ** 2
        self.assertApproximates(low[0] / low[-1] / (edge[0] / edge[1]), 1, 0.3)
        self.assertApproximates(high[-1] / high[0] / (edge[0] / edge[1]), 1, 0.3)

    @staticmethod
    def bands(line: Frames) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        power = np.abs(np.fft.rfft(line[0].astype(np.float64))[1:]) ** 2
        return np.array([part.mean() for part in np.array_split(power, 8)])

    def test_streams_differ_and_do_not_repeat(self) -> None:
        generator = ComfortNoise()
        rows = [generator.begin(seed) for seed in (1, 2, -1, 10**30)]
        generator.describe(np.array(rows), -20)
        lines = noise(generator, rows, 4).astype(np.float64)
        alike = np.corrcoef(lines)
        self.assertLess(np.abs(alike - np.eye(4)).max(), 0.05)
        spectrum = np.fft.rfft(lines[0], 2 * lines.shape[1])
        itself = np.fft.irfft(np.abs(spectrum) ** 2)[: lines.shape[1] // 2]
        self.assertLess(np.abs(itself[1:]).max() / itself[0], 0.06)

    def test_many_are_to_the_bit_what_one_is(self) -> None:
        many, alone = ComfortNoise(), ComfortNoise()
        rows = [many.begin(seed) for seed in range(20)]
        colours = np.random.default_rng(1).uniform(-0.9, 0.9, (20, 12))
        colours[::3] = 0
        many.describe(np.array(rows), -40, colours)
        self.assertEqual(alone.begin(7), 0)
        alone.describe(np.array([0]), -40, colours[7:8])
        np.testing.assert_array_equal(noise(many, rows, 0.2)[7], noise(alone, [0], 0.2, 80)[0])

    def test_new_streams_are_silent_and_removed_ones_forgotten(self) -> None:
        generator = ComfortNoise()
        row = generator.begin(3)
        self.assertFalse(noise(generator, [row], 0.1).any())
        generator.describe(np.array([row]), 0)
        self.assertTrue(noise(generator, [row], 0.1).any())
        generator.remove(row)
        self.assertFalse(noise(generator, [generator.begin(3)], 0.1).any())

    def test_reflection_coefficients(self) -> None:
        np.testing.assert_allclose(
            reflection(np.array([127, 0, 254, 255], np.uint8)), [0, -1, 1, 1], atol=0.01
        )
