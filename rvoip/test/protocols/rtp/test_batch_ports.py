"""One suite for the three back ends of the batch port: datagrams."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from rvoip.protocols.rtp.addresses import no_addresses, pack_address, pack_addresses
from rvoip.protocols.rtp.batch import SLOT, Batch
from rvoip.test.protocols.rtp.port_suite import HOST, OTHER, Came, PortSuite, has_ipv6, rows_of


class Datagrams(PortSuite):
    """What every back end does with datagrams."""

    async def test_echo(self) -> None:
        """Thousands of datagrams over hundreds of sockets: content, source and order of each are right."""
        hosts = [HOST, "::1"] if has_ipv6() else [HOST]
        pairs = 120
        echoes = np.zeros(2 * pairs, bool)
        came = Came()

        def echo(batch: Batch) -> None:
            which = echoes[batch.sockets]
            asked = batch.take(which)
            port.send(asked.pool, asked.lengths, asked.sockets, asked.sources, asked.rows)
            came.take(batch.take(~which))

        port = self.make(echo)
        asking = [port.open(hosts[i % len(hosts)]) for i in range(pairs)]
        answering = [port.open(hosts[i % len(hosts)]) for i in range(pairs)]
        echoes[answering] = True
        rng = random.Random(11)
        sent: dict[int, list[bytes]] = {index: [] for index in asking}
        total = 0
        for _ in range(12):
            order = [index for index in range(pairs) for _ in range(rng.randrange(1, 4))]
            rng.shuffle(order)
            datagrams = [rng.randbytes(rng.randrange(1, 400)) for _ in order]
            buffer, lengths = rows_of(datagrams)
            for place, datagram in zip(order, datagrams):
                sent[asking[place]].append(datagram)
            total += port.send(
                buffer,
                lengths,
                np.array(asking)[order],
                pack_addresses(port.address(answering[place]) for place in order),
            )
            await came.count(total)
        self.assertGreater(total, 2000)
        for place, index in enumerate(asking):
            self.assertEqual(came.of(index), sent[index])
            source = pack_address(*port.address(answering[place])).tobytes()
            self.assertEqual({row for at, _, row, _ in came.datagrams if at == index}, {source})
        self.assertEqual((port.totals.sent, port.totals.received), (2 * total, 2 * total))
        self.assertEqual(port.totals.send_failures, 0)

    async def test_sizes(self) -> None:
        """Up to a slot all arrive whole; what is longer is dropped and counted, and hurts nobody."""
        port = self.make()
        one, two = port.open(HOST), port.open(HOST)
        rng = random.Random(3)
        short = [rng.randbytes(n) for n in (0, 1, 12, 0, 0, 172, 1500, SLOT - 1, SLOT)]
        long = [rng.randbytes(n) for n in (SLOT + 1, 9000, 65_507)]
        self.assertEqual(self.send(port, one, long + short, port.address(two)), 12)
        await self.came.count(len(short))
        self.assertEqual(self.send(port, one, [b"last"], port.address(two)), 1)
        await self.came.count(len(short) + 1)
        self.assertEqual(self.came.of(two), [*short, b"last"])
        self.assertEqual((port.truncated(two), port.truncated(one), port.totals.truncated), (3, 0, 3))
        with self.assertRaises(ValueError):
            self.send(port, one, [bytes(65_508)], port.address(two))

    async def test_many_to_one(self) -> None:
        """More from one peer than one reading of its socket takes: all come, in order."""
        port = self.make(socket_buffer=1 << 20)
        one, two = port.open(HOST), port.open(HOST)
        sent = [n.to_bytes(4, "big") * 10 for n in range(300)]
        self.send(port, one, sent, port.address(two))
        await self.came.count(len(sent))
        self.assertEqual(self.came.of(two), sent)

    async def test_families(self) -> None:
        """An IPv4 source after an IPv6 one has nothing of it."""
        if not has_ipv6():
            raise SkipTest("this machine has no IPv6")
        port = self.make()
        four, six = [port.open(HOST), port.open(HOST)], [port.open("::1"), port.open("::1")]
        for _ in range(2):
            self.came.datagrams.clear()
            for indices in (six, four, six, four):
                self.send(port, indices[0], [b"x"] * 40, port.address(indices[1]))
            await self.came.count(160)
        for index, _, row, _ in self.came.datagrams:
            source = four[0] if index == four[1] else six[0]
            self.assertEqual(row, pack_address(*port.address(source)).tobytes())

    async def test_closed_while_datagrams_come(self) -> None:
        """What was for a closed socket reaches nobody, not even the next with its index and port."""
        port = self.make()
        one, two = port.open(HOST), port.open(HOST)
        address = port.address(two)
        for round_number in range(20):
            self.send(port, one, [b"old"] * 20, address)
            port.close(two)
            self.assertEqual(self.send(port, one, [b"to nobody"] * 3, address), 3)
            two = port.open(*address)
            self.assertEqual(port.address(two), address)
            self.send(port, one, [b"new %d" % round_number], address)
            await self.came.count(round_number + 1)
        self.assertEqual(self.came.of(two), [b"new %d" % n for n in range(20)])

    async def test_nobody_there(self) -> None:
        """Datagrams to ports where nobody listens, and the kernel's word about it, disturb nothing."""
        port = self.make()
        one, two, gone = port.open(HOST), port.open(HOST), port.open(OTHER)
        nowhere = port.address(gone)
        port.close(gone)
        for n in range(30):
            self.assertEqual(self.send(port, one, [b"lost"] * 5, nowhere), 5)
            self.send(port, two, [b"%d" % n], port.address(one))
            await self.came.count(n + 1)
        self.assertEqual(self.came.of(one), [b"%d" % n for n in range(30)])
        self.assertEqual(port.send_failures(one), 0)

    async def test_cannot_be_sent(self) -> None:
        """What the kernel refuses is counted at its socket; what stands beside it goes out, in order."""
        port = self.make()
        one, two, closed = port.open(HOST), port.open(HOST), port.open(HOST)
        port.close(closed)
        here = pack_address(*port.address(two))
        wrong = [
            no_addresses(1)[0],
            pack_address("::1", 9),
            pack_address(HOST, 0),
            pack_address("255.255.255.255", 9),
        ]
        destinations = np.array([here, wrong[0], here, wrong[1], wrong[2], here, wrong[3], here])
        buffer, lengths = rows_of([b"%d" % n for n in range(8)])
        self.assertEqual(port.send(buffer, lengths, np.full(8, one), destinations), 4)
        self.assertEqual(port.send(buffer[:2], lengths[:2], np.array([closed, one]), destinations[[0, 0]]), 1)
        await self.came.count(5)
        self.assertEqual(self.came.of(two), [b"0", b"2", b"5", b"7", b"1"])
        self.assertEqual((port.send_failures(one), port.totals.send_failures, port.totals.sent), (4, 5, 5))

    async def test_rows(self) -> None:
        """Rows of a buffer in any order, twice, and of a slice that begins later."""
        port = self.make()
        one, two = port.open(HOST), port.open(HOST)
        buffer, _ = rows_of([bytes([65 + n]) * 20 for n in range(6)])
        to = pack_addresses([port.address(two)] * 4)
        lengths, sockets = np.array([1, 2, 3, 20]), np.full(4, one)
        port.send(buffer[1:], lengths[:3], sockets[:3], to[:3], np.array([4, 0, 4]))
        port.send(buffer[::2, 10:], np.minimum(lengths, 10), sockets, to, np.array([2, 1, 0, 2]))
        await self.came.count(7)
        self.assertEqual(self.came.of(two), [b"F", b"BB", b"FFF", b"E", b"CC", b"AAA", b"E" * 10])

    def test_columns_that_do_not_fit(self) -> None:
        """The kernel is given addresses of memory: none past the arrays."""
        port = self.make()
        one = port.open(HOST)
        buffer, to = np.zeros((4, 100), np.uint8), pack_addresses([(HOST, 9)] * 2)
        good: dict[str, Any] = {
            "buffer": buffer,
            "lengths": np.array([1, 1]),
            "sockets": np.array([one, one]),
            "destinations": to,
            "rows": np.array([0, 3]),
        }
        bad: list[tuple[str, Any]] = [
            ("buffer", buffer.astype(np.int16)),
            ("buffer", buffer[0]),
            ("buffer", buffer[:, ::2]),
            ("buffer", buffer.T),
            ("buffer", buffer[:, ::-1]),
            ("buffer", np.broadcast_to(buffer[:, :1], (4, 100))),
            ("lengths", np.array([1, 101])),
            ("lengths", np.array([1, -1])),
            ("sockets", np.array([one, -1])),
            ("sockets", np.array([one, 1 << 20])),
            ("sockets", np.array([one])),
            ("destinations", to[:1]),
            ("destinations", to[:, :2]),
            ("rows", np.array([0, 4])),
            ("rows", np.array([-1, 0])),
            ("rows", np.array([0])),
        ]
        for name, value in bad:
            with self.assertRaises(ValueError, msg=name):
                port.send(**{**good, name: value})
        self.assertEqual(port.send(**good), 2)
        self.assertEqual(port.send(buffer[:0], good["lengths"][:0], good["sockets"][:0], to[:0]), 0)

    async def test_stamps(self) -> None:
        """A stamp lies between the sending and the reading, on the monotonic clock."""
        from time import monotonic

        port = self.make_unread(stamped=True)
        one, two = port.open(HOST), port.open(HOST)
        await deferLater(reactor, 0.05)  # a kernel that stamped nothing begins a moment after it was asked
        before = monotonic()
        self.send(port, one, [b"early"], port.address(two))
        after = monotonic()
        came: list[float] = []
        while not came:
            await deferLater(reactor, 0.03)
            came += port.receive().arrived.tolist()
        self.assertGreater(came[0], before - 0.01)
        self.assertLess(came[0], after + (0.01 if self.kind != "stock" else 1.0))

    async def test_kernel_drops(self) -> None:
        """What found no room in the socket is told by the kernel."""
        port = self.make_unread(socket_buffer=4096)
        one, two = port.open(HOST), port.open(HOST)
        sent = self.send(port, one, [bytes(1000)] * 100, port.address(two))
        dropped = port.kernel_drops(two)
        self.assertGreater(dropped, 0)
        count = 0
        while count < sent - dropped:
            await deferLater(reactor, 0)
            count += port.receive().count
        self.assertEqual(count + dropped, sent)


class UringDatagramsTests(Datagrams, TestCase):
    """io_uring."""

    kind = "uring"


class MmsgDatagramsTests(Datagrams, TestCase):
    """recvmmsg and sendmmsg."""

    kind = "mmsg"


class StockDatagramsTests(Datagrams, TestCase):
    """The reactor's ports."""

    kind = "stock"
