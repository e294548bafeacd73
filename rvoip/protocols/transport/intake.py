"""From octets to the receiver: what all transports do with a message, and with what is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from hashlib import blake2b
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.common.clock import Clock
from rvoip.common.log import LogLimiter
from rvoip.protocols.sip.address import salvage_via
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.errors import SIPError, SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.transport.counters import Counters
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Address, Flow
from rvoip.protocols.transport.guard import Guard
from rvoip.protocols.transport.interfaces import IMessageReceiver
from rvoip.protocols.transport.limits import TransportLimits

__all__ = ["AMPLIFICATION", "Intake", "refusal", "way_back"]

AMPLIFICATION = 3
"""A stateless answer is at most so many times as long as what it answers."""

Message = Request | Response

_log = Logger(__name__)


class Hooks(Protocol):
    """What subclasses of a protocol override."""

    def message_received(self, message: Message, flow: Flow) -> Awaitable[object] | None:
        """A message came."""

    def parse_failed(self, error: SIPParseError, flow: Flow) -> Awaitable[object] | None:
        """Something else came."""


class Intake:
    """What the protocols of one layer share: receiver, limits, counters, and what is done about failures."""

    def __init__(
        self,
        clock: Clock,
        receiver: IMessageReceiver | None = None,
        *,
        limits: TransportLimits | None = None,
        guard: Guard | None = None,
        counters: Counters | None = None,
        force_rport: bool = False,
    ) -> None:
        self.clock = clock
        self.receiver = receiver
        self.limits = limits or TransportLimits()
        self.guard = guard or Guard()
        self.counters = counters or Counters()
        self.force_rport = force_rport
        self.tap: Callable[[Message, bytes, Flow], object] | None = None
        """Called with each checked message, its octets and its flow, before the message is handed on."""
        self.early: Callable[[bytes, Address, Flow], bool] | None = None
        """Asked about each datagram before it is parsed; True when it has answered it."""
        self.door: Callable[[bytes, Address, Flow, Hooks], bool] | None = None
        """Asked about each message first while there is overload; True when it has taken it over."""
        self.behind: Callable[[], object] | None = None
        """Called when a socket was read and there is more in it."""
        self._lines = LogLimiter(clock.seconds)

    def deliver(self, message: Message, flow: Flow) -> Awaitable[object] | None:
        """Give a message to the receiver; without one it is dropped."""
        receiver = self.receiver
        if receiver is None:
            self.counters.drop("no_receiver")
            return None
        return receiver.message_received(message, flow)

    def watch(self, outcome: Awaitable[object], message: object, flow: Flow) -> None:
        """Let an asynchronous receiver run, and deal with its failure."""
        waiting: Deferred[Any]
        if isinstance(outcome, Deferred):
            waiting = outcome
        else:
            waiting = Deferred.fromCoroutine(cast("Coroutine[Deferred[Any], Any, Any]", outcome))
        waiting.addErrback(self._failed_later, message, flow)

    def _failed_later(self, failure: Failure, message: object, flow: Flow) -> None:
        self.failed(failure, message, flow)

    def take(self, data: bytes, flow: Flow, hooks: Hooks) -> None:
        """Count, parse, check, stamp and hand on one message (the datagram protocol has this written out)."""
        counters = self.counters
        counters.received += 1
        if self.guard.active and not self.guard.admit(flow.remote[0], self.clock.seconds()):
            counters.drop("rate")
            return
        door = self.door
        if door is None or not door(data, flow.remote, flow, hooks):
            self.process(data, flow, hooks)

    def process(self, data: bytes, flow: Flow, hooks: Hooks) -> None:
        """Do so with one that was counted, and let in."""
        limits = self.limits.message
        try:
            message = parse_message(data, limits)
            check(message, limits)
            if isinstance(message, Request):
                message.stamp_via(*flow.remote)
        except SIPParseError as error:
            self.unreadable(error, flow, hooks)
            return
        except Exception:
            self.failed(Failure(), None, flow)
            return
        try:
            if self.tap is not None:
                self.tap(message, data, flow)
            outcome = hooks.message_received(message, flow)
            if outcome is not None:
                self.watch(outcome, message, flow)
        except Exception:
            self.failed(Failure(), message, flow)

    def late(self, seconds: float) -> None:
        """A request was dropped that had waited for so long in its socket: one log line in 10 seconds."""
        suppressed = self._lines.allow("late")
        if suppressed is not None:
            _log.warn(
                "Requests waited in a UDP socket for {waited} s and were dropped ({suppressed} more before)",
                waited=round(seconds, 1),
                suppressed=suppressed,
            )

    def refused(self, flow: Flow, reason: str) -> None:
        """A connection was refused in its handshake: counted, and one log line a source in 10 seconds."""
        self.counters.drop("handshake")
        host = flow.remote[0]
        suppressed = self._lines.allow(host)
        if suppressed is not None:
            _log.warn(
                "Refused {source} over {transport}: {reason} ({suppressed} more before)",
                source=host,
                transport=flow.transport,
                reason=reason,
                suppressed=suppressed,
            )

    def turned_away(self, host: str, reason: str) -> None:
        """A connection was not accepted: one log line a source in 10 seconds."""
        suppressed = self._lines.allow(host)
        if suppressed is not None:
            _log.warn(
                "Refused a connection from {source}: {reason} ({suppressed} more before)",
                source=host,
                reason=reason,
                suppressed=suppressed,
            )

    def failed(self, failure: Failure, message: object, flow: Flow) -> None:
        """The receiver raised: one log event in 10 seconds, and 500 for a request."""
        self.counters.drop("internal")
        suppressed = self._lines.allow(("failure", str(failure.type)))
        if suppressed is not None:
            _log.failure(
                "A message from {source} could not be processed ({suppressed} more before)",
                failure,
                source=flow.remote[0],
                transport=flow.transport,
                suppressed=suppressed,
            )
        if isinstance(message, Request):
            answer(SIPParseError("Server Internal Error", 500, message), flow)

    def unreadable(self, error: SIPParseError, flow: Flow, hooks: Hooks) -> None:
        """Count and log octets that are no SIP, and let the protocol's `parse_failed` hook answer them."""
        self.counters.drop("parse")
        host = flow.remote[0]
        suppressed = self._lines.allow(host)
        if suppressed is not None:
            _log.warn(
                "Bad SIP from {source} over {transport}: {reason} ({suppressed} more before)",
                source=host,
                transport=flow.transport,
                reason=str(error),
                suppressed=suppressed,
            )
        message = error.message
        if isinstance(message, Request):
            try:
                message.stamp_via(*flow.remote)
            except SIPParseError:
                pass  # it has no Via that could be stamped
        try:
            outcome = hooks.parse_failed(error, flow)
        except Exception:
            self.failed(Failure(), message, flow)
            return
        if outcome is not None:
            self.watch(outcome, message, flow)

    def parse_failed(self, error: SIPParseError, flow: Flow) -> None:
        """Let the receiver answer what is no SIP, or answer it here when there is none."""
        receiver = self.receiver
        if receiver is None:
            answer(error, flow)
        else:
            receiver.parse_failed(error, flow)


def answer(error: SIPParseError, flow: Flow) -> None:
    """Answer a request statelessly with what is wrong with it, where that can be done."""
    response = refusal(error)
    if response is None or not isinstance(error.message, Request):
        return
    back = way_back(error.message, flow)
    if back is None:
        return
    try:
        back.send(response)
    except FlowError:
        return  # whoever asked has gone


def way_back(request: Request, flow: Flow) -> Flow | None:
    """The flow of the answer to a request that may be malformed; None when nobody could be told.

    Without a Via that says more or less where to, a datagram has no one to answer; a stream's other end is
    known.
    """
    try:
        return flow.reply_flow(request.via)
    except SIPError:
        if flow.reliable:
            return flow
    try:
        return flow.reply_flow(salvage_via(request.get("via") or ""))
    except SIPError:
        return None


def refusal(error: SIPParseError) -> bytes | None:
    """The response to a request that is refused before anyone has looked at it; None when there is none.

    It leaves no state: the To tag is a function of the request (RFC 3261 section 8.2.7).
    """
    request = error.message
    if not isinstance(request, Request) or request.method == "ACK":
        return None
    seed = "\n".join([request.get("via") or "", request.get("call-id") or "", request.get("cseq") or ""])
    tag = blake2b(seed.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    try:
        response = respond(request, error.status, _one_line(error.reason), to_tag=tag)
    except SIPError:
        # A To that cannot be read gets no tag.
        try:
            response = respond(request, error.status, _one_line(error.reason))
        except SIPError:
            return None
    data = response.to_bytes()
    return data if len(data) <= AMPLIFICATION * len(request.to_bytes()) else None


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
