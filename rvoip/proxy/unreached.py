"""Says which next hops took no request or answered none: what is looked for when a call has failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger

from rvoip.common.log import LogLimiter
from rvoip.common.printable import printable
from rvoip.proxy.calls import address_of

if TYPE_CHECKING:
    from rvoip.protocols.transport.flow import Flow
    from rvoip.proxy.branch import Branch
    from rvoip.proxy.context import ResponseContext

__all__ = ["Unreached"]

_log = Logger()


class Unreached:
    """One line a next hop in ten seconds; `now` is in seconds. The request's context learns where it was."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._lines = LogLimiter(now)

    def failed(self, context: ResponseContext, branch: Branch, flow: Flow, reason: str) -> None:
        """Nothing can be sent on a flow, or nothing came back; `reason` is what the transport says."""
        if reason == "timeout":
            self.silent(context, branch, flow)
        else:
            self._say(context, branch, address_of(flow), reason.removeprefix("transport: "))

    def silent(self, context: ResponseContext, branch: Branch, flow: Flow) -> None:
        """Whoever is there has not answered in the time that there is."""
        self._say(context, branch, address_of(flow), "no answer")

    def no_way(self, context: ResponseContext, branch: Branch, reason: str) -> None:
        """It is not known where a destination is, or nothing can be sent there."""
        destination = branch.destination
        self._say(context, branch, str(destination.next_hop or destination.uri), reason)

    def _say(self, context: ResponseContext, branch: Branch, where: str, reason: str) -> None:
        context.tried = where
        suppressed = self._lines.allow(where)
        if suppressed is not None:
            request = context.transaction.request
            _log.warn(
                "{method} of {call_id} did not reach {where}{whose}: {reason} ({suppressed} more before)",
                method=request.method,
                call_id=printable(request.call_id),
                where=where,
                whose=f" of {branch.aor}" if branch.aor else "",
                reason=reason,
                suppressed=suppressed,
            )
