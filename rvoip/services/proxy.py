"""The proxy role: `twistd rvoip-proxy --config FILE`; with a `[registrar]` table also a registrar."""

from __future__ import annotations

from typing import Any

from rvoip.services.compose import SIPRole
from rvoip.services.role import RoleOptions, build

__all__ = ["Options", "makeService"]


class Options(RoleOptions):
    """Options of `twistd rvoip-proxy`."""

    role = "proxy"


def makeService(options: Options, reactor: Any = None) -> SIPRole:
    """The service: nothing is opened before it starts. Usable from a .tac file."""
    if reactor is None:
        from twisted.internet import reactor
    return build(
        options,
        lambda: SIPRole(
            reactor,
            "proxy",
            options.config,
            options["config"],
            registrar=options.config.registrar is not None,
            proxy=True,
        ),
    )
