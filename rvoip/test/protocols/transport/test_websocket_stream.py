"""The WebSocket protocol on a transport in memory, and on real sockets by way of the layer."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.error import ConnectionDone

from rvoip.protocols.sip.framing import KeepAlive
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.transport.addresses import parse_listen
from rvoip.protocols.transport.errors import FlowError, ListenError
from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.handshake import WebSocketRules
from rvoip.protocols.transport.limits import TransportLimits
from rvoip.protocols.transport.stream import SIPStreamProtocol
from rvoip.protocols.transport.websocket import ClientWebSocket
from rvoip.protocols.transport.websocket_stream import SIPWebSocketProtocol
from rvoip.test.protocols.transport.samples import Recorder, options
from rvoip.test.protocols.transport.test_layer import LayerTestCase
from rvoip.test.protocols.transport.test_stream import StreamTestCase, Wire
from rvoip.test.protocols.transport.test_websocket import close_code, frame, take

VIA = "SIP/2.0/WS df7jal23ls0d.invalid"


class WebSocketTestCase(StreamTestCase):
    kind = SIPWebSocketProtocol

    def open(self, **more: Any) -> tuple[SIPStreamProtocol, Wire, ClientWebSocket]:
        """A connection whose handshake is over, with the client's machine."""
        protocol, wire = self.connect(**more)
        client = ClientWebSocket(65535, "example.test")
        protocol.dataReceived(take(client))
        self.read(wire, client)
        self.assertTrue(client.is_open)
        return protocol, wire, client

    def read(self, wire: Wire, client: ClientWebSocket) -> list[bytes | KeepAlive]:
        """What the client gets of what was written."""
        data = wire.value()
        wire.clear()
        return client.receive(data)

    def responses(self, wire: Wire, client: ClientWebSocket) -> list[Response]:
        found = []
        for item in self.read(wire, client):
            assert isinstance(item, bytes)
            message = parse_message(item)
            assert isinstance(message, Response)
            found.append(message)
        return found

    def closed(self, protocol: SIPStreamProtocol) -> list[str]:
        told: list[str] = []
        protocol.flow.when_closed(lambda flow, reason: told.append(reason))
        return told


class ReceivingTests(WebSocketTestCase):
    def test_a_request(self) -> None:
        protocol, _, client = self.open()
        protocol.dataReceived(client.message(options(7, via=VIA, params="")))
        ((message, flow),) = self.receiver.messages
        assert isinstance(message, Request)
        self.assertEqual(message.via.received, "192.0.2.9")
        self.assertEqual((flow.transport, flow.reliable, flow.secure), ("WS", True, False))
        self.assertEqual((flow.uri_transport, flow.sent_by), ("ws", "192.0.2.1:5060"))
        self.assertIs(flow.reply_flow(message.via), flow)
        self.assertRegex(flow.token, r"\Aws/[0-9a-f]{12}-1\Z")

    def test_answers_are_messages(self) -> None:
        protocol, wire, client = self.open(receiver=Recorder(200))
        protocol.dataReceived(b"".join(client.message(options(number, via=VIA)) for number in range(3)))
        self.assertEqual([one.cseq.number for one in self.responses(wire, client)], [0, 1, 2])

    def test_content_length_is_not_needed(self) -> None:
        protocol, _, client = self.open()
        data = options(1, via=VIA, body=b"the body").replace(b"Content-Length: 8\r\n", b"")
        protocol.dataReceived(client.message(data))
        self.assertEqual(self.receiver.messages[0][0].body, b"the body")

    def test_what_is_no_sip_does_not_end_it(self) -> None:
        protocol, _, client = self.open()
        protocol.dataReceived(client.message(b"hello") + client.message(options(1, via=VIA)))
        self.assertEqual((len(self.receiver.errors), self.receiver.numbers), (1, [1]))

    def test_keep_alives(self) -> None:
        protocol, wire, client = self.open()
        protocol.dataReceived(client.message(b"\r\n\r\n"))
        self.assertEqual(self.read(wire, client), [KeepAlive.PONG])
        self.assertEqual(self.receiver.messages, [])

    def test_messages_before_what_breaks_it(self) -> None:
        protocol, wire, client = self.open(receiver=Recorder(200))
        told = self.closed(protocol)
        protocol.dataReceived(client.message(options(1, via=VIA)) + frame(1, b"x", masked=False))
        self.assertEqual([one.status for one in self.responses(wire, client)], [200])
        self.assertRegex(client.ended, "closed by the peer with 1002")
        self.assertTrue(wire.disconnecting)
        self.lose(protocol)
        self.assertRegex(told[0], "^WebSocket: ")

    def test_the_client_closes(self) -> None:
        protocol, wire, client = self.open()
        client.close(1000, "bye")
        protocol.dataReceived(take(client))
        self.assertEqual(wire.value()[:1], b"\x88")
        self.assertTrue(wire.disconnecting)
        self.assertEqual(protocol.flow.reason, "WebSocket: closed by the peer with 1000")


class RefusedTests(WebSocketTestCase):
    def test_an_answer_and_the_end(self) -> None:
        protocol, wire = self.connect()
        told = self.closed(protocol)
        protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(wire.value().startswith(b"HTTP/1.1 426 Upgrade Required\r\n"))
        self.assertTrue(wire.disconnecting)
        self.assertEqual(protocol.intake.counters.dropped, {"handshake": 1})
        self.lose(protocol)
        self.assertRegex(told[0], "^WebSocket: 426: ")

    def test_rules(self) -> None:
        rules = WebSocketRules(["https://app.test"])
        factory = self.factory(protocol=partial(SIPWebSocketProtocol, rules=rules))
        for origin, status in (("https://evil.test", b"403"), ("https://app.test", b"101")):
            protocol, wire = self.connect(factory)
            protocol.dataReceived(take(ClientWebSocket(1000, "a", origin=origin)))
            self.assertEqual(wire.value()[9:12], status)

    def test_no_message_before_the_handshake(self) -> None:
        protocol, wire = self.connect()
        protocol.dataReceived(options(1, via=VIA))
        self.assertEqual((self.receiver.messages, wire.value()[9:12]), ([], b"400"))

    def test_its_time(self) -> None:
        """However steadily the octets of the request come."""
        protocol, wire = self.connect()
        request = take(ClientWebSocket(1000, "a"))
        for index in range(25):
            protocol.dataReceived(request[index : index + 1])
            self.advance(0.5)
        self.assertTrue(wire.aborted)
        self.assertEqual(protocol.flow.reason, "no handshake within 10 s")


class TimeTests(WebSocketTestCase):
    def test_pings(self) -> None:
        """A client that answers stays connected, but not for ever when it says nothing."""
        protocol, wire, client = self.open()
        for _ in range(3):
            self.advance(30)
            self.assertEqual(self.read(wire, client), [KeepAlive.PONG], "a ping, and nothing else")
            answer = take(client)
            self.assertEqual(answer[0], 0x8A)
            protocol.dataReceived(answer)
        self.assertFalse(protocol.flow.closed)
        self.advance(31)
        self.assertEqual(protocol.flow.reason, "idle for 120 s")
        self.assertEqual(close_code(wire.value()), 1000)

    def test_no_answer_to_a_ping(self) -> None:
        protocol, wire, _ = self.open()
        self.advance(42)
        self.assertTrue(wire.aborted)
        self.assertRegex(protocol.flow.reason, "a keep-alive was not answered within 10 s")

    def test_a_registered_client_is_kept(self) -> None:
        protocol, wire, client = self.open()
        protocol.flow.keep(self.clock.seconds() + 600)
        for _ in range(100):
            self.advance(5)
            self.read(wire, client)
            protocol.dataReceived(take(client))
        self.assertFalse(protocol.flow.closed)

    def test_half_a_message(self) -> None:
        protocol, wire, _ = self.open()
        protocol.dataReceived(frame(1, b"OPTIONS ", end=False))
        self.advance(22)
        self.assertTrue(wire.aborted)
        self.assertEqual(protocol.flow.reason, "a message was not complete within 20 s")

    def test_half_a_message_with_pings_between(self) -> None:
        protocol, wire, _ = self.open()
        protocol.dataReceived(frame(1, b"OPTIONS ", end=False))
        for _ in range(22):
            self.advance(1)
            protocol.dataReceived(frame(9, b"ping"))
        self.assertTrue(wire.aborted)

    def test_empty_messages_hold_nothing_up(self) -> None:
        protocol, _, _ = self.open()
        protocol.dataReceived(frame(1, end=False))
        protocol.dataReceived(frame(0))
        self.advance(25)
        self.assertFalse(protocol.flow.closed)


class WritingTests(WebSocketTestCase):
    def test_a_client_that_does_not_read(self) -> None:
        limits = TransportLimits(max_unsent=100_000)
        protocol, wire, client = self.open(receiver=Recorder(200, padding=9000), limits=limits)
        wire.reads = False
        for number in range(60):
            protocol.dataReceived(client.message(options(number, via=VIA)))
        self.assertLess(len(self.receiver.messages), 20, "reading has stopped")
        self.assertEqual(wire.producerState, "paused")
        self.assertRaises(FlowError, protocol.flow.send, b"x" * 100)
        size = len(wire.value())
        for _ in range(100):
            protocol.dataReceived(frame(9, b"ping"))
        self.assertEqual(len(wire.value()), size, "no pong is written on top of what is not read")
        self.advance(11)
        self.assertTrue(wire.aborted)

    def test_one_that_reads_again_gets_all(self) -> None:
        limits = TransportLimits(max_unsent=100_000)
        protocol, wire, client = self.open(receiver=Recorder(200, padding=9000), limits=limits)
        wire.reads = False
        for number in range(30):
            protocol.dataReceived(client.message(options(number, via=VIA)))
        wire.reads = True
        wire.drain()
        numbers = [one.cseq.number for one in self.responses(wire, client)]
        self.assertEqual(numbers, list(range(30)))

    def test_what_waits_for_the_handshake(self) -> None:
        protocol, wire = self.connect()
        protocol.flow.send(b"first")
        self.assertEqual(wire.value(), b"")
        client = ClientWebSocket(1000, "a")
        protocol.dataReceived(take(client))
        self.assertEqual(self.read(wire, client), [b"first"])

    def test_closed_by_us(self) -> None:
        for reason, code in (("closed by us", 1000), ("stopped", 1001)):
            protocol, wire, _ = self.open()
            protocol.flow.shut(reason)
            self.assertEqual(close_code(wire.value()), code)
            self.assertTrue(wire.disconnecting)
            self.lose(protocol, ConnectionDone())

    def test_closed_before_the_handshake(self) -> None:
        protocol, wire = self.connect()
        protocol.flow.close()
        self.assertEqual((wire.value(), wire.disconnecting), (b"", True))


class LayerTests(LayerTestCase):
    def test_listeners(self) -> None:
        layer = self.layer("ws:192.0.2.1:8088")
        (listener,) = layer.listeners
        self.assertEqual((listener.transport, listener.sent_by), ("WS", "192.0.2.1:8088"))
        for port, transport, ours in (
            (8088, "WS", True),
            (8088, None, True),
            (8088, "TCP", False),
            (None, "WS", False),
        ):
            self.assertEqual(layer.is_local("192.0.2.1", port, transport), ours)

    def test_port_80_is_no_sip_port(self) -> None:
        layer = self.layer("ws:192.0.2.1:80")
        self.assertTrue(layer.is_local("192.0.2.1", None, "WS"))
        self.assertFalse(layer.is_local("192.0.2.1", None, None))

    def test_wss_needs_a_certificate(self) -> None:
        error = self.assertRaises(ListenError, self.layer, "wss:192.0.2.1:8089")
        self.assertIn("TLS needs a certificate", str(error))

    def test_nobody_is_connected_to(self) -> None:
        layer = self.layer("ws:192.0.2.1:8088")
        flow = layer.flow_to(Target("WS", "192.0.2.9", 80))
        error = self.assertRaises(FlowError, flow.send, b"x")
        self.assertEqual(str(error), "nothing can be connected to over WS")

    def test_without_the_extra(self) -> None:
        real = builtins.__import__

        def without(name: str, *rest: Any) -> Any:
            if name.endswith("websocket_stream"):
                raise ImportError("No module named 'wsproto'")
            return real(name, *rest)

        replaced: Callable[..., Any] = without
        self.patch(builtins, "__import__", replaced)
        error = self.assertRaises(ListenError, self.layer, "ws:192.0.2.1:8088")
        self.assertEqual(
            str(error),
            "ws:192.0.2.1:8088: WebSocket needs the extra ws: "
            "pip install 'rvoip[ws]' (No module named 'wsproto')",
        )

    def test_a_client_by_its_flow(self) -> None:
        layer = self.layer(str(parse_listen("ws:192.0.2.1:8088")), receiver=Recorder(200))
        self.assertEqual(layer.connections, 0)
        self.assertIsNone(layer.flow_by_token("ws/nobody-1"))
