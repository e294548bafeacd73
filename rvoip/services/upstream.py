"""REGISTER at a front end: phones come often, the registrar behind hears of it seldom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.common.log import LogLimiter
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.build import request as build
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.forward import forwarded, spent
from rvoip.registrar.binding import ALL_CONTACTS, Applied, Binding, Change, Outcome, Removed
from rvoip.registrar.compare_and_set import objection
from rvoip.registrar.errors import StoreError
from rvoip.registrar.registrar import Registrar
from rvoip.registrar.upstream import Need, Phone, UpstreamBindings
from rvoip.services.authenticate import Authenticator
from rvoip.services.domains import Domains
from rvoip.services.registration import Registration, flow_of
from rvoip.services.upstream_client import NoAnswer, UpstreamClient
from rvoip.services.upstream_contact import contact_uri, find_contact, granted
from rvoip.services.upstream_table import UpstreamTable

__all__ = ["UpstreamRegistration"]

WAITING: Final = 4
"""REGISTERs of one AOR that wait for one under way."""
LEAVING: Final = 100
"""Phones that went without a word whom the registrar behind is being told of; of more it is not."""
UNDER_WAY: Final = 2000
"""AORs for which the registrar behind is being asked."""

# What phones have to know of a refusal.
_PASSED: Final = (
    "www-authenticate",
    "proxy-authenticate",
    "authentication-info",
    "retry-after",
    "min-expires",
    "unsupported",
    "warning",
    "reason",
)

# What is between the phone and us, or what we would have to keep a promise of.
_OURS: Final = ("route", "contact", "expires", "path", "supported", "require", "record-route")

_log = Logger()


class UpstreamRegistration(Registration):
    """Has the registrar of `client` decide who registers, and keeps its phones' bindings within that.

    `place` is host:port that goes into bindings upstream, "" for where the flow there comes from. With an
    `authenticator` phones are asked for credentials here, and the registrar behind has to trust us; without
    one its challenges go to the phones, and their credentials to it.
    """

    def __init__(
        self,
        registrar: Registrar,
        store: Any,
        domains: Domains,
        authenticator: Authenticator | None,
        now: Callable[[], float],
        wall: Callable[[], float],
        client: UpstreamClient,
        table: UpstreamTable,
        token: Callable[[], str],
    ) -> None:
        super().__init__(registrar, store, domains, authenticator, now, wall)
        self.is_short = False
        self._client = client
        self._place = table.contact
        self._expires = table.expires
        self.upstream = UpstreamBindings(table.mode == "aor")
        self._token = token
        self._leaving = 0
        self._locks: dict[str, DeferredLock] = {}
        self._lines = LogLimiter(now)
        self.forwarded = 0
        """REGISTERs that the registrar behind was asked about."""
        self.absorbed = 0
        """Those that were answered without it."""

    def _decide(self, transaction: ServerTransaction, aor: str) -> Deferred[None] | None:
        return Deferred.fromCoroutine(self._take(transaction, aor))

    async def _take(self, transaction: ServerTransaction, aor: str) -> None:
        """One after the other for each AOR: what a removal leaves upstream depends on what came before."""
        lock = self._locks.get(aor)
        if lock is None:
            if len(self._locks) >= UNDER_WAY:
                self._busy(transaction)
                return
            lock = self._locks[aor] = DeferredLock()
        elif len(lock.waiting) >= WAITING:
            self._busy(transaction)
            return
        await lock.acquire()
        try:
            await self._registered(transaction, aor)
        except StoreError:
            self._answer(transaction, self.not_stored(transaction.request, transaction.stateless_tag))
        finally:
            lock.release()
            if not lock.locked:
                self._locks.pop(aor, None)

    async def _registered(self, transaction: ServerTransaction, aor: str) -> None:
        request = transaction.request
        bindings = self.store.lookup(aor, self._now())
        if isinstance(bindings, Deferred):
            bindings = await bindings
        now = self._now()
        self._use_tag(transaction)
        try:
            flow = flow_of(request, transaction.flow)
            decision = self.registrar.decide(request, aor, bindings, now, self._wall(), flow)
        except SIPParseError as error:
            decision = self.registrar.refuse(request, error.status, error.reason)
        phone = Phone(transaction.flow.token, request.call_id)
        if isinstance(decision, Change):
            against = objection(bindings, (), decision)
            if against in (Outcome.STALE, Outcome.FULL):
                self._respond(transaction, Applied(decision, against, bindings), now, self._wall())
                return
            need = self.upstream.needs(decision, bindings, phone, self.authenticator is not None)
            if against is Outcome.UNCHANGED and decision.puts and self.upstream.knows(decision, phone):
                need = Need.NOTHING  # it comes again
            if need is Need.NOTHING:
                self.absorbed += 1
                await self._apply(transaction, decision)
                return
        elif decision.status >= 300:
            self._answer(transaction, decision)
            return
        elif self.authenticator is not None:
            self._answer(transaction, decision)  # which contacts there are, for who has shown who he is
            return
        else:
            need = Need.KEEP
        try:
            await self._ask(transaction, aor, decision, need, phone)
        except NoAnswer as error:
            self._tell(f"does not answer: {error.reason}")
            self._say(transaction, error.status, (("Retry-After", "5"),))

    # Asking the registrar behind

    async def _ask(
        self, transaction: ServerTransaction, aor: str, decision: Change | Response, need: Need, phone: Phone
    ) -> None:
        request = transaction.request
        if spent(request):
            self._say(transaction, 483)
            return
        self.forwarded += 1
        last: NoAnswer | None = None
        for flow in await self._client.flows():
            try:
                answer, uris, began = await self._send(request, aor, decision, need, flow)
            except NoAnswer as error:
                last = error
                if error.status == 504:
                    break  # the phone waits, too
                continue
            if 200 <= answer.status < 300:
                await self._accepted(transaction, aor, decision, need, phone, answer, uris, began)
            else:
                self._pass_back(transaction, answer)
            return
        assert last is not None
        raise last

    async def _send(
        self, request: Request, aor: str, decision: Change | Response, need: Need, flow: Flow
    ) -> tuple[Response, dict[str, str], float]:
        """The answer, the URI of each contact that was put, and when that began."""
        while True:
            expires = self._expires
            asked, uris = self._request(request, aor, decision, need, flow, expires)
            began = self._now()
            answer = await self._client.ask(asked, flow)
            if answer.status != 423:
                return answer, uris, began
            try:
                least = answer.number("min-expires") or 0
            except SIPParseError:
                least = 0
            if least <= expires or need is Need.REMOVE:
                return answer, uris, began
            self._expires = least
            self._tell(f"takes no bindings shorter than {least} s: [registrar.upstream] expires is too low")

    def _request(
        self,
        request: Request,
        aor: str,
        decision: Change | Response,
        need: Need,
        flow: Flow,
        expires: int,
    ) -> tuple[Request, dict[str, str]]:
        """The REGISTER as it goes on: of the phone, but for its contacts."""
        made = forwarded(request, None)
        for name in _OURS:
            made.remove(name)
        if self.authenticator is not None:
            made.remove("authorization")
            made.remove("proxy-authorization")
        if not isinstance(decision, Change):
            return made, {}
        if decision.removes == ALL_CONTACTS:
            made.add("contact", "*")
            made.add("expires", "0")
            return made, {}
        place = self._place or flow.sent_by
        single = self.upstream.single

        def uri_of(binding_id: str) -> str:
            return contact_uri(aor, "" if single else binding_id, self.domains.first, place, flow.transport)

        uris = {put.key: uri_of(put.id) for put in decision.puts}
        if single:
            seconds = 0 if need is Need.REMOVE else expires
            made.add("contact", f"<{uri_of('')}>;expires={seconds}")
            return made, uris
        for put in decision.puts:
            q = f";q={put.q / 1000:g}" if put.q != 1000 else ""
            made.add("contact", f"<{uris[put.key]}>{q};expires={expires}")
        for key in decision.removes:
            gone = Binding("", key, "", 0, 0.0, 0)
            made.add("contact", f"<{uri_of(gone.id)}>;expires=0")
        return made, uris

    async def _accepted(
        self,
        transaction: ServerTransaction,
        aor: str,
        decision: Change | Response,
        need: Need,
        phone: Phone,
        answer: Response,
        uris: dict[str, str],
        began: float,
    ) -> None:
        now = self._now()
        if not isinstance(decision, Change):
            bindings = self.store.lookup(aor, now)
            if isinstance(bindings, Deferred):
                bindings = await bindings
            self._use_tag(transaction)
            listing = self.registrar.listing(transaction.request, bindings, self._wall(), now, aor)
            self._answer(transaction, listing)
            return
        try:
            contacts, header = answer.contacts, answer.expires
        except SIPParseError:
            contacts, header = [], None
        untils = {}
        for put in decision.puts:
            uri = parse_uri(uris[put.key])
            assert isinstance(uri, SipURI)
            shown = find_contact(contacts, uri)
            if shown is None and contacts:
                self._tell("answers a REGISTER without the contact that it was sent")
                self._say(transaction, 502)
                return
            untils[put.key] = began + granted(shown, header, self._expires)
        await self._apply(transaction, decision, untils)
        for key, until in untils.items():
            self.upstream.accepted(aor, key, phone, until, now)
        everything = decision.removes == ALL_CONTACTS
        self.upstream.removed(aor, () if everything else decision.removes, need is Need.REMOVE)

    async def _apply(
        self, transaction: ServerTransaction, change: Change, untils: dict[str, float] | None = None
    ) -> None:
        """Make the change, with nothing granted beyond what there is upstream, and answer."""
        now = change.now = self._now()
        for put in change.puts:
            until = self.upstream.until(change.aor, put.key) if untils is None else untils[put.key]
            put.granted = min(put.granted, int(until - now))
            put.deadline = now + put.granted
            if put.granted <= 0:
                self._tell("grants no time")
                self._say(transaction, 502)
                return
        applied = self.store.apply(change)
        if isinstance(applied, Deferred):
            applied = await applied
        self._respond(transaction, applied, self._now(), self._wall())

    # Phones that went without a word

    def expired(self, removed: Sequence[Removed]) -> None:
        """Bindings are over here; where the registrar behind trusts us it is told so."""
        self.registrar.expired(removed)
        if self.authenticator is None:
            return  # only the phone can show credentials there
        now = self._now()
        for one in removed:
            keys = [gone.key for gone in one.removed if self.upstream.until(one.aor, gone.key) > now]
            if keys and not (self.upstream.single and one.bindings) and self._leaving < LEAVING:
                self._leaving += 1
                Deferred.fromCoroutine(self._leave(one.aor, keys)).addErrback(self._not_left)

    async def _leave(self, aor: str, keys: list[str]) -> None:
        lock = self._locks.setdefault(aor, DeferredLock())
        await lock.acquire()
        try:
            found = self.store.lookup(aor, self._now())
            held = {one.key for one in (await found if isinstance(found, Deferred) else found)}
            keys = [key for key in keys if key not in held]
            if not keys or (self.upstream.single and held):
                return  # the phone has come again meanwhile
            (flow, *_) = await self._client.flows()
            place = self._place or flow.sent_by
            ids = [""] if self.upstream.single else [Binding("", key, "", 0, 0.0, 0).id for key in keys]
            first = self.domains.first
            uris = [contact_uri(aor, one, first, place, flow.transport) for one in ids]
            address = NameAddr(f"sip:{aor}")
            request = build(
                "REGISTER",
                f"sip:{aor.rpartition('@')[2]}",
                from_=NameAddr(f"sip:{aor}", "", {"tag": self._token()}),
                to=address,
                call_id=self._token(),
                cseq=1,
                headers=[("Contact", f"<{uri}>;expires=0") for uri in uris],
            )
            answer = await self._client.ask(request, flow)
            if 200 <= answer.status < 300:
                self.upstream.removed(aor, keys, True)
        finally:
            self._leaving -= 1
            lock.release()
            if not lock.locked:
                self._locks.pop(aor, None)

    def _not_left(self, failure: Failure) -> None:
        """Then its binding there ends by itself."""
        failure.trap(NoAnswer, StoreError)

    # Answers

    def _answer(self, transaction: ServerTransaction, response: Response) -> None:
        """Answer, and the same again to a request that comes again: it must not be asked about again."""
        transaction.respond(response)

    def _pass_back(self, transaction: ServerTransaction, answer: Response) -> None:
        """What the registrar behind says against it."""
        status = answer.status
        if status < 400:
            self._tell(f"redirects a REGISTER with {status}")
            self._say(transaction, 502)
        elif status in (401, 407) and self.authenticator is not None:
            self._tell(f"answers {status}; with [registrar] authenticate it has to trust this server")
            self._say(transaction, 502)
        else:
            headers = tuple([(name, text) for name in _PASSED for text in answer.get_all(name)])
            if status >= 500:
                self._tell(f"answers {status} {answer.reason}")
            self._say(transaction, status, headers, answer.reason)

    def _busy(self, transaction: ServerTransaction) -> None:
        self._say(transaction, 503, (("Retry-After", "5"),))

    def _say(
        self,
        transaction: ServerTransaction,
        status: int,
        headers: tuple[tuple[str, str], ...] = (),
        reason: str | None = None,
    ) -> None:
        tag = transaction.stateless_tag
        self._answer(transaction, respond(transaction.request, status, reason, to_tag=tag, headers=headers))

    def _use_tag(self, transaction: ServerTransaction) -> None:
        if self._stateless:
            self._tag = transaction.stateless_tag

    def _tell(self, what: str) -> None:
        suppressed = self._lines.allow(what)
        if suppressed is not None:
            _log.warn("The registrar at {uri} {what}", uri=str(self._client.uri), what=what)
