"""The batch port over io_uring: no system call and no Python statement for a single datagram.

Each socket has one request that receives for ever (multishot) into buffers that all sockets share; a read
takes the completions as columns. A send fills submissions as columns and enters the kernel once. Sends
never wait, so when `send` returns nothing of it is in flight.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rvoip.protocols.rtp.addresses import IPV6
from rvoip.protocols.rtp.batch import SLOT, Batch, BatchPort
from rvoip.protocols.rtp.ring import (
    ASYNC_CANCEL,
    BUFFER,
    MORE,
    RECV_MULTISHOT,
    RECVMSG,
    SEND,
    SQE_BUFFER_SELECT,
    SQE_FIXED_FILE,
    SQE_SKIP_SUCCESS,
    Buffers,
    Ring,
    address_of,
)

__all__ = ["UringPort"]

BUFFERS: Final = 16_384
"""Datagrams that may be held: being read, or come and not read yet. More wait in their sockets."""

FIRST_BUFFERS: Final = 1024
"""Buffers that are used while they are enough."""

FILES: Final = 16_384
"""Sockets that are sent from without being looked up; those beyond are."""

ENTRIES: Final = 1024
"""Submissions of one system call; few, because they are written again and again."""

# A buffer begins with what recvmsg tells (struct io_uring_recvmsg_out), the source and the control messages.
_HEADER: Final = 16
_NAME: Final = 32
_CONTROL: Final = 32
_SPACE: Final = 64  # octets after the datagram, so that not all buffers begin in the same lines of the cache

_TRUNCATED: Final = 0x20  # MSG_TRUNC
_DONT_WAIT: Final = 0x40  # MSG_DONTWAIT

_NO_BUFFERS: Final = -105  # ENOBUFS
_NO_ROOM: Final = (-11, _NO_BUFFERS)  # EAGAIN

# User data: what a completion is of (bits 56-63), the generation of the socket (32-55), its index or the
# position of the datagram (0-31).
_OF_SEND: Final = 1 << 56
_OF_CANCEL: Final = 2 << 56
_GENERATIONS: Final = 1 << 24

_USUAL: Final = BUFFER | MORE

_DRAIN_TURNS: Final = 1000

_NO_TAG: Final = 0xFFFFFFFFFFFFFFFF
_NO_FILE: Final = 0xFFFFFFFF << 32

_NOTHING: Final = np.zeros(0, np.int64)

_never_freed: list[object] = []
"""Memory of rings that could not be emptied: the kernel may still write there."""


class UringPort(BatchPort):
    """The batch port over io_uring; raises PortError at `start` where the kernel has or permits none."""

    name = "uring"

    def _begin(self) -> int:
        self._control = _CONTROL if self._stamped else 0
        self._offset = _HEADER + _NAME + self._control
        size = self._offset + SLOT
        # Completions are never more than buffers on offer, sockets that end, and sends that fail.
        self._ring = Ring(ENTRIES, 2 * max(BUFFERS, ENTRIES))
        self._event = -1
        try:
            self._buffers = Buffers(self._ring, BUFFERS, size, size + _SPACE, FIRST_BUFFERS)
            self._files = self._ring.register_files(min(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
            self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._ring.register_eventfd(self._event)
        except BaseException:
            if self._event >= 0:
                os.close(self._event)
            self._ring.close()
            raise
        octets = self._buffers.octets
        self._pool = octets[:, self._offset : self._offset + SLOT]
        # What a buffer begins with, as one item a buffer: taken in one piece.
        self._heads = octets[:, : self._offset].view(f"V{self._offset}")[:, 0]
        self._held = np.zeros(0, np.uint16)
        # struct msghdr that all requests read from: only the sizes of name and control count.
        self._msghdr = np.array([0, _NAME, 0, 0, 0, self._control, 0], np.uint64)
        self._tags = _no_tags(len(self._filenos))
        self._templates = _no_sockets(len(self._filenos))
        self._generation = 0
        self._requests = 0
        self._seen_ipv6 = self._starved = False
        self._steps = np.arange(ENTRIES)
        self._ended: list[int] = []
        self._early: list[NDArray[np.uint64]] = []
        return self._event

    def _end(self) -> None:
        self._drain()
        self._ring.close()
        os.close(self._event)
        if self._requests:
            _never_freed.append((self._ring, self._buffers, self._msghdr))
        del self._ring, self._buffers, self._pool, self._heads

    def _drain(self) -> None:
        """Wait for the requests that were cancelled: each ends when the kernel is entered, if not before."""
        for _ in range(_DRAIN_TURNS):
            self._completed(self._completions())
            if not self._requests:
                return
            self._ring.collect(BUFFERS)

    def _clear(self) -> None:
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            pass

    # Sockets.

    def _grow(self, rows: int) -> None:
        super()._grow(rows)
        more = rows - len(self._tags)
        self._tags = np.concatenate((self._tags, _no_tags(more)))
        self._templates = np.concatenate((self._templates, _no_sockets(more)))

    def _attach(self, index: int, opened: socket.socket) -> int:
        fileno = opened.fileno()
        ipv6 = opened.family == socket.AF_INET6
        self._seen_ipv6 |= ipv6
        # No completion of an earlier socket with this index passes for one of this.
        self._generation = (self._generation + 1) % _GENERATIONS
        self._tags[index] = self._generation << 32 | index
        template = self._templates[index]
        if index < self._files:
            self._ring.set_file(index, fileno)
            template[0] = SEND | (SQE_SKIP_SUCCESS | SQE_FIXED_FILE) << 8 | index << 32
        else:
            template[0] = SEND | SQE_SKIP_SUCCESS << 8 | fileno << 32
        template[5] = (28 if ipv6 else 16) << 32
        if not self._receive_on(index, fileno):
            self._forget(index)
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return opened.detach()

    def _receive_on(self, index: int, fileno: int) -> bool:
        sqe = self._ring.sqes[self._ring.slots()]
        sqe[0] = RECVMSG | SQE_BUFFER_SELECT << 8 | RECV_MULTISHOT << 16 | fileno << 32
        sqe[1] = 0
        sqe[2] = address_of(self._msghdr)
        sqe[3] = 1
        sqe[4] = self._tags[index]
        sqe[5] = self._buffers.group
        sqe[6:] = 0
        if self._ring.submit(1) != 1:
            return False
        self._requests += 1
        return True

    def _forget(self, index: int) -> None:
        self._tags[index] = _NO_TAG
        self._templates[index] = _no_sockets(1)
        if index < self._files:
            self._ring.set_file(index, -1)

    def _detach(self, index: int, fileno: int) -> None:
        tag = int(self._tags[index])
        self._forget(index)
        sqe = self._ring.sqes[self._ring.slots()]
        sqe[:] = 0
        sqe[0] = ASYNC_CANCEL | SQE_SKIP_SUCCESS << 8 | _NO_FILE
        sqe[2] = tag
        sqe[4] = _OF_CANCEL
        self._ring.submit(1)
        os.close(fileno)
        # The request holds the socket, and with it the port, till it has ended.
        self._ring.collect(BUFFERS)

    # Datagrams in.

    def _read(self) -> Batch:
        self._give_back()
        if self._ended:
            self._begin_again()
        self._ring.collect(self._buffers.offered)
        completions = self._completions()
        now = time.monotonic()
        batch = self._batch(self._completed(completions), now)
        if self._ended and self._is_room(batch.count):
            self._begin_again()
        self.totals.received += batch.count
        return batch

    def _completions(self) -> NDArray[np.uint64]:
        completions = self._ring.completions()
        if self._early:
            completions = np.concatenate((*self._early, completions))
            self._early.clear()
        return completions

    def _is_room(self, held: int) -> bool:
        """Whether there are buffers for the requests that have ended."""
        if not self._starved:
            return True  # they ended for another reason
        self._starved = False
        if self._buffers.offer_more(self._buffers.offered):
            return True
        if not held:
            self._give_back()
        return not held  # otherwise there is room when this batch has been handled

    def _give_back(self) -> None:
        if len(self._held):
            self._buffers.give_back(self._held)
            self._held = self._held[:0]

    def _begin_again(self) -> None:
        """Receive anew where a request has ended: for want of buffers, or by an empty datagram."""
        tags, self._ended = self._ended, []
        current = [tag for tag in tags if self._tags[tag & 0xFFFFFFFF] == tag]
        for position, tag in enumerate(current):
            index = tag & 0xFFFFFFFF
            if not self._receive_on(index, int(self._filenos[index])):
                self._ended = current[position:]
                return

    def _completed(self, completions: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Note which requests have ended; returns the completions that have a buffer with a datagram."""
        flags = completions.view(np.uint16)[:, 6]
        if np.bitwise_and.reduce(flags) & _USUAL == _USUAL:
            return completions
        tags = completions[:, 0].view(np.int64)
        receives = tags < _OF_SEND
        ended = receives & (flags & MORE == 0)
        if ended.any():
            self._requests -= int(np.count_nonzero(ended))
            results = completions.view(np.int32)[ended, 2]
            starved = int(np.count_nonzero(results == _NO_BUFFERS))
            self.totals.starved += starved
            self._starved |= starved > 0
            self._ended += tags[ended].tolist()
        held: NDArray[np.uint64] = completions[receives & (flags & BUFFER != 0)]
        return held

    def _batch(self, completions: NDArray[np.uint64], now: float) -> Batch:
        self._held = completions.view(np.uint16)[:, 7].copy()
        rows = self._held.astype(np.int64)
        sockets = completions.view(np.int32)[:, 0].copy()
        heads = self._heads[rows].view(np.uint64).reshape(len(rows), self._offset // 8)
        told = heads[:, 1]  # length, and flags of recvmsg
        wanted = self._tags[sockets] == completions[:, 0]
        if int(np.bitwise_or.reduce(told)) & _TRUNCATED << 32:
            cut = told & (_TRUNCATED << 32) != 0
            self._count_truncated(sockets[cut & wanted])
            wanted &= ~cut
        if not np.logical_and.reduce(wanted):
            rows, sockets, heads = rows[wanted], sockets[wanted], heads[wanted]
        sources = heads[:, 2:6].copy()
        if self._seen_ipv6:
            # The kernel writes no more than a name has, and the buffer may have had a longer one.
            sources[sources[:, 0] & 0xFFFF != IPV6, 2:] = 0
        lengths = heads.view(np.int32)[:, 2].copy()
        arrived = np.empty(len(rows))
        arrived.fill(now)
        if self._stamped:
            arrived = _stamps(heads, arrived, now - time.time())
        return Batch(len(rows), self._pool, rows, lengths, sockets, sources, arrived)

    # Datagrams out.

    def _write(
        self,
        buffer: NDArray[np.uint8],
        lengths: NDArray[np.int64],
        sockets: NDArray[np.int64],
        destinations: NDArray[np.uint64],
        rows: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        if len(rows) > len(self._steps):
            self._steps = np.arange(len(rows))
        names, places = address_of(destinations), rows * buffer.strides[0] + address_of(buffer)
        steps = self._steps[: len(rows)]
        self._submit(sockets, names, steps, places, lengths)
        if not self._early and not self._ring.waiting():
            return _NOTHING
        failed, full = self._failures()
        if len(full):
            self._submit(sockets[full], names, steps[full], places[full], lengths[full])
            failed = np.concatenate((failed, *self._failures()))
        return np.sort(failed)

    def _submit(
        self,
        sockets: NDArray[np.int64],
        names: int,
        positions: NDArray[np.int64],
        places: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        """Send from `sockets` the octets at `places`, to the addresses at these positions after `names`."""
        ring, start, count = self._ring, 0, len(sockets)
        while start < count:
            slot = ring.slots()
            end = min(count, start + ring.entries - slot)
            sqes = ring.sqes[slot : slot + end - start]
            np.take(self._templates, sockets[start:end], 0, sqes, "clip")
            words = sqes.view(np.int64)
            np.multiply(positions[start:end], _NAME, words[:, 1])
            words[:, 1] += names
            words[:, 2] = places[start:end]
            sqes.view(np.uint32)[:, 6] = lengths[start:end]
            np.bitwise_or(positions[start:end], _OF_SEND, words[:, 4])
            taken = ring.submit(end - start)
            if taken < end - start:
                # No memory for requests: as if each had been answered so.
                self._early.append(_refused(positions[start + taken : end]))
            start = end

    def _failures(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions of the datagrams that were refused, and of those for which there was no room."""
        completions = self._completions()
        of_send = completions[:, 0] >> 56 == _OF_SEND >> 56
        if not of_send.all():
            self._early.append(completions[~of_send])
        failures = completions[of_send]
        positions = (failures[:, 0] & 0xFFFFFFFF).astype(np.int64)
        full = np.isin(failures.view(np.int32)[:, 2], _NO_ROOM)
        return positions[~full], positions[full]


def _no_tags(count: int) -> NDArray[np.uint64]:
    return np.full(count, _NO_TAG, np.uint64)


def _no_sockets(count: int) -> NDArray[np.uint64]:
    """Submissions that send from no socket, and so fail."""
    rows = np.zeros((count, 8), np.uint64)
    rows[:, 0] = SEND | SQE_SKIP_SUCCESS << 8 | _NO_FILE
    rows[:, 3] = _DONT_WAIT << 32
    return rows


def _refused(positions: NDArray[np.int64]) -> NDArray[np.uint64]:
    completions = np.empty((len(positions), 2), np.uint64)
    completions[:, 0] = positions | _OF_SEND
    completions[:, 1] = _NO_BUFFERS & 0xFFFFFFFF
    return completions


def _stamps(heads: NDArray[np.uint64], arrived: NDArray[np.float64], offset: float) -> NDArray[np.float64]:
    """When the kernel got each datagram, by its control message (cmsghdr, timespec), plus `offset`."""
    stamped = heads[:, 0] >> 32 >= _CONTROL
    times = heads[:, 8].astype(np.float64) + heads[:, 9] * 1e-9 + offset
    return np.where(stamped, np.minimum(times, arrived), arrived)
