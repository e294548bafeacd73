"""The layer on a reactor in memory: listeners, flows, reuse, choice of addresses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.addresses import parse_listen
from rvoip.protocols.transport.errors import FlowError, ListenError
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.protocols.transport.interfaces import IMessageReceiver
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.protocols.transport.limits import TransportLimits
from rvoip.test.protocols.transport.samples import Recorder, options
from rvoip.testing.memory_reactor import MemoryReactor

A, B = "192.0.2.1", "192.0.2.2"
VIA = "SIP/2.0/TCP 192.0.2.2:5060"


class LayerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.receiver = Recorder()

    def layer(self, *addresses: str, receiver: Any = None, **more: Any) -> TransportLayer:
        more.setdefault("route", lambda host: None)
        more.setdefault("owns", lambda host: False)
        layer = TransportLayer(self.reactor, receiver or self.receiver, **more)
        for address in addresses:
            layer.listen(parse_listen(address))
        return layer

    def closed(self, flow: Flow) -> list[str]:
        told: list[str] = []
        flow.when_closed(lambda flow, reason: told.append(reason))
        return told


class ListeningTests(LayerTestCase):
    def test_listeners(self) -> None:
        layer = self.layer(f"udp:{A}:5060", f"tcp:{A}:0", "udp:[2001:db8::1]:5060")
        shown = [(one.transport, one.host, one.port, one.sent_by) for one in layer.listeners]
        port = layer.listeners[1].port
        self.assertGreater(port, 0)
        self.assertEqual(
            shown,
            [
                ("UDP", A, 5060, f"{A}:5060"),
                ("TCP", A, port, f"{A}:{port}"),
                ("UDP", "2001:db8::1", 5060, "[2001:db8::1]:5060"),
            ],
        )

    def test_in_use(self) -> None:
        layer = self.layer(f"udp:{A}:5060", f"tcp:{A}:5060")
        for address in (f"udp:{A}:5060", f"tcp:{A}:5060"):
            error = self.assertRaises(ListenError, layer.listen, parse_listen(address))
            self.assertEqual(str(error), f"{address}: the address is in use")
        self.assertEqual(len(layer.listeners), 2)

    def test_not_ours(self) -> None:
        self.reactor = MemoryReactor(addresses=[A])
        error = self.assertRaises(ListenError, self.layer, f"udp:{B}:5060")
        self.assertEqual(str(error), f"udp:{B}:5060: this machine has no such address")

    def test_tls_without_a_certificate(self) -> None:
        error = self.assertRaises(ListenError, self.layer, f"tls:{A}:5061")
        self.assertEqual(str(error), f"tls:{A}:5061: TLS needs a certificate and a private_key")

    def test_is_local(self) -> None:
        layer = self.layer(f"udp:{A}:5060", f"tcp:{A}:5070", "udp:[2001:db8::1]:5060")
        for host, port, transport, expected in (
            (A, 5060, None, True),
            (A, None, None, True),
            (A, 5060, "UDP", True),
            (A, 5060, "udp", True),
            (A, 5060, "TCP", False),
            (A, 5070, "TCP", True),
            (A, 5070, None, True),
            (A, None, "TCP", False),
            (A, 5061, None, False),
            (B, 5060, None, False),
            ("2001:DB8:0::1", 5060, None, True),
            ("2001:db8::2", 5060, None, False),
            ("example.test", 5060, None, False),
            ("0.0.0.0", 5060, None, False),
        ):
            self.assertEqual(layer.is_local(host, port, transport), expected, (host, port, transport))

    def test_is_loop(self) -> None:
        """What comes from where we sent it: the same two ends, seen from both sides."""
        layer = self.layer(f"udp:{A}:5060", f"tcp:{A}:5060", owns=lambda host: host == A)

        def flow(transport: str, local: tuple[str, int], remote: tuple[str, int]) -> Any:
            return SimpleNamespace(transport=transport, local=local, remote=remote)

        for sent, received, expected in (
            (("UDP", (A, 5060), (A, 5060)), ("UDP", (A, 5060), (A, 5060)), True),
            (("TCP", (A, 40001), (A, 5060)), ("TCP", (A, 5060), (A, 40001)), True),
            (("TCP", (A, 40001), (A, 5060)), ("TCP", (A, 5060), (A, 40002)), False),
            (("UDP", (A, 5060), (A, 5060)), ("TCP", (A, 5060), (A, 5060)), False),
            (("UDP", (A, 5060), (A, 5060)), ("UDP", (A, 5060), (B, 5060)), False),
            (("UDP", ("0.0.0.0", 5060), (A, 5060)), ("UDP", ("0.0.0.0", 5060), (A, 5060)), True),
            (("UDP", ("0.0.0.0", 5060), (A, 5060)), ("UDP", ("0.0.0.0", 5060), (B, 5060)), False),
        ):
            self.assertEqual(layer.is_loop(flow(*sent), flow(*received)), expected, (sent, received))

    def test_is_local_where_any_address_is_listened_on(self) -> None:
        layer = self.layer("udp:0.0.0.0:5060", owns=lambda host: host in (A, "2001:db8::1"))
        self.assertTrue(layer.is_local(A, 5060))
        self.assertTrue(layer.is_local(A, None, "UDP"))
        self.assertFalse(layer.is_local(A, 5061))
        self.assertFalse(layer.is_local(A, 5060, "TCP"))
        self.assertFalse(layer.is_local(B, 5060))
        self.assertFalse(layer.is_local("2001:db8::1", 5060))

    def test_an_outside_address(self) -> None:
        """Behind a NAT whose outside is known."""
        layer = self.layer()
        listener = layer.listen(parse_listen(f"udp:{A}:5060"), sent_by="203.0.113.1:5080")
        self.assertEqual(listener.sent_by, "203.0.113.1:5080")
        self.assertTrue(layer.is_local("203.0.113.1", 5080))
        self.assertTrue(layer.is_local(A, 5060))
        self.assertEqual(layer.flow_to(Target("UDP", B, 5060)).sent_by, "203.0.113.1:5080")

    def test_the_receiver_may_come_later(self) -> None:
        layer = self.layer(f"udp:{A}:5060")
        other = Recorder()
        verifyObject(IMessageReceiver, other)
        layer.receiver = other
        peer = self.layer(f"udp:{B}:5060")
        peer.flow_to(Target("UDP", A, 5060)).send(options())
        self.reactor.advance()
        self.assertEqual((len(other.messages), len(self.receiver.messages)), (1, 0))
        self.assertIs(layer.receiver, other)


class UDPFlowTests(LayerTestCase):
    def test_there_and_back(self) -> None:
        answering = Recorder(200)
        self.layer(f"udp:{A}:5060", receiver=answering)
        peer = self.layer(f"udp:{B}:5060")
        flow = peer.flow_to(Target("UDP", A, 5060))
        self.assertIs(flow, peer.flow_to(Target("UDP", A, 5060)))
        self.assertEqual(flow.sent_by, f"{B}:5060")
        flow.send(options(1, via=f"SIP/2.0/UDP {flow.sent_by}"))
        self.reactor.advance()
        (answer,) = [message for message, _ in self.receiver.messages]
        assert isinstance(answer, Response)
        self.assertEqual((answer.status, answer.cseq.number), (200, 1))
        self.assertIs(self.receiver.flow, flow)

    def test_tokens(self) -> None:
        layer = self.layer(f"udp:{A}:5060", "udp:[2001:db8::1]:5060")
        for target in (Target("UDP", B, 5070), Target("UDP", "2001:db8::2", 5060)):
            flow = layer.flow_to(target)
            self.assertIs(layer.flow_by_token(flow.token), flow)
        self.assertIsNotNone(layer.flow_by_token(f"udp/{A}:5060/203.0.113.9:1234"))
        for token in (
            "",
            "udp",
            "udp/",
            f"udp/{A}:5061/{B}:5060",
            f"udp/{B}:5060/{A}:5060",
            f"udp/{A}:5060/{B}",
            f"udp/{A}:5060/{B}:0",
            f"udp/{A}:5060/{B}:5_0",
            f"udp/{A}:5060/{B}:\u0665",
            f"udp/{A}:5060/{B}:5060/x",
            f"udp/{A}:5060/224.0.0.1:5060",
            f"udp/{A}:5060/example.test:5060",
            "tcp/1",
            "tls/abc-1",
        ):
            self.assertIsNone(layer.flow_by_token(token), token)

    def test_a_token_where_any_address_is_listened_on(self) -> None:
        layer = self.layer("udp:0.0.0.0:5060", route=lambda host: A)
        flow = layer.flow_to(Target("UDP", B, 5060))
        self.assertEqual((flow.sent_by, flow.token), (f"{A}:5060", f"udp/{A}:5060/{B}:5060"))
        self.assertIs(layer.flow_by_token(flow.token), flow)

    def test_nothing_to_send_from(self) -> None:
        layer = self.layer(f"udp:{A}:5060")
        for target in (
            Target("UDP", "2001:db8::1", 5060),
            Target("UDP", "example.test", 5060),
            Target("UDP", "255.255.255.255", 5060),
            Target("SCTP", B, 5060),
            Target("WS", B, 80),
            Target("TLS", B, 5061),
            Target("TCP", "224.0.0.1", 5060),
            Target("TCP", "example.test", 5060),
            Target("TCP", B, 0),
        ):
            flow = layer.flow_to(target)
            self.assertTrue(flow.closed, target)
            self.assertEqual(flow.transport, target.transport)
            self.assertNotEqual(self.assertRaises(FlowError, flow.send, b"x").reason, "")
            self.assertIsNone(layer.flow_by_token(flow.token))

    def test_the_listener_that_reaches_the_target(self) -> None:
        layer = self.layer(
            "udp:127.0.0.1:5060", f"udp:{A}:5060", f"udp:{B}:5060", "udp:[::1]:5060", route=lambda host: B
        )
        for host, expected in (
            ("127.0.0.9", "127.0.0.1:5060"),
            ("203.0.113.1", f"{B}:5060"),
            ("::1", "[::1]:5060"),
        ):
            self.assertEqual(layer.flow_to(Target("UDP", host, 5060)).sent_by, expected)

    def test_sized(self) -> None:
        """RFC 3261 section 18.1.1."""
        layer = self.layer()
        udp = Target("UDP", B, 5060, "example.test")
        self.assertIs(layer.sized_target(udp, 1300), udp)
        self.assertEqual(layer.sized_target(udp, 1301), Target("TCP", B, 5060, "example.test"))
        for other in (Target("TCP", B, 5060), Target("TLS", B, 5061)):
            self.assertIs(layer.sized_target(other, 60_000), other)


class StreamFlowTests(LayerTestCase):
    def test_messages_wait_for_the_connection(self) -> None:
        self.layer(f"tcp:{A}:5060")
        peer = self.layer(f"tcp:{B}:5060")
        flow = peer.flow_to(Target("TCP", A, 5060))
        self.assertEqual((flow.transport, flow.reliable, flow.sent_by), ("TCP", True, f"{B}:5060"))
        flow.send(options(1, via=VIA))
        flow.send(options(2, via=VIA))
        self.assertEqual(self.receiver.messages, [])
        self.reactor.advance()
        self.assertEqual(self.receiver.numbers, [1, 2])
        self.assertEqual(flow.local[0], B)
        self.assertEqual(self.receiver.flow.remote, flow.local)

    def test_a_connection_is_used_again_both_ways(self) -> None:
        layer = self.layer(f"tcp:{A}:5060", receiver=Recorder(200))
        peer = self.layer(f"tcp:{B}:5060")
        flow = peer.flow_to(Target("TCP", A, 5060))
        self.assertIs(peer.flow_to(Target("TCP", A, 5060, "example.test")), flow)
        flow.send(options(1, via=VIA))
        self.reactor.advance()
        self.assertIs(peer.flow_to(Target("TCP", A, 5060)), flow)
        back = layer.flow_to(Target("TCP", *flow.local))
        self.assertEqual(layer.connections, 1)
        back.send(options(9, via=VIA))
        self.reactor.advance()
        self.assertEqual(self.receiver.messages[-1][1], flow)
        self.assertIs(layer.flow_by_token(back.token), back)
        self.assertIs(peer.flow_by_token(flow.token), flow)
        self.assertNotEqual(back.token, flow.token)
        self.assertEqual((layer.counters.connections_accepted, peer.counters.connections_opened), (1, 1))

    def test_refused(self) -> None:
        layer = self.layer(f"tcp:{A}:5060")
        flow = layer.flow_to(Target("TCP", B, 5060))
        told = self.closed(flow)
        flow.send(options())
        self.assertEqual(told, [])
        self.reactor.advance()
        self.assertEqual(len(told), 1)
        self.assertIn("refused", told[0])
        self.assertRaises(FlowError, flow.send, b"x")
        self.assertEqual(layer.connections, 0)
        self.assertIsNone(layer.flow_by_token(flow.token))
        self.assertIsNot(layer.flow_to(Target("TCP", B, 5060)), flow)

    def test_no_answer(self) -> None:
        class BlackHole:
            """A wire on which nothing arrives."""

            clock = self.reactor.clock

            def owner(self, sender: object, address: str) -> None:
                return None

        self.reactor.wire = BlackHole()  # type: ignore[assignment]
        flow = self.layer(f"tcp:{A}:5060").flow_to(Target("TCP", B, 5060))
        told = self.closed(flow)
        self.reactor.advance(3.9)
        self.assertEqual(told, [])
        self.reactor.advance(0.2)
        self.assertEqual(told, ["not connected in time"])

    def test_given_up(self) -> None:
        self.layer(f"tcp:{A}:5060")
        layer = self.layer(f"tcp:{B}:5060")
        flow = layer.flow_to(Target("TCP", A, 5060))
        told = self.closed(flow)
        flow.close()
        self.reactor.advance()
        self.assertEqual((told, layer.connections), (["closed by us"], 0))
        self.assertEqual(self.reactor.connections, [])

    def test_the_end_is_told(self) -> None:
        layer = self.layer(f"tcp:{A}:5060")
        peer = self.layer(f"tcp:{B}:5060")
        flow = peer.flow_to(Target("TCP", A, 5060))
        flow.send(options(1, via=VIA))
        self.reactor.advance()
        there, here = self.closed(self.receiver.flow), self.closed(flow)
        flow.close()
        self.reactor.advance()
        self.assertEqual((here, there), (["closed by us"], ["closed by the peer"]))
        self.assertEqual((layer.connections, peer.connections), (0, 0))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        again = peer.flow_to(Target("TCP", A, 5060))
        self.assertIsNot(again, flow)

    def test_limits(self) -> None:
        limits = TransportLimits(max_connections=3)
        layer = self.layer(f"tcp:{A}:5060", limits=limits)
        for port in (1, 2, 3):
            layer.flow_to(Target("TCP", B, port))
        flow = layer.flow_to(Target("TCP", B, 4))
        self.assertEqual(
            self.assertRaises(FlowError, flow.send, b"x").reason, "there are too many connections"
        )

    def test_without_a_listener(self) -> None:
        self.layer(f"tcp:{A}:5060")
        for addresses, expected in (((f"udp:{B}:5070",), f"{B}:5070"), ((), "203.0.113.7")):
            layer = self.layer(*addresses, route=lambda host: "203.0.113.7")
            flow = layer.flow_to(Target("TCP", A, 5060))
            self.assertEqual(flow.sent_by, expected)
            flow.send(options(1, via=VIA))
            self.reactor.advance()
        self.assertEqual(len(self.receiver.messages), 2)

    def test_any_address(self) -> None:
        self.layer(f"tcp:{A}:5060")
        layer = self.layer("tcp:0.0.0.0:5070", route=lambda host: B)
        self.assertEqual(layer.flow_to(Target("TCP", A, 5060)).sent_by, f"{B}:5070")

    def test_requests_of_peers_are_stamped(self) -> None:
        self.layer(f"tcp:{A}:5060")
        flow = self.layer(f"tcp:{B}:5060").flow_to(Target("TCP", A, 5060))
        flow.send(options(1, via="SIP/2.0/TCP phone.test"))
        self.reactor.advance()
        message = self.receiver.messages[0][0]
        assert isinstance(message, Request)
        self.assertEqual((message.via.received, message.via.rport), (B, str(flow.local[1])))


class EndTests(LayerTestCase):
    def test_stop_accepting(self) -> None:
        layer = self.layer(f"tcp:{A}:5060", f"udp:{A}:5060")
        peer = self.layer(f"tcp:{B}:5060", f"udp:{B}:5060")
        open_before = peer.flow_to(Target("TCP", A, 5060))
        open_before.send(options(1, via=VIA))
        self.reactor.advance()
        layer.stop_accepting()
        layer.stop_accepting()
        self.reactor.advance()
        open_before.send(options(2, via=VIA))
        peer.flow_to(Target("UDP", A, 5060)).send(options(3))
        self.reactor.advance()
        self.assertEqual(sorted(self.receiver.numbers), [1, 2, 3])
        open_before.close()
        self.reactor.advance()
        told = self.closed(peer.flow_to(Target("TCP", A, 5060)))
        self.reactor.advance()
        self.assertIn("refused", told[0])

    def test_stop(self) -> None:
        layer = self.layer(f"tcp:{A}:5060", f"udp:{A}:5060")
        peer = self.layer(f"tcp:{B}:5060")
        flow = peer.flow_to(Target("TCP", A, 5060))
        flow.send(options(1, via=VIA))
        self.reactor.advance()
        ours = layer.flow_to(Target("TCP", B, 5060))
        told = self.closed(flow), self.closed(ours)
        self.reactor.result_of(layer.stop(), within=1)
        self.reactor.advance()
        self.assertEqual(told, (["closed by the peer"], ["stopped"]))
        self.assertEqual([port.getHost().host for port in self.reactor.ports], [B])

    def test_a_peer_cannot_keep_us_from_stopping(self) -> None:
        class Deaf(Protocol):
            def connectionMade(self) -> None:
                transport: Any = self.transport
                transport.pauseProducing()

        self.reactor.listenTCP(5060, Factory.forProtocol(Deaf), interface=B)
        layer = self.layer(f"tcp:{A}:5060")
        flow = layer.flow_to(Target("TCP", B, 5060))
        self.reactor.advance()
        for _ in range(100):
            flow.send(bytes(2000))
        self.reactor.advance()
        stopping = layer.stop()
        self.reactor.advance(1.9)
        self.assertEqual(layer.connections, 1)
        self.reactor.result_of(stopping, within=0.3)
        self.assertEqual((layer.connections, flow.reason), (0, "stopped"))

    def test_stop_without_anything(self) -> None:
        self.successResultOf(self.layer().stop())

    def test_it_takes_any_clock(self) -> None:
        layer = TransportLayer(Clock())
        self.assertFalse(layer.is_local(A, 5060))
        with layer.gather():
            self.assertEqual(layer.connections, 0)
