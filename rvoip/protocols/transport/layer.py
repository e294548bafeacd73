"""The one door to the network: listeners, flows, and what arrives on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorFDSet

from rvoip.common.activation import InheritedSockets
from rvoip.protocols.sip.grammar import format_host_port
from rvoip.protocols.transport.addresses import (
    ListenAddress,
    canonical_host,
    default_port,
    is_loopback,
    is_wildcard,
    unusable,
)
from rvoip.protocols.transport.batch import BatchPort, BatchUDP
from rvoip.protocols.transport.bounded import Recent
from rvoip.protocols.transport.connect import connect
from rvoip.protocols.transport.counters import Counters
from rvoip.protocols.transport.errors import ListenError
from rvoip.protocols.transport.flow import Flow, RefusedFlow, Target
from rvoip.protocols.transport.guard import Guard
from rvoip.protocols.transport.handshake import WebSocketRules
from rvoip.protocols.transport.intake import Intake
from rvoip.protocols.transport.interfaces import IMessageReceiver
from rvoip.protocols.transport.limits import UDP_SAFE, TransportLimits
from rvoip.protocols.transport.pool import StreamPool
from rvoip.protocols.transport.sockets import explain, has_address, listen_stream, source_address
from rvoip.protocols.transport.stream import SIPStreamFactory, SIPStreamProtocol
from rvoip.protocols.transport.streamflow import StreamFlow
from rvoip.protocols.transport.table import StreamTable
from rvoip.protocols.transport.tls import TLSContexts, TLSFactory
from rvoip.protocols.transport.udp import SIPDatagramProtocol

__all__ = ["Listener", "TransportLayer"]

STOP_TIMEOUT: Final = 2.0
"""Seconds that peers have to let their connections be closed in order when we stop."""

_MAX_PACKET: Final = 65535


class Listener:
    """An address that is listened on."""

    def __init__(self, transport: str, host: str, port: int, sent_by: str | None) -> None:
        self.transport = transport
        self.host = host
        """As bound: it may be "any address"."""
        self.port = port
        self.sent_by: str = sent_by or format_host_port(host, port)
        """ "host:port" for Via, Contact and Record-Route; of "any address" where no other was given."""
        self.datagrams: SIPDatagramProtocol | None = None
        """The protocol of a UDP listener."""
        self.inherited = False
        """Whether the service manager has bound it, and keeps it open."""
        self.listening: Any = None
        """Twisted's IListeningPort."""
        self._stopped: Deferred[Any] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is listened on still; a socket that fails is closed."""
        return self._stopped is None and bool(getattr(self.listening, "connected", True))

    def stop(self) -> Deferred[Any]:
        """Listen no more."""
        if self._stopped is None:
            self._stopped = maybeDeferred(self.listening.stopListening)
        return self._stopped

    def __repr__(self) -> str:
        return f"<Listener {ListenAddress(self.transport, self.host, self.port)}>"


class TransportLayer:
    """All sockets of one element.

    `reactor` provides IReactorTime, IReactorTCP and IReactorUDP; with IReactorFDSet too, UDP works in batches
    unless `batch` is false. The receiver may be set later; until then what arrives is dropped. `counters` are
    read by metrics. `websocket` says who may open a WebSocket; it may be changed while listening.

    `route` tells from which address of ours the kernel would send to another, `owns` whether an address is
    ours; both matter only where "any address" is listened on. An address that one of the `inherited`
    sockets is bound to is listened on with that.
    """

    def __init__(
        self,
        reactor: Any,
        receiver: IMessageReceiver | None = None,
        *,
        limits: TransportLimits | None = None,
        guard: Guard | None = None,
        tls: TLSContexts | None = None,
        force_rport: bool = False,
        websocket: WebSocketRules | None = None,
        batch: bool = True,
        datagram_protocol: type[SIPDatagramProtocol] = SIPDatagramProtocol,
        stream_protocol: type[SIPStreamProtocol] = SIPStreamProtocol,
        route: Callable[[str], str | None] = source_address,
        owns: Callable[[str], bool] = has_address,
        inherited: InheritedSockets | None = None,
    ) -> None:
        self.intake = Intake(reactor, receiver, limits=limits, guard=guard, force_rport=force_rport)
        self.listeners: list[Listener] = []
        self.tls = tls
        self.websocket = websocket or WebSocketRules()
        self._reactor = reactor
        self._udp: Any = reactor
        if batch and IReactorFDSet.providedBy(reactor):
            limited = self.intake.limits
            self._udp = BatchUDP(reactor, limited.udp_buffer, limited.udp_gather)
        self._datagram_protocol = datagram_protocol
        self._stream_protocol = stream_protocol
        self._route = route
        self._owns = owns
        self._inherited = inherited or InheritedSockets()
        self._table = StreamTable(reactor, self.intake)
        self._pool = StreamPool()
        self._local: set[tuple[str, int | None, str | None]] = set()
        self._own_hosts: Recent[str, bool] = Recent(1024)
        self._choices: Recent[tuple[str, str], Listener] = Recent(4096)

    @property
    def receiver(self) -> IMessageReceiver | None:
        """Whoever takes the messages."""
        return self.intake.receiver

    @receiver.setter
    def receiver(self, receiver: IMessageReceiver | None) -> None:
        self.intake.receiver = receiver

    @property
    def guard(self) -> Guard:
        """Who may speak to us, and how often."""
        return self.intake.guard

    @property
    def counters(self) -> Counters:
        """Totals since the start."""
        return self.intake.counters

    @property
    def connections(self) -> int:
        """Stream connections, open or being opened."""
        return len(self._table)

    # -- listening

    def listen(self, address: ListenAddress, sent_by: str | None = None) -> Listener:
        """Bind at once.

        `sent_by` ("host:port") is what our Via says in place of the address itself, as behind a NAT whose
        outside is known. Raises `ListenError`, one line with the address and the reason.
        """
        transport, host, port = address
        listener = Listener(transport, host, port, sent_by)
        said = sent_by or (None if is_wildcard(host) or not port else listener.sent_by)
        try:
            if transport == "UDP":
                protocol = self._datagram_protocol(
                    self._reactor, intake=self.intake, sent_by=sent_by, route=self._route
                )
                listener.datagrams = protocol
                if isinstance(self._udp, BatchUDP):
                    self._udp.inherited = opened = self._inherited.take("udp", host, port)
                    listener.inherited = opened is not None
                listener.listening = self._udp.listenUDP(port, protocol, host, _MAX_PACKET)
            else:
                factory = self._factory(transport, address, said)
                opened = self._inherited.take("tcp", host, port)
                listener.inherited = opened is not None
                listener.listening = listen_stream(self._reactor, port, factory, host, opened)
        except CannotListenError as error:
            raise ListenError(str(address), explain(error.socketError)) from None
        listener.port = listener.listening.getHost().port
        listener.sent_by = sent_by or format_host_port(host, listener.port)
        self.listeners.append(listener)
        self._choices.clear()
        self._note_local(listener)
        return listener

    def _factory(self, transport: str, address: ListenAddress, sent_by: str | None) -> Any:
        factory = SIPStreamFactory(
            self._reactor,
            protocol=self._websocket_protocol(address)
            if transport in ("WS", "WSS")
            else self._stream_protocol,
            sent_by=sent_by,
            intake=self.intake,
            table=self._table,
            opened=self._pool.add,
        )
        if transport not in ("TLS", "WSS"):
            return factory
        if self.tls is None or not self.tls.can_listen:
            raise ListenError(str(address), "TLS needs a certificate and a private_key")
        return TLSFactory(self.tls.server(), False, factory, self._reactor)

    def _websocket_protocol(self, address: ListenAddress) -> Callable[..., SIPStreamProtocol]:
        try:
            from rvoip.protocols.transport.websocket_stream import SIPWebSocketProtocol
        except ImportError as error:
            reason = f"WebSocket needs the extra ws: pip install 'rvoip[ws]' ({error})"
            raise ListenError(str(address), reason) from None
        return partial(SIPWebSocketProtocol, rules=self.websocket)

    def _note_local(self, listener: Listener) -> None:
        said, _, digits = listener.sent_by.rpartition(":")
        places = {
            (listener.host, listener.port),
            (said.strip("[]"), int(digits) if digits.isdigit() else None),
        }
        for host, port in places:
            for transport in (listener.transport, None):
                self._local.add((host, port, transport))
                # Without a port and a transport a URI leads to 5060 or 5061.
                named = transport is not None or listener.transport not in ("WS", "WSS")
                if named and port == default_port(listener.transport):
                    self._local.add((host, None, transport))

    def is_local(self, host: str, port: int | None, transport: str | None = None) -> bool:
        """Whether a host of a URI or Via is an address that we listen on.

        `port` None stands for the default port of the transport, `transport` None for any.
        """
        if (host, port, transport) in self._local:
            return True
        numeric = canonical_host(host)
        if numeric is None:
            return False
        if transport is not None:
            transport = transport.upper()
        if (numeric, port, transport) in self._local:
            return True
        return any(
            is_wildcard(listener.host)
            and (":" in listener.host) == (":" in numeric)
            and transport in (None, listener.transport)
            and listener.port == (default_port(listener.transport) if port is None else port)
            and self._own_hosts.find_or(numeric, self._owns)
            for listener in self.listeners
        )

    def is_loop(self, sent: Flow, received: Flow) -> bool:
        """Whether what was sent on one flow came back to us on the other: both are ends of one path."""
        if sent.local[1] != received.remote[1] or sent.transport != received.transport:
            return False
        here = received.remote[0]
        return sent.local[0] == here or (
            is_wildcard(sent.local[0]) and self._own_hosts.find_or(here, self._owns)
        )

    # -- flows

    def flow_to(self, target: Target) -> Flow:
        """The flow to a target, at once.

        UDP: from the listener that reaches it. TCP and TLS: over a connection that leads there, else over a
        new one, which queues what is sent until it is open and closes with a reason when it does not open.
        WebSockets are only opened by clients: what they registered from is found by its token.
        Where nothing can be sent the flow is closed from the start, and its `send` says why.
        """
        transport, host, port, _ = target
        if transport == "UDP":
            listener = self._listener_for("UDP", host)
            if listener is None or listener.datagrams is None:
                return RefusedFlow(target, f"there is no UDP listener from which to reach {host}")
            return listener.datagrams.flow_to((host, port))
        if transport not in ("TCP", "TLS"):
            return RefusedFlow(target, f"nothing can be connected to over {transport}")
        found = self._pool.find(target)
        if found is not None:
            return found
        reason = unusable(host, port)
        if reason is None and transport == "TLS" and self.tls is None:
            reason = "TLS is not configured"
        if reason is None and self._table.full:
            reason = "there are too many connections"
        if reason is not None:
            return RefusedFlow(target, reason)
        return self._connect(target)

    def _connect(self, target: Target) -> StreamFlow:
        host = target.host
        listener = self._listener_for(target.transport, host)
        local = "" if listener is None or is_wildcard(listener.host) else listener.host
        if listener is None:
            # Nobody can connect back; the host alone is as much as can be said.
            others = self._listener_for("TCP", host) or self._listener_for("UDP", host)
            sent_by = (
                self._sent_by(others, host) if others else format_host_port(self._route(host) or "", None)
            )
        else:
            sent_by = self._sent_by(listener, host)
        flow = connect(
            self._reactor,
            target,
            local=local,
            sent_by=sent_by,
            intake=self.intake,
            table=self._table,
            tls=self.tls,
            make=self._stream_protocol,
        )
        self._pool.add(flow)
        return flow

    def _sent_by(self, listener: Listener, host: str) -> str:
        own = format_host_port(listener.host, listener.port)
        if is_wildcard(listener.host) and listener.sent_by == own:
            return format_host_port(self._route(host) or listener.host, listener.port)
        return listener.sent_by

    def _listener_for(self, transport: str, host: str) -> Listener | None:
        """The listener of a transport from whose address a host is reached."""
        listener = self._choices.young.get((transport, host))
        if listener is None:
            listener = self._choices.get((transport, host)) or self._choose(transport, host)
            if listener is not None:
                self._choices.put((transport, host), listener)
        return listener

    def _choose(self, transport: str, host: str) -> Listener | None:
        loopback = is_loopback(host)
        fit = [
            listener
            for listener in self.listeners
            if listener.transport == transport and (":" in listener.host) == (":" in host)
        ]
        reaching = [
            listener
            for listener in fit
            if is_wildcard(listener.host) or is_loopback(listener.host) == loopback
        ]
        if len(reaching) > 1:
            source = self._route(host)
            for listener in reaching:
                if listener.host == source:
                    return listener
        # A host of our own that is no loopback address can be reached from one, too.
        found = reaching or fit
        return found[0] if found else None

    def flow_by_token(self, token: str) -> Flow | None:
        """The flow of this token (`Flow.token`), or None when it is no more; a UDP flow is made anew."""
        if not token.startswith("udp/"):
            return self._pool.by_token(token)
        here, _, there = token.removeprefix("udp/").partition("/")
        local, remote = _split(here), _split(there)
        if local is None or remote is None:
            return None
        for listener in self.listeners:
            if listener.datagrams is None or listener.port != local[1]:
                continue
            if listener.host == local[0] or (
                is_wildcard(listener.host) and (":" in listener.host) == (":" in local[0])
            ):
                flow = listener.datagrams.flow_to(remote)
                return None if flow.closed else flow
        return None

    def sized_target(self, target: Target, size: int) -> Target:
        """Where a request of this size should go (RFC 3261 section 18.1.1).

        Over 1300 octets, our Via included, a request that would go over UDP goes over TCP. Whoever sends it
        keeps the UDP target: when the TCP connection is refused or fails, it sends the request there after
        all.
        """
        if target.transport != "UDP" or size <= UDP_SAFE:
            return target
        return target._replace(transport="TCP")

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Send what is sent inside over UDP as a batch at the end; for answers to many requests at once."""
        with ExitStack() as stack:
            for listener in self.listeners:
                if isinstance(listener.listening, BatchPort):
                    stack.enter_context(listener.listening.held())
            yield

    # -- the end

    def stop_accepting(self) -> None:
        """Accept no new connections; those that are open, and UDP, go on."""
        for listener in self.listeners:
            if listener.datagrams is None:
                listener.stop()

    def stop(self) -> Deferred[None]:
        """Close everything; fires when it is done, after two seconds at the latest."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.stop_accepting()
        emptied = self._table.when_empty()
        for flow in self._table:
            flow.shut("stopped")
        late = self._reactor.callLater(STOP_TIMEOUT, self._abort_all)
        await emptied
        if late.active():
            late.cancel()
        for listener in self.listeners:
            await listener.stop()

    def _abort_all(self) -> None:
        for flow in self._table:
            flow.shut("stopped", abort=True)


def _split(text: str) -> tuple[str, int] | None:
    """(host, port) of ``host:port`` as `format_host_port` writes it, or None."""
    host, _, digits = text.rpartition(":")
    numeric = canonical_host(host.strip("[]"))
    if numeric is None or not (digits.isascii() and digits.isdigit()) or len(digits) > 5:
        return None
    return numeric, int(digits)
