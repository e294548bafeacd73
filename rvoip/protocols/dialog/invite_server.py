"""An INVITE that came: its early dialogs, its answer, the call that it replaces (RFC 3261 section 13.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog import hooks
from rvoip.protocols.dialog.body import Body, session_part
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.ending import NETWORK, PEER, US, Ending
from rvoip.protocols.dialog.errors import Gone, Refused, WrongState
from rvoip.protocols.dialog.offer_answer import OfferAnswerError
from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.dialog.reliable import negotiate_reliable
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.session_timer import SessionTimer
from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import URI

if TYPE_CHECKING:
    from rvoip.protocols.dialog.agent import UserAgent
    from rvoip.protocols.dialog.session import Session

__all__ = ["ServerInvite"]

_STILL_RINGING = 60.0
"""Seconds after which a provisional response is given again, for proxies on the way (section 13.3.1.1)."""


class ServerInvite:
    """An INVITE outside a dialog, to be answered with `progress`, and `accept`, `reject` or `redirect`.

    `replaces` and `joins` are the sessions of ours that it asks for (RFC 3891, RFC 3911), None for none; the
    one that it replaces is ended when it is accepted. Override the hook `cancel_received`.
    """

    def __init__(self, agent: UserAgent, transaction: ServerTransaction) -> None:
        self.agent = agent
        self.transaction = transaction
        self.request: Request = transaction.request
        self.offer: Body | None = session_part(self.request)
        """The peer's offer; None where it wants ours in the 2xx or a reliable provisional response."""
        self.replaces: Session | None = None
        self.joins: Session | None = None
        self.cancelled = False
        """Whether the peer has given it up."""
        self.reliable = False
        """Whether provisional responses are sent reliably."""
        self.sessions: list[Session] = []
        """Its early dialogs, the first one of them made at once; in the end the accepted one."""
        self._again: Timer | None = None
        self._expiry: Timer | None = None
        self._last = 0
        self._over = False
        self._lost = False

    # Hooks.

    def cancel_received(self, cancel: Request) -> Any:
        """The peer has given it up; it is answered 487 already. The Reason of `cancel` may say why."""

    # What the application does.

    @property
    def session(self) -> Session:
        """The session that it makes."""
        return self.sessions[0]

    @property
    def answered(self) -> bool:
        """Whether it has its final answer."""
        return self._over

    def progress(
        self,
        status: int = 180,
        body: Body | None = None,
        headers: Iterable[tuple[str, str]] = (),
        *,
        reliable: bool | None = None,
        reason: str | None = None,
        session: Session | None = None,
    ) -> Deferred[Request | None]:
        """Send a provisional response, 101 to 199, in the first early dialog or another one of it.

        `reliable` asks for PRACK, where the peer can do that, or not for it, where the peer lets us; by
        default as the settings say. One that would have to have an offer and has none goes unreliably, or
        not at all where the peer takes no such.

        Fires with the PRACK, or at once with None; also with None when the INVITE is over before. An answer
        or offer in `body` counts for good only in a reliable response. Raises `WrongState` when the INVITE
        is answered, or `body` is not what may come now; `Gone` when the caller has given up.
        """
        session = self._open(session)
        must = self.reliable and "100rel" in self.request.option_tags("require")
        # The first reliable response to an INVITE without an offer has one (RFC 3262 section 5).
        if body is None and session.offer_answer.expects("reliable 1xx") == "offer":
            if must:
                return succeed(None)
            reliable = False
        reliable = must or (reliable is not False and self.reliable)
        described = body is not None and body.describes
        try:
            session.offer_answer.send("reliable 1xx" if reliable else "1xx", body if described else None)
        except OfferAnswerError as error:
            raise WrongState(str(error)) from None
        self._show(session)
        self._last = status
        response = self.agent.make_response(
            self.transaction,
            status,
            reason,
            dialog=session.dialog,
            headers=(*headers, *self.agent.own_headers),
            body=body,
        )
        self._ring_on()
        if reliable:
            return session.server.provisional(response, described)
        self.transaction.respond(response)
        return succeed(None)

    def fork(self) -> Session:
        """One more early dialog: for an element that passes on those of a forked INVITE of its own."""
        session = self._make_session()
        self.sessions.append(session)
        return session

    def accept(
        self,
        body: Body | None = None,
        headers: Iterable[tuple[str, str]] = (),
        *,
        session: Session | None = None,
        status: int = 200,
    ) -> Session:
        """Answer 2xx, with the answer to its offer, or with ours where it had none.

        Without a body where the answer was given in a provisional response. It is sent again until the ACK
        comes, or for 64*T1. The session's `established` or `ended` tells which. Raises as `progress`.
        """
        session = self._open(session)
        machine = session.offer_answer
        body = body or machine.early
        try:
            machine.send("2xx", body if body is not None and body.describes else None)
        except OfferAnswerError as error:
            raise WrongState(str(error)) from None
        response = self.agent.make_response(
            self.transaction,
            status,
            dialog=session.dialog,
            headers=(*headers, *session.server.timer_headers(self.request), *self.agent.own_headers),
            body=body,
        )
        self._finish()
        self._show(session)
        session.dialog.confirm()
        others, self.sessions = [one for one in self.sessions if one is not session], [session]
        session.server.accept(response)
        for other in others:
            other.end(Ending(487, "another one was answered", US))
        if self.replaces is not None:
            self._replace(self.replaces)
        return session

    def reject(
        self, status: int = 486, reason: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Answer with 300 to 699. Harmless when it is answered."""
        if not self._over:
            self._end(Ending(status, reason or "rejected", US), status, reason, tuple(headers))

    def redirect(self, contacts: Iterable[NameAddr | URI | str], status: int = 302) -> None:
        """Send the caller elsewhere (section 21.3)."""
        values = [str(one) if isinstance(one, NameAddr) else f"<{one}>" for one in contacts]
        self.reject(status, headers=tuple(("Contact", value) for value in values))

    # From the agent and the session.

    def began(self) -> None:
        """It is in order so far: see what its headers ask for. It may be refused here."""
        request = self.request
        session = self._make_session()
        self.agent.invites.add(self)
        self.sessions.append(session)
        session.offer_answer.receive("INVITE", self.offer)
        negotiated = negotiate_reliable(request, self.agent.settings.reliable)
        refusal = negotiated if isinstance(negotiated, Refusal) else None
        if refusal is None and session.timer is not None:
            refusal = session.timer.receive_request(request)
        if refusal is not None:
            headers = refusal.headers_with(self.agent.random())
            self.refused(Refused(refusal.status, headers=headers))
            return
        self.reliable = negotiated is True
        self.transaction.on_cancel = self._cancelled
        self.transaction.on_end = self._ended
        limit = self.agent.settings.answer
        expires = request.expires
        if expires is not None and expires < limit:
            self._expiry = self.agent.layer.wheel.schedule(float(expires), ServerInvite._expired, self)
        else:
            self._expiry = self.agent.layer.wheel.schedule(limit, ServerInvite._left, self)

    def refused(self, refused: Refused) -> None:
        """A hook will not have it."""
        self.reject(refused.status, refused.reason, refused.headers)

    def session_ended(self, session: Session, ending: Ending) -> None:
        """A session is over: by a BYE of the peer, where the INVITE is not answered (section 15.1.2)."""
        if not self._over:
            if len(self.sessions) > 1:
                self.sessions.remove(session)
            else:
                self._end(ending, 487, None, ())

    def _open(self, session: Session | None) -> Session:
        """The early dialog to answer in, the first one unless given."""
        if self._lost:
            raise Gone("the caller has given up")
        if self._over:
            raise WrongState("the INVITE is answered")
        session = session or self.session
        if session.ending is not None:
            raise Gone("this early dialog has ended")
        return session

    def _make_session(self) -> Session:
        agent = self.agent
        dialog = Dialog.uas(self.request, agent.layer.new_tag())
        flow = self.transaction.flow
        if agent.settings.symmetric or (flow.reliable and not dialog.route_set):
            dialog.flow = flow
        dialog.authentication = agent.authentication()
        session = agent.session(agent, dialog, self)
        session.note(self.request)
        if agent.settings.timer.policy != "off":
            session.timer = SessionTimer(agent.settings.timer)
        session.overlap.received("INVITE")
        session.server.begin(self.transaction)
        if self.sessions:
            session.offer_answer.receive("INVITE", self.offer)
        return session

    def _show(self, session: Session) -> None:
        """The peer is about to learn of the dialog."""
        if session not in session.dialog.usages:
            self.agent.attach(session.dialog, session)

    def _ring_on(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = self.agent.layer.wheel.schedule(_STILL_RINGING, ServerInvite._ring_again, self)

    def _ring_again(self) -> None:
        self._again = None
        if not self._over:
            self.progress(self._last)

    def _expired(self) -> None:
        """The time that the caller gave us is over (section 13.3.1)."""
        self._expiry = None
        if not self._over:
            self._end(Ending(487, "expired", PEER), 487, None, ())

    def _left(self) -> None:
        """Nobody here answers it."""
        self._expiry = None
        self.reject(480)
        self._lost = True

    def _cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        ending = Ending(487, "cancelled", PEER, cancel.get("reason"))
        if not self._over:
            self.cancelled = True
            self._end(ending, 487, None, (), cancel)
        elif self.session.server.withdraw(487, ending):
            self.cancelled = True
            hooks.call(self.cancel_received, cancel)

    def _ended(self, transaction: ServerTransaction, reason: str) -> None:
        """The transaction is over."""
        if not self._over:
            self._end(Ending(408, reason or "over", NETWORK), 0, None, ())

    def _end(
        self,
        ending: Ending,
        status: int,
        reason: str | None,
        headers: tuple[tuple[str, str], ...],
        cancel: Request | None = None,
    ) -> None:
        self._finish()
        self._lost = ending.by != US
        if status:
            response = self.agent.make_response(
                self.transaction, status, reason, dialog=self.session.dialog, headers=headers
            )
            self.session.server.rejected(status)
            self.transaction.respond(response)
        if cancel is not None:
            hooks.call(self.cancel_received, cancel)
        for session in self.sessions:
            session.end(ending)

    def _finish(self) -> None:
        self._over = True
        self.agent.invites.discard(self)
        for timer in (self._again, self._expiry):
            if timer is not None:
                timer.cancel()
        self._again = self._expiry = None

    def _replace(self, session: Session) -> None:
        """The call that this one takes the place of ends (RFC 3891 section 3)."""
        if session.state == "early" and session.dialog.role == "uac":
            session.invite.cancel()
        else:
            session.bye()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request.call_id}>"
