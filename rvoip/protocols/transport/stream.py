"""SIP over TCP and TLS."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from os import strerror
from typing import Any, ClassVar, Final, final

from OpenSSL import SSL
from twisted.internet.error import ConnectError, ConnectionAborted, ConnectionDone, ConnectionLost, UserError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IAddress, IHandshakeListener, INegotiated, IPushProducer
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.common.clock import Clock
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.framing import KeepAlive, StreamError, StreamFramer
from rvoip.protocols.sip.grammar import format_host_port
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.certificates import mismatch, names_of
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow
from rvoip.protocols.transport.guard import Guard
from rvoip.protocols.transport.intake import Intake
from rvoip.protocols.transport.interfaces import IMessageReceiver
from rvoip.protocols.transport.limits import TransportLimits
from rvoip.protocols.transport.sockets import explain, tune_stream
from rvoip.protocols.transport.streamflow import StreamFlow, TCPFlow, TLSFlow
from rvoip.protocols.transport.table import StreamTable
from rvoip.protocols.transport.times import StreamTimes

__all__ = ["SIPStreamFactory", "SIPStreamProtocol", "loss_reason"]

_HIGH: Final = 65536
"""Octets that Twisted's transports hold before they ask for a pause."""

_BLANK: Final = 3
"""So few octets are no message that has begun, but perhaps half a keep-alive."""

_PING: Final = b"\r\n\r\n"
_PONG: Final = b"\r\n"


@implementer(IHandshakeListener, IPushProducer)
class SIPStreamProtocol(Protocol):
    """Takes SIP messages out of one TCP or TLS connection, and keeps the peer within the limits.

    Works on stock `listenTCP` and `listenSSL` by way of `SIPStreamFactory`, without a `TransportLayer`.
    Subclasses override `message_received` and `parse_failed`, which may be ``async``; by default both go to
    the receiver.
    """

    flow_kinds: ClassVar[tuple[type[StreamFlow], type[StreamFlow]]] = TCPFlow, TLSFlow
    """The class of a flow without TLS, and with it."""

    def __init__(
        self,
        clock: Clock,
        receiver: IMessageReceiver | None = None,
        *,
        limits: TransportLimits | None = None,
        guard: Guard | None = None,
        sent_by: str | None = None,
        intake: Intake | None = None,
        table: StreamTable | None = None,
        flow: StreamFlow | None = None,
        opened: Callable[[StreamFlow], None] | None = None,
    ) -> None:
        """`sent_by` is what our Via says; by default our address of this connection.

        `flow` is that of a connection that we open, `opened` is called when one can be used. `intake` and
        `table` are shared by the protocols of a layer; `intake` takes the place of receiver, limits and
        guard.
        """
        self.intake = intake or Intake(clock, receiver, limits=limits, guard=guard)
        self._table = StreamTable(clock, self.intake) if table is None else table
        self._clock = clock
        self._sent_by = sent_by
        self._opened = opened
        self._given = flow
        self._max_unsent = self.intake.limits.max_unsent
        self._framer = StreamFramer(self.intake.limits.message)
        self._broken: StreamError | None = None
        self._unread: list[bytes | KeepAlive] = []
        self._unsent: deque[bytes] = deque()
        self._unsent_size = 0
        self._blocked = False
        self._reading = True

    # -- hooks

    def message_received(self, message: Request | Response, flow: Flow) -> Awaitable[object] | None:
        """A well-formed, checked message came; a request's top Via is stamped with its source."""
        return self.intake.deliver(message, flow)

    def parse_failed(self, error: SIPParseError, flow: Flow) -> Awaitable[object] | None:
        """What came is no SIP; it has been counted and logged, and may be answered."""
        self.intake.parse_failed(error, flow)
        return None

    # -- the connection

    def connectionMade(self) -> None:
        """Be on the table, and wait for messages or for the TLS handshake."""
        transport: Any = self.transport
        secure = INegotiated.providedBy(transport)
        self._times = StreamTimes(self.intake.limits, self._clock.seconds(), handshake=True)
        tune_stream(transport, self.intake.limits)
        here, there = transport.getHost(), transport.getPeer()
        flow = self._given
        if flow is None:
            local, remote = (here.host, here.port), (there.host, there.port)
            kind = self.flow_kinds[secure]
            token = self._table.new_token(kind.transport)
            sent_by = self._sent_by or format_host_port(*local)
            flow = kind(token, local, remote, sent_by, opened_by_peer=True)
            self._table.add(flow, remote[0])
        else:
            flow.local = (here.host, here.port)
        self.flow = flow
        if flow.closed:
            # Given up while it was being opened.
            transport.abortConnection()
            return
        flow.attached(self)
        transport.registerProducer(self, True)
        if not secure:
            self._connected()

    def handshakeCompleted(self) -> None:
        """The peer is who the handshake proves: compare that with whom we meant to reach."""
        transport: Any = self.transport
        flow = self.flow
        try:
            certificate = transport.getHandle().get_peer_certificate(as_cryptography=True)
            if not flow.opened_by_peer:
                wanted = flow.server_name or flow.remote[0].partition("%")[0]
                reason = mismatch(certificate, wanted)
                if reason is not None:
                    flow.shut(reason, abort=True)
                    return
                flow.peer_identity = wanted
            flow.identities = frozenset(names_of(certificate))
        except Exception:
            self._collapse()
            return
        if flow.peer_identity is None and flow.identities:
            flow.peer_identity = min(flow.identities)
        self._connected()

    def _connected(self) -> None:
        """The connection is there, its TLS handshake over: SIP can begin."""
        self._ready()

    def _ready(self) -> None:
        self._times.handshake = None
        self.flow.opened()
        if self._opened is not None:
            self._opened(self.flow)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever uses the flow."""
        self._table.remove(self.flow)
        if (
            self._times.handshake is not None
            and self.flow.opened_by_peer
            and isinstance(reason.value, SSL.Error)
        ):
            self.intake.refused(self.flow, loss_reason(reason))
        self._unsent.clear()
        self._unread = []
        self.flow.lost(loss_reason(reason))

    # -- reading

    @final
    def dataReceived(self, data: bytes) -> None:
        """Take octets out of the stream, however they were cut."""
        if self.flow.closed:
            return
        try:
            found = self._messages_in(data)
        except Exception:
            self._collapse()
            return
        if self._reading:
            self._process(found)
        else:
            self._unread += found

    def _messages_in(self, data: bytes) -> list[bytes | KeepAlive]:
        """What these octets complete."""
        framer, times = self._framer, self._times
        try:
            found = framer.receive(data)
        except StreamError as error:
            self._broken = error
            found = error.completed
        if times.pinged is not None and framer.take_pong():
            found.append(KeepAlive.PONG)
        times.received(self._clock.seconds(), bool(found), framer.pending > _BLANK)
        return found

    def _process(self, found: list[bytes | KeepAlive]) -> None:
        """Hand messages on, until the peer is found not to read what they cause."""
        flow, intake = self.flow, self.intake
        pings = taken = 0
        for item in found:
            taken += 1
            if isinstance(item, bytes):
                intake.take(item, flow, self)
                if not self._reading or flow.closed:
                    break
            elif item is KeepAlive.PING:
                pings += 1
            else:
                self._times.pinged = None
        if flow.closed:
            self._unread = []
            return
        self._unread = found[taken:]
        if pings and not self._blocked:
            self._write(self._pong(pings))
        if not self._unread:
            self._all_processed()

    def _all_processed(self) -> None:
        """All that came is worked off: after what cannot be read there will be nothing more."""
        if self._broken is not None:
            # Where the next message begins is not known any more.
            self.intake.unreadable(self._broken, self.flow, self)
            self.flow.shut(f"not SIP: {self._broken.reason}")

    # -- writing

    def _write(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)

    def _framed(self, data: bytes) -> bytes:
        """A message as it goes over the connection."""
        return data

    def _ping(self) -> bytes:
        """What asks the peer for a sign of life."""
        return _PING

    def _pong(self, count: int) -> bytes:
        """What answers so many keep-alives of the peer."""
        return _PONG * count

    def _goodbye(self) -> bytes:
        """What is sent last on a connection that we close."""
        return b""

    def transmit(self, data: bytes) -> None:
        """Send a message; `FlowError` when the peer does not read what was sent before."""
        if self._blocked and _HIGH + self._unsent_size >= self._max_unsent:
            raise FlowError(f"the peer does not read: {_HIGH + self._unsent_size} octets are unsent")
        data = self._framed(data)
        if self._blocked:
            self._unsent.append(data)
            self._unsent_size += len(data)
            self._weigh()
        else:
            self._write(data)
        self._times.activity = self._clock.seconds()
        self.intake.counters.sent += 1

    def pauseProducing(self) -> None:
        """From the transport: it holds as much as it wants to."""
        self._blocked = True
        self._weigh()

    def resumeProducing(self) -> None:
        """From the transport: all that it held has gone out."""
        self._blocked = False
        while self._unsent and not self._blocked:
            data = self._unsent.popleft()
            self._unsent_size -= len(data)
            self._write(data)
        unsent = self._unsent_size + (_HIGH if self._blocked else 0)
        if not self._reading and unsent <= self._max_unsent // 2 and not self.flow.closed:
            self._resume_reading()

    def stopProducing(self) -> None:
        """From the transport: the connection is over; `connectionLost` follows."""

    def _weigh(self) -> None:
        """Read no more from a peer that does not take what it gets."""
        if self._reading and _HIGH + self._unsent_size >= self._max_unsent:
            self._reading = False
            self._times.reading_stopped(self._clock.seconds())
            transport: Any = self.transport
            transport.pauseProducing()

    def _resume_reading(self) -> None:
        self._reading = True
        self._times.reading_resumed(self._clock.seconds(), self._framer.pending > _BLANK)
        transport: Any = self.transport
        transport.resumeProducing()
        self._process(self._unread)

    # -- the end

    def _collapse(self) -> None:
        """Something that must not fail has: log it, and do without this connection."""
        self.intake.failed(Failure(), None, self.flow)
        self.flow.shut("internal error", abort=True)

    def look(self, now: float) -> None:
        """From the table, once a second."""
        times = self._times
        overdue = times.overdue(now)
        if overdue is not None:
            self.flow.shut(overdue.reason, overdue.abort)
        elif times.wants_ping(now) and not self._blocked:
            self._write(self._ping())

    def keep(self, until: float) -> None:
        """Do not close as idle before this time."""
        self._times.kept_until = until

    def keep_alive(self, interval: float | None) -> None:
        """Send keep-alives, or stop that."""
        self._times.ping_every = interval
        self._times.pinged = None
        if interval is not None:
            self._times.ping_due = self._clock.seconds() + interval

    def finish(self) -> None:
        """Close when what is queued has gone out, or soon."""
        transport: Any = self.transport
        self._times.closing = self._clock.seconds()
        self._blocked = False
        while self._unsent:
            self._write(self._unsent.popleft())
        self._unsent_size = 0
        goodbye = self._goodbye()
        if goodbye:
            self._write(goodbye)
        if not self._reading:
            # The end of a TLS connection, and a reset, are only seen by reading.
            transport.resumeProducing()
        # A transport with a producer waits for it before it closes.
        transport.unregisterProducer()
        transport.loseConnection()

    def abort(self) -> None:
        """Reset the connection."""
        transport: Any = self.transport
        transport.abortConnection()


class SIPStreamFactory(ServerFactory):
    """Gives each connection that peers open a `SIPStreamProtocol`, and refuses those over the limits."""

    noisy = False

    def __init__(
        self,
        clock: Clock,
        receiver: IMessageReceiver | None = None,
        *,
        protocol: Callable[..., SIPStreamProtocol] = SIPStreamProtocol,
        limits: TransportLimits | None = None,
        guard: Guard | None = None,
        sent_by: str | None = None,
        intake: Intake | None = None,
        table: StreamTable | None = None,
        opened: Callable[[StreamFlow], None] | None = None,
    ) -> None:
        """`protocol` is `SIPStreamProtocol` or a subclass; the rest is as there."""
        self.intake = intake or Intake(clock, receiver, limits=limits, guard=guard)
        self.table = StreamTable(clock, self.intake) if table is None else table
        self._clock = clock
        self._make = protocol
        self._sent_by = sent_by
        self._opened = opened

    def buildProtocol(self, addr: IAddress | None) -> SIPStreamProtocol | None:
        """A protocol for a new connection; None closes it."""
        peer: Any = addr
        if not self.table.accepts(peer.host):
            return None
        made = self._make(
            self._clock,
            sent_by=self._sent_by,
            intake=self.intake,
            table=self.table,
            opened=self._opened,
        )
        made.factory = self
        return made


def loss_reason(failure: Failure) -> str:
    """Why a connection ended or did not come about, in few words."""
    error = failure.value
    if isinstance(error, ConnectionDone):
        return "closed by the peer"
    if isinstance(error, ConnectionAborted):
        return "reset by us"
    if isinstance(error, ConnectionLost):
        return "connection lost"
    if isinstance(error, ConnectTimeout):
        return "not connected in time"
    if isinstance(error, UserError):
        return "given up"
    if isinstance(error, ConnectError) and isinstance(error.osError, int):
        return strerror(error.osError).lower()
    if isinstance(error, SSL.Error):
        said = error.args[0] if error.args and isinstance(error.args[0], list) else []
        return "TLS: " + (", ".join(str(entry[-1]) for entry in said) or "handshake failed")
    return explain(error) if error is not None else "connection lost"
