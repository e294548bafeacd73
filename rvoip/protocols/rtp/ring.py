"""An io_uring of Linux whose queues are numpy arrays.

The kernel works only inside `enter` and only for the thread that made the ring (SINGLE_ISSUER,
DEFER_TASKRUN): a datagram that comes in meanwhile costs no wake-up, and what both sides write is never
written at the same time.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import sys
from collections.abc import Callable
from mmap import MAP_ANONYMOUS, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ASYNC_CANCEL",
    "BUFFER",
    "MORE",
    "RECVMSG",
    "RECV_MULTISHOT",
    "SEND",
    "SQE_BUFFER_SELECT",
    "SQE_FIXED_FILE",
    "SQE_SKIP_SUCCESS",
    "Buffers",
    "Ring",
    "address_of",
]

# Operations and flags of linux/io_uring.h.
RECVMSG: Final = 10
ASYNC_CANCEL: Final = 14
SEND: Final = 26
SQE_FIXED_FILE: Final = 1 << 0
SQE_BUFFER_SELECT: Final = 1 << 5
SQE_SKIP_SUCCESS: Final = 1 << 6
RECV_MULTISHOT: Final = 1 << 1
BUFFER: Final = 1 << 0
"""Flag of a completion: it has a buffer, whose number is `flags >> 16`."""
MORE: Final = 1 << 1
"""Flag of a completion: its request goes on."""

_SETUP: Final = 425
_ENTER: Final = 426
_REGISTER: Final = 427

_CQSIZE: Final = 1 << 3
_CLAMP: Final = 1 << 4
_SUBMIT_ALL: Final = 1 << 7
_TASKRUN_FLAG: Final = 1 << 9
_SINGLE_ISSUER: Final = 1 << 12
_DEFER_TASKRUN: Final = 1 << 13
_FLAGS: Final = _CQSIZE | _CLAMP | _SUBMIT_ALL | _TASKRUN_FLAG | _SINGLE_ISSUER | _DEFER_TASKRUN

_SINGLE_MMAP: Final = 1 << 0
_NODROP: Final = 1 << 1
_GETEVENTS: Final = 1 << 0
_SQ_TASKRUN: Final = 1 << 2
_SQ_OVERFLOW: Final = 1 << 1

_REGISTER_EVENTFD: Final = 4
_REGISTER_FILES_UPDATE: Final = 6
_REGISTER_FILES2: Final = 13
_SPARSE: Final = 1 << 0
_REGISTER_PBUF_RING: Final = 22

_OFFSET_SQES: Final = 0x10000000
_SQE: Final = 64
_CQE: Final = 16

_Call = Callable[..., int]


def _load() -> _Call | None:
    # The numbers of the system calls and the layouts are those of every 64-bit Linux; tried on this one
    # alone.
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64" or sys.maxsize < 1 << 32:
        return None
    try:
        # PyDLL keeps the interpreter lock: the calls never wait.
        call: _Call = ctypes.PyDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        return None
    call.restype = ctypes.c_long  # type: ignore[attr-defined]
    return call


_CALL = _load()


def _kernel() -> tuple[int, int]:
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", os.uname().release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def address_of(array: NDArray[np.generic]) -> int:
    """Where an array lies in memory."""
    return int(array.__array_interface__["data"][0])


class Ring:
    """The submission and the completion queue.

    `entries` are submissions that one `enter` takes, `completions` are those that may wait to be read; both
    are powers of two. Raises OSError where the kernel has or permits no such ring.
    """

    def __init__(self, entries: int, completions: int) -> None:
        if _CALL is None:
            raise OSError(errno.ENOSYS, "not built for this platform")
        self._call = _CALL
        parameters = (ctypes.c_uint32 * 30)()
        parameters[1] = completions
        parameters[2] = _FLAGS
        self.fileno = self._checked(_SETUP, entries, ctypes.byref(parameters))
        try:
            if parameters[5] & (_SINGLE_MMAP | _NODROP) != _SINGLE_MMAP | _NODROP:
                raise OSError(errno.ENOSYS, "the kernel is too old")
            self._map(list(parameters))
        except BaseException:
            os.close(self.fileno)
            raise

    def _map(self, parameters: list[int]) -> None:
        self.entries, self.completion_entries = parameters[0], parameters[1]
        size = max(parameters[16] + self.entries * 4, parameters[25] + self.completion_entries * _CQE)
        access = {"flags": MAP_SHARED | MAP_POPULATE, "prot": PROT_READ | PROT_WRITE}
        rings = mmap(self.fileno, size, offset=0, **access)
        sqes = mmap(self.fileno, self.entries * _SQE, offset=_OFFSET_SQES, **access)
        words = memoryview(rings)[: size // 4 * 4].cast("I")
        self._words = words
        self._sq_head, self._sq_tail = parameters[10] // 4, parameters[11] // 4
        self._sq_flags = parameters[14] // 4
        self._cq_head, self._cq_tail = parameters[20] // 4, parameters[21] // 4
        # Submissions stand in the array in the order of their numbers, for good.
        start = parameters[16] // 4
        for number in range(self.entries):
            words[start + number] = number
        self.sqes: NDArray[np.uint64] = np.frombuffer(sqes, np.uint64).reshape(self.entries, _SQE // 8)
        """The submissions as words: (operation, offset, address, length, user data, addr_len in bits
        32-47, ...).
        """
        self._cqes = np.frombuffer(rings, np.uint64, self.completion_entries * 2, parameters[25]).reshape(
            -1, 2
        )

    def _checked(self, *arguments: object) -> int:
        result = self._call(*arguments)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def register_eventfd(self, descriptor: int) -> None:
        """Have `descriptor` signalled when there is something to `collect`. Raises OSError."""
        number = ctypes.c_int(descriptor)
        self._checked(_REGISTER, self.fileno, _REGISTER_EVENTFD, ctypes.byref(number), 1)

    def register_files(self, count: int) -> int:
        """Make a table of `count` open files, so that what is sent need not look its socket up; 0 where not.

        Before Linux 6.13 a file may leave the table late, and a port would not be free at once.
        """
        if _kernel() < (6, 13):
            return 0
        described = (ctypes.c_uint64 * 4)(count | _SPARSE << 32, 0, 0, 0)
        try:
            self._checked(_REGISTER, self.fileno, _REGISTER_FILES2, ctypes.byref(described), 32)
        except OSError:
            return 0
        return count

    def set_file(self, place: int, descriptor: int) -> None:
        """Put an open file into the table, or empty the place with -1. Raises OSError."""
        number = ctypes.c_int(descriptor)
        described = (ctypes.c_uint64 * 2)(place, ctypes.addressof(number))
        self._checked(_REGISTER, self.fileno, _REGISTER_FILES_UPDATE, ctypes.byref(described), 1)

    def register_buffers(self, address: int, entries: int, group: int) -> None:
        """Make a ring of provided buffers known. Raises OSError."""
        described = (ctypes.c_uint64 * 5)(address, entries | group << 32, 0, 0, 0)
        self._checked(_REGISTER, self.fileno, _REGISTER_PBUF_RING, ctypes.byref(described), 1)

    def slots(self) -> int:
        """Where in `sqes` the next submission stands; fill from there, wrapping, at most `entries`."""
        return self._words[self._sq_tail] & (self.entries - 1)

    def submit(self, count: int) -> int:
        """Have the kernel take the next `count` rows of `sqes`; returns how many it has taken.

        What does not have to wait (a send with MSG_DONTWAIT) is done when this returns. Raises OSError.
        """
        words, tail = self._words, self._sq_tail
        words[tail] = words[tail] + count & 0xFFFFFFFF
        taken = 0
        while taken < count:
            result = self._call(_ENTER, self.fileno, count - taken, 0, 0, None, 0)
            if result < 0:
                number = ctypes.get_errno()
                if number == errno.EINTR:
                    continue
                # The rest is not asked for again: what it says would be done late, with buffers of others.
                words[tail] = words[tail] - (count - taken) & 0xFFFFFFFF
                if number in (errno.EAGAIN, errno.EBUSY, errno.ENOMEM):
                    break
                raise OSError(number, os.strerror(number))
            if result == 0:
                words[tail] = words[tail] - (count - taken) & 0xFFFFFFFF
                break
            taken += result
        return taken

    def collect(self, enough: int) -> None:
        """Let the kernel do the work that waits for this thread, till none is left or `enough` is done."""
        words = self._words
        # One call does some twenty pieces of work.
        while True:
            result = self._call(_ENTER, self.fileno, 0, 0, _GETEVENTS, None, 0)
            if result < 0 and ctypes.get_errno() != errno.EINTR:
                return
            if not words[self._sq_flags] & (_SQ_TASKRUN | _SQ_OVERFLOW):
                return
            if (words[self._cq_tail] - words[self._cq_head]) & 0xFFFFFFFF >= enough:
                return

    def waiting(self) -> bool:
        """Whether there are completions to read."""
        return self._words[self._cq_tail] != self._words[self._cq_head]

    def completions(self) -> NDArray[np.uint64]:
        """Take all completions: a copy of shape `(n, 2)` with user data, and result | flags << 32."""
        words = self._words
        head, tail = words[self._cq_head], words[self._cq_tail]
        mask = self.completion_entries - 1
        first, end = head & mask, tail & mask
        if head == tail:
            taken = self._cqes[:0]
        elif first < end:
            taken = self._cqes[first:end].copy()
        else:
            taken = np.concatenate((self._cqes[first:], self._cqes[:end]))
        words[self._cq_head] = tail
        return taken

    def close(self) -> None:
        """Close the ring; its memory goes with the last array that shows it."""
        os.close(self.fileno)


class Buffers:
    """Memory that the kernel takes a buffer from for each datagram.

    There are `count` of them, a power of two, of `size` octets; they begin `stride` octets apart.
    Only some of them are on offer at first, so that the same few stay in the processor's cache; see
    `offer_more`.
    """

    def __init__(self, ring: Ring, count: int, size: int, stride: int, offered: int, group: int = 0) -> None:
        self.count = count
        self.group = group
        # Anonymous memory takes real pages only where datagrams have been.
        memory = mmap(-1, count * stride, MAP_PRIVATE | MAP_ANONYMOUS)
        self.octets: NDArray[np.uint8] = np.frombuffer(memory, np.uint8).reshape(count, stride)
        self.address = address_of(self.octets)
        self._queue_memory = mmap(-1, count * 16, MAP_SHARED | MAP_ANONYMOUS)
        queue = np.frombuffer(self._queue_memory, np.uint64).reshape(count, 2)
        self._places = queue[:, 0]
        self._lengths = queue.view(np.uint32)[:, 2]
        self._numbers = queue.view(np.uint16)[:, 6]
        self._tail = memoryview(self._queue_memory).cast("H")
        self._lengths[:] = size
        self._addresses = self.address + np.arange(count, dtype=np.uint64) * stride
        self._next = 0
        self.offered = 0
        ring.register_buffers(address_of(queue), count, group)
        self.offer_more(offered)

    def offer_more(self, count: int) -> bool:
        """Put up to `count` more buffers on offer; False where all are."""
        last = min(self.offered + count, self.count)
        if last == self.offered:
            return False
        self.give_back(np.arange(self.offered, last, dtype=np.uint16))
        self.offered = last
        return True

    def give_back(self, numbers: NDArray[np.uint16]) -> None:
        """Let the kernel have these buffers again."""
        start, count = self._next & self.count - 1, len(numbers)
        fit = min(count, self.count - start)
        self._places[start : start + fit] = self._addresses[numbers[:fit]]
        self._numbers[start : start + fit] = numbers[:fit]
        if fit < count:
            self._places[: count - fit] = self._addresses[numbers[fit:]]
            self._numbers[: count - fit] = numbers[fit:]
        self._next = self._next + count & 0xFFFF
        self._tail[7] = self._next  # shares the first entry with its buffer
