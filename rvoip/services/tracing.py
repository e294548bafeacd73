"""What goes over the wire, into the ring of recent messages: the taps of a role."""

from __future__ import annotations

from collections.abc import Callable

from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.flow import Flow
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.services.config import Trace
from rvoip.trace.ring import MessageRing

__all__ = ["Tracing"]

_FREQUENT = frozenset(("REGISTER", "OPTIONS"))
"""What phones send all day long: it would push the calls out of the ring."""


class Tracing:
    """Two taps, `received` and `sent`, which run for each message and so do as little as they can.

    `ring` holds what passed; it is None, and there are no taps, while the `[trace]` table keeps nothing. Our
    end of a message is named by where we listen, so that an element is one column of a ladder whichever port
    its connections leave from.
    """

    def __init__(
        self,
        table: Trace,
        transport: TransportLayer,
        transactions: TransactionLayer,
        wall: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._transactions = transactions
        self._wall = wall
        self._skipped: frozenset[str] = _FREQUENT
        self.ring: MessageRing | None = None
        self.apply(table)

    def apply(self, table: Trace) -> None:
        """Keep from now on what this table asks for; of what was kept, as many calls as it allows."""
        self._skipped = frozenset() if table.registrations else _FREQUENT
        if not table.keep:
            self.ring = None
        elif self.ring is None:
            self.ring = MessageRing(table.keep)
        else:
            self.ring.resize(table.keep)
        wanted = self.ring is not None
        self._transport.intake.tap = self.received if wanted else None
        self._transactions.tap = self.sent if wanted else None

    def received(self, message: Request | Response, data: bytes, flow: Flow) -> None:
        """A checked message came, as `data`."""
        method = message.method if isinstance(message, Request) else message.cseq.method
        if method not in self._skipped and self.ring is not None:
            self.ring.add(
                message.call_id, self._wall(), False, flow.transport, flow.sent_by, flow.remote, data
            )

    def sent(self, request: Request, data: bytes, flow: Flow) -> None:
        """`data` went out: this request, or a response to it."""
        if request.method not in self._skipped and self.ring is not None:
            self.ring.add(
                request.call_id, self._wall(), True, flow.transport, flow.sent_by, flow.remote, data
            )
