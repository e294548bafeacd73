"""A session: what an INVITE makes in one dialog, from its first response to BYE, at either end."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog import hooks
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.dialog import CONFIRMED, EARLY, TERMINATED, Dialog
from rvoip.protocols.dialog.ending import NETWORK, PEER, US, Ending
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.glare import Overlap
from rvoip.protocols.dialog.interfaces import IDialogUsage
from rvoip.protocols.dialog.offer_answer import OfferAnswer
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.session_client import SessionClient
from rvoip.protocols.dialog.session_server import SessionServer
from rvoip.protocols.dialog.session_timer import SessionTimer
from rvoip.protocols.sip.message import Message, Request, Response

if TYPE_CHECKING:
    from rvoip.protocols.dialog.agent import UserAgent
    from rvoip.protocols.dialog.outgoing import Outgoing

__all__ = ["Session"]


@implementer(IDialogUsage)
class Session:
    """The INVITE usage of one dialog.

    Override the hooks; those that answer a request may be `async`, and refuse it by raising `Refused`. What
    is offered and answered is handed over as it came: see `Body`. `invite` is the `ClientInvite` or
    `ServerInvite` that made it.
    """

    def __init__(self, agent: UserAgent, dialog: Dialog, invite: Any) -> None:
        self.agent = agent
        self.dialog = dialog
        self.invite = invite
        self.ending: Ending | None = None
        """How it ended; None while it lives."""
        self.peer_allows: frozenset[str] = frozenset()
        """The methods that the peer's Allow named; empty where it sent none."""
        self.offer_answer: OfferAnswer[Body] = OfferAnswer()
        self.overlap = Overlap()
        self.timer: SessionTimer | None = None
        self.client = SessionClient(self)
        self.server = SessionServer(self)
        self._expiry: Timer | None = None
        self._bye: tuple[tuple[str, str], ...] | None = None
        self._established = False

    # Hooks.

    def offer_received(self, offer: Body, message: Message) -> Any:
        """An offer of the peer: return the answer, a `Body`, or raise `Refused`.

        It came in a re-INVITE, an UPDATE or a PRACK, or in a 2xx or a reliable provisional response to an
        INVITE of ours without one. Those in responses cannot be refused: the session ends then.
        """
        raise Refused(488)

    def offer_wanted(self, request: Request) -> Any:
        """A re-INVITE without an offer: return ours, a `Body`, or raise `Refused`.

        By default our description as it was agreed on last.
        """
        local = self.offer_answer.local
        if local is None:
            raise Refused(488)
        return local

    def answer_received(self, answer: Body, message: Message) -> Any:
        """The answer to our offer, or the first one where the INVITE carried ours."""

    def preview_received(self, answer: Body, response: Response) -> Any:
        """The answer as a provisional response shows it that may get lost: media may flow already."""

    def info_received(self, request: Request) -> Any:
        """An INFO: a status, an `Answer`, or None for 200.

        By default 469 for any package (RFC 6086 section 4.2.2), 415 for a body, else 200.
        """
        if request.has("info-package"):
            raise Refused(469, headers=(("Recv-Info", ""),))
        if request.body:
            raise Refused(415, headers=(("Accept", ", ".join(self.agent.settings.accept)),))
        return None

    def message_received(self, request: Request) -> Any:
        """A MESSAGE in the dialog: a status, an `Answer`, or None for 200. By default 405."""
        raise Refused(405, headers=(("Allow", self.agent.allow),))

    def established(self) -> Any:
        """The session stands: the 2xx is acknowledged."""

    def refreshed(self) -> Any:
        """The session timer was renewed, or a re-INVITE or UPDATE succeeded, of either side."""

    def ended(self, ending: Ending) -> Any:
        """It is over; called once, whatever happened."""

    # What the application does.

    @property
    def state(self) -> str:
        """ "early", "confirmed" or "terminated"."""
        return TERMINATED if self.ending is not None else self.dialog.state

    def bye(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        """End it, with these headers (Reason, RFC 3326). Harmless when it is over.

        Where we were called and the call is not answered, the call is rejected with 480; where its 2xx is not
        acknowledged, the BYE waits for that (RFC 3261 section 15).
        """
        headers = tuple(headers)
        if self.ending is not None or self._bye is not None:
            return
        if self.dialog.state == EARLY and self.dialog.role == "uas":
            self.invite.reject(480, headers=headers)
        elif self.server.unacknowledged:
            self._bye = headers
        else:
            self.hang_up(headers, Ending(200, "BYE", US))

    def reinvite(
        self, body: Body | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> Deferred[Response]:
        """Change or refresh the session by INVITE: with an offer, or for one of the peer's.

        Fires with the 2xx. Fails with `RequestRefused`, the session as it was; `RequestFailed`; or
        `WrongState` when another request is open. A 491 is tried again (section 14.1).
        """
        return self.client.turn("INVITE", body, tuple(headers))

    def update(self, body: Body | None = None, headers: Iterable[tuple[str, str]] = ()) -> Deferred[Response]:
        """Change or refresh the session by UPDATE (RFC 3311), which also works before it is answered; as
        `reinvite`.
        """
        return self.client.turn("UPDATE", body, tuple(headers))

    def request(
        self, method: str, headers: Iterable[tuple[str, str]] = (), body: Body | None = None
    ) -> Deferred[Response]:
        """Send INFO, MESSAGE, OPTIONS and their like; see `UserAgent.request`."""
        return self.agent.request(self.dialog, method, usage=self, headers=headers, body=body)

    def allows(self, method: str) -> bool:
        """Whether the peer said that it takes the method."""
        return method in self.peer_allows

    # From the agent (`IDialogUsage`).

    def takes(self, request: Request) -> bool:
        """See `IDialogUsage`."""
        return request.method in _TAKEN

    def request_received(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        """See `IDialogUsage`."""
        request = transaction.request
        method = request.method
        self.note(request)
        if method == "INVITE":
            self.server.invite(transaction)
        elif method == "UPDATE":
            self.server.update(transaction)
        elif method == "PRACK":
            self.server.prack(transaction)
        elif method == "BYE":
            self.agent.respond(transaction, 200, dialog=self.dialog)
            self.end(Ending(200, "BYE", PEER, request.get("reason")))
        else:
            hook = self.info_received if method == "INFO" else self.message_received
            hooks.call(
                hook,
                request,
                done=lambda result: self.agent.give(transaction, result, self.dialog),
                failed=lambda refused: self.agent.refuse(transaction, refused, self.dialog),
            )
        return None

    def ack_received(self, request: Request) -> None:
        """See `IDialogUsage`."""
        self.server.ack(request)

    def usage_ended(self, ending: Ending) -> None:
        """See `IDialogUsage`. A peer that does not know the session, or says nothing, still gets a BYE: it
        may be another one that answered, and proxies in the way learn that the call is over (RFC 3261 section
        12.2.1.2: terminating a dialog of an INVITE consists of sending a BYE).
        """
        if self.dialog.state == CONFIRMED and ending.status in (408, 481):
            self.hang_up((), ending)
        else:
            self.end(ending)

    # From the two halves and the INVITE.

    def note(self, message: Message) -> None:
        """Take from a message what it says of the peer."""
        if message.has("allow"):
            self.peer_allows = _methods(", ".join(message.get_all("allow")))

    def confirmed(self) -> None:
        """The 2xx of an INVITE is acknowledged, by us or by the peer."""
        if self.dialog.flow is not None:
            self.dialog.flow.keep(self.agent.layer.now() + _KEEP)
        if self.ending is None and not self._established:
            self._established = True
            hooks.call(self.established)
        bye, self._bye = self._bye, None
        if bye is not None:
            self.hang_up(bye, Ending(200, "BYE", US))

    def hang_up(self, headers: Iterable[tuple[str, str]], ending: Ending) -> None:
        """Send BYE and end with it (RFC 3261 section 15.1.1)."""
        if self.ending is not None:
            return
        self.client.finish_ack()
        request = self.dialog.request("BYE", headers)
        self.end(ending)
        self.agent.send(request, _heard, _unheard, dialog=self.dialog)

    def end(self, ending: Ending) -> None:
        """It is over: nothing more is sent, but the answers to what is open."""
        if self.ending is not None:
            return
        self.ending = ending
        if self.timer is not None:
            self.timer.stop()
        self.watch_timer()
        self.client.stop()
        self.server.stop()
        self.agent.detach(self.dialog, self)
        self.invite.session_ended(self, ending)
        hooks.call(self.ended, ending)

    def watch_timer(self) -> None:
        """Have the session timer looked at when it is due."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        timer = self.timer
        if self.ending is None and timer is not None and timer.deadline is not None:
            layer = self.agent.layer
            self._expiry = layer.wheel.schedule(timer.deadline - layer.now(), Session._timer_due, self)

    def _timer_due(self) -> None:
        self._expiry = None
        if self.timer is None or self.ending is not None:
            return
        what = self.timer.poll(self.agent.layer.now())
        if what == "expire":
            self.hang_up(
                (("Reason", 'SIP;cause=408;text="Session expired"'),), Ending(408, "session expired", NETWORK)
            )
            return
        if what == "refresh":
            self.client.refresh()
        self.watch_timer()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state} {self.dialog.call_id}>"


@lru_cache(64)
def _methods(allow: str) -> frozenset[str]:
    """The methods of an Allow value: all calls of a peer share them."""
    return frozenset(value.strip(" \t").upper() for value in allow.split(","))


_KEEP = 7200.0
"""Seconds that a connection which is the only way to a peer is not closed as idle; more with each INVITE."""

_TAKEN = frozenset(("INVITE", "ACK", "BYE", "UPDATE", "PRACK", "INFO", "MESSAGE"))


def _heard(outgoing: Outgoing, response: Response) -> None:
    """Whatever the answer to a BYE is, the session is over."""


def _unheard(outgoing: Outgoing, reason: str) -> None:
    """So it is without an answer."""
