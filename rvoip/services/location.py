"""The location store of a role, and the proxy's view of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import classImplements

from rvoip.common.errors import StartError
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import SipURI
from rvoip.proxy.interfaces import ILocation
from rvoip.proxy.targets import Destination, Refused
from rvoip.registrar.binding import Binding, Counts, Removed
from rvoip.registrar.errors import StoreError
from rvoip.registrar.gruu import Gruus
from rvoip.registrar.stores.factory import open_store
from rvoip.services.upstream_contact import chosen, read_contact
from rvoip.users.errors import StoreError as AccountsError

__all__ = ["Location", "LocationService"]

COUNT_EVERY = 10
"""Seconds between two counts of a store that is shared."""


class LocationService(Service):
    """Opens the store with the role, expires bindings once a second, closes it with the role."""

    name = "location"

    def __init__(
        self,
        reactor: Any,
        url: str,
        wall: Callable[[], float],
        expired: Callable[[Sequence[Removed]], object] = lambda removed: None,
    ) -> None:
        self._reactor = reactor
        self._wall = wall
        self.expired = expired
        try:
            self.store: Any = open_store(url, reactor)
        except StoreError as error:
            raise StartError(str(error)) from None
        self._counts = Counts(0, 0)
        self._counting = 0
        self._loop = LoopingCall(self._expire)
        self._loop.clock = reactor

    def privilegedStartService(self) -> None:
        """Open the store and read what it holds; `StartError` in one line when that fails."""
        super().privilegedStartService()
        try:
            self.store.open(self._reactor.seconds(), self._wall())
        except StoreError as error:
            raise StartError(str(error)) from None

    def startService(self) -> None:
        """Begin to expire."""
        super().startService()
        if not self.store.at_once:
            self._count()
        self._loop.start(1.0, now=False)

    def stopService(self) -> Deferred[None]:
        """Write what was taken, then close."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        closed: Deferred[None] | None = self.store.close()
        return succeed(None) if closed is None else closed

    def counts(self) -> Counts:
        """How many AORs and bindings there are; in a shared store, up to `COUNT_EVERY` seconds ago."""
        if self.store.at_once:
            counts: Counts = self.store.count()
            return counts
        return self._counts

    def _count(self) -> None:
        """Ask anew: for a server that may mean to go through all of them."""
        self._counting = COUNT_EVERY
        self.store.count().addCallbacks(self._counted, _ignore)

    def _counted(self, counts: Counts) -> None:
        self._counts = counts

    def _expire(self) -> None:
        removed = self.store.expire(self._reactor.seconds(), self._wall())
        if isinstance(removed, Deferred):
            removed.addCallbacks(self._expired, _ignore)
        else:
            self._expired(removed)
        if not self.store.at_once:
            self._counting -= 1
            if self._counting <= 0:
                self._count()

    def _expired(self, removed: Sequence[Removed]) -> None:
        if removed:
            self.expired(removed)


class Location:
    """What the proxy asks: the bindings of an address-of-record as destinations.

    `known` tells whether an address-of-record has an account; `gruus` reads GRUUs.
    """

    def __init__(
        self,
        store: Any,
        known: Callable[[str], bool | Deferred[bool]],
        now: Callable[[], float],
        gruus: Gruus | None = None,
    ) -> None:
        self._store = store
        self._known = known
        self._now = now
        self._gruus = gruus

    def lookup(self, aor: str) -> list[Destination] | Deferred[list[Destination]]:
        """See `ILocation`; a store that does not answer is 503."""
        found = self._store.lookup(aor, self._now())
        if isinstance(found, Deferred):
            return found.addCallbacks(destinations, _unavailable)
        return destinations(found)

    def lookup_device(self, uri: SipURI, aor: str) -> list[Destination] | Deferred[list[Destination]] | None:
        """See `ILocation`; also what a registrar behind us calls a contact of ours."""
        meant = read_contact(uri, aor)
        if meant is not None:
            return self._lookup_contact(*meant)
        gruus = self._gruus
        device = None if gruus is None else gruus.read(uri, aor)
        if gruus is None or device is None:
            return None
        found = self._store.lookup(device.aor, self._now())
        if isinstance(found, Deferred):
            return found.addCallbacks(lambda bindings: _latest(gruus.of(device, bindings)), _unavailable)
        return _latest(gruus.of(device, found))

    def _lookup_contact(self, aor: str, binding_id: str) -> list[Destination] | Deferred[list[Destination]]:
        found = self._store.lookup(aor, self._now())
        if isinstance(found, Deferred):
            return found.addCallbacks(
                lambda bindings: destinations(chosen(bindings, binding_id)), _unavailable
            )
        return destinations(chosen(found, binding_id))

    def exists(self, aor: str) -> bool | Deferred[bool]:
        """See `ILocation`; accounts that do not answer are 503."""
        known = self._known(aor)
        return known.addErrback(_unknown) if isinstance(known, Deferred) else known


def _latest(bindings: Sequence[Binding]) -> list[Destination]:
    """Of a device's bindings the latest, with the others of the same registration where they are flows."""
    if not bindings:
        return []
    first = bindings[0]
    kept = [first]
    if first.is_flow:
        kept = [one for one in bindings if one.is_flow]
    return destinations(tuple(kept))


def _ignore(failure: Failure) -> None:
    """The store says of itself that it is in trouble."""
    failure.trap(StoreError)


def _unavailable(failure: Failure) -> list[Destination]:
    failure.trap(StoreError)
    raise Refused(503, "Location Store Unavailable", (("Retry-After", "5"),), stateless=True)


def _unknown(failure: Failure) -> bool:
    failure.trap(AccountsError)
    raise Refused(503, "Accounts Unavailable", (("Retry-After", "5"),), stateless=True)


def destinations(bindings: tuple[Binding, ...]) -> list[Destination]:
    """Where the bindings are; those whose contact is no SIP URI cannot be forwarded to."""
    found = []
    for binding in bindings:
        try:
            uri = binding.uri
        except SIPParseError:
            continue  # a row that somebody else wrote
        if isinstance(uri, SipURI):
            flow = binding.is_flow
            instance = binding.instance if flow else ""
            found.append(Destination(uri, binding.path, binding.received or None, binding.q, flow, instance))
    return found


# Not by a decorator, with which mypyc would leave the class to the interpreter.
classImplements(Location, ILocation)
