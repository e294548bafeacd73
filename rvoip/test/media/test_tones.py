"""Tones, measured; and the text that describes them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.media.arrays import Frames
from rvoip.media.errors import MediaError, ToneError
from rvoip.media.tone_countries import COUNTRIES, TONES
from rvoip.media.tones import LEVEL, Segment, Tone, ToneGenerator, ToneProgram, parse_tone, render
from rvoip.test.media.signals import decibels, height_of, loudest, rms


def play(program: ToneProgram, seconds: float, rate: int = 8000, milliseconds: int = 20) -> Frames:
    generator = ToneGenerator(rate)
    row = np.array([generator.begin(program)])
    step = rate * milliseconds // 1000
    return np.concatenate([generator.process(row, step)[0] for _ in range(round(seconds * rate / step))])


def runs(line: Frames) -> list[tuple[bool, int]]:
    """Lengths of sound and silence in samples. A tone is nought for a sample, a silence for more."""
    on = np.convolve(np.abs(line.astype(np.int32)) > 0, np.ones(3), "same") > 0
    edges = np.flatnonzero(np.diff(on, prepend=not on[0]))
    return [(bool(on[at]), int(n)) for at, n in zip(edges, np.diff(edges, append=len(on)))]


class ToneTests(SynchronousTestCase):
    def test_frequency_and_level(self) -> None:
        for rate in (8000, 16000, 24000, 48000):
            for text, frequencies in (
                ("440", [440]),
                ("440+480", [440, 480]),
                ("913.8", [913.8]),
                ("3400", [3400]),
            ):
                line = play(parse_tone(f"tone:{text}"), 2, rate)
                self.assertApproximates(decibels(rms(line) / 32768), LEVEL, 0.05)
                for frequency in frequencies:
                    height = 32768 * 10 ** (LEVEL / 20) * (2 / len(frequencies)) ** 0.5
                    self.assertApproximates(height_of(line, frequency, rate) / height, 1, 0.01)
                if len(frequencies) == 1:
                    self.assertApproximates(loudest(line, rate), frequencies[0], 0.05)
                # All else is 60 dB down.
                spectrum = np.abs(np.fft.rfft(line * np.blackman(len(line))))
                hertz = np.fft.rfftfreq(len(line), 1 / rate)
                rest = np.all([np.abs(hertz - one) > 10 for one in frequencies], axis=0)
                self.assertLess(decibels(spectrum[rest].max() / spectrum.max()), -60)

    def test_modulated(self) -> None:
        line = play(parse_tone("tone:400*25"), 2)
        self.assertApproximates(decibels(rms(line) / 32768), LEVEL, 0.05)
        carrier = height_of(line, 400, 8000)
        for side in (375, 425):
            self.assertApproximates(height_of(line, side, 8000) / carrier, 0.5, 0.01)
        # The envelope comes to nought 25 times a second.
        quiet = np.abs(line.astype(np.int32)).reshape(-1, 20).max(axis=1) < 0.05 * np.abs(line).max()
        self.assertEqual(int(np.diff(quiet.astype(int)).clip(0).sum()), 50)

    def test_cadences_are_exact(self) -> None:
        for milliseconds in (10, 20, 30):
            line = play(parse_tone("tone:440+480/2000,0/4000").looped(), 12, 8000, milliseconds)
            found = runs(line)
            self.assertEqual([on for on, _ in found], [True, False, True, False])
            np.testing.assert_allclose([n for _, n in found], [16000, 32000] * 2, atol=3)
        # Segments shorter than a frame, and not a whole number of frames.
        line = play(parse_tone("tone:1000/7,0/5,500/13,0/9").looped(), 0.34)
        np.testing.assert_allclose(
            [n for _, n in runs(line)[:-1]], ([56, 40, 104, 72] * 10)[: len(runs(line)) - 1], atol=3
        )
        for round_ in range(10):
            begin = round_ * 272
            self.assertFalse(line[begin + 56 : begin + 96].any())
            self.assertFalse(line[begin + 200 : begin + 272].any())

    def test_phase_goes_on_over_frames_segments_and_rounds(self) -> None:
        for text in ("440", "440/333", "433.3/777,433.3/50"):
            line = play(parse_tone(f"tone:{text}").looped(), 4).astype(np.int32)
            frequency = float(text.split("/")[0])
            highest = 32768 * 10 ** (LEVEL / 20) * 2**0.5 * 2 * np.pi * frequency / 8000
            self.assertLess(np.abs(np.diff(line)).max(), highest * 1.01)
            self.assertApproximates(loudest(line[:8000], 8000), frequency, 0.05)
            whole = play(parse_tone(f"tone:{frequency}"), 4)
            np.testing.assert_array_equal(line, whole)
        line = play(parse_tone("tone:400/500,800/500").looped(), 2).astype(np.int32)
        self.assertLess(
            np.abs(np.diff(line)).max(), 32768 * 10 ** (LEVEL / 20) * 2**0.5 * 2 * np.pi * 0.1 * 1.01
        )

    def test_rendered_at_once(self) -> None:
        program = parse_tone("tone:440+480/333,0/77").looped()
        np.testing.assert_array_equal(render(program, 16000, 32000), play(program, 2, 16000))

    def test_it_ends(self) -> None:
        generator = ToneGenerator(8000)
        row = np.array([generator.begin(parse_tone("tone:440/30"))])
        self.assertTrue(generator.process(row, 160).any())
        self.assertTrue(generator.playing[row[0]])
        last = generator.process(row, 160)[0]
        self.assertFalse(generator.playing[row[0]])
        self.assertEqual((bool(last[:80].any()), bool(last[80:].any())), (True, False))
        self.assertFalse(generator.process(row, 160).any())

    def test_many_are_to_the_bit_what_one_is(self) -> None:
        programs = [
            parse_tone(f"tone:{name}/{where}")
            for where in ("us", "de", "in", "gb")
            for name in TONES
            if name in COUNTRIES[where] or name == "sit"
        ]
        programs += [
            parse_tone("tone:500/7"),
            parse_tone("tone:0/100"),
            parse_tone("tone:300+400+500+600/33").looped(),
        ]
        many = ToneGenerator(8000)
        rows = np.array([many.begin(program) for program in programs])
        together = np.concatenate([many.process(rows, 160) for _ in range(200)], axis=1)
        for program, line in zip(programs, together):
            np.testing.assert_array_equal(play(program, 4), line)

    def test_programs_are_kept_once_and_given_up(self) -> None:
        generator = ToneGenerator(8000)
        first, second = parse_tone("tone:440"), parse_tone("tone:" + ",".join(["500/10,0/10"] * 40))
        rows = [generator.begin(first) for _ in range(30)] + [generator.begin(second)]
        self.assertEqual(len(generator._slots), 2)
        for number in rows:
            generator.remove(number)
        self.assertEqual(len(generator._slots), 0)
        for _ in range(50):
            generator.remove(generator.begin(parse_tone("tone:600")))
        self.assertLess(len(generator._lengths), 20)
        row = np.array([generator.begin(first)])
        np.testing.assert_array_equal(generator.process(row, 160)[0], play(first, 0.02))

    def test_what_a_rate_cannot_carry(self) -> None:
        generator = ToneGenerator(8000)
        for text in ("4000", "440+5000"):
            self.assertIn(
                "8000 Hz", str(self.assertRaises(ToneError, generator.begin, parse_tone(f"tone:{text}")))
            )
        self.assertEqual(len(generator), 0)
        for program in (
            ToneProgram(()),
            ToneProgram((Segment((), 0),)),
            ToneProgram((Segment((Tone(400, -10),) * 5, 10),)),
            ToneProgram((Segment((), 1),) * 257),
        ):
            self.assertRaises(ToneError, generator.begin, program)
        self.assertRaises(MediaError, ToneGenerator, 11025)


class TextTests(SynchronousTestCase):
    def test_programs(self) -> None:
        program = parse_tone("tone:440+480/2000,0/4000", level=-10)
        self.assertEqual([s.milliseconds for s in program.segments], [2000, 4000])
        self.assertEqual([t.frequency for t in program.segments[0].tones], [440, 480])
        self.assertEqual([round(t.level, 2) for t in program.segments[0].tones], [-13.01, -13.01])
        self.assertEqual((program.segments[1].tones, program.loop, program.milliseconds), ((), False, 6000))
        self.assertIsNone(program.looped().milliseconds)
        self.assertIsNone(parse_tone("tone:440").milliseconds)

    def test_countries(self) -> None:
        self.assertGreaterEqual(len(COUNTRIES), 25)
        for country, tones in COUNTRIES.items():
            self.assertLessEqual({"dial", "ringback", "busy", "congestion"}, set(tones), country)
            for name in {*tones, "sit"}:
                program = parse_tone(f"tone:{name}/{country}")
                self.assertTrue(program.loop)
                play(program, 0.04)
        self.assertEqual(parse_tone("tone:busy"), parse_tone("tone:busy/us"))
        self.assertEqual(parse_tone("tone:busy", country="de"), parse_tone("tone:425/480,0/480").looped())

    def test_ringback_as_it_sounds(self) -> None:
        for country, frequencies, on, off in (
            ("us", [440, 480], 2, 4),
            ("de", [425], 1, 4),
            ("fr", [440], 1.5, 3.5),
        ):
            line = play(parse_tone(f"tone:ringback/{country}"), on + off)
            found = runs(line)
            np.testing.assert_allclose([n for _, n in found], [on * 8000, off * 8000], atol=3)
            for frequency in frequencies:
                self.assertGreater(height_of(line[: round(on * 8000)], frequency, 8000), 3000)

    def test_refusals(self) -> None:
        for text, reason in (
            ("", "is no tone"),
            ("440", "is no tone"),
            ("tone:", "is no tone"),
            ("tones:440", "is no tone"),
            ("tone:440/", "'' is no whole number of milliseconds"),
            ("tone:440/0", "'0' is no whole number"),
            ("tone:440/1.5", "'1.5' is no whole number"),
            ("tone:440/3600001", "is no whole number"),
            ("tone:440/9" + "9" * 100, "is no whole number"),
            ("tone:440/1_0", "is no whole number"),
            ("tone:440/\u0661", "is no whole number"),
            ("tone:440,0/500", "'440' would never end"),
            ("tone:440/500,", "'' is no frequency"),
            ("tone:+440", "'' is no frequency"),
            ("tone:-440", "is no frequency"),
            ("tone:4e2", "is no frequency"),
            ("tone:440+0", "'0' is no frequency"),
            ("tone:20001", "is no frequency"),
            ("tone: 440", "is no frequency"),
            ("tone:440\n", "is no frequency"),
            ("tone:400*500", "lower frequency"),
            ("tone:400*25*3", "is no frequency"),
            ("tone:1+2+3+4+5", "more than 4 sines"),
            ("tone:400*25+500*20", "more than 4 sines"),
            ("tone:hello", "none of the tones dial, ringback"),
            ("tone:ringback/xx", "no tones of country 'xx'"),
            ("tone:ringback/", "no tones of country ''"),
            ("tone:waiting/my", "has no tone 'waiting' for country 'my'"),
            ("tone:" + ",".join(["0/1"] * 250) + "x" * 1000, "no more than 1000 characters"),
        ):
            error = str(self.assertRaises(ToneError, parse_tone, text))
            self.assertIn(reason, error)
            self.assertNotIn("\n", error)
            self.assertLess(len(error), 300)

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.text(alphabet="tone:0123456789+*/,.abc-\u0664 ", max_size=40))
    def test_any_text(self, text: str) -> None:
        for one in (text, "tone:" + text):
            try:
                program = parse_tone(one)
            except ToneError:
                continue
            self.assertTrue(program.segments)
