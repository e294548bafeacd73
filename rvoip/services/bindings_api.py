"""Registered contacts by HTTP: `/v1/bindings`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta
from twisted.internet.defer import Deferred

from rvoip.common.http import API, Call
from rvoip.common.printable import printable
from rvoip.common.problem import HTTPError
from rvoip.protocols.sip.errors import SIPError
from rvoip.protocols.sip.uri import SipURI, escape_user, parse_uri
from rvoip.registrar import binding as values
from rvoip.registrar.interfaces import IBindingStore
from rvoip.services.callers import BINDINGS_READ, BINDINGS_WRITE
from rvoip.services.store_errors import store_errors

__all__ = ["serve_bindings"]

_T = TypeVar("_T")


class Binding(msgspec.Struct, frozen=True):
    """One contact of an address-of-record. What cannot be printed is shown as an escape."""

    aor: str
    id: str
    """Its name within its address-of-record, the same as long as it is refreshed."""
    contact: str
    """The contact URI as it was registered."""
    expires: int
    """Seconds that are left."""
    updated: float
    """Wall time of the last REGISTER for it, seconds since 1970."""
    q: float
    """Preference, 0 to 1."""
    user_agent: str
    call_id: str
    """Of the REGISTER, and so `cseq`."""
    cseq: int
    path: list[str]
    """The proxies on the way, the first one first (RFC 3327)."""
    received: str
    """The flow that requests must take, or empty when the contact URI says where to."""
    instance: str
    """The device's `+sip.instance`, or empty."""
    reg_id: int
    """Which of the device's flows it is (RFC 5626), 0 for none."""


class BindingPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which addresses-of-record to list."""

    prefix: str = ""
    """How they begin."""
    after: str = ""
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100
    """How many addresses-of-record, each with all its contacts."""


class BindingList(msgspec.Struct, frozen=True):
    """A page of contacts, by address-of-record."""

    bindings: list[Binding]
    next: str
    """`after` of the following page; empty on the last one."""


class AORBindings(msgspec.Struct, frozen=True):
    """All contacts of one address-of-record."""

    aor: str
    bindings: list[Binding]


def serve_bindings(
    api: API,
    store: IBindingStore,
    now: Callable[[], float],
    wall: Callable[[], float],
    removed: Callable[[values.Removed], object],
) -> None:
    """Add the routes of bindings; `removed` is told of what was taken away here."""

    def show(aor: str, found: Sequence[values.Binding]) -> list[Binding]:
        at, wall_at = now(), wall()
        return [_shown(aor, one, at, wall_at - at) for one in found]

    async def find(aor: str) -> tuple[str, tuple[values.Binding, ...]]:
        """The bindings of an AOR as it is written, or in its canonical form; 404 when there are none."""
        for name in dict.fromkeys((aor, *_canonical(aor))):
            with store_errors():
                found = await _given(store.lookup(name, now()))
            if found:
                return name, found
        raise HTTPError(404, f"{printable(aor)} has no contacts")

    async def take(aor: str, which: str | None) -> None:
        name, _ = await find(aor)
        with store_errors():
            taken = await _given(store.remove(name, which, now()))
        if not taken.removed:
            raise HTTPError(404, f"{printable(aor)} has no such contact")
        removed(taken)

    @api.route("GET", "/v1/bindings", query=BindingPage, response=BindingList, scopes=(BINDINGS_READ,))
    async def list_bindings(call: Call, query: BindingPage) -> BindingList:
        """List contacts by address-of-record."""
        listed: list[Binding] = []
        with store_errors():
            aors = await _given(store.aors(query.prefix, query.after, query.limit, now()))
            for aor in aors:
                found = await _given(store.lookup(aor, now()))
                listed += show(aor, found)
        return BindingList(listed, aors[-1] if len(aors) == query.limit else "")

    @api.route("GET", "/v1/bindings/{aor}", response=AORBindings, scopes=(BINDINGS_READ,))
    async def get_bindings(call: Call, aor: str) -> AORBindings:
        """Show the contacts of an address-of-record."""
        name, found = await find(aor)
        return AORBindings(printable(name), show(name, found))

    @api.route("GET", "/v1/bindings/{aor}/{id}", response=Binding, scopes=(BINDINGS_READ,))
    async def get_binding(call: Call, aor: str, id: str) -> Binding:
        """Show one contact, by its id or its URI."""
        name, found = await find(aor)
        shown = show(name, values.find_bindings(found, id))
        if not shown:
            raise HTTPError(404, f"{printable(aor)} has no such contact")
        return shown[0]

    @api.route("DELETE", "/v1/bindings/{aor}", scopes=(BINDINGS_WRITE,))
    async def remove_bindings(call: Call, aor: str) -> None:
        """Remove all contacts of an address-of-record.

        A phone that does not know registers again when it would have anyway.
        """
        await take(aor, None)

    @api.route("DELETE", "/v1/bindings/{aor}/{id}", scopes=(BINDINGS_WRITE,))
    async def remove_binding(call: Call, aor: str, id: str) -> None:
        """Remove one contact, by its id or its URI."""
        await take(aor, id)


async def _given(value: _T | Deferred[_T]) -> _T:
    """What a store gave at once, or gives later."""
    return await value if isinstance(value, Deferred) else value


def _canonical(aor: str) -> Iterator[str]:
    """The AOR as bindings have it: an account "andré@EXAMPLE.test" is andr%C3%A9@example.test there."""
    user, at, domain = aor.rpartition("@")
    if not at or ":" in user:
        return
    for text in (user, escape_user(user)):
        try:
            uri = parse_uri(f"sip:{text}@{domain}")
        except SIPError:
            continue
        if isinstance(uri, SipURI) and not (uri.port or uri.params or uri.headers):
            yield uri.aor


def _shown(aor: str, one: values.Binding, now: float, wall_offset: float) -> Binding:
    return Binding(
        aor=printable(aor),
        id=one.id,
        contact=printable(one.contact),
        expires=one.remaining(now),
        updated=one.updated + wall_offset,
        q=one.q / 1000,
        user_agent=printable(one.user_agent),
        call_id=printable(one.call_id),
        cseq=one.cseq,
        path=[printable(value) for value in one.path],
        received=one.received,
        instance=printable(one.instance),
        reg_id=one.reg_id,
    )
