"""Ports of any back end, for the tests that all of them pass."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest

from rvoip.protocols.rtp.addresses import pack_addresses
from rvoip.protocols.rtp.batch import Batch, BatchPort
from rvoip.protocols.rtp.choose import BACK_ENDS
from rvoip.protocols.rtp.errors import PortError

HOST = "127.83.1.1"
OTHER = "127.83.1.2"


def has_ipv6() -> bool:
    """Whether ::1 can be bound."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
            return True
    except OSError:
        return False


def resident() -> int:
    """Octets of memory that the process really has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def rows_of(datagrams: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Datagrams as a buffer and their lengths."""
    width = max(1, *(len(datagram) for datagram in datagrams))
    octets = bytearray().join([datagram.ljust(width, b"\xee") for datagram in datagrams])
    buffer = np.frombuffer(octets, np.uint8).reshape(-1, width)
    return buffer, np.array([len(datagram) for datagram in datagrams], np.int32)


class Came:
    """What a port handed over, copied out of its batches: (socket, datagram, source row, arrived)."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[int, bytes, bytes, float]] = []
        self.batches: list[int] = []
        self._waiting: tuple[Callable[[], bool], Deferred[None]] | None = None

    def take(self, batch: Batch) -> None:
        self.batches.append(batch.count)
        buffer = batch.buffer
        for i in range(batch.count):
            datagram = buffer[i, : batch.lengths[i]].tobytes()
            assert datagram == batch.datagram(i)
            row = batch.sources[i].tobytes()
            self.datagrams.append((int(batch.sockets[i]), datagram, row, float(batch.arrived[i])))
        if self._waiting is not None and self._waiting[0]():
            waiting, self._waiting = self._waiting[1], None
            waiting.callback(None)

    def of(self, index: int) -> list[bytes]:
        """The datagrams of one socket, in order."""
        return [datagram for socket_index, datagram, _, _ in self.datagrams if socket_index == index]

    def count(self, number: int) -> Deferred[None]:
        """Fires when so many have come in all."""
        fired: Deferred[None] = Deferred()
        if len(self.datagrams) >= number:
            fired.callback(None)
        else:
            self._waiting = (lambda: len(self.datagrams) >= number, fired)
        return fired


class PortSuite:
    """A port of one back end, in tests that all back ends pass."""

    kind: str
    timeout = 20
    # Of TestCase, which each subclass adds.
    addCleanup: Any
    assertEqual: Any
    assertRaises: Any
    assertTrue: Any
    assertLess: Any
    assertGreater: Any
    assertNotIn: Any
    assertFalse: Any
    flushLoggedErrors: Any

    def make(self, received: Callable[[Batch], object] | None = None, **options: Any) -> BatchPort:
        """A port that hands over to `received`, or to `self.came`, and is stopped when the test is over."""
        port = BACK_ENDS[self.kind](reactor, **options)
        self.came = Came()
        try:
            port.start(received or self.came.take)
        except PortError as error:
            raise SkipTest(str(error)) from None
        self.addCleanup(port.stop)
        return port

    def make_unread(self, **options: Any) -> BatchPort:
        """A port that is only read by hand."""
        port = self.make(**options)
        port.stop()
        port.start()
        return port

    def send(self, port: BatchPort, index: int, datagrams: list[bytes], *to: tuple[str, int]) -> int:
        """Send from one socket, to one address or one each."""
        destinations = pack_addresses(to if len(to) > 1 else to * len(datagrams))
        buffer, lengths = rows_of(datagrams)
        return port.send(buffer, lengths, np.full(len(lengths), index), destinations)
