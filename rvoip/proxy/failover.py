"""What is done when a destination is silent, lost or not to be reached: another target, flow or branch.

RFC 3263 section 4.3 for the targets of a name, RFC 5626 section 7 for the flows of a phone, RFC 3261 section
16.8 for whoever rings for too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rvoip.protocols.dialog.client import ClientTransaction
    from rvoip.protocols.sip.message import Response
    from rvoip.proxy.branch import Branch
    from rvoip.proxy.context import ResponseContext

__all__ = ["ELSEWHERE", "accepted_late", "failed", "give_up", "hurried", "lost", "next_flow", "unreachable"]

ELSEWHERE = (("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),)
"""Why a phone that rang in vain is cancelled (RFC 3326)."""
_TIMEOUT = (("Reason", 'SIP;cause=408;text="Request Timeout"'),)


def hurried(context: ResponseContext, branch: Branch) -> None:
    """A target is silent, and there is another one: try that, before the caller has lost patience.

    RFC 3263 section 4.3 waits for a timeout. The first one goes on meanwhile, to be cancelled as soon
    as it shows that it lives.
    """
    client = branch.client
    if client is None or branch.cancelled or context.fork.done:
        return
    context.proxy.outgoing.failed(client.flow)
    context.proxy.unreached.silent(context, branch, client.flow)
    if not branch.targets:
        give_up(context, branch)
        return
    client.cancel()
    context.send(branch)


def accepted_late(
    context: ResponseContext, branch: Branch, client: ClientTransaction, response: Response
) -> None:
    """An INVITE was accepted by a target that was given up for dead: it has the call then."""
    current = branch.client
    if current is not None and not branch.cancelled:
        branch.cancelled = True
        current.cancel(context.cancel_headers or ELSEWHERE)
    context.responded(branch, client, response)


def lost(context: ResponseContext, branch: Branch, client: ClientTransaction, reason: str) -> None:
    """No answer ("timeout"), or no way: the next target (RFC 3263 section 4.3), else it failed."""
    silent = reason == "timeout"
    branch.stop_hurrying()
    branch.stop_ringing()
    branch.client = None
    if branch.cancelled:
        failed(context, branch, 487 if context.gave_up else 408)
        return
    context.proxy.outgoing.failed(client.flow)
    context.proxy.unreached.failed(context, branch, client.flow, reason)
    # A phone that rang does not ring again; a request other than INVITE has no time for another try.
    if client.status <= 100 and (client.invite or not silent):
        if branch.targets:
            context.send(branch)
            return
        if next_flow(context, branch, 408 if silent else 503):
            return
    branch.others = ()
    failed(context, branch, 408 if silent else 503)


def next_flow(context: ResponseContext, branch: Branch, status: int) -> bool:
    """Try another flow of the same device, if there is one (RFC 5626 section 7)."""
    if not branch.others or context.fork.done:
        return False
    destination, *others = branch.others
    branch.others = tuple(others)
    branch.turn_to(destination, status)
    context.attempt(branch)
    return True


def unreachable(context: ResponseContext, branch: Branch, reason: str, status: int = 503) -> None:
    """The branch ends, and the operator is told why: nothing can be sent there."""
    context.proxy.unreached.no_way(context, branch, reason)
    failed(context, branch, status)


def failed(context: ResponseContext, branch: Branch, status: int) -> None:
    """The branch ends with a response of our own."""
    branch.stop_hurrying()
    branch.stop_ringing()
    branch.response = None
    destination = branch.destination
    if status == 503 and (destination.flow_token is not None or branch.is_contact):
        # That one of our users cannot be reached is no reason for the caller to avoid this server.
        status = 430 if destination.flow_only else 480
    if status == 430 and not branch.cancelled and next_flow(context, branch, status):
        return
    branch.report(status)
    context.do(context.fork.receive(branch.number, status))


def give_up(context: ResponseContext, branch: Branch) -> None:
    """It rings for too long, or says nothing (section 16.8): it is cancelled and counts as 408.

    Nobody waits for the 487; should it be accepted all the same, the call is on.
    """
    client = branch.client
    if client is None or branch.cancelled or branch.given_up:
        return
    branch.stop_hurrying()
    branch.stop_ringing()
    branch.cancelled = branch.given_up = True
    branch.response = None
    client.cancel(_TIMEOUT)
    # Whoever rang is alive: that nobody picked up is not the gateway's failure.
    branch.report(480 if branch.heard else 408)
    context.do(context.fork.receive(branch.number, 408))
