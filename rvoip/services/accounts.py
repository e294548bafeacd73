"""The user store of a role: opened with it, read through a cache, closed with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from rvoip.common.errors import StartError
from rvoip.users.accounts import APIKey
from rvoip.users.async_store import AsyncUserStore
from rvoip.users.credentials import CredentialCache
from rvoip.users.errors import StoreBusy, StoreError
from rvoip.users.interfaces import ICredentials
from rvoip.users.limits import LimitTable
from rvoip.users.passwords import HA1Set
from rvoip.users.probe import WriteProbe
from rvoip.users.remote import RemoteCredentials
from rvoip.users.store import UserStore

__all__ = ["AccountsService"]

_KEY_INTERVAL: Final = 1.0
"""Seconds after which a key that another process made is known to be there."""


@implementer(ICredentials)
class AccountsService(Service):
    """Accounts and their digest credentials; `store` and `credentials` exist once it was opened.

    With a `remote` the credentials are those, and not the store's. Raises `StartError` when `url` names no
    store.
    """

    name = "accounts"

    def __init__(self, reactor: Any, url: str, remote: RemoteCredentials | None = None) -> None:
        try:
            self._unopened = UserStore(url)
        except StoreError as error:
            raise StartError(str(error)) from None
        self._reactor = reactor
        self._url = url
        self._pool: ThreadPool | None = None
        self._probe: WriteProbe | None = None
        self._probes: list[WriteProbe] = []
        # One of its own: each tells of a change only once.
        self._key_probe: Callable[[], bool] = lambda: True
        self._key_loop = LoopingCall(self._look_for_keys)
        self._key_loop.clock = reactor
        self.store: AsyncUserStore | None = None
        self._remote = remote
        self.credentials: CredentialCache | RemoteCredentials | None = None
        self.keys = 0
        """How many API keys there are; in doubt there is one."""

    def privilegedStartService(self) -> None:
        """Open and migrate the database; `StartError` in one line when that fails."""
        super().privilegedStartService()
        try:
            opened = self._unopened.open()
            self.keys = len(opened.list_keys())
        except StoreError as error:
            raise StartError(str(error)) from None
        self._pool = ThreadPool(minthreads=1, maxthreads=4, name="users")
        self.store = AsyncUserStore(opened, self._reactor, self._pool)
        self.store.follow(self._count_keys)
        scheme, _, path = self._url.partition(":")
        if scheme == "sqlite":
            self._key_probe = WriteProbe(os.path.abspath(path))
        if self._remote is not None:
            self.credentials = self._remote
        elif scheme == "sqlite":
            self._probe = WriteProbe(os.path.abspath(path))
            self.credentials = CredentialCache(self.store, self._reactor, may_have_changed=self._probe)
        else:
            self.credentials = CredentialCache(self.store, self._reactor)

    def startService(self) -> None:
        """Start the threads and read the credentials."""
        super().startService()
        if self._pool is not None and self.credentials is not None:
            self._pool.start()
            self.credentials.start()
            self._key_loop.start(_KEY_INTERVAL, now=False)

    def stopService(self) -> Deferred[None]:
        """Finish what is being written, then close."""
        super().stopService()
        store, pool = self.store, self._pool
        if store is None or pool is None or self.credentials is None:
            return succeed(None)
        self.credentials.stop()
        if self._key_loop.running:
            self._key_loop.stop()
        for probe in (self._probe, self._key_probe, *self._probes):
            if isinstance(probe, WriteProbe):
                probe.close()

        def end(result: object) -> None:
            pool.stop()

        return store.close().addBoth(end)

    @property
    def opened(self) -> AsyncUserStore:
        """The store; StoreBusy while it is not open."""
        if self.store is None:
            raise StoreBusy("the store is not open")
        return self.store

    @property
    def limits(self) -> LimitTable | None:
        """What the store says of limits, to be read in this thread while the role starts; None: not open."""
        return None if self.store is None else self._unopened.limits

    def make_probe(self) -> Callable[[], bool]:
        """Tells, when called, whether the store may have been written since. It is closed with this."""
        scheme, _, path = self._url.partition(":")
        if scheme != "sqlite":
            return lambda: True
        probe = WriteProbe(os.path.abspath(path))
        self._probes.append(probe)
        return probe

    @property
    def trouble(self) -> str:
        """Why accounts cannot be read at the moment, or ""."""
        if self.credentials is None:
            return "the store is not open"
        if not self.credentials.is_failing:
            return ""
        return "the store does not answer" if self._remote is None else "the source does not answer"

    def _look_for_keys(self) -> Deferred[None] | None:
        """Another process may have made the first key, or revoked the last one."""
        return self._count_keys() if self._key_probe() else None

    def _count_keys(self) -> Deferred[None]:
        """After a write: whether there are keys decides who may call the API."""

        def counted(records: tuple[APIKey, ...]) -> None:
            self.keys = len(records)

        def unknown(failure: Failure) -> None:
            failure.trap(StoreError)
            self.keys = max(1, self.keys)

        return self.opened.list_keys().addCallbacks(counted, unknown)

    def lookup(self, user: str, realm: str) -> HA1Set | Deferred[HA1Set | None] | None:
        """See `rvoip.users.interfaces.ICredentials`; nobody is known before the store is open."""
        return None if self.credentials is None else self.credentials.lookup(user, realm)

    def in_doubt(self) -> bool:
        """Whether a wrong password may be the right one by now: what is known may be out of date."""
        return self._remote is not None and self._remote.is_failing

    def exists(self, aor: str) -> bool | Deferred[bool]:
        """Whether there is an enabled account with this AOR."""
        user, _, domain = aor.rpartition("@")
        found = self.lookup(user, domain)
        if isinstance(found, Deferred):
            return found.addCallback(lambda known: known is not None)
        return found is not None
