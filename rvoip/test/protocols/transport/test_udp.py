"""The datagram protocol on a socket in memory."""

from __future__ import annotations

import errno
from collections.abc import Awaitable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import InvalidAddressError
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow
from rvoip.protocols.transport.guard import Guard
from rvoip.protocols.transport.intake import AMPLIFICATION
from rvoip.protocols.transport.limits import TransportLimits
from rvoip.protocols.transport.udp import SIPDatagramProtocol
from rvoip.test.protocols.transport.samples import Recorder, options

PEER = ("192.0.2.9", 40000)


class Host:
    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port


class Socket:
    """What a UDP port is to its protocol."""

    def __init__(self, host: str = "192.0.2.1") -> None:
        self.host = host
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.error: Exception | None = None

    def getHost(self) -> Host:
        return Host(self.host, 5060)

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((data, address))


@implementer(ILogObserver)
class Lines:
    """The log events of a test."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self)
        case.addCleanup(globalLogPublisher.removeObserver, self)

    def __call__(self, event: LogEvent) -> None:
        if event["log_namespace"].startswith("rvoip"):
            self.events.append(event)

    def clear(self) -> int:
        count = len(self.events)
        self.events.clear()
        return count


class DatagramTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.socket = Socket()
        self.receiver = Recorder()
        self.lines = Lines(self)

    def protocol(
        self, kind: type[SIPDatagramProtocol] = SIPDatagramProtocol, **more: Any
    ) -> SIPDatagramProtocol:
        more.setdefault("receiver", self.receiver)
        made = kind(self.clock, **more)
        socket: Any = self.socket
        made.makeConnection(socket)
        return made

    def answers(self) -> list[Response]:
        found = []
        for data, _ in self.socket.sent:
            message = parse_message(data)
            assert isinstance(message, Response)
            found.append(message)
        return found


class ReceivingTests(DatagramTestCase):
    def test_a_request(self) -> None:
        self.protocol().datagramReceived(options(7), PEER)
        ((message, flow),) = self.receiver.messages
        assert isinstance(message, Request)
        self.assertEqual((message.method, message.via.received), ("OPTIONS", PEER[0]))
        self.assertEqual(message.via.rport, "40000")
        self.assertEqual((flow.transport, flow.remote, flow.local), ("UDP", PEER, ("192.0.2.1", 5060)))
        self.assertEqual((flow.sent_by, flow.reliable, flow.secure), ("192.0.2.1:5060", False, False))
        self.assertEqual(flow.token, "udp/192.0.2.1:5060/192.0.2.9:40000")

    def test_one_flow_a_source(self) -> None:
        protocol = self.protocol()
        for number in range(3):
            protocol.datagramReceived(options(number), PEER)
        protocol.datagramReceived(options(4), (PEER[0], 40001))
        flows = [flow for _, flow in self.receiver.messages]
        self.assertIs(flows[0], flows[2])
        self.assertIsNot(flows[0], flows[3])

    def test_a_closed_flow_does_not_shut_its_source_out(self) -> None:
        protocol = self.protocol(receiver=Recorder(200))
        protocol.flow_to(PEER).close()
        protocol.datagramReceived(options(1), PEER)
        self.assertEqual([answer.status for answer in self.answers()], [200])

    def test_flows_are_bounded(self) -> None:
        protocol = self.protocol(limits=TransportLimits(udp_flows=10))
        for port in range(1024, 2024):
            protocol.datagramReceived(options(1), (PEER[0], port))
        self.assertLessEqual(len(protocol._flows), 10)
        self.assertEqual(len(self.receiver.messages), 1000)

    def test_rport_is_only_followed_when_asked(self) -> None:
        protocol = self.protocol(receiver=Recorder(200))
        protocol.datagramReceived(options(1, params=""), PEER)
        protocol.datagramReceived(options(2, params=";rport"), PEER)
        protocol.datagramReceived(options(3, params=";maddr=203.0.113.5;received=203.0.113.6"), PEER)
        default = (PEER[0], 5060)
        self.assertEqual([address for _, address in self.socket.sent], [default, PEER, default])

    def test_a_late_request_is_dropped(self) -> None:
        """A response, an ACK and a keep-alive are taken all the same; there is one line for all."""
        protocol = self.protocol()
        for number in range(5):
            protocol.datagram_late(options(number), PEER, 2.5)
        self.assertEqual(self.receiver.messages, [])
        (line,) = self.lines.events
        self.assertIn("waited in a UDP socket for 2.5 s", line["log_format"].format(waited=2.5, suppressed=0))
        self.assertEqual(
            (protocol.intake.counters.received, protocol.intake.counters.dropped), (5, {"late": 5})
        )
        response = b"SIP/2.0 200 OK\r\n" + options(6).partition(b"\r\n")[2]
        for data in (response, options(7, method="ACK"), b"\r\n\r\n"):
            protocol.datagram_late(data, PEER, 2.5)
        self.assertEqual(self.receiver.numbers, [6, 7])
        self.assertEqual(protocol.intake.counters.dropped, {"late": 5, "keep_alive": 1})

    def test_force_rport(self) -> None:
        self.protocol(receiver=Recorder(200), force_rport=True).datagramReceived(options(1, params=""), PEER)
        self.assertEqual([address for _, address in self.socket.sent], [PEER])

    def test_a_response_is_not_stamped(self) -> None:
        response = options().replace(b"OPTIONS sip:example.test SIP/2.0", b"SIP/2.0 200 OK")
        self.protocol().datagramReceived(response, PEER)
        message = self.receiver.messages[0][0]
        self.assertIsInstance(message, Response)
        self.assertEqual(message.to_bytes(), response)

    def test_a_stun_keep_alive_is_answered(self) -> None:
        """RFC 5626 section 3.5.2; it is no message and makes no line. A forged source gets nothing."""
        request = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"0123456789ab"
        protocol = self.protocol()
        protocol.datagramReceived(request, PEER)
        ((answer, address),) = self.socket.sent
        self.assertEqual(address, PEER)
        self.assertEqual((answer[:2], answer[4:20]), (b"\x01\x01", request[4:]))
        self.assertEqual(protocol.intake.counters.dropped, {"keep_alive": 1})
        self.socket.sent.clear()
        for source in (("0.0.0.0", 5060), ("255.255.255.255", 5060), ("192.0.2.9", 0)):
            protocol.datagramReceived(request, source)
        self.assertEqual(self.socket.sent, [])

    def test_keep_alives_and_stun_are_silent(self) -> None:
        protocol = self.protocol()
        stun = b"\x00\x01\x00\x00\x21\x12\xa4\x43" + b"0123456789ab"  # that of RFC 3489 has no cookie
        junk = [b"", b"\r\n", b"\r\n\r\n", b"\r\n" * 30, bytes(4), bytes(40), b"jaK", stun, stun + bytes(40)]
        for datagram in junk:
            protocol.datagramReceived(datagram, PEER)
        self.assertEqual((self.receiver.messages, self.receiver.errors, self.socket.sent), ([], [], []))
        self.assertEqual(self.lines.clear(), 0)
        self.assertEqual(protocol.intake.counters.dropped, {"keep_alive": len(junk)})

    def test_a_message_after_line_breaks(self) -> None:
        """RFC 3261 section 7.5."""
        self.protocol().datagramReceived(b"\r\n\r\n" + options(5), PEER)
        self.assertEqual(self.receiver.numbers, [5])

    def test_odd_sources(self) -> None:
        protocol = self.protocol(receiver=Recorder(200))
        for source in (("192.0.2.9", 0), ("0.0.0.0", 5060), ("224.0.0.1", 5060), ("255.255.255.255", 5060)):
            protocol.datagramReceived(options(), source)
        self.assertEqual(self.socket.sent, [])
        self.assertEqual(protocol.intake.counters.dropped, {"source": 4})

    def test_rate(self) -> None:
        protocol = self.protocol(guard=Guard(rate=5))
        for number in range(100):
            protocol.datagramReceived(options(number), PEER)
        self.assertEqual(len(self.receiver.messages), 10)
        self.clock.advance(1)
        protocol.datagramReceived(options(200), PEER)
        self.assertEqual(self.receiver.numbers[-1], 200)
        self.assertEqual(protocol.intake.counters.dropped, {"rate": 90})

    def test_without_a_receiver(self) -> None:
        protocol = self.protocol(receiver=None)
        protocol.datagramReceived(options(), PEER)
        self.assertEqual(protocol.intake.counters.dropped, {"no_receiver": 1})


class BadSIPTests(DatagramTestCase):
    def test_a_bad_request_is_answered_without_state(self) -> None:
        protocol = self.protocol(receiver=None)
        bad = options(1).replace(b"CSeq: 1 OPTIONS", b"CSeq: x OPTIONS")
        protocol.datagramReceived(bad, PEER)
        protocol.datagramReceived(bad, PEER)
        first, again = self.answers()
        self.assertEqual((first.status, first.call_id), (400, "1@test"))
        self.assertEqual(first.via.received, PEER[0])
        self.assertIsNotNone(first.to.tag)
        self.assertEqual(first.to.tag, again.to.tag)
        self.assertEqual(self.socket.sent[0][1], PEER)

    def test_statuses(self) -> None:
        for change, status in (
            ((b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"), 505),
            ((b"Call-ID: 1@test\r\n", b""), 400),
            ((b"Content-Length: 0", b"Content-Length: 99"), 400),
            ((b"Content-Length: 0", b"Content-Length: 1_0"), 400),
            ((b"Max-Forwards: 70", b"X" * 20000 + b": 1"), 400),
            ((b"From:", b"From :\t<sip:a@b>\r\nFrom:"), 400),
        ):
            self.socket.sent.clear()
            self.protocol(receiver=None).datagramReceived(options(1).replace(*change), PEER)
            self.assertEqual([answer.status for answer in self.answers()], [status], change)

    def test_a_bad_via_is_followed_as_far_as_it_can_be(self) -> None:
        """RFC 4475 sections 3.1.2.1 and 3.1.2.16: such requests are answered, to the sent-by port."""
        for change, status, port in (
            ((b"Via: SIP/2.0/UDP", b"Via: SIP/7.0/UDP"), 400, 5070),
            ((b";branch=", b";;,;branch="), 400, 5070),
            ((b";branch=", b";;rport;branch="), 400, PEER[1]),
        ):
            self.socket.sent.clear()
            data = options(1, via="SIP/2.0/UDP 192.0.2.77:5070", params="")
            self.protocol(receiver=None).datagramReceived(data.replace(*change), PEER)
            self.assertEqual([answer.status for answer in self.answers()], [status], change)
            self.assertEqual(self.socket.sent[0][1], (PEER[0], port), change)

    def test_no_answer(self) -> None:
        protocol = self.protocol(receiver=None)
        broken = (b"CSeq: 1", b"CSeq: x")
        for datagram in (
            options(1, method="ACK").replace(*broken),
            options(1).replace(b"OPTIONS sip:example.test SIP/2.0", b"SIP/2.0 200 OK").replace(*broken),
            options(1).replace(b"Via: SIP/2.0/UDP", b"Via: nonsense"),
            options(1).replace(b"Via", b"X-Via"),
            b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n",
            b"\xff" * 100,
            b"A" * 1000,
        ):
            protocol.datagramReceived(datagram, PEER)
            self.assertEqual(self.socket.sent, [], datagram)
        self.assertEqual(protocol.intake.counters.dropped, {"parse": 7})

    def test_one_line_a_source_in_ten_seconds(self) -> None:
        protocol = self.protocol()
        for _ in range(50):
            protocol.datagramReceived(b"x" * 100, PEER)
            protocol.datagramReceived(b"x" * 100, ("192.0.2.10", 5060))
        self.assertEqual(self.lines.clear(), 2)
        self.clock.advance(10)
        protocol.datagramReceived(b"x" * 100, PEER)
        self.assertEqual([event["suppressed"] for event in self.lines.events], [49])
        self.assertEqual(len(self.receiver.errors), 101)

    def test_the_receiver_answers_where_there_is_one(self) -> None:
        self.protocol().datagramReceived(options(1).replace(b"CSeq: 1", b"CSeq: x"), PEER)
        ((error, flow),) = self.receiver.errors
        self.assertEqual((error.status, flow.remote, self.socket.sent), (400, PEER, []))
        assert isinstance(error.message, Request)
        self.assertEqual(error.message.via.received, PEER[0])

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.data())
    def test_anything_may_come(self, data: st.DataObject) -> None:
        """Nothing raises, and no answer is longer than three times what it answers."""
        message = bytearray(options(1, padding=20, body=b"v=0"))
        for _ in range(data.draw(st.integers(1, 6))):
            position = data.draw(st.integers(0, len(message) - 1))
            count = data.draw(st.integers(0, 40))
            message[position : position + count] = data.draw(st.binary(max_size=40))
        self.socket.sent.clear()
        protocol = self.protocol(receiver=None)
        protocol.datagramReceived(bytes(message), PEER)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertNotIn("internal", protocol.intake.counters.dropped)
        for answer, _ in self.socket.sent:
            self.assertLessEqual(len(answer), AMPLIFICATION * len(message))


class FailingReceiverTests(DatagramTestCase):
    def test_an_exception_is_500_and_one_event(self) -> None:
        class Failing(SIPDatagramProtocol):
            def message_received(self, message: Request | Response, flow: Flow) -> None:
                raise KeyError("no such thing")

        protocol = self.protocol(Failing)
        for _ in range(5):
            protocol.datagramReceived(options(1), PEER)
        protocol.datagramReceived(options(1, method="ACK"), PEER)
        response = options(1).replace(b"OPTIONS sip:example.test SIP/2.0", b"SIP/2.0 200 OK")
        protocol.datagramReceived(response, PEER)
        self.assertEqual([answer.status for answer in self.answers()], [500] * 5)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(protocol.intake.counters.dropped, {"internal": 7})

    def test_an_async_hook_is_awaited(self) -> None:
        waiting: Deferred[None] = Deferred()

        class Slow(SIPDatagramProtocol):
            async def message_received(self, message: Request | Response, flow: Flow) -> None:
                await waiting
                raise KeyError("later")

        self.protocol(Slow).datagramReceived(options(1), PEER)
        self.assertEqual(self.socket.sent, [])
        waiting.callback(None)
        self.assertEqual([answer.status for answer in self.answers()], [500])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_hooks_can_be_overridden(self) -> None:
        seen: list[str] = []

        class Mine(SIPDatagramProtocol):
            def message_received(self, message: Request | Response, flow: Flow) -> None:
                seen.append(str(message.call_id))

            def parse_failed(self, error: SIPParseError, flow: Flow) -> None:
                seen.append(error.reason)

        protocol = self.protocol(Mine)
        protocol.datagramReceived(options(1), PEER)
        protocol.datagramReceived(b"x" * 100, PEER)
        self.assertEqual(seen[0], "1@test")
        self.assertEqual(len(seen), 2)

    def test_a_failing_parse_hook(self) -> None:
        class Failing(SIPDatagramProtocol):
            def parse_failed(self, error: SIPParseError, flow: Flow) -> Awaitable[object] | None:
                raise KeyError("in the hook")

        self.protocol(Failing).datagramReceived(b"x" * 100, PEER)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class SendingTests(DatagramTestCase):
    def flow(self, **more: Any) -> Flow:
        self.subject = self.protocol(**more)
        return self.subject.flow_to(PEER)

    def test_what_is_never_sent_to(self) -> None:
        protocol = self.protocol()
        for host, port in (
            ("224.0.0.1", 5060),
            ("0.0.0.0", 5060),
            ("255.255.255.255", 5060),
            ("a.test", 5060),
            (PEER[0], 0),
        ):
            flow = protocol.flow_to((host, port))
            self.assertTrue(flow.closed)
            self.assertRaises(FlowError, flow.send, b"x")
        error = self.assertRaises(FlowError, protocol.flow_to(("::1", 5060)).send, b"x")
        self.assertIn("address family", str(error))
        self.assertEqual(self.socket.sent, [])

    def test_errors_of_the_kernel(self) -> None:
        flow = self.flow()
        for error, said in (
            (OSError(errno.ENETUNREACH, "Network is unreachable"), "network is unreachable"),
            (OSError(errno.EMSGSIZE, "Message too long"), "message too long"),
            (OSError(errno.EPERM, "Operation not permitted"), "permission denied"),
            (OverflowError("port must be 0-65535"), "port must be"),
            (InvalidAddressError("x", "not an address"), "not an address"),
        ):
            self.socket.error = error
            self.assertIn(said, str(self.assertRaises(FlowError, flow.send, b"x")))

    def test_a_full_buffer_drops(self) -> None:
        flow = self.flow()
        for number in (errno.EAGAIN, errno.ENOBUFS):
            self.socket.error = OSError(number, "full")
            flow.send(b"x")
        counters = self.subject.intake.counters
        self.assertEqual((counters.sent, counters.dropped), (0, {"send_buffer": 2}))

    def test_too_long(self) -> None:
        flow = self.flow()
        flow.send(bytes(65507))
        self.assertIn("65508 octets", str(self.assertRaises(FlowError, flow.send, bytes(65508))))

    def test_after_the_end(self) -> None:
        flow = self.flow()
        self.subject.doStop()
        self.assertRaises(FlowError, flow.send, b"x")

    def test_a_refused_address_closes_its_flow(self) -> None:
        flow = self.flow()
        told: list[str] = []
        flow.when_closed(lambda closed, reason: told.append(reason))
        flow.send(b"x")
        self.subject.send_failed(PEER, OSError(errno.ENETUNREACH, "Network is unreachable"))
        self.assertEqual(told, ["192.0.2.9:40000: network is unreachable"])
        self.assertIsNot(self.subject.flow_to(PEER), flow)
        self.assertEqual(self.subject.intake.counters.sent, 0)

    def test_a_full_buffer_does_not(self) -> None:
        flow = self.flow()
        flow.send(b"x")
        self.subject.send_failed(PEER, OSError(errno.ENOBUFS, "full"))
        self.assertFalse(flow.closed)

    def test_any_address(self) -> None:
        """A socket bound to any address says in Via which one the peer reaches."""
        self.socket.host = "0.0.0.0"
        flow = self.flow(route=lambda host: "192.0.2.77")
        self.assertEqual((flow.sent_by, flow.local), ("192.0.2.77:5060", ("192.0.2.77", 5060)))
        self.assertEqual(self.flow(route=lambda host: None).sent_by, "0.0.0.0:5060")
        self.assertEqual(self.flow(sent_by="sip.example:5060").sent_by, "sip.example:5060")
