"""
What memory reactors are joined by.

A wire takes what one reactor sends and makes it arrive at another, or at the same one, when and if it likes.
`Loopback` is the plain one; `rvoip.testing.network.SimulatedNetwork` loses, delays and cuts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock

if TYPE_CHECKING:
    from rvoip.testing.memory_reactor import MemoryReactor

__all__ = ["Endpoint", "Loopback", "Path", "Wire", "canonical", "transport_address"]

#: A numeric address and a port.
Endpoint = tuple[str, int]


class Path(Protocol):
    """One direction of one stream connection: what is put in comes out in order, once."""

    def carry(self, arrive: Callable[[], None]) -> None:
        """Call `arrive` at the other end, after all that was carried before."""

    def pieces(self, data: bytes) -> list[bytes]:
        """`data`, cut as the network likes."""


class Wire(Protocol):
    """The ways between reactors."""

    clock: Clock

    def datagram(self, sender: MemoryReactor, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        """Take a datagram. It arrives once, later, twice or never."""

    def owner(self, sender: MemoryReactor, address: str) -> MemoryReactor | None:
        """The reactor that `sender` reaches at this address; None: no one has it."""

    def path(self, sender: MemoryReactor, receiver: MemoryReactor, give_up: Callable[[], None]) -> Path:
        """A direction for a new connection. `give_up` is called when nothing has got through for too long."""

    def stream_read(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        """Bytes of a connection were read at `destination`."""


class Loopback:
    """The wire of one reactor that is alone: all arrives, in order, later in the same instant."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def datagram(self, sender: MemoryReactor, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        """Take a datagram to the sender itself."""
        self.clock.callLater(0, self._arrive, sender, source, destination, data)

    def _arrive(self, sender: MemoryReactor, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        if not sender.datagram_arrived(source, destination, data):
            sender.datagram_refused(source, destination)

    def owner(self, sender: MemoryReactor, address: str) -> MemoryReactor | None:
        """The sender itself: it has every address."""
        return sender

    def path(self, sender: MemoryReactor, receiver: MemoryReactor, give_up: Callable[[], None]) -> Path:
        """A direction without delay; it never gives up."""
        return _LoopbackPath(self.clock)

    def stream_read(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        """Nobody watches."""


class _LoopbackPath:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def carry(self, arrive: Callable[[], None]) -> None:
        self._clock.callLater(0, arrive)

    def pieces(self, data: bytes) -> list[bytes]:
        return [data]


def canonical(address: str) -> str:
    """The one spelling of a numeric address; an IPv6 scope is dropped. ValueError for anything else."""
    if ":" in address:
        return ipaddress.IPv6Address(address.split("%", 1)[0]).compressed
    return str(ipaddress.IPv4Address(address))


def transport_address(kind: Literal["TCP", "UDP"], endpoint: Endpoint) -> IPv4Address | IPv6Address:
    """Twisted's address object for a "TCP" or "UDP" endpoint."""
    host, port = endpoint
    if ":" in host:
        return IPv6Address(kind, host, port)
    return IPv4Address(kind, host, port)
