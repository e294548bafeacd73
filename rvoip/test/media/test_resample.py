"""The resampler, measured with tones."""

from __future__ import annotations

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from rvoip.media.arrays import Frames
from rvoip.media.resample import RATES, Resampler
from rvoip.test.media.signals import decibels, height_of, loudest, pcm, rms, sine

PAIRS = [(source, target) for source in RATES for target in RATES if source != target]


def through(source: int, target: int, audio: Frames, frame: float = 0.02) -> Frames:
    """Resample rows in frames of `frame` seconds."""
    resampler = Resampler(source, target)
    rows = np.array([resampler.add() for _ in audio])
    step = round(source * frame)
    parts = [resampler.process(rows, audio[:, at : at + step]) for at in range(0, audio.shape[1], step)]
    return np.concatenate(parts, axis=1)


class ResamplerTests(SynchronousTestCase):
    def test_tones_of_the_band_stay_what_they_are(self) -> None:
        for source, target in PAIRS:
            low = min(source, target)
            for share in (0.02, 0.2, 0.35, 0.42):
                out = through(source, target, pcm(sine(share * low, 0.2, source)))[0, target // 20 :]
                self.assertApproximates(loudest(out, target), share * low, 1)
                self.assertApproximates(decibels(rms(out) / 7071), 0, 0.2)

    def test_what_would_fold_back_is_gone(self) -> None:
        """Tones from the edge of the lower rate up to that of the source are 50 dB down at least."""
        for source, target in PAIRS:
            if source < target:
                continue
            for frequency in np.linspace(0.501 * target, 0.499 * source, 25):
                out = through(source, target, pcm(sine(frequency, 0.1, source, 20_000)))[0, target // 40 :]
                self.assertLess(decibels(rms(out) / 14142), -50, f"{source}->{target} at {frequency:.0f} Hz")

    def test_images_are_gone(self) -> None:
        """Whatever a tone leaves outside of the source's band is 50 dB down at least."""
        for source, target in PAIRS:
            if source > target:
                continue
            for frequency in np.linspace(0.03 * source, 0.45 * source, 12):
                out = through(source, target, pcm(sine(frequency, 0.1, source, 20_000)))[0, target // 40 :]
                spectrum = np.abs(np.fft.rfft(out * np.blackman(len(out))))
                hertz = np.fft.rfftfreq(len(out), 1 / target)
                image = spectrum[hertz > 0.505 * source].max()
                self.assertLess(
                    decibels(image / spectrum.max()), -50, f"{source}->{target} at {frequency:.0f} Hz"
                )

    def test_nothing_is_held_back(self) -> None:
        for source, target in PAIRS:
            for milliseconds in (10, 20, 30):
                audio = np.ones((2, source * milliseconds // 1000), np.int16)
                out = through(source, target, audio, milliseconds / 1000)
                self.assertEqual(out.shape, (2, target * milliseconds // 1000))
            click = np.zeros((1, source // 50), np.int16)
            click[0, 0] = 30_000
            late = int(np.abs(through(source, target, click)[0].astype(np.int32)).argmax()) / target
            self.assertLess(late, 0.0026)
            self.assertApproximates(late, Resampler(source, target).delay, 1.5 / target)

    def test_a_constant_stays_itself(self) -> None:
        for source, target in PAIRS:
            for value in (1, -1, 12_345, 32_767, -32_768):
                out = through(source, target, np.full((1, source // 10), value, np.int16))
                self.assertTrue((out[0, target // 20 :] == value).all())

    def test_many_are_to_the_bit_what_one_is(self) -> None:
        rng = np.random.default_rng(4)
        for source, target in PAIRS:
            audio = rng.integers(-32768, 32768, (131, source // 25)).astype(np.int16)
            together = through(source, target, audio)
            for row in (0, 1, 63, 64, 130):
                alone = through(source, target, audio[row : row + 1])
                np.testing.assert_array_equal(alone[0], together[row])
            # Nor does it matter how it is cut.
            np.testing.assert_array_equal(through(source, target, audio[:3], 0.01), together[:3])
            np.testing.assert_array_equal(through(source, target, audio[:3], 0.04), together[:3])

    def test_frames_join_without_a_seam(self) -> None:
        tone = pcm(sine(1000, 0.4, 8000))
        out = through(8000, 16000, tone)[0, 1600:].astype(np.float64)
        left = out - sine(1000, 0.3, 16000, height_of(out, 1000, 16000), np.angle(_turn(out, 1000, 16000)))
        self.assertLess(np.abs(left).max(), 30)

    def test_loud_sound_is_clipped(self) -> None:
        square = np.where(np.arange(1600) % 40 < 20, 32767, -32768).astype(np.int16)[np.newaxis]
        out = through(8000, 16000, square)[0, 400:]
        self.assertEqual((int(out.max()), int(out.min())), (32767, -32768))
        self.assertLess(np.abs(np.diff(out.astype(np.int32))).max(), 50_000)

    def test_a_stream_that_is_removed_leaves_nothing(self) -> None:
        resampler = Resampler(8000, 16000)
        row = resampler.add()
        resampler.process(np.array([row]), np.full((1, 160), 9000, np.int16))
        resampler.remove(row)
        self.assertEqual(resampler.add(), row)
        self.assertFalse(resampler.process(np.array([row]), np.zeros((1, 160), np.int16)).any())

    def test_same_rate_and_what_is_refused(self) -> None:
        audio = np.arange(160, dtype=np.int16)[np.newaxis]
        np.testing.assert_array_equal(through(8000, 8000, audio), audio)
        self.assertRaises(ValueError, Resampler, 8000, 44100)
        self.assertRaises(ValueError, Resampler, 11025, 8000)
        resampler = Resampler(48000, 16000)
        self.assertRaises(
            ValueError, resampler.process, np.array([resampler.add()]), np.zeros((1, 961), np.int16)
        )


def _turn(wave: np.ndarray[tuple[int], np.dtype[np.float64]], frequency: float, rate: int) -> complex:
    """The phase of a sine, as a complex number whose angle it is."""
    found = (wave * np.exp(-2j * np.pi * frequency / rate * np.arange(len(wave)))).sum() * 1j
    return complex(found)
