"""Audio files of every kind."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.codecs.g711 import a_law, mu_law
from rvoip.media import audio_file
from rvoip.media.audio_file import read_audio, soundfile
from rvoip.media.errors import AudioFileError, ExtraError
from rvoip.test.media.sounds import frequency_of, level_of, sine, wav_of


class RawTests(SynchronousTestCase):
    def test_the_ending_says_what_it_is(self) -> None:
        codes = bytes(range(256))
        linear = np.frombuffer(codes, "<i2").tolist()
        for name, rate, wanted in (
            ("a.ulaw", 8000, mu_law().expand.tolist()),
            ("a/b.PCMU", 8000, mu_law().expand.tolist()),
            ("a.alaw", 8000, a_law().expand.tolist()),
            ("a.al", 8000, a_law().expand.tolist()),
            ("a.s16", 8000, linear),
            ("a.sln16", 16000, linear),
            ("a.sln48", 48000, linear),
        ):
            audio = read_audio(codes, name)
            self.assertEqual((audio.rate, audio.samples[0].tolist()), (rate, wanted), msg=name)

    def test_a_wav_is_one_whatever_its_name(self) -> None:
        self.assertEqual(read_audio(wav_of(sine(440, 0.1)), "a.ulaw").samples.shape, (1, 800))

    def test_what_is_no_audio(self) -> None:
        for data, name in (
            (b"", "a.wav"),
            (b"", "a.ulaw"),
            (b"x", "a.s16"),
            (b"hello", "a.wav"),
            (b"hello", "a"),
            (b"hello", ".ulaw"),
            (b"<html>", "a.html"),
            (b"\xff\xff\xff\xff", "a.mp3"),
        ):
            self.assertRaises(AudioFileError, read_audio, data, name)

    def test_too_long(self) -> None:
        self.assertRaises(AudioFileError, read_audio, bytes(8001), "a.ulaw", 1)
        self.assertEqual(read_audio(bytes(8000), "a.ulaw", 1).seconds, 1)


class CompressedTests(SynchronousTestCase):
    KINDS = (("OGG", "OPUS", 48000), ("OGG", "VORBIS", 16000), ("FLAC", "PCM_16", 8000), ("MP3", None, 44100))

    def written(self, format: str, subtype: str | None, rate: int, seconds: float = 1) -> bytes:
        library = soundfile()
        if library is None:
            raise SkipTest("soundfile is not installed")
        file = BytesIO()
        library.write(file, sine(1000, seconds, rate), rate, format=format, subtype=subtype)
        return file.getvalue()

    def test_a_tone_is_heard(self) -> None:
        for format, subtype, rate in self.KINDS:
            sound = read_audio(self.written(format, subtype, rate), "a").sound(8000)
            self.assertApproximates(sound.milliseconds, 1000, 80, format)
            self.assertApproximates(frequency_of(sound.samples, 8000), 1000, 2, format)
            self.assertApproximates(level_of(sound.samples[1000:7000]), level_of(sine(1000, 1)), 1)

    def test_channels_are_mixed(self) -> None:
        library = soundfile()
        if library is None:
            raise SkipTest("soundfile is not installed")
        file = BytesIO()
        library.write(file, np.stack([sine(440, 0.5), -sine(440, 0.5)], axis=1), 8000, format="FLAC")
        audio = read_audio(file.getvalue(), "a")
        self.assertEqual((audio.samples.shape, int(np.abs(audio.samples).max())), ((1, 4000), 0))

    def test_wavs_of_another_writer(self) -> None:
        library = soundfile()
        if library is None:
            raise SkipTest("soundfile is not installed")
        wanted = sine(1000, 0.5, 16000)
        for format in ("WAV", "WAVEX", "RF64"):
            for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"):
                file = BytesIO()
                library.write(
                    file, np.stack([wanted, wanted], 1) / 32768, 16000, format=format, subtype=subtype
                )
                sound = read_audio(file.getvalue(), "a").sound(16000)
                error = level_of(sound.samples.astype(int) - wanted)
                self.assertLess(error, -40, msg=f"{format} {subtype}")

    def test_too_long(self) -> None:
        for format, subtype, rate in self.KINDS:
            data = self.written(format, subtype, rate, 2)
            self.assertRaises(AudioFileError, read_audio, data, "a", 1.5)

    def test_broken(self) -> None:
        for format, subtype, rate in self.KINDS:
            data = self.written(format, subtype, rate)
            for octets in (data[:4], data[:60], data[:4] + b"\xff" * 3000, data[:100] + data[200:]):
                try:
                    self.assertGreater(read_audio(octets, "a").samples.size, 0)
                except AudioFileError as error:
                    self.assertNotIn("\n", str(error))

    def test_the_extra_is_named(self) -> None:
        self.patch(audio_file, "soundfile", lambda: None)
        for data, kind in (
            (b"OggS1234", "Ogg"),
            (b"fLaC", "FLAC"),
            (b"ID3\3", "MP3"),
            (b"\xff\xfb\x90\x64", "MP3"),
        ):
            error = self.assertRaises(ExtraError, read_audio, data, "a.wav")
            self.assertEqual(str(error), f"{kind} needs the package soundfile: pip install 'rvoip[audio]'")

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.sampled_from((b"OggS", b"fLaC")), st.binary(max_size=200))
    def test_nothing_else_escapes(self, beginning: bytes, rest: bytes) -> None:
        try:
            read_audio(beginning + rest)
        except (AudioFileError, ExtraError) as error:
            self.assertNotIn("\n", str(error))
