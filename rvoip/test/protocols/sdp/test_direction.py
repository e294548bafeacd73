"""The algebra of directions (RFC 3264 section 6.1), all cases."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sdp.direction import DIRECTIONS, Direction

SENDRECV, SENDONLY, RECVONLY, INACTIVE = Direction


class DirectionTests(SynchronousTestCase):
    """Who sends, who receives, what is answered."""

    def test_flows(self) -> None:
        for direction, sends, receives in (
            (SENDRECV, True, True),
            (SENDONLY, True, False),
            (RECVONLY, False, True),
            (INACTIVE, False, False),
        ):
            self.assertEqual((direction.sends, direction.receives), (sends, receives))
            self.assertIs(Direction.of(sends, receives), direction)
            self.assertIs(DIRECTIONS[direction.value], direction)

    def test_reversed(self) -> None:
        for direction, other in (
            (SENDRECV, SENDRECV),
            (SENDONLY, RECVONLY),
            (RECVONLY, SENDONLY),
            (INACTIVE, INACTIVE),
        ):
            self.assertIs(direction.reversed, other)

    def test_what_may_be_answered(self) -> None:
        permitted = {
            SENDRECV: {SENDRECV, SENDONLY, RECVONLY, INACTIVE},
            SENDONLY: {RECVONLY, INACTIVE},
            RECVONLY: {SENDONLY, INACTIVE},
            INACTIVE: {INACTIVE},
        }
        for offered, wanted in product(Direction, Direction):
            answer = offered.answer(wanted)
            self.assertIn(answer, permitted[offered])
            if wanted in permitted[offered]:
                self.assertIs(answer, wanted)

    def test_an_answer_is_never_more_than_was_wanted(self) -> None:
        for offered, wanted in product(Direction, Direction):
            answer = offered.answer(wanted)
            self.assertLessEqual(answer.sends, wanted.sends)
            self.assertLessEqual(answer.receives, wanted.receives)
