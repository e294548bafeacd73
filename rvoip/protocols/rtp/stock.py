"""The batch port over the reactor's own UDP ports: for every platform and reactor, at a call a datagram."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from twisted.internet import udp
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IDelayedCall, IReactorSocket
from twisted.internet.protocol import DatagramProtocol

from rvoip.protocols.rtp.addresses import WORDS, pack_address, unpack_address
from rvoip.protocols.rtp.batch import SLOT, Batch, BatchPort
from rvoip.protocols.rtp.pace import NO_DESCRIPTOR

__all__ = ["StockPort"]

HELD: Final = 16_384
"""Datagrams that may wait to be read; more are dropped and counted."""

REMEMBERED: Final = 4096
"""Addresses whose other form is remembered."""

_LONGEST: Final = 65_536

_NO_ROOM: Final = (errno.EAGAIN, errno.ENOBUFS)

_Address = tuple[str, int]


class _Receiver(DatagramProtocol):
    """One socket: what comes in waits with that of the others."""

    noisy = False

    def __init__(self, port: StockPort, index: int) -> None:
        self._port = port
        self._index = index

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._port.datagram_came(self._index, datagram, addr)


class StockPort(BatchPort):
    """The batch port over a reactor that provides IReactorSocket."""

    name = "stock"

    def _begin(self) -> int:
        if not IReactorSocket.providedBy(self._reactor):
            raise OSError(errno.ENOSYS, "the reactor adopts no sockets")
        self._ports: dict[int, udp.Port] = {}
        self._held: list[tuple[int, bytes, bytes, float]] = []
        self._rows: dict[_Address, bytes] = {}
        self._names: dict[bytes, _Address] = {}
        self._call: IDelayedCall | None = None
        return NO_DESCRIPTOR

    def _end(self) -> None:
        self._held.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    # Sockets.

    def _attach(self, index: int, opened: socket.socket) -> int:
        with opened:
            port: Any = IReactorSocket(self._reactor).adoptDatagramPort(
                opened.fileno(), opened.family, _Receiver(self, index), _LONGEST
            )
        self._ports[index] = port
        return int(port.fileno())

    def _detach(self, index: int, fileno: int) -> None:
        port = self._ports.pop(index)
        # `stopListening` frees the port only in the reactor's next turn.
        port.stopReading()
        port.connectionLost()
        self._held = [held for held in self._held if held[0] != index]

    # Datagrams in.

    def datagram_came(self, index: int, datagram: bytes, address: _Address) -> None:
        """Keep a datagram till the next reading."""
        if len(datagram) > SLOT:
            self._count_truncated(np.array([index]))
            return
        if len(self._held) >= HELD:
            self.totals.overflowed += 1
            return
        try:
            row = self._rows[address]
        except KeyError:
            if len(self._rows) >= REMEMBERED:
                self._rows.clear()
            row = self._rows[address] = _row(address)
        self._held.append((index, datagram, row, time.monotonic()))
        if self._pace is not None and not self._pace.busy and self._call is None:
            # What other sockets have comes in the same turn of the reactor.
            self._call = self._reactor.callLater(0, self._announce)

    def _announce(self) -> None:
        self._call = None
        if self._pace is not None:
            self._pace.something_came()

    def _read(self) -> Batch:
        held, self._held = self._held, []
        count = len(held)
        octets = bytearray().join([datagram.ljust(SLOT, b"\0") for _, datagram, _, _ in held])
        names = bytearray().join([row for _, _, row, _ in held])
        self.totals.received += count
        return Batch(
            count,
            np.frombuffer(octets, np.uint8).reshape(count, SLOT),
            np.arange(count),
            np.array([len(datagram) for _, datagram, _, _ in held], np.int32),
            np.array([index for index, _, _, _ in held], np.int32),
            np.frombuffer(names, np.uint64).reshape(count, WORDS),
            np.array([arrived for _, _, _, arrived in held], np.float64),
        )

    # Datagrams out.

    def _write(
        self,
        buffer: NDArray[np.uint8],
        lengths: NDArray[np.int64],
        sockets: NDArray[np.int64],
        destinations: NDArray[np.uint64],
        rows: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        refused = []
        columns = zip(rows.tolist(), lengths.tolist(), sockets.tolist())
        for position, (row, length, index) in enumerate(columns):
            if not self._send_one(index, buffer[row, :length].tobytes(), destinations[position]):
                refused.append(position)
        return np.array(refused, np.int64)

    def _send_one(self, index: int, datagram: bytes, destination: NDArray[np.uint64]) -> bool:
        port = self._ports.get(index)
        if port is None:
            return False
        try:
            address = self._name(destination)
            try:
                port.write(datagram, address)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                port.write(datagram, address)
        except (OSError, ValueError, MessageLengthError):  # InvalidAddressError is a ValueError
            return False
        return True

    def _name(self, row: NDArray[np.uint64]) -> _Address:
        octets = row.tobytes()
        try:
            return self._names[octets]
        except KeyError:
            if len(self._names) >= REMEMBERED:
                self._names.clear()
            name = self._names[octets] = unpack_address(row)
            return name


def _row(address: _Address) -> bytes:
    host, port = address
    host, _, zone = host.partition("%")
    if zone:
        host = f"{host}%{zone if zone.isdigit() else socket.if_nametoindex(zone)}"
    return pack_address(host, port).tobytes()
