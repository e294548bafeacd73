"""The calls that RFC 3665 and 5359 print, replayed to a user agent in the place of each of the two ends.

What the other end sends comes as it is printed, but for the Via and CSeq of responses, which are ours. What
we send is held to what is printed: method or status, dialog, Request-URI and Route.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.errors import WrongState
from rvoip.protocols.dialog.session_timer import TimerSettings
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.transport.flow import Target
from rvoip.test.conformance import GIVEN, messages, octets
from rvoip.test.protocols.dialog.agents import Agent, Told
from rvoip.test.protocols.dialog.fakes import PEER, World

FOLDER = "sip/rfc-examples"

TAKEN = ("INVITE", "ACK", "BYE", "CANCEL", "UPDATE", "MESSAGE")
"""REFER, SUBSCRIBE and NOTIFY have tests of their own."""

MISPRINTED = {
    3665: {
        "rfc3665/rfc3665-051-ACK.sip": "Alice acknowledges the 407 that the proxy has not passed on yet",
        "rfc3665/rfc3665-153-ACK.sip": "no failure is printed that it acknowledges",
    },
    5359: {
        "rfc5359/rfc5359-181-181.sip": "the proxy speaks for itself",
        "rfc5359/rfc5359-183-180.sip": "the CANCEL before it is for Bob's other phone",
        "rfc5359/rfc5359-195-ACK.sip": "the 200 before it is not printed",
        "rfc5359/rfc5359-196-INVITE.sip": "the 200 before it is not printed",
        "rfc5359/rfc5359-199-200.sip": "it has no answer",
        "rfc5359/rfc5359-223-480.sip": "the CANCEL before it is for Bob's other phone",
        "rfc5359/rfc5359-226-486.sip": "the CANCEL before it is for Bob's other phone",
        "rfc5359/rfc5359-229-180.sip": "the CANCEL before it is for Bob's other phone",
    },
}
"""What cannot be replayed, and why."""

Printed = tuple[str, "Request | Response"]


class Everywhere:
    """Finds the peer, whatever the URI."""

    def locate_now(self, uri: object) -> list[Target]:
        return [Target("UDP", *PEER)]

    def failed(self, target: Target) -> None:
        raise AssertionError("it is always there")


class End:
    """A user agent in the place of one end of a call."""

    def __init__(self) -> None:
        self.world = World()
        self.tags: list[str] = []
        self.layer: TransactionLayer = self.world.layer
        self.layer.token = self.token
        settings = AgentSettings(reliable="off", timer=TimerSettings(policy="off"))
        self.agent = Agent(self.layer, Everywhere(), settings)
        self.layer.user = self.agent
        self.flow: Any = self.world.tcp
        self.world.transport.flow_to = lambda target: self.flow  # type: ignore[method-assign]
        self.out: list[Request | Response] = []
        self.last: dict[str, Request] = {}
        self.wheel: TimerWheel = self.world.wheel

    def token(self) -> str:
        return self.tags.pop(0) if self.tags else self.world.token()

    def sent(self) -> Request | Response:
        """What we sent, the oldest first."""
        self.out += [
            one
            for one in self.flow.take()
            if isinstance(one, Request) or (one.status != 100 and one.cseq.method != "CANCEL")
        ]
        assert self.out, "nothing was sent"
        return self.out.pop(0)

    def deliver(self, message: Request | Response) -> None:
        check(message)
        self.layer.message_received(message, self.flow)


def as_printed(data: bytes) -> Request | Response | None:
    """A message, its length counted; None for what the RFC misprints."""
    try:
        message = parse_message(re.sub(rb"Content-Length: *[^\r]*\r\n", b"", data))
        check(message)
    except SIPParseError:
        return None
    message.set_body(message.body, message.get("content-type") if message.body else None)
    return message


def description(message: Request | Response) -> Body | None:
    return Body(message.body) if message.content_type == "application/sdp" and message.body else None


def calls() -> dict[tuple[int, str, str], list[Printed]]:
    """The messages of each call by RFC, section and Call-ID."""
    found: dict[tuple[int, str, str], list[Printed]] = {}
    for entry in messages(FOLDER):
        if entry["rfc"] not in (3665, 5359):
            continue
        message = as_printed(octets(FOLDER, entry["file"]))
        if message is not None and message.cseq.method in TAKEN:
            key = (entry["rfc"], entry["section"], message.call_id)
            found.setdefault(key, []).append((entry["file"], message))
    return found


def caller_of(call: list[Printed]) -> str | None:
    """The From tag of the first INVITE."""
    for _, message in call:
        if isinstance(message, Request) and message.method == "INVITE" and message.to.tag is None:
            return message.from_.tag
    return None


def plain(request: Request) -> str:
    return request.uri_text.partition(";")[0]


def hops(message: Request | Response) -> int:
    return len(message.vias)


def once_each(call: list[Printed], near_caller: bool) -> list[Printed]:
    """Each message once: as it is at the caller's end, or at that of who is called."""
    caller = caller_of(call)
    failed = {
        (one.cseq.number, one.to.tag)
        for _, one in call
        if isinstance(one, Response) and one.cseq.method == "INVITE" and one.status >= 300
    }
    kept: dict[tuple[Any, ...], Printed] = {}
    for file, message in call:
        name = message.method if isinstance(message, Request) else str(message.status)
        if name == "100" or (name == "200" and message.cseq.method == "CANCEL"):
            continue
        method, number, tag = message.cseq.method, message.cseq.number, message.to.tag
        # Few Vias are near the sender of the request.
        near_sender = near_caller == (message.from_.tag == caller)
        sign = 1 if near_sender else -1
        key: tuple[Any, ...] = (name, method, number, message.from_.tag, tag)
        if method == "CANCEL" or (method == "ACK" and (number, tag) in failed):
            key = (name, number, message.via.host, message.via.branch)
        elif isinstance(message, Response) and near_sender and hops(message) > 1:
            continue  # it may not have got there
        if key not in kept or sign * hops(message) < sign * hops(kept[key][1]):
            kept[key] = (file, message)
    return [one for one in kept.values() if goes_all_the_way(one[1], kept, failed)]


def goes_all_the_way(message: Request | Response, kept: dict[Any, Printed], failed: set[Any]) -> bool:
    """Whether it is no request of a proxy's own: CANCEL, and the ACK of a failure, are from hop to hop."""
    method, number = message.cseq.method, message.cseq.number
    if method != "CANCEL" and not (method == "ACK" and (number, message.to.tag) in failed):
        return True
    invites = [one for _, one in kept.values() if isinstance(one, Request) and one.method == "INVITE"]
    return any(one.cseq.number == number and one.via.host == message.via.host for one in invites)


def called_tags(call: list[Printed]) -> list[str]:
    """The tags of who was called, proxies that refused for themselves left out."""
    caller = caller_of(call)
    tags: dict[str, bool] = {}
    for _, message in call:
        if isinstance(message, Response) and message.from_.tag == caller and message.to.tag:
            reached = message.status not in (401, 407)
            tags[message.to.tag] = tags.get(message.to.tag, True) and reached
    return [tag for tag, reached in tags.items() if reached]


def for_called(call: list[Printed], tag: str) -> list[Printed]:
    """What the end with this tag sends and gets."""
    caller = caller_of(call)
    answered = {
        (one.cseq.number, one.cseq.method)
        for _, one in call
        if isinstance(one, Response) and one.to.tag == tag and one.from_.tag == caller
    }
    kept = []
    for file, message in call:
        if message.from_.tag == caller:
            if message.to.tag not in (tag, None):
                continue
            method = "INVITE" if message.cseq.method == "CANCEL" else message.cseq.method
            if message.to.tag is None and (message.cseq.number, method) not in answered:
                continue
        elif tag not in (message.from_.tag, message.to.tag):
            continue
        kept.append((file, message))
    return kept


class Replay:
    """One call, with a user agent as caller, or as who is called with this tag."""

    def __init__(self, test: SynchronousTestCase, call: list[Printed], tag: str | None) -> None:
        self.test = test
        self.caller = caller_of(call)
        self.tag = tag
        self.as_caller = tag is None
        self.end = End()
        self.call = once_each(call if tag is None else for_called(call, tag), self.as_caller)
        self.invite: Any = None
        self.done: Counter[str] = Counter()

    @property
    def begins(self) -> bool:
        """Whether the INVITE is printed as it is at this end."""
        first = self.call[0][1] if self.call else None
        if not isinstance(first, Request) or first.method != "INVITE":
            return False
        # Those of another call: see the tests of Replaces and Join.
        return not first.has("replaces") and not first.has("join")

    @property
    def session(self) -> Told:
        return self.end.agent.sessions[-1] if not self.as_caller else self.invite.session

    def run(self) -> dict[str, str]:
        """Play it; returns the first message that is not as printed, and what is wrong with it."""
        for place, (file, message) in enumerate(self.call):
            ours = (message.from_.tag == self.caller) == self.as_caller
            if isinstance(message, Response):
                ours = not ours
            try:
                if ours:
                    self.send(message, place)
                else:
                    self.receive(message, place)
            except (AssertionError, WrongState) as error:
                return {file: str(error)}
        return {}

    def answer_in(self, place: int, name: str) -> Body | None:
        """The description in the next ACK, or 2xx to an INVITE."""
        for _, message in self.call[place + 1 :]:
            if isinstance(message, Request):
                found = message.method == name
            else:
                found = message.cseq.method == "INVITE" and f"{message.status // 100}xx" == name
            if found:
                return description(message)
        return None

    # What the other end does.

    def receive(self, message: Request | Response, place: int) -> None:
        agent = self.end.agent
        if isinstance(message, Response):
            sent = self.end.last.get(message.cseq.method)
            if sent is None:
                return  # the RFC does not print the request
            response = message.copy()
            response.set("via", sent.get("via") or "")
            response.set("cseq", sent.get("cseq") or "")
            agent.answer = self.answer_in(place, "ACK")
            self.end.deliver(response)
            return
        self.done["received"] += 1
        if message.method == "INVITE":
            answer = self.answer_in(place, "2xx")
            if message.to.tag is None:
                agent.script = lambda invite: setattr(self, "invite", invite)
                self.end.tags = [self.tag or ""]
            else:
                self.session.answers = [answer]
        self.end.deliver(message)

    # What our end does.

    def send(self, message: Request | Response, place: int) -> None:
        test = self.test
        if isinstance(message, Request):
            if not self.ask(message):
                return
        elif message.cseq.method == "INVITE" and not self.as_caller and not self.invite.answered:
            self.decide(message)
        sent = self.end.sent()
        test.assertEqual(type(sent), type(message))
        self.done["sent"] += 1
        if isinstance(sent, Response) and isinstance(message, Response):
            test.assertEqual((sent.status, sent.cseq.method), (message.status, message.cseq.method))
            test.assertEqual(sent.cseq, message.cseq)
        elif isinstance(sent, Request) and isinstance(message, Request):
            test.assertEqual(sent.method, message.method)
            if sent.method != "ACK" or sent.get("via") != self.end.last["INVITE"].get("via"):
                # The ACK of a failure goes where its INVITE went, which is not printed everywhere.
                # The printed requests drop a parameter of the Contact here and there.
                test.assertEqual(plain(sent), plain(message))
                test.assertEqual(
                    [one.uri_text for one in sent.routes], [one.uri_text for one in message.routes]
                )
            self.end.last[sent.method] = sent
        test.assertEqual(sent.call_id, message.call_id)
        test.assertEqual((sent.from_.tag, sent.to.tag), (message.from_.tag, message.to.tag))
        test.assertEqual(sent.body, message.body)

    def ask(self, message: Request) -> bool:
        """Send such a request; False for one that is sent otherwise."""
        agent = self.end.agent
        if message.method == "INVITE" and message.to.tag is None:
            self.invite = agent.invite(
                message.uri_text,
                from_=message.from_,
                to=message.to,
                routes=message.routes,
                call_id=message.call_id,
                body=description(message),
            )
        elif message.method == "INVITE":
            self.session.reinvite(description(message)).addErrback(lambda failure: None)
        elif message.method == "BYE":
            self.session.bye()
        elif message.method == "CANCEL":
            self.invite.cancel()
        elif message.method != "ACK":
            return False
        return True

    def decide(self, message: Response) -> None:
        invite = self.invite
        if message.status < 200:
            invite.progress(message.status, description(message))
        elif message.status < 300:
            invite.accept(description(message))
        elif message.status != 487:
            invite.reject(message.status, message.reason)


class ReplayTests(SynchronousTestCase):
    """Each call, at both ends."""

    def replay(self, rfc: int) -> tuple[Counter[str], dict[str, str]]:
        """How many messages were sent and received; and those that are not as printed."""
        done: Counter[str] = Counter()
        wrong: dict[str, str] = {}
        for (number, _, _), call in calls().items():
            if number != rfc or caller_of(call) is None:
                continue
            for tag in (None, *called_tags(call)):
                replay = Replay(self, call, tag)
                if replay.begins:
                    wrong.update(replay.run())
                    done += replay.done
        return done, wrong

    def test_rfc_3665(self) -> None:
        done, wrong = self.replay(3665)
        self.assertEqual(wrong.keys(), MISPRINTED[3665].keys(), wrong)
        self.assertEqual((done["sent"], done["received"]), (64, 31))

    def test_rfc_5359(self) -> None:
        done, wrong = self.replay(5359)
        self.assertEqual(wrong.keys(), MISPRINTED[5359].keys(), wrong)
        self.assertEqual((done["sent"], done["received"]), (154, 95))


if not GIVEN:
    del ReplayTests
