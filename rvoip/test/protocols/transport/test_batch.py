"""UDP ports on real sockets: one suite for the batch port, its fallback and Twisted's own."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, InvalidAddressError
from twisted.internet.interfaces import IReactorUDP
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from rvoip.protocols.transport import batch as batch_module
from rvoip.protocols.transport.batch import BatchPort, BatchUDP
from rvoip.protocols.transport.mmsg import BATCH, SO_TIMESTAMPNS, ReceiveBatch, SendBatch, available
from rvoip.protocols.transport.sockets import StockPort, pack_address, unpack_address
from rvoip.test.protocols.transport.reactor_wait import reactor, until

HOST = "127.0.61.1"


class Echo(DatagramProtocol):
    """Sends back what it gets, and remembers it."""

    noisy = False

    def __init__(self) -> None:
        self.received: list[tuple[bytes, tuple[str, int]]] = []
        self.failed: list[tuple[tuple[str, int], OSError]] = []
        self.answer: Callable[[bytes, tuple[str, int]], None] = self.echo

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.received.append((datagram, addr))
        self.answer(datagram, addr)

    def echo(self, datagram: bytes, addr: tuple[str, int]) -> None:
        transport: Any = self.transport
        transport.write(datagram, addr)

    def send_failed(self, address: tuple[str, int], error: OSError) -> None:
        self.failed.append((address, error))


class UDPSuite:
    """What any UDP port must do."""

    host = HOST
    udp: Callable[[], Any]

    def setUp(self) -> None:
        case: Any = self
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.echo = Echo()
        try:
            self.port = self.udp().listenUDP(0, self.echo, self.host, 65535)
        except CannotListenError as error:
            raise case.skipTest(f"no {self.host} here") from error
        case.addCleanup(self.port.stopListening)
        self.peer = socket.socket(family, socket.SOCK_DGRAM)
        case.addCleanup(self.peer.close)
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)
        self.peer.bind((self.host, 0))
        self.peer.setblocking(False)
        self.address = (self.host, self.port.getHost().port)

    def read(self, count: int) -> Deferred[list[bytes]]:
        return Deferred.fromCoroutine(self._read(count))

    async def _read(self, count: int) -> list[bytes]:
        got: list[bytes] = []

        def enough() -> bool:
            try:
                while len(got) < count:
                    got.append(self.peer.recv(65536))
            except BlockingIOError:
                return False
            return True

        await until(enough, f"{count} answers")
        return got

    async def test_echo(self) -> None:
        case: Any = self
        self.peer.sendto(b"hello", self.address)
        case.assertEqual(await self.read(1), [b"hello"])
        source = (self.host, self.peer.getsockname()[1])
        case.assertEqual(self.echo.received, [(b"hello", source)])

    async def test_many_in_order(self) -> None:
        case: Any = self
        datagrams = [b"%d:" % number + b"x" * (number * 7 % 300) for number in range(130)]
        for datagram in datagrams:
            self.peer.sendto(datagram, self.address)
        case.assertEqual(await self.read(130), datagrams)

    async def test_sizes(self) -> None:
        case: Any = self
        largest = 65507 if ":" not in self.host else 65527
        for size in (0, 1, 8192, 8193, largest):
            self.peer.sendto(b"a" * size, self.address)
            await until(lambda: bool(self.echo.received), "a datagram")
            case.assertEqual(len(self.echo.received.pop()[0]), size)

    async def test_an_exception_does_not_stop_it(self) -> None:
        case: Any = self

        def fail(datagram: bytes, addr: tuple[str, int]) -> None:
            if datagram == b"bad":
                raise KeyError("bad")
            self.echo.echo(datagram, addr)

        self.echo.answer = fail
        for datagram in (b"one", b"bad", b"two"):
            self.peer.sendto(datagram, self.address)
        case.assertEqual(await self.read(2), [b"one", b"two"])
        case.assertEqual(len(case.flushLoggedErrors(KeyError)), 1)

    async def test_writes_outside_of_a_read(self) -> None:
        case: Any = self
        self.port.write(b"unasked", (self.host, self.peer.getsockname()[1]))
        case.assertEqual(await self.read(1), [b"unasked"])

    async def test_bad_destinations(self) -> None:
        case: Any = self
        other = "::1" if ":" not in self.host else "127.0.0.1"
        for host in ("localhost", "", "example.test", "127.1", other):
            case.assertRaises(InvalidAddressError, self.port.write, b"x", (host, 5060))
        for port in (65536, -1):
            case.assertRaises((OverflowError, OSError), self.port.write, b"x", (self.host, port))

    async def test_stop_from_within(self) -> None:
        case: Any = self
        stopped: list[Any] = []

        def stop(datagram: bytes, addr: tuple[str, int]) -> None:
            self.echo.echo(datagram, addr)
            if not stopped:
                stopped.append(self.port.stopListening())

        self.echo.answer = stop
        for _ in range(3):
            self.peer.sendto(b"x", self.address)
        case.assertEqual((await self.read(1))[0], b"x")
        await stopped[0]
        case.assertIsNone(self.echo.transport)

    async def test_connected(self) -> None:
        case: Any = self
        self.port.connect(self.host, self.peer.getsockname()[1])
        self.port.write(b"to the one")
        case.assertEqual(await self.read(1), [b"to the one"])
        self.peer.sendto(b"back", self.address)
        await until(lambda: bool(self.echo.received))


class StockTests(UDPSuite, TestCase):
    def udp(self) -> Any:
        return reactor


class BatchSuite(UDPSuite):
    def udp(self) -> Any:
        return BatchUDP(reactor)

    async def test_a_read_takes_and_answers_a_batch(self) -> None:
        case: Any = self
        sent: list[int] = []
        real = self.port._send

        def send(fileno: int, length: int, datagrams: Any, names: Any) -> int:
            sent.append(len(datagrams))
            return int(real(fileno, length, datagrams, names))

        self.port._send = send
        for number in range(100):
            self.peer.sendto(b"%d" % number, self.address)
        case.assertEqual(len(await self.read(100)), 100)
        case.assertEqual(sent, [BATCH, 100 - BATCH])

    async def test_more_answers_than_a_batch_holds(self) -> None:
        case: Any = self

        def many(datagram: bytes, addr: tuple[str, int]) -> None:
            for _ in range(150):
                self.echo.echo(datagram, addr)

        self.echo.answer = many
        self.peer.sendto(b"x", self.address)
        case.assertEqual(len(await self.read(150)), 150)

    async def test_held(self) -> None:
        case: Any = self
        source = (self.host, self.peer.getsockname()[1])
        with self.port.held():
            self.port.write(b"one", source)
            with self.port.held():
                self.port.write(b"two", source)
            case.assertEqual(len(self.port._queue), 2)
        case.assertEqual(await self.read(2), [b"one", b"two"])

    async def test_what_the_kernel_refuses_is_told_and_the_rest_goes_out(self) -> None:
        case: Any = self
        source = (self.host, self.peer.getsockname()[1])
        bad = ("255.255.255.255", 9) if ":" not in self.host else ("ff05::1", 0)
        with self.port.held():
            self.port.write(b"first", source)
            self.port.write(b"never", bad)
            self.port.write(b"x" * 65536, source)
            self.port.write(b"last", source)
        case.assertEqual(await self.read(2), [b"first", b"last"])
        case.assertEqual([address for address, _ in self.echo.failed], [bad, source])
        case.assertEqual(self.echo.failed[1][1].errno, errno.EMSGSIZE)

    async def test_a_full_buffer_drops_the_rest(self) -> None:
        case: Any = self
        source = (self.host, self.peer.getsockname()[1])
        calls: list[int] = []

        def full(fileno: int, length: int, datagrams: Any, names: Any) -> int:
            calls.append(len(datagrams))
            raise OSError(errno.ENOBUFS, "full")

        self.port._send = full
        with self.port.held():
            for _ in range(10):
                self.port.write(b"x", source)
        case.assertEqual((calls, len(self.echo.failed)), ([10], 10))

    async def test_a_late_refusal_of_another_is_not_held_against_the_next(self) -> None:
        """ICMP's answer to an earlier datagram is reported by the next call, whomever that is for."""
        case: Any = self
        source = (self.host, self.peer.getsockname()[1])
        real = self.port._send
        complaints = [OSError(errno.ECONNREFUSED, "refused"), OSError(errno.EINTR, "interrupted")]

        def send(fileno: int, length: int, datagrams: Any, names: Any) -> int:
            if complaints:
                raise complaints.pop()
            return int(real(fileno, length, datagrams, names))

        self.port._send = send
        with self.port.held():
            for text in (b"1", b"2", b"3"):
                self.port.write(text, source)
        case.assertEqual(await self.read(3), [b"1", b"2", b"3"])
        case.assertEqual(self.echo.failed, [])

    async def test_addresses_are_bounded(self) -> None:
        for port in range(1, 10_000):
            self.port._name((self.host, port))
        case: Any = self
        case.assertLessEqual(len(self.port._names), 4096)


class BatchTests(BatchSuite, TestCase):
    if not available():
        skip = "no recvmmsg here"


class BatchIPv6Tests(BatchSuite, TestCase):
    host = "::1"
    if not available():
        skip = "no recvmmsg here"

    async def test_it_leaves_ipv4_alone(self) -> None:
        port = self.port.getHost().port
        other = BatchUDP(reactor).listenUDP(port, Echo(), "0.0.0.0")
        await other.stopListening()
        wide = BatchUDP(reactor).listenUDP(0, Echo(), "::")
        number = wide.getHost().port
        narrow = BatchUDP(reactor).listenUDP(number, Echo(), "0.0.0.0")
        await narrow.stopListening()
        await wide.stopListening()


class FallbackTests(UDPSuite, TestCase):
    """Where there is no recvmmsg."""

    def udp(self) -> Any:
        case: Any = self
        case.patch(batch_module, "available", lambda: False)
        return BatchUDP(reactor)

    async def test_it_is_the_stock_port(self) -> None:
        self.assertIs(type(self.port), StockPort)


class Dated(Echo):
    """Remembers what was late, too."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[tuple[bytes, float]] = []

    def datagram_late(self, datagram: bytes, addr: tuple[str, int], seconds: float) -> None:
        self.late.append((datagram, seconds))


class LateTests(TestCase):
    """What waited in the socket while the reactor could not look at it."""

    LATE = 0.2

    if not available():
        skip = "no recvmmsg here"

    def setUp(self) -> None:
        self.dated = Dated()
        self.port = BatchUDP(reactor, late=self.LATE).listenUDP(0, self.dated, HOST)
        self.addCleanup(self.port.stopListening)
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.peer.close)
        self.address = (HOST, self.port.getHost().port)

    def received(self) -> list[bytes]:
        return [datagram for datagram, _ in self.dated.received]

    async def test_after_a_stall(self) -> None:
        """Each datagram is judged by its own age."""
        self.peer.sendto(b"old", self.address)
        self.peer.sendto(b"old too", self.address)
        time.sleep(2 * self.LATE)  # the stall
        self.peer.sendto(b"new", self.address)
        await until(lambda: bool(self.dated.received))
        self.assertEqual(self.received(), [b"new"])
        self.assertEqual([datagram for datagram, _ in self.dated.late], [b"old", b"old too"])
        for _, seconds in self.dated.late:
            self.assertTrue(2 * self.LATE <= seconds < 10, seconds)

    async def test_the_clock_of_the_wall_does_not_count(self) -> None:
        """An hour is skipped: that makes nothing late where the socket is known to have been empty."""
        await until(lambda: self.port._empty_at > self.port._beat_at - self.LATE, "beats")
        self.patch(batch_module, "time", SimpleNamespace(time=lambda: time.time() + 3600.0))
        start = reactor.seconds()
        await until(lambda: reactor.seconds() > start + 2 * self.LATE, "an idle time")
        self.peer.sendto(b"x", self.address)
        await until(lambda: bool(self.dated.received))
        self.assertEqual((self.received(), self.dated.late), ([b"x"], []))

    async def test_a_backlog_is_not_worked_off(self) -> None:
        """Of more than is read in one go only what is fresh is handed on, in order."""
        for number in range(300):
            self.peer.sendto(b"old %d" % number, self.address)
        time.sleep(2 * self.LATE)
        for number in range(300):
            self.peer.sendto(b"new %d" % number, self.address)
        await until(lambda: len(self.dated.received) == 300)
        self.assertEqual(self.received(), [b"new %d" % number for number in range(300)])
        self.assertEqual(len(self.dated.late), 300)

    async def test_a_failure_is_logged(self) -> None:
        def fail(datagram: bytes, addr: tuple[str, int], seconds: float) -> None:
            raise KeyError("late")

        self.port._late_received = fail
        self.peer.sendto(b"old", self.address)
        time.sleep(2 * self.LATE)
        self.peer.sendto(b"new", self.address)
        await until(lambda: bool(self.dated.received))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    async def test_who_does_not_ask_gets_all(self) -> None:
        echo = Echo()
        port = BatchUDP(reactor, late=self.LATE).listenUDP(0, echo, HOST)
        self.addCleanup(port.stopListening)
        self.peer.sendto(b"old", (HOST, port.getHost().port))
        time.sleep(2 * self.LATE)
        await until(lambda: bool(echo.received))
        self.assertIsNone(port._beat)


class PortTests(TestCase):
    def test_interface(self) -> None:
        verifyObject(IReactorUDP, BatchUDP(reactor))

    async def test_an_address_in_use(self) -> None:
        udp = BatchUDP(reactor)
        first = udp.listenUDP(0, Echo(), HOST)
        self.addCleanup(first.stopListening)
        self.assertRaises(CannotListenError, udp.listenUDP, first.getHost().port, Echo(), HOST)

    async def test_buffers_are_asked_for(self) -> None:
        first = BatchUDP(reactor, buffer_size=1_000_000).listenUDP(0, Echo(), HOST)
        self.addCleanup(first.stopListening)
        size = first.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            usual = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.assertGreater(size, min(usual, 1_000_000))

    async def test_ports_share_buffers(self) -> None:
        udp = BatchUDP(reactor)
        ports = [udp.listenUDP(0, Echo(), HOST) for _ in range(3)]
        for port in ports:
            self.addCleanup(port.stopListening)
            self.assertIsInstance(port, BatchPort)
        self.assertEqual(len(udp._buffers), 1)


class AddressTests(SynchronousTestCase):
    def test_both_ways(self) -> None:
        for family, host in (
            (socket.AF_INET, "192.0.2.1"),
            (socket.AF_INET6, "2001:db8::1"),
            (socket.AF_INET6, "::1"),
        ):
            self.assertEqual(unpack_address(pack_address(family, host, 5061)), (host, 5061))

    def test_scope(self) -> None:
        index, name = socket.if_nameindex()[0]
        packed = pack_address(socket.AF_INET6, f"fe80::1%{name}", 5060)
        self.assertEqual(packed, pack_address(socket.AF_INET6, f"fe80::1%{index}", 5060))
        self.assertEqual(unpack_address(packed), (f"fe80::1%{name}", 5060))
        unknown = pack_address(socket.AF_INET6, "fe80::1%99999", 5060)
        self.assertEqual(unpack_address(unknown), ("fe80::1%99999", 5060))
        self.assertRaises(OSError, pack_address, socket.AF_INET6, "fe80::1%nosuch0", 5060)

    def test_as_the_kernel_writes_it(self) -> None:
        if not available():
            raise self.skipTest("no recvmmsg here")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind((HOST, 0))
            here = one.getsockname()
            name = pack_address(socket.AF_INET, *here)
            self.assertEqual(SendBatch().send(one.fileno(), 16, [b"a", b"bc"], [name, name]), 2)
            receive = ReceiveBatch()
            self.assertEqual(receive.receive(one.fileno(), 16), [(b"a", name), (b"bc", name)])
            self.assertEqual(receive.receive(one.fileno(), 16), [])
            # Without the socket option there are no stamps, with it there are, for those that ask.
            for stamped in (False, True):
                one.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, stamped)
                SendBatch().send(one.fileno(), 16, [b"a", b"bc"], [name, name])
                dated = receive.receive_dated(one.fileno(), 16)
                self.assertEqual([found[:2] for found in dated], [(b"a", name), (b"bc", name)])
                for _, _, came_at in dated:
                    if stamped:
                        self.assertTrue(0.0 <= time.time() - came_at < 5.0, came_at)
                    else:
                        self.assertEqual(came_at, 0.0)
                SendBatch().send(one.fileno(), 16, [b"d"], [name])
                self.assertEqual(receive.receive(one.fileno(), 16), [(b"d", name)])
