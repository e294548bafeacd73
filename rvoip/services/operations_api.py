"""What a role does right now, by HTTP: `/v1/status`, `/v1/transactions`, `/v1/ladders`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Annotated

import msgspec
from msgspec import Meta

from rvoip.common.http import API, Call
from rvoip.common.printable import printable
from rvoip.common.problem import HTTPError
from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.grammar import format_host_port
from rvoip.services.callers import OPERATIONS_READ, TRACES_READ
from rvoip.trace.ring import CallSummary, LadderMessage, MessageRing

__all__ = ["Status", "serve_ladders", "serve_status", "serve_transactions"]


class Status(msgspec.Struct, frozen=True):
    """How a role is."""

    role: str
    version: str
    started: float
    """Wall time, seconds since 1970."""
    uptime: float
    """Seconds."""
    listeners: list[str]
    """`transport:host:port`."""
    domains: list[str]
    aors: int
    """Addresses-of-record that have contacts."""
    bindings: int
    transactions: int
    """Those under way, as server and as client."""
    dialogs: int
    """Calls that are up and pass here."""
    gateways: dict[str, int]
    """How many there are in each state."""
    connections: int
    """Open TCP and TLS connections, and those being opened."""
    calls: int
    """Calls whose messages are kept, for ladders."""
    lag: float
    """Seconds that a message waits for its turn, the worst of the last second."""


class Transaction(msgspec.Struct, frozen=True):
    """A transaction under way (RFC 3261 section 17). What cannot be printed is shown as an escape."""

    kind: str
    """"server" for a request that came, "client" for one that was sent."""
    method: str
    uri: str
    """The Request-URI."""
    call_id: str
    state: str
    """By its name in RFC 3261, as "Proceeding"."""
    status: int
    """Of the last response, 0 before the first one."""
    transport: str
    peer: str
    """`host:port`."""


class TransactionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much to list."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class TransactionList(msgspec.Struct, frozen=True):
    """Some of the transactions under way, and how many there are."""

    transactions: list[Transaction]
    servers: int
    clients: int


class LadderQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much to list."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class LadderList(msgspec.Struct, frozen=True):
    """Calls whose messages are kept, the one that began last first."""

    calls: list[CallSummary]


class Ladder(msgspec.Struct, frozen=True):
    """The messages of one call in their order."""

    call_id: str
    messages: list[LadderMessage]
    left_out: int
    """Messages of a very long call that are not kept; they came after the first half of these."""


def serve_status(api: API, status: Callable[[], Status]) -> None:
    """Add `/v1/status`."""

    @api.route("GET", "/v1/status", response=Status, scopes=(OPERATIONS_READ,))
    def get_status(call: Call) -> Status:
        """Show how the server is."""
        return status()


def serve_transactions(api: API, layer: TransactionLayer) -> None:
    """Add `/v1/transactions`."""

    @api.route(
        "GET",
        "/v1/transactions",
        query=TransactionQuery,
        response=TransactionList,
        scopes=(OPERATIONS_READ,),
    )
    def list_transactions(call: Call, query: TransactionQuery) -> TransactionList:
        """List transactions under way."""
        listed = [_shown(each) for each in islice(layer, query.limit)]
        return TransactionList(listed, layer.servers, layer.clients)


def serve_ladders(api: API, ring: Callable[[], MessageRing | None]) -> None:
    """Add `/v1/ladders`; without a ring they are 404."""

    def kept() -> MessageRing:
        found = ring()
        if found is None:
            raise HTTPError(404, "no messages are kept: [trace] keep is 0")
        return found

    @api.route("GET", "/v1/ladders", query=LadderQuery, response=LadderList, scopes=(TRACES_READ,))
    def list_ladders(call: Call, query: LadderQuery) -> LadderList:
        """List the calls whose messages are kept."""
        return LadderList(kept().calls(query.limit))

    @api.route("GET", "/v1/ladders/{call_id}", response=Ladder, scopes=(TRACES_READ,))
    def get_ladder(call: Call, call_id: str) -> Ladder:
        """Show the messages of a call, without credentials and keys."""
        messages = kept().messages(call_id)
        if not messages:
            raise HTTPError(404, f"no messages of {printable(call_id)} are kept")
        return Ladder(printable(call_id), messages, kept().left_out(call_id))


def _shown(transaction: ServerTransaction | ClientTransaction) -> Transaction:
    request, flow = transaction.request, transaction.flow
    return Transaction(
        kind="server" if isinstance(transaction, ServerTransaction) else "client",
        method=printable(request.method),
        uri=printable(request.uri_text),
        call_id=printable(request.get("call-id") or ""),
        state=transaction.state,
        status=transaction.status,
        transport=flow.transport,
        peer=format_host_port(*flow.remote),
    )
