"""Accounts that a directory keeps: one LDAP search for one account (RFC 4511), over one connection.

ldaptor speaks the protocol: it is made of Twisted's parts, so that a directory that does not answer holds no
thread, and its TLS is checked as that of every other connection.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
from ldaptor._encoder import to_bytes
from ldaptor.ldapfilter import InvalidLDAPFilter, parseFilter
from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap.ldapclient import LDAPClient
from twisted.internet import ssl
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.users.errors import AccountError, StoreError, UnusableAccount
from rvoip.users.interfaces import IAccountSource
from rvoip.users.passwords import HA1Set, ha1_set

__all__ = ["Directory", "DirectorySettings", "check_filter", "escaped", "read_entry"]

LARGEST: Final = 1 << 20
"""Octets of an answer that has not come to its end; a longer one ends the connection."""

_SUCCESS: Final = 0
_SIZE_LIMIT: Final = 4
_NO_SUCH_OBJECT: Final = 32
_INVALID_CREDENTIALS: Final = 49

_PLACE: Final = re.compile(r"\{(user|realm)\}")


@attrs.frozen
class DirectorySettings:
    """Where a directory is, and what to ask it; `hashes` are attributes by the name of the algorithm."""

    host: str
    port: int
    # "ldaps", "start" for StartTLS, or "" for none.
    tls: str
    base: str
    filter: str
    bind_dn: str
    password: str = attrs.field(repr=False)
    hashes: Mapping[str, str]
    clear_password: str
    timeout: float


def escaped(text: str) -> str:
    """A value as it stands in a filter: whatever it holds, it stays a value (RFC 4515 section 3).

    Characters beyond ASCII mean nothing there and stay: ldaptor would take the escapes of their octets for
    characters.
    """
    return "".join([one if one.isalnum() or not one.isascii() else f"\\{ord(one):02x}" for one in text])


def check_filter(template: str) -> None:
    """ValueError, one line, for what is no filter with a place for the user."""
    if "{user}" not in template:
        raise ValueError("has no {user} in it")
    try:
        parseFilter(filled(template, "alice", "example.test"))
    except (InvalidLDAPFilter, ValueError):
        raise ValueError("is no LDAP filter") from None


def filled(template: str, user: str, realm: str) -> str:
    """The filter for one account."""
    values = {"user": escaped(user), "realm": escaped(realm)}
    return _PLACE.sub(lambda place: values[place[1]], template)


def read_entry(
    entry: Mapping[str, Sequence[bytes]],
    settings: DirectorySettings,
    username: str,
    realm: str,
    fill: Callable[[int], bytes] = os.urandom,
) -> HA1Set | None:
    """The HA1s in an entry's attributes (by their names in lower case); UnusableAccount for unfit ones.

    None for an entry without any, which is no account of a phone. `fill` is that of `HA1Set.of_known`.
    """
    try:
        if settings.clear_password:
            passwords = entry.get(settings.clear_password.lower(), ())
            if len(passwords) == 1:
                return ha1_set(username, realm, passwords[0].decode())
        known = {}
        for algorithm, attribute in settings.hashes.items():
            values = entry.get(attribute.lower(), ())
            if len(values) == 1:
                known[algorithm] = values[0].decode().strip()
        return HA1Set.of_known(known, fill) if known else None
    except (ValueError, AccountError) as error:
        raise UnusableAccount(f"an entry is no account: {error}") from None


@implementer(IHandshakeListener)
class _Client(LDAPClient):  # type: ignore[misc]
    """One connection; told when its TLS is there, and what it said last."""

    def __init__(self) -> None:
        super().__init__()
        self.secured: Deferred[None] = Deferred()
        self.lost = False

    def dataReceived(self, recd: bytes) -> None:
        """Take another piece, within bounds; what is no LDAP ends the connection."""
        try:
            super().dataReceived(recd)
        except Exception:
            self.transport.abortConnection()
            return
        if len(self.buffer) > LARGEST:
            self.transport.abortConnection()

    def unsolicitedNotification(self, msg: object) -> None:
        """The server is about to close (RFC 4511 section 4.4.1), and does so itself."""

    def handshakeCompleted(self) -> None:
        """TLS is there, and the certificate is the right one."""
        if not self.secured.called:
            self.secured.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        """Whoever waits for an answer hears of it."""
        self.lost = True
        super().connectionLost(reason)
        if not self.secured.called:
            self.secured.addErrback(lambda _: None)
            self.secured.errback(reason)


@implementer(IAccountSource)
class Directory:
    """Asks a directory, over one connection that is made when it is needed.

    `trust` is what its certificate is checked against, which must be for its host.
    """

    def __init__(self, reactor: Any, settings: DirectorySettings, trust: Any) -> None:
        self._reactor = reactor
        self._settings = settings
        self._trust = trust
        self._client: _Client | None = None
        self._connecting: Deferred[_Client] | None = None
        self._waiting: list[Deferred[_Client]] = []

    def find(self, user: str, realm: str) -> Deferred[HA1Set | None]:
        """See `IAccountSource`."""
        return self._connected().addCallback(self._search, user, realm).addErrback(_one_line)

    def close(self) -> None:
        """See `IAccountSource`."""
        if self._connecting is not None:
            self._connecting.cancel()
        client, self._client = self._client, None
        if client is not None and not client.lost:
            client.transport.abortConnection()

    # The connection

    def _connected(self) -> Deferred[_Client]:
        if self._client is not None and not self._client.lost:
            return succeed(self._client)
        waiting: Deferred[_Client] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        if self._connecting is None:
            self._connecting = Deferred.fromCoroutine(self._connect())
            self._connecting.addTimeout(self._settings.timeout, self._reactor)
            self._connecting.addBoth(self._made)
        return waiting

    def _made(self, result: _Client | Failure) -> None:
        self._connecting = None
        if not isinstance(result, Failure):
            self._client = result
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if isinstance(result, Failure):
                one.errback(result)
            else:
                one.callback(result)

    async def _connect(self) -> _Client:
        settings = self._settings
        options = ssl.optionsForClientTLS(settings.host, trustRoot=self._trust)
        endpoint: Any = HostnameEndpoint(
            self._reactor, settings.host, settings.port, timeout=settings.timeout
        )
        if settings.tls == "ldaps":
            endpoint = wrapClientTLS(options, endpoint)
        client: _Client = await connectProtocol(endpoint, _Client())
        try:
            if settings.tls == "start":
                answer = await client.send(pureldap.LDAPStartTLSRequest())
                if answer.resultCode != _SUCCESS:
                    raise StoreError(f"refuses StartTLS with {_said(answer)}")
                client.transport.startTLS(options)
            if settings.tls:
                await client.secured
            if settings.bind_dn:
                request = pureldap.LDAPBindRequest(dn=settings.bind_dn, auth=settings.password)
                answer = await client.send(request)
                if answer.resultCode == _INVALID_CREDENTIALS:
                    raise StoreError("refuses bind_dn and its password in [users.ldap]")
                if answer.resultCode != _SUCCESS:
                    raise StoreError(f"refuses the bind with {_said(answer)}")
        except BaseException:
            client.transport.abortConnection()
            raise
        return client

    # A search

    def _search(self, client: _Client, user: str, realm: str) -> Deferred[HA1Set | None]:
        settings = self._settings
        # A phone may name itself in full; in the directory it has the name alone.
        name = user.removesuffix(f"@{realm}")
        attributes = [*settings.hashes.values(), settings.clear_password]
        request = pureldap.LDAPSearchRequest(
            baseObject=settings.base,
            scope=pureldap.LDAP_SCOPE_wholeSubtree,
            derefAliases=pureldap.LDAP_DEREF_neverDerefAliases,
            sizeLimit=2,
            timeLimit=max(1, round(settings.timeout)),
            filter=parseFilter(filled(settings.filter, name, realm)),
            attributes=[to_bytes(one) for one in attributes if one],
        )
        entries: list[dict[str, list[bytes]]] = []
        found: Deferred[HA1Set | None] = Deferred()

        def heard(answer: Any) -> bool:
            if isinstance(answer, pureldap.LDAPSearchResultEntry):
                if len(entries) < 2:
                    entries.append(_attributes(answer))
                return False
            if isinstance(answer, pureldap.LDAPSearchResultDone):
                if not found.called:
                    self._end(found, answer, entries, user, realm)
                return True
            return False

        done: Deferred[Any] = client.send_multiResponse(request, heard)

        def lost(failure: Failure) -> None:
            if not found.called:
                found.errback(failure)

        done.addErrback(lost)
        return found

    def _end(
        self,
        found: Deferred[HA1Set | None],
        answer: Any,
        entries: list[dict[str, list[bytes]]],
        user: str,
        realm: str,
    ) -> None:
        try:
            if len(entries) > 1 or answer.resultCode == _SIZE_LIMIT:
                raise UnusableAccount(f"has several entries for {user!a}")
            if answer.resultCode == _NO_SUCH_OBJECT:
                raise StoreError("has no base as in [users.ldap]")
            if answer.resultCode != _SUCCESS:
                raise StoreError(f"answers a search with {_said(answer)}")
            result = read_entry(entries[0], self._settings, user, realm) if entries else None
        except StoreError:
            found.errback(Failure())
        else:
            found.callback(result)


def _attributes(entry: Any) -> dict[str, list[bytes]]:
    """An entry's values by the names of its attributes in lower case, without options (";binary")."""
    return {
        _text(name).partition(";")[0].lower(): [to_bytes(value) for value in values]
        for name, values in entry.attributes
    }


def _said(answer: Any) -> str:
    message = _text(answer.errorMessage or b"")
    return f"result {answer.resultCode}" + (f", {message[:100]!a}" if message else "")


def _text(value: Any) -> str:
    text: str = to_bytes(value).decode("utf-8", "replace")
    return text


def _one_line(failure: Failure) -> Failure:
    """One line in place of the several that the reasons of TLS are."""
    if failure.check(StoreError):
        return failure
    return Failure(StoreError(" ".join(failure.getErrorMessage().split()) or str(failure.type)))
