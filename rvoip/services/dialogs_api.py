"""The calls that are up by HTTP: `/v1/dialogs`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import msgspec
from msgspec import Meta

from rvoip.common.http import API
from rvoip.common.http import Call as APICall
from rvoip.common.printable import printable
from rvoip.common.problem import HTTPError
from rvoip.proxy.calls import Call, Party
from rvoip.services.callers import OPERATIONS_READ, OPERATIONS_WRITE
from rvoip.services.calls import CallsService

__all__ = ["Dialog", "End", "serve_dialogs", "shown_dialog"]


class End(msgspec.Struct, frozen=True):
    """One end of a call. What cannot be printed is shown as an escape."""

    name: str
    """Its From or To, with the tag."""
    address: str
    """Where its messages come from, `transport:host:port`."""
    contact: str
    routes: list[str]
    """The proxies between us and it."""
    cseq: int
    """The last number that it used."""


class Dialog(msgspec.Struct, frozen=True):
    """A call that was answered and goes through here (RFC 3261 section 12)."""

    id: str
    call_id: str
    uri: str
    """The Request-URI of the INVITE as it came."""
    user: str
    """The account whose credentials it carried, or empty."""
    started: float
    """Wall time of the answer, seconds since 1970."""
    duration: float
    """Seconds since the answer."""
    expires: float
    """Seconds after which it counts as over when nobody refreshes it."""
    caller: End
    callee: End


class DialogQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much to list."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class DialogList(msgspec.Struct, frozen=True):
    """Some of the calls that are up, the one that was answered first first, and how many there are."""

    dialogs: list[Dialog]
    total: int


class Ended(msgspec.Struct, frozen=True):
    """What both ends said to a BYE: a status, 408 for no answer."""

    id: str
    caller: int
    callee: int


def serve_dialogs(api: API, service: CallsService | None) -> None:
    """Add `/v1/dialogs`; an element that forwards no calls has none."""

    def find(id: str) -> tuple[CallsService, Call]:
        call = None if service is None else service.calls.find(id)
        if service is None or call is None:
            raise HTTPError(404, f"there is no dialog {printable(id)}")
        return service, call

    @api.route("GET", "/v1/dialogs", query=DialogQuery, response=DialogList, scopes=(OPERATIONS_READ,))
    def list_dialogs(call: APICall, query: DialogQuery) -> DialogList:
        """List calls that are up."""
        if service is None:
            return DialogList([], 0)
        listed = [shown_dialog(service, one) for one in islice(service.calls, query.limit)]
        return DialogList(listed, len(service.calls))

    @api.route("GET", "/v1/dialogs/{id}", response=Dialog, scopes=(OPERATIONS_READ,))
    def get_dialog(call: APICall, id: str) -> Dialog:
        """Show a call that is up."""
        return shown_dialog(*find(id))

    @api.route("DELETE", "/v1/dialogs/{id}", response=Ended, scopes=(OPERATIONS_WRITE,))
    async def end_dialog(call: APICall, id: str) -> Ended:
        """End a call: each end gets a BYE, as from the other one.

        An end that has not answered after 5 seconds is 408; the call is over all the same.
        """
        owner, found = find(id)
        caller, callee = await owner.end(found)
        return Ended(id, caller, callee)


def shown_dialog(service: CallsService, call: Call) -> Dialog:
    """A call as the API shows it."""
    now = service.now()
    return Dialog(
        id=call.id,
        call_id=printable(call.call_id),
        uri=printable(call.uri),
        user=printable(call.user),
        started=service.wall_of(call.answered),
        duration=now - call.answered,
        expires=max(0.0, call.deadline - now),
        caller=_end(call.caller),
        callee=_end(call.callee),
    )


def _end(party: Party) -> End:
    return End(
        name=printable(party.value),
        address=party.address,
        contact=printable(party.contact),
        routes=[printable(route) for route in party.routes],
        cseq=party.cseq,
    )
