"""HEP between elements: what is sent, what is lost, and what is not taken."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.errors import StartError
from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.trace.hep import HEPPacket, build
from rvoip.trace.hep_in import HEPListener
from rvoip.trace.hep_out import HEPSender

HERE = "127.0.66.1"
PACKET = HEPPacket(1.5, ("192.0.2.7", 5070), ("192.0.2.1", 5060), b"OPTIONS", agent=7, key=b"secret")


class Client(Protocol):
    """Knows whether it was closed."""

    lost = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.taken: list[HEPPacket] = []

    def listener(self, key: bytes = b"secret") -> HEPListener:
        listener = HEPListener(self.reactor, HERE, 9060, key, self.taken.append)
        listener.privilegedStartService()
        listener.startService()
        self.addCleanup(lambda: self.reactor.result_of(listener.stopService()))
        return listener

    def sender(self, transport: str, host: str = HERE) -> HEPSender:
        sender = HEPSender(self.reactor, transport, host, 9060)
        sender.startService()
        self.addCleanup(lambda: self.reactor.result_of(sender.stopService()))
        self.reactor.advance(0.1)
        return sender


class BothTests(Case):
    def test_there_and_back(self) -> None:
        listener = self.listener()
        for transport in ("udp", "tcp"):
            sender = self.sender(transport)
            for _ in range(3):
                sender.send(PACKET)
            self.reactor.advance(0.1)
            self.assertEqual((sender.sent, sender.lost), (3, 0))
        self.assertEqual(self.taken, [PACKET] * 6)
        self.assertEqual((listener.received, listener.refused), (6, 0))


class SenderTests(Case):
    def test_nobody_is_there(self) -> None:
        """Over TCP it is lost, until the collector comes."""
        sender = self.sender("tcp")
        sender.send(PACKET)
        self.assertEqual((sender.sent, sender.lost), (0, 1))
        self.listener()
        self.reactor.advance(60.0)
        sender.send(PACKET)
        self.reactor.advance(0.1)
        self.assertEqual(self.taken, [PACKET])

    def test_the_collector_comes_back(self) -> None:
        listener = HEPListener(self.reactor, HERE, 9060, b"", self.taken.append)
        protocols: list[Protocol] = []

        class Remembering(Factory):
            def buildProtocol(self, addr: Any) -> Protocol:
                protocols.append(Protocol())
                return protocols[-1]

        port = self.reactor.listenTCP(9060, Remembering(), interface=HERE)
        sender = self.sender("tcp")
        sender.send(PACKET)
        self.assertEqual(sender.sent, 1)
        assert protocols[0].transport is not None
        protocols[0].transport.loseConnection()
        port.stopListening()
        self.reactor.advance(0.1)
        sender.send(PACKET)
        self.assertEqual(sender.lost, 1)
        listener.privilegedStartService()
        self.addCleanup(lambda: self.reactor.result_of(listener.stopService()))
        self.reactor.advance(120.0)
        sender.send(PACKET)
        self.reactor.advance(0.1)
        self.assertEqual(self.taken, [PACKET])

    def test_a_collector_that_does_not_read(self) -> None:
        """What waits is bounded."""

        class Asleep(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.pauseProducing()  # type: ignore[attr-defined]

        self.reactor.listenTCP(9060, Factory.forProtocol(Asleep), interface=HERE)
        sender = self.sender("tcp")
        large = HEPPacket(1.0, ("192.0.2.7", 1), ("192.0.2.1", 2), b"x" * 60_000)
        for _ in range(200):
            sender.send(large)
            self.reactor.advance(0.01)
        self.assertGreater(sender.lost, 100)
        self.assertLess(sender.sent, 100)

    def test_a_name_that_is_not_found(self) -> None:
        sender = self.sender("udp", "homer.invalid")
        sender.send(PACKET)
        self.assertEqual((sender.sent, sender.lost), (0, 1))

    def test_after_the_end(self) -> None:
        for transport in ("udp", "tcp"):
            sender = HEPSender(self.reactor, transport, HERE, 9060)
            sender.send(PACKET)
            sender.startService()
            self.reactor.result_of(sender.stopService())
            sender.send(PACKET)
            self.assertEqual(sender.lost, 2)


class ListenerTests(Case):
    def datagram(self, data: bytes) -> None:
        class Sending(DatagramProtocol):
            def startProtocol(self) -> None:
                assert self.transport is not None
                self.transport.write(data, (HERE, 9060))

        self.reactor.listenUDP(0, Sending(), interface="127.0.66.2")
        self.reactor.advance(0.1)

    def test_the_key(self) -> None:
        listener = self.listener(b"another")
        self.datagram(build(PACKET))
        self.assertEqual((self.taken, listener.refused), ([], 1))

    def test_nonsense(self) -> None:
        listener = self.listener()
        for data in (b"", b"OPTIONS", b"HEP3\xff\xff", build(PACKET)[:-1]):
            self.datagram(data)
        self.assertEqual((self.taken, listener.refused), ([], 4))

    def stream(self, *parts: bytes) -> Client:
        protocol = Client()

        class Connecting(Factory):
            def buildProtocol(self, addr: Any) -> Protocol:
                return protocol

            def startedConnecting(self, connector: Any) -> None: ...
            def clientConnectionFailed(self, connector: Any, reason: Any) -> None: ...
            def clientConnectionLost(self, connector: Any, reason: Any) -> None: ...

        self.reactor.connectTCP(HERE, 9060, Connecting())
        self.reactor.advance(0.1)
        assert protocol.transport is not None
        for part in parts:
            protocol.transport.write(part)
            self.reactor.advance(0.01)
        return protocol

    def test_a_stream_in_any_pieces(self) -> None:
        self.listener()
        wire = build(PACKET) * 3
        self.stream(*[wire[index : index + 7] for index in range(0, len(wire), 7)])
        self.assertEqual(self.taken, [PACKET] * 3)

    def test_a_stream_of_nonsense_is_closed(self) -> None:
        listener = self.listener()
        for wire in (b"GET / HTTP/1.1\r\n", build(PACKET) + b"HEP3\x00\x05", b"HEP3\x00\x06"):
            protocol = self.stream(wire)
            self.assertTrue(protocol.lost)
        self.assertEqual((listener.refused, listener.connections), (3, 0))

    def test_connections_are_bounded(self) -> None:
        listener = self.listener()
        protocols = [self.stream() for _ in range(70)]
        self.assertEqual(listener.connections, 64)
        self.assertEqual(sum(not one.lost for one in protocols), 64)

    def test_a_port_in_use(self) -> None:
        self.listener()
        second = HEPListener(self.reactor, HERE, 9060, b"", self.taken.append)
        error = self.assertRaises(StartError, second.privilegedStartService)
        self.assertTrue(str(error).startswith(f"[trace] hep_listen {HERE}:9060: "))
