"""What a loss sounds like."""

from __future__ import annotations

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from rvoip.media.arrays import Doubles, Frames
from rvoip.media.conceal import Concealer
from rvoip.media.errors import MediaError
from rvoip.test.media.signals import decibels, loudest, pcm, rms, sine, vowels


def voice(pitch: float, seconds: float, rate: int = 8000) -> Doubles:
    """A steady vowel."""
    return sum(
        (sine(pitch * n, seconds, rate, 6000 / n, n) for n in range(1, 8)), np.zeros(round(seconds * rate))
    )


def through(audio: Frames, lost: list[int], rate: int = 8000, milliseconds: int = 20) -> Frames:
    """Play frames of `audio` of which those numbered in `lost` do not arrive, in all rows."""
    concealer = Concealer(rate)
    rows = np.array([concealer.add() for _ in audio])
    step = rate * milliseconds // 1000
    out = audio.copy()
    for number in range(audio.shape[1] // step):
        frame = out[:, number * step : (number + 1) * step]
        gone = number in lost
        if gone:
            frame[:] = -1
        taken = frame.copy()
        concealer.process(rows, taken, np.full(len(rows), gone))
        frame[:] = taken
    return out


class ConcealerTests(SynchronousTestCase):
    def test_a_lost_frame_of_a_vowel_is_hardly_missed(self) -> None:
        for rate in (8000, 16000, 24000, 48000):
            for pitch in (70, 101, 123.4, 190):
                for milliseconds in (10, 20, 30):
                    wave = voice(pitch, 0.6, rate)
                    out = through(pcm(wave), [15], rate, milliseconds)[0]
                    begin = 15 * milliseconds * rate // 1000
                    # 10 ms are as loud as what was said, and alike.
                    span = slice(begin, begin + rate // 100)
                    wrong = decibels(rms(out[span] - wave[span]) / rms(wave[span]))
                    self.assertLess(wrong, -10, f"{pitch} Hz at {rate} Hz, {milliseconds} ms")

    def test_the_pitch_goes_on(self) -> None:
        for pitch in (80, 110, 150, 195):
            out = through(pcm(voice(pitch, 0.5)), [15, 16])[0, 15 * 160 : 17 * 160]
            self.assertApproximates(loudest(np.pad(out, (0, 4000)), 8000) / pitch, 1, 0.08)

    def test_no_step_anywhere(self) -> None:
        for pitch in (75, 130, 188):
            wave = pcm(voice(pitch, 0.8))
            largest = int(np.abs(np.diff(wave[0].astype(np.int32))).max())
            for lost in ([10], [10, 11], [10, 11, 12, 13, 14], [10, 12, 14, 15]):
                out = through(wave, lost)[0].astype(np.int32)
                self.assertLess(int(np.abs(np.diff(out)).max()), 1.5 * largest, f"{pitch} Hz, {lost}")

    def test_a_long_loss_fades_to_silence_at_60_ms(self) -> None:
        out = through(pcm(voice(120, 1)), list(range(20, 40)))[0]
        begin = 20 * 160
        levels = [rms(out[begin + at * 80 : begin + (at + 1) * 80]) for at in range(7)]
        plain = rms(out[begin - 800 : begin])
        self.assertGreater(levels[0], 0.8 * plain)
        self.assertEqual(sorted(levels, reverse=True)[0], max(levels[:2]))
        self.assertLess(levels[4], 0.5 * plain)
        self.assertLess(levels[5], 0.25 * plain)
        self.assertFalse(out[begin + 480 : 40 * 160].any())

    def test_the_return_is_a_cross_fade(self) -> None:
        wave = pcm(voice(120, 1))
        out = through(wave, list(range(20, 40)))[0]
        back = 40 * 160
        # It comes out of the silence, and is itself after 10 ms.
        self.assertLess(rms(out[back : back + 16]), 0.4 * rms(wave[0, back : back + 16]))
        np.testing.assert_array_equal(out[back + 80 :], wave[0, back + 80 :])
        out = through(wave, [20])[0]
        self.assertTrue((out[21 * 160 : 21 * 160 + 10] != wave[0, 21 * 160 : 21 * 160 + 10]).any())
        np.testing.assert_array_equal(out[21 * 160 + 160 :], wave[0, 21 * 160 + 160 :])

    def test_frames_that_arrive_are_left_alone(self) -> None:
        wave = pcm(vowels(np.random.default_rng(1), 1))
        np.testing.assert_array_equal(through(wave, []), wave)

    def test_silence_and_full_scale(self) -> None:
        self.assertFalse(through(np.zeros((1, 3200), np.int16), [0, 1, 5, 9]).any())
        loud = np.where(np.arange(3200) % 60 < 30, 32767, -32768).astype(np.int16)[np.newaxis]
        out = through(loud, [5, 9, 10]).astype(np.int32)
        self.assertGreater(rms(out[0, 800:880]), 25_000)

    def test_a_first_frame_that_is_lost_is_silence(self) -> None:
        wave = pcm(voice(100, 0.1))
        out = through(wave, [0, 1])
        self.assertFalse(out[0, :320].any())
        np.testing.assert_array_equal(out[0, 400:], wave[0, 400:])

    def test_many_are_to_the_bit_what_one_is(self) -> None:
        rng = np.random.default_rng(3)
        for rate in (8000, 16000):
            audio = np.concatenate([pcm(vowels(rng, 0.6, rate)) for _ in range(9)])
            lost = rng.random((30, 9)) < 0.4
            step = rate // 50
            many = Concealer(rate)
            rows = np.array([many.add() for _ in audio])
            alone = [Concealer(rate) for _ in audio]
            for one in alone:
                one.add()
            for number in range(30):
                frame = audio[:, number * step : (number + 1) * step].copy()
                single = frame.copy()
                many.process(rows, frame, lost[number])
                for row, one in enumerate(alone):
                    taken = single[row : row + 1]
                    one.process(np.array([0]), taken, lost[number, row : row + 1])
                    np.testing.assert_array_equal(taken[0], frame[row])

    def test_rows_are_their_own(self) -> None:
        concealer = Concealer(8000)
        rows = np.array([concealer.add(), concealer.add()])
        frame = np.repeat(pcm(voice(100, 0.02)), 2, axis=0)
        for _ in range(4):
            concealer.process(rows, frame.copy(), np.array([False, False]))
        lost = np.zeros_like(frame)
        concealer.process(rows, lost, np.array([True, False]))
        self.assertTrue(lost[0].any())
        self.assertFalse(lost[1].any())
        self.assertEqual(concealer.lost_for(rows).tolist(), [0.02, 0])
        concealer.remove(0)
        self.assertEqual(concealer.add(), 0)
        concealer.process(rows[:1], lost[:1], np.array([True]))
        self.assertFalse(lost[0].any())

    def test_rates(self) -> None:
        self.assertRaises(MediaError, Concealer, 11025)
