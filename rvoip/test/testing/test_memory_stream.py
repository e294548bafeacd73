"""TCP in memory. `Scenarios` run over real sockets too, so that the fake says what is true."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectBindError,
    ConnectionRefusedError,
    DNSLookupError,
    NotConnectingError,
)
from twisted.internet.interfaces import (
    IConnector,
    IConsumer,
    IHalfCloseableProtocol,
    IListeningPort,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.testing.memory_stream import BUFFER_SIZE, WINDOW


class Recorder(Protocol):
    """Keeps what happens to it and lets a scenario wait for it."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.events: list[str] = []
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def happened(self, event: str) -> None:
        self.events.append(event)
        self._look()

    def _look(self) -> None:
        for waiting in list(self._waiting):
            if waiting[0]():
                self._waiting.remove(waiting)
                waiting[1].callback(None)

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        fired: Deferred[None] = Deferred()
        self._waiting.append((condition, fired))
        self._look()
        return fired

    def until_event(self, event: str) -> Deferred[None]:
        return self.until(lambda: event in self.events)

    def connectionMade(self) -> None:
        self.happened("made")

    def dataReceived(self, data: bytes) -> None:
        if data == b"raise":
            raise ZeroDivisionError
        self.data += data
        self._look()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        assert reason.type is not None
        self.happened(reason.type.__name__)


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    def readConnectionLost(self) -> None:
        self.happened("read lost")

    def writeConnectionLost(self) -> None:
        self.happened("write lost")


class Client(ClientFactory):
    noisy = False

    def __init__(self, protocol: Recorder | None) -> None:
        self.built = protocol
        self.events: list[str] = []
        self.over: Deferred[None] = Deferred()

    def doStart(self) -> None:
        self.events.append("start")

    def doStop(self) -> None:
        self.events.append("stop")
        self.over.callback(None)

    def startedConnecting(self, connector: IConnector) -> None:
        self.events.append("connecting")

    def buildProtocol(self, addr: object) -> Protocol | None:
        return self.built

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        assert reason.type is not None
        self.events.append(f"failed {reason.type.__name__}")

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        assert reason.type is not None
        self.events.append(f"lost {reason.type.__name__}")


class Server(Factory):
    noisy = False

    def __init__(self, protocol: Recorder | None) -> None:
        self.built = protocol

    def buildProtocol(self, addr: object) -> Protocol | None:
        return self.built


Scenario = Callable[..., Coroutine[Deferred[Any], Any, None]]


class Scenarios:
    """Each runs in memory and over real sockets; `pair` connects a client and a server."""

    reactor: Any
    host: str
    own_address: str
    assertEqual: Any
    assertIn: Any
    addCleanup: Any
    flushLoggedErrors: Any

    async def pair(self, client: Recorder, server: Recorder) -> Client:
        port = self.reactor.listenTCP(0, Server(server), interface=self.host)
        self.addCleanup(port.stopListening)
        factory = Client(client)
        self.reactor.connectTCP(self.host, port.getHost().port, factory)
        await client.until_event("made")
        await server.until_event("made")
        return factory

    async def close(self) -> None:
        """A close lets what was written arrive, and both sides read an orderly end."""
        client, server = Recorder(), Recorder()
        factory = await self.pair(client, server)
        client.transport.write(b"a")
        client.transport.writeSequence([b"b", b"c"])
        client.transport.loseConnection()
        client.transport.write(b"d")
        await server.until_event("ConnectionDone")
        await factory.over
        self.assertEqual(server.data, b"abcd")
        self.assertEqual(client.events, ["made", "ConnectionDone"])
        self.assertEqual(factory.events, ["start", "connecting", "lost ConnectionDone", "stop"])

    async def addresses(self) -> None:
        """Each side's host is the other's peer."""
        client, server = Recorder(), Recorder()
        await self.pair(client, server)
        self.assertEqual(client.transport.getHost(), server.transport.getPeer())
        self.assertEqual(client.transport.getPeer(), server.transport.getHost())
        self.assertEqual(client.transport.getHost().host, self.own_address)
        client.transport.loseConnection()
        await server.until_event("ConnectionDone")

    async def abort(self) -> None:
        """A reset is ConnectionAborted here and ConnectionLost there."""
        client, server = Recorder(), Recorder()
        factory = await self.pair(client, server)
        client.transport.abortConnection()
        self.assertEqual(client.events, ["made"])
        await server.until_event("ConnectionLost")
        await factory.over
        self.assertEqual(client.events, ["made", "ConnectionAborted"])

    async def half_close(self) -> None:
        """A closed write side is read to its end, and the answer still comes."""
        client, server = HalfCloseable(), HalfCloseable()
        await self.pair(client, server)
        client.transport.write(b"question")
        client.transport.loseWriteConnection()
        await server.until_event("read lost")
        self.assertEqual((server.data, client.events), (b"question", ["made", "write lost"]))
        server.transport.write(b"answer")
        server.transport.loseConnection()
        await client.until_event("read lost")
        self.assertEqual(client.data, b"answer")
        client.transport.loseConnection()
        await client.until_event("ConnectionDone")
        self.assertEqual(server.events, ["made", "read lost", "ConnectionDone"])

    async def half_close_to_a_protocol_that_does_not_know_it(self) -> None:
        client, server = HalfCloseable(), Recorder()
        await self.pair(client, server)
        client.transport.loseWriteConnection()
        await server.until_event("ConnectionDone")
        await client.until_event("read lost")
        client.transport.loseConnection()
        await client.until_event("ConnectionDone")

    async def back_pressure(self) -> None:
        """A peer that reads nothing pauses the producer; when it reads, all arrives."""
        client, server = Recorder(), Recorder()
        await self.pair(client, server)
        total = 8 * 1024 * 1024
        producer = Source(client.transport, total)
        server.transport.pauseProducing()
        client.transport.registerProducer(producer, True)
        producer.resumeProducing()
        self.assertEqual(producer.events[-1], "pause")
        self.assertEqual(server.data, b"")
        server.transport.resumeProducing()
        await server.until(lambda: len(server.data) == total)
        self.assertEqual(producer.events[-2:], ["resume", "done"])
        await server.until_event("ConnectionDone")

    async def refused(self) -> None:
        port = self.reactor.listenTCP(0, Server(None), interface=self.host)
        number = port.getHost().port
        await port.stopListening()
        factory = Client(None)
        connector = self.reactor.connectTCP(self.host, number, factory)
        await factory.over
        self.assertEqual(factory.events, ["start", "connecting", "failed ConnectionRefusedError", "stop"])
        self.assertEqual(connector.state, "disconnected")

    async def server_declines(self) -> None:
        """A server factory that builds nothing closes."""
        port = self.reactor.listenTCP(0, Server(None), interface=self.host)
        self.addCleanup(port.stopListening)
        client = Recorder()
        self.reactor.connectTCP(self.host, port.getHost().port, Client(client))
        await client.until(lambda: len(client.events) == 2)
        self.assertEqual(client.events, ["made", "ConnectionDone"])

    async def client_declines(self) -> None:
        """A client factory that builds nothing closes."""
        server = Recorder()
        port = self.reactor.listenTCP(0, Server(server), interface=self.host)
        self.addCleanup(port.stopListening)
        factory = Client(None)
        self.reactor.connectTCP(self.host, port.getHost().port, factory)
        await server.until_event("ConnectionDone")
        await factory.over

    async def stop_connecting(self) -> None:
        factory = Client(None)
        connector = self.reactor.connectTCP(self.host, 9, factory)
        connector.stopConnecting()
        self.assertEqual(factory.events, ["start", "connecting", "failed UserError", "stop"])
        self.assertEqual(connector.state, "disconnected")

    async def an_error_ends_the_connection(self) -> None:
        client, server = Recorder(), Recorder()
        await self.pair(client, server)
        client.transport.write(b"raise")
        await client.until_event("ConnectionDone")
        self.assertEqual(server.events, ["made", "ZeroDivisionError"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def connections_outlive_their_port(self) -> None:
        client, server = Recorder(), Recorder()
        port = self.reactor.listenTCP(0, Server(server), interface=self.host)
        self.reactor.connectTCP(self.host, port.getHost().port, Client(client))
        await client.until_event("made")
        await server.until_event("made")
        await port.stopListening()
        server.transport.write(b"still here")
        server.transport.loseConnection()
        await client.until_event("ConnectionDone")
        self.assertEqual(client.data, b"still here")


@implementer(IPushProducer)
class Source:
    """Writes `total` bytes, 1 KiB at a time, as long as it is not paused, and closes."""

    def __init__(self, transport: Any, total: int) -> None:
        self.transport = transport
        self.left = total
        self.paused = True
        self.events: list[str] = []

    def pauseProducing(self) -> None:
        self.paused = True
        self.events.append("pause")

    def resumeProducing(self) -> None:
        self.paused = False
        self.events.append("resume")
        while self.left and not self.paused:
            self.left -= 1024
            self.transport.write(bytes(1024))
        if not self.left and self.events[-1] != "done":
            self.events.append("done")
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def stopProducing(self) -> None:
        self.events.append("stop")


SCENARIOS = [
    "close",
    "addresses",
    "abort",
    "half_close",
    "half_close_to_a_protocol_that_does_not_know_it",
    "back_pressure",
    "refused",
    "server_declines",
    "client_declines",
    "stop_connecting",
    "an_error_ends_the_connection",
    "connections_outlive_their_port",
]


class MemoryTests(Scenarios, SynchronousTestCase):
    host = "127.0.0.2"
    own_address = "127.0.0.1"

    def setUp(self) -> None:
        self.reactor = MemoryReactor()


class MemoryIPv6Tests(MemoryTests):
    host = own_address = "2001:db8::62"


class RealTests(Scenarios, TestCase):
    host = "127.62.2.1"
    own_address = "127.0.0.1"
    reactor = real_reactor


def _add(name: str) -> None:
    def in_memory(self: MemoryTests) -> None:
        self.reactor.result_of(getattr(self, name)())

    def for_real(self: RealTests) -> Deferred[None]:
        return Deferred.fromCoroutine(getattr(self, name)())

    setattr(MemoryTests, f"test_{name}", in_memory)
    setattr(RealTests, f"test_{name}", for_real)


for _name in SCENARIOS:
    _add(_name)


class MemoryOnlyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.client, self.server = Recorder(), Recorder()
        self.port = self.reactor.listenTCP(5060, Server(self.server), interface="127.0.0.1")

    def connect(self) -> Client:
        factory = Client(self.client)
        self.connector = self.reactor.connectTCP("127.0.0.1", 5060, factory)
        self.reactor.advance()
        return factory

    def test_nothing_moves_before_the_reactor_turns(self) -> None:
        self.reactor.connectTCP("127.0.0.1", 5060, Client(self.client))
        self.assertEqual((self.client.events, self.server.events), ([], []))
        self.reactor.advance()
        self.client.transport.write(b"a")
        self.assertEqual(self.server.data, b"")
        self.reactor.advance()
        self.assertEqual(self.server.data, b"a")

    def test_interfaces(self) -> None:
        self.connect()
        (client, server) = self.reactor.connections
        for interface in (ITCPTransport, IConsumer, IPushProducer):
            self.assertTrue(verifyObject(interface, client))
        self.assertTrue(verifyObject(IListeningPort, self.port))
        self.assertTrue(verifyObject(IConnector, self.connector))
        self.assertEqual(self.connector.getDestination(), server.getHost())
        client.setTcpNoDelay(True)
        client.setTcpKeepAlive(True)
        self.assertTrue(client.getTcpNoDelay() and client.getTcpKeepAlive())
        self.assertFalse(server.getTcpNoDelay() or server.getTcpKeepAlive())
        self.assertRaises(TypeError, client.write, "text")

    def test_a_peer_that_does_not_read_leaves_bytes_unsent(self) -> None:
        self.connect()
        client, server = self.reactor.connections
        server.pauseProducing()
        client.write(bytes(WINDOW + 1000))
        self.reactor.advance()
        self.assertEqual((client.unsent, self.server.data), (1000, b""))
        client.loseConnection()
        self.reactor.advance(60)
        self.assertEqual(self.client.events, ["made"], "a close waits for the bytes")
        server.resumeProducing()
        self.reactor.advance()
        self.assertEqual(len(self.server.data), WINDOW + 1000)
        self.assertEqual(self.client.events, ["made", "ConnectionDone"])

    def test_a_pull_producer_is_asked_again_and_again(self) -> None:
        self.connect()
        client, _ = self.reactor.connections

        class Pull:
            left = 5

            def resumeProducing(self) -> None:
                self.left -= 1
                client.write(b"x")
                if not self.left:
                    client.unregisterProducer()

            def stopProducing(self) -> None:
                raise AssertionError("it was done")

        client.registerProducer(Pull(), False)
        self.assertRaises(RuntimeError, client.registerProducer, Pull(), False)
        client.loseConnection()
        self.reactor.advance()
        self.assertEqual((self.server.data, self.server.events), (b"xxxxx", ["made", "ConnectionDone"]))

    def test_a_producer_is_stopped_when_the_connection_ends(self) -> None:
        self.connect()
        client, server = self.reactor.connections
        first, second = Source(client, 10 * BUFFER_SIZE), Source(client, 1024)
        server.pauseProducing()
        client.registerProducer(first, True)
        first.resumeProducing()
        server.abortConnection()
        self.reactor.advance()
        self.assertEqual(first.events, ["resume", "pause", "stop"])
        client.registerProducer(second, True)
        self.assertEqual(second.events, ["stop"])

    def test_bytes_for_a_closed_socket_are_answered_with_a_reset(self) -> None:
        self.connect()
        client, server = self.reactor.connections
        client.pauseProducing()
        server.loseConnection()
        self.reactor.advance()
        self.assertEqual(self.client.events, ["made"], "who does not read does not see the end")
        client.write(b"x")
        self.reactor.advance()
        self.assertEqual(self.client.events, ["made", "ConnectionLost"])
        client.write(b"x")
        client.loseConnection()
        client.abortConnection()
        client.resumeProducing()
        self.reactor.advance()
        self.assertEqual(self.client.events, ["made", "ConnectionLost"])

    def test_an_unknown_name_fails(self) -> None:
        factory = Client(self.client)
        self.reactor.connectTCP("nowhere.example", 5060, factory)
        self.reactor.advance()
        self.assertEqual(factory.events[2], f"failed {DNSLookupError.__name__}")

    def test_a_name_connects(self) -> None:
        self.reactor.names["server.example"] = ["127.0.0.1"]
        self.reactor.connectTCP("server.example", 5060, Client(self.client))
        self.reactor.advance()
        self.assertEqual(self.client.events, ["made"])

    def test_bind_address(self) -> None:
        self.reactor.connectTCP("127.0.0.1", 5060, Client(self.client), bindAddress=("127.0.0.77", 4711))
        self.reactor.advance()
        peer = self.server.transport.getPeer()
        self.assertEqual((peer.host, peer.port), ("127.0.0.77", 4711))

    def test_a_bind_address_of_another_host_fails(self) -> None:
        reactor = MemoryReactor(addresses=["192.0.2.1"])
        factory = Client(self.client)
        reactor.connectTCP("192.0.2.1", 5060, factory, bindAddress=("192.0.2.2", 0))
        reactor.advance()
        self.assertEqual(factory.events[2], f"failed {ConnectBindError.__name__}")

    def test_a_port_that_is_none(self) -> None:
        self.assertRaises(OverflowError, self.reactor.connectTCP, "127.0.0.1", 65536, Client(self.client))

    def test_connect_again_from_the_factory(self) -> None:
        port = self.port

        class Persistent(Client):
            def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
                super().clientConnectionFailed(connector, reason)
                port.startListening()
                connector.connect()

        port.stopListening()
        self.reactor.advance()
        factory = Persistent(self.client)
        connector = self.reactor.connectTCP("127.0.0.1", 5060, factory)
        self.reactor.advance()
        self.assertEqual(
            factory.events, ["start", "connecting", f"failed {ConnectionRefusedError.__name__}", "connecting"]
        )
        self.assertEqual((self.client.events, connector.state), (["made"], "connected"))
        self.assertRaises(RuntimeError, connector.connect)
        self.assertRaises(NotConnectingError, connector.stopConnecting)
        connector.disconnect()
        self.reactor.advance()
        self.assertEqual(factory.events[-2:], ["lost ConnectionDone", "stop"])

    def test_a_factory_that_raises_is_logged(self) -> None:
        class Raising(Client):
            def buildProtocol(self, addr: object) -> Protocol | None:
                raise ZeroDivisionError

        self.reactor.connectTCP("127.0.0.1", 5060, Raising(None))
        self.reactor.advance()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.server.events, ["made", "ConnectionDone"])
