"""One suite for the three back ends of the batch port: sockets, pace and life."""

from __future__ import annotations

import gc
import os
import socket

import numpy as np
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from rvoip.protocols.rtp.addresses import pack_addresses
from rvoip.protocols.rtp.batch import Batch
from rvoip.protocols.rtp.choose import BACK_ENDS
from rvoip.protocols.rtp.errors import PortError
from rvoip.protocols.rtp.interfaces import IBatchPort
from rvoip.test.protocols.rtp.port_suite import HOST, OTHER, Came, PortSuite, has_ipv6, resident


class Life(PortSuite):
    """What every back end does as a whole."""

    def test_provides(self) -> None:
        self.assertTrue(verifyObject(IBatchPort, self.make()))

    def test_closed_is_unknown(self) -> None:
        port = self.make()
        index = port.open(HOST)
        port.close(index)
        port.close(index)
        port.close(12345)
        for ask in (port.address, port.truncated, port.send_failures, port.kernel_drops):
            with self.assertRaises(PortError):
                ask(index)

    def test_indices_are_reused(self) -> None:
        port = self.make()
        for _ in range(30):
            indices = [port.open(HOST) for _ in range(10)]
            self.assertLess(max(indices), 10)
            for index in indices:
                port.close(index)

    def test_ports_that_cannot_be_had(self) -> None:
        port = self.make()
        one = port.open(HOST)
        for host, number in (port.address(one), ("192.0.2.1", 0), ("nowhere", 0), (HOST, 70_000)):
            with self.assertRaises(PortError) as caught:
                port.open(host, number)
            self.assertTrue(str(caught.exception).startswith(f"{host}:{number}: "))
        self.assertEqual(port.open(HOST), one + 1)

    def test_pairs(self) -> None:
        port = self.make()
        for host in (HOST, "::1") if has_ipv6() else (HOST,):
            first, second = (port.address(index) for index in port.open_pair(host))
            self.assertEqual(first[1] % 2, 0)
            self.assertEqual(second, (host, first[1] + 1))
        address = port.address(port.open_pair(OTHER)[0])
        with self.assertRaises(PortError):
            port.open_pair(OTHER, address[1])
        with self.assertRaises(PortError):
            port.open_pair(OTHER, address[1] + 1)
        taken = port.open_pair(HOST)
        address = port.address(taken[0])
        port.close(taken[0])
        with self.assertRaises(PortError):
            port.open_pair(*address)  # its second is not free, so the first is given back
        port.close(taken[1])
        self.assertEqual(port.address(port.open_pair(*address)[0]), address)

    async def test_dscp(self) -> None:
        port = self.make(dscp=46)
        for family, host, level, ask, kind in (
            (socket.AF_INET, HOST, socket.IPPROTO_IP, socket.IP_RECVTOS, socket.IP_TOS),
            (socket.AF_INET6, "::1", socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS),
        ):
            if family == socket.AF_INET6 and not has_ipv6():
                continue
            with socket.socket(family, socket.SOCK_DGRAM) as peer:
                peer.settimeout(5)
                peer.bind((host, 0))
                peer.setsockopt(level, ask, 1)
                self.send(port, port.open(host), [b"marked"], peer.getsockname()[:2])
                datagram, control, _, _ = peer.recvmsg(100, 100)
            self.assertEqual(datagram, b"marked")
            self.assertEqual([(at, of, octets[0]) for at, of, octets in control], [(level, kind, 46 << 2)])
        with self.assertRaises(ValueError):
            BACK_ENDS[self.kind](reactor, dscp=64)

    async def test_pace(self) -> None:
        """While datagrams keep coming, one batch an interval; the first after a silence comes at once."""
        port = self.make(interval=0.05)
        one, two = port.open(HOST), port.open(HOST)
        loop = LoopingCall(lambda: self.send(port, one, [b"x"], port.address(two)))
        started = reactor.seconds()
        loop.start(0.002)
        await deferLater(reactor, 0.4)
        loop.stop()
        elapsed = reactor.seconds() - started
        await self.came.count(port.totals.sent)
        self.assertGreater(port.totals.sent, 20)
        self.assertLess(len(self.came.batches), elapsed / 0.05 + 4)
        await deferLater(reactor, 0.2)
        self.send(port, one, [b"after a silence"], port.address(two))
        started = reactor.seconds()
        await self.came.count(port.totals.sent)
        self.assertLess(reactor.seconds() - started, 0.045)

    async def test_receiver_that_fails(self) -> None:
        came = Came()

        def fail(batch: Batch) -> None:
            came.take(batch)
            raise RuntimeError("of the test")

        port = self.make(fail)
        one, two = port.open(HOST), port.open(HOST)
        for n in range(1, 4):
            self.send(port, one, [b"x"], port.address(two))
            await came.count(n)
            await deferLater(reactor, 0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 3)

    async def test_receiver_that_stops(self) -> None:
        """The port may be stopped from within a batch, and the batch is readable after that."""
        done: Deferred[Batch] = Deferred()

        def stop(batch: Batch) -> None:
            port.stop()
            done.callback(batch)

        port = self.make(stop)
        one, two = port.open(HOST), port.open(HOST)
        self.send(port, one, [b"last words", b"and more"], port.address(two))
        batch = await done
        await deferLater(reactor, 0.01)
        gc.collect()
        self.assertEqual([batch.datagram(i) for i in range(batch.count)], [b"last words", b"and more"])

    def test_life(self) -> None:
        port = self.make()
        with self.assertRaises(PortError):
            port.start()
        one = port.open(HOST)
        address = port.address(one)
        self.send(port, one, [b"unread"] * 50, address)
        port.stop()
        port.stop()
        for use in (port.receive, lambda: port.open(HOST), lambda: port.close(one)):
            with self.assertRaises(PortError):
                use()
        for _ in range(3):  # it can be started again, and its port is free
            port.start(self.came.take)
            self.send(port, port.open(*address), [b"unread"] * 50, address)
            port.stop()

    def test_descriptors(self) -> None:
        """Nothing is left open by a port that was stopped, and nothing goes to a child."""

        def listing() -> set[str]:
            return set(os.listdir("/proc/self/fd"))

        self.make().stop()  # what is opened once for all, is
        gc.collect()
        before = listing()
        port = self.make()
        for _ in range(20):
            port.open(HOST)
        for name in listing() - before:
            self.assertFalse(os.path.exists(f"/proc/self/fd/{name}") and os.get_inheritable(int(name)))
        port.stop()
        gc.collect()
        self.assertEqual(listing() - before, set())

    async def test_fork(self) -> None:
        """In a child that was forked the port refuses, and the parent's goes on."""
        port = self.make()
        one, two = port.open(HOST), port.open(HOST)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                port.receive()
            except PortError:
                port.stop()
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.send(port, one, [b"x"] * 10, port.address(two))
        await self.came.count(10)

    async def test_memory(self) -> None:
        """A hundred thousand datagrams leave nothing behind."""
        came = 0
        done: Deferred[None] | None = None
        wanted = 0

        def count(batch: Batch) -> None:
            nonlocal came
            came += batch.count
            if came >= wanted and done is not None and not done.called:
                done.callback(None)

        port = self.make(count, interval=0.0005)
        indices = [port.open(HOST) for _ in range(100)]
        to = pack_addresses(port.address(index) for index in indices)
        buffer = np.zeros((500, 172), np.uint8)
        lengths, which = np.full(500, 172), np.arange(500) % 100

        async def exchange(batches: int) -> None:
            nonlocal done, wanted
            for _ in range(batches):
                done = Deferred()
                wanted += 500
                self.assertEqual(port.send(buffer, lengths, np.array(indices)[which], to[which]), 500)
                await done

        await exchange(60)
        before = resident()
        await exchange(200)
        self.assertLess(resident() - before, 2 << 20)
        self.assertEqual(port.totals.received, 130_000)


class UringLifeTests(Life, TestCase):
    """io_uring."""

    kind = "uring"


class MmsgLifeTests(Life, TestCase):
    """recvmmsg and sendmmsg."""

    kind = "mmsg"


class StockLifeTests(Life, TestCase):
    """The reactor's ports."""

    kind = "stock"
