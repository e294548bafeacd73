"""Event packages: what watchers can subscribe to (RFC 6665 section 5)."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

from zope.interface import implementer

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.interfaces import IEventPackage
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI

if TYPE_CHECKING:
    from rvoip.protocols.dialog.subscription_server import ServerSubscription

__all__ = ["EventPackage", "takes_type"]


def takes_type(accept: Iterable[str], media_type: str) -> bool:
    """Whether a body of that type, in lower case, is among those that Accept values name. None means any."""
    ranges = [one.partition(";")[0].strip(" \t").lower() for one in accept]
    kind = media_type.partition("/")[0]
    return not ranges or media_type in ranges or f"{kind}/*" in ranges or "*/*" in ranges


@implementer(IEventPackage)
class EventPackage:
    """The defaults of a package; a subclass has at least `name`, `accept` and `state`. Times are seconds."""

    name: str = ""
    accept: tuple[str, ...] = ()
    default_expires: int = 3600
    min_expires: int = 60
    max_expires: int = 86400
    min_interval: float = 0.0

    def resource(self, request: Request) -> str:
        """The address of the Request-URI: `sip:user@host`, the host in lower case."""
        uri = request.uri
        if not isinstance(uri, SipURI):
            raise Refused(416)
        host = uri.host.lower()
        return f"sip:{uri.user}@{host}" if uri.user else f"sip:{host}"

    def authorise(self, subscription: ServerSubscription) -> Awaitable[bool] | bool:
        """See `IEventPackage`. Everybody may know."""
        return True

    def state(self, subscription: ServerSubscription) -> Awaitable[Body | None] | Body | None:
        """See `IEventPackage`. There is nothing to know but that."""
        return None

    def pending_state(self, subscription: ServerSubscription) -> Awaitable[Body | None] | Body | None:
        """See `IEventPackage`. Nothing, which tells nothing."""
        return None

    def renewed(self, subscription: ServerSubscription) -> None:
        """See `IEventPackage`."""

    def ended(self, subscription: ServerSubscription) -> None:
        """See `IEventPackage`."""
