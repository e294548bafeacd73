"""What a transaction user offers to the transaction layer, and a usage of a dialog to the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rvoip.protocols.dialog.body import Body
    from rvoip.protocols.dialog.client import ClientTransaction
    from rvoip.protocols.dialog.ending import Ending
    from rvoip.protocols.dialog.server import ServerTransaction
    from rvoip.protocols.dialog.subscription_server import ServerSubscription
    from rvoip.protocols.sip.message import Request, Response
    from rvoip.protocols.transport.flow import Flow

__all__ = ["IClientUser", "IDialogUsage", "IEventPackage", "ITransactionUser"]


class ITransactionUser(Interface):
    """Whoever receives requests: a registrar, a proxy, a user agent core."""

    def request_received(transaction: ServerTransaction) -> Awaitable[object] | None:
        """A new request, never an ACK: a `ServerTransaction`, to be answered now or later.

        May return an awaitable; its failure is logged and answered 500.
        """

    def ack_received(request: Request, flow: Flow) -> None:
        """An ACK that acknowledges a 2xx: no transaction of its own (RFC 3261 section 13.3.1.4)."""

    def response_unmatched(response: Response, flow: Flow) -> None:
        """A response that belongs to no client transaction; mostly to be dropped (RFC 6026 section 8.9)."""


class IClientUser(Interface):
    """Whoever sends a request through a client transaction."""

    def response_received(transaction: ClientTransaction, response: Response) -> None:
        """A response, 100 included; an INVITE's 2xx each time it comes, all others once."""

    def client_failed(transaction: ClientTransaction, reason: str) -> None:
        """No final response will come: "timeout", or "transport: " and what went wrong.

        Called at most once, and never after a final response.
        """


class IDialogUsage(Interface):
    """What lives in a dialog: a session, a subscription (RFC 5057). The agent's `attach` puts it there."""

    def takes(request: Request) -> bool:
        """Whether a request of the peer within the dialog, ACK included, belongs to this usage."""

    def request_received(transaction: ServerTransaction) -> Awaitable[object] | None:
        """A request that this usage takes, never an ACK; its CSeq is in order. Answer it now or later."""

    def ack_received(request: Request) -> None:
        """The ACK of a 2xx that this usage gave."""

    def usage_ended(ending: Ending) -> None:
        """A request of this usage was answered in a way that ends it, or the dialog is over: send nothing
        more, and detach.
        """


class IEventPackage(Interface):
    """What an event package (RFC 6665 section 5) gives to the notifier that serves it.

    `rvoip.protocols.dialog.event_package.EventPackage` has the defaults.
    """

    name: str = Attribute("""The package with its templates as in Event: "presence.winfo".""")
    accept: tuple[str, ...] = Attribute("""The media types of its bodies, the default one first.""")
    default_expires: int = Attribute("""Seconds granted to a SUBSCRIBE without Expires.""")
    min_expires: int = Attribute("""Seconds below which a SUBSCRIBE is answered 423.""")
    max_expires: int = Attribute("""The most seconds that are granted.""")
    min_interval: float = Attribute("""Seconds between two NOTIFYs of a subscription, at least.""")

    def resource(request: Request) -> str:
        """What a SUBSCRIBE is about, by the name that `EventServer.changed` is told; may raise `Refused`."""

    def authorise(subscription: ServerSubscription) -> Awaitable[bool] | bool:
        """Whether the watcher may know: False leaves the subscription pending until its `authorise` or
        `terminate` is called; raises `Refused` to refuse the SUBSCRIBE.
        """

    def state(subscription: ServerSubscription) -> Awaitable[Body | None] | Body | None:
        """The body of the NOTIFY that is about to be sent: full state, or what is new to this watcher."""

    def pending_state(subscription: ServerSubscription) -> Awaitable[Body | None] | Body | None:
        """The body for a watcher who may not know, or not yet: it must tell nothing."""

    def renewed(subscription: ServerSubscription) -> None:
        """It was accepted, refreshed or authorised: its `state` or `expires_in` is another one."""

    def ended(subscription: ServerSubscription) -> None:
        """It is over, for its `reason`. Also told when it never began, after `authorise` was asked."""
