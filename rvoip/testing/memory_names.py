"""A name resolver that reads a dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from rvoip.testing.memory_wire import canonical, transport_address

__all__ = ["MemoryNameResolver"]


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """It is over when it begins."""


@implementer(IHostnameResolver)
class MemoryNameResolver:
    """Answers at once, from a dict of names and their addresses."""

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self._names = names

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[Any]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """As `IHostnameResolver.resolveHostName`."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        try:
            found = [canonical(hostName)]
        except ValueError:
            found = list(self._names.get(hostName.lower(), ()))
        kind: Literal["TCP", "UDP"] = "UDP" if transportSemantics == "UDP" else "TCP"
        for address in found:
            resolved = transport_address(kind, (address, portNumber))
            if addressTypes is None or type(resolved) in addressTypes:
                resolutionReceiver.addressResolved(resolved)
        resolutionReceiver.resolutionComplete()
        return resolution
