"""One branch of a forwarded request: where it goes, what has come back, and how long it may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import classImplements

from rvoip.protocols.dialog.interfaces import IClientUser
from rvoip.proxy import failover

if TYPE_CHECKING:
    from rvoip.common.wheel import Timer
    from rvoip.protocols.dialog.client import ClientTransaction
    from rvoip.protocols.sip.message import Request, Response
    from rvoip.protocols.transport.flow import Flow, Target
    from rvoip.proxy.context import ResponseContext
    from rvoip.proxy.targets import Destination

__all__ = ["Branch"]


class Branch:
    """One destination of the request, with what is known of how to reach it."""

    __slots__ = (
        "aor",
        "breadth",
        "cancelled",
        "client",
        "context",
        "destination",
        "flow",
        "given_up",
        "heard",
        "hung_up",
        "hurry",
        "number",
        "one_of_many",
        "others",
        "redirecting",
        "reported",
        "request",
        "response",
        "ring",
        "targets",
        "timer_c",
    )

    def __init__(
        self, context: ResponseContext, number: int, destination: Destination, aor: str = ""
    ) -> None:
        self.context = context
        self.number = number
        self.destination = destination
        self.aor = aor
        """The user of ours whose contact it is."""
        self.breadth = 1
        """The Max-Breadth that it gets (RFC 5393 section 5.3.3)."""
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
        self.ring: Timer | None = None
        """Runs while the destination may ring."""
        self.hurry: Timer | None = None
        """Runs while this one has not answered at all, and there is another target or no time to lose."""
        self.cancelled = False
        self.given_up = False
        """Whether it counts as ended before it has: it rang for too long, or was silent when cancelled.

        A 2xx is still welcome.
        """
        self.heard = False
        """Whether whoever is there has said anything but 100."""
        self.hung_up = False
        """Whether it was accepted too late, and has been told so."""
        self.redirecting = False
        """Whether it is looked for where a 3xx points to."""
        self.reported = False
        """Whether the destination was told how it ended."""

    def response_received(self, transaction: ClientTransaction, response: Response) -> None:
        """See `IClientUser`."""
        if transaction is self.client:
            self.context.responded(self, transaction, response)
        elif transaction.invite and 200 <= response.status < 300:
            failover.accepted_late(self.context, self, transaction, response)

    def client_failed(self, transaction: ClientTransaction, reason: str) -> None:
        """See `IClientUser`."""
        if transaction is self.client:
            failover.lost(self.context, self, transaction, reason)

    @property
    def is_contact(self) -> bool:
        """Whether one of our users has registered there."""
        return bool(self.aor) or self.context.proxy.inbound.is_gruu(self.context.transaction.request)

    def report(self, status: int) -> None:
        """Tell whoever chose the destination how it ended."""
        if not self.reported:
            self.reported = True
            if self.destination.done is not None:
                self.destination.done(status)

    def turn_to(self, destination: Destination, status: int) -> None:
        """Try another destination in place of one that ended with this status."""
        self.report(status)
        self.reported = False
        self.destination = destination
        self.client = None
        self.targets = []

    def start_ringing(self) -> None:
        """Ring no longer than Timer C from now on, and than the destination may."""
        self.start_timer_c()
        seconds = self.destination.timeout
        if seconds and self.ring is None:
            self.ring = self.context.proxy.layer.wheel.schedule(seconds, Branch.rang_out, self)

    def start_timer_c(self) -> None:
        """Begin Timer C anew."""
        if self.timer_c is not None:
            self.timer_c.cancel()
        proxy = self.context.proxy
        self.timer_c = proxy.layer.wheel.schedule(proxy.settings.timer_c, Branch.rang_out, self)

    def stop_ringing(self) -> None:
        """Ring no more."""
        for timer in (self.timer_c, self.ring):
            if timer is not None:
                timer.cancel()
        self.timer_c = self.ring = None

    def rang_out(self) -> None:
        """It rang for too long."""
        self.stop_ringing()
        failover.give_up(self.context, self)

    def hurry_up(self, seconds: float) -> None:
        """Wait no longer than this for a first answer."""
        self.hurry = self.context.proxy.layer.wheel.schedule(seconds, Branch.hurried, self)

    def hurried(self) -> None:
        """Nothing came back."""
        self.hurry = None
        failover.hurried(self.context, self)

    def stop_hurrying(self) -> None:
        """Something did, or it has failed."""
        timer, self.hurry = self.hurry, None
        if timer is not None:
            timer.cancel()


# Not by a decorator, with which mypyc would leave the class to the interpreter.
classImplements(Branch, IClientUser)
