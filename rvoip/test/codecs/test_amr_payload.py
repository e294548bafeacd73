"""Payloads of AMR, with the examples of RFC 4867."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from rvoip.codecs.amr_payload import MAX_FRAMES, NARROW_BITS, WIDE_BITS, pack, unpack


def bits(*fields: str) -> bytes:
    """Octets of written bits, padded with zeros."""
    text = "".join(fields).replace(" ", "")
    return int(text + "0" * (-len(text) % 8), 2).to_bytes((len(text) + 7) // 8)


class Examples(TestCase):
    def test_one_frame_bandwidth_efficient(self) -> None:
        """RFC 4867 section 4.3.5.1: mode 6 requested, one frame of mode 4 (7.4 kbit/s), 148 bits."""
        speech = "10" * 73 + "11"
        payload = bits("0110", "0 0100 1", speech)
        self.assertEqual(len(payload), 20)
        mode, frames = unpack(payload, NARROW_BITS, aligned=False)
        self.assertEqual((mode, frames), (6, [b"\x24" + bits(speech)]))

    def test_two_frames_bandwidth_efficient(self) -> None:
        """Section 4.3.5.2: AMR-WB, mode 8 requested, 6.6 kbit/s that is damaged, then 8.85 kbit/s."""
        first, second = "1" * 132, "01" * 88 + "1"
        payload = bits("1000", "1 0000 0", "0 0001 1", first, second)
        mode, frames = unpack(payload, WIDE_BITS, aligned=False)
        self.assertEqual((mode, frames), (8, [b"\x7c", b"\x0c" + bits(second)]))

    def test_octet_aligned(self) -> None:
        """As section 4.4.5.1: mode 6 requested, two frames of mode 5 (7.95 kbit/s), 159 bits each."""
        first, second = "10" * 79 + "1", "01" * 79 + "0"
        payload = bits("0110 0000", "1 0101 1 00", "0 0101 1 00", first, "0", second, "0")
        self.assertEqual(len(payload), 43)
        mode, frames = unpack(payload, NARROW_BITS, aligned=True)
        self.assertEqual((mode, frames), (6, [b"\x2c" + bits(first), b"\x2c" + bits(second)]))

    def test_what_none_is(self) -> None:
        one = pack([b"\x3c" + bytes(31)], NARROW_BITS, aligned=True)
        for aligned, payload in (
            (True, b""),
            (True, b"\xf0"),
            (True, one[:-1]),
            (True, b"\xf0" + b"\xfc" * 40),  # contents without end
            (True, b"\xf0\x4c" + bytes(40)),  # a type that is none
            (True, bytes(60_000)),
            (False, b""),
            (False, b"\xf0"),
            (False, b"\xff" * 40),
        ):
            self.assertEqual(unpack(payload, NARROW_BITS, aligned), (15, []), payload[:4])


def frames_of(table: Sequence[int]) -> st.SearchStrategy[list[bytes]]:
    """Frames in the storage format, of any type that there is."""

    def frame(kind: int, data: int) -> bytes:
        count = table[kind]
        size = (count + 7) // 8
        return bytes([kind << 3 | 4]) + (data % (1 << count) << (8 * size - count)).to_bytes(size)

    kinds = st.sampled_from([kind for kind, count in enumerate(table) if count >= 0])
    return st.lists(st.builds(frame, kinds, st.integers(0, 2**477)), min_size=1, max_size=MAX_FRAMES)


class Any(TestCase):
    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(frames_of(WIDE_BITS), frames_of(NARROW_BITS), st.booleans())
    def test_there_and_back(self, wide: list[bytes], narrow: list[bytes], aligned: bool) -> None:
        for frames, table in ((wide, WIDE_BITS), (narrow, NARROW_BITS)):
            self.assertEqual(unpack(pack(frames, table, aligned), table, aligned), (15, frames))

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.binary(max_size=80), st.booleans(), st.sampled_from([NARROW_BITS, WIDE_BITS]))
    def test_any_octets(self, octets: bytes, aligned: bool, table: tuple[int, ...]) -> None:
        mode, frames = unpack(octets, table, aligned)
        self.assertTrue(0 <= mode <= 15 and len(frames) <= MAX_FRAMES)
        for frame in frames:
            self.assertEqual(len(frame), 1 + (table[frame[0] >> 3] + 7) // 8)
