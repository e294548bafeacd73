"""One request of ours until its final response: where it goes, and whom it is authenticated to.

It goes to the targets that RFC 3263 gives, one after the other, until one answers; a challenge is answered
with a new CSeq (RFC 3261 section 22). What stands above sees one request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.interfaces import IClientUser
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import URI, SipURI
from rvoip.protocols.transport.errors import TransportError

if TYPE_CHECKING:
    from rvoip.protocols.dialog.agent_core import AgentCore
    from rvoip.protocols.dialog.challenge import Authentication
    from rvoip.protocols.dialog.dialog import Dialog
    from rvoip.protocols.transport.flow import Flow, Target

__all__ = ["Outgoing"]

_CONTACT = frozenset(("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"))
"""The methods that make a dialog or refresh its target, and so say where we are (RFC 3261 section 12)."""

_VIA_ROOM = 100
"""Octets that our Via may add to a request."""


@implementer(IClientUser)
class Outgoing:
    """A request under way.

    `on_response` gets it and each response but those that it deals with itself; `on_failure` why there will
    be no final one. `request` is the request as it was last sent.
    """

    __slots__ = (
        "_agent",
        "_attempt",
        "_authentication",
        "_cancelled",
        "_contact",
        "_flow",
        "_limit",
        "_next_hop",
        "_on_failure",
        "_on_response",
        "_over",
        "_targets",
        "dialog",
        "flow",
        "request",
        "transaction",
    )

    def __init__(
        self,
        agent: AgentCore,
        request: Request,
        next_hop: URI,
        on_response: Callable[[Outgoing, Response], object],
        on_failure: Callable[[Outgoing, str], object],
        dialog: Dialog | None = None,
        authentication: Authentication | None = None,
        flow: Flow | None = None,
    ) -> None:
        self.request = request
        self.dialog = dialog
        self.flow: Flow | None = None
        """The flow that it went on last."""
        self.transaction: ClientTransaction | None = None
        self._agent = agent
        # What is sent, but for the Via of each attempt.
        self._attempt = request
        self._next_hop = next_hop
        self._on_response = on_response
        self._on_failure = on_failure
        self._authentication = authentication
        self._flow = flow
        self._targets: list[Target] = []
        self._contact = request.method in _CONTACT and not request.has("contact")
        self._cancelled: tuple[tuple[str, str], ...] | None = None
        self._over = False
        self._limit: Timer | None = None

    @property
    def cancelled(self) -> bool:
        """Whether it was given up, by its owner or because it rang for too long."""
        return self._cancelled is not None

    @property
    def host(self) -> str:
        """The host that the request is sent to, as its URI names it: who may ask for credentials."""
        hop = self._next_hop
        return hop.host if isinstance(hop, SipURI) else ""

    @property
    def answered(self) -> bool:
        """Whether there is a final response, or none will come."""
        return self._over

    def start(self) -> None:
        """Send it, as soon as it is known where to. An INVITE may ring as long as the settings say."""
        if self.request.method == "INVITE":
            agent = self._agent
            self._limit = agent.layer.wheel.schedule(agent.settings.ring, Outgoing._rang_out, self)
        flow = self._flow
        if flow is not None and not flow.closed:
            self._send(flow)
            return
        self._locate()

    def cancel(self, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Give an INVITE up: CANCEL with these headers where it was sent (RFC 3261 section 9.1).

        A 2xx may come all the same.
        """
        if self._over or self._cancelled is not None:
            return
        self._cancelled = headers
        if self.transaction is None:
            self._fail("cancelled")
        else:
            self.transaction.cancel(headers)

    def _rang_out(self) -> None:
        self._limit = None
        self.cancel((("Reason", 'SIP;cause=408;text="Request Timeout"'),))

    def abandon(self) -> None:
        """Nobody wants to know any more."""
        self._finish()

    # Where to.

    def _locate(self) -> None:
        locator = self._agent.locator
        try:
            targets = locator.locate_now(self._next_hop)
        except (TransportError, SIPParseError) as error:
            self._fail(f"no target: {error}")
            return
        if targets is not None:
            self._located(targets)
            return
        waiting: Deferred[Any] = Deferred.fromCoroutine(locator.locate(self._next_hop))
        waiting.addCallbacks(self._located, self._not_located)

    def _not_located(self, failure: Failure) -> None:
        failure.trap(TransportError, SIPParseError)
        if not self._over:
            self._fail(f"no target: {failure.value}")

    def _located(self, targets: list[Target]) -> None:
        if self._over:
            return
        size = sum(map(len, self._attempt.lines)) + 2 * len(self._attempt.lines) + len(self._attempt.body)
        transport = self._agent.layer.transport
        chosen: list[Target] = []
        for target in targets:
            sized = transport.sized_target(target, size + _VIA_ROOM)
            if sized != target:
                chosen.append(sized)
            chosen.append(target)
        self._targets = chosen
        self._next()

    def _next(self) -> None:
        if not self._targets:
            self._fail("no target")
            return
        self._send(self._agent.layer.transport.flow_to(self._targets[0]))

    def _send(self, flow: Flow) -> None:
        agent = self._agent
        if self._contact:
            self._attempt.set("contact", agent.contact(flow, self.dialog, self._attempt))
        request = self._attempt.copy()
        if self._authentication is not None:
            self._authentication.authorize(request, self.host, flow.remote[0])
        agent.request_made(request, self.dialog)
        self.request = request
        self.flow = flow
        transaction = self.transaction = agent.layer.prepare(request, flow, self)
        transaction.start()

    # What comes back (`IClientUser`).

    def response_received(self, transaction: ClientTransaction, response: Response) -> None:
        """See `IClientUser`."""
        if transaction is not self.transaction:
            return
        status = response.status
        if status >= 200 and not self._over:
            if status < 300:
                self._succeeded(response)
            elif self._try_again(response):
                return
            self._finish()
        elif self._over and not (transaction.invite and 200 <= status < 300):
            return
        try:
            self._agent.response_seen(response, self.dialog)
            self._on_response(self, response)
        except SIPParseError as error:
            # The peer's doing: not worth a line of log for each.
            if status >= 200:
                self._on_failure(self, f"bad response: {error.reason}")

    def client_failed(self, transaction: ClientTransaction, reason: str) -> None:
        """See `IClientUser`."""
        if transaction is not self.transaction or self._over:
            return
        if self._targets:
            self._agent.locator.failed(self._targets[0])
        if self._cancelled is None and len(self._targets) > 1 and not transaction.status:
            del self._targets[0]
            self._next()
        else:
            self._fail(reason)

    def _succeeded(self, response: Response) -> None:
        if self._authentication is not None:
            self._authentication.accepted(response)

    def _try_again(self, response: Response) -> bool:
        """Whether the request goes once more: to the next target, or with credentials."""
        if self._cancelled is not None:
            return False
        if response.status == 503 and len(self._targets) > 1:
            self._agent.locator.failed(self._targets[0])
            del self._targets[0]
            self._next()
            return True
        if response.status not in (401, 407) or self._authentication is None or self.flow is None:
            return False
        if not self._authentication.answer(self.request, response, self.host, self.flow.remote[0]):
            return False
        attempt = self._attempt
        number = self.dialog.next_cseq() if self.dialog is not None else attempt.cseq.number + 1
        attempt.set("cseq", f"{number} {attempt.method}")
        if self.flow.closed:
            self._locate()
        else:
            self._send(self.flow)
        return True

    def _fail(self, reason: str) -> None:
        if not self._over:
            self._finish()
            self._on_failure(self, reason)

    def _finish(self) -> None:
        self._over = True
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def __repr__(self) -> str:
        return f"<Outgoing {self.request.method} {self.request.call_id}>"
