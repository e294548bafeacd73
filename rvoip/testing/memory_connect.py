"""How TCP connections in memory come about: listening ports and connectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    CannotListenError,
    ConnectBindError,
    ConnectionRefusedError,
    DNSLookupError,
    NotConnectingError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IConnector, IDelayedCall, IListeningPort
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.testing.memory_stream import MemoryConnection
from rvoip.testing.memory_wire import Endpoint, canonical, transport_address

if TYPE_CHECKING:
    from rvoip.testing.memory_reactor import MemoryReactor

__all__ = ["MemoryConnector", "MemoryListeningPort"]


@implementer(IListeningPort)
class MemoryListeningPort:
    """What `MemoryReactor.listenTCP` returns."""

    _log = Logger()

    def __init__(self, reactor: MemoryReactor, port: int, factory: Any, interface: str) -> None:
        self.factory = factory
        self.interface = canonical(interface) if interface else "0.0.0.0"
        self._reactor = reactor
        self._wanted = port
        self._endpoint: Endpoint | None = None
        self._accepting = False
        self._stopped: Deferred[None] | None = None

    def __repr__(self) -> str:
        return f"<MemoryListeningPort {self._endpoint} of {self._reactor.name}: {self.factory!r}>"

    def startListening(self) -> None:
        """Bind; `CannotListenError` when the address is taken or not one of this host."""
        try:
            self._endpoint = self._reactor.bind("TCP", self.interface, self._wanted, self)
        except OSError as error:
            raise CannotListenError(self.interface, self._wanted, error) from None
        self._accepting = True
        self.factory.doStart()

    def stopListening(self) -> Deferred[None] | None:
        """Accept no more at once; unbind, and fire, in the next turn. Connections live on."""
        if self._endpoint is None:
            return None
        self._accepting = False
        if self._stopped is None:
            self._stopped = Deferred()
            self._reactor.wire.clock.callLater(0, self._close)
        return self._stopped

    loseConnection = stopListening

    def _close(self) -> None:
        if self._endpoint is None:
            return
        self._reactor.unbind("TCP", self._endpoint)
        self._endpoint = None
        self.factory.doStop()
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.callback(None)

    def vanish(self) -> None:
        """Go without a word to the factory, as with a killed process."""
        self._accepting = False
        self._endpoint = None
        self._stopped = None

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address that it is bound to; after the end, the one it asked for."""
        return transport_address("TCP", self._endpoint or (self.interface, self._wanted))

    def accept(self, server: MemoryConnection, client: MemoryConnection) -> None:
        """A connection is established from the peer's side: give it a protocol."""
        if not self._accepting:
            server.vanish()
            return
        try:
            protocol = self.factory.buildProtocol(server.getPeer())
        except Exception:
            self._log.failure("while {factory!r} built a protocol", factory=self.factory)
            protocol = None
        if protocol is None:
            server.decline()
        else:
            server.attach(protocol)


@implementer(IConnector)
class MemoryConnector:
    """What `MemoryReactor.connectTCP` returns; the factory hears from it as from Twisted's."""

    _log = Logger()

    def __init__(
        self,
        reactor: MemoryReactor,
        host: str,
        port: int,
        factory: Any,
        timeout: float | None,
        bind_address: Endpoint | None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise OverflowError("connect(): port must be 0-65535.")
        self.state = "disconnected"
        self.host = host
        self.port = port
        self.factory = factory
        self.timeout = timeout
        self.bind_address = bind_address
        self.transport: MemoryConnection | None = None
        self._reactor = reactor
        self._attempt = 0
        self._timer: IDelayedCall | None = None
        self._factory_started = False

    def connect(self) -> None:
        """Begin, or begin again after a failure."""
        if self.state != "disconnected":
            raise RuntimeError("can't connect in this state")
        self.state = "connecting"
        self._attempt += 1
        self._reactor.connector_begun(self)
        if not self._factory_started:
            self._factory_started = True
            self.factory.doStart()
        if self.timeout is not None:
            self._timer = self._reactor.wire.clock.callLater(
                self.timeout, self._fail, self._attempt, TimeoutError()
            )
        self._reactor.wire.clock.callLater(0, self._dial, self._attempt)
        self.factory.startedConnecting(self)

    def stopConnecting(self) -> None:
        """Give up an attempt under way."""
        if self.state != "connecting":
            raise NotConnectingError("we're not trying to connect")
        self._fail(self._attempt, UserError())

    def disconnect(self) -> None:
        """Give up the attempt, or close the connection."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self.state == "connected" and self.transport is not None:
            self.transport.loseConnection()

    def getDestination(self) -> IPv4Address | IPv6Address:
        """Where to, as it was asked for."""
        return transport_address("TCP", (self.host, self.port))

    def vanish(self) -> None:
        """End without a word to the factory, as with a killed process."""
        self._cancel_timer()
        self._attempt += 1
        self.state = "disconnected"

    def _under_way(self, attempt: int) -> bool:
        return self.state == "connecting" and attempt == self._attempt

    def _dial(self, attempt: int) -> None:
        if not self._under_way(attempt):
            return
        reactor = self._reactor
        address = reactor.lookup(self.host)
        if address is None:
            self._fail(attempt, DNSLookupError(f"{self.host} is not among the names of this reactor"))
            return
        try:
            local = reactor.client_endpoint(address, self.bind_address)
        except OSError as error:
            self._fail(attempt, ConnectBindError(error.errno, str(error)))
            return
        remote = (address, self.port)
        target = reactor.wire.owner(reactor, address)
        if target is None:
            # No one is there to answer; the attempt times out.
            return
        client = MemoryConnection(reactor, local, remote)
        server = MemoryConnection(target, remote, local)
        client.join(server, target)
        server.join(client, reactor)
        client.carry(lambda: self._dialled(attempt, client, server, target))

    def _dialled(
        self, attempt: int, client: MemoryConnection, server: MemoryConnection, target: MemoryReactor
    ) -> None:
        """At the other end: the first packet of the connection is there."""
        port = target.bound_port("TCP", client.remote)
        if not isinstance(port, MemoryListeningPort):
            server.carry(lambda: self._fail(attempt, ConnectionRefusedError()))
        else:
            server.carry(lambda: self._established(attempt, client, server, port))

    def _established(
        self, attempt: int, client: MemoryConnection, server: MemoryConnection, port: MemoryListeningPort
    ) -> None:
        """Here: the answer is there. The other side accepts when our answer to it arrives."""
        if not self._under_way(attempt):
            return
        self._cancel_timer()
        self.state = "connected"
        self.transport = client
        client.after_end = self._over
        client.carry(lambda: port.accept(server, client))
        try:
            protocol = self.factory.buildProtocol(client.getPeer())
        except Exception:
            self._log.failure("while {factory!r} built a protocol", factory=self.factory)
            protocol = None
        if protocol is None:
            client.attach(Protocol())
            client.loseConnection()
        else:
            client.attach(protocol)

    def _fail(self, attempt: int, error: Exception) -> None:
        if not self._under_way(attempt):
            return
        self._cancel_timer()
        self.state = "disconnected"
        self._reactor.connector_over(self)
        self.factory.clientConnectionFailed(self, Failure(error))
        self._stop_factory()

    def _over(self, reason: Failure) -> None:
        self.state = "disconnected"
        self.transport = None
        self._reactor.connector_over(self)
        self.factory.clientConnectionLost(self, reason)
        self._stop_factory()

    def _stop_factory(self) -> None:
        # The factory may have called connect() again.
        if self.state == "disconnected" and self._factory_started:
            self._factory_started = False
            self.factory.doStop()

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
