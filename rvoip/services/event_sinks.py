"""The sinks that `[events]` names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from zope.interface.verify import verifyObject

from rvoip.common.errors import ConfigError
from rvoip.services.broker import broker_address, mqtt_sink, nats_sink
from rvoip.services.config import Events
from rvoip.services.event_sink import IEventSink
from rvoip.services.named import imported, making
from rvoip.services.webhook import HTTPSink, check_webhook

__all__ = ["event_sinks"]

_BROKERS: Final = ("mqtt", "mqtts", "amqp", "amqps", "nats", "nats+tls")


def event_sinks(
    reactor: Any, table: Events, file: str, wall: Callable[[], float], new_id: Callable[[], str]
) -> list[Any]:
    """Each an `IEventSink`; `ConfigError` for what is none."""
    urls = [table.url] if isinstance(table.url, str) else table.url
    sinks = [_of_url(reactor, url, table, file, wall, new_id) for url in urls if url]
    if table.sink:
        found = imported(table.sink, file, "events.sink")
        with making(table.sink, file, "events.sink"):
            made = found(reactor, table)
            verifyObject(IEventSink, made)
        sinks.append(made)
    if not sinks:
        raise ConfigError(file, "events.url", "is missing", "name a url or a sink")
    names = [sink.name for sink in sinks]
    if len(set(names)) < len(names):
        raise ConfigError(file, "events.url", "names one twice", "name each once")
    return sinks


def _of_url(
    reactor: Any,
    url: str,
    table: Events,
    file: str,
    wall: Callable[[], float],
    new_id: Callable[[], str],
) -> Any:
    scheme = url.partition(":")[0].lower()
    if scheme not in _BROKERS:
        return HTTPSink(reactor, *check_webhook(url, table, file), wall)
    address = broker_address(url, file)
    topic = table.topic
    plain = topic.isascii() and topic.isprintable() and not set(topic) & set(" +#*>")
    if not plain or not topic or len(topic) > 200:
        raise ConfigError(file, "events.topic", f"{topic!r} is no name of a topic")
    client_id = f"rvoip{new_id()}"
    if scheme.startswith("mqtt"):
        return mqtt_sink(reactor, address, topic, client_id)
    if scheme.startswith("nats"):
        return nats_sink(reactor, address, topic, client_id)
    try:
        from rvoip.services.amqp import AMQPSink

        return AMQPSink(reactor, address, topic)
    except ImportError:
        raise ConfigError(file, "events.url", "AMQP needs pika", "pip install 'rvoip[amqp]'") from None
