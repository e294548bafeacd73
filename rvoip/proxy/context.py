"""One forwarded request: its branches, their targets, and the way back (RFC 3261 sections 16.6 to 16.10)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.interfaces import IClientUser
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.proxy.fork import Fork
from rvoip.proxy.targets import Destination, Refused, Targets

if TYPE_CHECKING:
    from rvoip.proxy.proxy import Proxy

__all__ = ["Branch", "ResponseContext"]

TIMER_C = 180.0
"""Seconds that an INVITE may ring before its branch is given up (section 16.6 step 11: over 3 minutes)."""

_log = Logger()


class Branch:
    """One destination of the request, with what is known of how to reach it."""

    __slots__ = (
        "cancelled",
        "client",
        "destination",
        "flow",
        "number",
        "request",
        "response",
        "targets",
        "timer_c",
    )

    def __init__(self, number: int, destination: Destination) -> None:
        self.number = number
        self.destination = destination
        self.request: Request | None = None
        self.targets: list[Target] = []
        self.flow: Flow | None = None
        self.client: ClientTransaction | None = None
        self.response: Response | None = None
        self.timer_c: Timer | None = None
        self.cancelled = False


@implementer(IClientUser)
class ResponseContext:
    """The state of one request under way; each of its client transactions reports here."""

    __slots__ = (
        "_by_client",
        "_cancel_headers",
        "began",
        "branches",
        "breadth",
        "final",
        "fork",
        "mark",
        "proxy",
        "record_route",
        "transaction",
    )

    def __init__(
        self,
        proxy: Proxy,
        transaction: ServerTransaction,
        targets: Targets,
        mark: str,
        breadth: int,
        record_route: bool,
    ) -> None:
        self.proxy = proxy
        self.transaction = transaction
        self.branches = [
            Branch(number, destination)
            for number, destination in enumerate(one for group in targets.groups for one in group)
        ]
        self.fork = Fork([len(group) for group in targets.groups], transaction.invite)
        self.mark = mark
        self.breadth = breadth
        self.record_route = record_route
        self.final = 0
        self.began = proxy.layer.now()
        self._by_client: dict[str, Branch] = {}
        self._cancel_headers: tuple[tuple[str, str], ...] = ()

    # Forwards.

    def start(self) -> None:
        """Send the request to the first group."""
        self.transaction.on_cancel = self.cancelled
        self._start_group()

    def _start_group(self) -> None:
        started = [self.branches[number] for number in self.fork.start()]
        share = max(1, self.breadth // len(started))
        for branch in started:
            try:
                waiting = self.proxy.prepare(self, branch, share)
            except (Refused, SIPParseError) as error:
                self._failed(branch, error.status, str(error))
                continue
            if waiting is None:
                self._send(branch)
            else:
                self._await(branch, waiting)

    def _await(self, branch: Branch, waiting: Deferred[list[Target]]) -> None:
        def located(targets: list[Target]) -> None:
            branch.targets = targets
            if branch.cancelled or self.fork.done:
                self._failed(branch, 487, "cancelled")
            else:
                self._send(branch)

        def lost(failure: Failure) -> None:
            status = getattr(failure.value, "status", None)
            if not isinstance(status, int):
                _log.failure("A destination could not be resolved", failure)
                status = 500
            self._failed(branch, status, failure.getErrorMessage())

        waiting.addCallbacks(located, lost)

    def _send(self, branch: Branch) -> None:
        """Send to the flow of the branch, or to its next target that can be sent to."""
        proxy = self.proxy
        request = branch.request
        if request is None:
            return
        flow, branch.flow = branch.flow, None
        while flow is None:
            if not branch.targets:
                self._failed(branch, 503, "unreachable")
                return
            try:
                flow = proxy.transport.flow_to(branch.targets.pop(0))
            except FlowError:
                continue
        if branch.targets:
            request = request.copy()  # another target may need it
        proxy.forward_on(self, branch, request, flow)

    def sent(self, branch: Branch, client: ClientTransaction) -> None:
        """The branch's request is on its way."""
        branch.client = client
        self._by_client[client.key] = branch
        if self.transaction.invite:
            self._restart_timer_c(branch)
        if branch.cancelled:
            client.cancel(self._cancel_headers)

    # Backwards (IClientUser).

    def response_received(self, transaction: ClientTransaction, response: Response) -> None:
        """A response of a branch: RFC 3261 section 16.7."""
        branch = self._by_client[transaction.key]
        status = response.status
        if status < 200:
            if status > 100 and self.transaction.invite:
                self._restart_timer_c(branch)
        else:
            self._stop_timer_c(branch)
            if status == 503 and branch.targets and not branch.cancelled:
                self.proxy.target_failed(transaction.flow)
                branch.client = None
                self._send(branch)
                return
        response.remove_first_value("via")
        if not response.has("via"):
            return  # it was for us alone
        branch.response = response
        self._do(self.fork.receive(branch.number, status))

    def client_failed(self, transaction: ClientTransaction, reason: str) -> None:
        """No answer, or no way: the next target (RFC 3263 section 4.3), else the branch has failed."""
        branch = self._by_client.get(transaction.key)
        if branch is None:
            return
        self._stop_timer_c(branch)
        branch.client = None
        self.proxy.target_failed(transaction.flow)
        if branch.targets and not branch.cancelled:
            self._send(branch)
        else:
            self._failed(branch, 408 if reason == "timeout" else 503, reason)

    def _failed(self, branch: Branch, status: int, reason: str) -> None:
        """The branch ends with a response of our own."""
        self._stop_timer_c(branch)
        if branch.destination.flow_only and status == 503:
            status = 430
        branch.response = None
        self._do(self.fork.receive(branch.number, status))

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The caller gave up (section 16.10)."""
        reason = cancel.get("reason")
        self._cancel_headers = (("Reason", reason),) if reason is not None else ()
        self._do(self.fork.cancel())

    def _do(self, actions: Iterable[tuple[str, int | None]]) -> None:
        for action, number in actions:
            if action == "start":
                self._start_group()
            elif action == "best":
                self._answer(number)
            elif number is not None:
                branch = self.branches[number]
                if action == "forward":
                    self._forward(branch)
                else:
                    self._cancel(branch)

    def _forward(self, branch: Branch) -> None:
        response = branch.response
        if response is None:
            return
        if response.status >= 200:
            self._ended(response.status)
        self.transaction.respond(response)
        if response.status > 100:
            self.proxy.forwarded_response(self, response)
        if response.status >= 200:
            self._release(branch)

    def _cancel(self, branch: Branch) -> None:
        branch.cancelled = True
        self._stop_timer_c(branch)
        if branch.client is not None:
            branch.client.cancel(self._cancel_headers)

    def _answer(self, number: int | None) -> None:
        """The best of the final responses goes back (section 16.7 steps 6 and 7)."""
        transaction = self.transaction
        status = self.fork.finals[number] if number is not None else 500
        response = self.branches[number].response if number is not None else None
        if response is None:
            if status == 408 and not transaction.invite:
                self._ended(408)
                transaction.abandon()  # RFC 4320 section 4.2
                return
            response = respond(transaction.request, status, to_tag=transaction.stateless_tag)
        elif status in (401, 407):
            self._gather_challenges(response, number)
        elif status == 503:
            # It speaks of one server behind us, not of us (section 16.7 step 6).
            response = respond(transaction.request, 500, to_tag=transaction.stateless_tag)
        self._ended(response.status)
        transaction.respond(response)
        self.proxy.forwarded_response(self, response)

    def _gather_challenges(self, response: Response, chosen: int | None) -> None:
        """All branches' challenges go into the one response (section 16.7 step 7)."""
        for branch in self.branches:
            if branch.number == chosen or branch.response is None or branch.response.status not in (401, 407):
                continue
            for name in ("www-authenticate", "proxy-authenticate"):
                for value in branch.response.get_all(name):
                    response.add(name, value)

    def _ended(self, status: int) -> None:
        if not self.final:
            self.final = status

    def _release(self, branch: Branch) -> None:
        """A 2xx may come again for 64*T1; what forwarding it needs stays, the rest goes."""
        branch.request = None
        branch.targets = []
        if not self.fork.pending:
            self.transaction.on_cancel = None

    # Timer C.

    def _restart_timer_c(self, branch: Branch) -> None:
        self._stop_timer_c(branch)
        branch.timer_c = self.proxy.layer.wheel.schedule(TIMER_C, self._timer_c, branch)

    def _stop_timer_c(self, branch: Branch) -> None:
        timer, branch.timer_c = branch.timer_c, None
        if timer is not None:
            timer.cancel()

    def _timer_c(self, branch: Branch) -> None:
        """It rang too long (section 16.8): cancel, and the 487 will end the branch."""
        branch.timer_c = None
        client = branch.client
        if client is None:
            return
        if client.status >= 100:
            self._cancel(branch)
        else:
            self._failed(branch, 408, "timeout")
