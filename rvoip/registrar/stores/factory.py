"""The store that a configuration names: ``memory:``, ``sqlite:PATH``, ``redis://`` or ``postgresql://``."""

from __future__ import annotations

import re
from typing import Any

from rvoip.registrar.binding import TOMBSTONE
from rvoip.registrar.errors import StoreError
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.memory import MemoryStore
from rvoip.registrar.stores.sqlite import SQLiteStore

__all__ = ["open_store"]


def open_store(
    url: str, reactor: Any, *, max_aors: int = 0, tombstone_seconds: float = TOMBSTONE
) -> IBindingStore:
    """Make the store of `url`, not yet open; StoreError when there is no such kind of store.

    `max_aors` bounds how many AORs may be registered, 0 for no bound; `tombstone_seconds` is 64*T1.
    """
    scheme, colon, rest = url.partition(":")
    options: dict[str, Any] = {"max_aors": max_aors, "tombstone_seconds": tombstone_seconds}
    if scheme == "memory" and colon and not rest:
        return MemoryStore(**options)
    if scheme == "sqlite" and rest:
        return SQLiteStore(rest, reactor, **options)
    if scheme == "redis" and rest:
        try:
            from rvoip.registrar.stores.redis import RedisStore
        except ImportError:
            raise _missing(scheme, "txredisapi") from None
        redis: IBindingStore = RedisStore(url, reactor, **options)
        return redis
    if scheme == "postgresql" and rest:
        try:
            from rvoip.registrar.stores.postgresql import PostgreSQLStore
        except ImportError:
            raise _missing(scheme, "psycopg") from None
        postgresql: IBindingStore = PostgreSQLStore(url, reactor, **options)
        return postgresql
    shown = re.sub(r"//.*@", "//", url, flags=re.DOTALL)  # a password is for nobody to read
    raise StoreError(
        f"no store {shown!r}: there are memory:, sqlite:PATH, redis://HOST:PORT/DB and postgresql://HOST/NAME"
    )


def _missing(extra: str, package: str) -> StoreError:
    return StoreError(f"a {extra}: store needs {package}: pip install 'rvoip[{extra}]'")
