"""Prompts on disk: found only below their folder, decoded once, forgotten in time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from rvoip.media.errors import PromptError
from rvoip.media.interfaces import Identity, PromptFile
from rvoip.media.prompt_folder import PromptFolder
from rvoip.media.prompts import PromptCache, Prompts
from rvoip.media.sound import Sound
from rvoip.test.media.sounds import frequency_of, sine, wav_of


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.outside = Path(self.mktemp())
        self.outside.mkdir()
        (self.outside / "secret.wav").write_bytes(wav_of(sine(440, 0.1)))
        self.root = self.outside / "prompts"
        (self.root / "de").mkdir(parents=True)
        (self.root / "welcome.wav").write_bytes(wav_of(sine(1000, 1, 16000), 16000))
        (self.root / "de" / "grüße.wav").write_bytes(wav_of(sine(500, 1)))
        self.folder = PromptFolder(self.root, max_bytes=100_000)


class FolderTests(Case):
    def refused(self, *parts: str) -> str:
        reasons = set()
        for ask in (self.folder.identify, self.folder.read):
            error = self.assertRaises(PromptError, ask, parts)
            reasons.add(str(error))
        self.assertEqual(len(reasons), 1)
        self.assertTrue(reasons.copy().pop().isprintable())
        return reasons.pop()

    def test_files_are_read(self) -> None:
        file = self.folder.read(("de", "grüße.wav"))
        self.assertEqual(file.data, (self.root / "de" / "grüße.wav").read_bytes())
        self.assertEqual(file.identity, self.folder.identify(("de", "grüße.wav")))
        self.assertEqual(file.identity.size, len(file.data))

    def test_nothing_outside_is_opened(self) -> None:
        (self.root / "link.wav").symlink_to(self.outside / "secret.wav")
        (self.root / "inner.wav").symlink_to(self.root / "welcome.wav")
        (self.root / "up").symlink_to(self.outside)
        self.assertIn("symbolic link", self.refused("link.wav"))
        self.assertIn("symbolic link", self.refused("inner.wav"))
        self.refused("up", "secret.wav")
        for parts in (
            ("..", "secret.wav"),
            ("de", "..", "..", "secret.wav"),
            ("../secret.wav",),
            (str(self.outside.absolute() / "secret.wav"),),
            ("", "etc", "passwd"),
            ("welcome.wav\0",),
            (".",),
            (),
        ):
            self.assertIn("no name of a file", self.refused(*parts))

    def test_what_is_no_file_is_not_waited_for(self) -> None:
        os.mkfifo(self.root / "pipe.wav")
        self.assertIn("it is no file", self.refused("pipe.wav"))
        self.assertIn("it is no file", self.refused("de"))
        self.refused("welcome.wav", "more")
        self.assertIn("no such prompt", self.refused("missing.wav"))
        self.assertIn("cannot be opened", self.refused("\ud800.wav"))

    def test_large_files_are_not_read(self) -> None:
        with open(self.root / "huge.wav", "wb") as file:
            file.truncate(1 << 40)
        self.assertIn("more than 100000 octets", self.refused("huge.wav"))

    def test_no_descriptor_is_left(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            for parts in (("welcome.wav",), ("de", "grüße.wav")):
                self.folder.read(parts)
                self.folder.identify(parts)
            for parts in (("missing",), ("de",), ("de", "missing"), ("x", "y"), ("..",)):
                self.assertRaises(PromptError, self.folder.read, parts)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class PromptsTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.prompts = Prompts(self.folder)

    def test_a_file_sounds_at_every_rate(self) -> None:
        for rate in (8000, 16000, 24000, 48000):
            sound, endless = self.prompts.sound("welcome.wav", rate)
            self.assertEqual((sound.rate, len(sound.samples), endless), (rate, rate, False))
            self.assertEqual(frequency_of(sound.samples, rate), 1000)
        self.assertEqual(len(self.prompts.cache), 4)

    def test_it_is_decoded_once(self) -> None:
        first, _ = self.prompts.sound("welcome.wav", 8000)
        self.assertIdentical(self.prompts.sound("welcome.wav", 8000)[0], first)
        self.assertIdentical(self.prompts.cached(("welcome.wav",), 8000), first)
        self.assertIdentical(self.prompts.cached(("welcome.wav",), 16000), None)

    def test_a_file_that_changed_is_read_anew(self) -> None:
        self.prompts.sound("welcome.wav", 8000)
        path = self.root / "welcome.wav"
        path.write_bytes(wav_of(sine(2000, 1, 16000), 16000))
        os.utime(path, ns=(1, 1))
        sound, _ = self.prompts.sound("welcome.wav", 8000)
        self.assertEqual(frequency_of(sound.samples, 8000), 2000)
        self.assertEqual(len(self.prompts.cache), 1)
        path.unlink()
        self.assertRaises(PromptError, self.prompts.sound, "welcome.wav", 8000)

    def test_no_audio_is_said_with_its_name(self) -> None:
        (self.root / "de" / "page.wav").write_bytes(b"<html>not found</html>")
        (self.root / "empty.wav").write_bytes(b"")
        for name in ("de/page.wav", "empty.wav"):
            error = self.assertRaises(PromptError, self.prompts.sound, name, 8000)
            self.assertIn(f"'{name}': it is no audio", str(error))

    def test_what_others_fetch_is_kept_like_a_file(self) -> None:
        file = PromptFile(Identity("https://example.net/a.wav", 7, 99), wav_of(sine(1500, 1)))
        sound = self.prompts.decode(file, 8000)
        self.assertEqual(frequency_of(sound.samples, 8000), 1500)
        self.assertIdentical(self.prompts.cache.get(file.identity, 8000), sound)
        for source in ("https://example.net/a.wav", "recording:1"):
            self.assertRaises(PromptError, self.prompts.sound, source, 8000)

    def test_tones_and_silence(self) -> None:
        sound, endless = self.prompts.sound("tone:440", 8000)
        self.assertEqual((frequency_of(sound.samples, 8000), endless), (440, True))
        sound, endless = self.prompts.sound("silence:500", 16000)
        self.assertEqual((sound.milliseconds, endless), (500, False))


class CacheTests(SynchronousTestCase):
    def sound(self, samples: int) -> Sound:
        return Sound(np.zeros(samples, np.int16), 8000)

    def test_what_was_not_asked_for_goes_first(self) -> None:
        cache = PromptCache(1000)
        names = [Identity(name, 0, 0) for name in "abc"]
        for name in names[:2]:
            cache.put(name, 8000, self.sound(200))
        self.assertTrue(cache.get(names[0], 8000))
        cache.put(names[2], 8000, self.sound(200))
        self.assertEqual([bool(cache.get(name, 8000)) for name in names], [True, False, True])
        self.assertEqual((cache.bytes, len(cache)), (800, 2))
        self.assertEqual((cache.hits, cache.misses), (3, 1))
        cache.clear()
        self.assertEqual((cache.bytes, len(cache)), (0, 0))

    def test_one_that_is_too_large_is_not_kept(self) -> None:
        cache = PromptCache(1000)
        cache.put(Identity("a", 0, 0), 8000, self.sound(400))
        cache.put(Identity("b", 0, 0), 8000, self.sound(501))
        self.assertEqual((cache.bytes, len(cache)), (800, 1))

    def test_the_same_again_counts_once(self) -> None:
        cache = PromptCache(1000)
        for _ in range(9):
            cache.put(Identity("a", 0, 0), 8000, self.sound(200))
        self.assertEqual((cache.bytes, len(cache)), (400, 1))

    def test_bytes_stay_below_the_bound(self) -> None:
        cache = PromptCache(5000)
        for number in range(200):
            cache.put(Identity(str(number % 7), number % 3, 0), 8000, self.sound(1 + number * 37 % 900))
            self.assertLessEqual(cache.bytes, 5000)
            self.assertEqual(cache.bytes, sum(sound.size for sound in cache._sounds.values()))
