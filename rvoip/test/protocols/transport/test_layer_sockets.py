"""The layer on real sockets."""

from __future__ import annotations

import errno
import resource
import socket
import struct
from typing import Any

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from rvoip.protocols.sip.message import Request
from rvoip.protocols.transport import table
from rvoip.protocols.transport.addresses import parse_listen
from rvoip.protocols.transport.batch import BatchPort
from rvoip.protocols.transport.errors import FlowError, ListenError
from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.protocols.transport.limits import TransportLimits
from rvoip.protocols.transport.mmsg import available
from rvoip.protocols.transport.sockets import has_address, source_address
from rvoip.test.protocols.transport.reactor_wait import reactor, until
from rvoip.test.protocols.transport.samples import Recorder, options

HOST = "127.0.61.2"


class SocketTestCase(TestCase):
    def setUp(self) -> None:
        self.receiver = Recorder(200)

    def layer(self, *addresses: str, **more: Any) -> TransportLayer:
        more.setdefault("receiver", self.receiver)
        layer = TransportLayer(reactor, **more)
        self.addCleanup(layer.stop)
        for address in addresses:
            try:
                layer.listen(parse_listen(address))
            except ListenError as error:
                if "[::" in address:
                    raise self.skipTest(f"no IPv6 here: {error}") from None
                raise
        return layer

    def client(
        self, layer: TransportLayer, host: str = HOST, kind: int = socket.SOCK_STREAM, index: int = 0
    ) -> socket.socket:
        """A socket of a peer, connected to a listener."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        client = socket.socket(family, kind)
        self.addCleanup(client.close)
        client.bind((host, 0))
        client.setblocking(False)
        listener = layer.listeners[index]
        try:
            client.connect((listener.host, listener.port))
        except BlockingIOError:
            pass
        return client

    async def read(self, client: socket.socket, marker: bytes, count: int = 1) -> bytes:
        got = bytearray()

        def enough() -> bool:
            try:
                while chunk := client.recv(65536):
                    got.extend(chunk)
            except (BlockingIOError, OSError) as error:
                if error.errno not in (errno.EAGAIN, errno.ENOTCONN):
                    raise
            return got.count(marker) >= count

        await until(enough, f"{count} times {marker!r}")
        return bytes(got)

    async def ended(self, client: socket.socket) -> None:
        """Wait until the other side has closed or reset the connection."""

        def over() -> bool:
            try:
                return not client.recv(65536)
            except BlockingIOError:
                return False
            except OSError as error:
                return error.errno != errno.ENOTCONN

        await until(over, "an end")


class DatagramSuite:
    """The same with and without batches."""

    batch = True
    host = HOST

    async def test_request_and_response(self) -> None:
        case: Any = self
        layer = case.layer(f"udp:{bracketed(self.host)}:0", batch=self.batch)
        client = case.client(layer, self.host, socket.SOCK_DGRAM)
        for number in range(100):
            client.send(options(number, via=f"SIP/2.0/UDP {bracketed(self.host)}:9"))
        answers = await case.read(client, b"SIP/2.0 200 OK", 100)
        case.assertEqual(answers.count(b"SIP/2.0 200 OK"), 100)
        case.assertEqual(case.receiver.numbers, list(range(100)))
        case.assertEqual((layer.counters.received, layer.counters.sent), (100, 100))
        via = case.receiver.messages[0][0].via
        case.assertEqual((via.received, via.rport), (self.host, str(client.getsockname()[1])))

    async def test_a_request_of_ours(self) -> None:
        case: Any = self
        layer = case.layer(f"udp:{bracketed(self.host)}:0", batch=self.batch)
        client = case.client(layer, self.host, socket.SOCK_DGRAM)
        flow = layer.flow_to(Target("UDP", *client.getsockname()[:2]))
        flow.send(b"from outside of a read")
        await case.read(client, b"from outside of a read")
        with layer.gather():
            flow.send(b"gathered")
        await case.read(client, b"gathered")

    async def test_junk(self) -> None:
        case: Any = self
        layer = case.layer(f"udp:{bracketed(self.host)}:0", batch=self.batch)
        client = case.client(layer, self.host, socket.SOCK_DGRAM)
        for datagram in (b"", b"\r\n\r\n", bytes(100), b"\xff" * 1000, b"INVITE" * 9000, options(1)):
            client.send(datagram)
        await case.read(client, b"SIP/2.0 200 OK")
        case.assertEqual(case.receiver.numbers, [1])


class BatchTests(DatagramSuite, SocketTestCase):
    if not available():
        skip = "no recvmmsg here"

    async def test_it_is_a_batch_port(self) -> None:
        self.assertIsInstance(self.layer(f"udp:{HOST}:0").listeners[0].listening, BatchPort)


class StockTests(DatagramSuite, SocketTestCase):
    batch = False


class IPv6Tests(DatagramSuite, SocketTestCase):
    host = "::1"

    async def test_streams(self) -> None:
        layer = self.layer("tcp:[::1]:0")
        client = self.client(layer, "::1")
        await until(lambda: layer.connections)
        client.send(options(1, via="SIP/2.0/TCP [::1]:9"))
        await self.read(client, b"SIP/2.0 200 OK")
        self.assertEqual(self.receiver.flow.remote, client.getsockname()[:2])

    async def test_both_wildcards(self) -> None:
        """The IPv6 one does not take IPv4 as well."""
        layer = self.layer("udp:[::]:0", "tcp:[::]:0")
        for transport, listener in zip(("udp", "tcp"), list(layer.listeners), strict=True):
            layer.listen(parse_listen(f"{transport}:0.0.0.0:{listener.port}"))


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class WildcardTests(SocketTestCase):
    async def test_what_we_say_we_are(self) -> None:
        layer = self.layer("udp:0.0.0.0:0", "tcp:0.0.0.0:0")
        for transport in ("UDP", "TCP"):
            port = next(one.port for one in layer.listeners if one.transport == transport)
            flow = layer.flow_to(Target(transport, HOST, 9))
            self.assertEqual(flow.sent_by, f"{source_address(HOST)}:{port}")
            self.assertTrue(layer.is_local(HOST, port))
            self.assertFalse(layer.is_local("192.0.2.1", port))

    def test_addresses_of_ours(self) -> None:
        self.assertTrue(has_address("127.0.0.1"))
        self.assertFalse(has_address("192.0.2.1"))
        self.assertFalse(has_address("2001:db8::1"))
        self.assertIsNone(source_address("not numeric"))


class StreamTests(SocketTestCase):
    async def test_pipelined(self) -> None:
        layer = self.layer(f"tcp:{HOST}:0")
        client = self.client(layer)
        await until(lambda: layer.connections)
        stream = b"".join(options(number, via=f"SIP/2.0/TCP {HOST}:9") for number in range(50)) + b"\r\n\r\n"
        client.send(stream[:1000])
        await until(lambda: self.receiver.messages)
        client.send(stream[1000:])
        answers = await self.read(client, b"SIP/2.0 200 OK", 50)
        self.assertTrue(answers.endswith(b"\r\n\r\n\r\n") or (await self.read(client, b"\r\n")) == b"\r\n")
        self.assertEqual(self.receiver.numbers, list(range(50)))

    async def test_both_ways_over_one_connection(self) -> None:
        one = self.layer(f"tcp:{HOST}:0")
        theirs = Recorder()
        other = self.layer(f"tcp:{HOST}:0", receiver=theirs)
        flow = other.flow_to(Target("TCP", HOST, one.listeners[0].port))
        flow.send(options(1, via=f"SIP/2.0/TCP {flow.sent_by}"))
        await until(lambda: theirs.messages)
        back = one.flow_to(Target("TCP", *flow.local))
        back.send(options(2, via=f"SIP/2.0/TCP {back.sent_by}"))
        await until(lambda: len(theirs.messages) == 2)
        self.assertIs(theirs.messages[1][1], flow)
        self.assertEqual((one.connections, other.connections), (1, 1))

    async def test_what_a_client_says_of_itself_is_not_believed(self) -> None:
        layer = self.layer(f"tcp:{HOST}:0")
        client = self.client(layer)
        await until(lambda: layer.connections)
        client.send(options(1, via="SIP/2.0/TCP 203.0.113.1:9", params=";received=203.0.113.2"))
        await until(lambda: self.receiver.messages)
        message = self.receiver.messages[0][0]
        assert isinstance(message, Request)
        self.assertEqual(message.via.received, HOST)

    async def test_refused(self) -> None:
        layer = self.layer(f"tcp:{HOST}:0")
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = free.getsockname()[1]
        flow = layer.flow_to(Target("TCP", HOST, port))
        told: list[str] = []
        flow.when_closed(lambda closed, reason: told.append(reason))
        flow.send(b"x")
        await until(lambda: told)
        self.assertEqual(told, ["connection refused"])

    async def test_a_burst_and_a_reset(self) -> None:
        """The peer sends a thousand requests and is gone before any answer."""
        layer = self.layer(f"tcp:{HOST}:0")
        client = self.client(layer)
        await until(lambda: layer.connections)
        client.setblocking(True)
        client.sendall(b"".join(options(number, via=f"SIP/2.0/TCP {HOST}:9") for number in range(200)))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await until(lambda: not layer.connections)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertTrue(all(flow.closed for _, flow in self.receiver.messages))
        if self.receiver.messages:
            self.assertRaises(FlowError, self.receiver.flow.send, b"x")

    async def test_sockets_are_watched_by_the_kernel(self) -> None:
        layer = self.layer(f"tcp:{HOST}:0")
        client = self.client(layer)
        await until(lambda: layer.connections)
        client.send(options(1, via=f"SIP/2.0/TCP {HOST}:9"))
        await until(lambda: self.receiver.messages)
        handle = self.receiver.flow._wire.transport.getHandle()
        self.assertEqual(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1)
        self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), 8000)


class HostileTests(SocketTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(table, "SWEEP", 0.05)

    async def test_half_open_connections_of_one_source(self) -> None:
        """600 of them: 64 stay until their time is up, and others are served all the while."""
        wanted = 2 * 600 + 100
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < wanted <= hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        elif soft < wanted:
            raise self.skipTest("too few file descriptors here")
        limits = TransportLimits(partial_timeout=1.5)
        layer = self.layer(f"tcp:{HOST}:0", limits=limits)
        attackers = []
        for number in range(600):
            attackers.append(self.client(layer, "127.0.61.3"))
            if number % 100 == 99:
                await deferLater(reactor, 0.01)
        await until(lambda: layer.counters.connections_refused == 600 - 64, "refusals")
        self.assertEqual(layer.connections, 64)
        for attacker in attackers:
            try:
                attacker.send(b"INVITE sip:")
            except OSError:
                continue  # it was refused
        start = reactor.seconds()
        probe = self.client(layer)
        await until(lambda: layer.connections == 65)
        probe.send(options(1, via=f"SIP/2.0/TCP {HOST}:9"))
        await self.read(probe, b"SIP/2.0 200 OK")
        self.assertLess(reactor.seconds() - start, 1.0)
        await until(lambda: layer.connections == 1, "the end of the half-open ones")
        self.assertEqual(len(self.receiver.messages), 1)

    async def test_a_peer_that_never_reads(self) -> None:
        self.receiver.padding = 2000
        layer = self.layer(f"tcp:{HOST}:0", limits=TransportLimits(stuck_timeout=0.5))
        client = self.client(layer)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await until(lambda: layer.connections)
        chunk = b"".join(options(number, via=f"SIP/2.0/TCP {HOST}:9") for number in range(200))
        most = 0

        def push() -> bool:
            nonlocal most
            try:
                for _ in range(20):
                    client.send(chunk)
            except BlockingIOError:
                pass
            except OSError:
                return True
            for _, flow in self.receiver.messages[:1]:
                wire: Any = flow
                if wire._wire is not None:
                    most = max(most, wire._wire._unsent_size + 65536)
            return not layer.connections

        await until(push, "the end of the one that does not read")
        self.assertGreater(most, 250_000)
        self.assertLess(most, 256 * 1024 + 4096)
        self.assertIn("has not read", self.receiver.flow.reason)
        self.assertEqual(self.receiver.refused, [])

    async def test_too_long_a_message(self) -> None:
        layer = self.layer(f"tcp:{HOST}:0", receiver=None)
        client = self.client(layer)
        await until(lambda: layer.connections)
        client.send(options(1, via=f"SIP/2.0/TCP {HOST}:9").replace(b"Length: 0", b"Length: 4294967297"))
        await self.read(client, b"SIP/2.0 413 ")
        await self.ended(client)

    async def test_a_silent_one(self) -> None:
        layer = self.layer(f"tcp:{HOST}:0", limits=TransportLimits(idle_timeout=0.3))
        client = self.client(layer)
        await until(lambda: layer.connections)
        await self.ended(client)
        await until(lambda: not layer.connections)
