"""REGISTER, from the transaction to the store and back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mypy_extensions import mypyc_attr
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.record_route import goes_by_flow
from rvoip.registrar.binding import Applied, Binding, Change, Outcome
from rvoip.registrar.errors import StoreError
from rvoip.registrar.refresh import answer, refreshed
from rvoip.registrar.registrar import Registrar, format_date
from rvoip.services.authenticate import Authenticator
from rvoip.services.domains import Domains

__all__ = ["Registration"]

_PLAIN_CONTACT = re.compile(
    r'[^<"]*<sip:[^@<>"]*@([0-9.]+)(?::[0-9]+)?(?:;(?!maddr)[^;>]*)*>', re.IGNORECASE
).match
"""A Contact line whose URI leads to the IPv4 address that it shows."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Registration:
    """Authenticates a REGISTER, lets the `Registrar` decide, and answers when the store has it.

    `authenticator` None takes every REGISTER as it is. `store` provides `IBindingStore`. A store that
    cannot write is answered 503 with Retry-After: a 200 means that the binding is there.
    """

    def __init__(
        self,
        registrar: Registrar,
        store: Any,
        domains: Domains,
        authenticator: Authenticator | None,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.registrar = registrar
        self.store = store
        self.domains = domains
        self.authenticator = authenticator
        self._now = now
        self._wall = wall
        self.unavailable = 0
        # Where nobody is asked for credentials a REGISTER that comes again is processed again, to the same
        # end: nothing has to be kept of it (RFC 3261 section 8.2.7). With credentials it would be a replay.
        self._stateless = authenticator is None
        self._tag = ""
        if self._stateless:
            registrar.new_tag = self._stateless_tag
        # Refreshes take a short way, unless a subclass has rules of its own for them.
        self.is_short = all(
            getattr(type(registrar), name) is getattr(Registrar, name)
            for name in ("decide", "change", "grant", "answer", "listing")
        )
        self._second = -1
        self._settings = registrar.settings
        self._last_lines = ""

    def register(self, transaction: ServerTransaction) -> Deferred[None] | None:
        """Answer a REGISTER for one of our domains; a Deferred when that takes time."""
        request = transaction.request
        to = request.to.uri
        if not isinstance(to, SipURI):
            self._refuse_stranger(transaction, 400, "To Is No SIP URI")
            return None
        if not self.domains.serves(to) or to.user is None:
            self._refuse_stranger(transaction, 404)
            return None
        aor = self.domains.aor(to)
        if self.authenticator is None:
            return self._decide(transaction, aor)
        user = self.authenticator.authenticate_registration(transaction, self.domains.domain(to))
        if isinstance(user, Deferred):
            return user.addCallback(self._authenticated, transaction, aor)
        return self._authenticated(user, transaction, aor)

    def _authenticated(
        self, user: str | None, transaction: ServerTransaction, aor: str
    ) -> Deferred[None] | None:
        if user is None:
            return None
        if user != aor:
            # RFC 3261 section 10.3 step 4: nobody registers somebody else.
            self._answer(transaction, self.registrar.refuse(transaction.request, 403))
            return None
        return self._decide(transaction, aor)

    def _refuse_stranger(
        self, transaction: ServerTransaction, status: int, reason: str | None = None
    ) -> None:
        """Nobody has been asked for credentials yet."""
        if self._stateless:
            self._tag = transaction.stateless_tag
        transaction.respond_stateless(self.registrar.refuse(transaction.request, status, reason))

    def _decide(self, transaction: ServerTransaction, aor: str) -> Deferred[None] | None:
        now = self._now()
        found = self.store.lookup(aor, now)
        if isinstance(found, Deferred):
            found.addCallback(lambda bindings: self._change(transaction, aor, bindings, self._now()))
            return found.addErrback(self._failed, transaction)
        return self._change(transaction, aor, found, now)

    def _change(
        self, transaction: ServerTransaction, aor: str, bindings: tuple[Binding, ...], now: float
    ) -> Deferred[None] | None:
        request = transaction.request
        wall = self._wall()
        registrar = self.registrar
        decision: Response | Change
        try:
            flow = flow_of(request, transaction.flow)
            fresh = refreshed(request, bindings, now, flow, registrar.settings) if self.is_short else None
        except SIPParseError as error:
            if self._stateless:
                self._tag = transaction.stateless_tag
            self._answer(transaction, registrar.refuse_malformed(request, error))
            return None
        if fresh is not None:
            cseq, most = fresh.cseq, registrar.settings.max_contacts
            decision = Change(aor, now, (fresh,), (), fresh.call_id, cseq, most)
        else:
            if self._stateless:
                self._tag = transaction.stateless_tag
            decision = registrar.decide(request, aor, bindings, now, wall, flow)
        if not isinstance(decision, Change):
            self._answer(transaction, decision)
            return None
        try:
            applied = self.store.apply(decision)
        except StoreError:
            self._failed(Failure(), transaction)
            return None
        if isinstance(applied, Deferred):
            return applied.addCallbacks(
                self._applied, self._failed, callbackArgs=(transaction,), errbackArgs=(transaction,)
            )
        self._respond(transaction, applied, now, wall)
        return None

    def _applied(self, applied: Applied, transaction: ServerTransaction) -> None:
        self._respond(transaction, applied, self._now(), self._wall())

    def _stateless_tag(self) -> str:
        return self._tag

    def _respond(self, transaction: ServerTransaction, applied: Applied, now: float, wall: float) -> None:
        flow = transaction.flow
        if flow.reliable:
            deadlines = [binding.deadline for binding in applied.bindings if binding.received == flow.token]
            if deadlines:
                flow.keep(max(deadlines))
        registrar = self.registrar
        request = transaction.request
        if self._stateless:
            self._tag = transaction.stateless_tag
        if applied.outcome is Outcome.REFRESHED and self.is_short and not applied.change.outbound:
            data = answer(request, applied.bindings, now, registrar.new_tag(), self.last_lines(wall))
            if data is not None:
                if registrar.on_change is not None:
                    registrar.on_change(applied.change.aor, applied.bindings, "refreshed")
                transaction.respond_written(200, data, keep=not self._stateless)
                return
        self._answer(transaction, registrar.answer(request, applied, now, wall))

    def last_lines(self, wall: float) -> str:
        """The Date line of a 200 and what comes after it, joined by CRLF."""
        settings = self.registrar.settings
        if int(wall) != self._second or settings is not self._settings:
            self._second = int(wall)
            self._settings = settings
            self._last_lines = "\r\n".join([f"Date: {format_date(wall)}", *settings.answer_lines])
        return self._last_lines

    def _failed(self, failure: Failure, transaction: ServerTransaction) -> None:
        failure.trap(StoreError)
        self._answer(transaction, self.not_stored(transaction.request, transaction.stateless_tag))

    def not_stored(self, request: Request, to_tag: str) -> Response:
        """The 503 to a REGISTER that the store could not take."""
        self.unavailable += 1
        return respond(
            request, 503, "Location Store Unavailable", to_tag=to_tag, headers=(("Retry-After", "5"),)
        )

    def _answer(self, transaction: ServerTransaction, response: Response) -> None:
        """Answer who may register: the same again when a request comes again whose credentials are used."""
        if self._stateless:
            transaction.respond_stateless(response)
        else:
            transaction.respond(response)


def flow_of(request: Request, flow: Flow) -> str:
    """The token of the flow that requests to this REGISTER's contacts must take, "" for none.

    Over a stream that is the stream, if the contacts ask for its transport: nothing else may get through
    to the client. Over UDP it is the source address, when the contact shows another IP address: then there
    is a NAT between. A contact that asks for outbound always gets it (RFC 5626).
    """
    if not flow.reliable and request.names.count("contact") == 1:
        # The common case, told without parsing: a UDP contact at the source address.
        line = request.lines[request.names.index("contact")]
        plain = _PLAIN_CONTACT(line)
        if plain is not None and plain[1] == flow.remote[0] and "reg-id" not in line:
            return ""
    for contact in request.contacts:
        if contact.uri_text == "*":
            continue
        uri = contact.uri
        if "reg-id" in contact.params or (isinstance(uri, SipURI) and goes_by_flow(uri, flow)):
            return flow.token
    return ""
