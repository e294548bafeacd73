"""SUBSCRIBE, PUBLISH and NOTIFY as they come in: which are ours, and who sent them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.protocols.dialog.agent import UserAgent
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.address import parse_name_addr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.message_summary import parse_message_summary
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.record_route import goes_by_flow
from rvoip.registrar.compositor import PARSERS
from rvoip.registrar.errors import StoreError
from rvoip.registrar.presence import Presence
from rvoip.registrar.publication import Publish, Published
from rvoip.services.authenticate import Authenticator
from rvoip.services.domains import Domains
from rvoip.services.presence_package import Asking
from rvoip.users.errors import StoreError as UsersUnavailable

__all__ = ["METHODS", "PresenceRequests"]

_log = Logger()

METHODS = frozenset(("SUBSCRIBE", "PUBLISH", "NOTIFY"))
"""What presence has a look at."""

Otherwise = Callable[[ServerTransaction], "Awaitable[object] | None"]


class PresenceRequests:
    """Takes requests for `agent` out of all that come; what is not for it goes `otherwise`.

    `exists` tells whether an address-of-record is one of ours, `trusted` whether what comes on a flow is
    believed. `alone` says that there is no proxy: what nobody takes is refused then, and challenges are those
    of a registrar (401).
    """

    def __init__(
        self,
        agent: UserAgent,
        presence: Presence,
        domains: Domains,
        authenticator: Authenticator,
        exists: Callable[[str], bool | Deferred[bool]],
        trusted: Callable[[Flow], bool],
        now: Callable[[], float],
        *,
        alone: bool,
    ) -> None:
        self.agent = agent
        self.packages: frozenset[str] = frozenset()
        self.authenticate = True
        self.asking = Asking("")
        """Who sent the request that the agent is given."""
        self.published: dict[int, int] = {}
        """How many PUBLISH requests got which status."""
        self.allow_events = ""
        self._presence = presence
        self._domains = domains
        self._authenticator = authenticator
        self._exists = exists
        self._trusted = trusted
        self._now = now
        self._alone = alone
        agent.register_method("PUBLISH", self._publish)

    def received(self, transaction: ServerTransaction, otherwise: Otherwise) -> Awaitable[object] | None:
        """Answer a request of `METHODS`, or let it go `otherwise`."""
        request = transaction.request
        tag = request.to.tag
        if tag is not None:
            return self._inside(transaction, request, tag, otherwise)
        uri = request.uri
        if not isinstance(uri, SipURI) or not uri.user or uri.has_param("gr"):
            return otherwise(transaction)
        if not self._domains.serves(uri) or not self._ends_here(request):
            return otherwise(transaction)
        package = _package(request)
        if request.method == "NOTIFY":
            return self._notified(transaction, request, self._domains.aor(uri), package, otherwise)
        if package not in self.packages or (request.method == "PUBLISH" and package not in PARSERS):
            if not self._alone:
                return otherwise(transaction)
            offered = [one for one in PARSERS if one in self.packages]
            allowed = ", ".join(offered) if request.method == "PUBLISH" else self.allow_events
            self.agent.refuse(transaction, Refused(489, headers=(("Allow-Events", allowed),)))
            return None
        aor = self._domains.aor(uri)
        known = self._presence.lists.get(aor) is not None or self._exists(aor)
        if isinstance(known, Deferred):
            return self._later(transaction, known, otherwise)
        if not known and not self._alone:
            return otherwise(transaction)
        return self._take(transaction, known)

    async def _later(
        self, transaction: ServerTransaction, waiting: Deferred[bool], otherwise: Otherwise
    ) -> None:
        try:
            known = await waiting
        except UsersUnavailable:
            self.agent.refuse(transaction, Refused(503, headers=(("Retry-After", "5"),)))
            return
        if transaction.answered:
            return
        more = self._take(transaction, known) if known or self._alone else otherwise(transaction)
        if more is not None:
            await more

    def _inside(
        self, transaction: ServerTransaction, request: Request, tag: str, otherwise: Otherwise
    ) -> Awaitable[object] | None:
        """In a dialog: in one of ours, or in one that was ours before we began anew."""
        dialog = self.agent.dialog(request.call_id, tag, request.from_.tag or "")
        if dialog is None:
            uri = request.uri
            ours = isinstance(uri, SipURI) and self._domains.is_self(uri) and not uri.has_param("d")
            if request.method != "SUBSCRIBE" or not ours or request.has("route"):
                return otherwise(transaction)
        elif request.method == "SUBSCRIBE":
            self._pin(dialog, transaction)
        return self.agent.request_received(transaction)

    def _pin(self, dialog: Dialog, transaction: ServerTransaction) -> None:
        """A watcher whose stream broke is reached by the new one."""
        flow = _only_way(transaction)
        if flow is None or _is_old(dialog, transaction.request):
            return
        for usage in dialog.usages:
            watch: Any = getattr(usage, "user", None)
            if watch is not None:
                watch.flow = flow
        dialog.flow = flow

    def _ends_here(self, request: Request) -> bool:
        """Whether no Route leads further on."""
        if not request.has("route"):
            return True
        return all(
            isinstance(route.uri, SipURI) and self._domains.is_self(route.uri) for route in request.routes
        )

    # Who sent it.

    def _take(self, transaction: ServerTransaction, known: bool) -> Awaitable[object] | None:
        request, flow = transaction.request, transaction.flow
        if self._trusted(flow):
            return self._give(transaction, self._asserted(request), known, True)
        if not self.authenticate:
            return self._give(transaction, self._aor(request.from_.uri), known, False)
        found: Any
        if self._alone:
            uri = request.uri
            assert isinstance(uri, SipURI)
            realm = self._domains.domain(uri)
            found = self._authenticator.authenticate_registration(transaction, realm)
        else:
            found = self._authenticator.authenticate(transaction)
        if isinstance(found, Deferred):
            return found.addCallback(lambda user: self._proven(transaction, user, known))
        return self._proven(transaction, found, known)

    def _proven(
        self, transaction: ServerTransaction, user: str | None, known: bool
    ) -> Awaitable[object] | None:
        if user is None or transaction.answered:
            return None
        sender = transaction.request.from_.uri
        if isinstance(sender, SipURI) and self._domains.serves(sender) and self._domains.aor(sender) != user:
            self.agent.refuse(transaction, Refused(403, "From does not belong to these credentials"))
            return None
        return self._give(transaction, user, known, False)

    def _give(
        self, transaction: ServerTransaction, user: str, known: bool, trusted: bool
    ) -> Awaitable[object] | None:
        request = transaction.request
        if not known:
            self.agent.refuse(transaction, Refused(404))
            return None
        if request.method == "PUBLISH" and not trusted:
            uri = request.uri
            if not isinstance(uri, SipURI) or self._domains.aor(uri) != user:
                self.agent.refuse(transaction, Refused(403, "Not Yours To Publish"))
                return None
        # A Contact that nobody has vouched for is not sent to: it may be somebody who is to be flooded.
        proven = trusted or self.authenticate
        self.asking = Asking(user, _only_way(transaction) if proven else transaction.flow)
        return self.agent.request_received(transaction)

    def _asserted(self, request: Request) -> str:
        """Whom a trusted element names as the sender."""
        if request.has("p-asserted-identity"):
            for value in request.values("p-asserted-identity"):
                try:
                    aor = self._aor(parse_name_addr(value).uri)
                except SIPParseError:
                    continue
                if aor:
                    return aor
        return self._aor(request.from_.uri)

    def _aor(self, uri: Any) -> str:
        if not isinstance(uri, SipURI):
            return ""
        return self._domains.aor(uri) if self._domains.serves(uri) else uri.aor

    # PUBLISH and NOTIFY.

    def _publish(self, transaction: ServerTransaction, dialog: Dialog | None) -> Deferred[None] | None:
        request = transaction.request
        uri = request.uri
        assert isinstance(uri, SipURI)
        publish = Publish(
            _package(request),
            self._domains.aor(uri),
            request.body,
            request.get("content-type") or "",
            request.typed("sip-if-match"),
            request.expires,
            self.asking.user,
        )
        answer = self._presence.publish(publish, self._now())
        if isinstance(answer, Deferred):
            return answer.addCallback(self._published, transaction)
        self._published(answer, transaction)
        return None

    def _published(self, answer: Published, transaction: ServerTransaction) -> None:
        self.published[answer.status] = self.published.get(answer.status, 0) + 1
        if not transaction.answered:
            self.agent.respond(transaction, answer.status, answer.reason, headers=answer.headers)

    def _notified(
        self, transaction: ServerTransaction, request: Request, aor: str, package: str, otherwise: Otherwise
    ) -> Awaitable[object] | None:
        """A voice mail server tells, unasked, what waits for a user: it is noted, and goes on to the phones.

        Only of one that is trusted; whatever else this is goes on too.
        """
        if package != "message-summary" or package not in self.packages:
            return otherwise(transaction)
        if not self._trusted(transaction.flow):
            return otherwise(transaction)
        known = self._exists(aor)
        waiting = known if isinstance(known, Deferred) else succeed(known)
        waiting.addCallback(self._note_mailbox, request, aor)
        waiting.addErrback(_not_noted, aor)
        if not self._alone:
            return otherwise(transaction)
        self.agent.respond(transaction, 200)
        return None

    def _note_mailbox(self, known: bool, request: Request, aor: str) -> Deferred[None] | None:
        return self._presence.set_mailbox(aor, parse_message_summary(request.body)) if known else None


def _not_noted(failure: Failure, aor: str) -> None:
    failure.trap(SIPParseError, StoreError, UsersUnavailable)
    _log.warn("What waits for {aor} is not noted: {error}", aor=aor, error=str(failure.value))


def _package(request: Request) -> str:
    """The event package; "" for none or one that cannot be read."""
    try:
        event = request.typed("event")
    except SIPParseError:
        return ""
    return "" if event is None else str(event.type)


def _only_way(transaction: ServerTransaction) -> Flow | None:
    """The flow of a request when nothing else leads to its sender: it is behind a NAT, or on a stream."""
    request, flow = transaction.request, transaction.flow
    if request.has("record-route"):
        return None
    try:
        if len(request.values("via")) > 1:
            return None
        contacts = request.contacts
    except SIPParseError:
        return None
    uri = contacts[0].uri if contacts else None
    return flow if isinstance(uri, SipURI) and goes_by_flow(uri, flow) else None


def _is_old(dialog: Dialog, request: Request) -> bool:
    """Whether the request came before, or out of its order: it says nothing of where the sender is now."""
    return dialog.remote_cseq is not None and request.cseq.number <= dialog.remote_cseq
