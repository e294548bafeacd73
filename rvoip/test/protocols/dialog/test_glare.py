"""Requests that cross: the times of RFC 3261 section 14.1, and which are refused how."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.glare import BOTH, IDLE, OURS, THEIRS, UNACKNOWLEDGED, Overlap, Retry, glare_delay
from rvoip.protocols.dialog.refusal import Refusal

ALMOST_ONE = 0.9999999999999999

DO = {
    "send": lambda overlap, method: overlap.sent(method),
    "receive": lambda overlap, method: overlap.received(method),
    "answer received": lambda overlap, method: overlap.sent_ended(method),
    "answer sent": lambda overlap, method: overlap.received_ended(method),
    "ACK": lambda overlap, method: overlap.acked(),
}

WAYS = {
    "INVITE": {IDLE: [], OURS: ["send"], THEIRS: ["receive"], UNACKNOWLEDGED: ["receive", "answer sent"]},
    "UPDATE": {IDLE: [], OURS: ["send"], THEIRS: ["receive"], BOTH: ["send", "receive"]},
}


class DelayTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.floats(0, 1, exclude_max=True))
    def test_units_of_ten_milliseconds(self, random: float) -> None:
        for owns, low, high in ((True, 2.1, 4.0), (False, 0.0, 2.0)):
            delay = glare_delay(owns, random)
            self.assertTrue(low <= delay <= high)
            self.assertEqual(round(delay, 2), delay)

    def test_both_ends_of_the_ranges(self) -> None:
        self.assertEqual([glare_delay(True, number) for number in (0.0, ALMOST_ONE)], [2.1, 4.0])
        self.assertEqual([glare_delay(False, number) for number in (0.0, ALMOST_ONE)], [0.0, 2.0])

    def test_retry_after(self) -> None:
        refusal = Refusal(500, (("X-Why", "later"),), retry_after=True)
        found = [refusal.headers_with(number)[-1] for number in (0.0, 0.5, ALMOST_ONE)]
        self.assertEqual(found, [("Retry-After", "0"), ("Retry-After", "5"), ("Retry-After", "10")])
        self.assertEqual(Refusal(491).headers_with(0.5), ())


class OverlapTests(SynchronousTestCase):
    def reach(self, method: str, state: str) -> Overlap:
        overlap = Overlap()
        for event in WAYS[method][state]:
            DO[event](overlap, method)
        self.assertEqual(overlap.state(method), state)
        return overlap

    def test_each_row(self) -> None:
        for method, rows in Overlap.TRANSITIONS.items():
            self.assertEqual({state for state, _ in rows}, set(WAYS[method]))
            for (state, event), (following, what) in rows.items():
                overlap = self.reach(method, state)
                if event == "send":
                    self.assertEqual(overlap.may_send(method), what != "wait", (method, state))
                result = DO[event](overlap, method)
                if event == "receive":
                    expected = {"": None, "491": Refusal(491), "500": Refusal(500, retry_after=True)}[what]
                    self.assertEqual(result, expected, (method, state))
                self.assertEqual(overlap.state(method), following, (method, state, event))

    def test_what_no_row_names_changes_nothing(self) -> None:
        for method, rows in Overlap.TRANSITIONS.items():
            for state in WAYS[method]:
                for event, do in DO.items():
                    if (state, event) not in rows and not (event == "ACK" and method == "UPDATE"):
                        overlap = self.reach(method, state)
                        do(overlap, method)
                        self.assertEqual(overlap.state(method), state)

    def test_an_update_beside_an_invite(self) -> None:
        overlap = self.reach("INVITE", THEIRS)
        self.assertTrue(overlap.may_send("UPDATE"))
        self.assertIsNone(overlap.received("UPDATE"))
        self.assertEqual(overlap.received("UPDATE"), Refusal(500, retry_after=True))

    def test_other_methods_do_not_wait(self) -> None:
        overlap = self.reach("INVITE", OURS)
        overlap.sent("INFO")
        self.assertTrue(overlap.may_send("INFO"))
        self.assertIsNone(overlap.received("INFO"))


class RetryTests(SynchronousTestCase):
    def test_once_when_it_is_time(self) -> None:
        retry = Retry()
        self.assertFalse(retry.poll(0.0))
        retry.refused(True, 0.0, 10.0)
        self.assertEqual(retry.deadline, 12.1)
        self.assertFalse(retry.poll(12.0))
        self.assertTrue(retry.poll(12.1))
        self.assertFalse(retry.poll(20.0))
        self.assertIsNone(retry.deadline)

    def test_nobody_wants_it_any_more(self) -> None:
        retry = Retry()
        retry.refused(False, 0.5, 10.0)
        self.assertEqual(retry.deadline, 11.0)
        retry.cancel()
        self.assertIsNone(retry.deadline)
        self.assertFalse(retry.poll(20.0))

    def test_two_sides_never_meet_again(self) -> None:
        """Whoever made the Call-ID always waits for longer."""
        self.assertGreater(glare_delay(True, 0.0), glare_delay(False, ALMOST_ONE))
