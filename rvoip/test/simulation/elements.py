"""Whole roles on hosts of a simulated network: as twistd runs them, but for disk, threads and HTTP."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from rvoip.services import role as role_module
from rvoip.services.compose import SIPRole
from rvoip.services.config import Config, load
from rvoip.services.location import LocationService
from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.users.interfaces import ICredentials
from rvoip.users.passwords import HA1Set, ha1_set

__all__ = ["DOMAIN", "EPOCH", "PASSWORD", "Element", "start_element"]

DOMAIN = "example.test"
PASSWORD = "secret"
EPOCH = 1_700_000_000.0
"""Wall time when the network's clock is at 0."""


@lru_cache(maxsize=256)
def _ha1(user: str, realm: str) -> HA1Set:
    return ha1_set(user, realm, PASSWORD)


@implementer(ICredentials)
class _Accounts(Service):
    """Every user of the domain but "nobody" has an account."""

    name = "accounts"
    trouble = ""
    credentials = None
    limits = None
    keys = 0

    def lookup(self, user: str, realm: str) -> HA1Set | None:
        return None if user == "nobody" or realm != DOMAIN else _ha1(user, realm)

    def exists(self, aor: str) -> bool:
        return not aor.startswith("nobody@")

    def in_doubt(self) -> bool:
        return False

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return succeed(None)


class Element(SIPRole):
    """A role whose bindings are in a store that others may share, and whose randomness has a seed."""

    def __init__(
        self, reactor: MemoryReactor, kind: str, config: Config, store: Any, registrar: bool
    ) -> None:
        self._given_store = store
        super().__init__(reactor, kind, config, None, registrar=registrar, proxy=kind == "proxy")

    def _make_accounts(self, file: str) -> Any:
        return _Accounts()

    def _make_location(self, file: str) -> LocationService:
        service = super()._make_location(file)
        service.store = self._given_store
        return service

    def leftovers(self) -> list[str]:
        """What it remembers of requests and connections, a line each."""
        layer = self.sip.transactions
        found = [f"{one.request.method} {one.state}" for one in layer]
        if layer._invites or layer._accepted:
            found.append(f"{layer._invites} and {layer._accepted} INVITEs counted")
        if len(layer._answered):
            found.append(f"{len(layer._answered)} answers")
        found += [f"timer of {name}" for name in self._timers()]
        if self.sip.transport.connections:
            found.append(f"{self.sip.transport.connections} connections")
        if self.proxy is not None and len(self.proxy.ringing):
            found.append(f"{len(self.proxy.ringing)} ringing")
        return found

    def _timers(self) -> list[str]:
        """Whose the timers are, but for those that a role has as long as it runs."""
        timers = [timer for slot in self.sip.wheel._slots.values() for timer in slot]
        names = [timer._callback.__qualname__ for timer in timers]
        return [name for name in names if name not in ("Prober._look", "NATPing._step")]


@lru_cache(maxsize=64)
def _config(text: str, kind: str) -> Config:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "role.toml"
        path.write_text(text, encoding="utf-8")
        return load(str(path), kind, {})


@contextmanager
def _seeded(reactor: MemoryReactor, seed: str) -> Iterator[random.Random]:
    """What is made meanwhile gets its randomness from the seed and its wall time from the reactor."""
    chance = random.Random(seed)
    with (
        mock.patch.object(os, "urandom", chance.randbytes),
        mock.patch.object(random, "SystemRandom", lambda: chance),
        mock.patch.object(time, "time", lambda: EPOCH + reactor.seconds()),
        mock.patch.object(role_module, "settle_collector", lambda: None),
    ):
        yield chance


def start_element(
    reactor: MemoryReactor, kind: str, text: str, store: Any, seed: str, *, registrar: bool
) -> Element:
    """A running role ("proxy" or "registrar") on a host; `text` is its configuration without `[http]`."""
    text = f'{text}\n[http]\nlisten = "none"\n[users]\nstore = "postgresql://unused"\n'
    with _seeded(reactor, seed) as chance:
        element = Element(reactor, kind, _config(text, kind), store, registrar)
        element.sip.tokens._random = chance.randbytes
        element.sip.tokens._digits = ""
        # Signals stay those of whoever runs this: they are taken when a reactor begins to run.
        reactor.running = False
        element.privilegedStartService()
        element.startService()
        reactor.running = True
    # What was signed before a restart is known after it, as with the key in a file.
    element._use_secret(b"the key of this host, 32 octets.")
    return element
