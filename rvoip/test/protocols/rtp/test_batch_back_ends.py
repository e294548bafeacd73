"""What is each back end's own: want of buffers, a kernel without room, and the choice between them."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface import implementer

from rvoip.protocols.rtp import choose as choose_module
from rvoip.protocols.rtp import mmsg, ring, stock, uring
from rvoip.protocols.rtp.addresses import pack_address, pack_addresses
from rvoip.protocols.rtp.batch import Batch, BatchPort
from rvoip.protocols.rtp.beat import Beat
from rvoip.protocols.rtp.choose import BACK_ENDS, choose
from rvoip.protocols.rtp.errors import PortError
from rvoip.protocols.rtp.pace import Pace

HOST = "127.83.2.1"


class Started(SynchronousTestCase):
    """Ports that are read by hand."""

    def start(self, back_end: type[BatchPort], **options: Any) -> Any:
        port = back_end(reactor, **options)
        try:
            port.start()
        except PortError as error:
            raise SkipTest(str(error)) from None
        self.addCleanup(port.stop)
        return port

    def fill(self, port: BatchPort, numbers: range, one: int, two: int) -> None:
        """Send numbers, four octets each, from one socket to another."""
        octets = np.array(numbers, ">u4").view(np.uint8).reshape(-1, 4)
        count = len(numbers)
        to = pack_addresses([port.address(two)] * count)
        self.assertEqual(port.send(octets, np.full(count, 4), np.full(count, one), to), count)

    def numbers(self, batch: Batch) -> list[int]:
        return [int.from_bytes(batch.datagram(i), "big") for i in range(batch.count)]

    def read_all(self, port: BatchPort, wanted: int) -> list[int]:
        """Read till so many have come; each reading must bring something."""
        came: list[int] = []
        while len(came) < wanted:
            batch = port.receive()
            self.assertGreater(batch.count, 0, f"{len(came)} of {wanted} have come")
            came += self.numbers(batch)
        return came


class UringTests(Started):
    """Buffers and completions."""

    def test_more_buffers_are_offered(self) -> None:
        """Few buffers are used while they are enough; then more of them."""
        self.patch(uring, "FIRST_BUFFERS", 8)
        self.patch(uring, "BUFFERS", 64)
        port = self.start(uring.UringPort, socket_buffer=1 << 20)
        one, two = port.open(HOST), port.open(HOST)
        for _ in range(5):
            self.fill(port, range(6), one, two)
            self.assertEqual(self.read_all(port, 6), list(range(6)))
        self.assertEqual((port.totals.starved, port._buffers.offered), (0, 8))
        self.fill(port, range(200), one, two)
        self.assertEqual(self.read_all(port, 200), list(range(200)))
        self.assertEqual(port._buffers.offered, 64)
        starved = port.totals.starved
        self.assertGreater(starved, 3)
        self.fill(port, range(60), one, two)
        self.assertEqual(self.read_all(port, 60), list(range(60)))
        self.assertEqual(port.totals.starved, starved)

    def test_want_of_buffers_with_many_sockets(self) -> None:
        """Sockets that found no buffer lose nothing, and a closed one among them is not missed."""
        self.patch(uring, "FIRST_BUFFERS", 4)
        self.patch(uring, "BUFFERS", 16)
        port = self.start(uring.UringPort)
        source, closed = port.open(HOST), port.open(HOST)
        sinks = [port.open(HOST) for _ in range(40)]
        self.fill(port, range(16), source, closed)
        for number, sink in enumerate(sinks):
            self.fill(port, range(number, number + 1), source, sink)
        first = port.receive()
        self.assertEqual(set(first.sockets.tolist()), {closed})
        port.close(closed)
        self.assertEqual(sorted(self.read_all(port, 40)), list(range(40)))

    def test_empty_datagrams_end_no_reception(self) -> None:
        port = self.start(uring.UringPort)
        one, two = port.open(HOST), port.open(HOST)
        to = pack_addresses([port.address(two)] * 50)
        for _ in range(3):
            port.send(np.zeros((1, 1), np.uint8), np.zeros(50), np.full(50, one), to, np.zeros(50, np.int64))
            self.assertEqual(sum(port.receive().count for _ in range(60)), 50)
        self.assertEqual((port.totals.starved, port._buffers.offered), (0, uring.FIRST_BUFFERS))

    @contextmanager
    def answers(self, port: Any, *results: dict[int, int]) -> Iterator[list[int]]:
        """Have the sends of each submission answered so, by position; yields how many each submission had."""
        submit, submitted, left = port._submit, [], list(results)

        def answer(sockets: Any, names: int, positions: Any, places: Any, lengths: Any) -> None:
            submitted.append(len(sockets))
            given = left.pop(0) if left else {}
            sent = np.array([int(position) not in given for position in positions])
            submit(sockets[sent], names, positions[sent], places[sent], lengths[sent])
            for position, number in given.items():
                port._early.append(np.array([[1 << 56 | position, -number & 0xFFFFFFFF]], np.uint64))

        with mock.patch.object(port, "_submit", answer):
            yield submitted

    def test_no_room(self) -> None:
        """What found no room is sent once more; what finds none again is dropped and counted."""
        port = self.start(uring.UringPort)
        one, two = port.open(HOST), port.open(HOST)
        octets, columns = np.arange(5, dtype=np.uint8)[:, None], np.full(5, 1)
        to = pack_addresses([port.address(two)] * 5)
        first = {1: errno.EAGAIN, 2: errno.ENOBUFS, 3: errno.EPERM}
        with self.answers(port, first, {2: errno.ENOBUFS}) as submitted:
            self.assertEqual(port.send(octets, columns, np.full(5, one), to), 3)
        self.assertEqual(submitted, [5, 2])
        self.assertEqual(sorted(self.read_all(port, 3)), [0, 1, 4])
        self.assertEqual(port.send_failures(one), 2)

    def test_kernel_takes_no_more(self) -> None:
        """What the kernel has no memory for is as if there had been no room; none of it goes out later."""
        port = self.start(uring.UringPort)
        one, two = port.open(HOST), port.open(HOST)
        call, refusals = port._ring._call, [2]

        def refuse(*arguments: Any) -> int:
            if arguments[0] == 426 and arguments[2] and refusals:
                refusals.pop()
                ctypes.set_errno(errno.EAGAIN)
                return -1
            return int(call(*arguments))

        port._ring._call = refuse
        self.fill(port, range(10), one, two)  # refused at first, then taken
        self.assertEqual(self.read_all(port, 10), list(range(10)))
        refusals += [1, 1]
        to = pack_addresses([port.address(two)] * 2)
        self.assertEqual(port.send(np.zeros((2, 4), np.uint8), np.full(2, 4), np.full(2, one), to), 0)
        self.assertEqual(port.send_failures(one), 2)
        self.fill(port, range(7, 9), one, two)
        self.assertEqual(self.read_all(port, 2), [7, 8])

    def test_unread_completions_survive_a_send(self) -> None:
        """A send whose failures are looked up leaves what has come for the next reading."""
        port = self.start(uring.UringPort)
        one, two, other = port.open(HOST), port.open(HOST), port.open(HOST)
        self.fill(port, range(5), one, two)
        port.close(other)  # enters the kernel, which puts the datagrams into the queue
        to = np.array([pack_address("::1", 1)])
        self.assertEqual(port.send(np.zeros((1, 4), np.uint8), np.full(1, 4), np.full(1, one), to), 0)
        self.assertEqual(self.read_all(port, 5), list(range(5)))

    def test_queues_wrap(self) -> None:
        """Rings are used many times around."""
        self.patch(uring, "FIRST_BUFFERS", 32)
        self.patch(uring, "BUFFERS", 32)
        self.patch(uring, "ENTRIES", 16)
        port = self.start(uring.UringPort)
        one, two = port.open(HOST), port.open(HOST)
        for start in range(0, 3000, 29):
            self.fill(port, range(start, start + 29), one, two)
            self.assertEqual(self.read_all(port, 29), list(range(start, start + 29)))

    def test_sockets_beyond_the_table(self) -> None:
        """Sockets that the table of files has no place for, or with no table, send all the same."""
        self.patch(uring, "FILES", 3)
        for kernel, files in (((6, 13), 3), ((6, 12), 0)):
            self.patch(ring, "_kernel", lambda kernel=kernel: kernel)
            port = self.start(uring.UringPort)
            if port._files not in (0, files):
                self.fail(f"a table of {port._files}")
            indices = [port.open(HOST) for _ in range(6)]
            for _ in range(3):
                for index in indices:
                    self.fill(port, range(index, index + 1), index, indices[0])
                self.assertEqual(self.read_all(port, 6), indices)
                last = port.address(indices[-1])
                port.close(indices.pop())
                indices.append(port.open(*last))

    def test_nothing_is_left_in_flight(self) -> None:
        port = self.start(uring.UringPort)
        indices = [port.open(HOST) for _ in range(50)]
        for index in indices:
            self.fill(port, range(5), indices[0], index)
        port.stop()
        self.assertEqual(port._requests, 0)
        self.assertEqual(uring._never_freed, [])

    def test_forbidden(self) -> None:
        """Containers forbid the system call, old kernels have none: PortError, and no descriptor is lost."""

        def forbidden(*_: object) -> int:
            ctypes.set_errno(errno.EPERM)
            return -1

        before = len(os.listdir("/proc/self/fd"))
        for call, says in ((forbidden, "operation not permitted"), (None, "not built for this platform")):
            self.patch(ring, "_CALL", call)
            with self.assertRaises(PortError) as caught:
                uring.UringPort(reactor).start()
            self.assertEqual(str(caught.exception), f"uring: {says}")
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class MmsgTests(Started):
    """Runs of one socket."""

    def test_no_room(self) -> None:
        port = self.start(mmsg.MmsgPort)
        one, two = port.open(HOST), port.open(HOST)
        send, results = port._send, [errno.ENOBUFS, 0, errno.EAGAIN, errno.EAGAIN, 0, errno.EPERM, 0]

        def answer(fileno: int, first: ctypes.c_void_p, count: int, flags: int) -> int:
            number = results.pop(0)
            if number:
                ctypes.set_errno(number)
                return -1
            return int(send(fileno, first, 1, flags))

        port._send = answer
        to = pack_addresses([port.address(two)] * 5)
        octets = np.arange(5, dtype=np.uint8)[:, None]
        self.assertEqual(port.send(octets, np.full(5, 1), np.full(5, one), to), 3)
        # 0 after one refusal, 1 dropped after two, 2 sent, 3 refused for good, 4 sent.
        self.assertEqual(self.read_all(port, 3), [0, 2, 4])
        self.assertEqual((results, port.send_failures(one)), ([], 2))

    def test_bound_of_a_batch(self) -> None:
        """What is too much for one batch waits in its sockets, and sends go in parts."""
        self.patch(mmsg, "BUFFERS", 24)
        port = self.start(mmsg.MmsgPort)
        one, two = port.open(HOST), port.open(HOST)
        self.fill(port, range(60), one, two)
        self.assertEqual(self.read_all(port, 60), list(range(60)))

    def test_not_here(self) -> None:
        self.patch(mmsg, "_CALLS", None)
        with self.assertRaises(PortError) as caught:
            mmsg.MmsgPort(reactor).start()
        self.assertEqual(str(caught.exception), "mmsg: not built for this platform")


class StockTests(Started):
    """What the reactor's ports do not do by themselves."""

    def test_no_room(self) -> None:
        port = self.start(stock.StockPort)
        one = port.open(HOST)
        results: list[int] = [errno.ENOBUFS, 0, errno.EAGAIN, errno.EAGAIN, errno.EPERM, 0]

        def write(datagram: bytes, address: object) -> int:
            number = results.pop(0)
            if number:
                raise OSError(number, "of the test")
            return len(datagram)

        port._ports[one].write = write
        to = pack_addresses([(HOST, 9)] * 4)
        self.assertEqual(port.send(np.zeros((4, 1), np.uint8), np.full(4, 1), np.full(4, one), to), 2)
        self.assertEqual((results, port.send_failures(one)), ([], 2))

    def test_bound_of_what_waits(self) -> None:
        self.patch(stock, "HELD", 10)
        port = self.start(stock.StockPort)
        index = port.open(HOST)
        for n in range(15):
            port.datagram_came(index, b"%d" % n, ("192.0.2.1", 5004))
        batch = port.receive()
        self.assertEqual([batch.datagram(i) for i in range(10)], [b"%d" % n for n in range(10)])
        self.assertEqual((batch.count, port.totals.overflowed), (10, 5))

    def test_memory_of_addresses(self) -> None:
        """Addresses are remembered, a bounded number of them; a zone by name is its number."""
        self.patch(stock, "REMEMBERED", 8)
        port = self.start(stock.StockPort)
        index = port.open(HOST)
        peers = [("192.0.2.1", 1000 + n) for n in range(50)]
        for peer in [*peers, ("fe80::1%lo", 7), ("fe80::1%5", 7)]:
            port.datagram_came(index, b"x", peer)
        batch = port.receive()
        self.assertEqual(batch.sources[:50].tobytes(), pack_addresses(peers).tobytes())
        self.assertEqual(batch.sources[51].tobytes(), pack_address("fe80::1%5", 7).tobytes())
        port.send(np.zeros((50, 1), np.uint8), np.zeros(50), np.full(50, index), batch.sources[:50])
        self.assertLess(max(len(port._rows), len(port._names)), 9)

    def test_reactor_without_sockets(self) -> None:
        with self.assertRaises(PortError) as caught:
            stock.StockPort(Clock()).start()
        self.assertEqual(str(caught.exception), "stock: the reactor adopts no sockets")


class Watching(Clock):
    """A clock that also watches descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[Any] = []

    def addReader(self, reader: object) -> None:
        if reader not in self.watched:
            self.watched.append(reader)

    def removeReader(self, reader: object) -> None:
        if reader in self.watched:
            self.watched.remove(reader)


class PaceTests(SynchronousTestCase):
    """Turns, with a clock of our own."""

    def pace(self, descriptor: int) -> tuple[Pace, Watching, list[float], list[bool]]:
        clock, turns, found = Watching(), [], []  # type: Watching, list[float], list[bool]

        def turn() -> bool:
            turns.append(round(clock.seconds(), 6))
            return found.pop(0)

        return Pace(clock, 0.002, descriptor, turn), clock, turns, found

    def test_clock_of_the_reactor(self) -> None:
        """Where the kernel has no timer with a descriptor, or the port none."""

        def no_timer(interval: float) -> Beat:
            raise OSError(errno.ENOSYS, "of the test")

        for descriptor in (-1, 99):
            with mock.patch("rvoip.protocols.rtp.pace.Beat", no_timer):
                pace, clock, turns, found = self.pace(descriptor)
            found += [True, True, False, False, True, False]
            self.assertEqual(len(clock.watched), int(descriptor >= 0))
            pace.something_came()
            self.assertEqual((turns, clock.watched, pace.busy), ([0.0], [], True))
            pace.something_came()  # the clock will ask
            clock.pump([0.001] * 10)
            self.assertEqual((turns, pace.busy), ([0.0, 0.002, 0.004], False))
            self.assertEqual(clock.getDelayedCalls(), [])
            self.assertEqual(len(clock.watched), int(descriptor >= 0))
            pace.something_came()  # for nothing
            pace.something_came()
            pace.stop()
            self.assertEqual((turns, clock.watched), ([0.0, 0.002, 0.004, 0.01, 0.01], []))
            self.assertEqual(clock.getDelayedCalls(), [])

    def test_timer_of_the_kernel(self) -> None:
        try:
            Beat(1.0).close()
        except OSError as error:
            raise SkipTest(str(error)) from None
        pace, clock, turns, found = self.pace(99)
        beating, watched = clock.watched
        found += [True, True, False]
        watched.doRead()
        self.assertEqual(clock.watched, [beating])
        beating.doRead()
        self.assertTrue(pace.busy)
        beating.doRead()
        self.assertEqual((len(turns), clock.watched, pace.busy), (3, [beating, watched], False))
        beating.doRead()  # one that was on its way
        self.assertEqual(len(turns), 3)
        pace.stop()
        self.assertEqual((clock.watched, clock.getDelayedCalls()), ([], []))


class ChooseTests(SynchronousTestCase):
    """The choice and what it says."""

    def chosen(self, *arguments: Any, **options: Any) -> tuple[BatchPort, list[str]]:
        lines: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event["log_namespace"] == "rvoip.protocols.rtp.choose":
                lines.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(observe)
        try:
            return choose(reactor, *arguments, **options), lines
        finally:
            globalLogPublisher.removeObserver(observe)

    def fail(self, back_end: type[BatchPort], why: str) -> None:  # type: ignore[override]
        def begin(_: object) -> int:
            raise OSError(errno.EPERM, why)

        self.patch(back_end, "_begin", begin)

    def test_best_that_works(self) -> None:
        self.fail(uring.UringPort, "Operation not permitted")
        port, lines = self.chosen()
        self.assertEqual((port.name, lines), ("mmsg", ["Media ports: mmsg (uring: operation not permitted)"]))
        self.fail(mmsg.MmsgPort, "No")
        port, lines = self.chosen("auto", dscp=46)
        self.assertEqual(lines, ["Media ports: stock (uring: operation not permitted; mmsg: no)"])
        self.assertEqual((port.name, port._dscp), ("stock", 46))
        self.fail(stock.StockPort, "No")
        with self.assertRaises(PortError) as caught:
            choose(reactor)
        self.assertEqual(str(caught.exception), "uring: operation not permitted; mmsg: no; stock: no")

    def test_named(self) -> None:
        for name, back_end in BACK_ENDS.items():
            try:
                port, lines = self.chosen(name)
            except PortError as error:
                raise SkipTest(str(error)) from None
            self.assertIs(type(port), back_end)
            self.assertEqual(lines, [f"Media ports: {name}, as configured"])
            port.start()
            port.stop()

    def test_named_that_does_not_work(self) -> None:
        self.fail(uring.UringPort, "Operation not permitted")
        with self.assertRaises(PortError) as caught:
            choose(reactor, "uring")
        self.assertEqual(str(caught.exception), "uring: operation not permitted")
        with self.assertRaises(PortError) as caught:
            choose(reactor, "iouring")
        self.assertEqual(str(caught.exception), "'iouring' is none of auto, uring, mmsg, stock")

    def test_datagram_that_does_not_come_back(self) -> None:
        """A back end that starts and then receives nothing is not chosen."""
        self.patch(choose_module, "_TRIAL", 0.01)
        write: Callable[..., NDArray[np.int64]] = lambda *_: np.zeros(0, np.int64)  # noqa: E731
        self.patch(mmsg.MmsgPort, "_write", write)
        with self.assertRaises(PortError) as caught:
            choose(reactor, "mmsg")
        self.assertEqual(str(caught.exception), "mmsg: a datagram of ours did not come back")
