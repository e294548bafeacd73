"""The sockets of a test phone: SIP messages over UDP, TCP, TLS or WebSocket on any reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, Protocol
from twisted.python.failure import Failure

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.framing import KeepAlive, StreamFramer
from rvoip.testing.memory_wire import Endpoint

__all__ = ["Channel", "PhoneWire"]

_LARGEST = 65535


class Channel:
    """A way back to where a message came from: what is sent on it goes to that peer."""

    def __init__(self, peer: Endpoint, write: Callable[[bytes], object]) -> None:
        self.peer = peer
        self.send = write


class PhoneWire:
    """
    Opens a UDP port, or listens and connects for "TCP" and "TLS", and hands over whole messages.

    `received` gets the octets of each message and the channel that it came on; `failed` gets the peer of a
    connection that could not be made, and why; `garbage` gets what the stream framer refused. `tls` is a
    context factory for `connectSSL`, without which there is no "TLS" and no "WSS"; with `tls_server`, one for
    `listenSSL`, connections are also taken. "WS" and "WSS" (RFC 7118) connect only, and need the extra `ws`.
    """

    def __init__(
        self,
        reactor: Any,
        transport: str,
        host: str,
        port: int,
        *,
        received: Callable[[bytes, Channel], object],
        failed: Callable[[Endpoint, str], object],
        garbage: Callable[[str, Endpoint], object],
        tls: Any = None,
        tls_server: Any = None,
    ) -> None:
        if transport not in ("UDP", "TCP", "TLS", "WS", "WSS"):
            raise ValueError(f"a phone speaks UDP, TCP, TLS, WS or WSS, and not {transport!r}")
        if transport in ("TLS", "WSS") and tls is None:
            raise ValueError(f"{transport} needs a context factory")
        self.transport = transport
        self.is_websocket = transport in ("WS", "WSS")
        self.reliable = transport != "UDP"
        self.host = host
        self.port = port
        self.received = received
        self.failed = failed
        self.garbage = garbage
        self.pongs = 0
        self._reactor = reactor
        self._tls = tls
        self._tls_server = tls_server
        self._udp: Any = None
        self._listening: Any = None
        self._streams: dict[Endpoint, _Stream] = {}
        self._waiting: dict[Endpoint, list[bytes]] = {}
        self._connectors: dict[Endpoint, Any] = {}

    def open(self) -> None:
        """Bind; `port` is then the real one."""
        if self.transport == "UDP":
            self._udp = self._reactor.listenUDP(self.port, _Datagrams(self), self.host, _LARGEST)
            self.port = self._udp.getHost().port
            return
        if self.is_websocket:
            return  # nobody can connect to a browser
        factory = Factory.forProtocol(lambda: _Stream(self))
        factory.noisy = False
        if self.transport == "TCP":
            self._listening = self._reactor.listenTCP(self.port, factory, interface=self.host)
        elif self._tls_server is not None:
            self._listening = self._reactor.listenSSL(
                self.port, factory, self._tls_server, interface=self.host
            )
        if self._listening is not None:
            self.port = self._listening.getHost().port
        elif not self.port:
            self.port = 5061

    def close(self) -> Deferred[Any]:
        """Close all; fires when the ports are free."""
        for connector in list(self._connectors.values()):
            connector.disconnect()
        for stream in list(self._streams.values()):
            stream.transport.abortConnection()
        self._waiting.clear()
        stopping = [port.stopListening() for port in (self._udp, self._listening) if port is not None]
        self._udp = self._listening = None
        return gatherResults([d if isinstance(d, Deferred) else succeed(None) for d in stopping])

    def drop_connections(self) -> None:
        """Abort every connection, as a phone does that loses its network."""
        for stream in list(self._streams.values()):
            stream.transport.abortConnection()

    def send(self, data: bytes, to: Endpoint) -> None:
        """Send one message; a stream is connected first where there is none, and the message waits."""
        if self.transport == "UDP":
            self._udp.write(data, to)
            return
        stream = self._streams.get(to)
        if stream is not None:
            stream.send(data)
            return
        waiting = self._waiting.get(to)
        if waiting is not None:
            waiting.append(data)
            return
        self._waiting[to] = [data]
        factory = _Connecting(self, to)
        local = (self.host, 0)
        if self.transport in ("TLS", "WSS"):
            self._connectors[to] = self._reactor.connectSSL(
                *to, factory, self._tls, timeout=10, bindAddress=local
            )
        else:
            self._connectors[to] = self._reactor.connectTCP(*to, factory, timeout=10, bindAddress=local)

    # from the protocols

    def stream_made(self, stream: _Stream, peer: Endpoint) -> None:
        """A connection is there: send what waited for it."""
        self._streams[peer] = stream
        for data in self._waiting.pop(peer, ()):
            stream.send(data)

    def stream_lost(self, stream: _Stream, peer: Endpoint) -> None:
        """A connection is gone."""
        if self._streams.get(peer) is stream:
            del self._streams[peer]

    def not_connected(self, peer: Endpoint, reason: str) -> None:
        """A connection could not be made."""
        self._connectors.pop(peer, None)
        if self._waiting.pop(peer, None) is not None:
            self.failed(peer, reason)

    def connector_over(self, peer: Endpoint) -> None:
        """A connection that was made from here is over."""
        self._connectors.pop(peer, None)


class _Datagrams(DatagramProtocol):
    noisy = False

    def __init__(self, wire: PhoneWire) -> None:
        self._wire = wire

    def datagramReceived(self, datagram: bytes, addr: Endpoint) -> None:
        if datagram.strip(b"\r\n\0"):
            self._wire.received(datagram, Channel(addr, lambda data: self._wire.send(data, addr)))


class _Stream(Protocol):
    transport: Any
    _peer: Endpoint = ("", 0)

    def __init__(self, wire: PhoneWire) -> None:
        self._wire = wire
        self._framer = StreamFramer()

    def connectionMade(self) -> None:
        peer = self.transport.getPeer()
        self._peer = (peer.host, peer.port)
        self._channel = Channel(self._peer, self.send)
        self._opened()

    def _opened(self) -> None:
        self._wire.stream_made(self, self._peer)

    def send(self, data: bytes) -> None:
        """Send one message."""
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        try:
            found = self._framer.receive(data)
        except SIPParseError as error:
            self._wire.garbage(str(error), self._peer)
            self.transport.abortConnection()
            return
        self._take(found)

    def _take(self, found: list[bytes | KeepAlive]) -> None:
        for one in found:
            if one is KeepAlive.PING:
                self.send(b"\r\n")
            elif one is KeepAlive.PONG:
                self._wire.pongs += 1
            elif isinstance(one, bytes):
                self._wire.received(one, self._channel)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._wire.stream_lost(self, self._peer)


class _WebSocket(_Stream):
    """A stream that is a WebSocket first."""

    def _opened(self) -> None:
        from rvoip.protocols.transport.websocket import ClientWebSocket

        self._socket = ClientWebSocket(_LARGEST, self._peer[0])
        self._flush()

    def _flush(self) -> None:
        socket = self._socket
        self.transport.write(bytes(socket.output) + (socket.farewell() if socket.ended else b""))
        socket.output.clear()

    def send(self, data: bytes) -> None:
        """Send one message."""
        self.transport.write(self._socket.message(data))

    def dataReceived(self, data: bytes) -> None:
        socket = self._socket
        was_open = socket.is_open
        found = socket.receive(data)
        if socket.is_open and not was_open:
            self._wire.stream_made(self, self._peer)
        self._take(found)
        self._flush()
        if socket.ended:
            self.transport.loseConnection()


class _Connecting(ClientFactory):
    noisy = False

    def __init__(self, wire: PhoneWire, peer: Endpoint) -> None:
        self._wire = wire
        self._peer = peer

    def buildProtocol(self, addr: object) -> Protocol:
        return _WebSocket(self._wire) if self._wire.is_websocket else _Stream(self._wire)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self._wire.not_connected(self._peer, reason.getErrorMessage())

    def clientConnectionLost(self, connector: object, reason: Failure) -> None:
        self._wire.connector_over(self._peer)
        # A TLS handshake that failed, or a peer that closed at once: what waited will never leave.
        self._wire.not_connected(self._peer, reason.getErrorMessage())
