from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from twisted.internet.interfaces import IConnector
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.testing.network import Datagram, Link, SimulatedNetwork


class Log(DatagramProtocol):
    def __init__(self, reactor: MemoryReactor) -> None:
        self.reactor = reactor
        self.seen: list[tuple[float, bytes]] = []

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.seen.append((self.reactor.seconds(), datagram))

    @property
    def data(self) -> list[bytes]:
        return [data for _, data in self.seen]


class Stream(Protocol):
    transport: Any

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.events: list[str] = []

    def connectionMade(self) -> None:
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        assert reason.type is not None
        self.events.append(reason.type.__name__)

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def write(self, data: bytes) -> None:
        self.transport.write(data)


class One(ClientFactory):
    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self.made = protocol
        self.failed: str | None = None

    def buildProtocol(self, addr: object) -> Protocol:
        return self.made

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        assert reason.type is not None
        self.failed = reason.type.__name__


class Two(SynchronousTestCase):
    def build(self, clock: Clock | None = None, seed: int = 1, **knobs: Any) -> SimulatedNetwork:
        network = SimulatedNetwork(clock, seed, **knobs)
        self.a = network.host("a", "10.0.0.1", "2001:db8::1")
        self.b = network.host("b", "10.0.0.2", "2001:db8::2")
        self.log_a, self.log_b = Log(self.a), Log(self.b)
        self.port_a = self.a.listenUDP(5060, self.log_a, "10.0.0.1")
        self.port_b = self.b.listenUDP(5060, self.log_b, "10.0.0.2")
        return network

    def send(self, count: int, start: int = 0) -> None:
        for number in range(start, start + count):
            self.port_a.write(b"%d" % number, ("10.0.0.2", 5060))

    def streams(self) -> tuple[Stream, Stream]:
        client, server = Stream(), Stream()
        self.b.listenTCP(5061, One(server), interface="10.0.0.2")
        self.factory = One(client)
        self.a.connectTCP("10.0.0.2", 5061, self.factory)
        return client, server


class DatagramTests(Two):
    def test_delay(self) -> None:
        network = self.build(delay=(0.02, 0.03))
        self.send(50)
        network.advance(0.0199)
        self.assertEqual((self.log_b.seen, network.quiet()), ([], False))
        self.assertEqual(network.pending(), ["50 packets under way"])
        network.advance(0.0102)
        self.assertEqual(self.log_b.data, [b"%d" % number for number in range(50)])
        self.assertTrue(all(0.02 <= when <= 0.03 for when, _ in self.log_b.seen))
        self.assertTrue(network.quiet())

    def test_ipv6_and_both_ways(self) -> None:
        network = self.build(delay=(0.01, 0.01))
        log = Log(self.b)
        port = self.b.listenUDP(5060, log, "2001:db8::2")
        self.a.listenUDP(5070, Log(self.a), "::").write(b"x", ("2001:DB8::2", 5060))
        network.advance(1)
        self.assertEqual(log.seen, [(0.01, b"x")])
        port.write(b"y", ("2001:db8::1", 5070))
        network.advance(1)
        self.assertEqual(network.delivered, 2)

    def test_loopback_is_private_and_immediate(self) -> None:
        network = self.build(loss=1.0, delay=(1, 1))
        log = Log(self.a)
        self.a.listenUDP(5099, log, "127.0.0.1")
        self.a.listenUDP(0, Log(self.a)).write(b"x", ("127.0.0.1", 5099))
        self.b.listenUDP(0, Log(self.b)).write(b"y", ("127.0.0.1", 5099))
        network.advance()
        self.assertEqual(log.seen, [(0.0, b"x")])

    def test_loss(self) -> None:
        network = self.build(loss=0.3)
        self.send(1000)
        network.advance()
        self.assertEqual(network.sent, 1000)
        self.assertEqual(network.lost + network.delivered, 1000)
        self.assertTrue(250 < network.lost < 350, network.lost)
        self.assertEqual(len(self.log_b.seen), network.delivered)

    def test_duplicates(self) -> None:
        network = self.build(duplicate=0.2)
        self.send(1000)
        network.advance()
        twice = [data for data, count in Counter(self.log_b.data).items() if count == 2]
        self.assertEqual(len(twice), network.duplicated)
        self.assertEqual(len(self.log_b.seen), 1000 + network.duplicated)
        self.assertTrue(150 < network.duplicated < 250, network.duplicated)

    def test_reorder(self) -> None:
        network = self.build(reorder=0.1, delay=(0.01, 0.02))
        for number in range(500):
            self.send(1, number)
            network.advance(0.01)
        network.advance(1)
        numbers = [int(data) for data in self.log_b.data]
        self.assertEqual(sorted(numbers), list(range(500)))
        overtaken = sum(1 for one, following in pairwise(numbers) if following < one)
        self.assertTrue(10 < overtaken <= network.reordered, overtaken)

    def test_without_reorder_jitter_keeps_the_order(self) -> None:
        network = self.build(delay=(0.0, 1.0))
        for number in range(100):
            self.send(1, number)
            network.advance(0.01)
        network.advance(2)
        self.assertEqual(self.log_b.data, [b"%d" % number for number in range(100)])

    def test_knobs_of_one_link(self) -> None:
        network = self.build()
        c = network.host("c", "10.0.0.3")
        log = Log(c)
        c.listenUDP(5060, log, "10.0.0.3")
        network.link("a", "b", loss=1.0, one_way=True)
        self.send(10)
        self.port_b.write(b"back", ("10.0.0.1", 5060))
        self.port_a.write(b"c", ("10.0.0.3", 5060))
        network.advance()
        self.assertEqual((self.log_b.data, self.log_a.data, log.data), ([], [b"back"], [b"c"]))
        link = network.link("b", "a", loss=0.0, delay=(0.5, 0.5))
        self.assertEqual((link.loss, link.delay), (0.0, (0.5, 0.5)))
        self.send(1)
        network.advance(1)
        self.assertEqual(self.log_b.seen, [(0.5, b"0")])
        self.assertRaises(KeyError, network.link, "a", "nobody")

    def test_an_address_of_no_one(self) -> None:
        network = self.build()
        self.port_a.write(b"x", ("10.0.0.99", 5060))
        network.advance()
        self.assertEqual((network.unreachable, network.quiet()), (1, True))

    def test_a_port_of_no_one_is_told_to_a_connected_sender(self) -> None:
        network = self.build()
        refused: list[float] = []

        class Refused(DatagramProtocol):
            def connectionRefused(self) -> None:
                refused.append(1)

        port = self.a.listenUDP(0, Refused(), "10.0.0.1")
        port.connect("10.0.0.2", 9)
        port.write(b"x")
        network.advance()
        self.assertEqual(refused, [1])

    def test_lose_if_and_watch(self) -> None:
        network = self.build(delay=(0.25, 0.25))
        seen: list[tuple[float, Datagram]] = []
        stop_watching = network.watch(lambda now, datagram: seen.append((now, datagram)))
        stop_losing = network.lose_if(lambda datagram: datagram.data == b"1")
        self.send(3)
        network.advance(1)
        self.assertEqual(self.log_b.data, [b"0", b"2"])
        self.assertEqual(seen[0], (0.25, Datagram(("10.0.0.1", 5060), ("10.0.0.2", 5060), b"0")))
        stop_losing()
        stop_watching()
        self.send(3)
        network.advance(1)
        self.assertEqual((self.log_b.data[2:], len(seen), network.lost), ([b"0", b"1", b"2"], 2, 1))


class PartitionTests(Two):
    def test_datagrams_are_lost_also_those_under_way(self) -> None:
        network = self.build(delay=(1, 1))
        self.send(1)
        network.advance(0.5)
        network.partition(["a"], ["b"])
        self.send(1)
        network.advance(5)
        network.heal()
        self.send(1)
        network.advance(5)
        self.assertEqual((self.log_b.data, network.lost), ([b"0"], 2))

    def test_one_group_is_cut_from_all_others(self) -> None:
        network = self.build()
        c = network.host("c", "10.0.0.3")
        log = Log(c)
        c.listenUDP(5060, log, "10.0.0.3")
        network.partition(["a"])
        self.send(1)
        self.port_a.write(b"x", ("10.0.0.3", 5060))
        self.port_b.write(b"y", ("10.0.0.3", 5060))
        network.advance()
        self.assertEqual((self.log_b.data, log.data), ([], [b"y"]))

    def test_hosts_outside_the_groups_reach_both(self) -> None:
        network = self.build()
        c = network.host("c", "10.0.0.3")
        port = c.listenUDP(5060, Log(c), "10.0.0.3")
        network.partition(["a"], ["b"])
        port.write(b"1", ("10.0.0.1", 5060))
        port.write(b"2", ("10.0.0.2", 5060))
        network.advance()
        self.assertEqual((self.log_a.data, self.log_b.data), ([b"1"], [b"2"]))

    def test_a_stream_waits_and_goes_on_in_order(self) -> None:
        network = self.build(delay=(0.1, 0.3))
        client, server = self.streams()
        network.advance(2)
        client.write(b"before ")
        network.advance(0.05)
        network.partition(["a"], ["b"])
        network.advance(1)
        client.write(b"during ")
        network.advance(600)
        self.assertEqual(server.data, b"")
        self.assertFalse(network.quiet())
        self.assertIn("a stream waits", "\n".join(network.pending()))
        client.write(b"just before the end ")
        network.advance(0.01)
        network.heal()
        client.write(b"after")
        network.advance(1)
        self.assertEqual(server.data, b"before during just before the end after")
        self.assertEqual((client.events, server.events), (["made"], ["made"]))
        self.assertTrue(network.quiet(), network.pending())

    def test_a_stream_breaks_when_nothing_gets_through(self) -> None:
        network = self.build(tcp_timeout=60.0)
        client, server = self.streams()
        network.advance(1)
        network.partition(["a"], ["b"])
        network.advance(100)
        self.assertEqual(client.events, ["made"], "an idle connection notices nothing")
        client.write(b"x")
        network.advance(59)
        self.assertEqual(client.events, ["made"])
        network.advance(2)
        self.assertEqual((client.events, server.events), (["made", "ConnectionLost"], ["made"]))
        network.heal()
        server.write(b"y")
        network.advance(1)
        self.assertEqual(server.events, ["made", "ConnectionLost"], "the other side learns it when it sends")

    def test_connecting_times_out(self) -> None:
        network = self.build()
        network.partition(["a"])
        client, _ = self.streams()
        network.advance(29)
        self.assertEqual((client.events, self.factory.failed), ([], None))
        self.assertTrue(any("connecting" in line for line in network.pending()))
        network.advance(2)
        self.assertEqual(self.factory.failed, "TimeoutError")
        network.heal()
        network.advance(5)
        self.assertEqual(client.events, [])
        self.assertTrue(network.quiet(), network.pending())


class StreamTests(Two):
    def test_bytes_arrive_in_order_in_pieces_of_random_size(self) -> None:
        network = self.build(delay=(0.0, 0.05), loss=0.1)
        client, server = self.streams()
        network.advance(5)
        sent = b"".join(b"%d," % number for number in range(20_000))
        client.write(sent[:50_000])
        network.advance(0.01)
        client.write(sent[50_000:])
        self.assertTrue(network.run_until(lambda: len(server.data) == len(sent), within=600))
        self.assertEqual(server.data, sent)
        sizes = Counter(len(piece) for piece in server.pieces)
        self.assertGreater(len(sizes), 20)
        self.assertIn(1, sizes)

    def test_whole_pieces_without_split(self) -> None:
        network = self.build(split=False)
        client, server = self.streams()
        network.advance()
        client.write(b"a" * 5000)
        network.advance()
        self.assertEqual(server.pieces, [b"a" * 5000])

    def test_round_trip_before_anything_arrives(self) -> None:
        network = self.build(delay=(0.1, 0.1))
        client, server = self.streams()
        network.advance(0.25)
        self.assertEqual((client.events, server.events), (["made"], []))
        network.advance(0.06)
        self.assertEqual(server.events, ["made"])

    def test_nobody_there_and_nobody_listening(self) -> None:
        network = self.build()
        nobody, refused = One(Stream()), One(Stream())
        self.a.connectTCP("10.0.0.77", 1, nobody, timeout=5)
        self.a.connectTCP("10.0.0.2", 1, refused, timeout=5)
        network.advance(1)
        self.assertEqual((nobody.failed, refused.failed), (None, "ConnectionRefusedError"))
        network.advance(5)
        self.assertEqual(nobody.failed, "TimeoutError")

    def test_kill_resets_the_peers(self) -> None:
        network = self.build(delay=(0.01, 0.01))
        client, server = self.streams()
        network.advance(1)
        self.b.callLater(100, lambda: None)
        self.assertFalse(network.quiet())
        self.assertIs(network.kill("b"), self.b)
        network.advance(1)
        self.assertEqual((client.events, server.events), (["made", "ConnectionLost"], ["made"]))
        self.assertTrue(network.quiet(), network.pending())
        self.b.listenTCP(5061, Factory.forProtocol(Stream), interface="10.0.0.2")

    def test_a_death_behind_a_partition_is_learned_later(self) -> None:
        network = self.build()
        client, _ = self.streams()
        network.advance(1)
        network.partition(["b"])
        network.kill("b")
        network.advance(100)
        self.assertEqual(client.events, ["made"])
        network.heal()
        network.advance(1)
        self.assertEqual(client.events, ["made", "ConnectionLost"])

    def test_unsent_bytes_are_not_quiet(self) -> None:
        network = self.build()
        client, server = self.streams()
        network.advance()
        server.transport.pauseProducing()
        client.write(bytes(100_000))
        network.advance(10)
        self.assertIn("bytes unsent", "\n".join(network.pending()))


class DeterminismTests(Two):
    def history(self, seed: int, clock: Clock | None = None) -> tuple[object, ...]:
        network = self.build(clock, seed, loss=0.1, duplicate=0.1, reorder=0.1, delay=(0.01, 0.2))
        client, server = self.streams()
        network.advance(5)
        for number in range(200):
            self.send(1, number)
            client.write(b"%d," % number)
            network.advance(0.013)
        network.advance(200)
        return tuple(self.log_b.seen), tuple(server.pieces), server.data

    def test_the_seed_decides(self) -> None:
        self.assertEqual(self.history(5), self.history(5))
        self.assertNotEqual(self.history(5), self.history(6))

    def test_twisteds_clock_does_the_same(self) -> None:
        self.assertEqual(self.history(5), self.history(5, Clock()))


class HostTests(SynchronousTestCase):
    def test_names_and_addresses_are_unique(self) -> None:
        network = SimulatedNetwork()
        network.host("a", "10.0.0.1", "2001:db8::1")
        self.assertRaises(ValueError, network.host, "a", "10.0.0.2")
        self.assertRaises(ValueError, network.host, "b", "2001:DB8:0::1")
        self.assertRaises(ValueError, network.host, "b", "example.test")
        self.assertRaises(ValueError, network.host, "b")
        self.assertEqual(list(network.hosts), ["a"])
        self.assertIn("seed=0", repr(network))

    def test_defaults_are_not_shared(self) -> None:
        network = SimulatedNetwork(loss=0.5)
        for name, address in (("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")):
            network.host(name, address)
        network.link("a", "b", loss=0.0)
        self.assertEqual(network.link("a", "c"), Link(loss=0.5))

    def test_waiting_needs_a_memory_clock(self) -> None:
        network = SimulatedNetwork(Clock())
        self.assertRaises(TypeError, network.run_until, lambda: True)
