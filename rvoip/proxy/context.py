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
from rvoip.proxy.best import best_response
from rvoip.proxy.branch import Branch
from rvoip.proxy.calls import address_of
from rvoip.proxy.clients import keep_client
from rvoip.proxy.dialogs import Marks
from rvoip.proxy.failover import ELSEWHERE, failed, next_flow, unreachable
from rvoip.proxy.fork import Fork
from rvoip.proxy.further import MOST_BRANCHES, ask_for_more, follow
from rvoip.proxy.hang_up import accepted_too_late
from rvoip.proxy.passing import Passage
from rvoip.proxy.record_route import End
from rvoip.proxy.route_context import RouteContext
from rvoip.proxy.targets import Destination, Refused, Targets

if TYPE_CHECKING:
    from rvoip.proxy.proxy import Proxy

__all__ = ["ResponseContext"]

_log = Logger(__name__)

_SPARE = 10
"""How much Max-Breadth is left for phones that register while others ring."""


class ResponseContext:
    """The state of one request under way."""

    __slots__ = (
        "began",
        "branches",
        "breadth",
        "cancel_headers",
        "final",
        "fork",
        "gave_up",
        "hides",
        "incoming",
        "left",
        "mark",
        "marks",
        "passage",
        "pinned",
        "proxy",
        "sender",
        "targets",
        "transaction",
        "tried",
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
        passage: Passage | None = None,
    ) -> None:
        """`incoming` is what is known of the request; `mark` goes into our branches (loop detection);
        `breadth` is what the request may fan out to; `sender` is the end of a dialog that it comes from, None
        where we do not stay in the way; `pinned` says that only the flow that it came on reaches its sender;
        `passage` edits what passes.
        """
        self.proxy = proxy
        self.transaction = transaction
        self.targets = targets
        self.branches: list[Branch] = []
        self.fork = Fork(
            [len(group) for group in targets.groups],
            transaction.invite,
            targets.go_on,
            targets.on_failure is not None,
        )
        self.mark = mark
        self.breadth = breadth
        self.left = breadth
        """What of that no branch has that is under way (RFC 5393 section 5.3.3)."""
        self.incoming = incoming
        self.sender = sender
        self.hides = proxy.settings.topology_hiding
        """Whether each side is hidden from the other."""
        self.marks = Marks()
        self.pinned = pinned
        self.passage = passage
        self.final = 0
        """The status of the final response that went back first; 0 before."""
        self.tried = ""
        """Where it was sent last in vain, `transport:host:port` or a host."""
        self.began = proxy.layer.now()
        self.gave_up = False
        """Whether the caller has cancelled."""
        self.cancel_headers: tuple[tuple[str, str], ...] = ()
        """What the CANCELs say to whoever rings."""
        self.enlist(targets)

    def enlist(self, targets: Targets) -> None:
        """Make branches of targets that the `Fork` has numbered."""
        for group in targets.groups:
            for one in group:
                self.branches.append(Branch(self, len(self.branches), one, targets.aor))

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
            self.proxy.ringing.add(self, self.targets.aor)
        transaction.on_end = self.ended
        self.start_group()

    def start_group(self) -> None:
        """Send the request to the next group."""
        started = [self.branches[number] for number in self.fork.start()]
        self.left = self.breadth
        spare = 0
        if started[0].aor and self.transaction.invite and self.proxy.settings.late:
            spare = min(_SPARE, self.breadth // (len(started) + 1))
        share = max(1, (self.breadth - spare) // len(started))
        for branch in started:
            branch.breadth = share
            self.left -= share
        for branch in started:
            self.attempt(branch)

    def join(self, destinations: list[Destination], aor: str) -> None:
        """Send the request to further destinations now, as far as Max-Breadth permits."""
        room = min(len(destinations), self.left, MOST_BRANCHES - len(self.branches))
        if room <= 0 or not self.fork.open:
            return
        share = max(1, self.left // (room + 1))
        joined = []
        for number, destination in zip(self.fork.join(room), destinations):
            branch = Branch(self, number, destination, aor)
            branch.breadth = share
            self.left -= share
            self.branches.append(branch)
            joined.append(branch)
        for branch in joined:
            self.attempt(branch)

    def registered(self, destinations: list[Destination], aor: str) -> None:
        """A user whose contacts are rung has these now: ring the new ones too."""
        rung = [one for one in self.branches if one.heard or one.number in self.fork.pending]
        self.join([new for new in destinations if not any(one.destination.is_same(new) for one in rung)], aor)

    def attempt(self, branch: Branch) -> None:
        """Send to the branch's destination, as soon as it is known where that is."""
        if branch.destination.begun is not None:
            branch.destination.begun()
        try:
            waiting = self.proxy.outgoing.prepare(self, branch)
        except (Refused, SIPParseError) as error:
            failed(self, branch, error.status)
        except TransportError as error:
            unreachable(self, branch, str(error), getattr(error, "status", 503))
        else:
            if waiting is None:
                self.send(branch)
            else:
                waiting.addCallbacks(
                    self._located, self._not_located, callbackArgs=(branch,), errbackArgs=(branch,)
                )
                waiting.addErrback(self.broken, branch)

    def _located(self, targets: list[Target], branch: Branch) -> None:
        if not branch.cancelled:
            branch.targets = targets
            self.send(branch)

    def _not_located(self, failure: Failure, branch: Branch) -> None:
        if branch.cancelled:
            return
        status = getattr(failure.value, "status", None)
        if isinstance(status, int):
            unreachable(self, branch, str(failure.value), status)
        else:
            self.broken(failure, branch)

    def broken(self, failure: Failure, branch: Branch) -> None:
        """Nobody foresaw this failure."""
        _log.failure(
            "The {method} of {call_id} could not be forwarded",
            failure,
            method=self.transaction.request.method,
            call_id=self.transaction.request.call_id,
        )
        failed(self, branch, 500)

    def send(self, branch: Branch) -> None:
        """Send on the flow of the branch, or to its next target."""
        request = branch.request
        if request is None:
            return
        flow, branch.flow = branch.flow, None
        if flow is None:
            targets = branch.targets
            if not targets:
                unreachable(self, branch, "there is nowhere to send to")
                return
            flow = self.proxy.transport.flow_to(targets.pop(0))
            if targets:
                branch.one_of_many = True
                request = request.copy()  # another one may need it
        client = self.proxy.outgoing.send(self, branch, request, flow)
        self.proxy.forwarded += 1
        branch.client = client
        if client.invite:
            branch.start_ringing()
        if branch.targets:
            branch.hurry_up(self.proxy.layer.timers.patience)
        elif branch.destination.patience:
            branch.hurry_up(branch.destination.patience)
        client.start()

    # Backwards.

    def responded(self, branch: Branch, client: ClientTransaction, response: Response) -> None:
        """A response of a branch: RFC 3261 section 16.7."""
        status = response.status
        branch.stop_hurrying()
        if branch.one_of_many:
            self.proxy.outgoing.answered(client.flow, response)
        if branch.given_up and not 200 <= status < 300:
            return
        if status < 200:
            if status == 100:
                return
            branch.heard = True
            if client.invite:
                branch.start_timer_c()
        else:
            branch.stop_ringing()
            if not branch.cancelled:
                if status == 503 and branch.targets:
                    self.send(branch)
                    return
                if status == 430 and next_flow(self, branch, status):
                    return
            branch.heard = True
            if status < 300 and self.final >= 300 and client.invite:
                accepted_too_late(self.proxy, branch, client, response)
                return
        response.remove_first_value("via")
        if not response.has("via") and not self.hides:
            # It was for us alone (step 3); nobody can be told of it.
            if status >= 200:
                failed(self, branch, 502)
            return
        if status >= 200:
            branch.report(status)
            if status >= 300:
                self.tried = address_of(client.flow)
        if self.sender is not None:
            self.proxy.dialogs.seal(response, self.transaction.request.call_id, self.marks)
        if 200 <= status < 300:
            if self.transaction.request.method == "REGISTER":
                keep_client(response, self.transaction.flow, self.proxy.layer.now())
            self.proxy.dialogs.accepted(self.transaction.request, response, client.flow, self.marks)
            self._say_why_cancelled(ELSEWHERE)
        incoming = self.incoming
        self.proxy.outgoing.keep_back_identity(response, client.flow, incoming.trusted or incoming.ours)
        if self.hides:
            self.proxy.dialogs.hide(response, self.transaction.request, self.transaction.flow, self.marks)
        branch.response = response
        if 300 <= status < 400 and follow(self, branch, response):
            return
        if status >= 600:
            self._say_why_cancelled((("Reason", f'SIP;cause={status};text="{response.reason}"'),))
        self.do(self.fork.receive(branch.number, status))

    def _say_why_cancelled(self, headers: tuple[tuple[str, str], ...]) -> None:
        """What the CANCELs say that others get now (RFC 3326); the caller's own reasons stay."""
        if not self.gave_up:
            self.cancel_headers = headers

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The caller gave up (section 16.10)."""
        self.gave_up = True
        self.cancel_headers = tuple([("Reason", value) for value in cancel.get_all("reason")])
        self.do(self.fork.cancel())

    def ended(self, transaction: ServerTransaction, reason: str) -> None:
        """Nobody waits for an answer any more.

        Branches know this context for as long as something may come of them. It forgets them here: objects
        that know each other stay until the collector walks over all memory, which is seldom.
        """
        if reason and not transaction.invite:
            self.fork.cancel()
        self.proxy.ringing.remove(self)
        self.incoming.release()
        if transaction.status < 200 and transaction.request.method == "BYE":
            # Nobody answers it, but whoever sent it is gone (RFC 3261 section 15.1.1).
            self._over(408)
            self.proxy.forwarded_response(self, respond(transaction.request, 408))
        branches, self.branches = self.branches, []
        for branch in branches:
            if branch.client is not None and branch.client.answered:
                branch.client = None

    def do(self, actions: Iterable[tuple[str, int | None]]) -> None:
        """What the `Fork` says is to be done."""
        branches = self.branches
        if not branches:
            return  # the request has ended
        for action, number in actions:
            if action == "start":
                self.start_group()
            elif number is None:
                self._answer(None)
            elif action == "forward":
                self._forward(branches[number])
            elif action == "cancel":
                self._cancel(branches[number])
            elif action == "more":
                ask_for_more(self, branches[number])
            else:
                self._answer(branches[number])

    def _forward(self, branch: Branch) -> None:
        response, branch.response = branch.response, None
        if response is None:
            return
        first = not self.final
        if response.status >= 200:
            self._over(response.status)
            # It may come again for 64*T1, but not be sent anywhere else.
            branch.request = None
            branch.targets = []
            if not self.fork.any_pending:
                self.transaction.on_cancel = None
        self._respond(response, branch)
        if first:
            self.proxy.forwarded_response(self, response)
        if response.status >= 200:
            # What stays for 64*T1 is to stay small.
            self.transaction.request.forget_typed()

    def _respond(self, response: Response, branch: Branch | None) -> None:
        """Send a response upstream: that of a branch, or one of our own."""
        if self.passage is None:
            self.transaction.respond(response)
        else:
            client = None if branch is None else branch.client
            self.passage.respond(response, None if client is None else client.flow)

    def not_started(self, failure: Failure) -> None:
        """What was to be done to the request first has failed, nobody foresaw how."""
        request = self.transaction.request
        _log.failure(
            "The {method} of {call_id} could not be forwarded",
            failure,
            method=request.method,
            call_id=request.call_id,
        )
        if not self.transaction.answered:
            self.transaction.respond_status(500)

    def _over(self, status: int) -> None:
        """A final response goes back."""
        if not self.final:
            self.final = status
            if self.transaction.invite:
                self.proxy.ringing.remove(self)
            if self.proxy.passing is not None:
                self.proxy.passing.final(self.transaction.request, status)

    def _cancel(self, branch: Branch) -> None:
        """Nobody waits for this branch any more.

        Where nothing has come from yet no CANCEL may go (RFC 3261 section 9.1), and nothing may ever come:
        that branch counts as 487 at once, so that it holds up no final response (section 16.10), and its
        INVITE is not sent again. A provisional response gets the CANCEL as long as the transaction lasts; a
        2xx goes back, or is hung up where the caller has a final response already (`accepted_too_late`).
        """
        client = branch.client
        branch.cancelled = True
        branch.stop_hurrying()
        branch.stop_ringing()
        if client is None or branch.redirecting:
            failed(self, branch, 487)  # it was not sent yet, or has ended
            return
        client.cancel(self.cancel_headers, hush=True)
        if not client.status:
            branch.given_up = True
            failed(self, branch, 487)

    def _answer(self, branch: Branch | None) -> None:
        """The best of the final responses goes back (section 16.7 steps 6 and 7)."""
        transaction = self.transaction
        if branch is None:
            status = 487 if self.gave_up else 480
        else:
            status = self.fork.finals[branch.number]
        if status == 408 and not transaction.invite:
            self._over(408)
            transaction.abandon()  # RFC 4320 section 4.2
            return
        response = best_response(transaction, branch, status, self.branches)
        self._over(response.status)
        self._respond(response, None)
        self.proxy.forwarded_response(self, response)
