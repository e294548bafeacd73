"""What is said to brokers of messages, octet by octet, and what of their answers counts."""

from __future__ import annotations

import json
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rvoip.common.errors import ConfigError
from rvoip.services.amqp import AMQPSink
from rvoip.services.broker import BrokerSink, broker_address, mqtt_sink, nats_sink
from rvoip.services.config import Events
from rvoip.services.event_sink import IEventSink
from rvoip.services.event_sinks import event_sinks
from rvoip.services.mqtt import MQTTError, MQTTPublisher
from rvoip.services.nats import NATSError, NATSPublisher

ADDRESS = "127.0.66.9"
CONNACK = bytes([0x20, 2, 0, 0])
INFO = b'INFO {"server_id": "x"}\r\n'


@implementer(IEventSink)
class OwnSink:
    """A sink of an operator's."""

    name = "own"

    def __init__(self, reactor: Any, table: Events) -> None:
        self.topic = table.topic

    def send(self, events: Any) -> Deferred[None]:
        return succeed(None)

    def close(self) -> None:
        return None


class NoSink:
    name = "none"

    def __init__(self, reactor: Any, table: Events) -> None:
        pass


class MQTTTests(SynchronousTestCase):
    def test_connect(self) -> None:
        machine = MQTTPublisher("rvoip1", "me", "pw")
        self.assertEqual(
            machine.take_outbox(), b"\x10\x1a\x00\x04MQTT\x04\xc2\x00\x1e\x00\x06rvoip1\x00\x02me\x00\x02pw"
        )
        self.assertEqual(MQTTPublisher("a").take_outbox(), b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x1e\x00\x01a")
        self.assertFalse(machine.settled)
        machine.receive(CONNACK)
        self.assertTrue(machine.settled)

    def test_publish(self) -> None:
        machine = MQTTPublisher("a")
        machine.take_outbox()
        machine.receive(CONNACK)
        machine.publish([("t/1", b"x" * 200), ("t/2", b"y")])
        self.assertEqual(
            machine.take_outbox(),
            b"\x32\xcf\x01\x00\x03t/1\x00\x01" + b"x" * 200 + b"\x32\x08\x00\x03t/2\x00\x02y",
        )
        for octet in bytes([0x40, 2, 0, 2, 0xD0, 0, 0x40, 2, 0, 7]):
            machine.receive(bytes([octet]))
        self.assertFalse(machine.settled)
        machine.receive(bytes([0x40, 2, 0, 1]))
        self.assertTrue(machine.settled)
        machine.ping()
        machine.disconnect()
        self.assertEqual(machine.take_outbox(), b"\xc0\x00\xe0\x00")

    def test_numbers_go_round(self) -> None:
        machine = MQTTPublisher("a")
        machine.receive(CONNACK)
        for number in range(1, 65537):
            machine.publish([("t", b"")])
            machine.take_outbox()
            machine.receive(b"\x40\x02" + ((number - 1) % 65535 + 1).to_bytes(2, "big"))
            assert machine.settled, number

    def test_refused(self) -> None:
        for data, said in (
            (bytes([0x20, 2, 0, 5]), "we may not connect"),
            (bytes([0x20, 2, 0, 99]), "it refuses the connection with 99"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak MQTT"),
            (b"\x20\xff\xff\xff\xff\xff", "it does not speak MQTT"),
            (CONNACK + bytes([0x30, 3, 0, 1, 0x74]), "packet of kind 3"),
        ):
            machine = MQTTPublisher("a")
            with self.assertRaises(MQTTError) as caught:
                machine.receive(data)
            self.assertIn(said, str(caught.exception))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(max_size=200))
    def test_any_octets(self, data: bytes) -> None:
        for head, machine, error in (
            (CONNACK, MQTTPublisher("a"), MQTTError),
            (INFO, NATSPublisher("a"), NATSError),
        ):
            try:
                machine.receive(head)
                machine.receive(data)
            except error:
                continue


class NATSTests(SynchronousTestCase):
    def test_publish(self) -> None:
        machine = NATSPublisher("rvoip1", "me", "pw")
        self.assertEqual(machine.take_outbox(), b"")
        machine.receive(INFO[:5])
        machine.receive(INFO[5:])
        connect, ping, rest = machine.take_outbox().split(b"\r\n")
        self.assertEqual((connect[:8], ping, rest), (b"CONNECT ", b"PING", b""))
        options = json.loads(connect[8:])
        self.assertEqual((options["user"], options["pass"], options["verbose"]), ("me", "pw", False))
        self.assertFalse(machine.ready)
        machine.receive(b"PONG\r\nPING\r\n")
        self.assertEqual((machine.settled, machine.take_outbox()), (True, b"PONG\r\n"))
        machine.publish([("a.b", b"{}"), ("a.c", b"")])
        self.assertEqual(machine.take_outbox(), b"PUB a.b 2\r\n{}\r\nPUB a.c 0\r\n\r\nPING\r\n")
        self.assertFalse(machine.settled)
        machine.receive(b"+OK\r\nINFO {}\r\nPONG\r\n")
        self.assertTrue(machine.settled)

    def test_a_token(self) -> None:
        machine = NATSPublisher("rvoip1", "secret")
        machine.receive(INFO)
        self.assertIn(b'"auth_token":"secret"', machine.take_outbox())

    def test_refused(self) -> None:
        for data, said in (
            (INFO + b"-ERR 'Authorization Violation'\r\n", "Authorization Violation"),
            (b"SSH-2.0-x\r\n", "does not speak NATS"),
            (b"x" * 70_000, "does not speak NATS"),
            (INFO + b"MSG a 1 0\r\n", "for subscribers"),
        ):
            with self.assertRaises(NATSError) as caught:
                NATSPublisher("a").receive(data)
            self.assertIn(said, str(caught.exception))


class ConfigTests(SynchronousTestCase):
    def sinks(self, **table: Any) -> list[Any]:
        return event_sinks(reactor, Events(**table), "f.toml", lambda: 0.0, lambda: "1")

    def test_each_kind(self) -> None:
        urls = [
            "http://hook.example.test/x?token=secret",
            "mqtt://me:secret@[::1]",
            "mqtts://broker.example.test:1234",
            "amqps://me:secret@broker.example.test/vhost",
            "nats://secret@broker.example.test",
        ]
        made = self.sinks(url=urls, sink="rvoip.test.services.test_brokers.OwnSink")
        self.assertEqual(
            [one.name for one in made],
            [
                "http://hook.example.test/x",
                "mqtt://[::1]:1883",
                "mqtts://broker.example.test:1234",
                "amqps://broker.example.test:5671/vhost",
                "nats://broker.example.test:4222",
                "own",
            ],
        )
        for one in made:
            verifyObject(IEventSink, one)
        self.assertIsInstance(made[1], BrokerSink)
        self.assertIsInstance(made[3], AMQPSink)

    def test_mistakes(self) -> None:
        for table, key in (
            ({}, "events.url"),
            ({"url": []}, "events.url"),
            ({"url": "kafka://x"}, "events.url"),
            ({"url": "mqtt://"}, "events.url"),
            ({"url": "mqtt://a:b:c"}, "events.url"),
            ({"url": "mqtt://a:99999"}, "events.url"),
            ({"url": "mqtt://a/topic"}, "events.url"),
            ({"url": "nats://a?x"}, "events.url"),
            ({"url": ["nats://a", "nats://b@a:4222"]}, "events.url"),
            ({"url": "mqtt://a", "topic": "a/#"}, "events.topic"),
            ({"url": "mqtt://a", "topic": ""}, "events.topic"),
            ({"sink": "nowhere.Sink"}, "events.sink"),
            ({"sink": "rvoip.test.services.test_brokers.NoSink"}, "events.sink"),
        ):
            with self.assertRaises(ConfigError) as caught:
                self.sinks(**table)
            self.assertEqual(caught.exception.key, key, table)


class Broker(Protocol):
    """Answers CONNECT, and each PUBLISH when it is told to."""

    silent = False
    is_over = False

    def connectionMade(self) -> None:
        links: Any = self.factory
        links.links.append(self)
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if data[:1] == b"\x10" and not self.silent:
            assert self.transport is not None
            self.transport.write(CONNACK)

    def connectionLost(self, reason: Any = None) -> None:
        self.is_over = True

    def acknowledge(self, *numbers: int) -> None:
        assert self.transport is not None
        self.transport.write(b"".join(b"\x40\x02" + number.to_bytes(2, "big") for number in numbers))


class LinkTests(TestCase):
    """Over real connections."""

    timeout = 10

    def setUp(self) -> None:
        made: Any = Factory.forProtocol(Broker)
        made.links = []
        self.factory: Any = made
        self.port: Any = cast(Any, reactor).listenTCP(0, self.factory, interface=ADDRESS)
        self.addCleanup(self.port.stopListening)
        address = broker_address(f"mqtt://{ADDRESS}:{self.port.getHost().port}", "f.toml")
        self.sink = mqtt_sink(reactor, address, "rvoip", "rvoip1")
        self.addCleanup(self.sink.close)
        self.assertIn("nats", nats_sink(reactor, broker_address("nats://a", "f.toml"), "a", "b").name)

    @property
    def links(self) -> list[Broker]:
        found: list[Broker] = self.factory.links
        return found

    async def until(self, condition: Any) -> None:
        while not condition():
            waiting: Deferred[None] = Deferred()
            cast(Any, reactor).callLater(0.005, waiting.callback, None)
            await waiting

    async def test_taken_when_all_are_acknowledged(self) -> None:
        sending = self.sink.send([{"kind": "call.ended"}, {"kind": "call.answered"}])
        await self.until(lambda: self.links and b"rvoip/call/answered" in self.links[0].data)
        self.links[0].acknowledge(2)
        await self.until(lambda: True)
        self.assertNoResult(sending)
        self.links[0].acknowledge(1)
        await sending
        again = self.sink.send([{"kind": "call.ended"}])
        await self.until(lambda: self.links[0].data.count(b"rvoip/call/ended") == 2)
        self.links[0].acknowledge(3)
        await again
        self.assertEqual(len(self.links), 1, "one connection for both")

    async def test_lost_and_made_again(self) -> None:
        sending = self.sink.send([{"kind": "call.ended"}])
        await self.until(lambda: self.links and b"rvoip/call/ended" in self.links[0].data)
        transport: Any = self.links[0].transport
        transport.abortConnection()
        with self.assertRaises(Exception):  # noqa: B017  # whatever the network says
            await sending
        sending = self.sink.send([{"kind": "call.ended"}])
        await self.until(lambda: len(self.links) == 2 and b"rvoip/call/ended" in self.links[1].data)
        self.links[1].acknowledge(1)
        await sending

    async def test_one_that_says_nothing_is_left(self) -> None:
        self.patch(Broker, "silent", True)
        sending = self.sink.send([{"kind": "call.ended"}])
        await self.until(lambda: self.links and self.links[0].data)
        sending.cancel()
        with self.assertRaises(Exception):  # noqa: B017  # cancelled
            await sending
        await self.until(lambda: self.links[0].is_over)
