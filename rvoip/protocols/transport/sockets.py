"""What the kernel is asked about sockets and addresses."""

from __future__ import annotations

import errno
import socket
import struct
import sys

from twisted.internet import tcp, udp
from twisted.internet.interfaces import IReactorFDSet, IReactorSocket, IReactorTCP, ISystemHandle
from twisted.internet.protocol import ServerFactory

from rvoip.protocols.transport.limits import TransportLimits

__all__ = [
    "StockPort",
    "StreamPort",
    "explain",
    "has_address",
    "listen_stream",
    "pack_address",
    "source_address",
    "tune_stream",
    "unpack_address",
]

BACKLOG = 1024
"""Connections that may wait to be accepted."""

KEEPALIVE_IDLE = 45
"""Seconds of silence after which the kernel asks whether the peer's host still lives."""

_SO_SNDBUFFORCE = 32  # Linux; the socket module has no names for these two
_SO_RCVBUFFORCE = 33

_SEPARATE = (socket.IPPROTO_IPV6, getattr(socket, "IPV6_V6ONLY", 26), 1)


def _open(family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
    """A socket that, for IPv6, leaves IPv4 alone: both wildcards can be bound, and no address is mapped."""
    opened = socket.socket(family, kind)
    opened.setblocking(False)
    if family == socket.AF_INET6:
        opened.setsockopt(*_SEPARATE)
    return opened


def _enlarge(opened: socket.socket, size: int) -> None:
    """Ask for large kernel buffers, past the system's bound where we are allowed to."""
    for usual, forced in ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE)):
        try:
            if not sys.platform.startswith("linux"):
                raise OSError
            opened.setsockopt(socket.SOL_SOCKET, forced, size)
        except OSError:
            opened.setsockopt(socket.SOL_SOCKET, usual, size)


class StockPort(udp.Port):
    """Twisted's UDP port with large kernel buffers."""

    buffer_size = 4 * 1024 * 1024

    def createInternetSocket(self) -> socket.socket:
        """Open the socket that `startListening` binds."""
        opened = _open(self.addressFamily, self.socketType)
        self.tune(opened)
        return opened

    def tune(self, opened: socket.socket) -> None:
        """Set the options of a socket."""
        _enlarge(opened, self.buffer_size)

    def adopt(self, opened: socket.socket) -> None:
        """Have `startListening` go on with a socket that is bound already."""
        self.tune(opened)
        # Twisted's own way, `adoptDatagramPort`, makes a port of another class.
        self._preexistingSocket = opened  # type: ignore[assignment]


class StreamPort(tcp.Port):
    """Twisted's TCP port; on IPv6 it takes no IPv4 connections."""

    def createInternetSocket(self) -> socket.socket:
        """Open the socket that `startListening` binds."""
        opened = _open(self.addressFamily, self.socketType)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return opened


def listen_stream(
    reactor: IReactorTCP,
    port: int,
    factory: ServerFactory,
    host: str,
    inherited: socket.socket | None = None,
) -> object:
    """Listen for connections, on the socket that listens already if there is one; returns IListeningPort."""
    if inherited is not None:
        with inherited:
            return IReactorSocket(reactor).adoptStreamPort(inherited.fileno(), inherited.family, factory)
    if not IReactorFDSet.providedBy(reactor):
        return reactor.listenTCP(port, factory, BACKLOG, host)
    listening = StreamPort(port, factory, BACKLOG, host, reactor)
    listening.startListening()
    return listening


def tune_stream(transport: object, limits: TransportLimits) -> None:
    """Let the kernel find out when the host at the other end of a TCP connection is gone."""
    # Under TLS there is the TCP transport, which has the socket.
    transport = getattr(transport, "transport", transport)
    handle = transport.getHandle() if ISystemHandle.providedBy(transport) else None
    if not isinstance(handle, socket.socket):
        return
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_NODELAY", 1),
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", KEEPALIVE_IDLE // 3),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", int(limits.unacked_timeout * 1000)),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            handle.setsockopt(socket.IPPROTO_TCP, option, value)


def pack_address(family: socket.AddressFamily, host: str, port: int) -> bytes:
    """The sockaddr of a numeric address; OSError or OverflowError when it is none of this family."""
    if family == socket.AF_INET:
        return struct.pack("=H", family) + struct.pack("!H4s8x", port, socket.inet_pton(family, host))
    address, _, scope = host.partition("%")
    number = socket.if_nametoindex(scope) if scope and not scope.isdigit() else int(scope or 0)
    packed = socket.inet_pton(family, address)
    return struct.pack("=H", family) + struct.pack("!HI16s", port, 0, packed) + struct.pack("=I", number)


def unpack_address(name: bytes) -> tuple[str, int]:
    """(host, port) of a sockaddr; a link-local IPv6 host has its scope."""
    port = name[2] << 8 | name[3]
    if len(name) == 16:
        return f"{name[4]}.{name[5]}.{name[6]}.{name[7]}", port
    host = socket.inet_ntop(socket.AF_INET6, name[8:24])
    (scope,) = struct.unpack("=I", name[24:28])
    if scope:
        try:
            host = f"{host}%{socket.if_indextoname(scope)}"
        except OSError:
            host = f"{host}%{scope}"
    return host, port


def source_address(host: str) -> str | None:
    """The address of ours from which the kernel would send to this one; None when it has no route."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
    except (OSError, OverflowError):
        return None


def has_address(host: str) -> bool:
    """Whether a numeric address is one of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            return True
    except (OSError, OverflowError):
        return False


def explain(error: BaseException) -> str:
    """What the system said, in few words."""
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno == errno.EADDRINUSE:
            return "the address is in use"
        if error.errno == errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        if error.errno in (errno.EACCES, errno.EPERM):
            return "permission denied"
        return (error.strerror or str(error)).lower()
    return str(error) or type(error).__name__
