"""The peer's requests in a session: INVITE and its ACK, UPDATE and PRACK; and our responses to an INVITE.

The first INVITE of a session is answered by its `ServerInvite`, by way of what is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog import hooks, reliable
from rvoip.protocols.dialog.body import Body, session_part
from rvoip.protocols.dialog.dialog import EARLY
from rvoip.protocols.dialog.ending import NETWORK, PEER, Ending
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.offer_answer import ANSWER, NO_ANSWER, OFFER, REFUSED
from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.dialog.reliable import Output, ReliableServer
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.unacknowledged import Unacknowledged
from rvoip.protocols.sip.message import Request, Response

if TYPE_CHECKING:
    from rvoip.protocols.dialog.session import Session

__all__ = ["SessionServer"]


class SessionServer:
    """What a session answers its peer."""

    __slots__ = (
        "_accepted",
        "_cseq",
        "_held",
        "_invite",
        "_pracks",
        "_provisionals",
        "_session",
        "_timer",
        "_unacknowledged",
    )

    def __init__(self, session: Session) -> None:
        self._session = session
        # The INVITE that is open, the first one or another.
        self._invite: ServerTransaction | None = None
        # The CSeq number of the last one, which late PRACKs still name.
        self._cseq = 0
        # Its 2xx, until it is acknowledged.
        self._accepted: tuple[ServerTransaction, Response] | None = None
        self._unacknowledged: Unacknowledged | None = None
        self._provisionals: ReliableServer[Response] | None = None
        # Whoever waits for the PRACK of a response, by the response before it is sent and its RSeq after.
        self._pracks: dict[int, Deferred[Request | None]] = {}
        # A 2xx that waits for a PRACK (RFC 3262 section 3).
        self._held: Response | None = None
        self._timer: Timer | None = None

    @property
    def unacknowledged(self) -> bool:
        """Whether a 2xx to an INVITE waits for its ACK, or to be sent."""
        return self._accepted is not None or self._held is not None

    @property
    def undelivered(self) -> bool:
        """Whether a reliable provisional response waits for its PRACK, or to be sent."""
        return self._provisionals is not None and self._provisionals.pending > 0

    # Responses to an INVITE.

    def begin(self, transaction: ServerTransaction) -> None:
        """An INVITE is to be answered."""
        self._invite = transaction
        self._cseq = transaction.request.cseq.number
        self._provisionals = None

    def provisional(self, response: Response, described: bool) -> Deferred[Request | None]:
        """Send a provisional response reliably, now or when those before it are acknowledged.

        Fires with its PRACK, which is answered already unless it has an offer; with None when the INVITE is
        over before that.
        """
        waiting: Deferred[Request | None] = Deferred()
        if self._provisionals is None:
            first = 1 + int(self._session.agent.random() * (2**31 - 2))
            self._provisionals = ReliableServer(self._session.agent.layer.timers, first)
        self._pracks[id(response)] = waiting
        self._run(self._provisionals.send(response, described, self._now()))
        self._arm()
        return waiting

    def accept(self, response: Response) -> None:
        """Send a 2xx to the open INVITE, and again until it is acknowledged; later where it has to wait."""
        if self._provisionals is not None and not self._provisionals.finish(response.status, self._now()):
            self._held = response
            return
        self._send_accepted(response)

    def rejected(self, status: int) -> None:
        """The first INVITE gets a final response that is no 2xx."""
        self._invite = None
        if self._provisionals is not None:
            self._provisionals.finish(status, self._now())
        self._held = None
        self._forget_pracks()
        self._arm()

    def withdraw(self, status: int, ending: Ending) -> bool:
        """Refuse the first INVITE in place of the 2xx that waits for a PRACK; False where none waits."""
        transaction = self._invite
        if self._held is None or transaction is None or transaction.request.to.tag is not None:
            return False
        self._held = self._invite = None
        self._session.agent.refuse(transaction, Refused(status), self._session.dialog)
        self._session.end(ending)
        return True

    def _send_accepted(self, response: Response) -> None:
        transaction, self._invite = self._invite, None
        self._held = None
        if transaction is None:
            return
        self._forget_pracks()
        self._accepted = (transaction, response)
        self._unacknowledged = Unacknowledged(self._session.agent.layer.timers, self._now())
        self._session.overlap.received_ended("INVITE")
        transaction.respond(response)
        self._arm()

    def _run(self, outputs: list[Output[Response]], prack: ServerTransaction | None = None) -> None:
        for output in outputs:
            what, response = output.what, output.response
            if what == reliable.SEND and response is not None:
                waiting = self._pracks.pop(id(response), None)
                if waiting is not None:
                    self._pracks[output.rseq] = waiting
                response.set("rseq", str(output.rseq))
                response.add("require", "100rel")
                self._send(response)
            elif what == reliable.RESEND and response is not None:
                self._send(response)
            elif what == reliable.ACKNOWLEDGED and prack is not None:
                self._acknowledged(prack, output.rseq)
            elif what == reliable.UNMATCHED and prack is not None:
                self._session.agent.respond(prack, 481, dialog=self._session.dialog)
            elif what == reliable.RELEASE:
                if self._held is not None:
                    self._send_accepted(self._held)
            elif what == reliable.EXPIRED:
                self._expired()

    def _send(self, response: Response) -> None:
        if self._invite is not None:
            self._invite.respond(response)

    def _expired(self) -> None:
        """Nobody acknowledges a provisional response (RFC 3262 section 3)."""
        session = self._session
        if self.withdraw(504, Ending(504, "no PRACK", NETWORK)):
            return
        self._held = None
        if session.invite is not None and session.state == "early":
            session.invite.reject(504)
        elif self._invite is not None:
            self._refuse_invite(self._invite, Refused(504))

    # Requests.

    def invite(self, transaction: ServerTransaction) -> None:
        """A re-INVITE (RFC 3261 section 14.2)."""
        session = self._session
        request = transaction.request
        refusal = session.overlap.received("INVITE")
        if refusal is not None:
            self._refuse(transaction, refusal)
            return
        self.acknowledge_late()
        if session.ending is not None:
            # A BYE of ours was waiting for the ACK.
            session.agent.refuse(transaction, Refused(487), session.dialog)
            return
        self.begin(transaction)
        transaction.on_cancel = self._cancelled
        body = session_part(request)
        refusal = None if session.timer is None else session.timer.receive_request(request)
        if refusal is None:
            outcome = session.offer_answer.receive("INVITE", body)
            refusal = outcome.refusal
        if refusal is not None:
            self._refuse_invite(
                transaction,
                Refused(refusal.status, headers=refusal.headers_with(session.agent.random())),
                open_offer=False,
            )
            return

        def answered(description: object) -> None:
            if self._invite is transaction:
                if not isinstance(description, Body):
                    raise Refused(488)
                self._accept_again(transaction, description)

        def failed(refused: Refused) -> None:
            self._refuse_invite(transaction, refused)

        if body is not None:
            hooks.call(session.offer_received, body, request, done=answered, failed=failed)
        else:
            hooks.call(session.offer_wanted, request, done=answered, failed=failed)

    def _accept_again(self, transaction: ServerTransaction, description: Body) -> None:
        session = self._session
        agent = session.agent
        session.offer_answer.send("2xx", description)
        response = agent.make_response(
            transaction,
            200,
            dialog=session.dialog,
            headers=(*self.timer_headers(transaction.request), *agent.own_headers),
            body=description,
        )
        session.dialog.refresh(transaction.request)
        self.accept(response)
        hooks.call(session.refreshed)

    def _refuse_invite(
        self, transaction: ServerTransaction, refused: Refused, open_offer: bool = True
    ) -> None:
        """The session stays as it is."""
        session = self._session
        if self._invite is not transaction:
            return
        self._invite = None
        if open_offer:
            session.offer_answer.send("failure")
        session.overlap.received_ended("INVITE")
        session.overlap.acked()
        session.agent.refuse(transaction, refused, session.dialog)

    def _cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        self._refuse_invite(transaction, Refused(487))

    def ack(self, request: Request) -> None:
        """The ACK of a 2xx; only the first one counts."""
        accepted, unacknowledged = self._accepted, self._unacknowledged
        if accepted is None or unacknowledged is None:
            return
        if accepted[0].request.cseq.number != request.cseq.number:
            return
        session = self._session
        self._accepted = self._unacknowledged = None
        self._arm()
        session.overlap.acked()
        body = session_part(request)
        what = session.offer_answer.receive("ACK", body).what
        if what == NO_ANSWER:
            session.hang_up((("Reason", 'SIP;cause=488;text="No answer"'),), Ending(488, what, PEER))
            return
        if what == ANSWER:
            hooks.call(session.answer_received, body, request)
        session.confirmed()

    def acknowledge_late(self) -> None:
        """A new INVITE of the peer says that it has our 2xx, whose ACK got lost on the way."""
        if self._accepted is not None:
            self._accepted = self._unacknowledged = None
            self._session.offer_answer.receive("ACK")
            self._arm()
            self._session.confirmed()

    def update(self, transaction: ServerTransaction) -> None:
        """An UPDATE (RFC 3311 section 5.2)."""
        session = self._session
        request = transaction.request
        refusal = session.overlap.received("UPDATE")
        if refusal is not None:
            self._refuse(transaction, refusal)
            return
        body = session_part(request)
        refusal = None if session.timer is None else session.timer.receive_request(request)
        if refusal is None and body is not None:
            refusal = session.offer_answer.receive("UPDATE", body).refusal
        if refusal is not None:
            session.overlap.received_ended("UPDATE")
            self._refuse(transaction, refusal)
        elif body is None:
            self._update_done(transaction, None)
        else:

            def answered(answer: object) -> None:
                if session.ending is None:
                    if not isinstance(answer, Body):
                        raise Refused(488)
                    session.offer_answer.send("UPDATE 2xx", answer)
                    self._update_done(transaction, answer)
                elif not transaction.answered:
                    session.agent.respond(transaction, 481, dialog=session.dialog)

            def failed(refused: Refused) -> None:
                session.offer_answer.send("UPDATE failure")
                session.overlap.received_ended("UPDATE")
                session.agent.refuse(transaction, refused, session.dialog)

            hooks.call(session.offer_received, body, request, done=answered, failed=failed)

    def _update_done(self, transaction: ServerTransaction, answer: Body | None) -> None:
        session = self._session
        session.overlap.received_ended("UPDATE")
        session.dialog.refresh(transaction.request)
        headers = (*self.timer_headers(transaction.request), *session.agent.own_headers)
        session.agent.respond(transaction, 200, dialog=session.dialog, headers=headers, body=answer)
        hooks.call(session.refreshed)

    def timer_headers(self, request: Request) -> tuple[tuple[str, str], ...]:
        """What the 2xx to an INVITE or UPDATE says of the session timer, which starts anew."""
        session = self._session
        if session.timer is None:
            return ()
        headers = session.timer.answer(request, self._now())
        session.watch_timer()
        return headers

    def prack(self, transaction: ServerTransaction) -> None:
        """A PRACK (RFC 3262 section 3)."""
        rack = transaction.request.typed("rack")
        provisionals = self._provisionals
        if rack is None:
            raise Refused(400, "Missing RAck")
        if provisionals is None:
            raise Refused(481)
        self._run(provisionals.receive(rack, self._cseq, self._now()), transaction)
        self._arm()

    def _acknowledged(self, transaction: ServerTransaction, rseq: int) -> None:
        session = self._session
        request = transaction.request
        body = session_part(request)
        outcome = session.offer_answer.receive("PRACK", body)
        what = outcome.what
        waiting = self._pracks.pop(rseq, None)
        if what == REFUSED and outcome.refusal is not None:
            self._refuse(transaction, outcome.refusal)
        elif what == OFFER:

            def answered(answer: object) -> None:
                if not isinstance(answer, Body):
                    raise Refused(488)
                session.offer_answer.send("PRACK 2xx", answer)
                session.agent.respond(transaction, 200, dialog=session.dialog, body=answer)

            def failed(refused: Refused) -> None:
                session.offer_answer.send("PRACK failure")
                session.agent.refuse(transaction, refused, session.dialog)

            hooks.call(session.offer_received, body, request, done=answered, failed=failed)
        else:
            session.agent.respond(transaction, 200, dialog=session.dialog)
            if what == ANSWER:
                hooks.call(session.answer_received, body, request)
        if waiting is not None:
            waiting.callback(request)
        if what == NO_ANSWER and session.state == "early":
            session.invite.reject(488)

    def _refuse(self, transaction: ServerTransaction, refusal: Refusal) -> None:
        headers = refusal.headers_with(self._session.agent.random())
        self._session.agent.refuse(
            transaction, Refused(refusal.status, headers=headers), self._session.dialog
        )

    # Time and the end.

    def _now(self) -> float:
        return self._session.agent.layer.now()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [
            machine.deadline
            for machine in (self._unacknowledged, self._provisionals)
            if machine is not None and machine.deadline is not None
        ]
        if due:
            wheel = self._session.agent.layer.wheel
            self._timer = wheel.schedule(min(due) - self._now(), SessionServer._due, self)

    def _due(self) -> None:
        self._timer = None
        now = self._now()
        if self._provisionals is not None:
            self._run(self._provisionals.poll(now))
        if self._unacknowledged is not None and self._accepted is not None:
            what = self._unacknowledged.poll(now)
            if what == "resend":
                transaction, response = self._accepted
                transaction.respond(response)
            elif what == "expired":
                self._accepted = self._unacknowledged = None
                self._session.overlap.acked()
                self._session.hang_up(
                    (("Reason", 'SIP;cause=408;text="No ACK"'),), Ending(408, "no ACK", NETWORK)
                )
        self._arm()

    def stop(self) -> None:
        """The session is over: an open re-INVITE is answered 487 (RFC 3261 section 15.1.2)."""
        invite, self._invite = self._invite, None
        if invite is not None and not invite.answered and self._session.dialog.state != EARLY:
            self._session.agent.respond(invite, 487, dialog=self._session.dialog)
        self._accepted = self._unacknowledged = self._provisionals = self._held = None
        self._forget_pracks()
        self._arm()

    def _forget_pracks(self) -> None:
        pracks, self._pracks = self._pracks, {}
        for waiting in pracks.values():
            waiting.callback(None)
