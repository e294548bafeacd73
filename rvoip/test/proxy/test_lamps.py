"""The machine behind busy lamps."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.build import request, respond
from rvoip.protocols.sip.dialog_info import DialogState
from rvoip.protocols.sip.message import Request, Response
from rvoip.proxy.lamps import Lamps


def invite(number: int = 1) -> Request:
    made = request(
        "INVITE",
        "sip:bob@example.test",
        from_=NameAddr("sip:alice@example.test", "Alice", {"tag": f"a{number}"}),
        to=NameAddr("sip:bob@example.test"),
        call_id=f"call-{number}",
        cseq=1,
    )
    made.add("via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
    return made


def answer(to: Request, status: int, tag: str = "b1") -> Response:
    return respond(to, status, to_tag=tag)


class LampsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[tuple[str, tuple[DialogState, ...]]] = []
        self.lamps = Lamps(lambda aor, dialogs: self.told.append((aor, dialogs)), most=3)

    def states(self, aor: str) -> list[str]:
        return [one.state for told, dialogs in self.told if told == aor for one in dialogs[:1] or ()]

    def test_a_fork(self) -> None:
        """Two users ring; the one who takes the call keeps it, the other's lamp goes out."""
        call = invite()
        self.lamps.responded(call, answer(call, 180), ["bob@x"], 0.0)
        self.lamps.responded(call, answer(call, 180, "c1"), ["bob@x", "carol@x"], 0.0)
        self.lamps.responded(call, answer(call, 200, "c1"), ["carol@x"], 1.0)
        self.assertEqual(self.told[-2][0], "bob@x")
        self.assertEqual(self.told[-2][1], ())
        self.assertEqual((self.told[-1][0], self.told[-1][1][0].state), ("carol@x", "confirmed"))
        self.lamps.over("call-1", "a1")
        self.assertEqual(self.told[-1], ("carol@x", ()))
        self.assertEqual(len(self.lamps), 0)

    def test_a_late_provisional(self) -> None:
        call = invite()
        self.lamps.responded(call, answer(call, 200), ["bob@x"], 0.0)
        self.lamps.responded(call, answer(call, 180), [], 1.0)
        self.assertEqual(self.states("bob@x")[-1], "confirmed")

    def test_the_caller(self) -> None:
        call = invite()
        self.lamps.responded(call, answer(call, 180), ["bob@x"], 0.0)
        self.lamps.called_by(call, "alice@x")
        (state,) = self.told[-1][1]
        self.assertEqual((state.direction, state.local_tag, state.remote_tag), ("initiator", "a1", "b1"))
        self.assertEqual(state.local.identity, "sip:alice@x")
        self.lamps.responded(call, answer(call, 200), ["bob@x"], 0.0)
        self.assertEqual((self.states("alice@x")[-1], self.states("bob@x")[-1]), ("confirmed", "confirmed"))
        self.lamps.called_by(invite(9), "alice@x")  # nobody knows this one

    def test_said_again(self) -> None:
        call = invite()
        for _ in range(3):
            self.lamps.responded(call, answer(call, 180), ["bob@x"], 0.0)
        self.assertEqual(len(self.told), 1)

    def test_bounds(self) -> None:
        for number in range(5):
            call = invite(number)
            self.assertEqual(self.lamps.responded(call, answer(call, 180), ["bob@x"], 0.0), number < 3)
        self.assertEqual(len(self.lamps), 3)

    def test_an_end_that_nobody_saw(self) -> None:
        call = invite()
        self.lamps.responded(call, answer(call, 180), ["bob@x"], 0.0)
        other = invite(2)
        self.lamps.responded(other, answer(other, 200), ["carol@x"], 0.0)
        self.lamps.expire(599.0)
        self.assertEqual(len(self.lamps), 2)
        self.lamps.expire(600.0)
        self.assertEqual((len(self.lamps), self.told[-1]), (1, ("bob@x", ())))

    def test_refused(self) -> None:
        call = invite()
        self.assertFalse(self.lamps.responded(call, answer(call, 486), ["bob@x"], 0.0))
        self.assertEqual((self.told, len(self.lamps)), ([], 0))
