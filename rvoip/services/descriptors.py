"""How many files and sockets the process may have open: as many as its configuration lets peers open."""

from __future__ import annotations

import resource

from twisted.logger import Logger

from rvoip.services.config import Config

__all__ = ["ensure_descriptors", "wanted"]

OTHERS = 512
"""Descriptors beside connections: stores, logs, DNS questions, calls of the API."""

_log = Logger()


def wanted(config: Config) -> int:
    """How many descriptors a role with this configuration may come to need."""
    return config.sip.limits.connections + OTHERS


def ensure_descriptors(needed: int) -> None:
    """Raise the process's soft limit as far as need be, and say so when the hard limit is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < needed:
        _log.warn(
            "The limit on open files (ulimit -n) is {limit}: sip.limits.connections wants {needed}",
            limit=most,
            needed=needed,
        )
