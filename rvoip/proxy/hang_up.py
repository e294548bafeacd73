"""A call ended from the middle: a BYE to an end, or to each, as the other one would send it."""

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
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.proxy.calls import Call, Party, answerer
from rvoip.proxy.forward import next_hop
from rvoip.proxy.targets import Refused

if TYPE_CHECKING:
    from rvoip.protocols.dialog.client import ClientTransaction
    from rvoip.proxy.branch import Branch
    from rvoip.proxy.proxy import Proxy

__all__ = ["UNREACHED", "accepted_too_late", "hang_up"]

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


def accepted_too_late(proxy: Proxy, branch: Branch, client: ClientTransaction, response: Response) -> None:
    """A 2xx to an INVITE whose sender has a failure already: acknowledge it, and hang up.

    RFC 3261 section 16.7 step 5 has every 2xx go back. But a server transaction that has sent a failure sends
    no 2xx any more, and the sender's takes none (RFC 6026 figures 7 and 5): it would be lost, and whoever
    has answered would talk to nobody for 64*T1. The caller would send the same two requests.
    """
    first = not branch.hung_up
    branch.hung_up = True
    Deferred.fromCoroutine(_decline(proxy, client, response, first))


async def _decline(proxy: Proxy, client: ClientTransaction, response: Response, first: bool) -> None:
    invite = client.request
    call = Call("", "", invite.call_id, 0.0, 0.0)
    try:
        call.callee = answerer(invite, response, client.flow)
        call.caller.value = str(invite.get("from"))
        call.caller.cseq = invite.cseq.number
        ack = call.ack()
        for name in ("authorization", "proxy-authorization"):
            for value in invite.get_all(name):
                ack.add(name, value)
        flow, targets = await _way(proxy, call.callee, ack)
        proxy.layer.send(ack, flow or proxy.transport.flow_to(targets[0]))
    except (SIPError, Refused, TransportError, IndexError):
        return  # it comes again, and ends some time
    if first:
        await _bye(proxy, call, True, "The call was given up before")


async def _way(proxy: Proxy, party: Party, request: Request) -> tuple[Flow | None, list[Target]]:
    """The flow that a request to one end takes, or the targets to try."""
    flow = proxy.transport.flow_by_token(party.flow_token) if party.flow_token else None
    if flow is not None:
        return flow, []
    hop = next_hop(request)
    return None, list(proxy.locator.locate_now(hop) or await proxy.locator.locate(hop))


async def _bye(proxy: Proxy, call: Call, to_callee: bool, reason: str) -> int:
    party = call.callee if to_callee else call.caller
    try:
        bye = call.bye(to_callee, reason)
        _reveal(proxy, bye, party.hidden)
        flow, targets = await _way(proxy, party, bye)
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
