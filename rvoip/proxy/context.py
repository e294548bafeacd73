"""One forwarded request: its branches, their targets, and the way back (RFC 3261 sections 16.6 to 16.10)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.errors import TransportError
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.proxy.branch import Branch
from rvoip.proxy.dialogs import Marks
from rvoip.proxy.fork import Fork
from rvoip.proxy.record_route import End
from rvoip.proxy.route_context import RouteContext
from rvoip.proxy.targets import Refused, Targets

if TYPE_CHECKING:
    from rvoip.proxy.proxy import Proxy

__all__ = ["ResponseContext"]

_log = Logger()


class ResponseContext:
    """The state of one request under way."""

    __slots__ = (
        "_cancel_headers",
        "_gave_up",
        "began",
        "branches",
        "breadth",
        "final",
        "fork",
        "incoming",
        "mark",
        "marks",
        "pinned",
        "proxy",
        "sender",
        "share",
        "transaction",
    )

    def __init__(
        self,
        proxy: Proxy,
        transaction: ServerTransaction,
        targets: Targets,
        incoming: RouteContext,
        mark: str,
        breadth: int,
        sender: End | None,
        pinned: bool = False,
    ) -> None:
        """`incoming` is what is known of the request; `mark` goes into our branches (loop detection);
        `breadth` is what the request may fan out to; `sender` is the end of a dialog that it comes from, None
        where we do not stay in the way; `pinned` says that only the flow that it came on reaches its sender.
        """
        self.proxy = proxy
        self.transaction = transaction
        self.branches = [
            Branch(self, number, destination)
            for number, destination in enumerate([one for group in targets.groups for one in group])
        ]
        self.fork = Fork([len(group) for group in targets.groups], transaction.invite)
        self.mark = mark
        self.breadth = breadth
        self.share = breadth
        """The Max-Breadth of each branch that is started now (RFC 5393 section 5.3.3)."""
        self.incoming = incoming
        self.sender = sender
        self.marks = Marks()
        self.pinned = pinned
        self.final = 0
        """The status of the final response that went back first; 0 before."""
        self.began = proxy.layer.now()
        self._gave_up = False
        self._cancel_headers: tuple[tuple[str, str], ...] = ()

    @property
    def accepted_on(self) -> Flow | None:
        """The flow on which the request was accepted; None when it was not."""
        for branch in self.branches:
            client = branch.client
            if client is not None and 200 <= client.status < 300:
                return client.flow
        return None

    # Forwards.

    def start(self) -> None:
        """Send the request to the first group."""
        transaction = self.transaction
        if transaction.invite:
            transaction.on_cancel = self.cancelled
        transaction.on_end = self.ended
        self._start_group()

    def _start_group(self) -> None:
        started = [self.branches[number] for number in self.fork.start()]
        self.share = max(1, self.breadth // len(started))
        for branch in started:
            self._try(branch)

    def _try(self, branch: Branch) -> None:
        """Send to the branch's destination, as soon as it is known where that is."""
        try:
            waiting = self.proxy.outgoing.prepare(self, branch)
        except (Refused, SIPParseError) as error:
            self._failed(branch, error.status)
        except TransportError as error:
            self._failed(branch, getattr(error, "status", 503))
        else:
            if waiting is None:
                self._send(branch)
            else:
                waiting.addCallbacks(
                    self._located, self._not_located, callbackArgs=(branch,), errbackArgs=(branch,)
                )
                waiting.addErrback(self._broken, branch)

    def _located(self, targets: list[Target], branch: Branch) -> None:
        if not branch.cancelled:
            branch.targets = targets
            self._send(branch)

    def _not_located(self, failure: Failure, branch: Branch) -> None:
        if branch.cancelled:
            return
        status = getattr(failure.value, "status", None)
        if isinstance(status, int):
            self._failed(branch, status)
        else:
            self._broken(failure, branch)

    def _broken(self, failure: Failure, branch: Branch) -> None:
        _log.failure(
            "The {method} of {call_id} could not be forwarded",
            failure,
            method=self.transaction.request.method,
            call_id=self.transaction.request.call_id,
        )
        self._failed(branch, 500)

    def _send(self, branch: Branch) -> None:
        """Send on the flow of the branch, or to its next target."""
        request = branch.request
        if request is None:
            return
        flow, branch.flow = branch.flow, None
        if flow is None:
            targets = branch.targets
            if not targets:
                self._failed(branch, 503)
                return
            flow = self.proxy.transport.flow_to(targets.pop(0))
            if targets:
                branch.one_of_many = True
                request = request.copy()  # another one may need it
        client = self.proxy.outgoing.send(self, branch, request, flow)
        self.proxy.forwarded += 1
        branch.client = client
        if client.invite:
            branch.start_timer_c()
        if branch.targets:
            branch.hurry_up()
        client.start()

    # Backwards.

    def responded(self, branch: Branch, client: ClientTransaction, response: Response) -> None:
        """A response of a branch: RFC 3261 section 16.7."""
        status = response.status
        if branch.one_of_many:
            branch.stop_hurrying()
            self.proxy.outgoing.answered(client.flow, response)
        if status < 200:
            if status == 100:
                return
            if client.invite:
                branch.start_timer_c()
        else:
            branch.stop_timer_c()
            if not branch.cancelled:
                if status == 503 and branch.targets:
                    self._send(branch)
                    return
                if status == 430 and self._next_flow(branch):
                    return
        response.remove_first_value("via")
        if not response.has("via"):
            # It was for us alone (step 3); nobody can be told of it.
            if status >= 200:
                self._failed(branch, 502)
            return
        if branch.rang_out and status >= 300:
            self._failed(branch, 408)
            return
        if self.sender is not None:
            self.proxy.dialogs.seal(response, self.transaction.request.call_id, self.marks)
        if 200 <= status < 300:
            self.proxy.dialogs.accepted(self.transaction.request, response, client.flow, self.marks)
        if response.has("p-asserted-identity") and not self.proxy.trusted(client.flow):
            response.remove("p-asserted-identity")
        branch.response = response
        self._do(self.fork.receive(branch.number, status))

    def hurried(self, branch: Branch) -> None:
        """A target is silent, and there is another one: try that, before the caller has lost patience.

        RFC 3263 section 4.3 waits for a timeout. The first one goes on meanwhile, to be cancelled as soon
        as it shows that it lives.
        """
        client = branch.client
        if client is None or branch.cancelled or self.fork.done:
            return
        self.proxy.outgoing.failed(client.flow)
        client.cancel()
        self._send(branch)

    def accepted_late(self, branch: Branch, client: ClientTransaction, response: Response) -> None:
        """An INVITE was accepted by a target that was given up for dead: it has the call then."""
        current = branch.client
        if current is not None and not branch.cancelled:
            branch.cancelled = True
            current.cancel(self._cancel_headers)
        self.responded(branch, client, response)

    def lost(self, branch: Branch, client: ClientTransaction, silent: bool) -> None:
        """No answer, or no way: the next target (RFC 3263 section 4.3), else the branch has failed."""
        branch.stop_hurrying()
        branch.stop_timer_c()
        branch.client = None
        if branch.cancelled:
            self._failed(branch, 408 if branch.rang_out or not self._gave_up else 487)
            return
        self.proxy.outgoing.failed(client.flow)
        # A phone that rang does not ring again; a request other than INVITE has no time for another try.
        if client.status <= 100 and (client.invite or not silent):
            if branch.targets:
                self._send(branch)
                return
            if self._next_flow(branch):
                return
        branch.others = ()
        # That one of our users cannot be reached is no reason for the caller to avoid this server.
        contact = branch.destination.uri is not self.transaction.request.uri
        self._failed(branch, 408 if silent else 480 if contact else 503)

    def _next_flow(self, branch: Branch) -> bool:
        """Try another flow of the same device, if there is one (RFC 5626 section 7)."""
        if not branch.others or self.fork.done:
            return False
        branch.destination, *others = branch.others
        branch.others = tuple(others)
        branch.client = None
        branch.targets = []
        self._try(branch)
        return True

    def _failed(self, branch: Branch, status: int) -> None:
        """The branch ends with a response of our own."""
        branch.stop_hurrying()
        branch.stop_timer_c()
        branch.response = None
        destination = branch.destination
        if status == 503 and destination.flow_token is not None:
            status = 430 if destination.flow_only else 480
        if status == 430 and not branch.cancelled and self._next_flow(branch):
            return
        self._do(self.fork.receive(branch.number, status))

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The caller gave up (section 16.10)."""
        self._gave_up = True
        self._cancel_headers = tuple([("Reason", value) for value in cancel.get_all("reason")])
        self._do(self.fork.cancel())

    def ended(self, transaction: ServerTransaction, reason: str) -> None:
        """Nobody waits for an answer any more.

        Branches know this context for as long as something may come of them. It forgets them here: objects
        that know each other stay until the collector walks over all memory, which is seldom.
        """
        if reason and not transaction.invite:
            self.fork.cancel()
        branches, self.branches = self.branches, []
        for branch in branches:
            if branch.client is not None and branch.client.answered:
                branch.client = None

    def rings_too_long(self, branch: Branch) -> None:
        """It rang too long (section 16.8): cancel, and the 487 will end the branch."""
        client = branch.client
        if client is not None and client.status < 100:
            self._failed(branch, 408)
        else:
            branch.rang_out = True
            self._cancel(branch)

    def _do(self, actions: Iterable[tuple[str, int | None]]) -> None:
        branches = self.branches
        if not branches:
            return  # the request has ended
        for action, number in actions:
            if number is None:
                self._start_group()
            elif action == "forward":
                self._forward(branches[number])
            elif action == "cancel":
                self._cancel(branches[number])
            else:
                self._answer(branches[number])

    def _forward(self, branch: Branch) -> None:
        response, branch.response = branch.response, None
        if response is None:
            return
        first = not self.final
        if response.status >= 200:
            self.final = self.final or response.status
            # It may come again for 64*T1, but not be sent anywhere else.
            branch.request = None
            branch.targets = []
            if not self.fork.pending:
                self.transaction.on_cancel = None
        self.transaction.respond(response)
        if first:
            self.proxy.forwarded_response(self, response)

    def _cancel(self, branch: Branch) -> None:
        branch.cancelled = True
        branch.stop_hurrying()
        branch.stop_timer_c()
        if branch.client is None:
            self._failed(branch, 487)  # it was not sent yet
        else:
            branch.client.cancel(self._cancel_headers)

    def _answer(self, branch: Branch) -> None:
        """The best of the final responses goes back (section 16.7 steps 6 and 7)."""
        transaction = self.transaction
        request = transaction.request
        status = self.fork.finals[branch.number]
        response = branch.response
        if status == 408 and not transaction.invite:
            self.final = 408
            transaction.abandon()  # RFC 4320 section 4.2
            return
        if status == 430 and request.to.tag is None:
            # Which flow failed is nothing to the caller (RFC 5626 section 7).
            response, status = None, 480
        elif status == 503 and response is not None:
            # It speaks of one server behind us, not of us (step 6).
            response, status = None, 500
        if response is None:
            response = respond(request, status, to_tag=transaction.stateless_tag)
        elif status == 401 or status == 407:
            self._gather_challenges(response, branch)
        self.final = status
        transaction.respond(response)
        self.proxy.forwarded_response(self, response)

    def _gather_challenges(self, response: Response, chosen: Branch) -> None:
        """All branches' challenges go into the one response (section 16.7 step 7)."""
        for branch in self.branches:
            other = branch.response
            if branch is chosen or other is None or other.status not in (401, 407):
                continue
            for name in ("www-authenticate", "proxy-authenticate"):
                for value in other.get_all(name):
                    response.add(name, value)
