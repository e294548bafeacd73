"""Reliable provisional responses: order, repetition, acknowledgement, negotiation (RFC 3262)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.dialog.reliable import (
    ACKNOWLEDGED,
    EXPIRED,
    RELEASE,
    RESEND,
    SEND,
    UNMATCHED,
    Output,
    ReliableClient,
    ReliableServer,
    negotiate_reliable,
    reliable_headers,
    reliable_retry,
)
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.sip.build import request, respond
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.session_headers import RAck

CSEQ = 7


def invite(*headers: tuple[str, str]) -> Request:
    return request(
        "INVITE", "sip:b@x", from_="<sip:a@x>;tag=1", to="<sip:b@x>", call_id="c", cseq=CSEQ, headers=headers
    )


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = ReliableServer[str](Timers(), 100)

    def whats(self, outputs: list[Output[str]]) -> list[tuple[str, int]]:
        return [(output.what, output.rseq) for output in outputs]

    def prack(
        self, rseq: int, now: float = 0.0, cseq: int = CSEQ, method: str = "INVITE"
    ) -> list[tuple[str, int]]:
        return self.whats(self.server.receive(RAck(rseq, cseq, method), CSEQ, now))

    def test_times(self) -> None:
        """T1, doubled each time and not bounded by T2; given up after 64*T1."""
        outputs = self.server.send("183", False, 0.0)
        self.assertEqual(outputs, [Output(SEND, 100, "183")])
        seen = []
        while self.server.deadline is not None:
            now = self.server.deadline
            seen += [(now, output.what, output.response) for output in self.server.poll(now)]
        expected = [(time, RESEND, "183") for time in (0.5, 1.5, 3.5, 7.5, 15.5, 31.5)]
        self.assertEqual(seen, [*expected, (32.0, EXPIRED, "183")])
        self.assertEqual(self.server.send("180", False, 33.0), [])

    def test_a_poll_too_early_does_nothing(self) -> None:
        self.server.send("183", False, 0.0)
        self.assertEqual(self.server.poll(0.4), [])
        self.assertEqual(self.server.deadline, 0.5)

    def test_an_acknowledged_one_is_not_sent_again(self) -> None:
        self.server.send("183", False, 0.0)
        self.assertEqual(self.prack(100), [(ACKNOWLEDGED, 100)])
        self.assertIsNone(self.server.deadline)
        self.assertEqual(self.prack(100), [(UNMATCHED, 100)])

    def test_a_prack_for_something_else(self) -> None:
        self.server.send("183", False, 0.0)
        self.assertEqual(self.prack(99), [(UNMATCHED, 99)])
        self.assertEqual(self.prack(100, cseq=CSEQ + 1), [(UNMATCHED, 100)])
        self.assertEqual(self.prack(100, method="UPDATE"), [(UNMATCHED, 100)])
        self.assertEqual(self.server.pending, 1)

    def test_the_first_is_alone(self) -> None:
        self.server.send("180", False, 0.0)
        self.assertEqual(self.server.send("181", False, 0.0), [])
        self.assertEqual(self.server.send("182", False, 0.0), [])
        self.assertEqual(self.server.pending, 3)
        self.assertEqual(self.prack(100, 1.0), [(ACKNOWLEDGED, 100), (SEND, 101), (SEND, 102)])
        self.assertEqual(self.whats(self.server.send("180", False, 1.0)), [(SEND, 103)])
        # In whatever order.
        self.assertEqual(self.prack(103), [(ACKNOWLEDGED, 103)])
        self.assertEqual(self.prack(101), [(ACKNOWLEDGED, 101)])

    def test_a_description_is_alone(self) -> None:
        self.server.send("180", False, 0.0)
        self.prack(100)
        self.assertEqual(self.whats(self.server.send("183 sdp", True, 0.0)), [(SEND, 101)])
        self.assertEqual(self.server.send("180", False, 0.0), [])
        self.assertEqual(self.prack(101), [(ACKNOWLEDGED, 101), (SEND, 102)])

    def test_a_2xx_waits_for_a_description(self) -> None:
        self.server.send("183 sdp", True, 0.0)
        self.server.send("180", False, 0.0)
        self.assertFalse(self.server.finish(200, 1.0))
        self.assertEqual(self.server.send("180", False, 1.0), [])
        self.assertEqual(self.whats(self.server.poll(1.0)), [(RESEND, 100)])
        self.assertEqual(self.prack(100, 1.2), [(ACKNOWLEDGED, 100), (RELEASE, 0)])
        self.assertIsNone(self.server.deadline)

    def test_a_2xx_waits_for_one_that_is_not_sent_yet(self) -> None:
        self.server.send("180", False, 0.0)
        self.server.send("183 sdp", True, 0.0)
        self.assertFalse(self.server.finish(200, 0.0))
        self.assertEqual(self.prack(100, 0.1), [(ACKNOWLEDGED, 100), (SEND, 101)])
        self.assertEqual(self.prack(101, 0.2), [(ACKNOWLEDGED, 101), (RELEASE, 0)])

    def test_a_2xx_that_waits_in_vain(self) -> None:
        self.server.send("183 sdp", True, 0.0)
        self.server.finish(200, 0.0)
        self.assertEqual(self.whats(self.server.poll(32.0)), [(EXPIRED, 100)])
        self.assertTrue(self.server.finish(504, 32.0))

    def test_a_final_response_ends_the_repetition(self) -> None:
        for status, session in ((200, False), (486, True), (487, False)):
            server = self.server = ReliableServer[str](Timers(), 5)
            server.send("18x", session, 0.0)
            self.assertTrue(server.finish(status, 1.0))
            self.assertIsNone(server.deadline)
            self.assertEqual(server.poll(100.0), [])
            self.assertEqual(server.send("180", False, 1.0), [])
            self.assertEqual(self.prack(5), [(ACKNOWLEDGED, 5)], "a PRACK is still answered")

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["send", "describe", "prack", "wait"]), st.integers(0, 6)), max_size=40
        )
    )
    def test_any_order(self, steps: list[tuple[str, int]]) -> None:
        """RSeq counts up by one, a description is alone, and whatever is under way has a deadline."""
        server = ReliableServer[bool](Timers(), 1)
        now, last, acknowledged = 0.0, 0, 0
        open_: dict[int, bool] = {}
        for step, number in steps:
            outputs: list[Output[bool]] = []
            if step in ("send", "describe"):
                outputs = server.send(step == "describe", step == "describe", now)
            elif step == "prack" and open_:
                outputs = server.receive(RAck(sorted(open_)[number % len(open_)], 1, "INVITE"), 1, now)
            elif step == "wait" and server.deadline is not None:
                now = server.deadline
                outputs = server.poll(now)
                if outputs[0].what == EXPIRED:
                    return
            for output in outputs:
                if output.what == SEND:
                    last += 1
                    self.assertEqual(output.rseq, last)
                    self.assertFalse(open_ and not acknowledged, "the first is not acknowledged")
                    self.assertFalse(any(open_.values()), "a description is under way")
                    open_[output.rseq] = bool(output.response)
                elif output.what == ACKNOWLEDGED:
                    del open_[output.rseq]
                    acknowledged += 1
                else:
                    self.assertEqual(output.what, RESEND)
                    self.assertIn(output.rseq, open_)
            self.assertEqual(server.deadline is not None, bool(open_))


class ClientTests(SynchronousTestCase):
    def test_in_order_and_once(self) -> None:
        client = ReliableClient()
        self.assertEqual(client.receive(776656, 1), RAck(776656, 1, "INVITE"))
        self.assertIsNone(client.receive(776656, 1), "again")
        self.assertIsNone(client.receive(776658, 1), "one is missing")
        self.assertEqual(client.receive(776657, 1), RAck(776657, 1, "INVITE"))
        self.assertEqual(client.receive(776658, 1), RAck(776658, 1, "INVITE"))
        self.assertIsNone(client.receive(776656, 1), "an old one")

    def test_each_invite_counts_anew(self) -> None:
        client = ReliableClient()
        client.receive(10, 1)
        self.assertEqual(client.receive(3, 2), RAck(3, 2, "INVITE"))
        self.assertIsNone(client.receive(11, 1), "of the INVITE before")

    def test_zero_is_no_rseq(self) -> None:
        self.assertIsNone(ReliableClient().receive(0, 1))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.integers(1, 2**31 - 1), st.lists(st.integers(0, 8), max_size=60))
    def test_whatever_is_lost_or_late(self, first: int, offsets: list[int]) -> None:
        client = ReliableClient()
        got = [first + offset for offset in [0, *offsets] if client.receive(first + offset, 1) is not None]
        self.assertEqual(got, list(range(first, first + len(got))))


class NegotiationTests(SynchronousTestCase):
    def test_the_called_side(self) -> None:
        plain, able, demanding = (
            invite(),
            invite(("Supported", "timer, 100Rel")),
            invite(("Require", "100rel")),
        )
        for policy, expected in {
            "off": (False, False, Refusal(420, (("Unsupported", "100rel"),))),
            "supported": (False, True, True),
            "required": (Refusal(421, (("Require", "100rel"),)), True, True),
        }.items():
            found = tuple(negotiate_reliable(one, policy) for one in (plain, able, demanding))
            self.assertEqual(found, expected, policy)

    def test_the_calling_side(self) -> None:
        self.assertEqual(reliable_headers("off"), ())
        self.assertEqual(reliable_headers("supported"), (("Supported", "100rel"),))
        self.assertEqual(reliable_headers("required"), (("Require", "100rel"),))

    def test_a_second_attempt(self) -> None:
        wanted = respond(invite(), 421, headers=[("Require", "100rel")])
        unknown = respond(invite(), 420, headers=[("Unsupported", "100rel")])
        other = respond(invite(), 420, headers=[("Unsupported", "replaces")])
        self.assertEqual(reliable_retry("off", wanted), "supported")
        self.assertIsNone(reliable_retry("supported", wanted))
        self.assertEqual(reliable_retry("required", unknown), "off")
        self.assertIsNone(reliable_retry("off", unknown))
        self.assertIsNone(reliable_retry("required", other))
        self.assertIsNone(reliable_retry("required", respond(invite(), 486)))
