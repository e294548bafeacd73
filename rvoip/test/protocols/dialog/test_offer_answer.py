"""Offers and answers: the patterns of RFC 6337 from both ends, what is out of turn, any order of messages."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog import offer_answer
from rvoip.protocols.dialog.offer_answer import (
    ANSWER,
    ANSWERED_IN,
    EARLY_ANSWER,
    NO_ANSWER,
    NO_OFFER,
    NOTHING,
    OFFER,
    REFUSED,
    REFUSED_BY,
    REPEATED,
    ROLLED_BACK,
    STABLE,
    STATES,
    OfferAnswer,
    OfferAnswerError,
    message_name,
    received_in,
    sent_in,
)
from rvoip.protocols.sip.build import request, respond
from rvoip.protocols.sip.message import Request

# (who sends, message, description, what it is): the caller is "a".
Step = tuple[str, str, str, str]

PATTERNS: dict[str, list[Step]] = {
    "1: INVITE, 2xx": [
        ("a", "INVITE", "o1", OFFER),
        ("b", "1xx", "", NOTHING),
        ("b", "2xx", "a1", ANSWER),
        ("a", "ACK", "", NOTHING),
    ],
    "2: 2xx, ACK": [
        ("a", "INVITE", "", NOTHING),
        ("b", "1xx", "", NOTHING),
        ("b", "2xx", "o1", OFFER),
        ("a", "ACK", "a1", ANSWER),
    ],
    "3: INVITE, reliable 1xx": [
        ("a", "INVITE", "o1", OFFER),
        ("b", "reliable 1xx", "a1", ANSWER),
        ("a", "PRACK", "", NOTHING),
        ("b", "PRACK 2xx", "", NOTHING),
        ("b", "2xx", "", NOTHING),
        ("a", "ACK", "", NOTHING),
    ],
    "4: reliable 1xx, PRACK": [
        ("a", "INVITE", "", NOTHING),
        ("b", "reliable 1xx", "o1", OFFER),
        ("a", "PRACK", "a1", ANSWER),
        ("b", "PRACK 2xx", "", NOTHING),
        ("b", "2xx", "", NOTHING),
        ("a", "ACK", "", NOTHING),
    ],
    "5: PRACK, PRACK 2xx": [
        ("a", "INVITE", "o1", OFFER),
        ("b", "reliable 1xx", "a1", ANSWER),
        ("a", "PRACK", "o2", OFFER),
        ("b", "PRACK 2xx", "a2", ANSWER),
        ("b", "2xx", "", NOTHING),
        ("a", "ACK", "", NOTHING),
    ],
    "6: UPDATE, UPDATE 2xx, both ways": [
        ("a", "INVITE", "o1", OFFER),
        ("b", "reliable 1xx", "a1", ANSWER),
        ("a", "PRACK", "", NOTHING),
        ("b", "PRACK 2xx", "", NOTHING),
        ("a", "UPDATE", "o2", OFFER),
        ("b", "UPDATE 2xx", "a2", ANSWER),
        ("b", "UPDATE", "o3", OFFER),
        ("a", "UPDATE 2xx", "a3", ANSWER),
        ("b", "2xx", "", NOTHING),
        ("a", "ACK", "", NOTHING),
    ],
    "an answer shown early": [
        ("a", "INVITE", "o1", OFFER),
        ("b", "1xx", "a1", EARLY_ANSWER),
        ("b", "1xx", "a1", EARLY_ANSWER),
        ("b", "2xx", "a1", ANSWER),
        ("a", "ACK", "", NOTHING),
    ],
    "a re-INVITE that fails": [
        ("a", "INVITE", "o1", OFFER),
        ("b", "2xx", "a1", ANSWER),
        ("a", "ACK", "", NOTHING),
        ("b", "INVITE", "o2", OFFER),
        ("a", "1xx", "", NOTHING),
        ("a", "failure", "", ROLLED_BACK),
    ],
    "a re-INVITE without an offer, for hold by a third party": [
        ("a", "INVITE", "o1", OFFER),
        ("b", "2xx", "a1", ANSWER),
        ("a", "ACK", "", NOTHING),
        ("b", "INVITE", "", NOTHING),
        ("a", "2xx", "o2", OFFER),
        ("b", "ACK", "a2", ANSWER),
    ],
    "an UPDATE that is refused": [
        ("a", "INVITE", "o1", OFFER),
        ("b", "2xx", "a1", ANSWER),
        ("a", "ACK", "", NOTHING),
        ("b", "UPDATE", "o2", OFFER),
        ("a", "UPDATE failure", "", ROLLED_BACK),
        ("b", "UPDATE", "", NOTHING),
        ("a", "UPDATE 2xx", "", NOTHING),
    ],
    "the INVITE fails while its offer in a reliable 1xx is open": [
        ("a", "INVITE", "", NOTHING),
        ("b", "reliable 1xx", "o1", OFFER),
        ("b", "failure", "", ROLLED_BACK),
    ],
    "the PRACK fails": [
        ("a", "INVITE", "o1", OFFER),
        ("b", "reliable 1xx", "a1", ANSWER),
        ("a", "PRACK", "o2", OFFER),
        ("b", "PRACK failure", "", ROLLED_BACK),
    ],
}


class PatternTests(SynchronousTestCase):
    def test_both_ends_see_the_same(self) -> None:
        for name, steps in PATTERNS.items():
            ends = {"a": OfferAnswer[str](), "b": OfferAnswer[str]()}
            agreed: dict[str, str | None] = {"a": None, "b": None}
            offer = ("", "")
            for sender, message, text, what in steps:
                receiver = "b" if sender == "a" else "a"
                body = text or None
                expected = ends[sender].expects(message)
                sent = ends[sender].send(message, body)
                received = ends[receiver].receive(message, body)
                self.assertEqual((sent.what, received.what), (what, what), (name, message))
                self.assertEqual(sent.body, received.body)
                if what == OFFER:
                    offer = (sender, text)
                    self.assertIn("offer", expected)
                elif what == ANSWER:
                    agreed = {sender: text, offer[0]: offer[1]}
                    self.assertIn("answer", expected)
                elif what == NOTHING:
                    self.assertIn(expected, ("nothing", "may offer", "may answer"))
                for end in "ab":
                    self.assertEqual(ends[end].local, agreed[end], (name, message))
            for end, machine in ends.items():
                self.assertEqual(machine.state, STABLE, name)
                self.assertEqual(machine.remote, agreed["b" if end == "a" else "a"])
                self.assertIsNone(machine.offer)
                self.assertEqual(machine.settled, agreed["a"] is not None)

    def test_each_carrier_of_an_offer_has_its_answers(self) -> None:
        rows = OfferAnswer.TRANSITIONS
        for carrier, answers in ANSWERED_IN.items():
            for state, verb in ((sent_in(carrier), "receive"), (received_in(carrier), "send")):
                found = {
                    event
                    for (at, event), (_, what) in rows.items()
                    if at == state and what == ANSWER and "early" not in event
                }
                self.assertEqual(found, {f"{verb} {answer} with body" for answer in answers})
        self.assertEqual(set(REFUSED_BY), set(ANSWERED_IN))


class TurnTests(SynchronousTestCase):
    """What is not allowed now, and what is made of what the peer does all the same."""

    def machine(self, *events: str) -> OfferAnswer[str]:
        """After these events, as "send INVITE+" for one with a description."""
        made = OfferAnswer[str]()
        for event in events:
            verb, _, message = event.partition(" ")
            body = "sdp" if message.endswith("+") else None
            getattr(made, verb)(message.removesuffix("+"), body)
        return made

    def test_what_must_go_cannot_be_left_out(self) -> None:
        for events, message in (
            (["receive INVITE"], "reliable 1xx"),
            (["receive INVITE"], "2xx"),
            (["receive INVITE+"], "2xx"),
            (["send INVITE", "receive reliable 1xx+"], "PRACK"),
            (["send INVITE", "receive 2xx+"], "ACK"),
            (["send INVITE+", "receive 2xx+", "receive UPDATE+"], "UPDATE 2xx"),
            (["receive INVITE+", "send reliable 1xx+", "receive PRACK+"], "PRACK 2xx"),
        ):
            machine = self.machine(*events)
            self.assertIn(machine.expects(message), ("offer", "answer"))
            state = machine.state
            self.assertRaises(OfferAnswerError, machine.send, message)
            self.assertEqual(machine.state, state)
            machine.send(message, "sdp")

    def test_a_2xx_waits_for_the_answer_in_prack(self) -> None:
        machine = self.machine("receive INVITE", "send reliable 1xx+")
        self.assertEqual(machine.expects("2xx"), "not now")
        self.assertRaises(OfferAnswerError, machine.send, "2xx")
        machine.receive("PRACK", "sdp")
        self.assertEqual(machine.expects("2xx"), "nothing")

    def test_no_second_offer_while_one_is_open(self) -> None:
        for events in (["send INVITE+"], ["receive INVITE+"], ["send INVITE"], ["receive INVITE"]):
            machine = self.machine(*events)
            self.assertEqual(machine.expects("INVITE"), "not now")
            self.assertEqual(machine.expects("UPDATE"), "nothing")
            self.assertRaises(OfferAnswerError, machine.send, "UPDATE", "sdp")
            self.assertRaises(OfferAnswerError, machine.send, "INVITE", "sdp")

    def test_an_answer_that_was_shown_is_not_changed(self) -> None:
        machine = OfferAnswer[str]()
        machine.receive("INVITE", "o")
        machine.send("1xx", "first")
        self.assertRaises(OfferAnswerError, machine.send, "2xx", "second")
        self.assertRaises(OfferAnswerError, machine.send, "1xx", "second")
        self.assertEqual(machine.send("2xx", "first").what, ANSWER)

    def test_no_description_where_none_belongs(self) -> None:
        machine = self.machine("receive INVITE+", "send reliable 1xx+")
        self.assertRaises(OfferAnswerError, machine.send, "2xx", "sdp")
        machine = self.machine("send INVITE+", "receive 2xx+")
        self.assertRaises(OfferAnswerError, machine.send, "ACK", "sdp")

    def test_requests_out_of_turn(self) -> None:
        """491 while our offer is open, 500 with Retry-After while theirs is (RFC 3311 section 5.2)."""
        settled = ["send INVITE+", "receive 2xx+", "send ACK"]
        for events, status in (
            ([*settled, "send UPDATE+"], 491),
            ([*settled, "send INVITE+"], 491),
            ([*settled, "send INVITE"], 491),
            ([*settled, "receive INVITE", "send 2xx+"], 491),
            ([*settled, "receive UPDATE+"], 500),
            ([*settled, "receive INVITE+"], 500),
            ([*settled, "receive INVITE"], 500),
        ):
            for message, body in (("UPDATE", "sdp"), ("INVITE", "sdp"), ("INVITE", None)):
                machine = self.machine(*events)
                state = machine.state
                outcome = machine.receive(message, body)
                self.assertEqual(outcome.what, REFUSED, (events, message))
                assert outcome.refusal is not None
                self.assertEqual(outcome.refusal.status, status)
                retry = dict(outcome.refusal.headers_with(0.999))
                self.assertEqual(retry, {"Retry-After": "10"} if status == 500 else {})
                self.assertEqual(machine.state, state)
            self.assertEqual(machine.receive("UPDATE").what, NOTHING)

    def test_a_peer_that_does_not_answer(self) -> None:
        settled = ["send INVITE+", "receive 2xx+", "send ACK"]
        for events, message, what in (
            (["send INVITE+"], "2xx", NO_ANSWER),
            (["send INVITE"], "2xx", NO_OFFER),
            (["receive INVITE", "send 2xx+"], "ACK", NO_ANSWER),
            (["receive INVITE", "send reliable 1xx+"], "PRACK", NO_ANSWER),
            ([*settled, "send UPDATE+"], "UPDATE 2xx", NO_ANSWER),
            (["send INVITE+", "receive reliable 1xx+", "send PRACK+"], "PRACK 2xx", NO_ANSWER),
        ):
            machine = self.machine(*events)
            self.assertEqual(machine.receive(message).what, what, events)
            self.assertEqual(machine.state, STABLE)
            self.assertIsNone(machine.offer)

    def test_an_early_answer_counts_when_the_2xx_has_none(self) -> None:
        machine = OfferAnswer[str]()
        machine.send("INVITE", "o")
        machine.receive("1xx", "a")
        outcome = machine.receive("2xx")
        self.assertEqual((outcome.what, outcome.body), (ANSWER, "a"))
        self.assertEqual((machine.local, machine.remote), ("o", "a"))

    def test_the_first_description_counts(self) -> None:
        machine = self.machine("send INVITE+", "receive reliable 1xx+")
        for message in ("1xx", "reliable 1xx", "2xx", "2xx"):
            outcome = machine.receive(message, "other")
            self.assertEqual((outcome.what, outcome.body), (REPEATED, "other"))
        self.assertEqual(machine.remote, "sdp")
        # An offer that may get lost is none.
        machine = self.machine("send INVITE")
        self.assertEqual(machine.receive("1xx", "o").what, REPEATED)
        self.assertEqual(machine.receive("2xx", "o").what, OFFER)

    def test_a_failed_re_invite_leaves_the_session(self) -> None:
        machine = OfferAnswer[str]()
        machine.send("INVITE", "o1")
        machine.receive("2xx", "a1")
        machine.send("INVITE", "o2")
        machine.receive("1xx", "a2")
        self.assertEqual(machine.receive("failure").what, ROLLED_BACK)
        self.assertEqual((machine.local, machine.remote, machine.early), ("o1", "a1", None))

    def test_forks_go_their_own_ways(self) -> None:
        first = OfferAnswer[str]()
        first.send("INVITE", "o")
        one, two = first.copy(), first.copy()
        one.receive("reliable 1xx", "a1")
        self.assertEqual(two.state, sent_in("INVITE"))
        two.receive("2xx", "a2")
        self.assertEqual((one.remote, two.remote, first.remote), ("a1", "a2", None))
        self.assertEqual((one.local, two.local), ("o", "o"))


class TableTests(SynchronousTestCase):
    def test_it_takes_whatever_comes(self) -> None:
        rows = OfferAnswer.TRANSITIONS
        for state in STATES:
            for message in offer_answer.MESSAGES:
                for tail in ("", " with body"):
                    self.assertIn((state, f"receive {message}{tail}"), rows)
        self.assertTrue({following for following, _ in rows.values()} <= set(STATES))
        self.assertEqual({state for state, _ in rows}, set(STATES))

    def test_what_one_may_send_the_other_takes(self) -> None:
        """The two sides are mirror images: no row is there for one alone but those for mistakes."""
        rows = OfferAnswer.TRANSITIONS
        mirrored = offer_answer._mirrored
        for (state, event), (following, what) in rows.items():
            if event.startswith("send"):
                self.assertEqual(rows[mirrored(state), mirrored(event)], (mirrored(following), what))

    def test_names_of_messages(self) -> None:
        def ask(method: str, cseq: int = 1) -> Request:
            parts = {"from_": "<sip:a@x>;tag=1", "to": "<sip:b@x>", "call_id": "c", "cseq": cseq}
            return request(method, "sip:b@x", **parts)  # type: ignore[arg-type]

        self.assertEqual(message_name(ask("INVITE")), "INVITE")
        self.assertEqual(message_name(ask("ACK")), "ACK")
        self.assertEqual(message_name(ask("PRACK")), "PRACK")
        self.assertEqual(message_name(ask("UPDATE")), "UPDATE")
        self.assertIsNone(message_name(ask("BYE")))
        invite = ask("INVITE")
        for status, name in ((100, None), (180, "1xx"), (200, "2xx"), (302, "failure"), (603, "failure")):
            self.assertEqual(message_name(respond(invite, status)), name)
        reliable = [("RSeq", "1"), ("Require", "foo, 100REL")]
        self.assertEqual(message_name(respond(invite, 183, headers=reliable)), "reliable 1xx")
        self.assertEqual(message_name(respond(invite, 183, headers=reliable[:1])), "1xx")
        self.assertEqual(message_name(respond(ask("UPDATE"), 200)), "UPDATE 2xx")
        self.assertEqual(message_name(respond(ask("UPDATE"), 488)), "UPDATE failure")
        self.assertEqual(message_name(respond(ask("PRACK"), 481)), "PRACK failure")
        self.assertIsNone(message_name(respond(ask("PRACK"), 100)))
        self.assertIsNone(message_name(respond(ask("BYE"), 200)))


RESPONSES = {"UPDATE": ("UPDATE 2xx", "UPDATE failure"), "PRACK": ("PRACK 2xx", "PRACK failure")}


class TwoEnds(RuleBasedStateMachine):
    """Two ends that send whatever they may, over a network that is slow but loses nothing.

    What both agree on is the same at both ends whenever no message is under way.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ends = (OfferAnswer[str](), OfferAnswer[str]())
        self.under_way: tuple[list[tuple[str, str | None]], ...] = ([], [])
        self.owed: tuple[list[str], ...] = ([], [])
        self.count = 0
        self.caller: int | None = None
        self.answered = False
        self.open_update = [False, False]

    def put(self, end: int, message: str, body: str | None) -> None:
        self.ends[end].send(message, body)
        self.under_way[1 - end].append((message, body))

    def body(self) -> str:
        self.count += 1
        return f"sdp {self.count}"

    def say(self, end: int, message: str, wanted: bool) -> bool:
        """Send it with what it must have, or may have if that is wanted."""
        expected = self.ends[end].expects(message)
        if expected == "not now":
            return False
        must = expected in ("offer", "answer")
        body = (self.ends[end].early or self.body()) if must or (wanted and "may" in expected) else None
        self.put(end, message, body)
        return True

    @rule(end=st.integers(0, 1), wanted=st.booleans())
    def invite(self, end: int, wanted: bool) -> None:
        # Crossing INVITEs are for the machine in glare.py.
        if self.caller is None and not any(self.under_way) and self.say(end, "INVITE", wanted):
            self.caller, self.answered = end, False

    @rule(kind=st.sampled_from(["1xx", "reliable 1xx", "2xx", "failure"]), wanted=st.booleans())
    def respond(self, kind: str, wanted: bool) -> None:
        if self.caller is None or self.answered or self.under_way[1 - self.caller] or self.owed[self.caller]:
            return
        if self.say(1 - self.caller, kind, wanted):
            self.answered = kind in ("2xx", "failure")

    @rule(end=st.integers(0, 1))
    def update(self, end: int) -> None:
        if (
            not self.open_update[end]
            and self.ends[end].settled
            and self.ends[end].expects("UPDATE") == "may offer"
        ):
            self.put(end, "UPDATE", self.body())
            self.open_update[end] = True

    @rule(end=st.integers(0, 1), wanted=st.booleans(), accept=st.booleans())
    def deliver(self, end: int, wanted: bool, accept: bool) -> None:
        if not self.under_way[end]:
            return
        message, body = self.under_way[end].pop(0)
        machine = self.ends[end]
        outcome = machine.receive(message, body)
        assert outcome.what not in (NO_ANSWER, NO_OFFER)
        if message in RESPONSES:
            accepted, failed = RESPONSES[message]
            if outcome.what == REFUSED:
                self.under_way[1 - end].append((failed, None))
            elif accept or message == "PRACK":
                self.say(end, accepted, True)
            else:
                self.put(end, failed, None)
        elif message == "reliable 1xx":
            self.owed[end].append("PRACK")
            self.say(end, "PRACK", wanted)
        elif message in ("PRACK 2xx", "PRACK failure"):
            self.owed[end].pop()
        elif message in ("UPDATE 2xx", "UPDATE failure"):
            self.open_update[end] = False
        elif message == "2xx":
            assert self.say(end, "ACK", False)
        elif message in ("failure", "ACK"):
            self.caller = None

    @invariant()
    def both_agree(self) -> None:
        here, there = self.ends
        if not any(self.under_way) and here.state == STABLE and there.state == STABLE:
            assert (here.local, here.remote) == (there.remote, there.local)
        if here.state == STABLE:
            assert here.offer is None and here.early is None


class PropertyTests(SynchronousTestCase):
    def test_two_ends_agree(self) -> None:
        run_state_machine_as_test(
            TwoEnds,
            settings=settings(derandomize=True, deadline=None, max_examples=200, stateful_step_count=40),
        )
