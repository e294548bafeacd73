"""Which keys of a changed configuration hold only after a restart."""

from __future__ import annotations

from typing import Final

import msgspec

from rvoip.services.config import Config

__all__ = ["changed_keys", "restart_keys"]

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
        "guard.scanners",
        "guard.scanners",
        "sip.ws_origins",
        "service.drain_max",
        "trace",
        "registrar",
        "proxy",
        "presence",
    )
)
"""Tables and keys that a running role takes over."""

_LATER: Final = frozenset(
    (
        "presence.store",
        "proxy.secret_file",
        "registrar.authenticate",
        "registrar.class",
        "registrar.upstream",
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
    return [key for key, later in changed_keys(old, new) if later]


def changed_keys(old: Config, new: Config) -> list[tuple[str, bool]]:
    """The keys that differ, and of each whether it takes a restart to bring it into force."""
    keys: list[tuple[str, bool]] = []
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    for table, was in before.items():
        now = after[table]
        if was == now:
            continue
        if not (isinstance(was, dict) and isinstance(now, dict)):
            keys.append((table, True))  # a table that makes a part of the role, come or gone
            continue
        for name in was:
            if was[name] != now.get(name):
                key = f"{table}.{name}"
                later = (
                    key in _LATER
                    or not (table in _AT_ONCE or key in _AT_ONCE)
                    or (key in _IF_THERE and not (was[name] and now.get(name)))
                )
                keys.append((key, later))
    return keys
