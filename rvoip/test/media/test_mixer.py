"""Everybody hears everybody else, nobody himself."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.media.arrays import Frames
from rvoip.media.errors import MediaError
from rvoip.media.mixer import CHUNK, ROLES, ROOM_LIMIT, Mixer, mix_rooms
from rvoip.test.media.signals import decibels, height_of, pcm, sine

SAMPLES = 8
Member = tuple[str, bool, bool, float, list[int]]

MEMBERS = st.tuples(
    st.sampled_from(ROLES),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.0, 2.0, 16.0]),
    st.lists(st.integers(0, 7), max_size=3),
)
ROOMS = st.lists(st.lists(MEMBERS, min_size=1, max_size=8), min_size=1, max_size=6)


def loud(rows: int, seed: int, samples: int = SAMPLES) -> Frames:
    return np.random.default_rng(seed).integers(-32768, 32768, (rows, samples)).astype(np.int16)


def expected(audio: Frames, rooms: list[list[tuple[int, Member]]]) -> Frames:
    """What each hears, told in the plainest way."""
    out = np.full_like(audio, 77)
    for room in rooms:
        numbers = [row for row, _ in room]
        for row, (_, _, deaf, _, _) in room:
            total = np.zeros(audio.shape[1], np.int64)
            for other, (role, muted, _, gain, to) in room:
                hears = role == "speaker" or (
                    role == "whisper" and row in [numbers[n] for n in to if n < len(numbers)]
                )
                if other != row and hears and not muted:
                    total += np.clip(np.rint(audio[other] * np.float32(gain)), -32768, 32767).astype(np.int64)
            out[row] = 0 if deaf else np.clip(total, -32768, 32767)
    return out


class MixTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(ROOMS, st.randoms(use_true_random=False))
    def test_rooms_of_every_shape(self, shapes: list[list[Member]], random: object) -> None:
        count = sum(map(len, shapes))
        # Rows lie about in any order, with gaps.
        rows = np.random.default_rng(count).permutation(2 * count)[:count].tolist()
        mixer, rooms = Mixer(), []
        for shape in shapes:
            room, number = [], mixer.open_room()
            for member in shape:
                room.append((rows.pop(), member))
                mixer.join(number, room[-1][0])
            for place, (row, (role, mute, deaf, gain, to)) in enumerate(room):
                heard_by = [room[one][0] for one in to if one < len(room) and one != place]
                mixer.change(row, mute=mute, deaf=deaf, gain=gain, role=role)
                if role == "whisper":
                    mixer.change(row, to=heard_by)
            rooms.append(room)
        audio = loud(2 * count, count)
        out = np.full_like(audio, 77)
        mixer.mix(audio, out)
        np.testing.assert_array_equal(out, expected(audio, rooms))
        # Nobody hears himself: another sound of his changes nothing for him.
        for room in rooms:
            row = room[0][0]
            changed, again = audio.copy(), np.zeros_like(audio)
            changed[row] = ~changed[row]
            mixer.mix(changed, again)
            np.testing.assert_array_equal(again[row], out[row])

    @settings(derandomize=True, deadline=None, max_examples=50)
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=9))
    def test_pure_function(self, sizes: list[int]) -> None:
        starts = np.cumsum([0, *sizes[:-1]])
        audio = loud(sum(sizes), 5)
        plain: Member = ("speaker", False, False, 1.0, [])
        rooms = [[(int(s) + n, plain) for n in range(size)] for s, size in zip(starts, sizes)]
        np.testing.assert_array_equal(mix_rooms(audio, starts), expected(audio, rooms))

    def test_more_rooms_than_a_chunk_and_a_room_larger_than_one(self) -> None:
        rng = np.random.default_rng(2)
        sizes = [
            *rng.integers(1, 40, 30).tolist(),
            CHUNK + 5,
            CHUNK,
            1,
            *rng.integers(1, 300, 9).tolist(),
            2 * CHUNK,
        ]
        mixer, row, rooms = Mixer(), 0, []
        plain: Member = ("speaker", False, False, 1.0, [])
        for size in sizes:
            room = mixer.open_room()
            rooms.append([(row + one, plain) for one in range(size)])
            for one, _ in rooms[-1]:
                mixer.join(room, one)
            row += size
        audio = (loud(row, 3) // 64).astype(np.int16)
        out = np.zeros_like(audio)
        mixer.mix(audio, out)
        np.testing.assert_array_equal(
            out,
            np.concatenate([np.clip(_sums(audio, room), -32768, 32767) for room in rooms]).astype(np.int16),
        )
        order, starts, _ = mixer.plan()
        self.assertEqual(len(order), row)
        self.assertEqual(np.diff(starts, append=row).tolist(), sizes)

    def test_the_fullest_room_does_not_wrap(self) -> None:
        mixer = Mixer()
        room = mixer.open_room()
        for row in range(ROOM_LIMIT):
            mixer.join(room, row)
        self.assertIn("no more than", str(self.assertRaises(MediaError, mixer.join, room, ROOM_LIMIT)))
        audio = np.full((ROOM_LIMIT, 1), -32768, np.int16)
        out = np.zeros_like(audio)
        mixer.mix(audio, out)
        self.assertTrue((out == -32768).all())

    def test_clipping_is_flat_and_not_wrapped(self) -> None:
        tone = pcm(sine(500, 0.1, height=30_000))
        audio = np.repeat(tone, 3, axis=0)
        out = mix_rooms(audio, np.array([0]))
        self.assertEqual((int(out.max()), int(out.min())), (32767, -32768))
        # Where one wave is above nought, so is the sum.
        self.assertTrue(((audio[0] > 0) <= (out[0] > 0)).all())

    def test_three_callers_are_heard_by_their_tones(self) -> None:
        audio = np.concatenate([pcm(sine(f, 0.5, height=5000)) for f in (400, 900, 1700)])
        out = mix_rooms(audio, np.array([0]))
        for row, own in enumerate((400, 900, 1700)):
            for frequency in (400, 900, 1700):
                level = decibels(height_of(out[row], frequency, 8000) / 5000)
                if frequency == own:
                    self.assertLess(level, -60)
                else:
                    self.assertApproximates(level, 0, 0.1)

    def test_in_place(self) -> None:
        mixer = Mixer()
        room = mixer.open_room()
        for row in range(3):
            mixer.join(room, row)
        audio = (loud(3, 1) // 4).astype(np.int16)
        wanted = np.zeros_like(audio)
        mixer.mix(audio, wanted)
        mixer.mix(audio, audio)
        np.testing.assert_array_equal(audio, wanted)

    def test_nobody_at_all(self) -> None:
        mixer = Mixer()
        mixer.open_room()
        out = np.ones((0, 160), np.int16)
        mixer.mix(out, out)
        self.assertEqual([part.tolist() for part in mixer.plan()], [[], [], []])


def _sums(audio: Frames, room: list[tuple[int, Member]]) -> Frames:
    rows = audio[[row for row, _ in room]].astype(np.int64)
    found: Frames = rows.sum(axis=0) - rows
    return found


class MemberTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.mixer = Mixer(limit=10)
        self.room = self.mixer.open_room()
        self.other = self.mixer.open_room()
        for row in (1, 2, 3):
            self.mixer.join(self.room, row)
        self.mixer.join(self.other, 4)
        self.audio = np.array([[0], [1], [10], [100], [1000]], np.int16)

    def heard(self) -> list[int]:
        out = np.zeros_like(self.audio)
        self.mixer.mix(self.audio, out)
        found: list[int] = out[:, 0].tolist()
        return found

    def refused(self, reason: str, **change: object) -> None:
        before = self.heard()
        error = self.assertRaises(MediaError, self.mixer.change, 1, **change)
        self.assertIn(reason, str(error))
        self.assertEqual(self.heard(), before)

    def test_who_comes_and_goes(self) -> None:
        self.assertEqual(self.heard(), [0, 110, 101, 11, 0])
        self.mixer.leave(2)
        self.assertEqual(self.heard(), [0, 100, 0, 1, 0])
        self.mixer.join(self.other, 2)
        self.assertEqual(self.heard(), [0, 100, 1000, 1, 10])
        self.mixer.close_room(self.room)
        self.assertEqual(self.heard(), [0, 0, 1000, 0, 10])
        self.assertEqual(self.mixer.open_room(), self.room)
        self.assertEqual(self.mixer.members(self.room).tolist(), [])

    def test_mute_deaf_gain_and_roles(self) -> None:
        self.mixer.change(2, mute=True)
        self.assertEqual(self.heard()[1:4], [100, 101, 1])
        self.mixer.change(2, mute=False, deaf=True, gain=3)
        self.assertEqual(self.heard()[1:4], [130, 0, 31])
        self.mixer.change(2, deaf=False, gain=1, role="listener")
        self.assertEqual(self.heard()[1:4], [100, 101, 1])

    def test_a_whisper_is_heard_by_whom_it_is_for(self) -> None:
        self.mixer.change(1, role="whisper", to=[2])
        self.assertEqual(self.heard()[1:4], [110, 101, 10])
        self.mixer.change(1, to=[])
        self.assertEqual(self.heard()[1:4], [110, 100, 10])
        self.mixer.change(1, to=[2, 3])
        self.mixer.change(2, role="whisper", to=[3])
        self.assertEqual(self.heard()[1:4], [100, 101, 11])
        self.mixer.change(1, role="speaker")
        self.mixer.change(1, role="whisper")
        self.assertEqual(self.heard()[1:4], [100, 100, 10])

    def test_a_row_that_left_is_forgotten(self) -> None:
        self.mixer.change(2, mute=True, deaf=True, gain=5)
        self.mixer.change(1, role="whisper", to=[2])
        self.mixer.leave(2)
        self.mixer.join(self.room, 2)
        # It is a new member, and the whisper was not for it.
        self.assertEqual(self.heard()[1:4], [110, 100, 10])

    def test_refusals(self) -> None:
        self.refused("role 'chair' is none of", role="chair")
        self.refused("gain 17 is not", gain=17)
        self.refused("gain nan", gain=float("nan"))
        self.refused("only the role whisper", to=[2])
        self.refused("only the role whisper", role="listener", to=[2])
        for to in ([1], [4], [99], [-1], [0]):
            self.refused("other members of the same room", role="whisper", to=to)
        for call, reason in (
            (lambda: self.mixer.join(7, 5), "no room 7"),
            (lambda: self.mixer.join(self.room, 10), "between 0 and 9"),
            (lambda: self.mixer.join(self.room, -1), "between 0 and 9"),
            (lambda: self.mixer.join(self.room, 4), "row 4 is in room"),
            (lambda: self.mixer.leave(0), "in no room"),
            (lambda: self.mixer.change(9, mute=True), "in no room"),
            (lambda: self.mixer.close_room(5), "no room 5"),
            (lambda: self.mixer.members(-1), "no room -1"),
        ):
            self.assertIn(reason, str(self.assertRaises(MediaError, call)))
