"""A call ended from the middle: a BYE to each end, as the other one would send it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from rvoip.protocols.dialog.interfaces import IClientUser
from rvoip.protocols.sip.address import parse_name_addr
from rvoip.protocols.sip.errors import SIPError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.errors import TransportError
from rvoip.protocols.transport.flow import Target
from rvoip.proxy.calls import Call
from rvoip.proxy.forward import next_hop
from rvoip.proxy.targets import Refused

if TYPE_CHECKING:
    from rvoip.protocols.dialog.client import ClientTransaction
    from rvoip.proxy.proxy import Proxy

__all__ = ["UNREACHED", "hang_up"]

UNREACHED: Final = 408
"""The status of an end that was not reached or did not answer."""

PATIENCE: Final = 5.0
"""Seconds that somebody waits who wants to know."""


def hang_up(proxy: Proxy, call: Call, reason: str, clock: IReactorTime) -> Deferred[list[int]]:
    """Send both BYEs; fires with the final statuses of the caller and of the callee, and never fails.

    Whatever they answer, the call is over then: an end that is gone cannot say so. Its BYE is sent again for
    64*T1, which nobody waits for.
    """
    return gatherResults(
        [
            Deferred.fromCoroutine(_bye(proxy, call, to_callee, reason)).addTimeout(PATIENCE, clock)
            for to_callee in (False, True)
        ]
    )


async def _bye(proxy: Proxy, call: Call, to_callee: bool, reason: str) -> int:
    party = call.callee if to_callee else call.caller
    try:
        bye = call.bye(to_callee, reason)
        _reveal(proxy, bye, party.hidden)
        flow = proxy.transport.flow_by_token(party.flow_token) if party.flow_token else None
        hop = next_hop(bye)
        targets: list[Target] = []
        if flow is None:
            targets = list(proxy.locator.locate_now(hop) or await proxy.locator.locate(hop))
        while True:
            if flow is None:
                flow = proxy.transport.flow_to(targets.pop(0))
            waiter = _Waiter()
            proxy.layer.request(bye.copy() if targets else bye, flow, waiter)
            status = await waiter.ended
            if status or not targets:
                return status or UNREACHED
            flow = None
    except (SIPError, Refused, TransportError, IndexError, CancelledError):
        return UNREACHED


def _reveal(proxy: Proxy, bye: Request, hidden: str) -> None:
    """Undo what hides an end from the other one: what it was shown is not where a BYE goes."""
    topology = proxy.dialogs.topology
    while topology.reveal_uri(bye):
        pass
    if hidden:
        uri = parse_name_addr(hidden).uri
        if isinstance(uri, SipURI):
            for value in reversed(topology.hidden_routes(uri)):
                bye.insert("route", value)


@implementer(IClientUser)
class _Waiter:
    """Fires `ended` with the final status, 0 for none."""

    def __init__(self) -> None:
        self.ended: Deferred[int] = Deferred()

    def response_received(self, transaction: ClientTransaction, response: Response) -> None:
        """See `IClientUser`."""
        if response.status >= 200:
            self.ended.callback(response.status)

    def client_failed(self, transaction: ClientTransaction, reason: str) -> None:
        """See `IClientUser`."""
        self.ended.callback(0)
