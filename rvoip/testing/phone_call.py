"""A call of a test phone, seen from that phone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from rvoip.protocols.sip.address import NameAddr, parse_name_addr
from rvoip.protocols.sip.build import cancel_for, request, respond, via_value
from rvoip.protocols.sip.message import Request, Response
from rvoip.testing.memory_wire import Endpoint
from rvoip.testing.phone_expect import Expectations
from rvoip.testing.phone_transactions import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from rvoip.testing.phone import Phone

__all__ = ["Call", "CallFailed", "answer_after", "answer_at_once", "busy", "reject_with", "ring", "silent"]

_SDP = "application/sdp"


class CallFailed(AssertionError):
    """A call was not established; `response` is the final response, or None."""

    def __init__(self, why: str, response: Response | None) -> None:
        super().__init__(why)
        self.why = why
        self.response = response


class Call:
    """
    One call, out or in. `state` goes from "calling" over "ringing" to "up" and "over", and `why` says what
    ended it. An incoming call is "up" when its ACK is there.
    """

    def __init__(self, phone: Phone, call_id: str, local: NameAddr, remote: NameAddr, incoming: bool) -> None:
        self.phone = phone
        self.call_id = call_id
        self.local = local
        self.remote = remote
        self.incoming = incoming
        self.state = "calling"
        self.why = ""
        self.target = remote.uri_text
        """Where in-dialog requests are addressed: the peer's Contact."""
        self.routes: list[str] = []
        self.responses: list[Response] = []
        """What came back for our INVITE, or for the last one."""
        self.remote_sdp = b""
        self.sdp = b""
        self.requests: list[Request] = []
        """What came in within the call, ACK included."""
        self._cseq = 0
        self._changes: Expectations[Call] = Expectations(phone.reactor)
        self._invite: ClientTransaction | None = None
        self._server: ServerTransaction | None = None
        self._invites_in: list[ServerTransaction] = []
        self._cancelling = False
        self._acks: dict[tuple[int, str | None], Request] = {}
        phone.calls.append(self)

    def __repr__(self) -> str:
        direction = "from" if self.incoming else "to"
        return f"<Call {direction} {self.remote.uri_text}: {self.state} {self.why}>"

    @property
    def invite(self) -> Request:
        """The INVITE that began it: ours as it was last sent, or the peer's."""
        if self._server is not None:
            return self._server.request
        assert self._invite is not None
        return self._invite.request

    # waiting

    def until(self, *states: str, within: float = 32.0) -> Deferred[Call]:
        """Fires when the call is in one of these states; fails when it is not `within` seconds."""
        return self._changes.expect(lambda call: call.state in states, within, f"{self!r} {states}", [self])

    async def ringing(self, within: float = 32.0) -> Response:
        """Wait for a 180 or 183, or any state beyond; returns the latest response."""
        await self.until("ringing", "up", "over", within=within)
        if not self.responses:
            raise CallFailed(self.why, None)
        return self.responses[-1]

    async def established(self, within: float = 64.0) -> Call:
        """Wait until it is up; raises `CallFailed` when it ends before."""
        await self.until("up", "over", within=within)
        if self.state == "over":
            raise CallFailed(self.why, self.responses[-1] if self.responses else None)
        return self

    async def ended(self, within: float = 64.0) -> str:
        """Wait until it is over; returns why."""
        await self.until("over", within=within)
        return self.why

    def _become(self, state: str, why: str = "") -> None:
        if self.state != "over":
            self.state = state
            self.why = why or self.why
            while self._changes.happened(self):
                pass  # all who wait for it

    def stop(self) -> None:
        """Let no one wait any longer."""
        self._changes.stop()

    # calling

    def start(self, uri: str, sdp: bytes, headers: Iterable[tuple[str, str]]) -> None:
        """Send the INVITE."""
        self.sdp = sdp
        invite = request(
            "INVITE",
            uri,
            from_=self.local,
            to=self.remote,
            call_id=self.call_id,
            cseq=self.next_cseq(),
            contact=f"<{self.phone.contact}>",
            headers=[*self.phone.headers, *headers],
            body=sdp,
            content_type=_SDP if sdp else None,
        )
        self._send_invite(invite, self.phone.destination(uri))

    def _send_invite(self, invite: Request, destination: Endpoint) -> None:
        self.phone.exchange(
            invite,
            destination,
            self._invite_responded,
            self._invite_failed,
            self.next_cseq,
            self._invite_sent,
        )

    def _invite_sent(self, transaction: ClientTransaction) -> None:
        self._invite = transaction

    def _invite_failed(self, reason: str) -> None:
        if self.state != "up":
            self._become("over", reason)

    def _invite_responded(self, response: Response) -> None:
        tag = response.to.tag
        again = self._acks.get((response.cseq.number, tag))
        if 200 <= response.status < 300 and again is not None:
            self.phone.transmit(again, self._next_hop())
            return
        self.responses.append(response)
        if response.status < 200:
            if self._cancelling and self._invite is not None:
                self._send_cancel(self._invite)
            elif response.status > 100 and self.state == "calling":
                self._become("ringing")
        elif response.status < 300:
            self._accepted(response)
        elif self.state != "up":
            self._become("over", f"{response.status} {response.reason}")

    def _accepted(self, response: Response) -> None:
        first = not self._acks
        tag = response.to.tag
        if first or tag == self.remote.tag:
            self.remote = response.to
            self._take_target(response)
            if first:
                self.routes = [str(route) for route in reversed(response.record_routes)]
            self.remote_sdp = response.body
        cseq = response.cseq.number
        if first or tag == self.remote.tag:
            self._send_ack(cseq, tag)
            if self._cancelling:
                self.phone.wait_for(self.bye())
            else:
                self._become("up")
            return
        # A second leg of a fork answered too: acknowledge it and hang up (RFC 3261 section 13.2.2.4).
        other = Call(self.phone, self.call_id, self.local, response.to, False)
        other._cseq = cseq
        other._take_target(response)
        other.routes = [str(route) for route in reversed(response.record_routes)]
        other._send_ack(cseq, tag)
        self._acks.update(other._acks)
        other._become("up")
        self.phone.wait_for(other.bye())

    def _take_target(self, message: Request | Response) -> None:
        if message.contacts:
            self.target = message.contacts[0].uri_text
        elif isinstance(message, Response):
            self.phone.problems.append(f"a {message.status} to INVITE without Contact")

    def _send_ack(self, cseq: int, tag: str | None) -> None:
        ack = self._in_dialog("ACK", cseq)
        ack.insert("via", via_value(self.phone.transport, self.phone.sent_by, self.phone.new_branch()))
        self._acks[cseq, tag] = ack
        self.phone.transmit(ack, self._next_hop())

    def cancel(self) -> None:
        """Give the call up while it rings; the CANCEL waits for a first response (RFC 3261 section 9.1)."""
        if self._invite is None or self.state == "over" or self._cancelling:
            return
        self._cancelling = True
        if self._invite.provisional:
            self._send_cancel(self._invite)

    def _send_cancel(self, transaction: ClientTransaction) -> None:
        if transaction.final is None and not self.phone.client_transactions.get(
            (transaction.branch, "CANCEL")
        ):
            ClientTransaction(
                self.phone,
                cancel_for(transaction.request),
                transaction.destination,
                lambda response: None,
                lambda reason: None,
                transaction.branch,
            ).start()
            # Whoever rang may have forgotten it: then nothing more comes (RFC 3261 section 9.1).
            self.phone.after(64 * self.phone.times.t1, partial(transaction.fail, "nothing came after CANCEL"))

    # being called

    def arrived(self, transaction: ServerTransaction) -> None:
        """The INVITE of an incoming call."""
        invite = transaction.request
        self._server = transaction
        self._invites_in.append(transaction)
        self.remote_sdp = invite.body
        self.routes = [str(route) for route in invite.record_routes]
        self._take_target(invite)
        if not invite.contacts:
            self.phone.problems.append("an INVITE without Contact")

    def ring(self, status: int = 180, sdp: bytes = b"") -> None:
        """Send a provisional response."""
        self._respond(status, sdp)
        self._become("ringing")

    def answer(self, sdp: bytes | None = None) -> None:
        """Send the 200, with an SDP of the phone's unless another is given; it is up when the ACK comes."""
        assert self._server is not None
        self.sdp = self.phone.sdp() if sdp is None else sdp
        self._server.unacknowledged = self._not_acknowledged
        self._respond(200, self.sdp)

    def reject(self, status: int, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send a final response that is no 2xx."""
        response = self._respond(status, b"", headers)
        self._become("over", f"{response.status} {response.reason}")

    def _respond(self, status: int, sdp: bytes, headers: Iterable[tuple[str, str]] = ()) -> Response:
        assert self._server is not None
        contact = [("Contact", f"<{self.phone.contact}>")] if status < 300 else []
        response = respond(
            self._server.request,
            status,
            to_tag=self.local.tag,
            headers=[*contact, *headers],
            body=sdp,
            content_type=_SDP if sdp else None,
        )
        self._server.respond(response)
        return response

    def _not_acknowledged(self) -> None:
        self.phone.problems.append("no ACK came to a 200")
        self.phone.wait_for(self.bye())

    def acknowledged(self, ack: Request) -> bool:
        """An ACK came to our 2xx; False when it repeats one."""
        number = ack.cseq.number
        answered = next((one for one in self._invites_in if one.request.cseq.number == number), None)
        if answered is None or not answered.acknowledged():
            return False
        self.requests.append(ack)
        if ack.body:
            self.remote_sdp = ack.body
        self._become("up")
        return True

    def cancelled_by(self, transaction: ServerTransaction) -> None:
        """A CANCEL came for the INVITE of this transaction."""
        if self._server is transaction and (transaction.last is None or transaction.last.status < 200):
            self._respond(487, b"")
            self._become("over", "cancelled")

    # within the call

    def next_cseq(self) -> int:
        """The number of the next request in this direction."""
        self._cseq += 1
        return self._cseq

    def _in_dialog(
        self,
        method: str,
        cseq: int,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Request:
        return request(
            method,
            self.target,
            from_=self.local,
            to=self.remote,
            call_id=self.call_id,
            cseq=cseq,
            contact=f"<{self.phone.contact}>"
            if method in ("INVITE", "UPDATE", "SUBSCRIBE", "REFER")
            else None,
            routes=self.routes,
            headers=[*self.phone.headers, *headers],
            body=body,
            content_type=content_type,
        )

    def _next_hop(self) -> Endpoint:
        if self.routes:
            return self.phone.destination(parse_name_addr(self.routes[0]).uri_text)
        return self.phone.destination(self.target)

    def request(
        self,
        method: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Deferred[Response]:
        """Send a request within the call; fires with the final response."""
        made = self._in_dialog(method, self.next_cseq(), headers, body, content_type)
        return self.phone.final_response(made, self._next_hop(), self.next_cseq)

    async def bye(self) -> Response:
        """Hang up."""
        answered = self.request("BYE")
        self._become("over", "BYE sent")
        return await answered

    async def reinvite(self, sdp: bytes, within: float = 32.0) -> Response:
        """Offer another SDP in a re-INVITE, and acknowledge its answer."""
        responded: Deferred[Response] = Deferred()
        sent = self._in_dialog("INVITE", self.next_cseq(), body=sdp, content_type=_SDP)

        def take(response: Response) -> None:
            if response.status < 200:
                return
            if response.status < 300:
                self._take_target(response)
                self.remote_sdp, self.sdp = response.body, sdp
                self._send_ack(response.cseq.number, response.to.tag)
            if not responded.called:
                responded.callback(response)

        def fail(reason: str) -> None:
            if not responded.called:
                responded.errback(CallFailed(f"re-INVITE: {reason}", None))

        transactions: list[ClientTransaction] = []
        self.phone.exchange(sent, self._next_hop(), take, fail, self.next_cseq, transactions.append)
        self.phone.after(within, lambda: transactions[-1].fail(f"no answer within {within} s"))
        return await responded

    def request_arrived(self, transaction: ServerTransaction) -> None:
        """A request of the peer within the call: BYE ends it, the others are agreed to."""
        came = transaction.request
        self.requests.append(came)
        sdp = b""
        if came.method in ("INVITE", "UPDATE"):
            self._take_target(came)
            if came.body:
                self.remote_sdp = came.body
            if came.body or came.method == "INVITE":
                sdp = self.sdp = self.phone.sdp()
        if came.method == "INVITE":
            self._invites_in.append(transaction)
            transaction.unacknowledged = self._not_acknowledged
        contact = [("Contact", f"<{self.phone.contact}>")] if came.method in ("INVITE", "UPDATE") else []
        status = 202 if came.method == "REFER" else 200
        transaction.respond(
            respond(came, status, headers=contact, body=sdp, content_type=_SDP if sdp else None)
        )
        if came.method == "BYE":
            self._become("over", "BYE received")


def answer_at_once(call: Call) -> None:
    """180 and 200."""
    call.ring()
    call.answer()


def ring(call: Call) -> None:
    """180, and nothing more."""
    call.ring()


def busy(call: Call) -> None:
    """486."""
    call.reject(486)


def silent(call: Call) -> None:
    """No response at all."""


class answer_after:  # noqa: N801  used like the functions beside it
    """180, and 200 some seconds later, unless the call is over by then."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, call: Call) -> None:
        call.ring()
        call.phone.after(self.seconds, lambda: call.answer() if call.state == "ringing" else None)


class reject_with:  # noqa: N801  used like the functions beside it
    """A final response that is no 2xx."""

    def __init__(self, status: int) -> None:
        self.status = status

    def __call__(self, call: Call) -> None:
        call.reject(self.status)
