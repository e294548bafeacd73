"""The batch port over epoll, recvmmsg and sendmmsg: one system call for each socket that has something.

Where the kernel has no io_uring for us, this is the next best. The structures of the C library are laid out
once and their numbers are numpy columns; Python runs per socket, not per datagram.
"""

from __future__ import annotations

import ctypes
import errno
import select
import socket
import sys
import time
from collections.abc import Callable
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rvoip.protocols.rtp.addresses import IPV6, WORDS
from rvoip.protocols.rtp.batch import SLOT, Batch, BatchPort
from rvoip.protocols.rtp.ring import address_of

__all__ = ["MmsgPort"]

BUFFERS: Final = 4096
"""Datagrams of one batch; more wait in their sockets."""

AT_ONCE: Final = 16
"""Datagrams that are read from one socket before others have their turn."""

_STRIDE: Final = SLOT + 64  # so that buffers do not all begin in the same lines of the cache
_HEADER: Final = 64  # octets of struct mmsghdr
_CONTROL: Final = 32

_TRUNCATED: Final = 0x20  # MSG_TRUNC
_DONT_WAIT: Final = 0x40  # MSG_DONTWAIT

_NO_ROOM: Final = (errno.EAGAIN, errno.ENOBUFS)

_NOTHING: Final = np.zeros(0, np.int64)

_Call = Callable[..., int]


def _load() -> tuple[_Call, _Call] | None:
    """recvmmsg and sendmmsg, or None where the layout of their structures is not the one known here."""
    if not sys.platform.startswith("linux") or sys.maxsize < 1 << 32 or sys.byteorder != "little":
        return None
    try:
        # PyDLL keeps the interpreter lock: the calls never wait, and to give the lock away for a microsecond
        # would let a busy thread keep it for milliseconds.
        library = ctypes.PyDLL(None, use_errno=True)
        receive, send = library.recvmmsg, library.sendmmsg
    except (OSError, AttributeError):
        return None
    # No argtypes: to convert by them costs 0.3 us a call.
    receive.restype = send.restype = ctypes.c_int
    return receive, send


_CALLS = _load()


class _Messages:
    """`count` structures mmsghdr with an iovec each, as columns."""

    def __init__(self, count: int) -> None:
        words = np.zeros((count, _HEADER // 8), np.uint64)
        self._words = words
        halves = words.view(np.uint32)
        vectors = np.zeros((count, 2), np.uint64)
        self._vectors = vectors
        self.names = words[:, 0]
        self.name_lengths = halves[:, 2]
        self.controls = words[:, 4]
        self.control_lengths = words[:, 5]
        self.flags = halves[:, 12]
        self.lengths = halves[:, 14]
        self.bases = vectors[:, 0]
        self.sizes = vectors[:, 1]
        words[:, 2] = address_of(vectors) + np.arange(count, dtype=np.uint64) * 16
        words[:, 3] = 1
        first = address_of(words)
        self.pointers = [ctypes.c_void_p(first + row * _HEADER) for row in range(count)]


class MmsgPort(BatchPort):
    """The batch port over recvmmsg and sendmmsg; `start` raises PortError where the platform has neither."""

    name = "mmsg"

    def _begin(self) -> int:
        if _CALLS is None:
            raise OSError(errno.ENOSYS, "not built for this platform")
        self._receive, self._send = _CALLS
        memory = mmap(-1, BUFFERS * _STRIDE, MAP_PRIVATE | MAP_ANONYMOUS)
        self._pool = np.frombuffer(memory, np.uint8).reshape(BUFFERS, _STRIDE)[:, :SLOT]
        # A read lays itself into the rows from the first on: the same few stay in the processor's cache.
        self._names = np.zeros((BUFFERS, WORDS), np.uint64)
        self._controls = np.zeros((BUFFERS, _CONTROL // 8), np.uint64)
        self._in = _Messages(BUFFERS)
        self._in.bases[:] = address_of(self._pool) + np.arange(BUFFERS) * _STRIDE
        self._in.sizes[:] = SLOT
        self._in.names[:] = address_of(self._names) + np.arange(BUFFERS) * self._names.strides[0]
        if self._stamped:
            self._in.controls[:] = address_of(self._controls) + np.arange(BUFFERS) * _CONTROL
        self._lay(BUFFERS)
        self._out = _Messages(BUFFERS)
        self._families = np.zeros(len(self._filenos), np.uint32)
        self._indices: dict[int, int] = {}
        self._epoll = select.epoll()
        return self._epoll.fileno()

    def _end(self) -> None:
        self._epoll.close()

    def _lay(self, rows: int) -> None:
        """Undo what the kernel has written into the first rows."""
        self._in.name_lengths[:rows] = 28
        if self._stamped:
            self._in.control_lengths[:rows] = _CONTROL

    # Sockets.

    def _grow(self, rows: int) -> None:
        super()._grow(rows)
        self._families = np.concatenate((self._families, np.zeros(rows - len(self._families), np.uint32)))

    def _attach(self, index: int, opened: socket.socket) -> int:
        self._epoll.register(opened.fileno(), select.EPOLLIN)
        self._families[index] = 28 if opened.family == socket.AF_INET6 else 16
        self._indices[opened.fileno()] = index
        return opened.detach()

    def _detach(self, index: int, fileno: int) -> None:
        del self._indices[fileno]
        # The kernel takes it out of the epoll with the last descriptor; of ours there is one.
        socket.close(fileno)

    # Datagrams in.

    def _read(self) -> Batch:
        sockets: list[int] = []
        counts: list[int] = []
        count = 0
        more = True
        while more:
            # Who has more than one reading takes has to wait till all others were read.
            more = False
            for fileno, _ in self._epoll.poll(0, BUFFERS):
                room = BUFFERS - count
                if room == 0:
                    break
                wanted = min(AT_ONCE, room)
                taken = self._receive(fileno, self._in.pointers[count], wanted, _DONT_WAIT, None)
                if taken > 0:
                    sockets.append(self._indices[fileno])
                    counts.append(taken)
                    count += taken
                    more |= taken == wanted
        now = time.monotonic()
        rows = np.arange(count)
        owners = np.repeat(np.array(sockets, np.int32), counts)
        cut = self._in.flags[:count] & _TRUNCATED != 0
        if cut.any():
            self._count_truncated(owners[cut])
            rows, owners = rows[~cut], owners[~cut]
        sources = self._names[rows]
        sources[sources[:, 0] & 0xFFFF != IPV6, 2:] = 0
        arrived = np.full(len(rows), now)
        if self._stamped:
            arrived = self._stamps(rows, arrived, now - time.time())
        lengths = self._in.lengths[rows].astype(np.int32)
        self._lay(count)
        self.totals.received += len(rows)
        return Batch(len(rows), self._pool, rows, lengths, owners, sources, arrived)

    def _stamps(
        self, rows: NDArray[np.int64], arrived: NDArray[np.float64], offset: float
    ) -> NDArray[np.float64]:
        """When the kernel got each datagram, by its control message (cmsghdr, timespec), plus `offset`."""
        control = self._controls[rows]
        times = control[:, 2].astype(np.float64) + control[:, 3] * 1e-9 + offset
        return np.where(self._in.control_lengths[rows] >= _CONTROL, np.minimum(times, arrived), arrived)

    # Datagrams out.

    def _write(
        self,
        buffer: NDArray[np.uint8],
        lengths: NDArray[np.int64],
        sockets: NDArray[np.int64],
        destinations: NDArray[np.uint64],
        rows: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        # Those of one socket stand together, in their order.
        order = np.argsort(sockets, kind="stable")
        failed: list[int] = []
        for start in range(0, len(order), BUFFERS):
            part = order[start : start + BUFFERS]
            count, owners, out = len(part), sockets[part], self._out
            out.names[:count] = address_of(destinations) + part * destinations.strides[0]
            out.name_lengths[:count] = self._families[owners]
            out.bases[:count] = address_of(buffer) + rows[part] * buffer.strides[0]
            out.sizes[:count] = lengths[part]
            begins = np.flatnonzero(np.concatenate(([True], owners[1:] != owners[:-1])))
            ends = np.append(begins[1:], count)
            refused = self._send_runs(self._filenos[owners[begins]].tolist(), begins.tolist(), ends.tolist())
            if refused:
                failed += part[refused].tolist()
        return np.sort(np.array(failed, np.int64)) if failed else _NOTHING

    def _send_runs(self, filenos: list[int], begins: list[int], ends: list[int]) -> list[int]:
        send, pointers = self._send, self._out.pointers
        refused: list[int] = []
        for fileno, begin, end in zip(filenos, begins, ends):
            sent = send(fileno, pointers[begin], end - begin, _DONT_WAIT)
            if sent != end - begin:
                refused += self._go_on(fileno, begin + max(sent, 0), end)
        return refused

    def _go_on(self, fileno: int, begin: int, end: int) -> list[int]:
        """Send the rest of a run, of which the first was refused or had no room; returns what was refused."""
        refused = []
        tried = -1
        while begin < end:
            sent = self._send(fileno, self._out.pointers[begin], end - begin, _DONT_WAIT)
            if sent > 0:
                begin += sent
            elif ctypes.get_errno() in _NO_ROOM and tried != begin:
                tried = begin
            else:
                refused.append(begin)
                begin += 1
        return refused
