"""The ACK of a 2xx on its way: it has no transaction, so that nobody else notices when it does not leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rvoip.protocols.sip.message import Request
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.protocols.transport.streamflow import StreamFlow

if TYPE_CHECKING:
    from rvoip.proxy.proxy import Proxy

__all__ = ["send_ack"]


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
