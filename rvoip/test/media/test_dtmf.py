"""Digits as ITU-T Q.24 wants them found, and speech that has none."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.media.arrays import Doubles, Frames
from rvoip.media.dtmf import COLUMNS, DIGITS, ROWS, DtmfDetector, dtmf_program
from rvoip.media.errors import MediaError, ToneError
from rvoip.media.tones import ToneGenerator, parse_tone
from rvoip.test.media.signals import decibels, height_of, pcm, sine, vowels


def digit(
    number: int,
    seconds: float,
    rate: int = 8000,
    low: float = 4000,
    high: float = 4000,
    off: float = 0,
    phase: float = 0,
) -> Doubles:
    """A digit by its number, `off` its frequencies by that share."""
    row, column = divmod(number, 4)
    return sine(ROWS[row] * (1 + off), seconds, rate, low, phase) + sine(
        COLUMNS[column] * (1 + off), seconds, rate, high, 2 * phase + 1
    )


def line_of(
    digits: str = DIGITS,
    tone: float = 0.04,
    pause: float = 0.04,
    rate: int = 8000,
    shift: int = 0,
    noise: float = 0,
    seed: int = 1,
    low: float = 4000,
    high: float = 4000,
    off: float = 0,
) -> Frames:
    """Digits with pauses, `noise` its RMS, beginning `shift` samples into a frame."""
    parts = [np.zeros(rate // 10 + shift)]
    for one in digits:
        parts += (digit(DIGITS.index(one), tone, rate, low, high, off), np.zeros(round(pause * rate)))
    wave = np.concatenate((*parts, np.zeros(rate // 5)))
    wave = np.append(wave, np.zeros(-len(wave) % (rate // 50)))
    return pcm(wave + np.random.default_rng(seed).normal(0, noise, len(wave)) if noise else wave)


def heard(audio: Frames, rate: int = 8000, frame: float = 0.02) -> list[str]:
    """The digits of each row, with how many milliseconds they had when they ended."""
    detector = DtmfDetector(rate)
    rows = np.array([detector.add() for _ in audio])
    found = ["" for _ in audio]
    step = round(rate * frame)
    for at in range(0, audio.shape[1] - step + 1, step):
        events = detector.process(rows, audio[:, at : at + step])
        for row, code, ended in zip(events.rows.tolist(), events.digits.tolist(), events.ended.tolist()):
            if not ended:
                found[row] += chr(code)
    return found


def spoken(program: str, voice: str, pitch: int) -> Doubles:
    """Words at 8 kHz, loud."""
    words = """The quick brown fox jumps over the lazy dog. Please hold the line, your call is important.
        One two three four five six seven eight nine zero. Press the star key, or ask for Mississippi."""
    command = [program, "-v", voice, "-p", str(pitch), "--stdout"]
    file = subprocess.run(command, input=words.encode(), capture_output=True, check=True).stdout
    # The header says no length, since it is written to a pipe; after it come 16-bit samples.
    samples = np.frombuffer(file[44 : len(file) // 2 * 2], "<i2").astype(np.float64)
    rate = int.from_bytes(file[24:28], "little")
    count = len(samples) * 8000 // rate
    wave = np.fft.irfft(np.fft.rfft(samples)[: count // 2 + 1], count)
    found: Doubles = 20_000 * wave / np.abs(wave).max()
    return found


class DetectionTests(SynchronousTestCase):
    def test_all_digits_of_40_ms_wherever_they_begin(self) -> None:
        for rate in (8000, 16000, 24000, 48000):
            for shift in range(0, rate // 50, rate // 400):
                self.assertEqual(heard(line_of(rate=rate, shift=shift), rate), [DIGITS], f"{rate} {shift}")

    def test_frames_of_any_tens_of_milliseconds(self) -> None:
        audio = line_of(tone=0.05)
        audio = np.pad(audio, ((0, 0), (0, -audio.shape[1] % 480)))
        for frame in (0.01, 0.02, 0.03, 0.06):
            self.assertEqual(heard(audio, frame=frame), [DIGITS])

    def test_noise_15_db_below(self) -> None:
        lines = [line_of(noise=4000 * 10 ** (-15 / 20), seed=seed, shift=seed * 7) for seed in range(20)]
        width = max(line.shape[1] for line in lines)
        found = heard(np.concatenate([np.pad(line, ((0, 0), (0, width - line.shape[1]))) for line in lines]))
        self.assertEqual(found, [DIGITS] * 20)

    def test_twist(self) -> None:
        def lines(twist: float, tone: float = 0.04, noise: float = 0, shift: int = 0) -> Frames:
            low, high = 3000 * 10 ** (twist / 40), 3000 * 10 ** (-twist / 40)
            return line_of(tone=tone, noise=noise, shift=shift, low=low, high=high)

        for twist in (8, 4, -4, -2):
            for noise in (0, 300):
                for shift in (0, 33, 77, 121):
                    found = heard(lines(twist, noise=noise, shift=shift))
                    self.assertEqual(found, [DIGITS], f"{twist} dB")
        for twist in (11, 14, -7, -10):
            self.assertEqual(heard(lines(twist, 0.1)), [""], f"{twist} dB")

    def test_frequencies(self) -> None:
        for off in (-0.015, -0.01, 0.01, 0.015):
            for shift in (0, 33, 77, 121):
                self.assertEqual(heard(line_of(off=off, shift=shift)), [DIGITS], f"{off:+.1%}")
                self.assertEqual(
                    heard(line_of(off=off, shift=shift, noise=500)), [DIGITS], f"{off:+.1%} and noise"
                )
        for off in (-0.04, -0.035, 0.035, 0.04):
            self.assertEqual(heard(line_of(off=off, tone=0.1)), [""], f"{off:+.1%}")

    def test_levels(self) -> None:
        for height in (16_000, 8000, 1000, 500):
            self.assertEqual(heard(line_of(low=height, high=height)), [DIGITS])
        self.assertEqual(heard(line_of(low=150, high=150)), [""])
        # Far too loud, and clipped.
        self.assertEqual(heard(line_of(low=20_000, high=20_000)), [DIGITS])

    def test_short_tones_are_none(self) -> None:
        for shift in range(0, 160, 10):
            self.assertEqual(heard(line_of(tone=0.024, shift=shift)), [""])

    def test_pauses_and_interruptions(self) -> None:
        for shift in range(0, 160, 20):
            self.assertEqual(heard(line_of("5555", 0.04, 0.04, shift=shift)), ["5555"])
            self.assertEqual(heard(line_of("55", 0.06, 0.015, shift=shift)), ["5"])
            self.assertEqual(heard(line_of("5", 1.5, shift=shift)), ["5"])
            # Another digit needs no pause.
            self.assertEqual(heard(line_of("5938", 0.06, 0.0, shift=shift)), ["5938"])

    def test_events(self) -> None:
        detector = DtmfDetector(8000)
        rows = np.array([detector.add(), detector.add()])
        audio = np.concatenate([line_of("1", 0.2), np.zeros_like(line_of("1", 0.2))])
        found = []
        sounding = []
        for number in range(audio.shape[1] // 160):
            events = detector.process(rows, audio[:, number * 160 : (number + 1) * 160])
            sounding.append(bool(detector.sounding[0]))
            for row, code, ended, samples in zip(*(column.tolist() for column in events)):
                found.append((number, row, chr(code), ended, samples / 8))
        (began, row, code, ended, length), (end, *last) = found
        self.assertEqual((row, code, ended, length), (0, "1", False, 30))
        # The tone lasts from frame 5 to frame 14.
        self.assertEqual((began, end), (6, 17))
        self.assertEqual(last[:3], [0, "1", True])
        self.assertApproximates(last[3], 200, 15)
        self.assertEqual(sounding.index(True), 5)
        self.assertEqual(sum(sounding), 10)

    def test_tones_of_the_network_are_no_digits(self) -> None:
        generator = ToneGenerator(8000)
        texts = [
            "350+440",
            "440+480",
            "480+620",
            "425",
            "400*25",
            "1400",
            "2100",
            "1100",
            "697",
            "941",
            "1209",
            "697+770",
        ]
        rows = np.array([generator.begin(parse_tone(f"tone:{text}")) for text in texts])
        audio = np.concatenate([generator.process(rows, 160) for _ in range(50)], axis=1)
        self.assertEqual(heard(audio), [""] * len(texts))

    def test_speech_is_no_digit(self) -> None:
        """Two minutes of something like talk, and noise."""
        rng = np.random.default_rng(11)
        talk = np.concatenate([pcm(vowels(rng, 10)) for _ in range(12)])
        self.assertEqual(heard(talk), [""] * 12)
        noise = np.concatenate([pcm(rng.normal(0, 3000, 160_000)) for _ in range(10)])
        self.assertEqual(heard(noise), [""] * 10)

    def test_speech_of_a_synthesiser_is_no_digit(self) -> None:
        """Some minutes of words in several languages, where espeak-ng is installed: one digit at most."""
        program = shutil.which("espeak-ng")
        if program is None:
            raise SkipTest("espeak-ng is not installed")
        lines = [
            spoken(program, voice, pitch)
            for voice in ("en", "de", "fr", "it+f4", "pl")
            for pitch in (20, 50, 80)
        ]
        width = -(-max(map(len, lines)) // 160) * 160
        talk = np.concatenate([pcm(np.pad(line, (0, width - len(line)))) for line in lines])
        self.assertGreater(width / 8000, 10)
        self.assertLessEqual(sum(map(len, heard(talk))), 1)

    def test_digits_in_talk_are_found(self) -> None:
        """A prompt leaks back 20 dB below the digits."""
        rng = np.random.default_rng(5)
        for shift in (0, 50, 101):
            audio = line_of(tone=0.08, pause=0.08, shift=shift)
            wave = audio[0] + vowels(rng, audio.shape[1] / 8000) * 0.06
            self.assertEqual(heard(pcm(wave)), [DIGITS])

    def test_many_are_to_the_bit_what_one_is(self) -> None:
        rng = np.random.default_rng(2)
        lines = [
            line_of(noise=float(rng.uniform(0, 2500)), shift=int(rng.integers(160)), seed=n, tone=0.035)
            for n in range(24)
        ]
        width = max(line.shape[1] for line in lines)
        audio = np.concatenate([np.pad(line, ((0, 0), (0, width - line.shape[1]))) for line in lines])
        many, one = DtmfDetector(8000), DtmfDetector(8000)
        rows = np.array([many.add() for _ in audio])
        one.add()
        for at in range(0, width, 160):
            together = many.process(rows, audio[:, at : at + 160])
            alone = one.process(np.array([0]), audio[9:10, at : at + 160])
            mine = together.rows == 9
            for column in ("digits", "ended", "samples"):
                self.assertEqual(getattr(together, column)[mine].tolist(), getattr(alone, column).tolist())
            self.assertEqual(many._loudness[9], one._loudness[0])

    def test_refusals(self) -> None:
        detector = DtmfDetector(8000)
        rows = np.array([detector.add()])
        self.assertRaises(MediaError, detector.process, rows, np.zeros((1, 100), np.int16))
        self.assertRaises(MediaError, DtmfDetector, 11025)
        self.assertEqual(len(detector.process(rows, np.zeros((1, 0), np.int16)).rows), 0)


class GenerationTests(SynchronousTestCase):
    def played(self, program: object, seconds: float, rate: int = 8000) -> Frames:
        generator = ToneGenerator(rate)
        row = np.array([generator.begin(program)])  # type: ignore[arg-type]
        return np.concatenate(
            [generator.process(row, rate // 50) for _ in range(round(seconds * 50))], axis=1
        )

    def test_what_is_sent_is_heard(self) -> None:
        for rate in (8000, 16000, 48000):
            audio = self.played(dtmf_program(DIGITS, 50, 45), 2, rate)
            self.assertEqual(heard(audio, rate), [DIGITS])

    def test_lengths_levels_and_twist(self) -> None:
        audio = self.played(dtmf_program("5,0", 100, 60, -10, 2), 1)[0]
        low, high = height_of(audio[:800], 770, 8000), height_of(audio[:800], 1336, 8000)
        self.assertApproximates(decibels(high / low), 2, 0.1)
        power = (low * low + high * high) / 2 / 32768**2
        self.assertApproximates(10 * np.log10(power), -10, 0.1)
        self.assertTrue(audio[:800].any())
        self.assertFalse(audio[800 : 800 + 480 + 4000].any())
        self.assertTrue(audio[5280:6080].any())
        self.assertFalse(audio[6080:].any())

    def test_refusals(self) -> None:
        for digits in ("", "1" * 129, "12x", "1 2", "\u0661"):
            self.assertRaises(ToneError, dtmf_program, digits)
        self.assertRaises(ToneError, dtmf_program, "1", 0)
        self.assertRaises(ToneError, dtmf_program, "1", 100, 10_001)
        self.assertEqual(dtmf_program("abcd"), dtmf_program("ABCD"))
