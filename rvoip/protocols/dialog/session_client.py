"""Our requests in a session: re-INVITE, UPDATE and PRACK, and the ACK of each 2xx to an INVITE."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog import hooks
from rvoip.protocols.dialog.body import Body, session_part
from rvoip.protocols.dialog.dialog import CONFIRMED
from rvoip.protocols.dialog.ending import NETWORK, PEER, US, Ending
from rvoip.protocols.dialog.errors import Refused, RequestFailed, RequestRefused, WrongState
from rvoip.protocols.dialog.glare import Retry
from rvoip.protocols.dialog.offer_answer import (
    ANSWER,
    NO_ANSWER,
    NO_OFFER,
    OFFER,
    OfferAnswerError,
    message_name,
)
from rvoip.protocols.dialog.outgoing import Outgoing
from rvoip.protocols.dialog.reliable import ReliableClient
from rvoip.protocols.sip.errors import SIPError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.session_headers import RAck
from rvoip.protocols.transport.errors import TransportError
from rvoip.protocols.transport.flow import Flow

if TYPE_CHECKING:
    from rvoip.protocols.dialog.session import Session

__all__ = ["SessionClient"]

Headers = tuple[tuple[str, str], ...]

_MOST_TRIES = 6
"""How often a re-INVITE or UPDATE is sent while it is answered 491 or 422."""


class _Turn:
    """A re-INVITE or UPDATE of ours, with the Deferred of whoever wants it."""

    __slots__ = ("body", "headers", "method", "tries", "waiting")

    def __init__(self, method: str, body: Body | None, headers: Headers) -> None:
        self.method = method
        self.body = body
        self.headers = headers
        self.tries = 0
        self.waiting: Deferred[Response] = Deferred()

    def fail(self, error: Exception) -> None:
        waiting = self.waiting
        if not waiting.called:
            waiting.errback(Failure(error))


class SessionClient:
    """What a session asks of its peer."""

    __slots__ = (
        "_ack",
        "_ack_before",
        "_ack_due",
        "_provisionals",
        "_retry",
        "_retry_timer",
        "_session",
        "_turn",
    )

    def __init__(self, session: Session) -> None:
        self._session = session
        self._turn: _Turn | None = None
        self._retry = Retry()
        self._retry_timer: Timer | None = None
        self._provisionals: ReliableClient | None = None
        # The INVITE whose 2xx is not acknowledged yet, because its offer is not answered.
        self._ack_due: Request | None = None
        # The CSeq of the last ACK, the ACK as it was sent or is to be sent, and the flow that it took.
        self._ack: tuple[int, bytes | Request, Flow | None] | None = None
        # The one before: it may get lost, and a re-INVITE follow before the peer's 2xx comes again.
        self._ack_before: tuple[int, bytes | Request, Flow | None] | None = None

    # Changes of the session.

    def turn(self, method: str, body: Body | None, headers: Headers) -> Deferred[Response]:
        """Send a re-INVITE or UPDATE: see `Session.reinvite`."""
        turn = _Turn(method, body, headers)
        session = self._session
        if session.ending is not None:
            turn.fail(WrongState("the session has ended"))
        elif self._turn is not None or not session.overlap.may_send(method):
            turn.fail(WrongState("another request is open"))
        elif method == "INVITE" and session.dialog.state != CONFIRMED:
            turn.fail(WrongState("the session is not established"))
        elif body is not None and session.server.undelivered:
            # The peer may not have our answer yet (RFC 3311 section 5.1).
            turn.fail(WrongState("a provisional response is not acknowledged"))
        else:
            self._turn = turn
            self._send(turn)
        return turn.waiting

    def refresh(self) -> None:
        """Send what renews the session timer (RFC 4028 section 7.4): UPDATE, which needs no description, if
        the peer takes it. A request that is open does as well.
        """
        session = self._session
        method = "UPDATE" if session.allows("UPDATE") else "INVITE"
        body = None if method == "UPDATE" else session.offer_answer.local
        if self._turn is None and session.overlap.may_send(method):
            self.turn(method, body, ()).addErrback(_refresh_failed)

    def _send(self, turn: _Turn) -> None:
        session = self._session
        agent = session.agent
        try:
            if turn.method == "INVITE" or turn.body is not None:
                session.offer_answer.send(turn.method, turn.body)
        except OfferAnswerError as error:
            self._finish(turn, WrongState(str(error)))
            return
        session.overlap.sent(turn.method)
        turn.tries += 1
        headers = [*turn.headers, ("Allow", agent.allow), ("Supported", agent.supported)]
        if session.timer is not None:
            headers += [one for one in session.timer.request_headers() if one[0] != "Supported"]
        request = session.dialog.request(turn.method, headers, turn.body)
        agent.send(request, self._responded, self._failed, dialog=session.dialog)

    def _responded(self, outgoing: Outgoing, response: Response) -> None:
        turn = self._turn
        status = response.status
        invite = outgoing.request.method == "INVITE"
        if invite and 200 <= status < 300 and self.acknowledge_again(response):
            return
        if turn is None or turn.method != outgoing.request.method:
            if invite and 200 <= status < 300:
                # The session ended meanwhile.
                self.send_ack(outgoing.request, None)
            return
        if status < 200:
            if invite and status > 100:
                self._provisional(outgoing, response)
            return
        session = self._session
        session.overlap.sent_ended(turn.method)
        session.note(response)
        if status >= 300:
            self._refused(turn, response)
        elif invite:
            self.accepted(outgoing, response)
            self._succeeded(turn, response)
        else:
            self._updated(outgoing, response, turn)

    def _updated(self, outgoing: Outgoing, response: Response, turn: _Turn) -> None:
        session = self._session
        session.dialog.refresh(response)
        self._renew(response)
        if turn.body is not None:
            body = session_part(response)
            what = session.offer_answer.receive("UPDATE 2xx", body).what
            if what == ANSWER:
                hooks.call(session.answer_received, body, response)
            elif what == NO_ANSWER:
                self._finish(turn, RequestFailed("no answer to the offer"))
                return
        self._succeeded(turn, response)

    def _succeeded(self, turn: _Turn, response: Response) -> None:
        if self._turn is turn:
            self._turn = None
        if not turn.waiting.called:
            turn.waiting.callback(response)
        if self._session.ending is None:
            hooks.call(self._session.refreshed)

    def _refused(self, turn: _Turn, response: Response) -> None:
        session = self._session
        status = response.status
        self._roll_back(turn)
        if turn.tries < _MOST_TRIES:
            if status == 422 and session.timer is not None and session.timer.too_small(response):
                self._send(turn)
                return
            if status == 491:
                layer = session.agent.layer
                owns = session.dialog.role == "uac"
                self._retry.refused(owns, session.agent.random(), layer.now())
                self._wait_for_retry()
                return
        self._finish(turn, RequestRefused(response))
        if session.timer is not None and session.ending is None:
            session.timer.refresh_failed(status, session.agent.layer.now())
            session.watch_timer()
        session.agent.outcome(session.dialog, session, turn.method, status, response.reason)

    def _failed(self, outgoing: Outgoing, reason: str) -> None:
        turn, session = self._turn, self._session
        if turn is None or turn.method != outgoing.request.method:
            return
        session.overlap.sent_ended(turn.method)
        self._roll_back(turn)
        self._finish(turn, RequestFailed(reason))
        if reason == "timeout":
            session.agent.outcome(session.dialog, session, turn.method, 408, "no answer", NETWORK)

    def _roll_back(self, turn: _Turn) -> None:
        if turn.method == "INVITE":
            self._session.offer_answer.receive("failure")
        elif turn.body is not None:
            self._session.offer_answer.receive("UPDATE failure")

    def _finish(self, turn: _Turn, error: Exception) -> None:
        if self._turn is turn:
            self._turn = None
        turn.fail(error)

    def _wait_for_retry(self) -> None:
        layer = self._session.agent.layer
        if self._retry.deadline is not None:
            delay = self._retry.deadline - layer.now()
            self._retry_timer = layer.wheel.schedule(delay, SessionClient._try_again, self)

    def _try_again(self) -> None:
        self._retry_timer = None
        layer = self._session.agent.layer
        turn = self._turn
        if turn is None:
            return
        if not self._retry.poll(layer.now()):
            self._wait_for_retry()
        elif self._session.overlap.may_send(turn.method):
            self._send(turn)
        else:
            # The peer has its turn now; it is over soon.
            self._retry_timer = layer.wheel.schedule(layer.timers.t1, SessionClient._try_after, self)

    def _try_after(self) -> None:
        self._retry_timer = None
        turn = self._turn
        if turn is None:
            return
        turn.tries += 1
        if self._session.overlap.may_send(turn.method):
            self._send(turn)
        elif turn.tries < 10 * _MOST_TRIES:
            layer = self._session.agent.layer
            self._retry_timer = layer.wheel.schedule(layer.timers.t1, SessionClient._try_after, self)
        else:
            self._finish(turn, RequestFailed("another request stays open"))

    def stop(self) -> None:
        """The session is over."""
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.fail(RequestFailed("ended"))

    # Responses to an INVITE of ours, the first or another.

    def reliable(self, response: Response) -> RAck | None:
        """What acknowledges a reliable provisional response; None for one that is to be dropped."""
        if self._provisionals is None:
            self._provisionals = ReliableClient()
        return self._provisionals.receive(response.typed("rseq"), response.cseq.number)

    def _provisional(self, outgoing: Outgoing, response: Response) -> None:
        """A provisional response to a re-INVITE: what it describes counts, nobody waits for it."""
        name = message_name(response)
        rack = None
        if name == "reliable 1xx":
            rack = self.reliable(response)
            if rack is None:
                return
            self._session.dialog.refresh(response)
        self.described(name or "1xx", response, rack, None)

    def described(
        self, name: str, response: Response, rack: RAck | None, progressed: Callable[..., Any] | None
    ) -> None:
        """Take what a provisional response describes, tell `progressed` of it, then acknowledge it.

        An offer is answered in the PRACK; else that has the body which `progressed` returns.
        """
        session = self._session
        body = session_part(response)
        what = session.offer_answer.receive(name, body).what
        if what == ANSWER:
            hooks.call(session.answer_received, body, response)
        elif what == "early answer":
            hooks.call(session.preview_received, body, response)

        def acknowledge(body: object) -> None:
            if rack is not None:
                self.prack(rack, body if isinstance(body, Body) else None)

        def answer(body: object) -> None:
            if not isinstance(body, Body):
                raise Refused(488)
            acknowledge(body)

        def without(refused: Refused) -> None:
            acknowledge(None)

        if what == OFFER:
            if progressed is not None:
                hooks.call(progressed, response, session)
            hooks.call(session.offer_received, body, response, done=answer, failed=self._unanswered)
        elif progressed is not None:
            hooks.call(progressed, response, session, done=acknowledge, failed=without)
        else:
            acknowledge(None)

    def _unanswered(self, refused: Refused) -> None:
        """An offer in a response was not answered: the session cannot go on."""
        session = self._session
        ending = Ending(refused.status, "offer not answered", US)
        if session.dialog.state == CONFIRMED:
            session.hang_up((), ending)
        else:
            session.invite.give_up(session, ending)

    def prack(self, rack: RAck, body: Body | None) -> None:
        """Acknowledge a reliable provisional response, with an answer or an offer."""
        session = self._session
        if session.ending is not None:
            return
        try:
            session.offer_answer.send("PRACK", body)
        except OfferAnswerError:
            # The offer that it answers is void: the INVITE was answered meanwhile.
            body = None
        offered = body is not None and session.offer_answer.state == "Offer sent in PRACK"

        def responded(outgoing: Outgoing, response: Response) -> None:
            if response.status >= 200 and offered:
                success = response.status < 300
                part = session_part(response) if success else None
                outcome = session.offer_answer.receive("PRACK 2xx" if success else "PRACK failure", part)
                if outcome.what == ANSWER:
                    hooks.call(session.answer_received, part, response)

        def failed(outgoing: Outgoing, reason: str) -> None:
            if offered:
                session.offer_answer.receive("PRACK failure")

        # Whatever else becomes of it, the peer rejects an INVITE whose PRACK it misses.
        request = session.dialog.request("PRACK", (("RAck", str(rack)),), body)
        session.agent.send(request, responded, failed, dialog=session.dialog)

    def accepted(self, outgoing: Outgoing, response: Response) -> None:
        """The first 2xx of this dialog to an INVITE came: acknowledge it, with the answer to its offer."""
        session = self._session
        invite = outgoing.request
        session.dialog.refresh(response)
        self._renew(response)
        body = session_part(response)
        what = session.offer_answer.receive("2xx", body).what
        self._ack_due = invite
        if what == OFFER:

            def answered(answer: object) -> None:
                if not isinstance(answer, Body):
                    raise Refused(488)
                if self._ack_due is invite:
                    self._acknowledge(answer)

            hooks.call(session.offer_received, body, response, done=answered, failed=self._not_answered)
            return
        self._acknowledge(None)
        if what in (NO_ANSWER, NO_OFFER):
            session.hang_up(
                (("Reason", 'SIP;cause=488;text="No session description"'),), Ending(488, what, PEER)
            )
        elif what == ANSWER:
            hooks.call(session.answer_received, body, response)

    def _not_answered(self, refused: Refused) -> None:
        """The offer of a 2xx cannot be refused but by ACK and BYE (RFC 3261 section 13.2.2.4)."""
        cause = f'SIP;cause={refused.status};text="Offer not acceptable"'
        self._session.hang_up((("Reason", cause),), Ending(refused.status, "offer not acceptable", US))

    def _acknowledge(self, answer: Body | None) -> None:
        invite, self._ack_due = self._ack_due, None
        if invite is None:
            return
        session = self._session
        try:
            session.offer_answer.send("ACK", answer)
        except OfferAnswerError:
            answer = None
        self.send_ack(invite, answer)
        session.confirmed()

    def finish_ack(self) -> None:
        """A BYE is to go: a 2xx whose offer is not answered is acknowledged before that."""
        invite, self._ack_due = self._ack_due, None
        if invite is not None:
            self.send_ack(invite, None)

    def _renew(self, response: Response) -> None:
        session = self._session
        if session.timer is not None:
            session.timer.accepted(response, session.agent.layer.now())
            session.watch_timer()

    # ACK.

    def send_ack(self, invite: Request, body: Body | None) -> None:
        """Acknowledge the 2xx to this INVITE (section 13.2.2.4): its CSeq number and credentials."""
        dialog = self._session.dialog
        number = invite.cseq.number
        shown: list[tuple[str, str]] = []
        for name in ("authorization", "proxy-authorization"):
            shown += [(name, value) for value in invite.get_all(name)]
        ack = dialog.request("ACK", shown, body, cseq=number)
        if self._ack is not None and self._ack[0] < number:
            self._ack_before = self._ack
        self._ack = (number, ack, None)
        self._route_ack(ack)

    def _route_ack(self, ack: Request) -> None:
        dialog = self._session.dialog
        flow = dialog.flow
        if flow is not None and not flow.closed:
            self._send_ack(ack, flow)
            return
        agent = self._session.agent
        try:
            targets = agent.locator.locate_now(dialog.next_hop)
        except (TransportError, SIPError):
            return  # the peer sends its 2xx again, and we look again
        if targets:
            self._send_ack(ack, agent.layer.transport.flow_to(targets[0]))
        elif targets is None:
            waiting: Deferred[Any] = Deferred.fromCoroutine(agent.locator.locate(dialog.next_hop))
            waiting.addCallback(lambda found: self._send_ack(ack, agent.layer.transport.flow_to(found[0])))
            waiting.addErrback(lambda failure: failure.trap(TransportError, SIPError))

    def _send_ack(self, ack: Request, flow: Flow) -> None:
        agent = self._session.agent
        sent = ack.copy()
        agent.request_made(sent, self._session.dialog)
        try:
            agent.layer.send(sent, flow)
        except TransportError:
            return
        given = (ack.cseq.number, sent.to_bytes(), flow)
        if self._ack is None or self._ack[0] <= given[0]:
            self._ack = given
        else:
            self._ack_before = given

    def acknowledge_again(self, response: Response) -> bool:
        """A 2xx came again: so does its ACK. False for one that was not acknowledged yet."""
        if self._ack_due is not None and self._ack_due.cseq.number == response.cseq.number:
            return True  # its offer is being answered
        number = response.cseq.number
        given = next((one for one in (self._ack, self._ack_before) if one and one[0] == number), None)
        if given is None:
            return False
        _, ack, flow = given
        if isinstance(ack, Request):
            self._route_ack(ack)
        elif flow is not None:
            try:
                flow.send(ack)
            except TransportError:
                pass  # the peer asks again, or gives up
        return True


def _refresh_failed(failure: Failure) -> None:
    """The session timer says what becomes of a session that could not be refreshed."""
    failure.trap(RequestFailed, RequestRefused, WrongState)
