"""Lights the lamps of desk phones: mailboxes that phones watch, and a program that watches one."""

from __future__ import annotations

from typing import Any

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.event_package import EventPackage
from rvoip.protocols.dialog.subscription import SubscriptionEnd
from rvoip.protocols.dialog.subscription_client import ClientSubscription
from rvoip.protocols.dialog.subscription_server import EventServer, ServerSubscription
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.message_summary import CONTENT_TYPE, Counts, MessageSummary, parse_message_summary
from rvoip.protocols.sip.subscription_headers import SubscriptionState


class Mailboxes(EventPackage):
    """How many voice messages wait for whom (RFC 3842)."""

    name = "message-summary"
    accept = (CONTENT_TYPE,)
    min_interval = 1.0

    def __init__(self, server: EventServer) -> None:
        self.server = server
        self.waiting: dict[str, tuple[int, int]] = {}
        server.add(self)

    def put(self, owner: str, new: int, old: int) -> None:
        """So many new and old messages wait for this address now."""
        self.waiting[owner] = (new, old)
        self.server.changed(self.name, owner)

    def resource(self, request: Request) -> str:
        owner = super().resource(request)
        if owner not in self.waiting:
            raise Refused(404)
        return owner

    def authorise(self, subscription: ServerSubscription) -> bool:
        if subscription.watcher != subscription.resource:
            raise Refused(403, "Not Your Mailbox")
        return True

    def state(self, subscription: ServerSubscription) -> Body:
        new, old = self.waiting[subscription.resource]
        summary = MessageSummary(new > 0, subscription.resource, {"voice-message": Counts(new, old)})
        return Body(summary.to_bytes(), CONTENT_TYPE)


class Lamp(ClientSubscription):
    """A lamp that is lit while new messages wait. It stays subscribed until `stop`."""

    lit = False

    def notified(self, body: Body | None, state: SubscriptionState, request: Request) -> None:
        if body is not None:
            try:
                self.lit = parse_message_summary(body.content).waiting
            except SIPParseError:
                raise Refused(400) from None

    def ended(self, end: SubscriptionEnd, again_in: float | None) -> Any:
        if again_in is None:
            self.lit = False
