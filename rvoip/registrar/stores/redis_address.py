"""Which Redis holds the bindings, and what it must be like: values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from rvoip.common.printable import printable
from rvoip.registrar.errors import StoreError

__all__ = ["DURABILITY_KEYS", "RedisAddress", "durability_objection", "parse_redis_url"]

DURABILITY_KEYS: Final = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy")
"""The settings of a Redis that `durability_objection` judges."""

_PORT: Final = 6379
_PREFIX: Final = "rvoip:location"


class RedisAddress(NamedTuple):
    """Where a Redis is and what is ours in it."""

    host: str
    port: int
    db: int
    username: str
    password: str
    prefix: str
    """How all our keys begin."""
    durable: bool
    """Whether it must have each change on its disk before it answers."""

    @property
    def shown(self) -> str:
        """The address as error lines name it, without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis://{host}:{self.port}/{self.db}"


def parse_redis_url(url: str) -> RedisAddress:
    """The address in ``redis://[[USER]:PASSWORD@]HOST[:PORT][/DB][?prefix=P][&durable=no]``.

    Raises StoreError, which does not show the password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
        fields = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise StoreError("the redis URL of the bindings is not valid") from None
    options = dict(fields)
    host = parts.hostname or ""
    db = parts.path.lstrip("/") or "0"
    unknown = sorted(set(options) - {"prefix", "durable"})
    if parts.scheme != "redis" or not host or not host.isprintable() or parts.fragment:
        raise StoreError("a redis URL is redis://HOST:PORT/DB")
    if unknown:
        raise StoreError(f"{printable(unknown[0])} is no option of a redis URL: there are prefix and durable")
    if not (db.isascii() and db.isdigit() and len(db) < 6):
        raise StoreError(f"redis://{host}:{port}: {printable(db)} is no number of a database")
    if options.get("durable", "yes") not in ("yes", "no"):
        raise StoreError(f"redis://{host}:{port}: durable is yes or no")
    prefix = options.get("prefix", _PREFIX)
    if not prefix or not prefix.isprintable():
        raise StoreError(f"redis://{host}:{port}: the prefix is printable text")
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    return RedisAddress(
        host, port, int(db), username, password, prefix, options.get("durable", "yes") == "yes"
    )


def durability_objection(settings: Mapping[str, str]) -> str:
    """Why a Redis with these settings may forget what it acknowledged, and the remedy; "" when it may not.

    `settings` are those of `DURABILITY_KEYS` that it tells; a Redis that tells none may be anything.
    """
    if "appendonly" not in settings or "appendfsync" not in settings:
        return "it does not tell its settings (CONFIG GET): allow that"
    if settings["appendonly"] != "yes":
        return "it keeps no append-only file: set appendonly yes and appendfsync always"
    if settings["appendfsync"] != "always":
        return f"it has appendfsync {printable(settings['appendfsync'])}: set appendfsync always"
    if settings.get("no-appendfsync-on-rewrite", "no") != "no":
        return "it does not sync while it rewrites its file: set no-appendfsync-on-rewrite no"
    if settings.get("maxmemory-policy", "noeviction") != "noeviction":
        return "it drops keys when its memory is full: set maxmemory-policy noeviction"
    return ""
