"""What legs hear, sample by sample."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.media.errors import AudioFileError, MediaError
from rvoip.media.player import Player
from rvoip.media.sound import Sound

RATE = 8000


def ramp(samples: int, first: int = 1) -> Sound:
    """A sound whose samples say where they are from."""
    return Sound(np.arange(first, first + samples).astype(np.int16), RATE)


class PlayerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.player = Player(RATE)
        self.row = self.player.add()

    def heard(self, samples: int = 160) -> list[int]:
        rows, audio = self.player.pull(samples)
        self.assertEqual((audio.shape, audio.dtype), ((len(rows), samples), np.int16))
        at = np.flatnonzero(rows == self.row)
        return [int(value) for value in audio[at[0]]] if len(at) else []

    def finished(self) -> list[tuple[str, str, int]]:
        return [(event.id, event.reason, event.played_ms) for event in self.player.finished()]

    def test_a_sound_is_heard_once(self) -> None:
        self.player.play(self.row, "a", ramp(400))
        self.assertEqual(self.heard(), list(range(1, 161)))
        self.assertEqual((self.player.playing(self.row), self.player.played_ms(self.row)), ("a", 20))
        self.assertEqual(self.heard(), list(range(161, 321)))
        self.assertEqual(self.finished(), [])
        self.assertEqual(self.heard(), [*range(321, 401), *[0] * 80])
        self.assertEqual(self.finished(), [("a", "ended", 50)])
        self.assertEqual(self.heard(), [])
        self.assertEqual((self.player.playing(self.row), self.player.played_ms(self.row)), (None, 0))

    def test_one_that_ends_with_a_frame_says_so_at_once(self) -> None:
        self.player.play(self.row, "a", ramp(320))
        self.heard()
        self.assertEqual(self.heard(), list(range(161, 321)))
        self.assertEqual(self.finished(), [("a", "ended", 40)])
        self.assertEqual(self.heard(), [])

    def test_a_queue_has_no_gap(self) -> None:
        self.player.play(self.row, "a", ramp(100))
        self.player.play(self.row, "b", ramp(5, 1000))
        self.player.play(self.row, "c", ramp(200, 2000))
        self.assertEqual(self.player.waiting(self.row), ("b", "c"))
        self.assertEqual(self.heard(), [*range(1, 101), *range(1000, 1005), *range(2000, 2055)])
        self.assertEqual(self.finished(), [("a", "ended", 12), ("b", "ended", 0)])
        self.assertEqual(self.heard(), [*range(2055, 2200), *[0] * 15])
        self.assertEqual(self.finished(), [("c", "ended", 25)])

    def test_a_loop_begins_again_without_a_gap(self) -> None:
        self.player.play(self.row, "a", ramp(100), loop=True)
        found = [value for _ in range(5) for value in self.heard()]
        self.assertEqual(found, [1 + at % 100 for at in range(800)])
        self.assertEqual(self.player.played_ms(self.row), 100)
        self.assertTrue(self.player.stop(self.row))
        self.assertEqual(self.finished(), [("a", "stopped", 100)])
        self.assertEqual(self.heard(), [])

    def test_a_loop_of_one_sample(self) -> None:
        self.player.play(self.row, "a", ramp(1, 7), loop=True)
        self.assertEqual(self.heard(), [7] * 160)
        self.assertEqual(self.player.played_ms(self.row), 20)

    def test_an_offset_is_passed_over_and_not_counted(self) -> None:
        self.player.play(self.row, "a", ramp(400), offset_ms=12.5)
        self.assertEqual(self.heard(), list(range(101, 261)))
        self.assertEqual(self.player.played_ms(self.row), 20)
        self.player.stop(self.row)
        self.player.play(self.row, "b", ramp(100), offset_ms=20, loop=True)
        self.assertEqual(self.heard(), [1 + (60 + at) % 100 for at in range(160)])
        self.assertEqual(self.player.played_ms(self.row), 20)
        self.assertEqual(self.finished(), [("a", "stopped", 20)])

    def test_an_offset_past_the_end_ends_at_once(self) -> None:
        self.player.play(self.row, "a", ramp(100), offset_ms=1000)
        self.assertEqual(self.finished(), [("a", "ended", 0)])
        self.player.play(self.row, "b", ramp(160))
        self.player.play(self.row, "c", ramp(100), offset_ms=1e9)
        self.player.play(self.row, "d", ramp(160, 500))
        self.heard()
        self.assertEqual(self.finished(), [("b", "ended", 20), ("c", "ended", 0)])
        self.assertEqual(self.heard(), list(range(500, 660)))

    def test_stop_by_name(self) -> None:
        for name in "abc":
            self.player.play(self.row, name, ramp(1000))
        self.assertFalse(self.player.stop(self.row, "x"))
        self.assertTrue(self.player.stop(self.row, "b"))
        self.assertEqual(self.finished(), [("b", "stopped", 0)])
        self.heard()
        self.assertTrue(self.player.stop(self.row, "a"))
        self.assertEqual(self.finished(), [("a", "stopped", 20)])
        self.assertEqual((self.player.playing(self.row), self.heard()[0]), ("c", 1))
        self.assertTrue(self.player.stop(self.row))
        self.assertFalse(self.player.stop(self.row))

    def test_now_takes_the_place_of_all(self) -> None:
        self.player.play(self.row, "a", ramp(1000))
        self.player.play(self.row, "b", ramp(1000))
        self.heard()
        self.player.play(self.row, "c", ramp(1000, 5000), now=True)
        self.assertEqual(self.finished(), [("a", "stopped", 20), ("b", "stopped", 0)])
        self.assertEqual(self.heard()[0], 5000)

    def test_barge_in_ends_what_may_be_interrupted(self) -> None:
        other = self.player.add()
        self.player.play(self.row, "a", ramp(1000), barge_in=True)
        self.player.play(self.row, "b", ramp(1000), barge_in=True)
        self.player.play(self.row, "c", ramp(1000, 5000))
        self.player.play(self.row, "d", ramp(1000), barge_in=True)
        self.player.play(other, "x", ramp(1000))
        self.heard()
        self.player.barge_in([self.row, other, 999])
        self.assertEqual(self.finished(), [("a", "barge_in", 20), ("b", "barge_in", 0)])
        self.assertEqual((self.player.playing(self.row), self.player.playing(other)), ("c", "x"))
        self.player.barge_in([self.row])
        self.assertEqual((self.finished(), self.heard()[0]), ([], 5000))

    def test_pause_holds_the_place(self) -> None:
        self.player.play(self.row, "a", ramp(1000))
        self.heard()
        self.player.pause(self.row)
        self.assertEqual(self.heard(), [])
        self.assertEqual(self.player.played_ms(self.row), 20)
        self.assertEqual(self.player.pull_row(self.row, 2).tolist(), [0, 0])
        self.player.pause(self.row, False)
        self.assertEqual(self.heard()[0], 161)

    def test_a_leg_that_ends_leaves_nothing(self) -> None:
        self.player.play(self.row, "a", ramp(1000))
        self.player.play(self.row, "b", ramp(1000))
        self.player.pause(self.row)
        self.heard()
        self.player.remove(self.row)
        self.assertEqual(self.finished(), [("a", "removed", 0), ("b", "removed", 0)])
        self.assertRaises(MediaError, self.player.play, self.row, "a", ramp(1))
        self.assertEqual(self.player.add(), self.row)
        self.assertEqual(self.heard(), [])
        self.player.play(self.row, "c", ramp(1000))
        self.assertEqual(self.heard()[0], 1)
        self.assertEqual(len(self.player._numbers), 1)

    def test_sounds_are_let_go(self) -> None:
        for number in range(50):
            self.player.play(self.row, str(number), ramp(10))
        self.heard(500)
        self.assertEqual(len(self.player.finished()), 50)
        self.assertEqual((self.player._numbers, set(self.player._shelves)), ({}, {None}))
        self.assertLess(len(self.player._shelves), 3)

    def test_what_is_refused(self) -> None:
        play = self.player.play
        self.assertRaises(MediaError, play, self.row, "a", Sound(np.ones(1, np.int16), 16000))
        self.assertRaises(MediaError, play, self.row, "a", ramp(9), offset_ms=-1)
        self.assertRaises(MediaError, play, self.row, "a", ramp(9), offset_ms=float("nan"))
        self.assertRaises(MediaError, play, self.row + 1, "a", ramp(9))
        self.assertRaises(MediaError, self.player.stop, -1)
        self.assertRaises(AudioFileError, Sound, np.zeros(0, np.int16), RATE)
        for _ in range(64):
            play(self.row, "a", ramp(9))
        self.assertRaises(MediaError, play, self.row, "a", ramp(9))

    def test_one_music_for_a_thousand(self) -> None:
        music = ramp(8000)
        rows = [self.player.add() for _ in range(1000)]
        for row in rows:
            self.player.play(row, "moh", music, loop=True, offset_ms=row)
        for tick in range(60):
            found, audio = self.player.pull(160)
            wanted = 1 + (found[:, None] * 8 + tick * 160 + np.arange(160)) % 8000
            self.assertTrue(np.array_equal(audio, wanted))
        self.assertEqual(len(self.player._numbers), 1)

    def test_samples_cannot_be_changed(self) -> None:
        sound = ramp(9)
        self.assertRaises(ValueError, sound.samples.__setitem__, 0, 1)

    @settings(derandomize=True, deadline=None, max_examples=80)
    @given(st.integers(0, 2**32))
    def test_many_and_one_agree(self, seed: int) -> None:
        choose = random.Random(seed)
        many, one = Player(RATE), Player(RATE)
        rows = [many.add() for _ in range(5)]
        self.assertEqual([one.add() for _ in rows], rows)
        sounds = [ramp(choose.choice((1, 7, 159, 160, 161, 500)), 1000 * n + 1) for n in range(4)]
        for tick in range(12):
            for _ in range(choose.randrange(4)):
                row, sound = choose.choice(rows), choose.choice(sounds)
                loop, offset, barge = choose.random() < 0.2, choose.choice((0, 0, 5)), choose.random() < 0.5
                step = choose.choice(("play", "play", "stop", "barge_in", "pause"))
                for player in (many, one):
                    if step == "play":
                        player.play(row, str(tick), sound, loop=loop, offset_ms=offset, barge_in=barge)
                    elif step == "stop":
                        player.stop(row)
                    elif step == "barge_in":
                        player.barge_in([row])
                    else:
                        player.pause(row, barge)
            samples = choose.choice((80, 160, 160, 240))
            found, audio = many.pull(samples)
            by_row = dict(zip(found.tolist(), audio.tolist(), strict=True))
            for row in rows:
                alone = one.pull_row(row, samples).tolist()
                self.assertEqual(by_row.get(row, [0] * samples), alone)
                self.assertEqual(many.played_ms(row), one.played_ms(row))
            self.assertEqual(sorted(many.finished()), sorted(one.finished()))
