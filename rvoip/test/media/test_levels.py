"""Levels, gain, voice and speakers."""

from __future__ import annotations

import sys
from unittest import mock

import numpy as np
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.media.active_speaker import ActiveSpeakers
from rvoip.media.agc import GainControl
from rvoip.media.arrays import Column, Frames, StreamTable
from rvoip.media.errors import ExtraError, MediaError
from rvoip.media.levels import SILENCE, dbov, mean_square, measure, peak
from rvoip.media.mixer import Mixer
from rvoip.media.vad import Speaking, VoiceDetector, WebRTCVoiceDetector
from rvoip.test.media.signals import height_of, pcm, sine, vowels

NOW = np.array([0])


class TableTests(SynchronousTestCase):
    def test_rows_are_reused_and_cleared(self) -> None:
        class Two(StreamTable):
            a: np.ndarray[tuple[int], np.dtype[np.int64]]
            b: np.ndarray[tuple[int, int], np.dtype[np.float32]]

        table = Two({"a": Column(np.int64, (), -1), "b": Column(np.float32, (3,))}, 40)
        rows = [table.add() for _ in range(40)]
        self.assertEqual(rows, list(range(40)))
        self.assertEqual((table.a.shape, table.b.shape, len(table)), ((40,), (40, 3), 40))
        self.assertIn("no more than 40", str(self.assertRaises(MediaError, table.add)))
        table.a[5], table.b[5] = 9, 9
        table.remove(5)
        self.assertEqual((int(table.a[5]), table.b[5].tolist(), len(table)), (-1, [0, 0, 0], 39))
        for row in (5, -1, 40):
            self.assertRaises(MediaError, table.remove, row)
        self.assertEqual(table.add(), 5)


class LevelTests(SynchronousTestCase):
    def test_levels(self) -> None:
        full = np.where(np.arange(160) % 2, 32767, -32768).astype(np.int16)
        audio = np.stack([full, pcm(sine(500, 0.02, height=32767))[0], np.zeros(160, np.int16), full // 2])
        found = measure(audio)
        np.testing.assert_allclose(found.rms, [0, -3.01, SILENCE, -6.02], atol=0.01)
        np.testing.assert_allclose(found.peak, [0, 0, SILENCE, -6.02], atol=0.01)
        self.assertEqual(peak(audio).tolist(), [32768, 32767, 0, 16384])

    def test_empty(self) -> None:
        for shape in ((0, 160), (3, 0)):
            found = measure(np.zeros(shape, np.int16))
            self.assertEqual(found.rms.tolist(), [SILENCE] * shape[0])
            self.assertEqual(found.peak.tolist(), [SILENCE] * shape[0])

    def test_sums_are_exact(self) -> None:
        audio = np.random.default_rng(1).integers(-32768, 32768, (1100, 960)).astype(np.int16)
        exact = (audio.astype(np.int64) ** 2).sum(axis=1)
        np.testing.assert_array_equal(mean_square(audio), exact / 960)
        np.testing.assert_array_equal(mean_square(audio[700:701]), mean_square(audio)[700:701])


class GainTests(SynchronousTestCase):
    def level_after(self, height: float, seconds: float, lowest: float = -20) -> tuple[float, Frames]:
        control = GainControl(8000, lowest=lowest)
        row = np.array([control.add()])
        audio = pcm(sine(400, seconds, height=height))
        out = [control.process(row, f, measure(f).rms) for f in np.split(audio, round(seconds * 50), axis=1)]
        return float(measure(out[-1]).rms[0]), np.concatenate(out, axis=1)

    def test_quiet_and_loud_come_to_the_target(self) -> None:
        for height in (900, 4000, 20_000):
            self.assertApproximates(self.level_after(height, 8)[0], -22, 0.5)

    def test_the_gain_is_bounded(self) -> None:
        quiet, _ = self.level_after(300, 10)
        self.assertApproximates(quiet, float(dbov(300**2 / 2)) + 18, 0.5)
        loud, _ = self.level_after(32_000, 3, lowest=-6)
        self.assertApproximates(loud, float(dbov(32_000**2 / 2)) - 6, 0.5)

    def test_noise_is_not_raised(self) -> None:
        level, _ = self.level_after(60, 10)
        self.assertApproximates(level, float(dbov(60**2 / 2)), 0.3)

    def test_it_attacks_faster_than_it_releases(self) -> None:
        down, _ = self.level_after(20_000, 0.2)
        up, _ = self.level_after(1200, 0.2)
        self.assertApproximates(down, -22, 1)
        self.assertLess(up, -28)

    def test_no_steps(self) -> None:
        _, out = self.level_after(20_000, 1)
        steps = np.abs(np.diff(out[0].astype(np.int32)))
        self.assertLess(steps.max(), 20_000 * 2 * np.pi * 400 / 8000 * 1.02)
        self.assertApproximates(height_of(out[0, 4000:], 400, 8000), 32768 * 10 ** (-22 / 20) * 2**0.5, 30)

    def test_many_are_to_the_bit_what_one_is(self) -> None:
        rng = np.random.default_rng(1)
        many, one = GainControl(8000), GainControl(8000)
        rows = np.array([many.add() for _ in range(30)])
        one.add()
        for _ in range(20):
            audio = (
                (rng.normal(0, 3000, (30, 160)) * rng.uniform(0, 2, (30, 1)))
                .clip(-32768, 32767)
                .astype(np.int16)
            )
            level = measure(audio).rms
            out = many.process(rows, audio, level)
            np.testing.assert_array_equal(one.process(NOW, audio[7:8], level[7:8])[0], out[7])

    def test_settings(self) -> None:
        self.assertRaises(ValueError, GainControl, 8000, attack=0)
        self.assertRaises(ValueError, GainControl, 8000, lowest=3)


class VoiceTests(SynchronousTestCase):
    def test_voice_above_noise(self) -> None:
        rng = np.random.default_rng(2)
        for noise in (3, 30, 300):
            detector = VoiceDetector()
            row = np.array([detector.add()])
            quiet = rng.normal(0, noise, 8000 * 5)
            talk = vowels(rng, 2) + rng.normal(0, noise, 16_000)
            found = [
                bool(detector.process(row, measure(frame).rms, 0.02)[0])
                for frame in np.split(pcm(np.concatenate((quiet, talk, quiet))), 600, axis=1)
            ]
            # The first seconds teach it what the noise is.
            self.assertLess(sum(found[5:250]), 4, noise)
            self.assertGreater(sum(found[250:350]), 45, noise)
            self.assertLess(sum(found[400:]), 8, noise)

    def test_hysteresis(self) -> None:
        detector = VoiceDetector(on=9, off=5)
        row = np.array([detector.add()])
        detector.floor[row] = -50

        def hears(level: float) -> bool:
            return bool(detector.process(row, np.array([level], np.float32), 0.02)[0])

        self.assertFalse(hears(-43))
        self.assertTrue(hears(-40))
        self.assertTrue(hears(-43))
        self.assertFalse(hears(-46))
        self.assertFalse(hears(-43))
        self.assertRaises(ValueError, VoiceDetector, 3, 5)

    def test_speaking_starts_late_and_stops_late(self) -> None:
        speaking = Speaking(8000, attack=0.06, hangover=0.2)
        row = np.array([speaking.add(), speaking.add()])[1:]

        def says(text: str) -> str:
            out = ""
            for letter in text:
                changes = speaking.process(row, np.array([letter == "v"]), 160)
                out += "S" if len(changes.started) else "E" if len(changes.stopped) else "-"
                self.assertEqual(set(changes.started.tolist() + changes.stopped.tolist()) - {1}, set())
            return out

        self.assertEqual(says("..vv..vvvv....."), "--------S------")
        self.assertTrue(speaking.speaking[1])
        self.assertEqual(says("vv.........vvv.........."), "-----------------------E")


class SpeakerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.mixer = Mixer()
        self.first, self.second = self.mixer.open_room(), self.mixer.open_room()
        for row in (4, 2, 7):
            self.mixer.join(self.first, row)
        self.mixer.join(self.second, 1)
        self.speakers = ActiveSpeakers()

    def say(self, levels: dict[int, float], frames: int = 30) -> list[tuple[int, int]]:
        level = np.full(8, -90, np.float32)
        for row, value in levels.items():
            level[row] = value
        changes = []
        for _ in range(frames):
            found = self.speakers.process(self.mixer.plan(), level, level > -50, 0.02)
            changes += list(zip(found.rooms.tolist(), found.rows.tolist()))
        return changes

    def test_the_loudest_speaks(self) -> None:
        self.assertEqual(self.say({}), [])
        self.assertIsNone(self.speakers.speaker(self.first))
        self.assertEqual(self.say({2: -30, 7: -40, 1: -45}), [(self.first, 2), (self.second, 1)])
        # A little louder is not enough, nor is silence.
        self.assertEqual(self.say({2: -30, 7: -28}), [])
        self.assertEqual(self.say({}), [])
        self.assertEqual(self.say({2: -30, 7: -25}), [(self.first, 7)])
        self.assertEqual((self.speakers.speaker(self.first), self.speakers.speaker(self.second)), (7, 1))

    def test_a_click_does_not_take_the_floor(self) -> None:
        self.say({2: -30})
        self.assertEqual(self.say({2: -30, 4: -28}, 1), [])

    def test_who_leaves_is_not_the_speaker(self) -> None:
        self.say({2: -30, 1: -20})
        self.mixer.leave(2)
        self.assertEqual(self.say({1: -20}), [(self.first, -1)])
        self.mixer.leave(1)
        self.say({})
        self.assertIsNone(self.speakers.speaker(self.second))
        for row in (4, 7):
            self.mixer.leave(row)
        self.assertEqual(self.say({}), [])
        self.assertIsNone(self.speakers.speaker(99))


class WebRTCTests(SynchronousTestCase):
    def test_without_the_library_there_is_one_line(self) -> None:
        with mock.patch.dict(sys.modules, {"webrtcvad": None}):
            error = self.assertRaises(ExtraError, WebRTCVoiceDetector, 8000)
        self.assertIn("pip install 'rvoip[vad]'", str(error))
        self.assertNotIn("\n", str(error))

    def test_voice(self) -> None:
        try:
            detector = WebRTCVoiceDetector(8000, 1)
        except ExtraError:
            raise SkipTest("webrtcvad is not installed") from None
        rows = np.array([detector.add(), detector.add()])
        talk = pcm(vowels(np.random.default_rng(1), 2))
        silence = np.zeros_like(talk)
        found = np.array(
            [detector.process(rows, f) for f in np.split(np.concatenate((talk, silence)), 100, axis=1)]
        )
        self.assertGreater(found[:, 0].sum(), 50)
        self.assertLess(found[20:, 1].sum(), 2)
        self.assertRaises(MediaError, detector.process, rows, np.zeros((2, 100), np.int16))
        self.assertRaises(MediaError, detector.process, rows, np.zeros((2, 320), np.int16)[:, :0])
        self.assertRaises(MediaError, WebRTCVoiceDetector, 24000)
        self.assertRaises(MediaError, WebRTCVoiceDetector, 8000, 4)
        detector.remove(0)
        self.assertEqual(detector.add(), 0)
