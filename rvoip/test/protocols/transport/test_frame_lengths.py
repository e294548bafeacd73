"""The lengths of WebSocket frames, however the octets are cut."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.transport.frame_lengths import FrameLengths
from rvoip.test.protocols.transport.test_websocket import frame


class FrameLengthTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(st.tuples(st.sampled_from([0, 1, 125, 126, 127, 65535, 65536]), st.booleans()), max_size=4),
        st.lists(st.integers(1, 70_000), max_size=8),
    )
    def test_however_they_are_cut(self, frames: list[tuple[int, bool]], cuts: list[int]) -> None:
        wire = b"".join(frame(2, bytes(length), masked=masked) for length, masked in frames)
        lengths = FrameLengths()
        longest = 0
        for cut in [*cuts, len(wire)]:
            longest = max(longest, lengths.receive(wire[:cut]))
            wire = wire[cut:]
        self.assertEqual(longest, max([length for length, _ in frames], default=0))

    def test_of_each_piece(self) -> None:
        """What was announced before is not told again."""
        lengths = FrameLengths()
        head = frame(2, more=2**40)
        self.assertEqual(
            [lengths.receive(piece) for piece in (head[:9], head[9:], b"x" * 100)], [0, 2**40, 0]
        )
        self.assertEqual(FrameLengths().receive(frame(1, b"a") + frame(1, b"abc") + frame(1, b"")), 3)
