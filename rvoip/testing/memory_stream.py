"""One side of a TCP connection in memory, with its window, half-close and reset."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.testing.memory_wire import Endpoint, transport_address

if TYPE_CHECKING:
    from rvoip.testing.memory_reactor import MemoryReactor

__all__ = ["BUFFER_SIZE", "WINDOW", "MemoryConnection"]

#: Bytes unsent above which a registered push producer is paused, as in Twisted's transports.
BUFFER_SIZE = 65536
#: Bytes that one side may have under way or lying unread at the other (the kernel's buffers, in one number).
WINDOW = 65536


@implementer(ITCPTransport, IConsumer, IPushProducer)
class MemoryConnection:
    """
    One side of a TCP connection.

    `write` queues; the bytes leave in the next turn of the reactor, so that what is written in one turn may
    arrive as one piece, and arrive when the wire says. A side that has paused reading fills the window of the
    other, whose bytes then stay unsent (`unsent`) and whose producer is paused.
    """

    _log = Logger()

    connected = True
    disconnected = False
    disconnecting = False

    def __init__(self, reactor: MemoryReactor, local: Endpoint, remote: Endpoint) -> None:
        self.protocol: IProtocol | None = None
        self.producer: Any = None
        self.streamingProducer = False
        self.producerPaused = False
        #: Called once, when it is over, after its protocol heard of it.
        self.after_end: Callable[[Failure], None] = lambda reason: None
        self.local = local
        self.remote = remote
        self._reactor = reactor
        self._options = {"nodelay": False, "keepalive": False}
        # Sending.
        self._peer: MemoryConnection | None = None
        self._unsent = bytearray()
        self._in_flight = 0
        self._flush_due = False
        self._write_closing = False
        self._write_closed = False
        # Receiving.
        self._received = bytearray()
        self._reading = True
        self._fin_received = False
        self._read_closed = False
        self._draining = False

    def __repr__(self) -> str:
        return f"<MemoryConnection {self.local} -> {self.remote} of {self._reactor.name}>"

    def join(self, peer: MemoryConnection, peer_reactor: MemoryReactor) -> None:
        """Make `peer` the other side of what this one sends."""
        self._peer = peer
        self._path = self._reactor.wire.path(self._reactor, peer_reactor, self.lost)

    def carry(self, arrive: Callable[[], None]) -> None:
        """Put something into this direction, in order with the bytes."""
        self._path.carry(arrive)

    def attach(self, protocol: IProtocol) -> None:
        """Give it the protocol: the connection is made."""
        self.protocol = protocol
        self._reactor.connection_made(self)
        self._guarded(protocol.makeConnection, self)

    def decline(self) -> None:
        """Close before any protocol was attached: the other side reads an end."""
        self.connected = self._reading = False
        self.disconnected = True
        if self._peer is not None:
            self._path.carry(self._peer._fin_arrived)

    # ITransport, ITCPTransport

    @property
    def unsent(self) -> int:
        """Bytes that have been written and not left."""
        return len(self._unsent)

    def write(self, data: bytes) -> None:
        """Queue bytes; dropped without a word when the connection is over or closed for writing."""
        if not isinstance(data, bytes):
            raise TypeError(f"Data must be bytes, not {type(data).__name__}")
        if not self.connected or self._write_closed or not data:
            return
        self._unsent += data
        if self.producer is not None and self.streamingProducer and len(self._unsent) > BUFFER_SIZE:
            self.producerPaused = True
            self.producer.pauseProducing()
        self._flush_soon()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Queue several."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Read no more; close when all is sent and no producer is registered."""
        if not self.connected or self.disconnecting:
            return
        self._reading = False
        if self._write_closed:
            self._finish(Failure(ConnectionDone()))
            return
        self.disconnecting = True
        self._flush_soon()

    def loseWriteConnection(self) -> None:
        """Close this direction when all is sent; the other stays open."""
        self._write_closing = True
        self._flush_soon()

    def abortConnection(self) -> None:
        """Reset: nothing more is sent or read, and the other side learns it as `ConnectionLost`."""
        if not self.connected:
            return
        self.connected = False
        self._reading = False
        self._unsent.clear()
        self._send_reset()
        self._reactor.wire.clock.callLater(0, self._finish, Failure(ConnectionAborted()))

    def getHost(self) -> IPv4Address | IPv6Address:
        """This side's address."""
        return transport_address("TCP", self.local)

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The other side's address."""
        return transport_address("TCP", self.remote)

    def getTcpNoDelay(self) -> bool:
        """As it was set; without effect here."""
        return self._options["nodelay"]

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Remembered."""
        self._options["nodelay"] = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """As it was set; without effect here."""
        return self._options["keepalive"]

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Remembered."""
        self._options["keepalive"] = bool(enabled)

    # IPushProducer: what the protocol does to its reading side

    def pauseProducing(self) -> None:
        """Read no more; what arrives fills the window."""
        self._reading = False

    def resumeProducing(self) -> None:
        """Read again."""
        if self.connected and not self.disconnecting:
            self._reading = True
            self._reactor.wire.clock.callLater(0, self._drain)

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # IConsumer: who feeds this side's writing

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause and resume (or, when not streaming, ask) this producer as the unsent bytes demand."""
        if self.producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}: producer {self.producer} was never unregistered."
            )
        if not self.connected:
            producer.stopProducing()
            return
        self.producer = producer
        self.streamingProducer = streaming
        self.producerPaused = False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget it; a close that waited for it goes on."""
        self.producer = None
        if self.connected and (self.disconnecting or self._write_closing):
            self._flush_soon()

    def stopConsuming(self) -> None:
        """The producer has lost its source: close."""
        self.unregisterProducer()
        self.loseConnection()

    # the sending side

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._reactor.wire.clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        peer = self._peer
        if not self.connected or peer is None:
            return
        room = WINDOW - self._in_flight
        if self._unsent and room > 0:
            data = bytes(self._unsent[:room])
            del self._unsent[:room]
            self._in_flight += len(data)
            for piece in self._path.pieces(data):
                self._path.carry(partial(peer._arrived, piece))
        if self._unsent:
            return
        if self.producer is not None and (not self.streamingProducer or self.producerPaused):
            self.producerPaused = False
            self._guarded(self.producer.resumeProducing)
        elif self.producer is not None:
            return
        elif self.disconnecting:
            self._finish(Failure(ConnectionDone()))
        elif self._write_closing and not self._write_closed:
            self._write_closed = True
            self._path.carry(peer._fin_arrived)
            half_closeable = _half_closeable(self.protocol)
            if half_closeable is not None:
                self._guarded(half_closeable.writeConnectionLost)

    def _acknowledged(self, count: int) -> None:
        self._in_flight -= count
        if self._unsent and self.connected:
            self._flush_soon()

    def _send_reset(self) -> None:
        peer = self._peer
        if peer is not None:
            self._path.carry(peer.lost)

    # the receiving side

    def _arrived(self, data: bytes) -> None:
        if not self.connected:
            # Bytes for a socket that is closed are answered with a reset (RFC 9293 section 3.10.7.1).
            self._send_reset()
            return
        self._received += data
        self._drain()

    def _fin_arrived(self) -> None:
        self._fin_received = True
        self._drain()

    def _drain(self) -> None:
        if self._draining:
            return
        self._draining = True
        try:
            while self._received and self._reading and self.connected:
                data = bytes(self._received)
                self._received.clear()
                if self._peer is not None:
                    self._peer._acknowledged(len(data))
                assert self.protocol is not None
                self._reactor.wire.stream_read(self.remote, self.local, data)
                self._guarded(self.protocol.dataReceived, data)
        finally:
            self._draining = False
        if self._fin_received and not self._read_closed and self.connected and self._reading:
            self._read_closed = True
            half_closeable = _half_closeable(self.protocol)
            if half_closeable is not None:
                self._guarded(half_closeable.readConnectionLost)
            else:
                self._finish(Failure(ConnectionDone()))

    # the end

    def lost(self) -> None:
        """A reset came in, or the network gave up."""
        if self.connected:
            self._finish(Failure(ConnectionLost()))

    def vanish(self) -> None:
        """Go without a word to the protocol, as with a killed process; the system sends the reset."""
        if self.connected:
            self._send_reset()
        self.connected = self._reading = False
        self.disconnected = True
        self.producer = None
        self._unsent.clear()

    def _guarded(self, function: Callable[..., object], *args: object) -> None:
        """What a protocol raises is logged and ends its connection, as in a reactor."""
        try:
            function(*args)
        except Exception:
            failure = Failure()
            self._log.failure("while a connection of {name} was served", failure, name=self._reactor.name)
            if self.connected:
                self._finish(failure)

    def _finish(self, reason: Failure) -> None:
        if self.disconnected:
            return
        orderly = not reason.check(ConnectionAborted, ConnectionLost)
        self.connected = False
        self.disconnected = True
        self._reading = False
        self._unsent.clear()
        if orderly and self._peer is not None and not self._write_closed:
            self._path.carry(self._peer._fin_arrived)
        self._reactor.connection_over(self)
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            try:
                protocol.connectionLost(reason)
            except Exception:
                self._log.failure("while {protocol!r} lost its connection", protocol=protocol)
        self.after_end(reason)


def _half_closeable(protocol: IProtocol | None) -> IHalfCloseableProtocol | None:
    return IHalfCloseableProtocol(protocol, None)
