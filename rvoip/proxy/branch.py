"""One branch of a forwarded request: where it goes, what has come back, and how long it may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from rvoip.protocols.dialog.interfaces import IClientUser

if TYPE_CHECKING:
    from rvoip.common.wheel import Timer
    from rvoip.protocols.dialog.client import ClientTransaction
    from rvoip.protocols.sip.message import Request, Response
    from rvoip.protocols.transport.flow import Flow, Target
    from rvoip.proxy.context import ResponseContext
    from rvoip.proxy.targets import Destination

__all__ = ["Branch"]


@implementer(IClientUser)
class Branch:
    """One destination of the request, with what is known of how to reach it."""

    __slots__ = (
        "cancelled",
        "client",
        "context",
        "destination",
        "flow",
        "hurry",
        "number",
        "one_of_many",
        "others",
        "rang_out",
        "request",
        "response",
        "targets",
        "timer_c",
    )

    def __init__(self, context: ResponseContext, number: int, destination: Destination) -> None:
        self.context = context
        self.number = number
        self.destination = destination
        self.others = destination.others
        """Other flows of the same device."""
        self.request: Request | None = None
        """What is sent, but for Via and Record-Route."""
        self.targets: list[Target] = []
        """Where to send it when what was tried fails."""
        self.one_of_many = False
        """Whether there was a choice of targets."""
        self.flow: Flow | None = None
        """The flow to take in place of a target."""
        self.client: ClientTransaction | None = None
        """The attempt under way; an earlier one has no say any more."""
        self.response: Response | None = None
        """What is to be forwarded: the last provisional response, or the final one."""
        self.timer_c: Timer | None = None
        self.hurry: Timer | None = None
        """Runs while there is another target, and this one has not answered at all."""
        self.cancelled = False
        self.rang_out = False
        """Whether Timer C has fired."""

    def response_received(self, transaction: ClientTransaction, response: Response) -> None:
        """See `IClientUser`."""
        if transaction is self.client:
            self.context.responded(self, transaction, response)
        elif transaction.invite and 200 <= response.status < 300:
            self.context.accepted_late(self, transaction, response)

    def client_failed(self, transaction: ClientTransaction, reason: str) -> None:
        """See `IClientUser`."""
        if transaction is self.client:
            self.context.lost(self, transaction, reason == "timeout")

    def start_timer_c(self) -> None:
        """Ring no longer than Timer C from now on."""
        self.stop_timer_c()
        proxy = self.context.proxy
        self.timer_c = proxy.layer.wheel.schedule(proxy.settings.timer_c, Branch.timer_c_fired, self)

    def stop_timer_c(self) -> None:
        """Ring no more."""
        timer, self.timer_c = self.timer_c, None
        if timer is not None:
            timer.cancel()

    def timer_c_fired(self) -> None:
        """It rang for too long."""
        self.timer_c = None
        self.context.rings_too_long(self)

    def hurry_up(self) -> None:
        """Wait no longer than it takes a request to be sent four times."""
        layer = self.context.proxy.layer
        self.hurry = layer.wheel.schedule(layer.timers.patience, Branch.hurried, self)

    def hurried(self) -> None:
        """Nothing came back."""
        self.hurry = None
        self.context.hurried(self)

    def stop_hurrying(self) -> None:
        """Something did, or it has failed."""
        timer, self.hurry = self.hurry, None
        if timer is not None:
            timer.cancel()
