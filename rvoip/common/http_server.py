"""An API on a socket: TCP, TLS or Unix, with limits on what a client can make it read or hold."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import stat
from io import BytesIO
from typing import Any, Final, cast
from weakref import WeakSet

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site

from rvoip.common.activation import InheritedSockets
from rvoip.common.errors import StartError
from rvoip.common.http import API
from rvoip.common.http_auth import is_loopback
from rvoip.common.problem import PROBLEM_TYPE, HTTPError
from rvoip.common.tls import ServerTLS

__all__ = ["APISite", "BODY_LIMIT", "HTTPService", "Listen"]

BODY_LIMIT: Final = 64 << 10
"""Bytes of a request's body."""

CONNECTION_LIMIT: Final = 256
"""Connections at the same time; one more is closed at once."""

READ_DEADLINE: Final = 20.0
"""Seconds from the first byte of a request, or from the connection, to its last byte."""

IDLE_LIMIT: Final = 60.0
"""Seconds without a byte after which a connection is closed."""

LINGER: Final = 1.0
"""Seconds for which what a refused client still sends is thrown away, so that it reads the answer."""

LINGER_BYTES: Final = 1 << 20

CLOSE_DEADLINE: Final = 5.0
"""Seconds after which a connection that should close is cut."""

_DIGITS: Final = re.compile(rb"[0-9]{1,10}")
_TCP: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]+)):([0-9]{1,5})", re.ASCII)

_log = Logger()


class Channel(HTTPChannel):
    """One connection. A request that is refused while it is read is answered at once, unread."""

    site: APISite
    totalHeadersSize = 16384
    maxHeaders = 100

    _refused = False
    _thrown_away = 0
    _reading = True
    _read_deadline: IDelayedCall | None = None
    _closing: IDelayedCall | None = None
    _upgraded: Any = None

    def connectionMade(self) -> None:
        self.site.connections.add(self)
        super().connectionMade()
        self._expect_request()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.site.forget(self)
        for call in (self._read_deadline, self._closing):
            if call is not None and call.active():
                call.cancel()
        super().connectionLost(reason)
        if self._upgraded is not None:
            self._upgraded.connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if self._upgraded is not None:
            self._upgraded.dataReceived(data)
            return
        if self._refused:
            self._thrown_away += len(data)
            if self._thrown_away > LINGER_BYTES:
                self.close()
            return
        if self._reading and self._read_deadline is None:
            self._expect_request()
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if not self._refused:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._refused:
            super().rawDataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            text = value.strip(b" \t")
            if not text.isdigit():
                self.refuse(HTTPError(400, "Content-Length is no number"))
                return False
            if not _DIGITS.fullmatch(text):
                self.refuse(HTTPError(413, "Content-Length has too many digits"))
                return False
        accepted: bool = super().headerReceived(line)
        return accepted

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(HTTPError(431, f"a line of the head has more than {self.MAX_LENGTH} bytes"))

    def allContentReceived(self) -> None:
        self._stop_reading()
        super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        self._reading = True
        if self.site.stopping:
            self.persistent = False
        super().requestDone(request)

    def refuse(self, error: HTTPError) -> None:
        """Answer with a problem, take in nothing more, and close."""
        if self._refused or self.transport is None:
            return
        self._refused = True
        self._stop_reading()
        self.setTimeout(None)
        body = msgspec.json.encode(error.problem)
        head = (
            f"HTTP/1.1 {error.status} {error.problem.title}\r\nContent-Type: {PROBLEM_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._closing = self.callLater(LINGER, self.close)

    def close(self) -> None:
        """Close, and cut the connection when that takes too long."""
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        self.loseConnection()
        self._closing = self.callLater(CLOSE_DEADLINE, self.cut)

    def cut(self) -> None:
        """Close without waiting for anything."""
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()

    def close_when_idle(self) -> None:
        """Close now, or after the answer to the request that is at work."""
        if self._upgraded is not None or (not self.requests and not self._refused):
            self.close()

    def upgrade(self, protocol: Any) -> None:
        """Hand the connection to another protocol, in answer to the request at work: a WebSocket's.

        It has no deadline of ours any more. The protocol is an `IProtocol` and an `IPushProducer`, which is
        paused while the peer does not read what was written.
        """
        self._stop_reading()
        self.setTimeout(None)
        self._upgraded = protocol
        early, self._dataBuffer = self._dataBuffer, []
        protocol.makeConnection(self.transport)
        for data in early:
            protocol.dataReceived(data)
        self._networkProducer.resumeProducing()

    def pauseProducing(self) -> None:
        if self._upgraded is not None:
            self._upgraded.pauseProducing()
        else:
            super().pauseProducing()

    def resumeProducing(self) -> None:
        if self._upgraded is not None:
            self._upgraded.resumeProducing()
        else:
            super().resumeProducing()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(HTTPError(400, "this is no HTTP request"))

    def _expect_request(self) -> None:
        self._read_deadline = self.callLater(READ_DEADLINE, self._too_slow)

    def _stop_reading(self) -> None:
        self._reading = False
        if self._read_deadline is not None:
            if self._read_deadline.active():
                self._read_deadline.cancel()
            self._read_deadline = None

    def _too_slow(self) -> None:
        self._read_deadline = None
        self.refuse(HTTPError(408, f"the request took longer than {READ_DEADLINE:g} seconds"))


class LimitedRequest(Request):
    """A request whose body is bounded, whether its length is known or it comes in chunks."""

    channel: Channel
    _length = 0

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()
        limit = self.channel.site.body_limit
        if length is not None and length > limit:
            self.requestHeaders.removeHeader(b"Expect")  # a body that is refused is not asked for
            self._too_large(limit)

    def handleContentChunk(self, data: bytes) -> None:
        self._length += len(data)
        limit = self.channel.site.body_limit
        if self._length > limit:
            self._too_large(limit)
        elif self.content is not None:
            self.content.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if not self.channel._refused:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        """Hand the request to the API, whatever its path."""
        self.site = self.channel.site
        self.prepath, self.postpath = [], []
        self.channel.site.api.render(self)

    def _too_large(self, limit: int) -> None:
        self.channel.refuse(HTTPError(413, f"a body has at most {limit} bytes"))


class APISite(Site):
    """A `twisted.web` site that serves one API within limits."""

    protocol = Channel  # type: ignore[assignment]  # without the choice of HTTP/2 that Twisted makes there
    requestFactory = LimitedRequest
    noisy = False

    def __init__(
        self,
        api: API,
        reactor: IReactorTime,
        *,
        body_limit: int = BODY_LIMIT,
        connection_limit: int = CONNECTION_LIMIT,
    ) -> None:
        super().__init__(api, reactor=reactor, timeout=IDLE_LIMIT, parsePOSTFormSubmission=False)
        self.api = api
        self.body_limit = body_limit
        self.connection_limit = connection_limit
        self.connections: WeakSet[Channel] = WeakSet()
        self.stopping = False
        self.any_host = False
        """Whether any Host is good, because no browser reaches this listener as loopback."""
        self._closed: Deferred[None] | None = None

    def startFactory(self) -> None:
        """Start without an access log in a file: the API logs its requests as events."""

    def stopFactory(self) -> None:
        """Stop; there is no access log to close."""

    def log(self, request: Any) -> None:
        """Write nothing: the API logs its requests as events."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Take a connection in, unless there are too many."""
        if len(self.connections) >= self.connection_limit:
            return None
        return super().buildProtocol(addr)

    async def close(self) -> None:
        """Close idle connections now, others after the answer at work, all within CLOSE_DEADLINE."""
        self.stopping = True
        for channel in list(self.connections):
            channel.close_when_idle()
        if self.connections:
            cut = self.reactor.callLater(CLOSE_DEADLINE, self._cut)
            self._closed = Deferred()
            await self._closed
            if cut.active():
                cut.cancel()

    def forget(self, channel: Channel) -> None:
        """Note that a connection is gone."""
        self.connections.discard(channel)
        if self._closed is not None and not self.connections:
            closed, self._closed = self._closed, None
            closed.callback(None)

    def _cut(self) -> None:
        for channel in list(self.connections):
            channel.cut()

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 alone in TLS (RFC 7301): the limits are those of HTTP/1.1."""
        return [b"http/1.1"]


class Listen(msgspec.Struct, frozen=True):
    """Where to listen: `IPv4:port`, `[IPv6]:port`, `localhost:port` or `unix:/path`."""

    text: str
    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Read `text`; raises StartError."""
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path or "\0" in path or len(os.fsencode(path)) > 107:  # struct sockaddr_un
                raise StartError(f"[http] listen {text}: a socket's path has 1 to 107 bytes")
            return cls(text, path=path)
        if match := _TCP.fullmatch(text):
            host = match[1] or match[2]
            host = "127.0.0.1" if host.lower() == "localhost" else host
            try:
                (ipaddress.IPv6Address if match[1] else ipaddress.IPv4Address)(host)
            except ValueError:
                match = None
        if match is None or int(match[3]) > 65535:
            raise StartError(f"[http] listen {text}: not IPv4:port, [IPv6]:port or unix:/path")
        return cls(text, host=host, port=int(match[3]))

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return bool(self.path) or is_loopback(self.host)


class HTTPService(Service):
    """Listens for an API while it runs; binds in its privileged start.

    StartError when the address cannot be had, when a certificate cannot be used, and when an API that is open
    to anyone would be reached from other machines (a client certificate counts as a token). An address that
    one of the `inherited` sockets is bound to is listened on with that.
    """

    def __init__(
        self,
        reactor: Any,
        listen: str,
        api: API,
        *,
        certificate: str = "",
        private_key: str = "",
        ca: str = "",
        body_limit: int = BODY_LIMIT,
        inherited: InheritedSockets | None = None,
    ) -> None:
        self._reactor = reactor
        self._inherited = inherited or InheritedSockets()
        self._listen = listen
        self._files = (certificate, private_key, ca)
        self._tls: ServerTLS | None = None
        self._port: IListeningPort | None = None
        self.api = api
        self.site = APISite(api, reactor, body_limit=body_limit)

    @property
    def address(self) -> IAddress | None:
        """Where it listens, with the port that it got, or None."""
        return self._port.getHost() if self._port is not None else None

    def privilegedStartService(self) -> None:
        """Bind."""
        super().privilegedStartService()
        if self._port is not None:
            return
        where = Listen.parse(self._listen)
        self._tls = self._make_tls()
        if (
            self.api.guard.is_open
            and not where.is_local
            and not (self._tls is not None and self._tls.is_mutual)
        ):
            raise StartError(
                f"[http] listen {self._listen}: other machines reach it: it needs a token, an API key or a ca"
            )
        self.site.any_host = not is_loopback(where.host)
        self.site.stopping = False
        try:
            opened = self._inherited.take(
                "unix" if where.path else "tcp", where.path or where.host, where.port
            )
            if opened is not None:
                self._port = self._adopt(opened)
            elif where.path:
                self._port = self._listen_unix(where.path)
            elif self._tls is not None:
                self._port = self._reactor.listenSSL(where.port, self.site, self._tls, interface=where.host)
            else:
                self._port = self._reactor.listenTCP(where.port, self.site, interface=where.host)
        except CannotListenError as error:
            raise StartError(f"[http] listen {self._listen}: {_reason(error)}") from None
        _log.info("HTTP on {address}", address=self._listen)

    def startService(self) -> None:
        """Bind if the privileged start was left out."""
        self.privilegedStartService()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Listen no more; fires when each connection has closed after its answer at work, or is cut."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            stopped = port.stopListening()
            if stopped is not None:
                await stopped
        await self.site.close()

    def reload(self, certificate: str = "", private_key: str = "", ca: str = "") -> None:
        """Read these files, or the same ones again; on a StartError the old ones stay.

        Whether it is TLS at all, and whether clients must show a certificate, was settled when it bound.
        """
        wanted = (certificate, private_key, ca)
        if [bool(path) for path in wanted] != [bool(path) for path in self._files]:
            wanted = self._files
        if self._tls is not None:
            self._tls.reload(*wanted)
            self._files = wanted

    def _make_tls(self) -> ServerTLS | None:
        certificate, private_key, ca = self._files
        if not any(self._files):
            return None
        if not (certificate and private_key):
            raise StartError("[http] certificate and private_key go together, and ca goes with them")
        return ServerTLS(certificate, private_key, ca)

    def _adopt(self, opened: socket.socket) -> IListeningPort:
        """Go on with a socket that listens already."""
        factory: Any = self.site
        if self._tls is not None:
            factory = TLSMemoryBIOFactory(self._tls, False, self.site)
        with opened:
            port: IListeningPort = self._reactor.adoptStreamPort(opened.fileno(), opened.family, factory)
        return port

    def _listen_unix(self, path: str) -> IListeningPort:
        _remove_stale(path, self._listen)
        before = os.umask(0o177)  # between bind and chmod nobody else gets in
        try:
            port: IListeningPort = self._reactor.listenUNIX(path, self.site, mode=0o600)
        finally:
            os.umask(before)
        return port


def _remove_stale(path: str, listen: str) -> None:
    """Remove the socket of a server that died; raise StartError for one that lives and for any other file."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # nothing there, or a folder that binding will complain of
    if not stat.S_ISSOCK(mode):
        raise StartError(f"[http] listen {listen}: the file is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError as error:
            raise StartError(f"[http] listen {listen}: {error.strerror or error}") from None
        else:
            raise StartError(f"[http] listen {listen}: a server listens there already")


def _reason(error: CannotListenError) -> str:
    cause = error.socketError
    if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
        return "the address is in use"
    return getattr(cause, "strerror", None) or str(cause)
