"""Messages that other elements have captured: HEP3 over UDP and TCP, checked and handed on."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.common.errors import StartError
from rvoip.common.log import LogLimiter
from rvoip.trace.hep import HEPError, HEPPacket, parse, read_length

__all__ = ["HEPListener"]

_MOST_CONNECTIONS: Final = 64

_log = Logger()


class HEPListener(Service):
    """Listens at one address, for UDP and TCP; `received` gets each packet that is in order.

    With a `key`, packets without it are refused. `refused` counts these and what is no HEP3; a line an
    address in 10 seconds says so. StartError when the address cannot be had.
    """

    name = "hep-in"

    def __init__(
        self, reactor: Any, host: str, port: int, key: bytes, received: Callable[[HEPPacket], object]
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._number = port
        self._key = key
        self._hand_on = received
        self._lines = LogLimiter(reactor.seconds)
        self._ports: list[Any] = []
        self.received = 0
        self.refused = 0
        self.connections = 0

    def privilegedStartService(self) -> None:
        """Bind both."""
        super().privilegedStartService()
        factory = _Factory(self)
        try:
            udp = self._reactor.listenUDP(
                self._number, _Datagrams(self), interface=self._host, maxPacketSize=65535
            )
            self._ports.append(udp)
            self._ports.append(self._reactor.listenTCP(udp.getHost().port, factory, interface=self._host))
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
            raise StartError(f"[trace] hep_listen {self._host}:{self._number}: {reason}") from None

    @property
    def port(self) -> int:
        """The port that was bound."""
        number: int = self._ports[0].getHost().port
        return number

    def stopService(self) -> Deferred[list[Any]]:
        """Listen no more."""
        super().stopService()
        ports, self._ports = self._ports, []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])

    def take(self, data: bytes, peer: str) -> bool:
        """One packet from a peer; tells whether it was in order."""
        try:
            packet = parse(data)
            if self._key and not hmac.compare_digest(packet.key, self._key):
                raise HEPError("the key is not ours")
        except HEPError as error:
            self.refuse(peer, str(error))
            return False
        self.received += 1
        self._hand_on(packet)
        return True

    def refuse(self, peer: str, reason: str) -> None:
        """Count what is not taken."""
        self.refused += 1
        suppressed = self._lines.allow(peer)
        if suppressed is not None:
            _log.warn("HEP from {peer} refused: {reason}", peer=peer, reason=reason, suppressed=suppressed)


class _Datagrams(DatagramProtocol):
    noisy = False

    def __init__(self, listener: HEPListener) -> None:
        self._listener = listener

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._listener.take(datagram, addr[0])


class _Stream(Protocol):
    """Packets one after another; the first that is none closes the connection."""

    def __init__(self, listener: HEPListener, peer: str) -> None:
        self._listener = listener
        self._peer = peer
        self._buffer = b""

    def dataReceived(self, data: bytes) -> None:
        buffer = self._buffer + data
        while len(buffer) >= 6:
            try:
                length = read_length(buffer)
            except HEPError as error:
                self._listener.refuse(self._peer, str(error))
                self._close()
                return
            if len(buffer) < length:
                break
            if not self._listener.take(buffer[:length], self._peer):
                self._close()
                return
            buffer = buffer[length:]
        self._buffer = buffer

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._listener.connections -= 1

    def _close(self) -> None:
        self._buffer = b""
        if self.transport is not None:
            self.transport.loseConnection()


class _Factory(Factory):
    noisy = False

    def __init__(self, listener: HEPListener) -> None:
        self._listener = listener

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        listener = self._listener
        if listener.connections >= _MOST_CONNECTIONS:
            return None
        listener.connections += 1
        return _Stream(listener, getattr(addr, "host", "?"))
