"""The transaction layer: matches messages to transactions, absorbs retransmissions, sheds load.

RFC 3261 sections 17.1.3 and 17.2.3 (matching), 9.2 (CANCEL), 8.2.7 (stateless answers). It stands
between the transport and one transaction user; everything is synchronous.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.answered import AnsweredRequests
from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.concluded import ConcludedRequests
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.sip.build import MAGIC, respond, via_value
from rvoip.protocols.sip.check import KNOWN_METHODS
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import format_host_port
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.addresses import canonical_host
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.protocols.transport.intake import refusal, way_back
from rvoip.protocols.transport.interfaces import IMessageReceiver

__all__ = ["TransactionLayer", "TransactionLimits"]

OTHER = "other"
"""Where requests of methods that nobody knows are counted: else anybody could fill the memory with names."""

_log = Logger(__name__)

Admission = Callable[[Request], "int | None"]
Tap = Callable[[Request, bytes, Flow], object]


class TransactionLimits:
    """The most transactions at once: INVITEs that are not accepted, other requests that are not answered,
    and client transactions.

    New work is refused above them, requests within a dialog a quarter later: what was begun goes first.
    """

    __slots__ = ("client", "invite", "other")

    def __init__(self, invite: int = 20_000, other: int = 50_000, client: int = 100_000) -> None:
        self.invite = invite
        self.other = other
        self.client = client


class TransactionLayer:
    """All transactions of one element.

    `user` is an `ITransactionUser`. `token` gives fresh random text, for branches and tags; `admit` is
    asked for each new request that is not in a dialog and returns None, or the seconds to put into the
    Retry-After of a 503.

    For the operator it counts `retransmissions` absorbed, requests `shed`, responses `unmatched`, and
    responses `unsent` because whoever asked has gone; `requests` received by method, and
    `responses_received` and `responses_sent` by the first digit of their status, retransmissions included.

    `tap` is called with what was sent: the request that it is or answers, its octets, and the flow.
    """

    def __init__(
        self,
        transport: Any,
        wheel: TimerWheel,
        now: Callable[[], float],
        token: Callable[[], str],
        timers: Timers | None = None,
        limits: TransactionLimits | None = None,
        admit: Admission | None = None,
        user: Any = None,
    ) -> None:
        self.transport = transport
        self.wheel = wheel
        self.now = now
        self.token = token
        self.timers = timers or Timers()
        self.limits = limits or TransactionLimits()
        self.admit = admit
        self.user = user
        self.retransmissions = 0
        self.shed = 0
        self.unmatched = 0
        self.unsent = 0
        self.requests = dict.fromkeys((*sorted(KNOWN_METHODS), OTHER), 0)
        self.responses_received = [0] * 10
        self.responses_sent = [0] * 10
        self.tap: Tap | None = None
        self.pass_cancel: Callable[[Request, Flow], bool] | None = None
        """Offered each CANCEL of no INVITE here; says whether it was sent on (RFC 3261 section 16.10)."""
        self._servers: dict[str, ServerTransaction] = {}
        self._clients: dict[str, ClientTransaction] = {}
        self._invites = 0
        self._accepted = 0
        self._answered = AnsweredRequests(self.timers.lifetime)
        self._concluded = ConcludedRequests(self.timers.t4)
        self._sweeping = False
        # Below this nothing can be above its limit, and none has to be looked at.
        self._many = min(self.limits.invite, self.limits.other, self.limits.client)
        self._secret = token()

    # From the transport.

    def message_received(self, message: Request | Response, flow: Flow) -> None:
        """Take a well-formed message (`IMessageReceiver`)."""
        if isinstance(message, Request):
            self._request(message, flow)
        else:
            self._response(message, flow)

    def parse_failed(self, error: SIPParseError, flow: Flow) -> None:
        """Answer what was a request, as far as it could be read, and keep nothing of it."""
        request = error.message
        data = refusal(error)
        if data is None or not isinstance(request, Request):
            return
        back = way_back(request, flow)
        if back is None:
            return
        try:
            back.send(data)
        except FlowError:
            self.unsent += 1

    def _request(self, request: Request, flow: Flow) -> None:
        method = request.method
        try:
            self.requests[method] += 1
        except KeyError:
            self.requests[OTHER] += 1
        key = server_key(request, "INVITE" if method == "ACK" else method)
        server = self._servers.get(key)
        if server is not None:
            if method != "ACK":
                self.retransmissions += 1
            server.receive(request, flow)
            return
        if method == "ACK":
            if request.to.tag != self.stateless_tag(request):
                self.pass_ack(request, flow)
            return
        if not flow.reliable and method != "INVITE":
            data = self._answered.responses.get(hash(key))
            if data is not None:
                self.retransmissions += 1
                self._send_reply(request, flow, data)
                return
        if method == "CANCEL":
            self._cancel(request, flow)
            return
        if self.admit is not None or len(self._servers) >= self._many or len(self._clients) >= self._many:
            refused = self._refusal(request)
            if refused is not None:
                self.shed += 1
                self.reply(request, flow, refused)
                return
        server = ServerTransaction(self, request, flow, key)
        try:
            waiting = self.user.request_received(server)
        except Exception:
            self._user_failed(server, Failure())
            return
        if waiting is not None:
            self._await(server, waiting)
        if server.status < 200:
            server.wait()

    def _await(self, server: ServerTransaction, waiting: Awaitable[object]) -> None:
        deferred = waiting if isinstance(waiting, Deferred) else Deferred.fromCoroutine(waiting)  # type: ignore[arg-type]
        deferred.addErrback(lambda failure: self._user_failed(server, failure))

    def _user_failed(self, server: ServerTransaction, failure: Failure) -> None:
        _log.failure(
            "The {method} of {call_id} could not be processed",
            failure,
            method=server.request.method,
            call_id=server.request.get("call-id"),
        )
        if not server.answered:
            server.respond_status(500)

    def _cancel(self, request: Request, flow: Flow) -> None:
        """RFC 3261 section 9.2: the CANCEL is answered here, its INVITE by the user.

        That of another method has no effect, but is answered all the same.
        """
        servers = self._servers
        invite = servers.get(server_key(request, "INVITE"))
        if invite is None and self.pass_cancel is not None and self.pass_cancel(request, flow):
            return
        found = invite is not None or any(server_key(request, method) in servers for method in KNOWN_METHODS)
        status = 200 if found else 481
        tag = self.new_tag()
        answer = respond(request, status, to_tag=tag)
        if flow.reliable or invite is None:
            self.reply(request, flow, answer)
        else:
            data = answer.to_bytes()
            self.keep_answer(server_key(request, "CANCEL"), data, self.now())
            self._send_reply(request, flow, data)
        if invite is not None and not invite.answered and invite.on_cancel is not None:
            try:
                invite.on_cancel(invite, request)
            except Exception:
                _log.failure("The CANCEL of {call_id} could not be processed", call_id=request.get("call-id"))

    def _refusal(self, request: Request) -> Response | None:
        """A 503 for a new request when too much is going on; in-dialog requests go first."""
        limits = self.limits
        if request.method == "INVITE":
            held, most = self._invites, limits.invite
        else:
            held, most = len(self._servers) - self._invites - self._accepted, limits.other
        in_dialog = request.to.tag is not None
        clients = len(self._clients)
        if (held >= most or clients >= limits.client) and not (
            in_dialog and held < most + most // 4 and clients < limits.client + limits.client // 4
        ):
            # Spread, so that they don't all come back at once.
            seconds: int | None = 5 + hash(self.token()) % 26
        elif in_dialog or self.admit is None:
            return None
        else:
            seconds = self.admit(request)
            if seconds is None:
                return None
        return respond(
            request, 503, to_tag=self.stateless_tag(request), headers=(("Retry-After", str(seconds)),)
        )

    def _response(self, response: Response, flow: Flow) -> None:
        self.responses_received[response.status // 100] += 1
        branch = response.via.branch
        key = f"{branch}|{response.cseq.method}"
        client = self._clients.get(key) if branch else None
        if client is not None:
            try:
                client.receive(response)
            except Exception:
                _log.failure(
                    "A response of {call_id} could not be processed", call_id=response.get("call-id")
                )
            return
        if self._concluded.knows(key):
            return
        self.unmatched += 1
        if self.user is not None:
            self.user.response_unmatched(response, flow)

    # From the user.

    def request(
        self, request: Request, flow: Flow, user: Any, branch: str | None = None
    ) -> ClientTransaction:
        """Send a request on a flow in a new client transaction; `user` is an `IClientUser`.

        A flow that cannot take it makes `user.client_failed` be called before this returns: see
        `prepare` for users that must know the transaction first.
        """
        client = self.prepare(request, flow, user, branch)
        client.start()
        return client

    def prepare(
        self, request: Request, flow: Flow, user: Any, branch: str | None = None
    ) -> ClientTransaction:
        """A client transaction that sends its request when its `start` is called.

        A Via of ours is put on top (branch `branch`, or a new one).
        """
        if branch is None:
            branch = MAGIC + self.token()
        request.insert("via", via_value(flow.transport, flow.sent_by, branch))
        return self._prepare(request, flow, user, branch)

    def resend_branch(self, request: Request, flow: Flow, user: Any) -> None:
        """Send a request that has its Via already: a CANCEL shares that of its INVITE."""
        self._prepare(request, flow, user, request.via.branch or "").start()

    def _prepare(self, request: Request, flow: Flow, user: Any, branch: str) -> ClientTransaction:
        client = ClientTransaction(self, request, flow, f"{branch}|{request.method}", user)
        self._clients[client.key] = client
        return client

    def send(self, request: Request, flow: Flow, via: str | None = None) -> None:
        """Send a request without a transaction: the ACK to a 2xx. Puts our Via on top, `via` or a new one.

        Raises `FlowError` when the flow cannot take it.
        """
        request.insert("via", via or via_value(flow.transport, flow.sent_by, MAGIC + self.token()))
        data = request.to_bytes()
        flow.send(data)
        if self.tap is not None:
            self.tap(request, data, flow)

    def reply(self, request: Request, flow: Flow, response: Response) -> None:
        """Answer without a transaction, along the way that the request came."""
        self._send_reply(request, flow, response.to_bytes())

    def _send_reply(self, request: Request, flow: Flow, data: bytes) -> None:
        back = flow.reply_flow(request.via)
        try:
            back.send(data)
        except FlowError:
            self.unsent += 1
        else:
            self.sent_response(request, data, back)

    def sent_response(self, request: Request, data: bytes, flow: Flow) -> None:
        """Count a response that was sent, and show it to the tap."""
        self.responses_sent[data[8] - 48] += 1  # SIP/2.0 200
        if self.tap is not None:
            self.tap(request, data, flow)

    def new_tag(self) -> str:
        """A tag for To or From: at least 64 random bits (RFC 3261 section 19.3)."""
        return self.token()

    def stateless_tag(self, request: Request) -> str:
        """The To tag of answers that leave no state: a function of what an ACK shares with its INVITE.

        Python's hash is keyed anew in each process (RFC 3261 sections 8.2.7 and 16.11).
        """
        return self.tag_of(request.via.params.get("branch"), request.get("call-id"))

    def tag_of(self, branch: str | None, call_id: str | None) -> str:
        """The `stateless_tag` of a request with this branch and Call-ID."""
        return f"{hash((self._secret, branch, call_id)) & 0xFFFFFFFFFFFFFFFF:016x}"

    # From transactions.

    def add_server(self, server: ServerTransaction) -> None:
        """Let the transaction be found."""
        self._servers[server.key] = server
        if server.invite:
            self._invites += 1

    def accepted(self, server: ServerTransaction) -> None:
        """An INVITE is answered 2xx: it stays for 64*T1 (RFC 6026), and weighs nothing any more."""
        self._invites -= 1
        self._accepted += 1

    def remove_server(self, server: ServerTransaction) -> None:
        """Forget the transaction."""
        if self._servers.pop(server.key, None) is not None and server.invite:
            if 200 <= server.status < 300:
                self._accepted -= 1
            else:
                self._invites -= 1

    def remove_client(self, client: ClientTransaction) -> None:
        """Forget the transaction."""
        self._clients.pop(client.key, None)

    def conclude(self, key: str) -> None:
        """Absorb whatever response to the request of this key comes within Timer K (RFC 3261 section
        17.1.2.2).
        """
        self._concluded.add(key, self.now())

    def pass_ack(self, request: Request, flow: Flow) -> None:
        """Give an ACK of a 2xx to the user."""
        if self.user is not None:
            self.user.ack_received(request, flow)

    def keep_answer(self, key: str, data: bytes, now: float) -> None:
        """Answer the request of this key with `data` whenever it comes again within 64*T1."""
        answered = self._answered
        answered.put(key, data, now)
        if not self._sweeping and answered.deadline is not None:
            self._sweeping = True
            self.wheel.schedule(answered.deadline - now, TransactionLayer._sweep, self)

    def was_answered(self, key: str) -> bool:
        """Whether an answer to the request of this key is kept."""
        return hash(key) in self._answered.responses

    def knows(self, key: str) -> bool:
        """Whether the request of this key is under way, or its answer is kept."""
        return key in self._servers or hash(key) in self._answered.responses

    def _sweep(self) -> None:
        answered = self._answered
        now = self.now()
        answered.tick(now)
        if answered.deadline is None:
            self._sweeping = False
        else:
            self.wheel.schedule(answered.deadline - now, TransactionLayer._sweep, self)

    def response_flow(self, request: Request, flow: Flow) -> Flow | None:
        """A new connection to where the request's sender listens, or None (RFC 3261 section 18.2.2).

        Over TLS it must show a certificate for the name in its Via, if that is one (RFC 5922 section 7.3).
        """
        if not flow.reliable:
            return None
        via = request.via
        port = via.port or (5061 if flow.secure else 5060)
        name = via.host if flow.secure and canonical_host(via.host) is None else ""
        found: Flow = self.transport.flow_to(Target(flow.transport, flow.remote[0], port, name))
        return found

    def client_of(self, request: Request) -> ClientTransaction | None:
        """The client transaction that sent this very request, when it has come back to us."""
        branch = request.via.branch
        return self._clients.get(f"{branch}|{request.method}") if branch else None

    # For the operator.

    @property
    def servers(self) -> int:
        """Server transactions that are not yet answered, or INVITEs not yet forgotten."""
        return len(self._servers)

    @property
    def clients(self) -> int:
        """Client transactions."""
        return len(self._clients)

    @property
    def quiet(self) -> bool:
        """Whether no request waits for a final response, here or at a peer."""
        return not any(not one.answered for one in self._servers.values()) and not any(
            not one.answered for one in self._clients.values()
        )

    @property
    def ringing(self) -> int:
        """How many INVITEs wait for their final response."""
        return sum(one.invite and not one.answered for one in self._servers.values())

    def __iter__(self) -> Iterator[ServerTransaction | ClientTransaction]:
        yield from list(self._servers.values())
        yield from list(self._clients.values())


# Not by a decorator, with which mypyc would leave the class to the interpreter.
classImplements(TransactionLayer, IMessageReceiver)


def server_key(request: Request, method: str) -> str:
    """What tells one server transaction from another (RFC 3261 section 17.2.3)."""
    via = request.via
    params = via.params
    branch = params.get("branch")
    if branch and len(branch) > 7 and branch[:7].lower() == "z9hg4bk":
        return f"{branch}|{via.host}:{via.port}|{method}"
    # RFC 2543: no unique branch; what a retransmission and an ACK have in common with the request.
    # A branch of the cookie alone is no better (RFC 4475 section 3.2.1).
    return "|".join(
        (
            request.uri_text,
            request.from_.tag or "",
            request.call_id,
            str(request.cseq.number),
            format_host_port(via.host, via.port),
            branch or "",
            method,
        )
    )
