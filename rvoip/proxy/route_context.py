"""What is known of a request besides its own words, for whoever decides where it goes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.interfaces import IRouteContext
from rvoip.proxy.targets import Targets

if TYPE_CHECKING:
    from rvoip.proxy.proxy import Proxy

__all__ = ["RouteContext"]


@implementer(IRouteContext)
class RouteContext:
    """See `IRouteContext`; `ours` says that the request comes from this proxy itself."""

    __slots__ = ("_proxy", "flow", "ours", "trusted", "user")

    def __init__(self, proxy: Proxy, flow: Flow, trusted: bool, ours: bool) -> None:
        self._proxy = proxy
        self.flow = flow
        self.user: str | None = None
        self.trusted = trusted
        self.ours = ours

    @property
    def domains(self) -> Any:
        """See `IRouteContext`."""
        return self._proxy.domains

    @property
    def location(self) -> Any:
        """See `IRouteContext`."""
        return self._proxy.location

    @property
    def known(self) -> bool:
        """Whether the sender is one of our users, a trusted peer, or this proxy."""
        return self.user is not None or self.trusted or self.ours

    def default(self, uri: SipURI) -> Targets | Awaitable[Targets]:
        """See `IRouteContext`."""
        return self._proxy.find(uri)
