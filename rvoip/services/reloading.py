"""Which keys of a changed configuration hold only after a restart."""

from __future__ import annotations

from typing import Final

import msgspec

from rvoip.services.config import Config

__all__ = ["restart_keys"]

_AT_ONCE: Final = frozenset(
    (
        "tls",
        "sip.ws_origins",
        "http.token",
        "http.certificate",
        "http.private_key",
        "http.ca",
        "log",
        "guard.trusted",
        "guard.rate",
        "guard.ban_after",
        "service.drain_max",
        "trace",
        "registrar",
        "proxy",
    )
)
"""Tables and keys that a running role takes over."""

_LATER: Final = frozenset(
    (
        "proxy.secret_file",
        "registrar.authenticate",
        "registrar.class",
        "trace.hep",
        "trace.hep_id",
        "trace.hep_key",
        "trace.hep_listen",
    )
)
"""Keys of such tables that it does not."""

_IF_THERE: Final = frozenset(("tls.certificate", "tls.ca", "http.certificate", "http.ca"))
"""Keys whose value is taken over, but which cannot come or go."""


def restart_keys(old: Config, new: Config) -> list[str]:
    """The keys, `table.key`, that differ and that only a restart brings into force, in the file's order.

    Their values are not told: some are secrets.
    """
    keys = []
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    for table, was in before.items():
        now = after[table]
        if was == now:
            continue
        if not (isinstance(was, dict) and isinstance(now, dict)):
            keys.append(table)  # a table that makes a part of the role, come or gone
            continue
        keys += [
            key
            for key, name in ((f"{table}.{name}", name) for name in was if was[name] != now.get(name))
            if key in _LATER
            or not (table in _AT_ONCE or key in _AT_ONCE)
            or (key in _IF_THERE and not (was[name] and now.get(name)))
        ]
    return keys
