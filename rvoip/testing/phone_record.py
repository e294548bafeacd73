"""What a test phone sent and received, and who waits for what of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred

from rvoip.protocols.sip.grammar import format_host_port
from rvoip.protocols.sip.message import Request, Response
from rvoip.testing.memory_wire import Endpoint
from rvoip.testing.phone_expect import Expectations

__all__ = ["Message", "Record", "Recorded"]

Message = Request | Response


class Recorded(NamedTuple):
    """A message that was sent or received; `new` is false for what repeats an earlier one."""

    time: float
    sent: bool
    message: Message
    peer: Endpoint
    new: bool


class Record:
    """All messages in their order; those received are offered to the expectations, each to one."""

    def __init__(self, reactor: Any) -> None:
        self.messages: list[Recorded] = []
        self._reactor = reactor
        self._sent_ids: set[int] = set()
        self._unclaimed: list[Message] = []
        self._expected: Expectations[Message] = Expectations(reactor)

    def sent(self, message: Message, peer: Endpoint) -> None:
        """It goes out now."""
        # Messages are kept for good, so that no two have had the same id.
        new = id(message) not in self._sent_ids
        self._sent_ids.add(id(message))
        self.messages.append(Recorded(self._reactor.seconds(), True, message, peer, new))

    def received(self, message: Message, peer: Endpoint) -> int:
        """It has come; returns its place, for `repeated`."""
        self.messages.append(Recorded(self._reactor.seconds(), False, message, peer, True))
        return len(self.messages) - 1

    def repeated(self, index: int) -> None:
        """That message was a repetition."""
        self.messages[index] = self.messages[index]._replace(new=False)

    def offer(self, message: Message) -> None:
        """Hand a new message to whoever waits for it, now or later."""
        if not self._expected.happened(message):
            self._unclaimed.append(message)

    def expect(
        self, fits: Callable[[Message], bool], within: float, what: Callable[[], str]
    ) -> Deferred[Message]:
        """See `Phone.expect`."""
        expected = self._expected.expect(fits, within, what, self._unclaimed)
        if expected.called:
            expected.addCallback(self._claim)
        return expected

    def _claim(self, message: Message) -> Message:
        self._unclaimed.remove(message)
        return message

    def matches(self, response: Response) -> bool:
        """Whether a request was sent that this may answer."""
        return any(one.sent and _answers(one.message, response) for one in self.messages)

    def lines(self) -> list[str]:
        """A line a message: when, which way, with whom, what."""
        lines = []
        for one in self.messages:
            arrow = "->" if one.sent else "<-"
            again = "" if one.new else "  (again)"
            peer = format_host_port(*one.peer)
            cseq = one.message.get("cseq")
            lines.append(f"{one.time:10.3f} {arrow} {peer:21} {one.message.start_line}  [{cseq}]{again}")
        return lines

    def stop(self) -> None:
        """Let no one wait any longer."""
        self._expected.stop()


def _answers(sent: Message, response: Response) -> bool:
    return (
        isinstance(sent, Request)
        and sent.method == response.cseq.method
        and sent.has("via")
        and sent.via.branch == response.via.branch
    )
