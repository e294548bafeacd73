"""What is known of a request besides its own words, for whoever decides where it goes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from zope.interface import classImplements

from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.diversion import Step
from rvoip.proxy.interfaces import IRouteContext
from rvoip.proxy.targets import Targets

if TYPE_CHECKING:
    from rvoip.proxy.proxy import Proxy

__all__ = ["RouteContext"]


class RouteContext:
    """See `IRouteContext`.

    `ours` says that the request comes from this proxy itself, `peer` that it comes from where no credentials
    are needed.
    """

    __slots__ = (
        "_holds",
        "_proxy",
        "entered",
        "flow",
        "launched",
        "ours",
        "payer",
        "peer",
        "request",
        "trail",
        "trusted",
        "user",
    )

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
        self.payer = ""
        """The user of ours whose contact made this proxy send itself the request."""
        self.entered = False
        """Whether it belongs to a dialog that was set up through here."""
        self.launched = False
        """Whether it was sent on: what is held for it is let go of at its end."""
        self._holds: list[Any] | None = None

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
    def holds(self) -> list[Any]:
        """What counts for limits as long as this call lasts; that of diversions too."""
        if self._holds is None:
            self._holds = []
        return self._holds

    @property
    def is_held(self) -> bool:
        """Whether anything counts."""
        return bool(self._holds)

    def release(self) -> None:
        """The call came to nothing."""
        if self._holds and self._proxy.limits is not None:
            self._proxy.limits.released(self._holds)

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
        made._holds = self.holds
        return made


# Not by a decorator, with which mypyc would leave the class to the interpreter.
classImplements(RouteContext, IRouteContext)
