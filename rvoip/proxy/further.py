"""Further targets of a request under way: where a 3xx points to, and what is left when all have failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.protocols.sip.message import Response
from rvoip.proxy.branch import Branch
from rvoip.proxy.in_time import in_time
from rvoip.proxy.redirect import contacts_of
from rvoip.proxy.targets import Refused, Targets

if TYPE_CHECKING:
    from rvoip.proxy.context import ResponseContext

__all__ = ["MOST_BRANCHES", "ask_for_more", "follow"]

MOST_BRANCHES = 100
"""Branches of one request, those of redirections and forwardings included."""

_log = Logger()


def follow(context: ResponseContext, branch: Branch, response: Response) -> bool:
    """Whether it is looked for where a 3xx of a user of ours points to (RFC 3261 section 16.7 step 4)."""
    proxy = context.proxy
    if not (proxy.settings.recurse and branch.aor and context.fork.open) or branch.cancelled:
        return False
    found = contacts_of(response, [one.destination.uri for one in context.branches])
    if not found:
        return False
    branch.redirecting = True
    incoming = context.incoming.diverted(branch.aor, branch.destination.trail)
    waiting = Deferred.fromCoroutine(
        proxy.diverting.follow(context.transaction.request, incoming, found, branch.aor)
    )
    waiting.addCallback(_redirected, context, branch).addErrback(context.broken, branch)
    return True


def _redirected(targets: Targets | None, context: ResponseContext, branch: Branch) -> None:
    fork = context.fork
    if branch.number not in fork.pending:
        return  # given up meanwhile
    branch.redirecting = False
    if targets is None or len(targets) > MOST_BRANCHES - len(context.branches) or not fork.open:
        status = 480 if branch.response is None else branch.response.status
        context.do(fork.receive(branch.number, status))
        return
    context.left += branch.breadth
    if context.proxy.settings.fork == "sequential":
        fork.insert([len(group) for group in targets.groups])
        context.enlist(targets)
    else:
        context.join([one for group in targets.groups for one in group], targets.aor)
    context.do(fork.drop(branch.number))


def ask_for_more(context: ResponseContext, best: Branch) -> None:
    """All have failed: there may be somewhere else to go (a busy user's voicemail, another carrier)."""
    status = context.fork.finals[best.number]
    waiting = Deferred.fromCoroutine(_more(context, status, best.response))
    waiting.addErrback(_nothing, context).addCallback(_go_on, context)


async def _more(context: ResponseContext, status: int, response: Response | None) -> Targets | None:
    on_failure = context.targets.on_failure
    if on_failure is None:
        return None
    found = on_failure(status, response)
    if found is None or isinstance(found, Targets):
        return found
    return await in_time(context.proxy, found, on_failure)


def _nothing(failure: Failure, context: ResponseContext) -> None:
    if not failure.check(Refused):
        call_id = context.transaction.request.call_id
        _log.failure("No further targets could be found for {call_id}", failure, call_id=call_id)


def _go_on(targets: Targets | None, context: ResponseContext) -> None:
    fork = context.fork
    if fork.done:
        return
    if (
        not targets
        or len(targets) > MOST_BRANCHES - len(context.branches)
        or (targets.members_only and not context.incoming.member)
    ):
        context.do(fork.conclude())
        return
    targets.groups = [group[: context.breadth] for group in targets.groups]
    context.targets = targets
    fork.extend([len(group) for group in targets.groups], targets.go_on, targets.on_failure is not None)
    context.enlist(targets)
    if context.transaction.invite:
        context.proxy.ringing.add(context, targets.aor)
    context.start_group()
