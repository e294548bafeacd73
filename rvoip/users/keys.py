"""API keys in the database: drawn here, shown once, kept as SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa

from rvoip.users import schema
from rvoip.users.accounts import APIKey, join_aor, split_aor
from rvoip.users.database import Database
from rvoip.users.errors import AccountError, UnknownAccount

__all__ = ["KeyTable"]

# A key has 256 random bits, so one round of a fast hash keeps it; a slow one would be paid at each request.
_PREFIX = re.compile(r"rvk_[0-9a-f]{12}")
_KEY = re.compile(r"(rvk_[0-9a-f]{12})_[A-Za-z0-9_-]{43}")

_k = schema.api_keys.c


class KeyTable:
    """The table of API keys of one store."""

    def __init__(self, database: Database, wall_clock: Callable[[], float]) -> None:
        self._database = database
        self._wall_clock = wall_clock

    def add(
        self, name: str, scopes: Iterable[str] = (), *, owner: str = "", expires: float = 0.0
    ) -> tuple[str, APIKey]:
        """Make a key: what to hand out, which is kept nowhere, and its record. UnknownAccount for the owner.

        `expires` is wall time in seconds, 0 for never; the key goes away with the account `owner` (an AOR).
        """
        now = self._wall_clock()
        if not 0.0 <= expires < 1e12 or 0.0 < expires <= now:
            raise AccountError("the time at which a key expires is in the past or out of range")
        owner = join_aor(*split_aor(owner)) if owner else ""
        prefix = f"rvk_{secrets.token_hex(6)}"
        key = f"{prefix}_{secrets.token_urlsafe(32)}"
        record = APIKey(prefix, name, frozenset(scopes), owner, created=now, expires=expires)
        values = {
            "prefix": prefix,
            "sha256": _hash(key),
            "name": record.name,
            "scopes": " ".join(sorted(record.scopes)),
            "owner": owner or None,
            "created": now,
            "expires": expires,
            "last_used": 0.0,
        }
        with self._database.writing() as connection:
            if owner and not _exists(connection, owner):
                raise UnknownAccount(f"there is no account {owner}")
            connection.execute(schema.api_keys.insert(), values)
        return key, record

    def find(self, key: str) -> APIKey | None:
        """The record of a key that is valid now and whose owner, if any, is enabled; else None."""
        match = _KEY.fullmatch(key)
        if match is None:
            return None
        query = (
            sa.select(*schema.api_keys.c, schema.accounts.c.enabled)
            .join_from(schema.api_keys, schema.accounts, _k.owner == schema.accounts.c.aor, isouter=True)
            .where(_k.prefix == match[1])
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if not hmac.compare_digest(_hash(key), bytes(32) if row is None else row.sha256) or row is None:
            return None
        record = _record(row)
        if record.is_expired(self._wall_clock()) or (record.owner and not row.enabled):
            return None
        return record

    def touch(self, prefix: str) -> None:
        """Note that a key was used now. Apart from `find`, which must not wait for the write lock."""
        with self._database.writing() as connection:
            values = {"last_used": self._wall_clock()}
            connection.execute(schema.api_keys.update().where(_k.prefix == prefix).values(values))

    def list(self, owner: str | None = None) -> tuple[APIKey, ...]:
        """All keys, or those of an owner ("" for those of none), oldest first."""
        query = sa.select(*schema.api_keys.c).order_by(_k.created, _k.prefix)
        if owner is not None:
            query = query.where(_k.owner == join_aor(*split_aor(owner)) if owner else _k.owner.is_(None))
        with self._database.reading() as connection:
            return tuple(_record(row) for row in connection.execute(query))

    def remove(self, prefix: str) -> None:
        """Revoke the key; UnknownAccount when there is none."""
        if _PREFIX.fullmatch(prefix):
            with self._database.writing() as connection:
                if connection.execute(schema.api_keys.delete().where(_k.prefix == prefix)).rowcount:
                    return
        raise UnknownAccount("there is no API key with that prefix")


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _exists(connection: sa.Connection, aor: str) -> bool:
    accounts = schema.accounts
    return connection.execute(sa.select(accounts.c.aor).where(accounts.c.aor == aor)).first() is not None


def _record(row: Any) -> APIKey:
    return APIKey(
        row.prefix,
        row.name,
        frozenset(row.scopes.split()),
        row.owner or "",
        row.created,
        row.expires,
        row.last_used,
    )
