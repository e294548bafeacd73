"""Recordings on disk: whole at every moment, whatever ends them."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import wave
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import rvoip
from rvoip.codecs.g711 import a_law, mu_law
from rvoip.media import recording_file
from rvoip.media.audio_file import read_audio, soundfile
from rvoip.media.errors import ExtraError, RecordingError
from rvoip.media.recorder import FORMATS, Begin, Close, Closed, Done, Failed, Write, WriterAnswer
from rvoip.media.recording_file import RecordingFolder, recording_id
from rvoip.media.recording_writer import RecordingWriter
from rvoip.media.wav_header import WavHeader, repaired
from rvoip.test.media.sounds import frequency_of, sine, wav_of

ROOT = Path(rvoip.__file__).parent.parent


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.folder = RecordingFolder(self.root)

    def frames(self, name: str) -> int:
        """How many frames another reader than ours finds in a file, which is no longer than it says."""
        with wave.open(str(self.root / name), "rb") as file:
            count = file.getnframes()
            self.assertEqual(len(file.readframes(count)), count * file.getnchannels() * file.getsampwidth())
            return count


class FolderTests(Case):
    def test_every_moment_of_a_wav_is_whole(self) -> None:
        file = self.folder.create("a", FORMATS["wav"], 8000, 2)
        self.assertEqual(os.listdir(self.root), ["a.wav"])
        self.assertEqual(self.frames("a.wav"), 0)
        for blocks in range(1, 4):
            file.write(bytes(4000))
            self.assertEqual(self.frames("a.wav"), 1000 * blocks)
        self.assertEqual((file.close(), file.close()), (12044, 12044))
        self.assertEqual((self.root / "a.wav").stat().st_size, 12044)
        self.assertEqual((self.root / "a.wav").stat().st_mode & 0o777, 0o640)

    def test_each_system_call_leaves_a_whole_file(self) -> None:
        path = self.root / "a.wav"
        real, seen = os.pwrite, []

        def watched(handle: int, data: bytes, at: int) -> int:
            count = real(handle, data, at)
            if path.exists():
                seen.append(self.frames("a.wav"))
            return count

        self.patch(os, "pwrite", watched)
        file = self.folder.create("a", FORMATS["wav"], 8000, 1)
        for _ in range(3):
            file.write(bytes(200))
        file.close()
        self.assertEqual(seen, [0, 100, 100, 200, 200, 300, 300])

    def test_every_format_can_be_read_again(self) -> None:
        tone = sine(1000, 1)
        for name, format in FORMATS.items():
            if format.container in ("ogg", "mp3") and soundfile() is None:
                continue
            file = self.folder.create(name, format, 8000, 1)
            data = tone.astype("<i2").tobytes()
            if format.encoding != "s16":
                law = mu_law() if format.encoding == "ulaw" else a_law()
                data = law.compress[tone.view(np.uint16)].tobytes()
            for at in range(0, len(data), 4000):
                file.write(data[at : at + 4000])
            size = file.close()
            path = self.root / f"{name}{format.ending(8000)}"
            self.assertEqual(path.stat().st_size, size, msg=name)
            sound = read_audio(path.read_bytes(), path.name).sound(8000)
            self.assertEqual(frequency_of(sound.samples[:8000], 8000), 1000, msg=name)
            self.assertApproximates(sound.milliseconds, 1000, 100, msg=name)

    def test_a_raw_file_says_its_rate(self) -> None:
        for rate in (8000, 16000, 24000, 48000):
            file = self.folder.create("a", FORMATS["raw"], rate, 1)
            file.write(sine(1000, 0.5, rate).astype("<i2").tobytes())
            file.close()
            path = self.folder.path("a", FORMATS["raw"], rate)
            audio = read_audio(path.read_bytes(), path.name)
            self.assertEqual((audio.rate, frequency_of(audio.samples[0], rate)), (rate, 1000))

    def test_an_odd_number_of_octets_is_filled_up(self) -> None:
        file = self.folder.create("a", FORMATS["wav-ulaw"], 8000, 1)
        file.write(b"\x80" * 3)
        self.assertEqual(file.close(), 62)
        octets = (self.root / "a.wav").read_bytes()
        self.assertEqual(struct.unpack_from("<I", octets, 4)[0], len(octets) - 8)
        self.assertEqual(struct.unpack_from("<I", octets, 46)[0], 3)
        self.assertEqual(read_audio(octets).samples.shape, (1, 3))
        self.assertEqual(self.folder.repair(), [])

    def test_names_are_ours(self) -> None:
        self.assertEqual(recording_id(bytes(range(16))), "000102030405060708090a0b0c0d0e0f")
        for id in ("", "../a", "a/b", "a.wav", "a\0", "a" * 65, "ä", ".a"):
            self.assertRaises(RecordingError, self.folder.create, id, FORMATS["wav"], 8000, 1)
        self.assertFalse(self.root.exists())

    def test_nothing_is_overwritten_or_followed(self) -> None:
        self.root.mkdir()
        (self.root / "a.wav").write_bytes(b"mine")
        self.assertRaises(RecordingError, self.folder.create, "a", FORMATS["wav"], 8000, 1)
        self.assertEqual((self.root / "a.wav").read_bytes(), b"mine")
        (self.root / "outside").write_bytes(wav_of(sine(440, 0.1)))
        (self.root / "b.wav").symlink_to(self.root / "outside")
        self.assertRaises(OSError, self.folder.reopen, "b", FORMATS["wav"], 8000)

    def test_the_extra_is_named(self) -> None:
        self.patch(recording_file, "soundfile", lambda: None)
        for name, what in (("opus", "Ogg"), ("mp3", "MP3")):
            error = self.assertRaises(ExtraError, self.folder.create, "a", FORMATS[name], 8000, 1)
            self.assertEqual(str(error), f"{what} needs the package soundfile: pip install 'rvoip[audio]'")

    def test_compressed_files_tell_of_a_full_disk(self) -> None:
        if soundfile() is None:
            raise SkipTest("soundfile is not installed")
        real = os.pwrite

        def full(handle: int, data: bytes, at: int) -> int:
            if at + len(data) > 9000:
                raise OSError(28, "No space left on device")
            return real(handle, data, at)

        self.patch(os, "pwrite", full)
        noise = np.random.default_rng(1).integers(-9999, 9999, 80_000, np.int16).tobytes()
        for name in ("opus", "mp3"):
            file = self.folder.create(name, FORMATS[name], 8000, 1)
            with self.assertRaises(OSError) as caught:
                for _ in range(20):
                    file.write(noise)
            self.assertEqual(caught.exception.errno, 28)


class RepairTests(Case):
    def test_what_a_crash_leaves_is_counted(self) -> None:
        for format, channels in (("wav", 1), ("wav", 2), ("wav-ulaw", 1), ("wav-alaw", 2)):
            frame = FORMATS[format].octets(1, channels)
            file = self.folder.create("a", FORMATS[format], 8000, channels)
            file.write(bytes(100 * frame))
            path = self.root / "a.wav"
            with open(path, "ab") as tail:
                tail.write(bytes(7 * frame) + bytes(frame - 1))
            self.assertEqual(self.folder.repair(), ["a.wav"], msg=format)
            octets = path.read_bytes()
            self.assertEqual(read_audio(octets).samples.shape, (channels, 107), msg=format)
            self.assertEqual(struct.unpack_from("<I", octets, 4)[0], len(octets) - 8)
            self.assertEqual(self.folder.repair(), [], msg=format)
            again = self.folder.reopen("a", FORMATS[format], 8000)
            again.write(bytes(3 * frame))
            again.close()
            self.assertEqual(read_audio(path.read_bytes()).samples.shape, (channels, 110))
            file.close()
            path.unlink()

    def test_what_is_not_ours_is_left_alone(self) -> None:
        self.root.mkdir()
        files = {
            "a.wav": b"",
            "b.wav": b"RIFF",
            "c.wav": b"x" * 100,
            "d.wav": wav_of(sine(440, 0.1, 16000)) + b"LIST",
            "e.txt": b"text",
        }
        files["d.wav"] = files["d.wav"].replace(b"data", b"LIST")
        for name, octets in files.items():
            (self.root / name).write_bytes(octets)
        (self.root / ".f.wav.new").write_bytes(b"RIFF")
        os.mkfifo(self.root / "pipe.wav")
        self.assertEqual(self.folder.repair(), [])
        for name, octets in files.items():
            self.assertEqual((self.root / name).read_bytes(), octets)
        self.assertFalse((self.root / ".f.wav.new").exists())

    def test_a_folder_that_is_not_there(self) -> None:
        self.assertEqual(RecordingFolder(self.root / "none").repair(), [])

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.binary(max_size=80), st.integers(0, 2**33))
    def test_any_octets(self, octets: bytes, length: int) -> None:
        for data in (octets, WavHeader("s16", 8000, 1).write(8)[:36] + octets):
            try:
                header, count, wanted = repaired(data, length)
            except RecordingError:
                continue
            self.assertLessEqual(header.size + count, length)
            self.assertEqual(len(wanted), header.size)
            self.assertEqual(repaired(wanted, header.size + count)[1], count)

    def test_a_killed_writer_leaves_a_whole_file(self) -> None:
        program = (
            "import sys; from rvoip.media.recording_file import *; from rvoip.media.recorder import FORMATS\n"
            "file = RecordingFolder(sys.argv[1]).create('a', FORMATS['wav'], 8000, 1)\n"
            "for block in range(10**9):\n"
            "    file.write(bytes(1600))\n"
            "    if block == 50: print('written', flush=True)\n"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(self.root)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        self.assertEqual(child.stdout.readline(), b"written\n")
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        self.assertGreaterEqual(self.frames("a.wav"), 51 * 800)
        counted = self.frames("a.wav")
        self.folder.repair()
        self.assertGreaterEqual(self.frames("a.wav"), counted)


class WriterTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.answers: list[WriterAnswer] = []
        self.writer = RecordingWriter(self.folder, self.answers.extend)

    def test_what_is_handed_over_is_done_in_order(self) -> None:
        for id in "ab":
            self.writer.hand_over([Begin(id, FORMATS["wav"], 8000, 1), Write(id, b"12"), Write(id, b"34")])
        self.writer.hand_over([Close("a")])
        self.writer.start()
        self.assertTrue(self.writer.stop(10))
        for id in "ab":
            found = [answer for answer in self.answers if answer.id == id]
            self.assertEqual(found, [Done(id), Done(id), Done(id), Closed(id, 48)])
        self.assertEqual((self.root / "a.wav").read_bytes()[44:], b"1234")

    def test_one_that_fails_leaves_the_others_alone(self) -> None:
        self.root.mkdir()
        (self.root / "a.wav").write_bytes(b"mine")
        self.writer.hand_over([Begin("a", FORMATS["wav"], 8000, 1), Begin("b", FORMATS["wav"], 8000, 1)])
        self.writer.hand_over([Write("a", b"12"), Write("b", b"12"), Close("a"), Close("b")])
        self.writer.start()
        self.assertTrue(self.writer.stop(10))
        wanted = [Failed("a", "there is a file of that name"), Done("b"), Done("b"), Closed("b", 46)]
        self.assertEqual(self.answers, wanted)

    def test_answers_do_not_wait_for_all(self) -> None:
        lengths: list[int] = []
        writer = RecordingWriter(self.folder, lambda answers: lengths.append(len(answers)))
        writer.hand_over([Begin("a", FORMATS["raw"], 8000, 1)])
        writer.hand_over([Write("a", b"12")] * 200)
        writer.start()
        self.assertTrue(writer.stop(10))
        self.assertLessEqual(max(lengths), 33)
        self.assertEqual(sum(lengths), 202)
        self.assertNotIn("recordings", [thread.name for thread in threading.enumerate()])

    def test_a_full_disk(self) -> None:
        """A limit on the size of files stands in for the disk; it ends the child, so that a child has it."""
        program = (
            "import resource, sys, time; import numpy as np\n"
            "from rvoip.media.recorder import Recorder\n"
            "from rvoip.media.recording_file import RecordingFolder\n"
            "from rvoip.media.recording_writer import RecordingWriter\n"
            "import queue\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
            "answers = queue.Queue(); recorder = Recorder(8000)\n"
            "writer = RecordingWriter(RecordingFolder(sys.argv[1]), lambda a: [answers.put(x) for x in a])\n"
            "writer.start(); row = recorder.start('a', 0); frame = np.ones((1, 160), np.int16)\n"
            "for tick in range(500):\n"
            "    recorder.push(np.array([row]), frame, frame, tick * 0.02)\n"
            "    out = recorder.outputs(); writer.hand_over(out)\n"
            "    for _ in out:\n"
            "        recorder.answered(answers.get(timeout=10))\n"
            "    if events := recorder.events():\n"
            "        print(events[0].reason, events[0].milliseconds, tick, flush=True); break\n"
            "print(writer.stop(10))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(self.root)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(done.stdout.splitlines(), ["file too large 1000 75", "True"], msg=done.stderr)
        # The block that did not fit is not there: what is, is whole.
        self.assertEqual(self.frames("a.wav"), 8000)
        self.assertEqual((self.root / "a.wav").stat().st_size, 16044)
