"""An INVITE of ours: its responses, the dialogs that they make, and CANCEL (RFC 3261 sections 9.1, 13.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rvoip.protocols.dialog import hooks
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.challenge import Authentication
from rvoip.protocols.dialog.dialog import EARLY, Dialog
from rvoip.protocols.dialog.ending import NETWORK, PEER, US, Ending
from rvoip.protocols.dialog.offer_answer import OfferAnswer, message_name
from rvoip.protocols.dialog.outgoing import Outgoing
from rvoip.protocols.dialog.reliable import reliable_headers, reliable_retry
from rvoip.protocols.dialog.session_timer import SessionTimer
from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.message import Response
from rvoip.protocols.sip.uri import URI
from rvoip.protocols.transport.flow import Flow

if TYPE_CHECKING:
    from rvoip.protocols.dialog.agent import UserAgent
    from rvoip.protocols.dialog.session import Session

__all__ = ["ClientInvite"]

Headers = tuple[tuple[str, str], ...]

_MOST_RETRIES = 6
"""How often the INVITE is sent with other headers after 420, 421 and 422."""
_MOST_SESSIONS = 32
"""Dialogs of one INVITE; a proxy forks to some, an attacker to as many as it likes."""


class ClientInvite:
    """An INVITE of ours and what comes of it.

    A forked INVITE makes several dialogs, each with a session of its own: those that ring, by the peer's tag,
    in `sessions`; the one that was accepted first is `session`. A further one that accepts is hung up, unless
    the hook `wanted` keeps it.

    Override the hooks. `progressed` may be `async`: a reliable provisional response is acknowledged when it
    is through.
    """

    def __init__(
        self,
        agent: UserAgent,
        uri: URI | str,
        *,
        from_: NameAddr | str,
        to: NameAddr | str | None = None,
        body: Body | None = None,
        headers: Iterable[tuple[str, str]] = (),
        routes: Iterable[NameAddr | str] = (),
        call_id: str | None = None,
        authentication: Authentication | None = None,
        flow: Flow | None = None,
    ) -> None:
        self.agent = agent
        self.body = body
        """Our offer, or what goes beside none."""
        self.authentication = authentication or agent.authentication()
        self.sessions: dict[str, Session] = {}
        self.session: Session | None = None
        self.response: Response | None = None
        """Its final response, as long as `accepted` or `failed` looks at it: a call keeps none."""
        self.cancelled = False
        self.over = False
        """Whether it has its final response, or will get none."""
        self.request = agent.make_request(
            "INVITE", uri, from_=from_, to=to, body=body, headers=headers, routes=routes, call_id=call_id
        )
        self._offer = body if body is not None and body.describes else None
        self._offer_answer: OfferAnswer[Body] = OfferAnswer()
        self._timer: SessionTimer | None = None
        if agent.settings.timer.policy != "off":
            self._timer = SessionTimer(agent.settings.timer)
        self._reliable = agent.settings.reliable
        self._flow = flow
        self._outgoing: Outgoing | None = None
        self._tries = 0
        self._own = frozenset(name.lower() for name, _ in headers)
        # How the others end, once one has accepted.
        self._elsewhere: Ending | None = None

    # Hooks.

    def progressed(self, response: Response, session: Session | None) -> Any:
        """A provisional response, 101 to 199; `session` is None where it makes no dialog.

        May return a `Body` for the PRACK of a reliable one: another offer, where none is open. Of one whose
        offer is to be answered the session's `offer_received` is told as well.
        """

    def accepted(self, session: Session) -> Any:
        """The call is answered, with `response`."""

    def failed(self, response: Response | None, reason: str) -> Any:
        """It has failed: with this final response, or with None because of "timeout", "cancelled" (by us,
        while it was answered), "hung up" (the early dialog, before it was answered), "transport: ..." or
        "no target ...".
        """

    def wanted(self, session: Session) -> bool:
        """Whether to keep one more session that accepts, when another one has before it."""
        return False

    # What the application does.

    def start(self) -> None:
        """Send it."""
        self.agent.invites.add(self)
        self._send()

    def cancel(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Give it up, with these headers in the CANCEL (Reason, RFC 3326); harmless when it is over.

        `failed` tells when that is done. A 2xx that crosses the CANCEL is acknowledged and hung up.
        """
        if self.over or self.cancelled:
            return
        self.cancelled = True
        if self._outgoing is not None:
            self._outgoing.cancel(tuple(headers))

    # Sending.

    def _send(self) -> None:
        self._tries += 1
        self._offer_answer = OfferAnswer()
        self._offer_answer.send("INVITE", self._offer)
        agent = self.agent
        request = self.request
        headers: list[tuple[str, str]] = [("Allow", agent.allow), *reliable_headers(self._reliable)]
        if self._timer is not None:
            headers += self._timer.request_headers()
        # All that is supported stands in one line; what the caller gave stays as it is.
        supported = [tag for tag in agent.supported.split(", ") if tag != "100rel"]
        for name in ("allow", "supported", "require", "session-expires", "min-se"):
            if name not in self._own:
                request.remove(name)
        for name, value in headers:
            lowered = name.lower()
            if lowered == "supported":
                supported += [] if value in supported else [value]
            elif lowered == "require" or lowered not in self._own:
                request.add(lowered, value)
        if "supported" not in self._own:
            request.add("supported", ", ".join(supported))
        self._outgoing = agent.send(
            request, self._responded, self._unanswered, authentication=self.authentication, flow=self._flow
        )

    # Responses.

    def _responded(self, outgoing: Outgoing, response: Response) -> None:
        status = response.status
        if self._outgoing not in (outgoing, None) or status <= 100:
            return
        if status < 200:
            self._progressed(outgoing, response)
        elif status < 300:
            self._accepted(outgoing, response)
        elif not self._send_differently(outgoing, response):
            self.response = response
            self._finish(Ending(status, response.reason, PEER, response.get("reason")))
            hooks.call(
                self.failed,
                response,
                f"{status} {response.reason}",
                done=self._looked_at,
                failed=self._looked_at,
            )

    def _progressed(self, outgoing: Outgoing, response: Response) -> None:
        if self.over or self.cancelled:
            return
        if response.to.tag is None:
            hooks.call(self.progressed, response, None)
            return
        session = self._session(outgoing, response)
        if session is None or session.ending is not None:
            return
        name = message_name(response) or "1xx"
        rack = None
        if name == "reliable 1xx":
            rack = session.client.reliable(response)
            if rack is None:
                return
            session.dialog.refresh(response)
        session.client.described(name, response, rack, self.progressed)
        if response.status == 199:
            session.end(Ending(199, response.reason, PEER, response.get("reason")))

    def _session(self, outgoing: Outgoing, response: Response) -> Session | None:
        """The session of the response's dialog, a new one if need be; None where there are too many."""
        tag = response.to.tag or ""
        session = self.sessions.get(tag)
        if session is not None:
            session.note(response)
            return session
        agent = self.agent
        # Whoever answers is never one too many, unless it is one of many who do.
        dispensable = response.status < 200 or self.over
        if dispensable and (len(self.sessions) >= _MOST_SESSIONS or agent.full):
            return None
        dialog = Dialog.uac(outgoing.request, response)
        dialog.authentication = self.authentication
        flow = outgoing.flow
        if flow is not None and not dialog.route_set and (flow.reliable or agent.settings.symmetric):
            dialog.flow = flow
        elif self._flow is not None:
            dialog.flow = self._flow
        session = self._begin(dialog, self._offer_answer.copy())
        session.note(response)
        return session

    def _begin(self, dialog: Dialog, offer_answer: OfferAnswer[Body]) -> Session:
        agent = self.agent
        session = agent.session(agent, dialog, self)
        session.offer_answer = offer_answer
        session.overlap.sent("INVITE")
        if self._timer is not None:
            session.timer = self._timer.copy()
        self.sessions[dialog.remote_tag] = session
        agent.attach(dialog, session)
        return session

    def _accepted(self, outgoing: Outgoing, response: Response) -> None:
        session = self._session(outgoing, response)
        if session is None:
            return
        client = session.client
        if client.acknowledge_again(response):
            return
        if session.ending is not None and session.ending is self._elsewhere:
            # It rang, was given up when another one was answered, and is answered as well.
            session.dialog.state = EARLY
            session = self._begin(session.dialog, session.offer_answer)
            session.note(response)
            client = session.client
        if session.ending is not None:
            # Its early dialog is over for us: acknowledge and hang up all the same.
            session.dialog.confirm(response)
            client.send_ack(outgoing.request, None)
            _hang_up(session)
            self._give_up("hung up")
            return
        session.dialog.confirm(response)
        session.overlap.sent_ended("INVITE")
        self.cancelled = self.cancelled or (outgoing.cancelled and not self.over)
        if self.cancelled or (self.over and not self.wanted(session)):
            client.send_ack(outgoing.request, None)
            session.hang_up((), Ending(487, "cancelled" if self.cancelled else "surplus", US))
            self._give_up("cancelled")
            return
        if not self.over:
            self.session = session
            self._elsewhere = Ending(487, "another one was answered", US)
            self._finish(self._elsewhere)
        self.response = response
        client.accepted(outgoing, response)
        hooks.call(self.accepted, session, done=self._looked_at, failed=self._looked_at)

    def _give_up(self, reason: str) -> None:
        """A 2xx came that we do not want."""
        if not self.over:
            self._finish(Ending(487, reason, US))
            hooks.call(self.failed, None, reason)

    def _looked_at(self, result: object) -> None:
        self.response = None

    def _send_differently(self, outgoing: Outgoing, response: Response) -> bool:
        """Whether the INVITE goes once more, without what the peer cannot do or with what it needs."""
        if outgoing.cancelled or self._tries >= _MOST_RETRIES:
            return False
        if response.status == 422:
            if self._timer is None or not self._timer.too_small(response):
                return False
        else:
            policy = reliable_retry(self._reliable, response)
            if policy is None:
                return False
            self._reliable = policy
        self._end_sessions(Ending(response.status, response.reason, PEER))
        self.sessions = {}
        self.request.set("cseq", f"{outgoing.request.cseq.number + 1} INVITE")
        self._send()
        return True

    def _unanswered(self, outgoing: Outgoing, reason: str) -> None:
        if self.over:
            return
        status = 408 if reason == "timeout" else 487 if reason == "cancelled" else 503
        self._finish(Ending(status, reason, US if reason == "cancelled" else NETWORK))
        hooks.call(self.failed, None, reason)

    def give_up(self, session: Session, ending: Ending) -> None:
        """What this session needs is not there: it ends, and the INVITE where it was the only one."""
        session.end(ending)
        if all(one.ending is not None for one in self.sessions.values()):
            self.cancel()

    def session_ended(self, session: Session, ending: Ending) -> None:
        """A session is over; the peer's final response to the INVITE is still to come where it was early."""

    def _finish(self, ending: Ending) -> None:
        """The final response is there."""
        self.over = True
        self.agent.invites.discard(self)
        self._outgoing = None
        self._end_sessions(ending)

    def _end_sessions(self, ending: Ending) -> None:
        for session in list(self.sessions.values()):
            if session is not self.session and session.dialog.state == "early":
                session.end(ending)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request.call_id}>"


def _hang_up(session: Session) -> None:
    request = session.dialog.request("BYE")
    session.agent.send(request, _heard, _unheard, dialog=session.dialog)


def _heard(outgoing: Outgoing, response: Response) -> None:
    """Nobody wanted the call."""


def _unheard(outgoing: Outgoing, reason: str) -> None:
    """Nobody wanted the call."""
