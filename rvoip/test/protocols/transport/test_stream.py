"""The stream protocol on a transport in memory."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import INegotiated
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from rvoip.protocols.sip.framing import StreamFramer
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow
from rvoip.protocols.transport.guard import Guard
from rvoip.protocols.transport.limits import TransportLimits
from rvoip.protocols.transport.stream import SIPStreamFactory, SIPStreamProtocol, loss_reason
from rvoip.test.protocols.transport.samples import Recorder, options

HERE = IPv4Address("TCP", "192.0.2.1", 5060)
THERE = IPv4Address("TCP", "192.0.2.9", 40000)
VIA = "SIP/2.0/TCP 192.0.2.9:5060"


class Wire(StringTransport):
    """A transport whose buffer has the bound of Twisted's own; `drain` is the peer that reads it."""

    aborted = False
    limit = 65536

    def __init__(self, peer: IPv4Address = THERE) -> None:
        super().__init__(hostAddress=HERE, peerAddress=peer)
        self.held = 0
        self.reads = True

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.reads:
            return
        self.held += len(data)
        if self.held > self.limit and self.producer is not None:
            self.producer.pauseProducing()

    def drain(self) -> None:
        full, self.held = self.held > self.limit, 0
        if full and self.producer is not None:
            self.producer.resumeProducing()

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class StreamTestCase(SynchronousTestCase):
    kind: type[SIPStreamProtocol] = SIPStreamProtocol

    def setUp(self) -> None:
        self.clock = Clock()
        self.receiver = Recorder()
        self.protocols: list[SIPStreamProtocol] = []

    def factory(self, **more: Any) -> SIPStreamFactory:
        more.setdefault("receiver", self.receiver)
        more.setdefault("protocol", self.kind)
        return SIPStreamFactory(self.clock, **more)

    def connect(self, factory: SIPStreamFactory | None = None, **more: Any) -> tuple[SIPStreamProtocol, Wire]:
        factory = factory or self.factory(**more)
        protocol = factory.buildProtocol(THERE)
        assert protocol is not None
        wire = Wire()
        protocol.makeConnection(wire)
        self.protocols.append(protocol)
        return protocol, wire

    def lose(self, protocol: SIPStreamProtocol, error: Exception | None = None) -> None:
        protocol.connectionLost(Failure(error or ConnectionDone()))

    def advance(self, seconds: float) -> None:
        self.clock.pump([0.5] * int(seconds * 2))

    def answers(self, wire: Wire) -> list[Response]:
        found = []
        for item in StreamFramer().receive(wire.value()):
            assert isinstance(item, bytes)
            message = parse_message(item)
            assert isinstance(message, Response)
            found.append(message)
        return found


class ReceivingTests(StreamTestCase):
    def test_a_request(self) -> None:
        protocol, _ = self.connect()
        protocol.dataReceived(options(7, via=VIA, params=""))
        ((message, flow),) = self.receiver.messages
        assert isinstance(message, Request)
        self.assertIsNone(message.via.received)
        self.assertEqual((flow.transport, flow.reliable, flow.secure), ("TCP", True, False))
        self.assertEqual((flow.local, flow.remote), (("192.0.2.1", 5060), ("192.0.2.9", 40000)))
        self.assertEqual(flow.sent_by, "192.0.2.1:5060")
        self.assertIs(flow.reply_flow(message.via), flow)
        self.assertRegex(flow.token, r"\Atcp/[0-9a-f]{12}-1\Z")

    def test_a_via_with_another_host_is_stamped(self) -> None:
        protocol, _ = self.connect()
        protocol.dataReceived(options(7, via="SIP/2.0/TCP phone.test"))
        message = self.receiver.messages[0][0]
        self.assertEqual((message.via.received, message.via.rport), ("192.0.2.9", "40000"))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.lists(st.integers(1, 900), max_size=40), st.booleans())
    def test_any_split_gives_the_same_messages(self, cuts: list[int], one_by_one: bool) -> None:
        self.receiver = Recorder(200)
        protocol, wire = self.connect()
        stream = options(1, via=VIA) + b"\r\n\r\n" + options(2, via=VIA, body=b"x" * 70) + options(3, via=VIA)
        pieces = []
        if one_by_one:
            pieces = [stream[index : index + 1] for index in range(len(stream))]
        else:
            start = 0
            for cut in cuts:
                pieces.append(stream[start : start + cut])
                start += cut
            pieces.append(stream[start:])
        for piece in pieces:
            if piece:
                protocol.dataReceived(piece)
        self.assertEqual(self.receiver.numbers, [1, 2, 3])
        self.assertEqual(wire.value().count(b"SIP/2.0 200 OK"), 3)
        self.lose(protocol)

    def test_a_ping_is_answered(self) -> None:
        protocol, wire = self.connect()
        protocol.dataReceived(b"\r\n\r\n")
        self.assertEqual(wire.value(), b"\r\n")
        protocol.dataReceived(b"\r\n" * 6)
        self.assertEqual(wire.value(), b"\r\n" * 4)

    def test_a_bad_message_leaves_the_stream_whole(self) -> None:
        protocol, wire = self.connect(receiver=None)
        bad = options(1, via=VIA).replace(b"CSeq: 1", b"CSeq: x")
        protocol.dataReceived(bad + options(2, via=VIA).replace(b"Max-Forwards: 70", b"Max-Forwards: x"))
        self.assertEqual([answer.status for answer in self.answers(wire)], [400, 400])
        self.assertFalse(wire.disconnecting)

    def test_what_cannot_be_framed_is_answered_and_closed(self) -> None:
        for change, status in (
            ((b"Content-Length: 0", b"Content-Length: 0\r\nContent-Length: 5"), 400),
            ((b"Content-Length: 0", b"Content-Length: 99999999999999999999"), 413),
            ((b"Content-Length: 0", b"Content-Length: 9999999"), 413),
            ((b"Content-Length: 0", b"Content-Length: -1"), 400),
        ):
            protocol, wire = self.connect(receiver=None)
            protocol.dataReceived(options(1, via=VIA).replace(*change) + options(2, via=VIA))
            self.assertEqual([answer.status for answer in self.answers(wire)], [status], change)
            self.assertTrue(wire.disconnecting and protocol.flow.closed)
            protocol.dataReceived(options(3, via=VIA))
            self.assertEqual(len(self.answers(wire)), 1)

    def test_what_was_whole_before_is_taken(self) -> None:
        protocol, wire = self.connect()
        protocol.dataReceived(options(1, via=VIA) + b"\r\rnonsense")
        self.assertEqual(self.receiver.numbers, [1])
        self.assertEqual(len(self.receiver.errors), 1)
        self.assertTrue(wire.disconnecting)

    def test_a_message_without_end(self) -> None:
        protocol, _ = self.connect()
        for _ in range(80):
            protocol.dataReceived(b"X-A: " + b"a" * 1000 + b"\r\n")
        self.assertTrue(protocol.flow.closed)
        self.assertLess(len(protocol._framer._buffer), 70_000)

    def test_rate(self) -> None:
        protocol, _ = self.connect(guard=Guard(rate=5))
        protocol.dataReceived(b"".join(options(number, via=VIA) for number in range(100)))
        self.assertEqual(len(self.receiver.messages), 10)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.lists(st.binary(max_size=60), max_size=8), st.integers(0, 300))
    def test_anything_may_come(self, pieces: list[bytes], position: int) -> None:
        protocol, _ = self.connect(receiver=None)
        protocol.dataReceived(options(1, via=VIA)[:position])
        for piece in pieces:
            protocol.dataReceived(piece)
        self.assertNotIn("internal", protocol.intake.counters.dropped)
        self.lose(protocol)


class HookTests(StreamTestCase):
    def test_failures(self) -> None:
        class Failing(SIPStreamProtocol):
            async def message_received(self, message: Request | Response, flow: Flow) -> None:
                raise KeyError("no such thing")

        self.kind = Failing
        protocol, wire = self.connect()
        protocol.dataReceived(options(1, via=VIA) + options(2, via=VIA, method="ACK") + options(3, via=VIA))
        self.assertEqual([answer.status for answer in self.answers(wire)], [500, 500])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertFalse(wire.disconnecting)

    def test_a_dead_connection_does_not_disturb(self) -> None:
        """The peer has gone while its request was being looked at."""
        protocol, _ = self.connect()
        protocol.dataReceived(options(1, via=VIA))
        self.lose(protocol, ConnectionLost())
        error = self.assertRaises(FlowError, self.receiver.flow.send, b"x")
        self.assertEqual(error.reason, "connection lost")

    def test_a_receiver_that_closes(self) -> None:
        class Closing(SIPStreamProtocol):
            def message_received(self, message: Request | Response, flow: Flow) -> None:
                seen.append(message.cseq.number)
                flow.close()

        seen: list[int] = []
        self.kind = Closing
        protocol, wire = self.connect()
        protocol.dataReceived(b"\r\n\r\n" + options(1, via=VIA) + options(2, via=VIA))
        self.assertEqual(seen, [1])
        self.assertTrue(wire.disconnecting)


class TimeTests(StreamTestCase):
    def test_idle(self) -> None:
        protocol, wire = self.connect()
        self.advance(119)
        self.assertFalse(wire.disconnecting)
        self.advance(2)
        self.assertTrue(wire.disconnecting)
        self.assertFalse(wire.aborted)
        self.assertEqual(protocol.flow.reason, "idle for 120 s")
        self.lose(protocol)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_keep_alives_and_use_keep_it_open(self) -> None:
        protocol, wire = self.connect()
        for _ in range(5):
            self.advance(100)
            protocol.dataReceived(b"\r\n\r\n")
            self.advance(100)
            protocol.flow.send(b"something")
        self.assertFalse(wire.disconnecting)

    def test_a_binding_keeps_it_open(self) -> None:
        protocol, wire = self.connect()
        protocol.flow.keep(600.0)
        protocol.flow.keep(300.0)
        self.advance(599)
        self.assertFalse(wire.disconnecting)
        self.advance(2)
        self.assertTrue(wire.disconnecting)

    def test_a_message_that_never_ends(self) -> None:
        protocol, wire = self.connect()
        for _ in range(20):
            protocol.dataReceived(b"A")
            self.advance(1)
        self.assertFalse(wire.aborted)
        self.advance(5)
        self.assertTrue(wire.aborted)
        self.assertIn("not complete", protocol.flow.reason)

    def test_half_a_ping_is_no_message(self) -> None:
        """Some phones send a single CRLF."""
        protocol, wire = self.connect()
        for _ in range(10):
            protocol.dataReceived(b"\r\n")
            self.advance(30)
        self.assertFalse(wire.disconnecting or wire.aborted)
        self.assertEqual(wire.value(), b"\r\n" * 5)

    def test_pings_of_ours(self) -> None:
        protocol, wire = self.connect()
        protocol.flow.keep_alive(30)
        self.advance(31)
        self.assertEqual(wire.value(), b"\r\n\r\n")
        protocol.dataReceived(b"\r\n")
        self.advance(31)
        self.assertEqual(wire.value(), b"\r\n\r\n" * 2)
        protocol.dataReceived(b"\r\n" + options(1, via=VIA))
        self.assertEqual(self.receiver.numbers, [1])
        self.advance(42)
        self.assertTrue(wire.aborted)
        self.assertIn("keep-alive", protocol.flow.reason)

    def test_no_timer_without_a_connection(self) -> None:
        factory = self.factory()
        protocols = [self.connect(factory)[0] for _ in range(3)]
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for protocol in protocols:
            self.lose(protocol)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LimitTests(StreamTestCase):
    def test_per_source(self) -> None:
        factory = self.factory(limits=TransportLimits(max_connections_per_host=3))
        protocols = [self.connect(factory)[0] for _ in range(3)]
        self.assertIsNone(factory.buildProtocol(THERE))
        self.assertIsNotNone(factory.buildProtocol(IPv4Address("TCP", "192.0.2.10", 1)))
        self.lose(protocols[0])
        self.assertIsNotNone(factory.buildProtocol(THERE))
        self.assertEqual(factory.intake.counters.connections_refused, 1)
        self.assertEqual(factory.intake.counters.connections_accepted, 3)

    def test_in_all(self) -> None:
        factory = self.factory(limits=TransportLimits(max_connections=2))
        for _ in range(2):
            self.connect(factory)
        self.assertIsNone(factory.buildProtocol(IPv4Address("TCP", "192.0.2.10", 1)))

    def test_banned(self) -> None:
        guard = Guard(ban_after=1)
        factory = self.factory(guard=guard)
        guard.failed(THERE.host, 0.0)
        self.assertIsNone(factory.buildProtocol(THERE))

    def test_a_refusal_is_logged(self) -> None:
        """One line a source, with the reason."""
        guard = Guard(ban_after=1)
        factory = self.factory(
            guard=guard, limits=TransportLimits(max_connections=2, max_connections_per_host=1)
        )
        self.connect(factory)
        guard.failed("192.0.2.66", 0.0)
        with capturedLogs() as events:
            for host in (THERE.host, THERE.host, "192.0.2.66"):
                self.assertIsNone(factory.buildProtocol(IPv4Address("TCP", host, 1)))
            other = factory.buildProtocol(IPv4Address("TCP", "192.0.2.10", 1))
            assert other is not None
            other.makeConnection(Wire())
            self.assertIsNone(factory.buildProtocol(IPv4Address("TCP", "192.0.2.11", 1)))
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                f"Refused a connection from {THERE.host}: 1 connections from there are open (0 more before)",
                "Refused a connection from 192.0.2.66: banned (0 more before)",
                "Refused a connection from 192.0.2.11: 2 connections are open (0 more before)",
            ],
        )

    def test_a_handshake_that_fails_is_logged(self) -> None:
        """Once a source; a connection that ends otherwise says nothing."""
        factory = self.factory()
        failed = SSL.Error([("SSL routines", "", "http request")])
        with capturedLogs() as events:
            for error in (ConnectionDone(), ConnectionLost(), failed, failed):
                protocol = factory.buildProtocol(THERE)
                assert protocol is not None
                wire = Wire()
                directlyProvides(wire, INegotiated)
                protocol.makeConnection(wire)
                protocol.connectionLost(Failure(error))
        self.assertEqual(
            [formatEvent(event) for event in events],
            [f"Refused {THERE.host} over TLS: TLS: http request (0 more before)"],
        )
        self.assertEqual(factory.intake.counters.dropped["handshake"], 2)

    def test_serials_are_not_used_again(self) -> None:
        tokens = {
            self.connect(factory)[0].flow.token for factory in (self.factory(), self.factory()) for _ in "ab"
        }
        self.assertEqual(len(tokens), 4)


class BackPressureTests(StreamTestCase):
    """A peer that sends and does not read."""

    def pipeline(self, protocol: SIPStreamProtocol, wire: Wire, chunks: int) -> int:
        """Send requests as long as they are read; returns how many octets were."""
        sent = 0
        number = 0
        for _ in range(chunks):
            if wire.producerState == "paused":
                break
            chunk = b"".join(options(number + index, via=VIA) for index in range(100))
            number += 100
            protocol.dataReceived(chunk)
            sent += len(chunk)
        return sent

    def stuck(self) -> tuple[SIPStreamProtocol, Wire]:
        self.receiver = Recorder(200, padding=1000)
        protocol, wire = self.connect()
        wire.reads = False
        self.pipeline(protocol, wire, 1000)
        return protocol, wire

    def test_reading_stops(self) -> None:
        protocol, wire = self.stuck()
        self.assertEqual(wire.producerState, "paused")
        self.assertLess(protocol._unsent_size + 65536, 256 * 1024 + 2048)
        self.assertEqual(self.receiver.refused, [])
        self.assertLess(len(self.receiver.messages), 300)
        held = len(protocol._unread)
        self.assertGreater(held, 0)

    def test_a_send_then_fails(self) -> None:
        protocol, _ = self.stuck()
        error = self.assertRaises(FlowError, protocol.flow.send, b"x")
        self.assertIn("does not read", error.reason)

    def test_it_is_dropped_after_ten_seconds(self) -> None:
        protocol, wire = self.stuck()
        self.advance(9)
        self.assertFalse(wire.aborted)
        self.advance(2)
        self.assertTrue(wire.aborted)
        self.assertIn("has not read", protocol.flow.reason)
        self.lose(protocol)
        self.assertEqual((len(protocol._unsent), protocol._unread), (0, []))

    def test_it_goes_on_when_the_peer_reads_again(self) -> None:
        protocol, wire = self.stuck()
        self.advance(5)
        for _ in range(20):
            wire.drain()
        self.assertEqual(wire.producerState, "producing")
        self.advance(20)
        self.assertFalse(wire.aborted)
        self.assertEqual(protocol._unread, [])
        answered = [answer.cseq.number for answer in self.answers(wire)]
        self.assertEqual(answered, self.receiver.numbers)
        self.assertEqual(answered, list(range(len(answered))))

    def test_order_is_kept_across_a_pause(self) -> None:
        protocol, wire = self.connect()
        wire.reads = False
        for number in range(100):
            protocol.flow.send(b"%05d" % number + b"." * 2000)
        for _ in range(10):
            wire.drain()
        sent = wire.value()
        self.assertEqual([int(sent[at : at + 5]) for at in range(0, len(sent), 2005)], list(range(100)))

    def test_pings_of_a_peer_that_does_not_read_are_not_answered(self) -> None:
        protocol, wire = self.connect()
        wire.reads = False
        protocol.flow.send(bytes(70_000))
        length = len(wire.value())
        protocol.dataReceived(b"\r\n" * 10_000)
        self.assertEqual(len(wire.value()), length)

    def test_close_sends_what_is_queued(self) -> None:
        protocol, wire = self.connect()
        wire.reads = False
        for _ in range(60):
            protocol.flow.send(bytes(2000))
        told: list[str] = []
        protocol.flow.when_closed(lambda flow, reason: told.append(reason))
        protocol.flow.close()
        self.assertEqual(len(wire.value()), 120_000)
        self.assertTrue(wire.disconnecting)
        self.assertIsNone(wire.producer)
        self.assertRaises(FlowError, protocol.flow.send, b"x")
        self.assertEqual(told, [])
        self.advance(11)
        self.assertTrue(wire.aborted)
        self.lose(protocol)
        self.assertEqual(told, ["closed by us"])


class ReasonTests(SynchronousTestCase):
    def test_texts(self) -> None:
        self.assertEqual(loss_reason(Failure(ConnectionDone())), "closed by the peer")
        self.assertEqual(loss_reason(Failure(ConnectionLost())), "connection lost")
        self.assertEqual(loss_reason(Failure(RuntimeError("odd"))), "odd")
