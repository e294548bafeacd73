"""What may be played, by its name."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.media.errors import PromptError
from rvoip.media.sound import Sound
from rvoip.media.source import (
    FileSource,
    RecordingSource,
    SilenceSource,
    ToneSource,
    UrlSource,
    file_name,
    parse_source,
)
from rvoip.media.tones import parse_tone
from rvoip.test.media.sounds import frequency_of, level_of

BAD_NAMES = (
    "",
    "/etc/passwd",
    "../../etc/passwd",
    "..",
    ".",
    "a/../../b.wav",
    "a/./b.wav",
    "a//b.wav",
    "a/",
    ".hidden",
    "a/.hidden.wav",
    "%2e%2e/b.wav",
    "%2e%2e%2fb.wav",
    "a\0.wav",
    "a.wav\0",
    "..\\b.wav",
    "c:\\b.wav",
    "a\nb.wav",
    "a\x85b.wav",
    "\udcff.wav",
    "a/" * 512 + "a.wav",
    "a" * 256,
    "é" * 128,
)


class SourceTests(SynchronousTestCase):
    def test_what_can_be_played(self) -> None:
        for text, source in (
            ("welcome.wav", FileSource(("welcome.wav",))),
            ("de/menu one.wav", FileSource(("de", "menu one.wav"))),
            ("grüße.wav", FileSource(("grüße.wav",))),
            ("a..b.wav", FileSource(("a..b.wav",))),
            ("recording:0f9a-b", RecordingSource("0f9a-b")),
            ("https://example.net/a.wav?x=1", UrlSource("https://example.net/a.wav?x=1")),
            ("http://[::1]:8080/a", UrlSource("http://[::1]:8080/a")),
            ("tone:440+480", ToneSource(parse_tone("tone:440+480"))),
            ("tone:ringback", ToneSource(parse_tone("tone:ringback/us"))),
            ("tone:ringback/de", ToneSource(parse_tone("tone:ringback/de"))),
            ("silence", SilenceSource()),
            ("silence:250", SilenceSource(250)),
        ):
            self.assertEqual(parse_source(text), source, msg=text)

    def test_what_cannot(self) -> None:
        for text in (
            *BAD_NAMES,
            "file:///etc/passwd",
            "ftp://example.net/a",
            "https://",
            "https://a b",
            "https://a\r\nX: 1",
            "https://" + "a" * 2048,
            "recording:",
            "recording:../a",
            "recording:a/b",
            "tone:",
            "tone:abc",
            "tone:440+",
            "tone:4_40",
            "tone:٤٤٠",
            "tone:ringback/atlantis",
            "tone:440/500,480",
            "tone:440/300000,0/1",
            "tone:" + "+".join(["440"] * 5),
            "silence:-1",
            "silence:",
            "Tone:440",
        ):
            error = self.assertRaises(PromptError, parse_source, text)
            self.assertTrue(str(error).isascii() and str(error).isprintable(), msg=text)
            self.assertLess(len(str(error)), 600)

    def test_names_of_files(self) -> None:
        for name in BAD_NAMES:
            self.assertRaises(PromptError, file_name, name)

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.text(max_size=40))
    def test_nothing_else_escapes(self, text: str) -> None:
        try:
            source = parse_source(text)
        except PromptError:
            return
        if isinstance(source, FileSource):
            for part in source.parts:
                self.assertNotIn(part, ("", ".", ".."))
                self.assertFalse({"/", "\0", "%"} & set(part))

    def tone(self, text: str, rate: int = 8000) -> tuple[Sound, bool]:
        source = parse_source(text)
        assert isinstance(source, ToneSource)
        return source.sound(rate), source.endless

    def test_tones_are_heard(self) -> None:
        for rate in (8000, 16000, 48000):
            sound, endless = self.tone("tone:440", rate)
            self.assertEqual((len(sound.samples), endless), (rate, True))
            self.assertEqual(frequency_of(sound.samples, rate), 440)
            self.assertApproximates(level_of(sound.samples), -13, 0.1)
            again = np.concatenate([sound.samples, sound.samples]).astype(int)
            self.assertLess(int(np.abs(np.diff(again)).max()), 2700 * 8000 // rate)
        both = self.tone("tone:440+480")[0].samples
        strongest = np.argsort(np.abs(np.fft.rfft(both)))[-2:]
        self.assertEqual(sorted(strongest.tolist()), [440, 480])
        self.assertEqual(len(self.tone("tone:440.5")[0].samples), 16000)

    def test_cadences_are_heard(self) -> None:
        sound, endless = self.tone("tone:440/250")
        self.assertEqual((len(sound.samples), endless), (2000, False))
        sound, endless = self.tone("tone:ringback/de")
        self.assertEqual((len(sound.samples), endless), (40_000, True))
        self.assertEqual(frequency_of(sound.samples[:8000], 8000), 425)
        self.assertEqual(int(np.abs(sound.samples[8200:].astype(int)).max()), 0)

    def test_a_tone_that_the_rate_cannot_carry(self) -> None:
        self.assertRaises(PromptError, self.tone, "tone:5000")

    def test_silence_is_silent(self) -> None:
        self.assertEqual(SilenceSource(20).sound(8000).samples.tolist(), [0] * 160)
        self.assertEqual((SilenceSource().endless, SilenceSource(20).endless), (True, False))
