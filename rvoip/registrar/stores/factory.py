"""The store that a configuration names: ``memory:`` or ``sqlite:PATH``."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorFromThreads

from rvoip.registrar.binding import TOMBSTONE
from rvoip.registrar.errors import StoreError
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.memory import MemoryStore
from rvoip.registrar.stores.sqlite import SQLiteStore

__all__ = ["open_store"]


def open_store(
    url: str, reactor: IReactorFromThreads, *, max_aors: int = 0, tombstone_seconds: float = TOMBSTONE
) -> IBindingStore:
    """Make the store of `url`, not yet open; StoreError when there is no such kind of store.

    `max_aors` bounds how many AORs may be registered, 0 for no bound; `tombstone_seconds` is 64*T1.
    """
    scheme, colon, rest = url.partition(":")
    if scheme == "memory" and colon and not rest:
        return MemoryStore(max_aors=max_aors, tombstone_seconds=tombstone_seconds)
    if scheme == "sqlite" and rest:
        return SQLiteStore(rest, reactor, max_aors=max_aors, tombstone_seconds=tombstone_seconds)
    raise StoreError(f"no store {url!r}: there are memory: and sqlite:PATH")
