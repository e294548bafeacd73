"""The ACK of a 2xx on its way: it has no transaction, so that nobody else notices when it does not leave."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rvoip.protocols.sip.address import parse_name_addr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.errors import FlowError, TransportError
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.protocols.transport.streamflow import StreamFlow
from rvoip.proxy.forward import forwarded, next_hop
from rvoip.proxy.targets import Destination, Refused

if TYPE_CHECKING:
    from rvoip.proxy.proxy import Proxy

__all__ = ["forward_ack", "send_ack"]


def forward_ack(proxy: Proxy, request: Request, flow: Flow) -> None:
    """Pass the ACK of a 2xx on, statelessly, along its dialog's route set (RFC 3261 section 16.11).

    One that followed no route set of ours goes to the end that accepted the call, and nowhere else.
    """
    try:
        if proxy.stateless.again(request, flow):
            return
        entered = proxy.dialogs.enter(request, flow)
        if entered is not None and not proxy.inbound.is_gruu(request):
            destination = proxy.inbound.in_dialog(request, flow, entered)
            ack = forwarded(request, None)
        else:
            while proxy.dialogs.topology.reveal_uri(request):
                continue
            taker = None if request.has("route") else proxy.dialogs.acknowledged(request)
            if taker is None:
                return
            uri = parse_name_addr(taker.contact).sip_uri
            destination = Destination(uri, flow_token=taker.flow_token)
            ack = forwarded(request, uri)
        proxy.outgoing.keep_back(ack, proxy.trusted(flow))
        if proxy.settings.topology_hiding:
            ack.remove("via")
            ack.remove("contact")
        waiting = None if proxy.passing is None else proxy.passing.ack(ack, flow)
        if waiting is None:
            _send(proxy, ack, destination)
        else:
            Deferred.fromCoroutine(_send_after(proxy, ack, destination, waiting)).addErrback(_lost)
    except (Refused, SIPParseError, TransportError):
        return  # nothing may answer an ACK


async def _send_after(proxy: Proxy, ack: Request, destination: Destination, waiting: Awaitable[None]) -> None:
    await waiting
    _send(proxy, ack, destination)


def _send(proxy: Proxy, ack: Request, destination: Destination) -> None:
    hop = next_hop(ack)
    out = None
    if destination.flow_token is not None:
        out = proxy.transport.flow_by_token(destination.flow_token)
    if out is not None:
        proxy.layer.send(ack, out)
        return
    targets = proxy.locator.locate_now(hop)
    if targets is not None:
        send_ack(proxy, ack, targets)
    else:
        Deferred.fromCoroutine(_send_later(proxy, ack, hop)).addErrback(_lost)


async def _send_later(proxy: Proxy, ack: Request, hop: SipURI) -> None:
    send_ack(proxy, ack, await proxy.locator.locate(hop))


def _lost(failure: Failure) -> None:
    """The caller sends the ACK again with the next 200; what went wrong is no news when it is the network."""
    failure.trap(Refused, SIPParseError, TransportError)


def send_ack(proxy: Proxy, ack: Request, targets: Sequence[Target]) -> None:
    """Send an ACK to the first of its targets that can be reached, a large one by TCP before UDP.

    Raises `FlowError` when none can. Where a connection has to be made first, and does not come about, the
    ACK goes to the next target then.
    """
    left = proxy.outgoing.sized(list(targets), ack)
    while left:
        target = left.pop(0)
        flow = proxy.transport.flow_to(target)
        spare = ack.copy() if left else ack
        try:
            proxy.layer.send(ack, flow)
        except FlowError:
            proxy.locator.failed(target)
            if not left:
                raise
            ack = spare
            continue
        if left and isinstance(flow, StreamFlow) and flow.connecting:
            flow.when_closed(_Otherwise(proxy, spare, target, left))
        return


class _Otherwise:
    """What is done when the connection on which an ACK waits is closed before it was open."""

    def __init__(self, proxy: Proxy, ack: Request, target: Target, others: list[Target]) -> None:
        self._proxy = proxy
        self._ack = ack
        self._target = target
        self._others = others

    def __call__(self, flow: Flow, reason: str) -> None:
        if not (isinstance(flow, StreamFlow) and flow.connecting):
            return
        self._proxy.locator.failed(self._target)
        try:
            send_ack(self._proxy, self._ack, self._others)
        except FlowError:
            return  # nothing may answer an ACK
