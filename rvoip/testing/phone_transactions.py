"""
The transactions of a test phone (RFC 3261 section 17), written apart from rvoip's own.

A test that checks one implementation with itself proves little, so these share no code with
`rvoip.protocols.dialog`: plain retransmission by `callLater`, nothing bounded, nothing fast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from twisted.internet.interfaces import IDelayedCall

from rvoip.protocols.sip.build import ack_for_failure, via_value
from rvoip.protocols.sip.message import Request, Response
from rvoip.testing.memory_wire import Endpoint
from rvoip.testing.phone_wire import Channel

if TYPE_CHECKING:
    from rvoip.testing.phone import Phone

__all__ = ["ClientTransaction", "ServerTransaction", "Times"]


class Times(NamedTuple):
    """T1, T2 and T4 of RFC 3261 section 17.1.1.1, in seconds."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0


class _Timers:
    """Timers that end together."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._calls: list[IDelayedCall] = []

    def after(self, seconds: float, function: Callable[[], object]) -> None:
        self._calls = [call for call in self._calls if call.active()]
        self._calls.append(self._phone.reactor.callLater(seconds, function))

    def again_and_again(self, first: float, most: float, function: Callable[[], object]) -> None:
        """Call after `first` seconds, then after twice as long each time, up to `most` seconds."""

        def due() -> None:
            function()
            self.again_and_again(min(2 * first, most), most, function)

        self.after(first, due)

    def stop(self) -> None:
        for call in self._calls:
            if call.active():
                call.cancel()
        self._calls.clear()


class ClientTransaction:
    """Sends a request with a Via of its own until a response comes; sends the ACK to a failed INVITE."""

    def __init__(
        self,
        phone: Phone,
        request: Request,
        destination: Endpoint,
        responded: Callable[[Response], object],
        gave_up: Callable[[str], object],
        branch: str | None = None,
    ) -> None:
        """`branch` is that of the Via which the request carries already (CANCEL); else it gets one."""
        self.phone = phone
        self.request = request
        self.destination = destination
        self.branch = branch or phone.new_branch()
        self.final: Response | None = None
        self.provisional = False
        self.over = False
        self._responded = responded
        self._gave_up = gave_up
        self._ack: Request | None = None
        self._timers = _Timers(phone)
        self._tags: set[str | None] = set()
        if branch is None:
            request.insert("via", via_value(phone.transport, phone.sent_by, self.branch))

    @property
    def is_invite(self) -> bool:
        """Whether the request is an INVITE."""
        return self.request.method == "INVITE"

    def start(self) -> None:
        """Send the request; again by timer A or E, until B or F."""
        phone, times = self.phone, self.phone.times
        phone.client_transactions[self.branch, self.request.method] = self
        if not phone.reliable:
            # Timer A has no upper bound but B; timer E stops growing at T2.
            most = float("inf") if self.is_invite else times.t2
            self._timers.again_and_again(times.t1, most, self._send)
        self._timers.after(64 * times.t1, self._timed_out)
        self._send()

    def _send(self) -> None:
        self.phone.transmit(self.request, self.destination)

    def _timed_out(self) -> None:
        self.fail("timeout")

    def fail(self, reason: str) -> None:
        """End without a final response."""
        if self.over or self.final is not None:
            return
        self._end()
        self._gave_up(reason)

    def received(self, response: Response) -> bool:
        """Take a response; False when it repeats one that came before."""
        times, status = self.phone.times, response.status
        if self.final is not None:
            if self._ack is not None and status >= 300:
                self.phone.transmit(self._ack, self.destination)
            if not self.is_invite or status >= 300 or self.final.status >= 300:
                return False
            # Each 2xx to an INVITE is the user's business (section 13.2.2.4).
            new = response.to.tag not in self._tags
        elif status < 200:
            if self.is_invite:
                self._timers.stop()  # A and B end; nothing else does while it rings
            self.provisional = new = True
        else:
            new = True
            self.final = response
            self._timers.stop()
            if self.is_invite and status >= 300:
                self._ack = ack_for_failure(self.request, response)
                self.phone.transmit(self._ack, self.destination)
                self._timers.after(0.0 if self.phone.reliable else 64 * times.t1, self._end)  # timer D
            elif self.is_invite:
                self._timers.after(64 * times.t1, self._end)  # timer M (RFC 6026)
            else:
                self._timers.after(0.0 if self.phone.reliable else times.t4, self._end)  # timer K
        if 200 <= status < 300:
            self._tags.add(response.to.tag)
        self._responded(response)
        return new

    def _end(self) -> None:
        self.over = True
        self._timers.stop()
        self.phone.client_transactions.pop((self.branch, self.request.method), None)

    def stop(self) -> None:
        """Forget it."""
        self._end()


class ServerTransaction:
    """Answers a request, and repeats the answer when the request is repeated or (INVITE) no ACK comes."""

    def __init__(self, phone: Phone, request: Request, channel: Channel) -> None:
        self.phone = phone
        self.request = request
        self.channel = channel
        self.last: Response | None = None
        self.acked = False
        self.over = False
        self.unacknowledged: Callable[[], object] = lambda: None
        """Called when no ACK came to the final response to an INVITE in 64*T1."""
        self._timers = _Timers(phone)
        phone.server_transactions[self.key(request)] = self

    @staticmethod
    def key(request: Request) -> tuple[str, str, str]:
        """What tells transactions apart (RFC 3261 section 17.2.3); an ACK belongs to its INVITE."""
        method = "INVITE" if request.method == "ACK" else request.method
        return request.via.branch or request.call_id, request.via.sent_by, method

    def respond(self, response: Response) -> None:
        """Send a response; the final one is repeated as the RFC wants."""
        if self.last is not None and self.last.status >= 200:
            return
        self.last = response
        self._repeat()
        if response.status < 200:
            return
        times = self.phone.times
        if self.request.method != "INVITE":
            self._timers.after(0.0 if self.phone.reliable else 64 * times.t1, self._end)
            return
        # A 2xx is repeated also over a reliable transport: its ACK may come another way (section 13.3.1.4).
        if response.status < 300 or not self.phone.reliable:
            self._timers.again_and_again(times.t1, times.t2, self._repeat)
        self._timers.after(64 * times.t1, self._no_ack)

    def _repeat(self) -> None:
        if self.last is not None:
            self.phone.transmit_on(self.last, self.channel)

    def repeated(self) -> None:
        """The request came again."""
        self._repeat()

    def acknowledged(self) -> bool:
        """An ACK came; False when it only repeats one."""
        if self.acked:
            return False
        self.acked = True
        self._timers.stop()
        times = self.phone.times
        accepted = self.last is not None and self.last.status < 300
        # Timer L of RFC 6026, or timer I: until then a late INVITE is known as a repetition.
        wait = 64 * times.t1 if accepted else times.t4
        self._timers.after(0.0 if self.phone.reliable else wait, self._end)
        return True

    def _no_ack(self) -> None:
        self._end()
        self.unacknowledged()

    def _end(self) -> None:
        self.over = True
        self._timers.stop()
        self.phone.server_transactions.pop(self.key(self.request), None)

    def stop(self) -> None:
        """Forget it."""
        self._end()
