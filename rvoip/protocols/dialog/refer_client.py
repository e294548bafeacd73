"""REFERs of ours: asking a peer to call somebody, and hearing how that goes (RFC 3515)."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog import hooks
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.ending import NETWORK, PEER, Ending
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.interfaces import IDialogUsage
from rvoip.protocols.dialog.outgoing import Outgoing
from rvoip.protocols.dialog.refer import (
    EXPIRES,
    ReferProgress,
    event_matches,
    makes_subscription,
    refer_headers,
)
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.subscription import ENDED, TERMINATED, Subscriber
from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.subscription_headers import SubscriptionState
from rvoip.protocols.sip.transfer_headers import Replaces
from rvoip.protocols.sip.uri import URI

if TYPE_CHECKING:
    from rvoip.protocols.dialog.agent import UserAgent

__all__ = ["ClientRefer"]


@implementer(IDialogUsage)
class ClientRefer:
    """A REFER of ours, within a dialog (a transfer) or outside; override the hooks.

    With `replaces` the peer's new call takes over that dialog at the target: an attended transfer.
    """

    def __init__(
        self,
        agent: UserAgent,
        refer_to: NameAddr | str,
        *,
        referred_by: NameAddr | str | None = None,
        replaces: Replaces | None = None,
        subscription: bool = True,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.agent = agent
        self.progress = ReferProgress()
        self.dialog: Any = None
        self._headers = (
            *refer_headers(refer_to, referred_by=referred_by, replaces=replaces, subscription=subscription),
            *headers,
        )
        self._wanted = subscription
        self._expected: tuple[str, str] | None = None
        self._machine: Subscriber | None = None
        self._outgoing: Outgoing | None = None
        self._timer: Timer | None = None
        self._over = False

    # Hooks.

    def progressed(self, status: int, reason: str) -> Any:
        """The target has answered so, as the peer reports."""

    def ended(self, outcome: str, status: int, reason: str) -> Any:
        """It is over; called once. `outcome` is "succeeded", "failed" (both as the target answered),
        "refused" (the peer does not do it) or "unknown".
        """

    # What the application does.

    def send(self, dialog: Dialog) -> None:
        """Send it within a dialog: what the peer has there, it is asked to have with the target."""
        self.dialog = dialog
        self.agent.attach(dialog, self)
        self._start(dialog.request("REFER", self._headers), dialog)

    def send_to(self, uri: URI | str, *, from_: NameAddr | str, **more: Any) -> None:
        """Send it outside a dialog; see `UserAgent.make_request` for the keywords."""
        request = self.agent.make_request("REFER", uri, from_=from_, headers=self._headers, **more)
        self._expected = (request.call_id, request.from_.tag or "")
        self.agent.expect(*self._expected, self._first_notify)
        self._start(request, None)

    # Sending.

    def _start(self, request: Request, dialog: Dialog | None) -> None:
        agent = self.agent
        self._machine = Subscriber(agent.layer.timers, EXPIRES, agent.layer.now())
        authentication = agent.authentication() if dialog is None else None
        self._outgoing = agent.send(
            request, self._responded, self._unanswered, dialog=dialog, authentication=authentication
        )
        self._arm()

    def _responded(self, outgoing: Outgoing, response: Response) -> None:
        machine = self._machine
        if response.status < 200 or self._over or machine is None:
            return
        if response.status < 300:
            self.progress.answered(
                response.status, response.reason, makes_subscription(response, self._wanted)
            )
            if self.dialog is not None:
                self.dialog.refresh(response)
            machine.accepted(None, self.agent.layer.now())
            self._look()
            return
        self.progress.answered(response.status, response.reason)
        dialog = self.dialog
        self._finish()
        if dialog is not None:
            self.agent.outcome(dialog, self, "REFER", response.status, response.reason, PEER)

    def _unanswered(self, outgoing: Outgoing, reason: str) -> None:
        if self._over:
            return
        status = 408 if reason == "timeout" else 503
        self.progress.answered(status, reason)
        dialog = self.dialog
        self._finish()
        if dialog is not None:
            self.agent.outcome(dialog, self, "REFER", status, reason, NETWORK)

    # NOTIFY.

    def _first_notify(self, transaction: ServerTransaction, _: Dialog | None) -> Awaitable[object] | None:
        """The NOTIFY that makes the dialog of a REFER outside one."""
        request = transaction.request
        outgoing = self._outgoing
        if outgoing is None or self.dialog is not None or self._over or not self.takes(request):
            raise Refused(481)
        dialog = Dialog.from_notify(outgoing.request, request)
        dialog.receive(request)
        dialog.confirm()
        flow = outgoing.flow
        if flow is not None and not dialog.route_set and flow.reliable:
            dialog.flow = flow
        self.dialog = dialog
        self.agent.request_seen(request, dialog)
        self.agent.attach(dialog, self)
        return self.request_received(transaction)

    def takes(self, request: Request) -> bool:
        """See `IDialogUsage`: a NOTIFY of the implicit subscription."""
        if request.method != "NOTIFY" or self._outgoing is None:
            return False
        others = 0 if self.dialog is None else sum(isinstance(one, ClientRefer) for one in self.dialog.usages)
        number = self._outgoing.request.cseq.number
        return event_matches(request.get("event") or "", number, others <= 1)

    def request_received(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        """See `IDialogUsage`."""
        request = transaction.request
        machine = self._machine
        state: SubscriptionState | None = request.typed("subscription-state")
        if state is None:
            raise Refused(400, "Missing Subscription-State")
        if machine is None or machine.state == TERMINATED:
            raise Refused(481)
        self.agent.respond(transaction, 200, dialog=self.dialog)
        machine.notified(state, self.agent.layer.now())
        news = self.progress.notified(state, request.body)
        if news and self.progress.status and not self._over:
            hooks.call(self.progressed, self.progress.status, self.progress.reason)
        self._look()
        return None

    def ack_received(self, request: Request) -> None:
        """See `IDialogUsage`: there is no ACK here."""

    def usage_ended(self, ending: Ending) -> None:
        """See `IDialogUsage`: the dialog is over, and nothing more will be heard."""
        self.progress.ended()
        self._finish()

    # Time.

    def _look(self) -> None:
        """Whether it is over: the target's final answer is known, and the peer has said its last word."""
        machine = self._machine
        if self._over or machine is None:
            return
        if self.progress.over and (machine.state == TERMINATED or not self._wanted):
            self._finish()
        else:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        machine = self._machine
        if self._over or machine is None or machine.deadline is None:
            return
        if self.progress.state == ReferProgress.ASKED:
            return  # its own transaction ends it
        layer = self.agent.layer
        delay = max(0.0, machine.deadline - layer.now())
        self._timer = layer.wheel.schedule(delay, ClientRefer._tick, self)

    def _tick(self) -> None:
        self._timer = None
        machine = self._machine
        if machine is not None and machine.poll(self.agent.layer.now()) == ENDED:
            self.progress.ended()
            self._finish()
        else:
            self._arm()

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._machine is not None:
            self._machine.stop()
        if self._expected is not None:
            self.agent.unexpect(*self._expected)
        if self.dialog is not None:
            self.agent.detach(self.dialog, self)
        self.progress.ended()
        hooks.call(self.ended, self.progress.outcome, self.progress.status, self.progress.reason)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.progress.state} {self.progress.status}>"
