"""SIP over UDP."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import Any, Final, final

from mypy_extensions import mypyc_attr
from twisted.internet.error import MessageLengthError
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from rvoip.common.clock import Clock
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import format_host_port
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.transport.addresses import is_wildcard, unusable
from rvoip.protocols.transport.bounded import Recent
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Address, Flow, RefusedFlow, Target, UDPFlow
from rvoip.protocols.transport.guard import Guard
from rvoip.protocols.transport.intake import Intake
from rvoip.protocols.transport.interfaces import IMessageReceiver
from rvoip.protocols.transport.limits import UDP_LARGEST, TransportLimits
from rvoip.protocols.transport.sockets import explain, source_address
from rvoip.protocols.transport.stun import binding_response

__all__ = ["SIPDatagramProtocol"]

_SHORTEST: Final = 20
"""No SIP message is shorter."""

_FIRST: Final = 0x21
"""The first octet of a message is a visible character. CRLF, zeros and STUN begin with less (RFC 7983)."""

_FULL: Final = frozenset((errno.EAGAIN, errno.ENOBUFS))


@mypyc_attr(allow_interpreted_subclasses=True)
class SIPDatagramProtocol(DatagramProtocol):
    """Takes SIP messages out of datagrams, for one UDP socket.

    Works on `reactor.listenUDP` (pass ``maxPacketSize=65535``), on `BatchUDP` and without a `TransportLayer`.
    Subclasses override `message_received` and `parse_failed`, which may be ``async``; by default both go to
    the receiver.
    """

    noisy = False

    def __init__(
        self,
        clock: Clock,
        receiver: IMessageReceiver | None = None,
        *,
        limits: TransportLimits | None = None,
        guard: Guard | None = None,
        force_rport: bool = False,
        sent_by: str | None = None,
        intake: Intake | None = None,
        route: Callable[[str], str | None] = source_address,
    ) -> None:
        """`sent_by` is what our Via says; by default the address of the socket.

        `route` gives the local address for a peer's, where the socket is bound to any. `intake` is shared by
        the protocols of a layer and takes the place of receiver, limits, guard and force_rport.
        """
        self.intake = intake or Intake(clock, receiver, limits=limits, guard=guard, force_rport=force_rport)
        self._clock = clock
        self._guard = self.intake.guard
        self._counters = self.intake.counters
        self._message_limits = self.intake.limits.message
        self._flows: Recent[Address, UDPFlow] = Recent(self.intake.limits.udp_flows)
        self._young = self._flows.young
        self._local: Address = ("", 0)
        self._sent_by = sent_by
        self._route = route

    # -- hooks

    def message_received(self, message: Request | Response, flow: Flow) -> Awaitable[object] | None:
        """A well-formed, checked message came; a request's top Via is stamped with its source."""
        return self.intake.deliver(message, flow)

    def parse_failed(self, error: SIPParseError, flow: Flow) -> Awaitable[object] | None:
        """What came is no SIP; it has been counted and logged, and may be answered."""
        self.intake.parse_failed(error, flow)
        return None

    # -- from the socket

    def startProtocol(self) -> None:
        """Learn the address that the socket is bound to."""
        transport: Any = self.transport
        bound = transport.getHost()
        self._local = (bound.host, bound.port)

    @final
    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Parse, check, stamp and hand on one datagram."""
        self._counters.received += 1
        guard = self._guard
        if guard.active and not guard.admit(addr[0], self._clock.seconds()):
            self._counters.drop("rate")
            return
        if (len(datagram) < _SHORTEST or datagram[0] < _FIRST) and _no_message(datagram):
            self._counters.drop("keep_alive")
            self._keep_alive(datagram, addr[0], addr[1])
            return
        flow: Flow | None = self._young.get(addr)
        if flow is None or flow.closed:
            flow = self.flow_to(addr)
            if flow.closed:
                # A forged source: whatever answers would go to no one or to many.
                self._counters.drop("source")
                return
        door = self.intake.door
        if door is not None and door(datagram, addr, flow, self):
            return
        early = self.intake.early
        if early is not None and early(datagram, addr, flow):
            return
        try:
            message = parse_message(datagram, self._message_limits)
            check(message, self._message_limits)
            if isinstance(message, Request):
                message.stamp_via(addr[0], addr[1])
        except SIPParseError as error:
            self.intake.unreadable(error, flow, self)
            return
        except Exception:
            self.intake.failed(Failure(), None, flow)
            return
        try:
            intake = self.intake
            if intake.tap is not None:
                intake.tap(message, datagram, flow)
            outcome = self.message_received(message, flow)
            if outcome is not None:
                intake.watch(outcome, message, flow)
        except Exception:
            self.intake.failed(Failure(), message, flow)

    def datagram_late(self, datagram: bytes, addr: Any, seconds: float) -> None:
        """From a batch port: one that has waited in the socket for so long that its sender has sent it again.

        A request is dropped: whoever sent it gets an answer to a later copy, and a server that is behind gets
        up with the present. Responses and ACKs cost little and are not asked for again.
        """
        if datagram[:1] >= b"!" and datagram[:4].upper() not in (b"SIP/", b"ACK "):
            self._counters.received += 1
            self._counters.drop("late")
            self.intake.late(seconds)
        else:
            self.datagramReceived(datagram, addr)

    def datagrams_wait(self) -> None:
        """From a batch port: it was read for as long as others can wait, and there is more in its socket."""
        behind = self.intake.behind
        if behind is not None:
            behind()

    def _keep_alive(self, datagram: bytes, host: str, port: int) -> None:
        """Answer that of a client that waits for it (RFC 5626 section 3.5.2)."""
        response = binding_response(datagram, host, port)
        if response is not None:
            flow = self.flow_to((host, port))
            try:
                flow.send(response)
            except FlowError:
                return  # a forged source

    # -- to the socket

    def flow_to(self, address: Address) -> Flow:
        """The flow to a numeric address; one that refuses to send when the address must not be sent to."""
        flow = self._flows.get(address)
        if flow is not None and not flow.closed:
            return flow
        host, port = address
        reason = unusable(host, port)
        if reason is None and (":" in host) != (":" in self._local[0]):
            reason = f"{host} is not of the address family of {format_host_port(*self._local)}"
        if reason is not None:
            return RefusedFlow(Target("UDP", host, port), reason)
        local, sent_by = self._local, self._sent_by
        if is_wildcard(local[0]):
            local = (self._route(host) or local[0], local[1])
        flow = UDPFlow(
            local,
            address,
            sent_by or format_host_port(*local),
            self.transmit,
            self.flow_to,
            self.intake.force_rport,
        )
        self._flows.put(address, flow)
        return flow

    def transmit(self, datagram: bytes, address: Address) -> None:
        """Send one datagram; `FlowError` when it cannot even be tried. A full buffer drops it: it is UDP."""
        transport: Any = self.transport
        if transport is None:
            raise FlowError("the socket is closed")
        if len(datagram) > UDP_LARGEST:
            raise FlowError(f"{len(datagram)} octets do not fit into a datagram")
        try:
            transport.write(datagram, address)
        except OSError as error:
            if error.errno not in _FULL:
                raise FlowError(f"{format_host_port(*address)}: {explain(error)}") from None
            self._counters.drop("send_buffer")
        except (OverflowError, ValueError, MessageLengthError) as error:
            raise FlowError(f"{format_host_port(*address)}: {explain(error)}") from None
        else:
            self._counters.sent += 1

    def send_failed(self, address: Address, error: OSError) -> None:
        """From a batch port: a datagram that was queued could not be sent after all."""
        self._counters.sent -= 1
        if error.errno in _FULL:
            self._counters.drop("send_buffer")
            return
        self._counters.drop("unreachable")
        flow = self._flows.pop(address)
        if flow is not None:
            flow.fail(f"{format_host_port(*address)}: {explain(error)}")


def _no_message(datagram: bytes) -> bool:
    """Whether an odd datagram is a keep-alive, STUN or a stray: no SIP, and not worth a line in the log.

    Phones send CRLF, CRLF CRLF, zeros and worse to keep a NAT's binding; what begins with CRLF may still be a
    message (RFC 3261 section 7.5).
    """
    if len(datagram) < _SHORTEST:
        return True
    rest = datagram.lstrip(b"\r\n")
    return len(rest) < _SHORTEST or rest[0] < _FIRST
