"""Accounts that an API keeps: one GET for one account, answered with its HA1s as JSON, or 404."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.http_headers import Headers
from zope.interface import implementer

from rvoip.users.errors import StoreError, UnusableAccount
from rvoip.users.interfaces import IAccountSource
from rvoip.users.passwords import HA1Set

__all__ = ["HTTPAccounts", "is_template", "read_account"]

ANSWER: Final = 64 * 1024
"""Octets of an answer; a longer one counts as none."""

_PLACE: Final = re.compile(r"\{(user|realm)\}")


class _Account(msgspec.Struct):
    """The JSON of an account; what else it has is not looked at."""

    ha1: dict[str, str]
    enabled: bool = True


_decode: Final = msgspec.json.Decoder(_Account).decode


def is_template(url: str) -> bool:
    """Whether a URL has a place for the user, and has it where it cannot change whom it is sent to."""
    parts = urlsplit(url)
    return "{user}" in parts.path + parts.query and not _PLACE.search(parts.netloc)


def read_account(body: bytes, fill: Callable[[int], bytes] = os.urandom) -> HA1Set | None:
    """The HA1s of `{"ha1": {"MD5": "...", "SHA-256": "...", "SHA-512-256": "..."}, "enabled": true}`.

    None for an account that is not enabled, UnusableAccount for anything else. Hashes may be missing, but
    not all; `fill` is that of `HA1Set.of_known`.
    """
    try:
        account = _decode(body)
        if not account.enabled:
            return None
        found = HA1Set.of_known(account.ha1, fill)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnusableAccount(f"answers what is no account: {error}") from None
    if not account.ha1.keys() & {"MD5", "SHA-256", "SHA-512-256"}:
        raise UnusableAccount("answers an account without any HA1 for MD5, SHA-256 or SHA-512-256")
    return found


class _QuietFactory(_HTTP11ClientFactory):
    noisy = False


class _QuietPool(HTTPConnectionPool):
    _factory = _QuietFactory


class _Body(Protocol):
    """Collects an answer, up to `ANSWER` octets."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.done: Deferred[bytes] = Deferred(lambda _: self._abort())

    def _abort(self) -> None:
        abort = getattr(self.transport, "abortConnection", None)
        if abort is not None:
            abort()

    def dataReceived(self, data: bytes) -> None:
        """Another piece."""
        self._size += len(data)
        if self._size <= ANSWER:
            self._parts.append(data)
        elif not self.done.called:
            self.done.errback(StoreError(f"answers more than {ANSWER} octets"))
            self._abort()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The end of the answer, or what cut it off: then it is no JSON."""
        if not self.done.called:
            self.done.callback(b"".join(self._parts))


@implementer(IAccountSource)
class HTTPAccounts:
    """Asks `template`, a URL with `{user}` and `{realm}` in it; follows no redirection.

    `connections` are kept; `trust` is what certificates are checked against.
    """

    def __init__(
        self, reactor: Any, template: str, token: str, timeout: float, connections: int, trust: Any
    ) -> None:
        self._template = template
        self._headers = Headers({b"Accept": [b"application/json"], b"User-Agent": [b"rvoip"]})
        if token:
            self._headers.setRawHeaders(b"Authorization", [b"Bearer " + token.encode()])
        self._pool = _QuietPool(reactor)
        self._pool.maxPersistentPerHost = connections
        self._agent = Agent(
            reactor,
            contextFactory=BrowserLikePolicyForHTTPS(trust),
            connectTimeout=timeout,
            pool=self._pool,
        )

    def url(self, user: str, realm: str) -> bytes:
        """Where an account is asked for."""
        values = {"user": quote(user, safe=""), "realm": quote(realm, safe="")}
        return _PLACE.sub(lambda place: values[place[1]], self._template).encode()

    def find(self, user: str, realm: str) -> Deferred[HA1Set | None]:
        """See `IAccountSource`."""
        if user in (".", ".."):  # which a path would not end with, but turn back at
            return succeed(None)
        asked: Deferred[Any] = self._agent.request(b"GET", self.url(user, realm), self._headers.copy())
        return asked.addCallbacks(self._answered, _no_answer)

    def _answered(self, response: Any) -> Deferred[HA1Set | None]:
        body = _Body()
        status: int = response.code
        response.deliverBody(body)

        def read(text: bytes) -> HA1Set | None:
            if status == 404:
                return None
            if status == 200:
                return read_account(text)
            if 300 <= status < 400:
                raise StoreError(f"answers {status}; redirections are not followed")
            if status in (401, 403):
                raise StoreError(f"answers {status}: see the token in [users.http]")
            raise StoreError(f"answers {status}")

        return body.done.addCallback(read)

    def close(self) -> None:
        """See `IAccountSource`."""
        self._pool.closeCachedConnections()


def _no_answer(failure: Failure) -> Any:
    """One line in place of the several that the reasons of TLS and connections are."""
    if failure.check(StoreError):
        return failure
    reasons = getattr(failure.value, "reasons", None)
    if reasons:
        failure = reasons[0]
    return Failure(StoreError(" ".join(failure.getErrorMessage().split()) or str(failure.type)))
