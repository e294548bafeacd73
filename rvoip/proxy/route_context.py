"""What is known of a request besides its own words, for whoever decides where it goes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.diversion import Step
from rvoip.proxy.interfaces import IRouteContext
from rvoip.proxy.targets import Targets

if TYPE_CHECKING:
    from rvoip.proxy.proxy import Proxy

__all__ = ["RouteContext"]


@implementer(IRouteContext)
class RouteContext:
    """See `IRouteContext`.

    `ours` says that the request comes from this proxy itself, `peer` that it comes from where no credentials
    are needed.
    """

    __slots__ = ("_proxy", "flow", "ours", "peer", "request", "trail", "trusted", "user")

    def __init__(
        self, proxy: Proxy, request: Request, flow: Flow, trusted: bool, peer: bool, ours: bool
    ) -> None:
        self._proxy = proxy
        self.request = request
        self.flow = flow
        self.user: str | None = None
        self.trusted = trusted
        self.peer = peer
        self.ours = ours
        self.trail: tuple[Step, ...] = ()
        """How the call was diverted here already."""

    @property
    def domains(self) -> Any:
        """See `IRouteContext`."""
        return self._proxy.domains

    @property
    def location(self) -> Any:
        """See `IRouteContext`."""
        return self._proxy.location

    @property
    def member(self) -> bool:
        """Whether the sender may send what strangers may not."""
        return self.user is not None or self.peer or self.ours

    @property
    def known(self) -> bool:
        """Whether the sender may hear which users there are."""
        return self.trusted or self.member

    def default(self, uri: SipURI) -> Targets | Awaitable[Targets]:
        """See `IRouteContext`."""
        return self._proxy.find_user(self.request, uri, self)

    def diverted(self, user: str, trail: tuple[Step, ...]) -> RouteContext:
        """The same request as this user sends it on."""
        made = RouteContext(self._proxy, self.request, self.flow, False, False, False)
        made.user = user
        made.trail = trail
        return made
