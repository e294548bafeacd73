"""Events to a RabbitMQ or another broker of AMQP 0-9-1, each confirmed by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory
from zope.interface import implementer

from rvoip.services.broker import BrokerAddress
from rvoip.services.event_sink import IEventSink

__all__ = ["AMQPSink"]

_HEARTBEAT: Final = 30
"""Seconds."""

_encode: Final = msgspec.json.Encoder().encode


@implementer(IEventSink)
class AMQPSink:
    """Publishes to a durable topic exchange, which is made if it is not there, with the kind as routing key.

    Messages are persistent; an event is taken when the broker has confirmed it. ImportError without pika.
    """

    def __init__(self, reactor: Any, address: BrokerAddress, exchange: str) -> None:
        import pika
        from pika.adapters.twisted_connection import TwistedProtocolConnection

        self.name = address.name
        self._reactor = reactor
        self._address = address
        self._exchange = exchange
        self._properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
        credentials = pika.PlainCredentials(address.username or "guest", address.password or "guest")
        host = unquote(address.path[1:]) if len(address.path) > 1 else "/"
        parameters = pika.ConnectionParameters(
            virtual_host=host, credentials=credentials, heartbeat=_HEARTBEAT
        )
        self._make = lambda: TwistedProtocolConnection(parameters, custom_reactor=reactor)
        self._connection: Any = None
        self._channel: Any = None

    def send(self, events: Sequence[dict[str, Any]]) -> Deferred[None]:
        """See `IEventSink`."""
        sending: Deferred[None] = Deferred.fromCoroutine(self._send(events))
        return sending.addErrback(self._failed)

    def _failed(self, failure: Any) -> Any:
        """Begin anew: of a connection that did not confirm nobody knows what it is at."""
        self._drop()
        return failure

    async def _send(self, events: Sequence[dict[str, Any]]) -> None:
        if self._connection is None or self._connection.is_closed:
            await self._connect()
        confirmed = [
            self._channel.basic_publish(self._exchange, event["kind"], _encode(event), self._properties)
            for event in events
        ]
        try:
            await gatherResults(confirmed, consumeErrors=True)
        except Exception as error:
            raise getattr(error, "subFailure").value from None  # noqa: B009

    async def _connect(self) -> None:
        factory = Factory.forProtocol(self._make)
        factory.noisy = False
        link = await self._address.endpoint(self._reactor).connect(factory)
        connection = getattr(link, "wrappedProtocol", link)
        self._connection = connection
        await connection.ready
        connection.closed.addErrback(lambda failure: None)
        channel = await connection.channel()
        await channel.exchange_declare(self._exchange, exchange_type="topic", durable=True)
        await channel.confirm_delivery()
        self._channel = channel

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.transport is not None:
            connection.transport.abortConnection()

    async def _close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and not connection.is_closed and connection.is_open:
            closed = connection.close()
            if closed is not None:
                closed.addTimeout(1.0, self._reactor, onTimeoutCancel=lambda *_: None)
                await closed

    def close(self) -> Deferred[None]:
        """See `IEventSink`."""
        return Deferred.fromCoroutine(self._close())
