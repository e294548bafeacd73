"""Datagrams by the batch: what a port gives and takes, and what its three back ends have in common.

`ring` and `uring` do it with io_uring, `mmsg` with recvmmsg and sendmmsg, `stock` with the reactor's own
ports; `choose` picks one. All of them pass the same tests.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from twisted.logger import Logger
from zope.interface import implementer

from rvoip.protocols.rtp.addresses import WORDS
from rvoip.protocols.rtp.errors import PortError
from rvoip.protocols.rtp.interfaces import IBatchPort
from rvoip.protocols.rtp.pace import NO_DESCRIPTOR, Pace

__all__ = ["INTERVAL", "LARGEST_DATAGRAM", "SLOT", "Batch", "BatchPort", "PortTotals"]

SLOT: Final = 2048
"""Octets of the longest datagram that a port takes; a longer one is dropped and counted."""

LARGEST_DATAGRAM: Final = 65_507
"""Octets that UDP over IPv4 can carry; what is longer is never sent."""

INTERVAL: Final = 0.002
"""Seconds between two batches while datagrams keep coming."""

_FIRST_ROWS: Final = 64

_PAIR_TRIES: Final = 64

_SO_MEMINFO: Final = 55  # Linux; the socket module has no name for it
_DROPS: Final = 8
_SO_TIMESTAMPNS: Final = 35

_log = Logger()


@dataclass(slots=True)
class Batch:
    """`count` datagrams that came in, as columns with one row each. Valid until the port's next `receive`.

    Datagram i is octets 0 to `lengths[i]` of row `rows[i]` of `pool`. The rows may be changed in place, and
    given to `send` as they are. `arrived` is monotonic seconds: when the kernel got it with a port that
    stamps, otherwise when the batch was read.
    """

    count: int
    pool: NDArray[np.uint8]
    rows: NDArray[np.int64]
    lengths: NDArray[np.int32]
    sockets: NDArray[np.int32]
    sources: NDArray[np.uint64]
    arrived: NDArray[np.float64]

    @property
    def buffer(self) -> NDArray[np.uint8]:
        """The datagrams as one array, shape `(count, octets of the longest)`: a copy; what follows a
        shorter one in its row means nothing.
        """
        width = int(self.lengths.max()) if self.count else 0
        return self.pool[:, :width][self.rows]

    def take(self, which: NDArray[Any]) -> Batch:
        """The datagrams of a mask or of indices."""
        rows = self.rows[which]
        return Batch(
            len(rows),
            self.pool,
            rows,
            self.lengths[which],
            self.sockets[which],
            self.sources[which],
            self.arrived[which],
        )

    def datagram(self, i: int) -> bytes:
        """One of them: for what is handled one by one."""
        return self.pool[self.rows[i], : self.lengths[i]].tobytes()


class PortTotals:
    """Counts over all sockets of a port, of datagrams.

    `truncated` were longer than a slot, `overflowed` found too many waiting; `starved` is how often all
    buffers were in use, so that what came had to wait in its socket.
    """

    __slots__ = ("overflowed", "received", "send_failures", "sent", "starved", "truncated")

    def __init__(self) -> None:
        self.overflowed = 0
        self.received = 0
        self.send_failures = 0
        self.sent = 0
        self.starved = 0
        self.truncated = 0


@implementer(IBatchPort)
class BatchPort(ABC):
    """The sockets of a port and the pace of its reading; a back end adds how datagrams get in and out.

    `dscp` marks what is sent (RFC 2474; 46 is expedited forwarding). `socket_buffer` asks the kernel for
    that many octets a socket and direction, 0 for what it gives. `stamped` asks it when each datagram came.
    `interval` is the least time between two batches, in seconds.
    """

    name: ClassVar[str]

    def __init__(
        self,
        reactor: Any,
        *,
        dscp: int = 0,
        socket_buffer: int = 0,
        stamped: bool = False,
        interval: float = INTERVAL,
    ) -> None:
        if not 0 <= dscp < 64:
            raise ValueError("dscp is a number from 0 to 63")
        self._reactor = reactor
        self._dscp = dscp
        self._socket_buffer = socket_buffer
        self._stamped = stamped
        self._interval = interval
        self.totals = PortTotals()
        self._process = 0
        self._received: Callable[[Batch], object] | None = None
        self.descriptor = NO_DESCRIPTOR
        """Readable when something has come, after `start`; -1 with a back end that has none."""
        self._pace: Pace | None = None
        self._free: list[int] = []
        self._opened = 0
        self._addresses: dict[int, tuple[str, int]] = {}
        self._filenos = np.full(_FIRST_ROWS, -1, np.int64)
        self._truncated = np.zeros(_FIRST_ROWS, np.int64)
        self._send_failures = np.zeros(_FIRST_ROWS, np.int64)

    # What a back end does.

    @abstractmethod
    def _begin(self) -> int:
        """Make what is needed; returns the descriptor that is readable when something has come, -1 for
        none.
        """

    @abstractmethod
    def _end(self) -> None:
        """Undo it; all sockets are closed."""

    @abstractmethod
    def _attach(self, index: int, opened: socket.socket) -> int:
        """Take over a bound socket as `index`; returns the descriptor that it has from now on."""

    @abstractmethod
    def _detach(self, index: int, fileno: int) -> None:
        """Give a socket up and close it."""

    @abstractmethod
    def _read(self) -> Batch:
        """What has arrived, none when nothing has."""

    @abstractmethod
    def _write(
        self,
        buffer: NDArray[np.uint8],
        lengths: NDArray[np.int64],
        sockets: NDArray[np.int64],
        destinations: NDArray[np.uint64],
        rows: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Send datagrams that fit; returns which of them, by position, the kernel refused."""

    def _clear(self) -> None:  # noqa: B027  not every descriptor needs it
        """Make the descriptor unreadable till something new comes."""

    # Begin and end.

    def start(self, received: Callable[[Batch], object] | None = None) -> None:
        """Begin; see `IBatchPort`."""
        if self._process:
            raise PortError("the port has been started already")
        _allow_sockets()
        try:
            self.descriptor = self._begin()
        except OSError as error:
            raise PortError(f"{self.name}: {_explain(error)}") from error
        self._process = os.getpid()
        self._received = received
        if received is not None:
            self._pace = Pace(self._reactor, self._interval, self.descriptor, self._turn)

    def stop(self) -> None:
        """Close all sockets and end."""
        if self._process != os.getpid():
            return
        self._received = None
        if self._pace is not None:
            self._pace.stop()
            self._pace = None
        for index in list(self._addresses):
            self.close(index)
        self._process = 0
        self.descriptor = NO_DESCRIPTOR
        self._end()

    def _check(self) -> None:
        if self._process != os.getpid():
            what = "belongs to another process" if self._process else "is not started"
            raise PortError(f"the media port {what}")

    def _turn(self) -> bool:
        """Read and hand over; whether there was anything."""
        truncated = self.totals.truncated
        batch = self._read()
        if not batch.count:
            # What comes from here on is seen by the descriptor, what came before by this reading.
            self._clear()
            batch = self._read()
        received = self._received
        if not batch.count or received is None:
            # What was only dropped is no reason to be woken more often.
            return self.totals.truncated != truncated
        try:
            received(batch)
        except Exception:
            _log.failure("A batch of {count} datagrams was not handled", count=batch.count)
        return True

    # Sockets.

    def open(self, host: str, port: int = 0) -> int:
        """Bind a socket; see `IBatchPort`."""
        self._check()
        opened = self._bind(host, port)
        index = self._free.pop() if self._free else self._opened
        if index == len(self._filenos):
            self._grow(2 * index)
        try:
            address = opened.getsockname()[:2]
            fileno = self._attach(index, opened)
        except OSError as error:
            opened.close()
            self._free.append(index) if index < self._opened else None
            raise PortError(f"{_written(host, port)}: {_explain(error)}") from error
        self._opened = max(self._opened, index + 1)
        self._addresses[index] = address
        self._filenos[index] = fileno
        self._truncated[index] = self._send_failures[index] = 0
        return index

    def open_pair(self, host: str, port: int = 0) -> tuple[int, int]:
        """Bind an even port and the next; see `IBatchPort`."""
        if port % 2:
            raise PortError(f"{_written(host, port)}: a pair of ports begins with an even one")
        if port:
            return self._open_both(host, port)
        for _ in range(_PAIR_TRIES):
            first = self.open(host)
            number = self._addresses[first][1]
            try:
                if number % 2 == 0:
                    return first, self.open(host, number + 1)
                if number > 1024:
                    return self.open(host, number - 1), first
            except PortError:
                pass  # the neighbour is taken: try elsewhere
            self.close(first)
        raise PortError(f"{host}: no two neighbouring ports are free")

    def _open_both(self, host: str, port: int) -> tuple[int, int]:
        first = self.open(host, port)
        try:
            return first, self.open(host, port + 1)
        except PortError:
            self.close(first)
            raise

    def close(self, index: int) -> None:
        """Free the port; see `IBatchPort`."""
        self._check()
        if self._addresses.pop(index, None) is None:
            return
        fileno = int(self._filenos[index])
        self._filenos[index] = -1
        self._free.append(index)
        self._detach(index, fileno)

    def address(self, index: int) -> tuple[str, int]:
        """Where the socket is bound; see `IBatchPort`."""
        try:
            return self._addresses[index]
        except KeyError:
            raise PortError("the socket is closed") from None

    def truncated(self, index: int) -> int:
        """Datagrams that were too long."""
        self.address(index)
        return int(self._truncated[index])

    def send_failures(self, index: int) -> int:
        """Datagrams that were not sent."""
        self.address(index)
        return int(self._send_failures[index])

    def kernel_drops(self, index: int) -> int:
        """Datagrams that the kernel had no room for."""
        self.address(index)
        with socket.socket(fileno=os.dup(int(self._filenos[index]))) as borrowed:
            try:
                answer = borrowed.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
            except OSError:
                return 0
        if len(answer) < 4 * (_DROPS + 1):
            return 0
        (drops,) = struct.unpack_from("=I", answer, 4 * _DROPS)
        return int(drops)

    def _grow(self, rows: int) -> None:
        more = rows - len(self._filenos)
        self._filenos = np.concatenate((self._filenos, np.full(more, -1, np.int64)))
        self._truncated = np.concatenate((self._truncated, np.zeros(more, np.int64)))
        self._send_failures = np.concatenate((self._send_failures, np.zeros(more, np.int64)))

    def _bind(self, host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        opened = None
        try:
            opened = socket.socket(family, socket.SOCK_DGRAM)
            opened.setblocking(False)
            if family == socket.AF_INET6:
                # Both wildcards can be bound, and no address is mapped.
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if self._dscp and family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, self._dscp << 2)
            elif self._dscp:
                opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, self._dscp << 2)
            if self._socket_buffer:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._socket_buffer)
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._socket_buffer)
            if self._stamped:
                opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            opened.bind((host, port))
        except (OSError, OverflowError) as error:
            if opened is not None:
                opened.close()
            raise PortError(f"{_written(host, port)}: {_explain(error)}") from error
        return opened

    # Datagrams.

    def receive(self) -> Batch:
        """Take what has come; see `IBatchPort`."""
        self._check()
        return self._read()

    def send(
        self,
        buffer: NDArray[np.uint8],
        lengths: NDArray[Any],
        sockets: NDArray[Any],
        destinations: NDArray[np.uint64],
        rows: NDArray[Any] | None = None,
    ) -> int:
        """Send a batch; see `IBatchPort`."""
        self._check()
        count = len(lengths)
        if count == 0:
            return 0
        lengths = np.asarray(lengths, np.int64)
        sockets = np.asarray(sockets, np.int64)
        destinations = np.ascontiguousarray(destinations, np.uint64)
        rows = np.arange(count) if rows is None else np.asarray(rows, np.int64)
        self._check_columns(buffer, lengths, sockets, destinations, rows)
        failed = self._write(buffer, lengths, sockets, destinations, rows)
        if len(failed):
            np.add.at(self._send_failures, sockets[failed], 1)
            self.totals.send_failures += len(failed)
        self.totals.sent += count - len(failed)
        return count - len(failed)

    def _check_columns(
        self,
        buffer: NDArray[np.uint8],
        lengths: NDArray[np.int64],
        sockets: NDArray[np.int64],
        destinations: NDArray[np.uint64],
        rows: NDArray[np.int64],
    ) -> None:
        """The kernel is given addresses of memory: nothing may point past an array."""
        count = len(lengths)
        apart = buffer.ndim == 2 and buffer.shape[1] > 1 and buffer.strides[1] != 1
        if buffer.dtype != np.uint8 or buffer.ndim != 2 or apart:
            raise ValueError("the buffer is an array of uint8, (rows, octets), its octets side by side")
        if not len(sockets) == len(rows) == count or destinations.shape != (count, WORDS):
            raise ValueError("each datagram has a length, a socket, a destination and a row")
        # One look at each column: as unsigned numbers, negative ones are too large.
        if (
            np.maximum.reduce(rows.view(np.uint64)) >= buffer.shape[0]
            or np.maximum.reduce(lengths.view(np.uint64)) > min(buffer.shape[1], LARGEST_DATAGRAM)
            or np.maximum.reduce(sockets.view(np.uint64)) >= len(self._filenos)
        ):
            raise ValueError("a row, a length or a socket is out of range")

    def _count_truncated(self, sockets: NDArray[Any]) -> None:
        np.add.at(self._truncated, sockets, 1)
        self.totals.truncated += len(sockets)


def _allow_sockets() -> None:
    """Let the process have as many descriptors as it may: a call takes two or four, and 1024 are usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # then there are fewer calls, and `open` says why


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _explain(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
