"""The calls that RFC 3665, 4028, 5359 and 5589 print, followed by the offer/answer machines of both ends."""

from __future__ import annotations

import re
from collections import Counter
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.descriptions import answer_problem
from rvoip.protocols.dialog.offer_answer import ANSWER, OfferAnswer, OfferAnswerError, message_name
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.session import parse
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.test.conformance import GIVEN, messages, octets

FOLDER = "sip/rfc-examples"

# What cannot be sent by the rules.
MISPRINTED = {
    "rfc5359/rfc5359-196-INVITE.sip": "the 200 of the INVITE before it is not printed",
    "rfc5359/rfc5359-199-200.sip": "a 200 without an answer",
}

Pair = tuple[OfferAnswer[bytes], OfferAnswer[bytes]]


def description(message: Request | Response) -> bytes | None:
    return message.body if message.content_type == "application/sdp" and message.body else None


class Flow:
    """The dialogs of one section of an RFC, each with a machine at either end, the caller's first."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[str, str | None, str | None], Pair] = {}
        self._seen: set[tuple[object, ...]] = set()
        self._called: dict[tuple[str, str | None], bool] = {}
        self.outcomes: Counter[str] = Counter()
        self.errors: dict[str, str] = {}

    def take(self, file: str, message: Request | Response) -> None:
        """The next message, unless it was seen on another hop already."""
        name = message_name(message)
        if name is None or (name == "failure" and len(message.vias) > 1):
            return  # on a failure a proxy may try another phone
        caller, other = message.from_.tag, message.to.tag
        same = (message.call_id, name, message.cseq.number, message.vias[-1].branch, caller, other)
        if same in self._seen:
            return
        self._seen.add(same)
        sender = caller if isinstance(message, Request) else other
        call = message.call_id
        if name == "INVITE" and other is None:
            machines = self.pairs.setdefault((call, caller, None), (OfferAnswer(), OfferAnswer()))
        else:
            if (call, caller, None) not in self.pairs:
                caller, other = other, caller
            first = self.pairs.get((call, caller, None))
            if first is None:
                return  # the RFC does not print the INVITE
            if name in ("failure", "ACK") and (call, caller, other) not in self.pairs:
                if name == "ACK":
                    return  # of a failure: it is the transaction's
                machines = first
            else:
                copies = (first[0].copy(), first[1].copy())
                machines = self.pairs.setdefault((call, caller, other), copies)
        here, there = machines if sender == caller else reversed(machines)
        body = description(message)
        try:
            sent = here.send(name, body)
        except OfferAnswerError as error:
            self.errors[file] = str(error)
            return
        received = there.receive(name, body)
        assert (sent.what, sent.body) == (received.what, received.body), file
        self.outcomes[sent.what] += 1


class CallTests(SynchronousTestCase):
    """Both ends agree on what each message is, and on the session in the end."""

    answers: ClassVar = {3665: 8, 5359: 34}

    def flows(self, rfc: int) -> dict[str, Flow]:
        flows: dict[str, Flow] = {}
        for entry in messages(FOLDER):
            if entry["rfc"] != rfc:
                continue
            # The lengths are dots where the RFC does not count.
            data = re.sub(rb"Content-Length: *[^\r]*\r\n", b"", octets(FOLDER, entry["file"]))
            try:
                message = parse_message(data)
                flows.setdefault(entry["section"], Flow()).take(entry["file"], message)
            except SIPParseError:
                continue
        return flows

    def test_both_ends_agree(self) -> None:
        for rfc, answers in self.answers.items():
            flows = self.flows(rfc)
            errors = {file: error for flow in flows.values() for file, error in flow.errors.items()}
            self.assertEqual(set(errors), {file for file in MISPRINTED if f"rfc{rfc}/" in file}, errors)
            self.assertEqual(sum(flow.outcomes[ANSWER] for flow in flows.values()), answers)
            for flow in flows.values():
                for caller, called in flow.pairs.values():
                    self.assertEqual(caller.local, called.remote)
                    self.assertEqual(caller.remote, called.local)

    def test_answers_fit_their_offers(self) -> None:
        fits = 0
        for rfc in self.answers:
            for flow in self.flows(rfc).values():
                for caller, _ in flow.pairs.values():
                    if caller.local is None or caller.remote is None:
                        continue
                    try:
                        offer, answer = parse(caller.local), parse(caller.remote)
                    except SDPError:
                        continue
                    self.assertIsNone(answer_problem(offer, answer))
                    fits += 1
        self.assertGreater(fits, 20)


if not GIVEN:
    del CallTests
