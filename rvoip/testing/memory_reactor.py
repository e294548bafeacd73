"""A reactor in memory: time, TCP, TLS, UDP and threads, with real delivery and no socket."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, fail, maybeDeferred, succeed
from twisted.internet.error import DNSLookupError, ReactorAlreadyRunning, ReactorNotRunning
from twisted.internet.interfaces import (
    IDelayedCall,
    IHostnameResolver,
    IReactorCore,
    IReactorPluggableNameResolver,
    IReactorSSL,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUDP,
)
from twisted.internet.protocol import AbstractDatagramProtocol
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.testing.memory_clock import MemoryClock
from rvoip.testing.memory_connect import MemoryConnector, MemoryListeningPort
from rvoip.testing.memory_datagram import MemoryDatagramPort
from rvoip.testing.memory_names import MemoryNameResolver
from rvoip.testing.memory_stream import MemoryConnection
from rvoip.testing.memory_threads import MemoryThreadPool
from rvoip.testing.memory_wire import Endpoint, Loopback, Wire, canonical

__all__ = ["MemoryReactor"]

_T = TypeVar("_T")
_WILDCARDS = ("0.0.0.0", "::")


@implementer(
    IReactorCore,
    IReactorPluggableNameResolver,
    IReactorSSL,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUDP,
)
class MemoryReactor:
    """
    What a test hands to code that wants a reactor.

    `connectTCP` and `connectSSL` reach what `listenTCP` and `listenSSL` of the same reactor opened, and UDP
    ports reach each other, by numeric IPv4 and IPv6 addresses; TLS is real. Nothing moves until the test says
    `advance()`: `advance(0)` delivers all that is under way and runs what is due now.

    Alone, it has every address. As a host of a `rvoip.testing.network.SimulatedNetwork` it has the addresses
    it was given there, and a loopback (127.0.0.0/8, ::1) of its own. A port bound to "::" takes IPv6 only.

    (`twisted.internet.endpoints.wrapClientTLS` does not fit: it writes by the global reactor's clock.)

    `names` maps host names to addresses for `connectTCP` and the name resolver. What a protocol or a delayed
    call raises is logged, as by the real reactors, so a trial test fails of it.
    """

    _log = Logger()

    def __init__(
        self,
        clock: Clock | None = None,
        wire: Wire | None = None,
        addresses: Sequence[str] | None = None,
        name: str = "memory",
    ) -> None:
        if clock is None:
            clock = MemoryClock() if wire is None else wire.clock
        self.clock: Clock = clock
        self.wire: Wire = Loopback(clock) if wire is None else wire
        #: The addresses of this host, the main one of each family first; None: every address.
        self.addresses = None if addresses is None else [canonical(address) for address in addresses]
        self.name = name
        self.names: dict[str, list[str]] = {"localhost": ["127.0.0.1", "::1"]}
        self.running = True
        self.nameResolver: IHostnameResolver = MemoryNameResolver(self.names)
        self._thread_pool = MemoryThreadPool(self)
        self._bound: dict[tuple[str, str, int], object] = {}
        self._connections: dict[MemoryConnection, None] = {}
        self._connectors: dict[MemoryConnector, None] = {}
        self._timers: list[IDelayedCall] = []
        self._prune_at = 64
        self._next_port = 49152
        self._triggers: list[tuple[str, str, Callable[[], object]]] = []

    def __repr__(self) -> str:
        return f"<MemoryReactor {self.name} at {self.seconds()} s>"

    # time: IReactorTime, and the hand that turns it

    def seconds(self) -> float:
        """The time of the clock."""
        return self.clock.seconds()

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """As `IReactorTime.callLater`."""
        call = self.clock.callLater(delay, callable, *args, **kw)
        self._timers.append(call)
        if len(self._timers) > self._prune_at:
            self._timers = [timer for timer in self._timers if timer.active()]
            self._prune_at = 64 + 2 * len(self._timers)
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """The pending calls of this reactor's users, the earliest first: not what is on the wire."""
        return sorted((timer for timer in self._timers if timer.active()), key=lambda timer: timer.getTime())

    def advance(self, amount: float = 0.0) -> None:
        """Let time pass (see `MemoryClock.advance`); for a host of a network, on the clock of all of them."""
        self.clock.advance(amount)

    def run_until(self, condition: Callable[[], bool], within: float = 64.0) -> bool:
        """See `MemoryClock.run_until`."""
        return self._memory_clock.run_until(condition, within)

    def result_of(
        self, awaitable: Deferred[_T] | Coroutine[Deferred[Any], Any, _T], within: float = 64.0
    ) -> _T:
        """See `MemoryClock.result_of`."""
        return self._memory_clock.result_of(awaitable, within)

    @property
    def _memory_clock(self) -> MemoryClock:
        if not isinstance(self.clock, MemoryClock):
            raise TypeError(f"this needs a MemoryClock, and the reactor was made with {self.clock!r}")
        return self.clock

    # IReactorUDP, IReactorTCP, IReactorSSL

    def listenUDP(
        self, port: int, protocol: AbstractDatagramProtocol, interface: str = "", maxPacketSize: int = 8192
    ) -> MemoryDatagramPort:
        """As `IReactorUDP.listenUDP`; port 0 is one from 49152 up."""
        bound = MemoryDatagramPort(self, port, protocol, interface, maxPacketSize)
        bound.startListening()
        return bound

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> MemoryListeningPort:
        """As `IReactorTCP.listenTCP`; port 0 is one from 49152 up."""
        listening = MemoryListeningPort(self, port, factory, interface)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float | None = 30.0,
        bindAddress: tuple[str, int] | None = None,
    ) -> MemoryConnector:
        """As `IReactorTCP.connectTCP`."""
        connector = MemoryConnector(self, host, port, factory, timeout, bindAddress)
        connector.connect()
        return connector

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> MemoryListeningPort:
        """As `IReactorSSL.listenSSL`, with real TLS."""
        wrapped = TLSMemoryBIOFactory(contextFactory, False, factory, clock=self)
        return self.listenTCP(port, wrapped, backlog, interface)

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: Any,
        contextFactory: Any,
        timeout: float | None = 30.0,
        bindAddress: tuple[str, int] | None = None,
    ) -> MemoryConnector:
        """As `IReactorSSL.connectSSL`, with real TLS."""
        wrapped = TLSMemoryBIOFactory(contextFactory, True, factory, clock=self)
        return self.connectTCP(host, port, wrapped, timeout, bindAddress)

    # IReactorThreads: there are none, so what is put into them runs in the next turn

    def callFromThread(self, callable: Callable[..., object], *args: object, **kw: object) -> None:
        """Run it in the next turn; safe from a real thread when the clock is a `MemoryClock`."""
        if isinstance(self.clock, MemoryClock):
            self.clock.call_from_thread(callable, *args, **kw)
        else:
            self.callLater(0, callable, *args, **kw)

    def callInThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Run it in the next turn, in the calling test's thread."""
        self._thread_pool.callInThread(callable, *args, **kwargs)

    def getThreadPool(self) -> Any:
        """A `MemoryThreadPool`, for `deferToThreadPool`."""
        return self._thread_pool

    def suggestThreadPoolSize(self, size: int) -> None:
        """There are no threads: nothing to do."""

    # IReactorCore

    def callWhenRunning(self, callable: Callable[..., object], *args: object, **kwargs: object) -> object:
        """Call it now: this reactor runs from the beginning."""
        if self.running:
            callable(*args, **kwargs)
            return None
        return self.addSystemEventTrigger("after", "startup", callable, *args, **kwargs)

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> object:
        """As `IReactorCore.addSystemEventTrigger`."""
        if phase not in ("before", "during", "after"):
            raise KeyError("invalid phase")
        trigger = (phase, eventType, lambda: callable(*args, **kwargs))
        self._triggers.append(trigger)
        return trigger

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """As `IReactorCore.removeSystemEventTrigger`."""
        self._triggers.remove(triggerID)

    def fireSystemEvent(self, eventType: str) -> None:
        """Run the triggers of an event; those "during" wait for the Deferreds of those "before"."""
        fired = [trigger for trigger in self._triggers if trigger[1] == eventType]
        self._triggers = [trigger for trigger in self._triggers if trigger[1] != eventType]

        def run(phase: str) -> list[Deferred[Any]]:
            started = [maybeDeferred(function) for when, _, function in fired if when == phase]
            for deferred in started:
                deferred.addErrback(self._trigger_failed, eventType)
            return started

        def rest(ignored: object) -> None:
            run("during")
            run("after")

        DeferredList(run("before")).addCallback(rest)

    def _trigger_failed(self, failure: Failure, event_type: str) -> None:
        self._log.failure("while the {event} triggers ran", failure, event=event_type)

    def run(self) -> None:
        """Start again after `stop()`: fires "startup" and returns; time is for the test to turn."""
        if self.running:
            raise ReactorAlreadyRunning()
        self.running = True
        self.fireSystemEvent("startup")

    def stop(self) -> None:
        """Fire "shutdown"."""
        if not self.running:
            raise ReactorNotRunning("Can't stop reactor that isn't running.")
        self.running = False
        self.fireSystemEvent("shutdown")

    def crash(self) -> None:
        """Be no longer running, and fire nothing. (`kill()` ends all that the reactor serves.)"""
        self.running = False

    def iterate(self, delay: float = 0.0) -> None:
        """The same as `advance(delay)`."""
        self.advance(delay)

    def resolve(self, name: str, timeout: Sequence[int] = (1, 3, 11, 45)) -> Deferred[str]:
        """The first address of a name in `names`."""
        address = self.lookup(name)
        if address is None:
            return fail(DNSLookupError(f"{name} is not among the names of this reactor"))
        return succeed(address)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Put another in the place of the one that reads `names`."""
        previous, self.nameResolver = self.nameResolver, resolver
        return previous

    # what the tests ask and do beyond a reactor's interfaces

    @property
    def connections(self) -> list[MemoryConnection]:
        """This side of each open TCP connection, the oldest first."""
        return list(self._connections)

    @property
    def connecting(self) -> list[MemoryConnector]:
        """The connectors whose attempt is under way, the oldest first."""
        return [connector for connector in self._connectors if connector.state == "connecting"]

    @property
    def ports(self) -> list[MemoryDatagramPort | MemoryListeningPort]:
        """The bound ports, the oldest first."""
        return [
            port
            for port in self._bound.values()
            if isinstance(port, MemoryDatagramPort | MemoryListeningPort)
        ]

    def kill(self) -> None:
        """
        What `kill -9` does to the process that runs on this reactor.

        No callback runs: its timers are forgotten, its ports unbound, and the system resets its connections.
        The reactor can then serve the next process.
        """
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()
        self._triggers.clear()
        for port in self.ports:
            port.vanish()
        self._bound.clear()
        for connector in list(self._connectors):
            connector.vanish()
        self._connectors.clear()
        for connection in list(self._connections):
            connection.vanish()
        self._connections.clear()
        self.running = True

    # addresses and ports, for the transports and the wire

    def has_address(self, address: str) -> bool:
        """Whether a canonical numeric address is one of this host's."""
        return (
            self.addresses is None
            or address in self.addresses
            or address == "::1"
            or address.startswith("127.")
        )

    def lookup(self, host: str) -> str | None:
        """The canonical address of a numeric host or of a name in `names`."""
        try:
            return canonical(host)
        except ValueError:
            found = self.names.get(host.lower())
            return canonical(found[0]) if found else None

    def bind(self, kind: str, address: str, port: int, owner: object) -> Endpoint:
        """Take a "TCP" or "UDP" address; OSError as the system's `bind`."""
        if not 0 <= port <= 65535:
            raise OverflowError("bind(): port must be 0-65535.")
        if address not in _WILDCARDS and not self.has_address(address):
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        if port == 0:
            port = self._free_port(kind, address)
        elif self._taken(kind, address, port):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._bound[kind, address, port] = owner
        return address, port

    def unbind(self, kind: str, endpoint: Endpoint) -> None:
        """Give it back."""
        self._bound.pop((kind, *endpoint), None)

    def _taken(self, kind: str, address: str, port: int) -> bool:
        family = ":" in address
        return any(
            bound_kind == kind
            and bound_port == port
            and (":" in bound) == family
            and (bound == address or bound in _WILDCARDS or address in _WILDCARDS)
            for bound_kind, bound, bound_port in self._bound
        )

    def _free_port(self, kind: str, address: str) -> int:
        for _ in range(65536 - 49152):
            port, self._next_port = self._next_port, self._next_port + 1
            if self._next_port > 65535:
                self._next_port = 49152
            if not self._taken(kind, address, port):
                return port
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    def bound_port(self, kind: str, endpoint: Endpoint) -> object | None:
        """What is bound to an address, or to all addresses of its family, and its port."""
        address, port = endpoint
        found = self._bound.get((kind, address, port))
        if found is None:
            found = self._bound.get((kind, "::" if ":" in address else "0.0.0.0", port))
        return found

    def source_address(self, bound: str, destination: str) -> str:
        """The address that a packet to `destination` gets from a socket bound to `bound`."""
        if bound not in _WILDCARDS:
            return bound
        if destination.startswith("127."):
            return "127.0.0.1"  # whichever loopback address it goes to, as on Linux
        if self.addresses is None or self.has_address(destination):
            return destination
        for address in self.addresses:
            if (":" in address) == (":" in destination):
                return address
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    def client_endpoint(self, destination: str, wanted: Endpoint | None) -> Endpoint:
        """The local end of a new connection; OSError when `wanted` cannot be had."""
        host, port = wanted or ("", 0)
        address = canonical(host) if host else ("::" if ":" in destination else "0.0.0.0")
        if address in _WILDCARDS:
            address = self.source_address(address, destination)
        elif not self.has_address(address):
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return address, port or self._free_port("TCP", address)

    def datagram_arrived(self, source: Endpoint, destination: Endpoint, data: bytes) -> bool:
        """From the wire: a datagram. False: no one listens there."""
        port = self.bound_port("UDP", destination)
        if not isinstance(port, MemoryDatagramPort):
            return False
        port.arrived(source, data)
        return True

    def datagram_refused(self, source: Endpoint, destination: Endpoint) -> None:
        """From the wire: no one listens at `destination`, to which `source` of this host sent."""
        port = self.bound_port("UDP", source)
        if isinstance(port, MemoryDatagramPort):
            port.refused(destination)

    def connector_begun(self, connector: MemoryConnector) -> None:
        """Keep it in the list of those under way."""
        self._connectors[connector] = None

    def connector_over(self, connector: MemoryConnector) -> None:
        """Take it out."""
        self._connectors.pop(connector, None)

    def connection_made(self, connection: MemoryConnection) -> None:
        """Keep it in the list of the open ones."""
        self._connections[connection] = None

    def connection_over(self, connection: MemoryConnection) -> None:
        """Take it out."""
        self._connections.pop(connection, None)
