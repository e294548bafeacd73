"""Events to a broker of messages, MQTT or NATS, by one connection that is made again when it is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.common.errors import ConfigError
from rvoip.services.event_sink import IEventSink
from rvoip.services.mqtt import KEEP_ALIVE, MQTTPublisher
from rvoip.services.nats import NATSPublisher

__all__ = ["BrokerAddress", "BrokerSink", "broker_address", "mqtt_sink", "nats_sink"]

CONNECT_PATIENCE: Final = 8.0
"""Seconds that a connection may take: less than a batch has."""

_encode: Final = msgspec.json.Encoder().encode

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "amqp": 5672, "amqps": 5671, "nats": 4222, "nats+tls": 4222}


class BrokerAddress(msgspec.Struct, frozen=True):
    """Where a broker is, and who we are to it."""

    scheme: str
    host: str
    port: int
    username: str
    password: str
    path: str

    @property
    def is_secure(self) -> bool:
        """Whether it is reached by TLS."""
        return self.scheme in ("mqtts", "amqps", "nats+tls")

    @property
    def name(self) -> str:
        """The address as log lines have it, without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    def endpoint(self, reactor: Any) -> Any:
        """What connects to it; the certificate must be one of its host, by an authority of the system's."""
        made = HostnameEndpoint(reactor, self.host, self.port, timeout=CONNECT_PATIENCE)
        return wrapClientTLS(optionsForClientTLS(self.host), made) if self.is_secure else made


def broker_address(url: str, file: str) -> BrokerAddress:
    """The address in ``SCHEME://[USER[:PASSWORD]@]HOST[:PORT][/PATH]``; `ConfigError` for another one."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    host = parts.hostname or ""
    fits = host and host.isascii() and host.isprintable() and " " not in host
    if not fits or parts.query or parts.fragment or (parts.path.strip("/") and parts.scheme[:4] != "amqp"):
        raise ConfigError(file, "events.url", "is no URL of a broker", "write it as in mqtt://HOST:PORT")
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    return BrokerAddress(parts.scheme, host, port, username, password, parts.path)


class _Link(Protocol):
    """A connection, and the batch that waits for it."""

    def __init__(self, machine: Any, lost: Callable[[_Link, Failure], object]) -> None:
        self.machine = machine
        self._lost = lost
        self._waiting: Deferred[None] | None = None
        self._messages: Sequence[tuple[str, bytes]] | None = None
        self._loop = LoopingCall(self._ping)

    def connectionMade(self) -> None:
        """Introduce ourselves."""
        self._flush()

    def send(self, messages: Sequence[tuple[str, bytes]], clock: Any) -> Deferred[None]:
        """Fires when all were taken."""
        self._waiting = Deferred(self._cancelled)
        self._messages = messages
        if not self._loop.running:
            self._loop.clock = clock
            self._loop.start(KEEP_ALIVE / 2, now=False)
        self._step()
        return self._waiting

    def _cancelled(self, waiting: Deferred[None]) -> None:
        """It takes too long: nobody knows what this connection is at."""
        self._waiting = None
        self.abort()

    def dataReceived(self, data: bytes) -> None:
        """Feed the machine."""
        try:
            self.machine.receive(data)
        except Exception:
            self._end(Failure())
            self.abort()
            return
        self._step()

    def _step(self) -> None:
        if self._messages is not None and self.machine.ready:
            messages, self._messages = self._messages, None
            self.machine.publish(messages)
        self._flush()
        if self._waiting is not None and self._messages is None and self.machine.settled:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    def _flush(self) -> None:
        data = self.machine.take_outbox()
        if data and self.transport is not None:
            self.transport.write(data)

    def _ping(self) -> None:
        if self.machine.ready:
            self.machine.ping()
            self._flush()

    def close(self) -> None:
        """Say goodbye."""
        self.machine.disconnect()
        self._flush()
        if self.transport is not None:
            self.transport.loseConnection()

    def abort(self) -> None:
        """It is of no use any more."""
        self._lost(self, Failure(ConnectionDone()))
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]  # TCP and TLS have it

    def connectionLost(self, reason: Failure | None = None) -> None:
        """What waits is to be sent again."""
        self._end(reason or Failure(ConnectionDone()))

    def _end(self, reason: Failure) -> None:
        if self._loop.running:
            self._loop.stop()
        waiting, self._waiting = self._waiting, None
        self._lost(self, reason)
        if waiting is not None:
            waiting.errback(reason)


@implementer(IEventSink)
class BrokerSink:
    """Publishes each event as a message of its own, under a name that its kind makes.

    `make` makes the machine of a connection, `named` the topic or subject of a kind.
    """

    def __init__(
        self, reactor: Any, address: BrokerAddress, make: Callable[[], Any], named: Callable[[str], str]
    ) -> None:
        self.name = address.name
        self._reactor = reactor
        self._address = address
        self._make = make
        self._named = named
        self._link: _Link | None = None

    def send(self, events: Sequence[dict[str, Any]]) -> Deferred[None]:
        """See `IEventSink`."""
        messages = [(self._named(event["kind"]), _encode(event)) for event in events]
        if self._link is not None:
            return self._link.send(messages, self._reactor)
        factory = Factory.forProtocol(lambda: _Link(self._make(), self._lost))
        factory.noisy = False
        connecting: Deferred[Any] = self._address.endpoint(self._reactor).connect(factory)
        return connecting.addCallback(self._connected, messages)

    def _connected(self, link: Any, messages: Sequence[tuple[str, bytes]]) -> Deferred[None]:
        made: _Link = getattr(link, "wrappedProtocol", link)
        self._link = made
        return made.send(messages, self._reactor)

    def _lost(self, link: _Link, reason: Failure) -> None:
        if link is self._link:
            self._link = None

    def close(self) -> None:
        """See `IEventSink`."""
        link, self._link = self._link, None
        if link is not None:
            link.close()


def mqtt_sink(reactor: Any, address: BrokerAddress, topic: str, client_id: str) -> BrokerSink:
    """`topic` and the kind make the topic: rvoip/call/ended."""

    def make() -> MQTTPublisher:
        return MQTTPublisher(client_id, address.username, address.password)

    return BrokerSink(reactor, address, make, lambda kind: f"{topic}/{kind.replace('.', '/')}")


def nats_sink(reactor: Any, address: BrokerAddress, topic: str, client_id: str) -> BrokerSink:
    """`topic` and the kind make the subject: rvoip.call.ended."""

    def make() -> NATSPublisher:
        return NATSPublisher(client_id, address.username, address.password)

    return BrokerSink(reactor, address, make, lambda kind: f"{topic}.{kind}")
