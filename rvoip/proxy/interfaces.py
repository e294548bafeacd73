"""What a proxy asks of others; whoever composes it provides them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any

    from twisted.internet.defer import Deferred

    from rvoip.protocols.dialog.server import ServerTransaction
    from rvoip.protocols.sip.message import Request
    from rvoip.protocols.sip.uri import SipURI
    from rvoip.proxy.calls import Call
    from rvoip.proxy.forwarding import Forwarding
    from rvoip.proxy.targets import Destination, Targets

__all__ = [
    "IAuthenticator",
    "ICallLimits",
    "IDomains",
    "IForwarding",
    "ILocation",
    "IRouteContext",
    "IRouter",
]


class IDomains(Interface):
    """Which names and addresses are this element's own."""

    def serves(uri: SipURI) -> bool:
        """Whether the `SipURI` is of a domain served here (or of a listening address)."""

    def is_self(uri: SipURI) -> bool:
        """Whether the `SipURI` is a listening address of this element, as Route values name it."""

    def aor(uri: SipURI) -> str:
        """The address-of-record ("user@domain") of a `SipURI` of a domain served here."""


class ILocation(Interface):
    """Where the users of our domains are."""

    def lookup(aor: str) -> list[Destination] | Deferred[list[Destination]]:
        """The `Destination`s of an address-of-record, maybe none; or a Deferred of them."""

    def lookup_device(uri: SipURI, aor: str) -> list[Destination] | Deferred[list[Destination]] | None:
        """Where the device is that a GRUU names (RFC 5627), maybe nowhere; None when it names none of ours.

        `aor` is the address-of-record that the URI would be else. Where the device has several bindings it
        is the latest one, or the flows of the latest registration.
        """

    def exists(aor: str) -> bool | Deferred[bool]:
        """Whether there is such a user at all (then 480, else 404); or a Deferred of that."""


class IAuthenticator(Interface):
    """Who sent a request (RFC 3261 section 22.3)."""

    def authenticate(transaction: ServerTransaction) -> Deferred[str | None] | str | None:
        """The AOR that a request's Proxy-Authorization proves, or a Deferred of it.

        None after the transaction was answered instead: 407, 403 or 400.
        """


class ICallLimits(Interface):
    """Who may call what, and how much of it."""

    def admit(request: Request, targets: Targets, context: Any) -> None:
        """Count a new call that is to go to these targets in `context.holds`, or raise `Refused`.

        `context` is its `RouteContext`.
        """

    def settled(holds: list[Any], call: Call | None) -> None:
        """A call got its final response; `call` is the one that is up now, None where there is none."""

    def released(holds: list[Any]) -> None:
        """A call came to nothing."""


class IRouteContext(Interface):
    """What is known of a request besides its own words, when a router is asked."""

    user = Attribute("The AOR (`str`) that its credentials prove; None when it was not asked for any.")
    trusted = Attribute("Whether it came from a network of `[guard] trusted` (`bool`).")
    flow = Attribute('The `Flow` that it came on: `flow.remote` is (host, port), `flow.transport` "UDP".')
    domains = Attribute("`IDomains`: what is served here.")
    location = Attribute("`ILocation`: where the users are.")

    def default(uri: SipURI) -> Targets | Awaitable[Targets]:
        """Where the proxy sends a request for this URI without any router: a user's contacts, or the URI.

        May be called with another URI than the request's (an alias, a DID). Raises `Refused`.
        """


class IRouter(Interface):
    """Where requests go that are in no dialog and carry no Route: asked before location and DNS.

    Routers are asked in order; the first that does not say None has decided.
    """

    def route(request: Request, context: IRouteContext) -> Targets | Awaitable[Targets | None] | None:
        """`Targets`; None where this router has no opinion; or a Deferred or coroutine of either.

        Raise `Refused` (or fail with it) to answer in place of sending on. The `Request` is not to be
        changed: new Request-URIs and headers go into the `Destination`s. Any other failure is a 500 and a
        line in the log; a decision that takes longer than 64*T1 is cancelled, and a 504. A CANCEL that comes
        meanwhile ends the request; what is found then is dropped.
        """


class IForwarding(Interface):
    """Where users of ours have their calls forwarded to."""

    def of(aor: str) -> Forwarding | Awaitable[Forwarding | None] | None:
        """The `Forwarding` of a user; None where there is none; or a Deferred or coroutine of either."""
