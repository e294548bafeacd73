from __future__ import annotations

from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.testing.memory_datagram import MemoryDatagramPort
from rvoip.testing.memory_reactor import MemoryReactor


class Recorder(DatagramProtocol):
    def __init__(self) -> None:
        self.seen: list[tuple[bytes, tuple[str, int]]] = []
        self.events: list[str] = []

    def startProtocol(self) -> None:
        self.events.append("start")

    def stopProtocol(self) -> None:
        self.events.append("stop")

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if datagram == b"raise":
            raise ZeroDivisionError
        self.seen.append((datagram, addr))

    def connectionRefused(self) -> None:
        self.events.append("refused")


class DeliveryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()

    def open(self, interface: str, port: int, size: int = 65535) -> tuple[Recorder, MemoryDatagramPort]:
        recorder = Recorder()
        return recorder, self.reactor.listenUDP(port, recorder, interface, size)

    def test_by_address(self) -> None:
        for one, other in (("127.0.0.1", "127.0.0.2"), ("::1", "2001:db8::1"), ("192.0.2.1", "198.51.100.7")):
            a, port_a = self.open(one, 5060)
            b, port_b = self.open(other, 5080)
            port_a.write(b"ping", (other, 5080))
            self.assertEqual(b.seen, [], "delivery is never within write()")
            self.reactor.advance()
            self.assertEqual(b.seen, [(b"ping", (one, 5060))])
            port_b.write(b"pong", b.seen[0][1])
            self.reactor.advance()
            self.assertEqual(a.seen, [(b"pong", (other, 5080))])

    def test_in_order(self) -> None:
        b, _ = self.open("127.0.0.2", 5080)
        _, port = self.open("127.0.0.1", 5060)
        for number in range(20):
            port.write(b"%d" % number, ("127.0.0.2", 5080))
        self.reactor.advance()
        self.assertEqual([data for data, _ in b.seen], [b"%d" % number for number in range(20)])

    def test_wildcard(self) -> None:
        everywhere, port = self.open("", 5060)
        self.assertEqual(port.getHost().host, "0.0.0.0")
        exact, _ = self.open("127.0.0.9", 5080)
        _, sender = self.open("127.0.0.1", 0)
        sender.write(b"a", ("127.0.0.55", 5060))
        port.write(b"b", ("127.0.0.9", 5080))
        self.reactor.advance()
        self.assertEqual(everywhere.seen, [(b"a", ("127.0.0.1", 49152))])
        self.assertEqual(exact.seen, [(b"b", ("127.0.0.1", 5060))])

    def test_spellings_of_an_ipv6_address(self) -> None:
        b, _ = self.open("2001:db8::1", 5080)
        _, port = self.open("::1", 5060)
        port.write(b"a", ("2001:DB8:0:0::0001", 5080))
        self.reactor.advance()
        self.assertEqual(b.seen, [(b"a", ("::1", 5060))])

    def test_max_packet_size_cuts(self) -> None:
        b, _ = self.open("127.0.0.2", 5080, 4)
        _, port = self.open("127.0.0.1", 5060)
        port.write(b"123456", ("127.0.0.2", 5080))
        self.reactor.advance()
        self.assertEqual(b.seen, [(b"1234", ("127.0.0.1", 5060))])

    def test_write_sequence(self) -> None:
        b, port = self.open("127.0.0.2", 5080)
        port.writeSequence([b"1", b"2"], ("127.0.0.2", 5080))
        self.reactor.advance()
        self.assertEqual(b.seen, [(b"12", ("127.0.0.2", 5080))])

    def test_an_error_in_the_protocol_leaves_the_port_alive(self) -> None:
        b, _ = self.open("127.0.0.2", 5080)
        _, port = self.open("127.0.0.1", 5060)
        port.write(b"raise", ("127.0.0.2", 5080))
        port.write(b"a", ("127.0.0.2", 5080))
        self.reactor.advance()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([data for data, _ in b.seen], [b"a"])

    def test_nothing_arrives_after_stop_listening(self) -> None:
        b, port_b = self.open("127.0.0.2", 5080)
        _, port = self.open("127.0.0.1", 5060)
        port.write(b"a", ("127.0.0.2", 5080))
        stopped = port_b.stopListening()
        assert stopped is not None
        self.reactor.advance()
        self.successResultOf(stopped)
        self.assertEqual((b.seen, b.events), ([], ["start", "stop"]))
        self.assertRaises(OSError, port_b.write, b"a", ("127.0.0.1", 5060))
        self.assertRaises(OSError, port_b.getHost)


class ConnectedTests(SynchronousTestCase):
    def test_only_the_peer_is_heard_and_refusals_are_told(self) -> None:
        reactor = MemoryReactor()
        a, b, c = Recorder(), Recorder(), Recorder()
        port_a = reactor.listenUDP(1, a, "127.0.0.1")
        port_b = reactor.listenUDP(2, b, "127.0.0.2")
        port_c = reactor.listenUDP(3, c, "127.0.0.3")
        port_a.connect("127.0.0.2", 2)
        self.assertRaises(RuntimeError, port_a.connect, "127.0.0.2", 2)
        port_a.write(b"x")
        port_b.write(b"y", ("127.0.0.1", 1))
        port_c.write(b"z", ("127.0.0.1", 1))
        reactor.advance()
        self.assertEqual((b.seen, a.seen), ([(b"x", ("127.0.0.1", 1))], [(b"y", ("127.0.0.2", 2))]))
        port_b.stopListening()
        reactor.advance()
        port_a.write(b"x")
        port_c.write(b"x", ("127.0.0.2", 2))
        reactor.advance()
        self.assertEqual((a.events, c.events), (["start", "refused"], ["start"]))


class RefusalTests(SynchronousTestCase):
    """What `write` raises is what Twisted's own port raises: a peer chooses these addresses."""

    def test_addresses(self) -> None:
        reactor = MemoryReactor()
        four = reactor.listenUDP(0, Recorder(), "127.0.0.1")
        six = reactor.listenUDP(0, Recorder(), "::1")
        for port, address, error in (
            (four, ("example.test", 5060), InvalidAddressError),
            (four, ("127.1", 5060), InvalidAddressError),
            (four, ("", 5060), InvalidAddressError),
            (four, ("::1", 5060), InvalidAddressError),
            (six, ("127.0.0.1", 5060), InvalidAddressError),
            (four, ("127.0.0.1", 65536), OverflowError),
            (four, ("127.0.0.1", -1), OverflowError),
            (four, ("127.0.0.1", 0), OSError),
            (four, ("255.255.255.255", 5060), PermissionError),
        ):
            with self.subTest(address=address):
                self.assertRaises(error, port.write, b"x", address)
        self.assertRaises(MessageLengthError, four.write, bytes(65508), ("127.0.0.1", 5060))
        self.assertRaises(TypeError, four.write, "text", ("127.0.0.1", 5060))
        self.assertFalse(four.getBroadcastAllowed())
        four.setBroadcastAllowed(True)
        self.assertTrue(four.getBroadcastAllowed())
        four.write(b"x", ("255.255.255.255", 5060))

    def test_bind(self) -> None:
        reactor = MemoryReactor()
        self.assertRaises(InvalidAddressError, reactor.listenUDP, 0, Recorder(), "localhost")
        reactor.listenUDP(5060, Recorder(), "127.0.0.1")
        self.assertRaises(CannotListenError, reactor.listenUDP, 5060, Recorder(), "127.0.0.1")

    def test_interfaces(self) -> None:
        port = MemoryReactor().listenUDP(0, Recorder(), "127.0.0.1")
        self.assertTrue(verifyObject(IListeningPort, port))
        self.assertTrue(verifyObject(IUDPTransport, port))
        self.assertIn("127.0.0.1", repr(port))
