"""REFERs of others: what they ask for, and telling them how it goes (RFC 3515, RFC 4488)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from rvoip.protocols.dialog import hooks
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.errors import Refused, WrongState
from rvoip.protocols.dialog.event_package import EventPackage
from rvoip.protocols.dialog.refer import (
    EXPIRES,
    PACKAGE,
    SIPFRAG,
    Refer,
    ReferReport,
    Triggered,
    read_refer,
    triggered,
)
from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.subscription_server import ServerSubscription, crowded
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.transfer_headers import TargetDialog

if TYPE_CHECKING:
    from rvoip.protocols.dialog.agent import UserAgent
    from rvoip.protocols.dialog.session import Session

__all__ = ["ReferServer", "ServerRefer"]


class ServerRefer:
    """A REFER that came: accept or reject it, do what it asks for, and tell how that goes.

    `triggered` is the request that it asks for; nothing of it is sent here.
    """

    def __init__(
        self, agent: UserAgent, transaction: ServerTransaction, refer: Refer, dialog: Dialog | None
    ) -> None:
        self.agent = agent
        self.request: Request = transaction.request
        self.refer = refer
        self.dialog = dialog
        """The dialog that it came in; None for one outside."""
        self.triggered: Triggered = triggered(self.request, refer)
        self.report = ReferReport()
        self.subscription: ServerSubscription | None = None
        """What the referrer is told through; None where it does not want to know, or not before `accept`."""
        self._transaction = transaction
        # Raises for a REFER outside a dialog that does not say where its sender is.
        self._living = dialog or Dialog.uas(self.request, agent.layer.new_tag())

    @property
    def session(self) -> Session | None:
        """The session that is transferred: in its dialog the REFER came, or its Target-Dialog names it, which
        only the parties of that dialog can know (RFC 4538).
        """
        dialog = self.dialog
        if dialog is None:
            try:
                target: TargetDialog | None = self.request.typed("target-dialog")
            except SIPParseError:
                return None
            if target is not None:
                dialog = self.agent.dialog(target.call_id, target.local_tag, target.remote_tag)
        return None if dialog is None else self.agent.session_in(dialog)

    @property
    def answered(self) -> bool:
        """Whether it is accepted, rejected, or given up by its sender."""
        return self._transaction.answered

    def accept(self, status: int = 202) -> None:
        """Accept it, with a subscription unless the referrer wants none (RFC 4488 section 4)."""
        if self.answered:
            raise WrongState("the REFER is answered")
        agent = self.agent
        if not self.refer.subscription:
            agent.respond(self._transaction, status, dialog=self.dialog, headers=(("Refer-Sub", "false"),))
            return
        living = self._living
        living.confirm()
        package = _Progress(self.report)
        subscription = ServerSubscription(agent, package, self.request, self.refer.event, "", _done)
        subscription.begin(living, EXPIRES, True)
        self.subscription = subscription
        agent.respond(self._transaction, status, dialog=living)
        subscription.start()

    def reject(self, status: int = 603, reason: str | None = None) -> None:
        """Do not do it."""
        if not self.answered:
            self.agent.respond(self._transaction, status, reason, dialog=self.dialog)

    def progress(self, status: int, reason: str | None = None) -> None:
        """The target has answered so; the first final response ends the report."""
        if not self.report.progress(status, reason) or self.subscription is None:
            return
        if self.report.done:
            self.subscription.terminate("noresource")
        else:
            self.subscription.changed()

    def refused(self, refused: Refused) -> None:
        """A hook raised it."""
        if not self.answered:
            self.agent.refuse(self._transaction, refused, self.dialog)
        else:
            self.progress(refused.status, refused.reason)


class ReferServer:
    """Takes the REFERs of a user agent: gives each to `received`, which may be `async` and raise `Refused`.

    Whoever follows a REFER calls where somebody else says, at its own expense: `received` decides who may.
    """

    def __init__(self, agent: UserAgent, received: Callable[[ServerRefer], Any]) -> None:
        self.agent = agent
        self.received = received
        agent.register_method("REFER", self._refer)
        agent.support("norefersub", "tdialog")

    def _refer(self, transaction: ServerTransaction, dialog: Dialog | None) -> None:
        refer = read_refer(transaction.request)
        if isinstance(refer, Refusal):
            raise Refused(refer.status, headers=refer.headers)
        if self.agent.full if dialog is None else crowded(dialog):
            raise Refused(503, headers=(("Retry-After", "30"),))
        if dialog is not None:
            dialog.refresh(transaction.request)
        made = ServerRefer(self.agent, transaction, refer, dialog)
        hooks.call(self.received, made, failed=made.refused)


class _Progress(EventPackage):
    """The package of the implicit subscription."""

    name = PACKAGE
    accept = (SIPFRAG,)
    default_expires = EXPIRES
    min_expires = 1

    def __init__(self, report: ReferReport) -> None:
        self.report = report

    def state(self, subscription: ServerSubscription) -> Awaitable[Body | None] | Body | None:
        return Body(self.report.body, SIPFRAG)


def _done(subscription: ServerSubscription) -> None:
    """Nobody keeps a list of them: they live in their dialogs."""
