"""Many datagrams in one system call: recvmmsg(2) and sendmmsg(2) by ctypes.

Buffers and their descriptors are laid out once. The numbers that change with each call (lengths, addresses)
are read and written through memoryviews of the C structures, which costs tens of nanoseconds where a ctypes
field costs hundreds.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Callable, Sequence
from mmap import MADV_DONTNEED, MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Final

__all__ = ["BATCH", "LARGEST", "SO_TIMESTAMPNS", "ReceiveBatch", "SendBatch", "available"]

BATCH: Final = 64
"""Datagrams in one call, at most."""

LARGEST: Final = 65536
"""Octets that one receive buffer holds; no datagram is longer."""

NAME: Final = 28
"""Octets of the larger of sockaddr_in and sockaddr_in6."""

_GIVE_BACK: Final = 512 * 1024
"""A batch of more octets than this gives its pages back to the system."""

_DONT_WAIT: Final = 0x40  # MSG_DONTWAIT of Linux

SO_TIMESTAMPNS: Final = 35
"""The socket option, and the type of the control message, by which Linux tells when a datagram came."""

_SOL_SOCKET: Final = 1  # of Linux

_CONTROL: Final = 64
"""Octets for the control messages of one datagram: a time stamp takes 32."""

_STAMP: Final = struct.Struct("@Niiqq")  # struct cmsghdr, then struct timespec


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("iov", ctypes.c_void_p),
        ("iov_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("header", _Msghdr), ("length", ctypes.c_uint))


_Call = Callable[..., int]


def _load() -> tuple[_Call, _Call] | None:
    """The two functions of the C library, or None where the platform has none that we know the layout of."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        # PyDLL keeps the interpreter lock: the calls never wait, and giving the lock away for a microsecond
        # of work would let a busy thread keep it for milliseconds.
        library = ctypes.PyDLL(None, use_errno=True)
        receive, send = library.recvmmsg, library.sendmmsg
    except (OSError, AttributeError):
        return None
    # No argtypes: converting by them costs 0.3 us a call, and what is passed (ints, byref, None) needs none.
    receive.restype = send.restype = ctypes.c_int
    return receive, send


_CALLS = _load()


def available() -> bool:
    """Whether this platform can."""
    return _CALLS is not None


class _Headers:
    """`BATCH` mmsghdr structures with an iovec and a name each."""

    def __init__(self) -> None:
        self.headers = (_Mmsghdr * BATCH)()
        self.vectors = (_Iovec * BATCH)()
        self.names = bytearray(BATCH * NAME)
        self.address = ctypes.byref(self.headers)
        self._names_c = (ctypes.c_char * (BATCH * NAME)).from_buffer(self.names)
        self._name_length = 0
        vectors = ctypes.addressof(self.vectors)
        for index in range(BATCH):
            header = self.headers[index].header
            header.iov = vectors + index * ctypes.sizeof(_Iovec)
            header.iov_count = 1

    def lay_names(self, length: int) -> None:
        """Give each message a name of `length` octets: all that follows is of one address family."""
        if length == self._name_length:
            return
        self._name_length = length
        names = ctypes.addressof(self._names_c)
        for index in range(BATCH):
            header = self.headers[index].header
            header.name = names + index * length
            header.name_length = length


class ReceiveBatch:
    """Buffers for one recvmmsg. They may be shared by the sockets of one thread: see `receive`."""

    def __init__(self) -> None:
        if _CALLS is None:
            raise OSError(errno.ENOSYS, "recvmmsg is not available")
        self._call = _CALLS[0]
        # Anonymous memory takes real pages only where datagrams have been.
        self._buffers = mmap(-1, BATCH * LARGEST, MAP_PRIVATE | MAP_ANONYMOUS)
        self._parts = _Headers()
        self._base = (ctypes.c_char * (BATCH * LARGEST)).from_buffer(self._buffers)
        base = ctypes.addressof(self._base)
        for index in range(BATCH):
            vector = self._parts.vectors[index]
            vector.base = base + index * LARGEST
            vector.length = LARGEST
        words = memoryview(self._parts.headers).cast("B").cast("I")
        step = ctypes.sizeof(_Mmsghdr) // 4
        self._lengths = words[_Mmsghdr.length.offset // 4 :: step]
        # The kernel writes back the length of each name: always the same for a socket's family.
        self._control: bytearray | None = None

    def receive(self, fileno: int, name_length: int) -> list[tuple[bytes, bytes]]:
        """Take what has arrived, at most `BATCH` datagrams: (datagram, sockaddr) pairs in order of arrival.

        `name_length` is the size of the sockaddr of the socket's family (16 or 28). Empty when there is
        nothing. Raises OSError.
        """
        parts = self._parts
        parts.lay_names(name_length)
        count = self._call(fileno, parts.address, BATCH, _DONT_WAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(number, os.strerror(number))
        buffers = self._buffers
        names = parts.names
        if count == 1:
            return [(buffers[: self._lengths[0]], bytes(names[:name_length]))]
        batch = []
        start = name = 0
        lengths = self._lengths[:count].tolist()
        for length in lengths:
            batch.append((buffers[start : start + length], bytes(names[name : name + name_length])))
            start += LARGEST
            name += name_length
        if sum(lengths) > _GIVE_BACK:
            # A burst of giants shall not keep its four megabytes for ever.
            buffers.madvise(MADV_DONTNEED)
        return batch

    def receive_dated(self, fileno: int, name_length: int) -> list[tuple[bytes, bytes, float]]:
        """As `receive`, each datagram with the wall time at which it came into the socket.

        For sockets with SO_TIMESTAMPNS; 0.0 for a datagram of which the kernel does not tell.
        """
        control = self._control
        if control is None:
            control = self._control = bytearray(BATCH * _CONTROL)
            self._control_c = (ctypes.c_char * len(control)).from_buffer(control)
        else:
            control[:] = bytes(len(control))
        start = ctypes.addressof(self._control_c)
        headers = self._parts.headers
        for index in range(BATCH):
            header = headers[index].header
            header.control = start + index * _CONTROL
            header.control_length = _CONTROL
        try:
            batch = self.receive(fileno, name_length)
        finally:
            # The ordinary way does without.
            for index in range(BATCH):
                header = headers[index].header
                header.control = None
                header.control_length = 0
        return [
            (datagram, name, _wall_time(control, index * _CONTROL))
            for index, (datagram, name) in enumerate(batch)
        ]


def _wall_time(control: bytearray, offset: int) -> float:
    length, level, kind, seconds, nanoseconds = _STAMP.unpack_from(control, offset)
    if length < _STAMP.size or level != _SOL_SOCKET or kind != SO_TIMESTAMPNS:
        return 0.0
    return float(seconds) + float(nanoseconds) / 1e9


class SendBatch:
    """Descriptors for one sendmmsg."""

    def __init__(self) -> None:
        if _CALLS is None:
            raise OSError(errno.ENOSYS, "sendmmsg is not available")
        self._call = _CALLS[1]
        self._parts = _Headers()
        self._vectors = memoryview(self._parts.vectors).cast("B").cast("L")  # size_t on Linux

    def send(self, fileno: int, name_length: int, datagrams: Sequence[bytes], names: Sequence[bytes]) -> int:
        """Send these datagrams, at most `BATCH`, each to its sockaddr of `name_length` octets.

        Returns how many went out. When that is not all, the next one is at fault; when it is the first,
        OSError is raised.
        """
        parts = self._parts
        parts.lay_names(name_length)
        count = len(datagrams)
        joined = b"".join(datagrams)
        base = ctypes.cast(ctypes.c_char_p(joined), ctypes.c_void_p).value or 0
        vectors = self._vectors
        index = 0
        for datagram in datagrams:
            length = len(datagram)
            vectors[index] = base
            vectors[index + 1] = length
            base += length
            index += 2
        parts.names[: count * name_length] = b"".join(names)
        sent = self._call(fileno, parts.address, count, _DONT_WAIT)
        if sent < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return sent
