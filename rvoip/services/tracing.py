"""What goes over the wire, into the ring of recent messages: the taps of a role."""

from __future__ import annotations

from collections.abc import Callable

from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.flow import Flow
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.services.config import Trace
from rvoip.trace.ring import MessageRing

__all__ = ["Tracing", "trace"]

_FREQUENT = frozenset(("REGISTER", "OPTIONS"))
"""What phones send all day long: it would push the calls out of the ring."""


class Tracing:
    """Two taps, `received` and `sent`, which run for each message and so do as little as they can.

    Our end of a message is named by where we listen, so that an element is one column of a ladder whichever
    port its connections leave from.
    """

    def __init__(self, ring: MessageRing, wall: Callable[[], float], registrations: bool = False) -> None:
        self.ring = ring
        self._add = ring.add
        self._wall = wall
        self._skipped = frozenset[str]() if registrations else _FREQUENT

    def received(self, message: Request | Response, data: bytes, flow: Flow) -> None:
        """A checked message came, as `data`."""
        method = message.method if isinstance(message, Request) else message.cseq.method
        if method not in self._skipped:
            self._add(message.call_id, self._wall(), False, flow.transport, flow.sent_by, flow.remote, data)

    def sent(self, request: Request, data: bytes, flow: Flow) -> None:
        """`data` went out: this request, or a response to it."""
        if request.method not in self._skipped:
            self._add(request.call_id, self._wall(), True, flow.transport, flow.sent_by, flow.remote, data)


def trace(
    table: Trace, transport: TransportLayer, transactions: TransactionLayer, wall: Callable[[], float]
) -> MessageRing | None:
    """Keep the messages of these layers as the `[trace]` table asks; None when it asks for none."""
    if not table.keep:
        return None
    ring = MessageRing(table.keep)
    tracing = Tracing(ring, wall, table.registrations)
    transport.intake.tap = tracing.received
    transactions.tap = tracing.sent
    return ring
