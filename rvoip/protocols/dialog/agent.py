"""The user agent layer: dialogs, their usages, and requests outside them (RFC 3261 sections 8 and 12)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from zope.interface import implementer

from rvoip.protocols.dialog import hooks
from rvoip.protocols.dialog.agent_core import AgentCore
from rvoip.protocols.dialog.agent_settings import Answer
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.dialog import CONFIRMED, Dialog, received_in
from rvoip.protocols.dialog.ending import US, Ending
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.interfaces import ITransactionUser
from rvoip.protocols.dialog.invite_client import ClientInvite
from rvoip.protocols.dialog.invite_server import ServerInvite
from rvoip.protocols.dialog.replaces import named_dialog, refusal, wanted
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.session import Session
from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.check import KNOWN_METHODS
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.transfer_headers import Join, Replaces
from rvoip.protocols.sip.uri import URI, SipURI, TelURI
from rvoip.protocols.transport.flow import Flow

__all__ = ["UserAgent"]

_SESSION_METHODS = frozenset(("BYE", "INVITE", "PRACK", "UPDATE", "INFO", "NOTIFY"))


@implementer(ITransactionUser)
class UserAgent(AgentCore):
    """One user agent: any number of addresses, calls and subscriptions.

    `layer` is the transaction layer, whose user this is to be; `locator` finds the targets of URIs (a
    `Locator`); `find_credential` is asked what to show whom: see `rvoip.protocols.dialog.challenge`.

    Override the hooks `invite_received`, `message_received`, `options_received`, `may_take_over`,
    `request_made`, `response_made`, `request_seen`, `response_seen` and `contact`, and name the classes of
    calls in `server_invite`, `client_invite` and `session`. The first three hooks may be `async`; what they
    raise as `Refused` is answered so, anything else is logged and answered 500.
    """

    server_invite: ClassVar[type[ServerInvite]] = ServerInvite
    client_invite: ClassVar[type[ClientInvite]] = ClientInvite
    session: ClassVar[type[Session]] = Session

    # Hooks.

    def invite_received(self, invite: ServerInvite) -> Awaitable[object] | None:
        """A call: answer it with its `progress`, `accept`, `reject`, now or later. By default 480."""
        raise Refused(480)

    def may_take_over(self, invite: ServerInvite, session: Session) -> bool:
        """Whether this INVITE may replace or join that session (RFC 3891 section 3).

        By default, a secret that only the session's parties know, its tags, is enough to replace it; a
        session is joined only where this is overridden; say so with `support("join")`.
        """
        return invite.replaces is session

    def message_received(self, request: Request) -> Any:
        """A MESSAGE outside a dialog (RFC 3428): a status, an `Answer`, or None for 200. By default 405."""
        raise Refused(405, headers=(("Allow", self.allow),))

    def options_received(self, request: Request) -> Any:
        """An OPTIONS to us: a status, an `Answer`, or None for a 200 that says what we can."""
        return None

    # Sessions.

    @property
    def takes_messages(self) -> bool:
        """Whether MESSAGE outside a dialog is of use here."""
        return type(self).message_received is not UserAgent.message_received

    def find_session(self, header: Replaces | Join) -> Session | None:
        """The session that is meant; it may be early. None where there is none."""
        call_id, local_tag, remote_tag = named_dialog(header)
        dialog = self._dialogs.get((call_id, local_tag, remote_tag))
        if dialog is None and remote_tag == "0":
            dialog = self._dialogs.get((call_id, local_tag, ""))
        return None if dialog is None else self.session_in(dialog)

    def session_in(self, dialog: Dialog) -> Session | None:
        """The session that lives in the dialog."""
        return next((one for one in dialog.usages if isinstance(one, Session)), None)

    def close(self, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """End every call with CANCEL, 503 or BYE and these headers, every other usage without a word."""
        for invite in list(self.invites):
            if isinstance(invite, ServerInvite):
                invite.reject(503, headers=headers)
            else:
                invite.cancel(headers)
        for dialog in self.dialogs:
            for usage in list(dialog.usages):
                if not isinstance(usage, Session):
                    usage.usage_ended(Ending(503, "closing", US))
                elif usage.state == CONFIRMED:
                    usage.bye(headers)

    def invite(
        self,
        uri: URI | str,
        *,
        from_: NameAddr | str,
        body: Body | None = None,
        make: type[ClientInvite] | None = None,
        **more: Any,
    ) -> ClientInvite:
        """Call; see `ClientInvite` for what comes of it, and for the other keywords."""
        invite = (make or self.client_invite)(self, uri, from_=from_, body=body, **more)
        invite.start()
        return invite

    # From the transaction layer (`ITransactionUser`).

    def request_received(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        """See `ITransactionUser`."""
        request = transaction.request
        try:
            if request.to.tag is None:
                return self._outside(transaction, request)
            return self._inside(transaction, request)
        except Refused as refused:
            self.refuse(transaction, refused)
        except SIPParseError as error:
            self.refuse(transaction, Refused(error.status, error.reason))
        return None

    def ack_received(self, request: Request, flow: Flow) -> None:
        """See `ITransactionUser`."""
        dialog = self._dialogs.get(received_in(request))
        if dialog is None:
            return
        self.request_seen(request, dialog)
        for usage in dialog.usages:
            if usage.takes(request):
                usage.ack_received(request)
                return

    def response_unmatched(self, response: Response, flow: Flow) -> None:
        """See `ITransactionUser`: what comes after its transaction is over is dropped."""

    def _inside(self, transaction: ServerTransaction, request: Request) -> Awaitable[object] | None:
        """A request within a dialog (RFC 3261 section 12.2.2)."""
        dialog = self._dialogs.get(received_in(request))
        if dialog is None:
            taker = self._expected.get((request.call_id, request.to.tag or ""))
            if taker is None:
                raise Refused(481)
            return taker(transaction, None)
        status = dialog.receive(request)
        if status:
            raise Refused(status)
        self.request_seen(request, dialog)
        self._check_required(request)
        dialog.pending = [one for one in dialog.pending if not one.answered]
        if len(dialog.pending) >= self.settings.pending and request.method != "BYE":
            raise self._too_much()
        waiting = self._deliver(transaction, request, dialog)
        if not transaction.answered:
            dialog.pending.append(transaction)
        return waiting

    def _deliver(
        self, transaction: ServerTransaction, request: Request, dialog: Dialog
    ) -> Awaitable[object] | None:
        waiting: Awaitable[object] | None
        for usage in list(dialog.usages):
            if usage.takes(request):
                waiting = usage.request_received(transaction)
                return waiting
        method = request.method
        taker = self._methods.get(method)
        if taker is not None:
            return taker(transaction, dialog)
        if method == "OPTIONS":
            self._options(transaction, request, dialog)
            return None
        if method in _SESSION_METHODS:
            raise Refused(481)
        raise self._not_allowed(method)

    def _outside(self, transaction: ServerTransaction, request: Request) -> Awaitable[object] | None:
        """A request outside a dialog (section 8.2)."""
        method = request.method
        taker = self._methods.get(method)
        if taker is None and method not in ("INVITE", "OPTIONS", "MESSAGE"):
            if method in ("BYE", "PRACK", "UPDATE", "INFO", "NOTIFY"):
                raise Refused(481)
            raise self._not_allowed(method)
        if not isinstance(request.uri, SipURI | TelURI):
            raise Refused(416)
        if self._is_merged(request):
            raise Refused(482)
        self.request_seen(request, None)
        self._check_required(request)
        if request.has("content-encoding") and (request.get("content-encoding") or "").lower() != "identity":
            raise Refused(415, headers=(("Accept-Encoding", "identity"),))
        if taker is not None:
            return taker(transaction, None)
        if method == "INVITE":
            self._invited(transaction, request)
        elif method == "OPTIONS":
            self._options(transaction, request, None)
        else:
            self._ask(self.message_received, transaction, request)
        return None

    def _is_merged(self, request: Request) -> bool:
        """Whether the request came already by another way, with another branch (section 8.2.2.2)."""
        now = self.layer.now()
        key = (request.call_id, request.from_.tag, request.get("cseq"))
        merged = self._merged.add(key, now) and not self._merged.seen((key, request.via.branch), now)
        if not merged:
            self._merged.add((key, request.via.branch), now)
        return merged

    def _ask(self, hook: Callable[[Request], Any], transaction: ServerTransaction, request: Request) -> None:
        hooks.call(
            hook,
            request,
            done=lambda result: self.give(transaction, result),
            failed=lambda refused: self.refuse(transaction, refused),
        )

    def _options(self, transaction: ServerTransaction, request: Request, dialog: Dialog | None) -> None:
        """Section 11.2: as an INVITE would be answered, with what we can."""

        def done(result: Any) -> None:
            self.give(transaction, Answer(headers=self.capabilities()) if result is None else result, dialog)

        hooks.call(
            self.options_received,
            request,
            done=done,
            failed=lambda refused: self.refuse(transaction, refused, dialog),
        )

    def _invited(self, transaction: ServerTransaction, request: Request) -> None:
        if self.full:
            raise self._too_much()
        essence = request.content_type
        if request.body and essence is not None and essence not in self.settings.accept:
            handling = (request.get("content-disposition") or "").lower().replace(" ", "")
            if "handling=optional" not in handling:
                raise Refused(415, headers=(("Accept", ", ".join(self.settings.accept)),))
        invite = self.server_invite(self, transaction)
        self._find_taken_over(invite, request)
        invite.began()
        if not invite.answered:
            hooks.call(self.invite_received, invite, failed=invite.refused)

    def _find_taken_over(self, invite: ServerInvite, request: Request) -> None:
        """RFC 3891 section 3 and RFC 3911 section 4."""
        header = wanted(request)
        if header is None:
            return
        session = self.find_session(header)
        if session is None:
            raise Refused(603 if self._ended.seen(named_dialog(header), self.layer.now()) else 481)
        status = refusal(header, session.dialog.state, session.dialog.role)
        if status:
            raise Refused(status)
        if isinstance(header, Replaces):
            invite.replaces = session
        else:
            invite.joins = session
        if not self.may_take_over(invite, session):
            raise Refused(403)

    def _check_required(self, request: Request) -> None:
        unknown = request.other_tags("require", self._supported)
        if unknown:
            raise Refused(420, headers=(("Unsupported", ", ".join(unknown)),))

    def _too_much(self) -> Refused:
        """Spread, so that they don't all come back at once."""
        return Refused(503, headers=(("Retry-After", str(5 + int(26 * self.random()))),))

    def _not_allowed(self, method: str) -> Refused:
        return Refused(405 if method in KNOWN_METHODS else 501, headers=(("Allow", self.allow),))
