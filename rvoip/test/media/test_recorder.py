"""What is recorded of legs, block by block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.codecs.g711 import a_law, mu_law
from rvoip.media.errors import MediaError, RecordingError
from rvoip.media.recorder import (
    Begin,
    Close,
    Closed,
    Done,
    Failed,
    Recorder,
    RecordingFailed,
    RecordingFinished,
    Write,
)
from rvoip.test.media.sounds import Samples

RATE = 8000


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.recorder = Recorder(RATE)
        self.files: dict[str, bytearray] = {}
        self.begun: dict[str, Begin] = {}
        self.closed: set[str] = set()
        self.answering = True

    def write(self) -> None:
        """Be the writer."""
        for item in self.recorder.outputs():
            self.assertNotIn(item.id, self.closed)
            if isinstance(item, Begin):
                self.begun[item.id] = item
                self.files[item.id] = bytearray()
            elif isinstance(item, Write):
                self.assertTrue(item.data)
                self.files[item.id] += item.data
            else:
                self.closed.add(item.id)
            if self.answering:
                size = len(self.files[item.id])
                self.recorder.answered(Closed(item.id, size) if isinstance(item, Close) else Done(item.id))

    def push(self, row: int, received: npt.ArrayLike, sent: npt.ArrayLike, now: float = 0) -> None:
        frames = [np.atleast_2d(np.asarray(audio, np.int16)) for audio in (received, sent)]
        self.recorder.push(np.array([row]), frames[0], frames[1], now)
        self.write()

    def pcm(self, id: str) -> Samples:
        return np.frombuffer(bytes(self.files[id]), "<i2")


class TrackTests(Case):
    def recorded(self, format: str, tracks: str) -> bytes:
        row = self.recorder.start("a", 0, format, tracks)
        self.push(row, [1000, -32768, 32767], [7, -32768, 1])
        self.push(row, [5, 6, 7], [50, 60, 70])
        self.recorder.stop(row, 0)
        self.write()
        return bytes(self.files["a"])

    def test_what_the_tracks_are(self) -> None:
        for tracks, channels, wanted in (
            ("received", 1, [1000, -32768, 32767, 5, 6, 7]),
            ("sent", 1, [7, -32768, 1, 50, 60, 70]),
            ("mixed", 1, [1007, -32768, 32767, 55, 66, 77]),
            ("stereo", 2, [1000, 7, -32768, -32768, 32767, 1, 5, 50, 6, 60, 7, 70]),
        ):
            self.setUp()
            found = np.frombuffer(self.recorded("wav", tracks), "<i2").tolist()
            self.assertEqual(found, wanted, msg=tracks)
            self.assertEqual(self.begun["a"].channels, channels)

    def test_what_the_encodings_are(self) -> None:
        for format, law in (
            ("wav-ulaw", mu_law()),
            ("ulaw", mu_law()),
            ("alaw", a_law()),
            ("wav-alaw", a_law()),
        ):
            self.setUp()
            wanted = law.compress[
                np.array([1000, -32768, 32767, 5, 6, 7], np.int16).view(np.uint16)
            ].tobytes()
            self.assertEqual(self.recorded(format, "received"), wanted, msg=format)

    def test_many_rows_at_once(self) -> None:
        rows = np.array([self.recorder.start(str(n), 0, tracks="stereo") for n in range(40)])
        wanted = []
        for tick in range(60):
            audio = np.random.default_rng(tick).integers(-32768, 32767, (2, 40, 160), np.int16)
            wanted.append(audio)
            order = np.random.default_rng(tick).permutation(40)
            self.recorder.push(rows[order], audio[0][order], audio[1][order], 0)
            self.write()
        for row in rows.tolist():
            self.recorder.stop(row, 0)
        self.write()
        whole = np.concatenate(wanted, axis=2)
        for number in range(40):
            self.assertTrue(np.array_equal(self.pcm(str(number)).reshape(-1, 2).T, whole[:, number]))

    def test_blocks_are_not_all_in_one_tick(self) -> None:
        rows = np.array([self.recorder.start(str(n), 0) for n in range(100)])
        self.recorder.outputs()
        most = 0
        for _ in range(100):
            self.recorder.push(rows, np.ones((100, 160), np.int16), np.ones((100, 160), np.int16), 0)
            outputs = self.recorder.outputs()
            most = max(most, len(outputs))
            for item in outputs:
                self.recorder.answered(Done(item.id))
        self.assertLessEqual(most, 8)

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(st.lists(st.sampled_from((1, 80, 160, 240, 4000, 4001, 9000)), min_size=1, max_size=12))
    def test_frames_of_any_length(self, lengths: list[int]) -> None:
        self.setUp()
        for _ in range(3):
            self.recorder.start(f"x{_}", 0)
        row = self.recorder.start("a", 0, tracks="stereo")
        whole = np.arange(2 * sum(lengths)).astype(np.int16).reshape(2, -1)
        at = 0
        for length in lengths:
            self.push(row, whole[0, at : at + length], whole[1, at : at + length])
            at += length
        self.recorder.stop(row, 0)
        self.write()
        self.assertTrue(np.array_equal(self.pcm("a").reshape(-1, 2).T, whole))
        event = self.recorder.events()[0]
        self.assertEqual(event, RecordingFinished("a", "stopped", at * 1000 // RATE, 4 * at))


class PauseTests(Case):
    def test_a_pause_is_silence_or_cut(self) -> None:
        for mode, wanted in (("silence", [1, 1, 0, 0, 3, 3]), ("cut", [1, 1, 3, 3])):
            self.setUp()
            row = self.recorder.start("a", 0, tracks="sent")
            self.push(row, [9, 9], [1, 1])
            self.recorder.pause(row, mode)
            self.push(row, [9, 9], [2, 2])
            self.recorder.resume(row)
            self.push(row, [9, 9], [3, 3])
            self.assertEqual(self.recorder.milliseconds(row), 0)
            self.recorder.stop(row, 0)
            self.write()
            self.assertEqual(self.pcm("a").tolist(), wanted, msg=mode)

    def test_a_pause_changes_nothing_of_others(self) -> None:
        frame = np.full((2, 160), 5, np.int16)
        rows = np.array([self.recorder.start("a", 0), self.recorder.start("b", 0)])
        self.recorder.pause(int(rows[0]))
        self.recorder.push(rows, frame, frame, 0)
        self.assertEqual(frame.tolist(), [[5] * 160] * 2)
        for row in rows.tolist():
            self.recorder.stop(row, 0)
        self.write()
        self.assertEqual([self.pcm(id)[0] for id in "ab"], [0, 10])


class LimitTests(Case):
    def test_seconds(self) -> None:
        row = self.recorder.start("a", 0, max_seconds=0.03)
        self.push(row, np.ones(160), np.zeros(160))
        self.push(row, np.ones(160), np.zeros(160))
        self.push(row, np.ones(160), np.zeros(160))
        self.assertEqual(len(self.pcm("a")), 240)
        self.assertEqual(self.recorder.events(), [RecordingFinished("a", "max_seconds", 30, 480)])
        self.assertEqual(len(self.recorder), 0)

    def test_octets(self) -> None:
        row = self.recorder.start("a", 0, "wav-ulaw", "stereo", max_seconds=10, max_bytes=1001)
        for _ in range(9):
            self.push(row, np.ones(160), np.zeros(160))
        self.assertEqual(self.recorder.events(), [RecordingFinished("a", "max_bytes", 62, 1000)])

    def test_a_pause_that_cuts_does_not_count(self) -> None:
        row = self.recorder.start("a", 0, max_seconds=0.02)
        self.recorder.pause(row, "cut")
        for _ in range(9):
            self.push(row, np.ones(160), np.zeros(160))
        self.recorder.pause(row, "silence")
        self.assertEqual(self.recorder.events(), [])
        self.push(row, np.ones(160), np.zeros(160))
        self.assertEqual(self.recorder.events(), [RecordingFinished("a", "max_seconds", 20, 320)])

    def test_what_is_refused(self) -> None:
        start = self.recorder.start
        self.assertRaises(RecordingError, start, "a", 0, "flac")
        self.assertRaises(RecordingError, start, "a", 0, "wav", "quadro")
        self.assertRaises(RecordingError, start, "a", 0, max_seconds=0)
        self.assertRaises(RecordingError, start, "a", 0, max_seconds=-1)
        self.assertRaises(RecordingError, start, "a", 0, max_bytes=1)
        self.assertRaises(RecordingError, Recorder(16000).start, "a", 0, "ulaw")
        row = start("a", 0)
        self.assertRaises(RecordingError, start, "a", 0)
        self.assertRaises(RecordingError, self.recorder.pause, row, "mute")
        self.assertRaises(RecordingError, self.recorder.pause, row + 1)
        self.assertRaises(RecordingError, self.recorder.row_of, "b")
        self.assertEqual(self.recorder.row_of("a"), row)
        few = Recorder(RATE, limit=1)
        few.start("a", 0)
        self.assertRaises(MediaError, few.start, "b", 0)


class WriterTests(Case):
    def test_a_failure_is_an_event_and_nothing_else(self) -> None:
        row, other = self.recorder.start("a", 0), self.recorder.start("b", 0)
        both = np.array([row, other])
        frames = np.ones((2, 4000), np.int16)
        self.recorder.push(both, frames, frames, 0)
        self.recorder.push(both, frames, frames, 0)
        self.write()
        self.recorder.answered(Failed("a", "no space left on device"))
        event = self.recorder.events()
        self.assertEqual(event, [RecordingFailed("a", "no space left on device", 500)])
        for _ in range(9):
            self.recorder.push(both, frames, frames, 0)
        self.write()
        self.assertEqual((len(self.recorder), len(self.files["a"])), (1, 8000))
        self.recorder.stop(other, 0)
        self.write()
        self.assertEqual(self.recorder.events(), [RecordingFinished("b", "stopped", 5500, 88000)])
        self.assertRaises(RecordingError, self.recorder.stop, row, 0)

    def test_a_failure_of_the_last_block_is_one(self) -> None:
        row = self.recorder.start("a", 0)
        self.recorder.stop(row, 0)
        self.answering = False
        self.write()
        self.assertEqual(self.recorder.events(), [])
        self.recorder.answered(Failed("a", "no space left on device"))
        self.recorder.answered(Closed("a", 0))
        self.assertEqual(self.recorder.events(), [RecordingFailed("a", "no space left on device", 0)])

    def test_a_disk_that_does_not_answer(self) -> None:
        self.answering = False
        row = self.recorder.start("a", 10)
        self.assertEqual(self.recorder.deadline(), 12)
        self.write()
        self.recorder.answered(Done("a"))
        self.assertEqual(self.recorder.deadline(), None)
        self.push(row, np.ones(4000), np.ones(4000), 20)
        self.push(row, np.ones(4000), np.ones(4000), 20.5)
        self.assertEqual(self.recorder.deadline(), 22.5)
        self.recorder.check(22.4)
        self.assertEqual(self.recorder.events(), [])
        self.recorder.check(22.5)
        self.assertEqual(self.recorder.events(), [RecordingFailed("a", "the disk does not answer", 0)])
        self.assertEqual((self.recorder.deadline(), len(self.recorder)), (None, 0))
        self.write()
        self.assertEqual(self.closed, {"a"})

    def test_what_waits_is_bounded(self) -> None:
        self.recorder = Recorder(RATE, max_pending=20_000)
        self.answering = False
        row = self.recorder.start("a", 0)
        for _ in range(9):
            self.push(row, np.ones(4000), np.ones(4000))
        self.assertEqual(self.recorder.events(), [RecordingFailed("a", "the disk is too slow", 0)])
        self.assertLessEqual(len(self.files["a"]), 20_000)
        self.assertEqual(self.closed, {"a"})

    def test_a_row_is_free_at_once(self) -> None:
        self.answering = False
        row = self.recorder.start("a", 0)
        self.push(row, np.full(100, 7), np.zeros(100))
        self.recorder.pause(row, "cut")
        self.recorder.stop(row, 0)
        self.assertEqual(self.recorder.start("b", 0), row)
        self.push(row, np.full(3, 9), np.zeros(3))
        self.recorder.stop(row, 0)
        self.write()
        self.assertEqual((len(self.pcm("a")), self.pcm("b").tolist()), (100, [9, 9, 9]))
        for id in "ab":
            self.recorder.answered(Closed(id, 1))
        self.assertEqual([event.id for event in self.recorder.events()], ["a", "b"])
