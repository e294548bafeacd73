"""A session on a UDP port: in memory with a clock that is set, and over loopback."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from rvoip.protocols.rtp.columns import STUN
from rvoip.protocols.rtp.latch import Address, Latch, LatchMode
from rvoip.protocols.rtp.packet import RTPPacket
from rvoip.protocols.rtp.protocol import RTPProtocol
from rvoip.protocols.rtp.rtcp import (
    ControlPacket,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    build_compound,
    parse_compound,
)

PEER = ("192.0.2.9", 40_000)
WALL = 1_800_000_000.0


class Socket:
    """What a UDP port is to its protocol."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Address]] = []
        self.trouble: Exception | None = None

    def write(self, datagram: bytes, address: Address) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.sent.append((datagram, address))


class Recorder(RTPProtocol):
    """Keeps what it hears."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.packets: list[tuple[RTPPacket, Address]] = []
        self.reports: list[ControlPacket] = []
        self.others: list[tuple[int, bytes]] = []

    def packet_received(self, packet: RTPPacket, address: Address) -> Awaitable[object] | None:
        self.packets.append((packet, address))
        return None

    def report_received(self, report: ControlPacket, address: Address) -> Awaitable[object] | None:
        self.reports.append(report)
        return None

    def other_received(self, kind: int, datagram: bytes, address: Address) -> Awaitable[object] | None:
        self.others.append((kind, datagram))
        return None


class Armour:
    """Protection that a test can see: one octet behind each packet."""

    def protect(self, packet: bytes) -> bytes | None:
        return packet + b"+"

    protect_control = protect

    def unprotect(self, datagram: bytes) -> bytes | None:
        return datagram[:-1] if datagram.endswith(b"+") else None

    unprotect_control = unprotect


class ProtocolTestCase(SynchronousTestCase):
    def make(self, kind: type[RTPProtocol] = Recorder, **options: Any) -> Any:
        self.clock = Clock()
        options.setdefault("latch", Latch(PEER))
        protocol = kind(
            self.clock, lambda: WALL + self.clock.seconds(), cname="us", draw=lambda: 0.5, **options
        )
        self.socket, self.control = Socket(), Socket()
        protocol.control.transport = self.control  # type: ignore[assignment]
        protocol.makeConnection(self.socket)  # type: ignore[arg-type]
        self.addCleanup(protocol.stopProtocol)
        return protocol

    def hear(self, protocol: RTPProtocol, count: int, address: Address = PEER, *, ssrc: int = 7) -> None:
        """Packets 20 ms apart."""
        for index in range(count):
            packet = RTPPacket(0, 100 + index, 160 * index, ssrc, bytes(160))
            protocol.datagramReceived(packet.to_bytes(), address)
            self.clock.advance(0.02)

    def reports(self) -> list[tuple[ControlPacket, ...]]:
        """The RTCP that was sent on the port of media."""
        return [parse_compound(sent) for sent, _ in self.socket.sent if 192 <= sent[1] < 224]


class MediaTests(ProtocolTestCase):
    def test_in(self) -> None:
        protocol = self.make()
        self.hear(protocol, 5)
        self.assertEqual([packet.sequence for packet, _ in protocol.packets], list(range(100, 105)))
        self.assertEqual({address for _, address in protocol.packets}, {PEER})

    def test_out(self) -> None:
        protocol = self.make()
        for index in range(3):
            protocol.send(b"abc", 8, 160 * index, marker=index == 0)
        packets = [RTPPacket.parse(sent) for sent, address in self.socket.sent if address == PEER]
        first = packets[0].sequence
        self.assertEqual([packet.sequence for packet in packets], [first, first + 1, first + 2])
        self.assertEqual([packet.marker for packet in packets], [True, False, False])
        self.assertEqual({packet.ssrc for packet in packets}, {protocol.session.ssrc})

    def test_strangers_are_not_heard(self) -> None:
        protocol = self.make()
        self.hear(protocol, 3)
        self.hear(protocol, 100, ("203.0.113.5", 4000), ssrc=8)
        self.assertEqual(len(protocol.packets), 3)
        self.assertEqual(protocol.statistics().packets_received, 3)
        report = build_compound([ReceiverReport(8)])
        protocol.datagramReceived(report, ("203.0.113.5", 4000))
        self.assertEqual(protocol.reports, [])

    def test_symmetric(self) -> None:
        protocol = self.make(latch=Latch(mode=LatchMode.OFF))
        protocol.send(b"abc", 8, 0)
        self.assertEqual((self.socket.sent, protocol.unsent), ([], 1))
        self.hear(protocol, 1, ("203.0.113.5", 4000))
        protocol.send(b"abc", 8, 0)
        self.assertEqual(self.socket.sent[-1][1], ("203.0.113.5", 4000))

    def test_garbage(self) -> None:
        protocol = self.make()
        for datagram in (
            b"",
            b"\x80",
            b"\x80" * 11,
            b"\xbf" + bytes(20),
            b"\x80\xc8\xff\xff",
            b"\x80\xc9\0\0",
        ):
            protocol.datagramReceived(datagram, PEER)
        self.assertEqual((protocol.packets, protocol.reports), ([], []))
        self.assertEqual(protocol.malformed, 3)
        self.assertEqual(len(protocol.others), 3)
        protocol.datagramReceived(bytes(20), PEER)
        self.assertEqual(protocol.others[-1], (STUN, bytes(20)))

    def test_our_packets_that_come_back(self) -> None:
        """The first is a collision, and we take another number; the rest is a loop."""
        protocol = self.make()
        before = protocol.session.ssrc
        protocol.session._draw = iter([0.25, 0.75, 0.125] * 9).__next__
        self.hear(protocol, 1, ssrc=before)
        self.assertNotEqual(protocol.session.ssrc, before)
        (bye,) = self.reports()
        self.assertEqual(bye[-1], Goodbye((before,), b"collision"))
        self.hear(protocol, 3, ssrc=protocol.session.ssrc)
        statistics = protocol.statistics()
        self.assertEqual((statistics.collisions, statistics.looped), (1, 3))

    def test_what_cannot_be_sent(self) -> None:
        protocol = self.make()
        for trouble in (OSError(101, "no route"), OverflowError(), ValueError("no address")):
            self.socket.trouble = trouble
            protocol.send(b"abc", 8, 0)
        self.assertEqual(protocol.unsent, 3)

    def test_hooks_may_fail(self) -> None:
        class Failing(Recorder):
            def packet_received(self, packet: RTPPacket, address: Address) -> Awaitable[object] | None:
                if packet.sequence == 101:
                    return self.later()
                raise KeyError(packet.sequence)

            async def later(self) -> None:
                raise ValueError

        protocol = self.make(Failing)
        self.hear(protocol, 4)
        self.assertEqual(protocol.failures, 4)
        self.assertEqual(len(self.flushLoggedErrors(KeyError, ValueError)), 1)

    def test_hooks_may_wait(self) -> None:
        done: list[int] = []
        waits: Deferred[int] = Deferred()

        class Waiting(Recorder):
            async def packet_received(self, packet: RTPPacket, address: Address) -> None:
                done.append(await waits)

        self.hear(self.make(Waiting), 1)
        waits.callback(5)
        self.assertEqual(done, [5])

    def test_security(self) -> None:
        protocol = self.make(security=Armour(), latch=Latch(PEER, secure=True))
        self.hear(protocol, 2)
        self.assertEqual(protocol.packets, [])
        moved = ("192.0.2.10", 5)
        protocol.datagramReceived(RTPPacket(0, 1, 1, 7, b"x").to_bytes() + b"+", moved)
        self.assertEqual([address for _, address in protocol.packets], [moved])
        protocol.datagramReceived(build_compound([ReceiverReport(7)]), moved)
        self.assertEqual(protocol.reports, [])
        protocol.datagramReceived(build_compound([ReceiverReport(7)]) + b"+", moved)
        self.assertEqual(protocol.reports, [ReceiverReport(7)])
        protocol.send(b"abc", 0, 0)
        protocol.leave()
        self.assertEqual([address for _, address in self.socket.sent], [moved, moved])
        self.assertTrue(all(sent.endswith(b"+") for sent, _ in self.socket.sent))


class ReportTests(ProtocolTestCase):
    def test_reports_of_a_call(self) -> None:
        protocol = self.make()
        for index in range(500):
            protocol.send(bytes(160), 0, 160 * index)
            if index % 10 != 9:
                packet = RTPPacket(0, index, 160 * index, 7, bytes(160))
                protocol.datagramReceived(packet.to_bytes(), PEER)
            self.clock.advance(0.02)
        reports = self.reports()
        self.assertGreaterEqual(len(reports), 2)
        last = reports[-1]
        assert isinstance(last[0], SenderReport)
        assert isinstance(last[1], SourceDescription)
        self.assertEqual(last[1].chunks[0].cname, b"us")
        self.assertEqual(last[0].octets, 160 * last[0].packets)
        (block,) = last[0].reports
        self.assertEqual(block.ssrc, 7)
        self.assertAlmostEqual(block.fraction_lost / 256, 0.1, 1)
        # The moment of the report on both clocks.
        seconds = last[0].ntp / 2**32 - 2_208_988_800 - WALL
        self.assertAlmostEqual(last[0].rtp_timestamp / 8000, seconds, 2)

    def test_one_that_only_hears(self) -> None:
        protocol = self.make()
        self.hear(protocol, 400)
        self.assertTrue(all(isinstance(report[0], ReceiverReport) for report in self.reports()))
        self.assertGreater(len(self.reports()), 0)

    def test_round_trip(self) -> None:
        protocol = self.make()
        for index in range(200):
            protocol.send(b"a", 0, 160 * index)
            self.clock.advance(0.02)
        (report, *_), *_ = self.reports()
        assert isinstance(report, SenderReport)
        self.clock.advance(0.0)
        sent_at = (report.ntp / 2**32) - 2_208_988_800
        wait = WALL + self.clock.seconds() - sent_at - 0.04
        block = ReportBlock(
            protocol.session.ssrc, 64, 5, 200, 16, (report.ntp >> 16) & 0xFFFFFFFF, round(wait * 65536)
        )
        protocol.datagramReceived(build_compound([ReceiverReport(7, (block,))]), PEER)
        statistics = protocol.statistics()
        assert statistics.round_trip is not None
        self.assertAlmostEqual(statistics.round_trip, 0.04, 3)
        self.assertEqual((statistics.remote_fraction_lost, statistics.remote_jitter), (0.25, 0.002))
        self.assertEqual(len(protocol.reports), 1)

    def test_a_port_of_its_own(self) -> None:
        protocol = self.make(mux=False)
        self.hear(protocol, 1)
        protocol.control.datagramReceived(build_compound([ReceiverReport(7)]), (PEER[0], PEER[1] + 1))
        protocol.control.datagramReceived(b"garbage", (PEER[0], PEER[1] + 1))
        self.assertEqual((len(protocol.reports), protocol.malformed), (1, 1))
        protocol.leave("done")
        self.assertEqual(self.socket.sent, [])
        ((sent, address),) = self.control.sent
        self.assertEqual(address, (PEER[0], PEER[1] + 1))
        self.assertEqual(parse_compound(sent)[-1], Goodbye((protocol.session.ssrc,), b"done"))

    def test_goodbye(self) -> None:
        protocol = self.make()
        self.hear(protocol, 2)
        self.assertIsNone(protocol.session.goodbye)
        protocol.datagramReceived(build_compound([ReceiverReport(7), Goodbye((7,), b"bye")]), PEER)
        self.assertEqual(protocol.session.goodbye, b"bye")
        protocol.leave()
        protocol.leave()
        self.assertEqual(len(self.reports()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_timer_is_left(self) -> None:
        protocol = self.make()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        protocol.stopProtocol()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Echo(RTPProtocol):
    """Sends back what it hears."""

    def packet_received(self, packet: RTPPacket, address: Address) -> None:
        self.send(packet.payload, packet.payload_type, packet.timestamp)


class LoopbackTests(TestCase):
    """On Twisted's own ports."""

    async def test_there_and_back(self) -> None:
        reactor: Any = global_reactor
        done: Deferred[list[bytes]] = Deferred()

        class Caller(Recorder):
            def packet_received(self, packet: RTPPacket, address: Address) -> Awaitable[object] | None:
                super().packet_received(packet, address)
                if len(self.packets) == 5:
                    done.callback([packet.payload for packet, _ in self.packets])
                return None

        echo = Echo(reactor, lambda: WALL, cname="echo")
        there = reactor.listenUDP(0, echo, interface="127.34.5.1")
        caller = Caller(
            reactor, lambda: WALL, cname="caller", latch=Latch(("127.34.5.1", there.getHost().port))
        )
        here = reactor.listenUDP(0, caller, interface="127.34.5.2")
        try:
            for index in range(5):
                caller.send(bytes((index,)) * 20, 0, 160 * index)
            done.addTimeout(5, reactor)
            self.assertEqual(await done, [bytes((index,)) * 20 for index in range(5)])
        finally:
            await there.stopListening()
            await here.stopListening()
