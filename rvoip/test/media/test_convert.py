"""The rate of whole sounds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.media.convert import convert
from rvoip.test.media.sounds import frequency_of, level_of, sine

RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)


class ConvertTests(SynchronousTestCase):
    def test_a_tone_stays_itself_between_all_rates(self) -> None:
        for source in RATES:
            tone = sine(1000, 1, source)
            for target in RATES:
                found = convert(tone, source, target)
                self.assertEqual(len(found), target)
                self.assertApproximates(frequency_of(found, target), 1000, 1, f"{source} {target}")
                wanted = sine(1000, 1, target).astype(np.int32)
                middle = slice(target // 10, -target // 10)
                self.assertLess(level_of(found[middle] - wanted[middle]), -75, msg=f"{source} {target}")

    def test_what_does_not_fit_is_gone(self) -> None:
        for frequency in (4100, 5000, 7000, 11_000, 15_900, 20_000):
            found = convert(sine(frequency, 1, 48000), 48000, 8000)[400:-400]
            self.assertLess(level_of(found) - level_of(sine(1000, 1)), -58, msg=str(frequency))

    def test_speech_passes_whole(self) -> None:
        for frequency in (50, 300, 3000, 3400):
            found = convert(sine(frequency, 1, 44100), 44100, 8000)[400:-400]
            self.assertApproximates(level_of(found), level_of(sine(frequency, 1)), 0.05)

    def test_nothing_is_late(self) -> None:
        click = np.zeros(8000, np.int16)
        click[2000] = 20000
        for target in RATES[1:]:
            self.assertApproximates(int(convert(click, 8000, target).argmax()), target // 4, 1)

    def test_full_scale_does_not_wrap(self) -> None:
        square = np.where(np.arange(8000) % 20 < 10, 32767, -32768).astype(np.int16)
        found = convert(square, 8000, 48000)
        high = found[(np.arange(48000) % 120 > 20) & (np.arange(48000) % 120 < 40)][5:-5]
        self.assertGreater(int(high.min()), 20000)

    def test_a_constant_stays_itself(self) -> None:
        for target in (8000, 16000, 48000):
            found = convert(np.full(11025, 12345, np.int16), 11025, target)[200:-200]
            self.assertLessEqual(int(np.abs(found.astype(int) - 12345).max()), 1)

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(st.integers(8000, 48000), st.sampled_from((8000, 16000, 24000, 48000)), st.integers(1, 300))
    def test_the_length_follows_the_rates(self, source: int, target: int, count: int) -> None:
        found = convert(np.arange(count).astype(np.int16), source, target)
        self.assertEqual(len(found), -(-count * target // source))
        self.assertEqual(found.dtype, np.int16)

    def test_no_audio_has_none(self) -> None:
        self.assertEqual(len(convert(np.zeros(0, np.int16), 8000, 16000)), 0)
