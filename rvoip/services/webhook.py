"""Events to a web service: JSON by HTTP POST, signed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from rvoip.common.errors import ConfigError
from rvoip.services.config import Events
from rvoip.services.event_sink import EventsRefused, IEventSink

__all__ = ["HTTPPost", "HTTPSink", "ServiceAway", "check_webhook", "signature"]

_CONNECT: Final = 8.0
"""Seconds that a connection may take."""

_ANSWER: Final = 64 * 1024
"""Octets of an answer that are waited for."""

_AGAIN: Final = frozenset((408, 425, 429))
"""Client errors that pass."""


class ServiceAway(Exception):
    """The web service is in trouble: the batch is sent again."""


_encode: Final = msgspec.json.Encoder().encode


def check_webhook(url: str, table: Events, file: str) -> tuple[str, str, str]:
    """URL, token and secret; `ConfigError` for what no request can have."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not _is_plain(url) or parts.username is not None or parts.fragment:
        reason = "is no URL of a web service, without user and fragment, and none of a broker"
        raise ConfigError(file, "events.url", reason, "write http://, https://, mqtt://, amqp:// or nats://")
    if not _is_plain(table.token):
        raise ConfigError(file, "events.token", "may have no blanks and nothing but ASCII")
    return url, table.token, table.secret


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def signature(secret: str, when: int, body: bytes) -> str:
    """What stands in Rvoip-Signature: HMAC-SHA256 of `when`, a full stop and the body, in hexadecimal."""
    digest = hmac.new(secret.encode(), b"%d." % when + body, hashlib.sha256).hexdigest()
    return f"t={when},sha256={digest}"


class _QuietFactory(_HTTP11ClientFactory):
    noisy = False


class _QuietPool(HTTPConnectionPool):
    _factory = _QuietFactory


@implementer(IBodyProducer)
class _Body:
    """A body that is in memory."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write all of it."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is written already."""

    def resumeProducing(self) -> None:
        """It is written already."""

    def stopProducing(self) -> None:
        """It is written already."""


class _Answer(Protocol):
    """Reads an answer to its end, so that the connection can be used again; a long one costs it."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._left = _ANSWER
        self.done: Deferred[int] = Deferred(lambda _: self._abort())

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Nobody wants to know."""
        self._left -= len(data)
        if self._left < 0:
            self._abort()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The status has come, whatever became of the rest."""
        if not self.done.called:
            self.done.callback(self._status)


class HTTPPost:
    """Posts JSON to one URL, by one connection that is kept. It follows no redirection."""

    def __init__(self, reactor: Any, url: str, token: str, secret: str, wall: Callable[[], float]) -> None:
        self._url = url.encode()
        self._token = token
        self._secret = secret
        self._wall = wall
        self._pool = _QuietPool(reactor)
        self._pool.maxPersistentPerHost = 1
        self._agent = Agent(reactor, connectTimeout=_CONNECT, pool=self._pool)

    def __call__(self, body: bytes) -> Deferred[int]:
        """Fires with the status of the answer; fails when there is none."""
        headers = Headers({b"Content-Type": [b"application/json"], b"User-Agent": [b"rvoip"]})
        if self._token:
            headers.setRawHeaders(b"Authorization", [b"Bearer " + self._token.encode()])
        if self._secret:
            signed = signature(self._secret, int(self._wall()), body)
            headers.setRawHeaders(b"Rvoip-Signature", [signed.encode()])
        return self._agent.request(b"POST", self._url, headers, _Body(body)).addCallback(self._answered)

    def _answered(self, response: Any) -> Deferred[int]:
        answer = _Answer(response.code)
        response.deliverBody(answer)
        return answer.done

    def close(self) -> Deferred[None]:
        """Close the connection."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


@implementer(IEventSink)
class HTTPSink:
    """Posts batches to a web service: `post` gives the status of the answer.

    Any 2xx takes a batch; no answer, 5xx, 408, 425 and 429 are for later, any other answer refuses it.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        token: str = "",
        secret: str = "",
        wall: Callable[[], float] = lambda: 0.0,
        post: Callable[[bytes], Deferred[int]] | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self._post = HTTPPost(reactor, url, token, secret, wall) if post is None else post

    def send(self, events: Sequence[dict[str, Any]]) -> Deferred[None]:
        """See `IEventSink`."""
        return self._post(_encode({"events": events})).addCallback(self._answered)

    def _answered(self, status: int) -> None:
        if 200 <= status < 300:
            return
        if status >= 500 or status in _AGAIN:
            raise ServiceAway(f"it answers {status}")
        raise EventsRefused(f"it refuses with {status}")

    def close(self) -> Deferred[None] | None:
        """See `IEventSink`."""
        close = getattr(self._post, "close", None)
        return None if close is None else close()
