"""Captured messages on their way to a collector: HEP3 over UDP or TCP, never waited for."""

from __future__ import annotations

from typing import Any, Final

from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.trace.hep import HEPPacket, build

__all__ = ["HEPSender"]

_RESOLVE: Final = 300.0
"""Seconds after which the collector's name is looked up anew, for UDP."""

_log = Logger()


class HEPSender(Service):
    """Sends packets to a collector as long as it runs: `transport` is "udp" or "tcp".

    What cannot be sent at once, because the collector is slow or not there, is `lost`: a call does not wait
    for its trace.
    """

    name = "hep"

    def __init__(self, reactor: Any, transport: str, host: str, port: int) -> None:
        self._reactor = reactor
        self._way: _UDP | _TCP = (_TCP if transport == "tcp" else _UDP)(reactor, host, port)
        self.sent = 0
        self.lost = 0

    def send(self, packet: HEPPacket) -> None:
        """Send, or count as lost. Nothing is raised."""
        if self._way.send(build(packet)):
            self.sent += 1
        else:
            self.lost += 1

    def startService(self) -> None:
        """Begin to send."""
        super().startService()
        self._way.start()

    def stopService(self) -> Deferred[None]:
        """Close."""
        super().stopService()
        return self._way.stop()


class _UDP(DatagramProtocol):
    noisy = False

    def __init__(self, reactor: Any, host: str, port: int) -> None:
        self._reactor = reactor
        self._host = host
        self._to_port = port
        self._to: tuple[str, int] | None = None
        self._port: Any = None
        self._loop = LoopingCall(self._resolve)
        self._loop.clock = reactor

    def start(self) -> None:
        six = isIPv6Address(self._host)
        self._port = self._reactor.listenUDP(0, self, interface="::" if six else "")
        if six or isIPAddress(self._host):
            self._to = (self._host, self._to_port)
        else:
            self._loop.start(_RESOLVE)

    def _resolve(self) -> Deferred[None]:
        def found(address: str) -> None:
            self._to = (address, self._to_port)

        def failed(failure: Failure) -> None:
            _log.warn(
                "The HEP collector {host} is not found: {reason}",
                host=self._host,
                reason=failure.getErrorMessage(),
            )

        resolved: Deferred[str] = self._reactor.resolve(self._host)
        return resolved.addCallbacks(found, failed)

    def send(self, data: bytes) -> bool:
        if self._to is None or self.transport is None:
            return False
        try:
            self.transport.write(data, self._to)
        except (OSError, ValueError, OverflowError, MessageLengthError):
            return False
        return True

    def stop(self) -> Deferred[None]:
        if self._loop.running:
            self._loop.stop()
        port, self._port, self._to = self._port, None, None
        return succeed(None) if port is None else maybeDeferred(port.stopListening)


@implementer(IPushProducer)
class _Connection(Protocol):
    """A connection that takes packets while the collector reads them."""

    def __init__(self, way: _TCP) -> None:
        self._way = way
        self.taking = False

    def connectionMade(self) -> None:
        self.taking = True
        self._transport("registerProducer", self, True)
        self._way.connection = self

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.taking = False
        self._way.connection = None

    def close(self) -> None:
        """Take nothing more, and wait for no collector that does not read."""
        is_stuck, self.taking = not self.taking, False
        self._transport("unregisterProducer")  # with one the transport does not close
        if is_stuck:
            self._transport("abortConnection")

    def _transport(self, method: str, *arguments: object) -> None:
        getattr(self.transport, method)(*arguments)

    def pauseProducing(self) -> None:
        self.taking = False

    def resumeProducing(self) -> None:
        self.taking = True

    def stopProducing(self) -> None:
        self.taking = False


class _Connecting(Factory):
    noisy = False

    def __init__(self, way: _TCP) -> None:
        self._way = way

    def buildProtocol(self, addr: IAddress | None) -> _Connection:
        return _Connection(self._way)


class _TCP:
    def __init__(self, reactor: Any, host: str, port: int) -> None:
        self.connection: _Connection | None = None
        endpoint = HostnameEndpoint(reactor, host.encode(), port)
        self._service = ClientService(endpoint, _Connecting(self), clock=reactor)

    def start(self) -> None:
        self._service.startService()

    def send(self, data: bytes) -> bool:
        connection = self.connection
        if connection is None or not connection.taking or connection.transport is None:
            return False
        connection.transport.write(data)
        return True

    def stop(self) -> Deferred[None]:
        if self.connection is not None:
            self.connection.close()
        stopped: Deferred[None] = maybeDeferred(self._service.stopService)
        return stopped
