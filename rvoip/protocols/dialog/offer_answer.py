"""Whose turn it is to describe the session: offers and answers in SIP (RFC 3264, RFC 6337).

One machine a dialog follows every message that may carry a description: INVITE, its responses, ACK,
PRACK (RFC 3262) and UPDATE (RFC 3311). It is told of each once, by name:

    INVITE, 1xx, reliable 1xx, 2xx, failure, ACK, PRACK, PRACK 2xx, PRACK failure, UPDATE, UPDATE 2xx,
    UPDATE failure

where 1xx to failure are the INVITE's (a timeout is a failure, and so is CANCEL by way of the 487). Responses
to a PRACK or UPDATE that carried no description need not be told. docs/reference/dialogs.md is drawn from
the tables.
"""

from __future__ import annotations

from typing import ClassVar, Final, Generic, TypeVar

import attrs

from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.sip.message import Request, Response

__all__ = [
    "ANSWER",
    "ANSWERED_IN",
    "EARLY_ANSWER",
    "NOTHING",
    "NO_ANSWER",
    "NO_OFFER",
    "OFFER",
    "REFUSED",
    "REFUSED_BY",
    "REPEATED",
    "ROLLED_BACK",
    "OfferAnswer",
    "OfferAnswerError",
    "Outcome",
    "message_name",
]

# What a message turns out to be.
NOTHING: Final = ""
OFFER: Final = "offer"
ANSWER: Final = "answer"
EARLY_ANSWER: Final = "early answer"
"""The answer shown before it counts, in a response that may get lost (RFC 6337 section 3.1.1)."""
REPEATED: Final = "repeated"
"""A description that the receiver ignores: the first one counted (RFC 3261 section 13.2.1)."""
ROLLED_BACK: Final = "rolled back"
"""The open offer is void, the session is what it was before (RFC 3261 section 14.1)."""
NO_ANSWER: Final = "no answer"
"""The peer had to answer in this message and did not; our offer is void."""
NO_OFFER: Final = "no offer"
"""The peer had to offer in this message and did not."""
REFUSED: Final = "refused"
"""The request is to be answered with the refusal, of which the machine need not be told."""

CALL_MESSAGES = ("INVITE", "1xx", "reliable 1xx", "2xx", "failure", "ACK")
OTHER_MESSAGES = ("PRACK", "PRACK 2xx", "PRACK failure", "UPDATE", "UPDATE 2xx", "UPDATE failure")
MESSAGES = CALL_MESSAGES + OTHER_MESSAGES

ANSWERED_IN: dict[str, tuple[str, ...]] = {
    "INVITE": ("reliable 1xx", "2xx"),
    "reliable 1xx": ("PRACK",),
    "2xx": ("ACK",),
    "PRACK": ("PRACK 2xx",),
    "UPDATE": ("UPDATE 2xx",),
}
"""Where the answer to an offer goes: the six patterns of RFC 6337 table 1."""

REFUSED_BY: dict[str, str] = {
    "INVITE": "488 to the INVITE",
    "reliable 1xx": "an answer in the PRACK, then another offer",
    "2xx": "an answer in the ACK, then another offer or BYE",
    "PRACK": "an answer in the 200, then another offer or BYE",
    "UPDATE": "488 to the UPDATE",
}
"""How an offer is refused, by what carried it (RFC 6337 table 2)."""

STABLE: Final = "Stable"
AWAITED: Final = "Offer awaited"
"""We sent an INVITE without an offer: the peer makes it."""
OWED: Final = "Offer owed"
"""We received an INVITE without an offer: we make it."""


def sent_in(message: str) -> str:
    """The state in which our offer in that message waits for an answer."""
    return f"Offer sent in {message}"


def received_in(message: str) -> str:
    """The state in which the peer's offer in that message waits for our answer."""
    return f"Offer received in {message}"


STATES = (
    STABLE,
    AWAITED,
    *(sent_in(message) for message in ANSWERED_IN),
    OWED,
    *(received_in(message) for message in ANSWERED_IN),
)
OUR_TURN = frozenset((OWED, *(received_in(message) for message in ANSWERED_IN)))
"""The states in which we owe the peer a description; in the others but Stable it owes us one."""

_Rows = dict[tuple[str, str], tuple[str, str]]

# What the one who sends the INVITE may do; whoever receives it does the mirror image.
_CALLER: _Rows = {
    (STABLE, "send INVITE with body"): (sent_in("INVITE"), OFFER),
    (STABLE, "send INVITE"): (AWAITED, NOTHING),
    (STABLE, "send PRACK with body"): (sent_in("PRACK"), OFFER),
    (STABLE, "send UPDATE with body"): (sent_in("UPDATE"), OFFER),
    (AWAITED, "receive reliable 1xx with body"): (received_in("reliable 1xx"), OFFER),
    (AWAITED, "receive 2xx with body"): (received_in("2xx"), OFFER),
    (AWAITED, "receive failure"): (STABLE, ROLLED_BACK),
    (sent_in("INVITE"), "receive 1xx with body"): (sent_in("INVITE"), EARLY_ANSWER),
    (sent_in("INVITE"), "receive reliable 1xx with body"): (STABLE, ANSWER),
    (sent_in("INVITE"), "receive 2xx with body"): (STABLE, ANSWER),
    (sent_in("INVITE"), "receive failure"): (STABLE, ROLLED_BACK),
    (received_in("reliable 1xx"), "send PRACK with body"): (STABLE, ANSWER),
    (received_in("reliable 1xx"), "receive failure"): (STABLE, ROLLED_BACK),
    (received_in("2xx"), "send ACK with body"): (STABLE, ANSWER),
    (sent_in("PRACK"), "receive PRACK 2xx with body"): (STABLE, ANSWER),
    (sent_in("PRACK"), "receive PRACK failure"): (STABLE, ROLLED_BACK),
    (sent_in("UPDATE"), "receive UPDATE 2xx with body"): (STABLE, ANSWER),
    (sent_in("UPDATE"), "receive UPDATE failure"): (STABLE, ROLLED_BACK),
}

# What may not go without a description: the last message that could carry the answer or offer. The 2xx of
# the third waits for the answer in PRACK (RFC 3262 section 5).
_MUST_CARRY = {
    (OWED, "reliable 1xx"),
    (OWED, "2xx"),
    (sent_in("reliable 1xx"), "2xx"),
    (received_in("INVITE"), "2xx"),
    (received_in("reliable 1xx"), "PRACK"),
    (received_in("2xx"), "ACK"),
    (received_in("PRACK"), "PRACK 2xx"),
    (received_in("UPDATE"), "UPDATE 2xx"),
}

# What a peer does wrong, and what is made of it.
_MISTAKES: _Rows = {
    # Leniency: some answer in a 183 that is not reliable, and leave the answer out of the 2xx.
    (sent_in("INVITE"), "receive 2xx after an early answer"): (STABLE, ANSWER),
    (sent_in("INVITE"), "receive 2xx"): (STABLE, NO_ANSWER),
    (sent_in("reliable 1xx"), "receive PRACK"): (STABLE, NO_ANSWER),
    (sent_in("2xx"), "receive ACK"): (STABLE, NO_ANSWER),
    (sent_in("PRACK"), "receive PRACK 2xx"): (STABLE, NO_ANSWER),
    (sent_in("UPDATE"), "receive UPDATE 2xx"): (STABLE, NO_ANSWER),
    (AWAITED, "receive 2xx"): (STABLE, NO_OFFER),
}

# A request for a turn when it is not the time for one (RFC 3261 section 14.2, RFC 3311 section 5.2).
_OUT_OF_TURN = ("INVITE", "INVITE with body", "PRACK with body", "UPDATE with body")

_MIRROR = {"send": "receive", "receive": "send", AWAITED: OWED, OWED: AWAITED}


def _mirrored(name: str) -> str:
    """A state or event as the other side sees it."""
    if name in _MIRROR:
        return _MIRROR[name]
    for here, there in (("Offer sent", "Offer received"), ("send ", "receive ")):
        if name.startswith(here):
            return there + name.removeprefix(here)
        if name.startswith(there):
            return here + name.removeprefix(there)
    return name


def _rows() -> _Rows:
    rows: _Rows = {}
    for (state, event), (following, what) in _CALLER.items():
        rows[state, event] = (following, what)
        rows[_mirrored(state), _mirrored(event)] = (_mirrored(following), what)
    rows.update(_MISTAKES)
    for state in STATES:
        for message in MESSAGES:
            if message != "INVITE":
                rows.setdefault((state, f"receive {message}"), (state, NOTHING))
                if (state, message) not in _MUST_CARRY:
                    rows.setdefault((state, f"send {message}"), (state, NOTHING))
        if state != STABLE:
            for message in _OUT_OF_TURN:
                rows.setdefault((state, f"receive {message}"), (state, REFUSED))
        for message in MESSAGES:
            rows.setdefault((state, f"receive {message} with body"), (state, REPEATED))
    order = {state: number for number, state in enumerate(STATES)}
    return dict(sorted(rows.items(), key=lambda row: order[row[0][0]]))


class OfferAnswerError(Exception):
    """Ours: a message that may not be sent now, or not with, or not without a description."""


Body = TypeVar("Body")


@attrs.frozen
class Outcome(Generic[Body]):
    """What a message was, the description that it made count, and how to refuse it."""

    what: str
    body: Body | None = None
    refusal: Refusal | None = None


class OfferAnswer(Generic[Body]):
    """The exchange of one dialog; an early dialog of a forked INVITE gets a `copy` of the INVITE's.

    Descriptions are kept and compared, not looked into: see `rvoip.protocols.dialog.descriptions` for what
    an answer has to be. An exchange that completed inside an INVITE stays when the INVITE then fails
    (RFC 6141 section 3.4): the sides bring themselves in line with another one.
    """

    __slots__ = ("_ours", "early", "local", "offer", "remote", "settled", "state")

    TRANSITIONS: ClassVar[_Rows] = _rows()

    def __init__(self) -> None:
        self.state: str = STABLE
        self.local: Body | None = None
        """Our description that both sides agreed on."""
        self.remote: Body | None = None
        """The peer's description that both sides agreed on."""
        self.offer: Body | None = None
        """The open offer, of whichever side."""
        self.early: Body | None = None
        """The answer to it as shown before it counts."""
        self.settled = False
        """Whether an exchange has been completed."""
        self._ours = False

    def copy(self) -> OfferAnswer[Body]:
        """A machine that goes on from here by itself."""
        made: OfferAnswer[Body] = OfferAnswer()
        made.state = self.state
        made.local, made.remote = self.local, self.remote
        made.offer, made.early = self.offer, self.early
        made.settled, made._ours = self.settled, self._ours
        return made

    def receive(self, message: str, body: Body | None = None) -> Outcome[Body]:
        """A message came, with this description or none."""
        event = f"receive {message}"
        if body is not None:
            event += " with body"
        elif message == "2xx" and self.early is not None and self.state == sent_in("INVITE"):
            event += " after an early answer"
            body = self.early
        state, what = self.TRANSITIONS[self.state, event]
        if what == REFUSED:
            ours = self.state in OUR_TURN
            return Outcome(REFUSED, None, Refusal(500, retry_after=True) if ours else Refusal(491))
        return self._go(state, what, body, False)

    def send(self, message: str, body: Body | None = None) -> Outcome[Body]:
        """A message is about to be sent; `OfferAnswerError` when it must not be, and nothing changes then.

        All that shows the answer to an offer must show the same one (RFC 3261 section 13.2.1).
        """
        event = f"send {message}" if body is None else f"send {message} with body"
        try:
            state, what = self.TRANSITIONS[self.state, event]
        except KeyError:
            raise OfferAnswerError(f"{self.state}: cannot {event}") from None
        if what in (ANSWER, EARLY_ANSWER) and self.early is not None and self.early != body:
            raise OfferAnswerError(f"{self.state}: another answer was shown already")
        return self._go(state, what, body, True)

    def expects(self, message: str) -> str:
        """What a message of ours has to be now: "offer" or "answer", "may offer", "may answer", "nothing",
        or "not now" when it cannot be sent at all.
        """
        without = (self.state, f"send {message}") in self.TRANSITIONS
        _, what = self.TRANSITIONS.get((self.state, f"send {message} with body"), ("", NOTHING))
        if not what:
            return "nothing" if without else "not now"
        what = ANSWER if what == EARLY_ANSWER else what
        return f"may {what}" if without else what

    def _go(self, state: str, what: str, body: Body | None, ours: bool) -> Outcome[Body]:
        self.state = state
        if what == OFFER:
            self.offer, self.early, self._ours = body, None, ours
        elif what == EARLY_ANSWER:
            self.early = body
        elif what == ANSWER:
            offer = self.offer
            self.local, self.remote = (body, offer) if ours else (offer, body)
            self.offer = self.early = None
            self.settled = True
        elif what in (ROLLED_BACK, NO_ANSWER, NO_OFFER):
            self.offer = self.early = None
        return Outcome(what, body if what in (OFFER, ANSWER, EARLY_ANSWER, REPEATED) else None)


def message_name(message: Request | Response) -> str | None:
    """What a message is called here; None for one that has no part in offers and answers.

    A response is reliable when it says both Require: 100rel and RSeq (RFC 3262 section 4). Raises
    `SIPParseError` when the CSeq or Require cannot be read.
    """
    if isinstance(message, Request):
        return message.method if message.method in ("INVITE", "ACK", "PRACK", "UPDATE") else None
    method = message.cseq.method
    status = message.status
    if method == "INVITE":
        if status <= 100:
            return None
        if status < 200:
            reliable = message.has("rseq") and "100rel" in message.option_tags("require")
            return "reliable 1xx" if reliable else "1xx"
        return "2xx" if status < 300 else "failure"
    if method in ("PRACK", "UPDATE") and status >= 200:
        return f"{method} 2xx" if status < 300 else f"{method} failure"
    return None
