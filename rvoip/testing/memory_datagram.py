"""A UDP port in memory, with the habits of Twisted's own."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from twisted.internet.protocol import AbstractDatagramProtocol
from twisted.logger import Logger
from zope.interface import implementer

from rvoip.testing.memory_wire import Endpoint, canonical, transport_address

if TYPE_CHECKING:
    from rvoip.testing.memory_reactor import MemoryReactor

__all__ = ["MAX_DATAGRAM", "MemoryDatagramPort"]

#: Bytes that fit into one UDP datagram over IPv4.
MAX_DATAGRAM = 65507


@implementer(IListeningPort, IUDPTransport)
class MemoryDatagramPort:
    """
    What `MemoryReactor.listenUDP` returns.

    As with the real one, a datagram longer than `maxPacketSize` is cut without a word, `write` takes numeric
    addresses only and raises what `twisted.internet.udp.Port.write` raises, and what a protocol raises is
    logged and the port lives on.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: MemoryReactor,
        port: int,
        protocol: AbstractDatagramProtocol,
        interface: str,
        max_packet_size: int,
    ) -> None:
        if interface and not isIPAddress(interface) and not isIPv6Address(interface):
            raise InvalidAddressError(interface, "not an IPv4 or IPv6 address.")
        self.protocol = protocol
        self.interface = canonical(interface) if interface else "0.0.0.0"
        self.maxPacketSize = max_packet_size
        self._reactor = reactor
        self._wanted = port
        self._endpoint: Endpoint | None = None
        self._peer: Endpoint | None = None
        self._reading = False
        self._broadcast = False
        self._stopped: Deferred[None] | None = None

    def __repr__(self) -> str:
        return f"<MemoryDatagramPort {self._endpoint} of {self._reactor.name}: {self.protocol!r}>"

    # IListeningPort

    def startListening(self) -> None:
        """Bind; `CannotListenError` when the address is taken or not one of this host."""
        try:
            self._endpoint = self._reactor.bind("UDP", self.interface, self._wanted, self)
        except OSError as error:
            raise CannotListenError(self.interface, self._wanted, error) from None
        self._reading = True
        self.protocol.makeConnection(self)

    def stopListening(self) -> Deferred[None] | None:
        """Read no more at once; unbind, and fire, in the next turn of the reactor."""
        if self._endpoint is None:
            return None
        self._reading = False
        if self._stopped is None:
            self._stopped = Deferred()
            self._reactor.wire.clock.callLater(0, self._close)
        return self._stopped

    def _close(self) -> None:
        if self._endpoint is None:
            return
        self._reactor.unbind("UDP", self._endpoint)
        self._endpoint = None
        self.protocol.doStop()
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.callback(None)

    def vanish(self) -> None:
        """Go without a word to the protocol, as with a killed process."""
        self._reading = False
        self._endpoint = None
        self._stopped = None

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address that it is bound to."""
        if self._endpoint is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return transport_address("UDP", self._endpoint)

    # IUDPTransport

    def write(self, packet: bytes, addr: tuple[str, int] | None = None) -> None:
        """Send one datagram to a numeric address, or to the connected one."""
        if not isinstance(packet, bytes):
            raise TypeError(f"a bytes-like object is required, not {type(packet).__name__!r}")
        if self._endpoint is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self._peer is not None:
            assert addr in (None, self._peer)
            destination = self._peer
        else:
            assert addr is not None
            destination = self._checked(addr)
        if len(packet) > MAX_DATAGRAM:
            raise MessageLengthError("message too long")
        source = (self._reactor.source_address(self._endpoint[0], destination[0]), self._endpoint[1])
        self._reactor.wire.datagram(self._reactor, source, destination, packet)

    def writeSequence(self, seq: list[bytes], addr: tuple[str, int] | None = None) -> None:
        """Send one datagram made of these parts."""
        self.write(b"".join(seq), addr)

    def _checked(self, addr: tuple[str, int]) -> Endpoint:
        host, port = addr
        ours_is_6 = ":" in self.interface
        if isIPAddress(host):
            if ours_is_6:
                raise InvalidAddressError(host, "IPv6 port write() called with IPv4 or broadcast address")
        elif isIPv6Address(host):
            if not ours_is_6:
                raise InvalidAddressError(host, "IPv4 port write() called with IPv6 address")
        else:
            raise InvalidAddressError(host, "write() only accepts IP addresses, not hostnames")
        if not 0 <= port <= 65535:
            raise OverflowError("sendto(): port must be 0-65535.")
        if port == 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if host == "255.255.255.255" and not self._broadcast:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return canonical(host), port

    def connect(self, host: str, port: int) -> None:
        """Send to, and take from, this numeric address only; refusals then reach the protocol."""
        if self._peer is not None:
            raise RuntimeError("already connected, reconnecting is not currently supported")
        if not isIPAddress(host) and not isIPv6Address(host):
            raise InvalidAddressError(host, "not an IPv4 or IPv6 address.")
        self._peer = self._checked((host, port))

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Permit 255.255.255.255 as a destination; no one answers there."""
        self._broadcast = bool(enabled)

    def getBroadcastAllowed(self) -> bool:
        """Whether it is permitted."""
        return self._broadcast

    # from the wire

    def arrived(self, source: Endpoint, data: bytes) -> None:
        """Hand a datagram to the protocol."""
        if not self._reading or (self._peer is not None and source != self._peer):
            return
        try:
            self.protocol.datagramReceived(data[: self.maxPacketSize], source)
        except Exception:
            self._log.failure("while {protocol!r} took a datagram", protocol=self.protocol)

    def refused(self, destination: Endpoint) -> None:
        """An ICMP "port unreachable" came back; only a connected port hears of it."""
        if self._reading and self._peer == destination and hasattr(self.protocol, "connectionRefused"):
            self.protocol.connectionRefused()
