"""UDP ports that read and answer in batches.

`BatchUDP(reactor).listenUDP(...)` is `reactor.listenUDP(...)` with fewer system calls: a wake-up drains up to
64 datagrams with one recvmmsg, and what the protocol writes while they are handed to it goes out with one
sendmmsg when the last of them is done. Where the platform has no recvmmsg the port is Twisted's own.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from twisted.internet.error import InvalidAddressError
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorUDP
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from zope.interface import implementer

from rvoip.protocols.transport.bounded import Recent
from rvoip.protocols.transport.mmsg import BATCH, LARGEST, SO_TIMESTAMPNS, ReceiveBatch, SendBatch, available
from rvoip.protocols.transport.sockets import StockPort, pack_address, unpack_address

__all__ = ["GATHER", "LATE", "BatchPort", "BatchUDP"]

SOURCES: Final = 4096
"""Addresses whose decoded form a port remembers."""

GATHER: Final = 0.005
"""Seconds between two readings while datagrams keep coming."""

LATE: Final = 2.0
"""Seconds after which a datagram has waited too long in the socket: its sender has sent it again twice."""

_BEATS: Final = 4
"""How often in `late` seconds a port notes that its socket was empty."""

_READINGS: Final = 4
"""Full batches that are read in one go before others have their turn."""

_TRANSIENT: Final = frozenset((errno.EAGAIN, errno.ENOBUFS))

_log = Logger()


class _Buffers:
    """What the ports of one reactor and one address family share: they are never read at the same time."""

    def __init__(self) -> None:
        batch = ReceiveBatch()
        self.receive = batch.receive
        self.receive_dated = batch.receive_dated
        self.send = SendBatch().send


class BatchPort(StockPort):
    """A UDP port whose read takes a batch of datagrams and whose answers leave as a batch.

    A protocol with a method ``send_failed(address, error)`` is told of each queued datagram that the kernel
    refused; a `write` outside a batch raises the OSError itself, as Twisted's port does.

    One with a method ``datagram_late(datagram, address, seconds)`` gets what has waited in the socket for
    more than `late` seconds by that. One with a method ``datagrams_wait()`` is told when a reading ended with
    more in the socket. The kernel stamps each datagram, but its stamps are only asked for when
    the port cannot say that the socket was empty lately: after a stall and under overload.
    """

    def __init__(
        self,
        port: int,
        protocol: DatagramProtocol,
        interface: str,
        max_packet_size: int,
        reactor: IReactorFDSet,
        buffers: dict[socket.AddressFamily, _Buffers],
        gather: float = GATHER,
        late: float = LATE,
    ) -> None:
        super().__init__(port, protocol, interface, max_packet_size, reactor)
        family = self.addressFamily
        if family not in buffers:
            buffers[family] = _Buffers()
        self._receive = buffers[family].receive
        self._receive_dated = buffers[family].receive_dated
        self._send = buffers[family].send
        self._name_length = 16 if family == socket.AF_INET else 28
        self._held = 0
        timed: Any = reactor  # what reads sockets also tells time
        self._seconds: Callable[[], float] = timed.seconds
        self._call_later: Callable[..., IDelayedCall] = timed.callLater
        self._last_read = -1.0 - gather
        self._gather = gather
        self._resting: IDelayedCall | None = None
        self._sources: Recent[bytes, tuple[str, int]] = Recent(SOURCES)
        self._names: Recent[tuple[str, int], bytes] = Recent(SOURCES)
        self._queue: list[tuple[bytes, tuple[str, int], bytes]] = []
        self._late = late
        self._late_received = getattr(protocol, "datagram_late", None)
        self._more_wait: Callable[[], object] | None = getattr(protocol, "datagrams_wait", None)
        # What is in the socket has come since then. It was empty at the last reading that found few, and at
        # the last turn of the reactor but one if there was nothing to read.
        self._empty_at = self._beat_at = timed.seconds()
        self._was_read = False
        self._beat: IDelayedCall | None = None

    def tune(self, opened: socket.socket) -> None:
        """Set the options of a socket."""
        super().tune(opened)
        if self._late_received is not None:
            opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def startListening(self) -> None:
        """Bind and read."""
        super().startListening()
        if self._late_received is not None:
            self._empty_at = self._beat_at = self._seconds()
            self._beat = self._call_later(self._late / _BEATS, self._note_empty)

    def _note_empty(self) -> None:
        """Between two beats the reactor has looked at all sockets: nothing to read, so this was empty."""
        if not self._was_read and self._beat_at > self._empty_at:
            self._empty_at = self._beat_at
        self._was_read = False
        self._beat_at = self._seconds()
        self._beat = self._call_later(self._late / _BEATS, self._note_empty)

    def doRead(self) -> None:
        """Hand what has arrived to the protocol, then send what it answered.

        When wake-ups follow each other within `gather` seconds, the port is read on a timer for as long as
        each reading finds something: a wake-up, and caches gone cold before it, cost as much as a message,
        so they are shared.
        """
        if self._connectedAddr:
            super().doRead()
            return
        now = self._seconds()
        if now - self._last_read < self._gather:
            self.stopReading()
            self._resting = self._call_later(self._gather, self._read_again)
        self._last_read = now
        self._read(now)

    def _read_again(self) -> None:
        self._resting = None
        count = 0
        try:
            count = self._read(self._seconds())
        except OSError:
            _log.failure("A UDP port could not be read")
        if not self.connected:
            return  # what was read had it stopped
        if count:
            # What is full needs no time to gather more.
            self._resting = self._call_later(0.0 if count == BATCH else self._gather, self._read_again)
        else:
            self.startReading()

    def _read(self, now: float) -> int:
        """One reading, or a few when they are full; how many datagrams the last one had."""
        self._was_read = True
        read = self._read_batch
        if now - self._empty_at >= self._late and self._late_received is not None:
            read = self._read_dated
        for _ in range(_READINGS):
            count = read()
            if count < BATCH:
                self._empty_at = now
                break
        else:
            if self._more_wait is not None:
                self._more_wait()
        return count

    def _read_dated(self) -> int:
        """As `_read_batch`, where some may have waited too long."""
        try:
            batch = self._receive_dated(self.fileno(), self._name_length)
        except ConnectionRefusedError:
            return 1
        latest = time.time() - self._late
        with self.held():
            for datagram, name, came_at in batch:
                if 0.0 < came_at < latest:
                    self._hand_on_late(datagram, name, latest - came_at + self._late)
                else:
                    self._hand_on([(datagram, name)])
        return len(batch)

    def _hand_on_late(self, datagram: bytes, name: bytes, seconds: float) -> None:
        received: Callable[[bytes, tuple[str, int], float], object] | None = self._late_received
        assert received is not None
        try:
            received(datagram, self._source(name), seconds)
        except Exception:
            _log.failure("{protocol} failed on a datagram", protocol=type(self.protocol).__name__)

    def _read_batch(self) -> int:
        try:
            batch = self._receive(self.fileno(), self._name_length)
        except ConnectionRefusedError:
            return 1  # an ICMP answer to something sent before, to whom is not told
        if len(batch) < 2:
            # One answer is sent faster alone.
            self._hand_on(batch)
            return len(batch)
        self._held += 1
        try:
            self._hand_on(batch)
        finally:
            self._held -= 1
            if self._queue and not self._held:
                self.flush()
        return len(batch)

    def _loseConnection(self) -> None:  # noqa: N802  the name is Twisted's
        """Read no more."""
        self._wake_no_more()
        super()._loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """The port is closed."""
        self._wake_no_more()
        super().connectionLost(reason)

    def _wake_no_more(self) -> None:
        resting, self._resting = self._resting, None
        if resting is not None:
            resting.cancel()
        beat, self._beat = self._beat, None
        if beat is not None:
            beat.cancel()

    def _hand_on(self, batch: list[tuple[bytes, bytes]]) -> None:
        received = self.protocol.datagramReceived
        known = self._sources.young.get
        for datagram, name in batch:
            address = known(name)
            if address is None:
                address = self._source(name)
            try:
                received(datagram, address)
            except Exception:
                _log.failure("{protocol} failed on a datagram", protocol=type(self.protocol).__name__)

    def _source(self, name: bytes) -> tuple[str, int]:
        address = self._sources.get(name)
        if address is None:
            address = unpack_address(name)
            self._sources.put(name, address)
            # Most are answered.
            self._names.put(address, name)
        return address

    def write(self, datagram: bytes, addr: tuple[str, int] | None = None) -> None:
        """Send a datagram to a numeric address: at the end of the batch that is being read, else at once.

        Raises InvalidAddressError for what is no address of this port's family, OverflowError for no port,
        and OSError when the kernel refuses it at once.
        """
        if addr is None or self._connectedAddr:
            super().write(datagram, addr)
            return
        name = self._names.young.get(addr)
        if name is None:
            name = self._name(addr)
        if not self._held:
            self.socket.sendto(datagram, addr)
            return
        queue = self._queue
        queue.append((datagram, addr, name))
        if len(queue) >= BATCH:
            self.flush()

    def _name(self, address: tuple[str, int]) -> bytes:
        name = self._names.get(address)
        if name is None:
            host, port = address
            if not 0 <= port <= 65535:
                raise OverflowError("port must be 0-65535")
            try:
                name = pack_address(self.addressFamily, host, port)
            except (OSError, ValueError):
                raise InvalidAddressError(host, "not a numeric address of this port's family") from None
            self._names.put(address, name)
        return name

    @contextmanager
    def held(self) -> Iterator[None]:
        """Gather what is written inside, and send it as a batch at the end."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self._queue and not self._held:
                self.flush()

    def flush(self) -> None:
        """Send what is queued, now."""
        queue, self._queue = self._queue, []
        if not self.connected:
            return
        start = 0
        while start < len(queue):
            try:
                start += self._send_some(queue[start : start + BATCH])
            except OSError as error:
                if error.errno == errno.EINTR:
                    continue
                if error.errno == errno.ECONNREFUSED and self._send_alone(queue[start]):
                    # The complaint was about an earlier datagram, and is gone now.
                    start += 1
                    continue
                last = len(queue) if error.errno in _TRANSIENT else start + 1
                self._failed(queue[start:last], error)
                start = last

    def _send_some(self, part: list[tuple[bytes, tuple[str, int], bytes]]) -> int:
        if len(part) == 1:
            self.socket.sendto(part[0][0], part[0][1])
            return 1
        datagrams, _, names = zip(*part, strict=True)
        return self._send(self.fileno(), self._name_length, datagrams, names)

    def _send_alone(self, queued: tuple[bytes, tuple[str, int], bytes]) -> bool:
        try:
            self.socket.sendto(queued[0], queued[1])
        except OSError:
            return False
        return True

    def _failed(self, part: list[tuple[bytes, tuple[str, int], bytes]], error: OSError) -> None:
        tell = getattr(self.protocol, "send_failed", None)
        if tell is None:
            return
        for _, address, _ in part:
            try:
                tell(address, error)
            except Exception:
                _log.failure("{protocol} failed", protocol=type(self.protocol).__name__)


@implementer(IReactorUDP)
class BatchUDP:
    """`listenUDP` whose ports work in batches.

    The ports of one `BatchUDP` share their buffers (4 MiB an address family, of which only what has been used
    takes memory), so they must be of one reactor.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        buffer_size: int = StockPort.buffer_size,
        gather: float = GATHER,
        late: float = LATE,
    ) -> None:
        """`gather`: seconds that dense traffic may wait to be read together; 0 reads at each wake-up.

        `late`: seconds after which a datagram has waited too long, see `BatchPort`.
        """
        self._gather = gather
        self._late = late
        self._reactor = reactor
        self._buffer_size = buffer_size
        self._buffers: dict[socket.AddressFamily, _Buffers] = {}
        self.inherited: socket.socket | None = None
        """What the next `listenUDP` goes on with, in place of a new socket."""

    def listenUDP(
        self, port: int, protocol: DatagramProtocol, interface: str = "", maxPacketSize: int = LARGEST
    ) -> Any:
        """Bind and read; returns the IListeningPort. Raises CannotListenError."""
        listening: StockPort
        if available():
            listening = BatchPort(
                port,
                protocol,
                interface,
                maxPacketSize,
                self._reactor,
                self._buffers,
                self._gather,
                self._late,
            )
        else:
            listening = StockPort(port, protocol, interface, maxPacketSize, self._reactor)
        listening.buffer_size = self._buffer_size
        opened, self.inherited = self.inherited, None
        if opened is not None:
            listening.adopt(opened)
        listening.startListening()
        return listening
