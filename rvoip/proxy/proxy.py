"""The proxy core: what may pass, where it goes, and the ACKs (RFC 3261 section 16).

`Proxy` is made to be subclassed: `route`, `authorize` and `known_user` are its decisions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.interfaces import ITransactionUser
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.transactions import MAGIC, TransactionLayer
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import parse_number
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.errors import TransportError
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.proxy.ack import send_ack
from rvoip.proxy.branch import Branch
from rvoip.proxy.context import ResponseContext
from rvoip.proxy.events import Answered, HungUp
from rvoip.proxy.forward import (
    breadth,
    consume_credentials,
    drop_routes,
    forwarded,
    loop_mark,
    looped,
    next_hop,
    spent,
    undo_strict_route,
    unknown_extensions,
)
from rvoip.proxy.record_route import RecordRoutes, goes_by_flow
from rvoip.proxy.settings import ProxySettings
from rvoip.proxy.targets import Destination, Refused, Targets, one_flow_each

__all__ = ["Proxy", "ProxySettings"]


@implementer(ITransactionUser)
class Proxy:
    """A transaction-stateful proxy.

    `domains`, `location` and `authenticator` are described in `rvoip.proxy.interfaces`; `trusted` tells
    whether what a flow's peer asserts of identities is believed; `events` is an `EventBus`.
    """

    def __init__(
        self,
        layer: TransactionLayer,
        transport: Any,
        locator: Any,
        domains: Any,
        location: Any,
        authenticator: Any,
        record_routes: RecordRoutes,
        settings: ProxySettings | None = None,
        trusted: Callable[[Flow], bool] = lambda flow: False,
        events: Any = None,
    ) -> None:
        self.layer = layer
        self.transport = transport
        self.locator = locator
        self.domains = domains
        self.location = location
        self.authenticator = authenticator
        self.record_routes = record_routes
        self.settings = settings or ProxySettings()
        self.trusted = trusted
        self.events = events
        self.forwarded = 0

    # Decisions, to be overridden.

    def route(self, request: Request) -> Targets | Awaitable[Targets]:
        """Where to send a request that is not in a dialog; may be a coroutine. Raise `Refused` not to.

        Own domains: the bindings of the address-of-record. Foreign: the Request-URI itself.
        """
        uri = request.uri
        if not isinstance(uri, SipURI):
            raise Refused(416)
        if not self.domains.serves(uri):
            return Targets.parallel([Destination(uri)])
        aor = self.domains.aor(uri)
        found = self.location.lookup(aor)
        if isinstance(found, Deferred):
            return self._route_later(uri, aor, found)
        if found:
            return self.targets_of(_reached_by(uri, found))
        exists = self.location.exists(aor)
        if isinstance(exists, Deferred):
            return self._nobody(exists)
        raise _nobody_there(exists)

    async def _route_later(self, uri: SipURI, aor: str, found: Deferred[list[Destination]]) -> Targets:
        destinations = await found
        if destinations:
            return self.targets_of(_reached_by(uri, destinations))
        exists = self.location.exists(aor)
        return await self._nobody(exists if isinstance(exists, Deferred) else succeed(exists))

    async def _nobody(self, exists: Deferred[bool]) -> Targets:
        raise _nobody_there(await exists)

    def targets_of(self, destinations: list[Destination]) -> Targets:
        """The destinations of one user in the order that the configuration asks for."""
        if len(destinations) > 1:
            destinations = one_flow_each(destinations)
            if self.settings.fork == "sequential":
                return Targets.sequential(destinations)
        return Targets.parallel(destinations)

    def authorize(self, request: Request, user: str | None, own: bool) -> None:
        """Raise `Refused` when the request may not pass.

        `user` is the AOR whose credentials it carried (None: it was not asked for any), `own` whether
        it is for a domain served here. Nobody may call as one of our users but that user.
        """
        sender = request.from_.uri
        if user is None or not isinstance(sender, SipURI) or not self.domains.serves(sender):
            return
        if self.domains.aor(sender) != user:
            raise Refused(403, "From does not belong to these credentials", stateless=True)

    # Requests (ITransactionUser).

    def request_received(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        """Forward a request, or answer why not."""
        try:
            return self._forward(transaction)
        except Refused as refused:
            self._refuse(transaction, refused)
        except SIPParseError as error:
            self._refuse(transaction, Refused(error.status, error.reason, stateless=True))
        return None

    def _forward(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        request = transaction.request
        if spent(request):
            raise Refused(483, stateless=True)
        unknown = unknown_extensions(request) if request.has("proxy-require") else None
        if unknown:
            raise Refused(420, headers=(("Unsupported", ", ".join(unknown)),), stateless=True)
        flow_token = self._take_own_routes(request)
        if flow_token is not None:
            # In a dialog that was set up through here: the route set says where to.
            destination = self._in_dialog(request, transaction.flow, flow_token)
            self._launch(transaction, Targets.parallel([destination]))
            return None
        uri = request.uri
        if not isinstance(uri, SipURI):
            raise Refused(416, stateless=True)
        own = self.domains.serves(uri)
        if request.has("route"):
            own = False  # a preloaded route leads elsewhere, whatever the Request-URI says
        authenticate = self.settings.authenticate
        if authenticate or not own:
            if authenticate is False:
                raise Refused(403, "No relay for foreign domains", stateless=True)
            user = self.authenticator.authenticate(transaction)
            if isinstance(user, Deferred):
                return self._forward_later(transaction, user, own)
            if user is None:
                return None
            self.authorize(request, user, own)
        else:
            self.authorize(request, None, own)
        targets = self._route(request)
        if isinstance(targets, Targets):
            self._launch(transaction, targets)
            return None
        return self._launch_later(transaction, targets)

    async def _forward_later(
        self, transaction: ServerTransaction, waiting: Deferred[str | None], own: bool
    ) -> None:
        transaction.on_cancel = _cancelled_early
        try:
            user = await waiting
            if user is None or transaction.answered:
                return
            self.authorize(transaction.request, user, own)
            targets = self._route(transaction.request)
            if not isinstance(targets, Targets):
                targets = await targets
            if not transaction.answered:
                self._launch(transaction, targets)
        except Refused as refused:
            self._refuse(transaction, refused)
        except SIPParseError as error:
            self._refuse(transaction, Refused(error.status, error.reason))

    def _route(self, request: Request) -> Targets | Awaitable[Targets]:
        if not request.has("route"):
            return self.route(request)
        uri = request.uri
        return Targets.parallel([Destination(uri)]) if isinstance(uri, SipURI) else Targets(())

    async def _launch_later(self, transaction: ServerTransaction, waiting: Awaitable[Targets]) -> None:
        transaction.on_cancel = _cancelled_early
        try:
            targets = await waiting
            if not transaction.answered:
                self._launch(transaction, targets)
        except Refused as refused:
            self._refuse(transaction, refused)
        except SIPParseError as error:
            self._refuse(transaction, Refused(error.status, error.reason))

    def _launch(self, transaction: ServerTransaction, targets: Targets) -> None:
        request = transaction.request
        if not targets:
            raise Refused(404, stateless=True)
        mark = loop_mark(request)
        if looped(request, mark):
            raise Refused(482, stateless=True)
        wide = breadth(request)
        if wide < max([len(group) for group in targets.groups]):
            raise Refused(440, stateless=True)
        record = self.settings.record_route and request.method in _DIALOG_MAKING
        pinned = record and self._only_by_flow(request, transaction.flow)
        ResponseContext(self, transaction, targets, mark, wide, record, pinned).start()

    def _refuse(self, transaction: ServerTransaction, refused: Refused) -> None:
        response = respond(
            transaction.request,
            refused.status,
            refused.reason,
            to_tag=transaction.stateless_tag,
            headers=refused.headers,
        )
        if refused.stateless:
            transaction.respond_stateless(response)
        else:
            transaction.respond(response)
        self._tell(transaction.request, response, 0.0)

    # Routes.

    def _take_own_routes(self, request: Request) -> str | None:
        """Remove the Route values that name us (section 16.4).

        None when the request is not in a dialog of ours; else the token of the flow that the receiver is
        reached by, "" for none. It stands in the last of our values: each end is named in its own, and the
        sender's comes first.
        """
        if not request.has("route"):
            return None
        call_id = request.call_id
        token: str | None = None
        uri = request.uri
        if isinstance(uri, SipURI):
            token = self.record_routes.recognise(uri, call_id)
            if token is not None:
                undo_strict_route(request)
        routes = request.routes
        if not routes:
            request.remove("route")  # it was empty
        own = 0
        for route in routes:
            uri = route.uri
            if not isinstance(uri, SipURI):
                break
            found = self.record_routes.recognise(uri, call_id)
            if found is not None:
                token = found
            elif not self._names_us(uri):
                break
            own += 1
        if own:
            drop_routes(request, own)
        return None if request.to.tag is None else token

    def _names_us(self, uri: SipURI) -> bool:
        """Whether a Route value is this proxy: by address, or by a domain that it serves."""
        return self.domains.is_self(uri) or (uri.user is None and self.domains.serves(uri))

    def _in_dialog(self, request: Request, came: Flow, token: str) -> Destination:
        uri = request.uri
        if not isinstance(uri, SipURI):
            raise Refused(416, stateless=True)
        if not token or token == came.token or request.has("route"):
            return Destination(uri)
        return Destination(uri, flow_token=token)

    # The branch's request.

    def prepare(self, context: ResponseContext, branch: Branch) -> Deferred[list[Target]] | None:
        """Make the branch's request and find its targets; a Deferred of them when that takes time.

        Raises `Refused`, `SIPParseError` or a `TransportError` when it can go nowhere.
        """
        destination = branch.destination
        came = context.transaction.flow
        request = forwarded(context.transaction.request, destination.uri, destination.route)
        request.set("max-breadth", str(context.share))
        self._keep_back(request, came)
        hop = next_hop(request)
        branch.request = request
        token = destination.flow_token
        if token is not None and not destination.route:
            branch.flow = self.transport.flow_by_token(token)
            if branch.flow is not None:
                return None
            if destination.flow_only:
                raise Refused(430)
        targets = self._here(hop) or self.locator.locate_now(hop)
        if targets is not None:
            branch.targets = self.sized(targets, request)
            return None
        return Deferred.fromCoroutine(self._locate(hop, request))

    def _here(self, hop: SipURI) -> list[Target] | None:
        """Where we listen, for a contact that is another of our users, whatever DNS knows of our domains."""
        if not self.domains.serves(hop) or hop.secure or self.domains.is_self(hop) or hop.has_param("maddr"):
            return None
        transports = [hop.transport.upper()] if hop.transport else ["UDP", "TCP"]
        for transport in transports:
            for one in self.transport.listeners:
                if one.transport == transport:
                    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(one.host, one.host)
                    return [Target(transport, host, one.port)]
        return None

    def _keep_back(self, request: Request, came: Flow) -> None:
        """Remove what is only for us, and what nobody outside may assert (RFC 3325 section 5)."""
        names = request.names
        if "proxy-authorization" in names:
            consume_credentials(request, self._is_own_realm)
        if "p-asserted-identity" in names and not self.trusted(came):
            request.remove("p-asserted-identity")

    def _is_own_realm(self, realm: str) -> bool:
        served: bool = self.domains.serves(SipURI("sip", None, realm.lower()))
        return served

    async def _locate(self, hop: SipURI, request: Request) -> list[Target]:
        return self.sized(await self.locator.locate(hop), request)

    def sized(self, targets: list[Target], request: Request) -> list[Target]:
        """With TCP before UDP for a request too large for one packet (RFC 3261 section 18.1.1).

        UDP stays as the second choice: many phones listen on nothing else, and where TCP failed lately it is
        the only one. A phone behind a firewall would be kept waiting for each request else.
        """
        if targets and targets[0].transport == "UDP":
            # 200 for our own Via and Record-Route.
            lines = request.lines
            size = len(request.body) + sum(map(len, lines)) + 2 * len(lines) + 200
            if size > self.settings.large and self._has_tcp():
                tcp = targets[0]._replace(transport="TCP")
                if not self.locator.avoids(tcp):
                    return [tcp, *targets]
        return targets

    def _has_tcp(self) -> bool:
        return any(one.transport == "TCP" for one in self.transport.listeners)

    def forward_on(
        self, context: ResponseContext, branch: Branch, request: Request, flow: Flow
    ) -> ClientTransaction:
        """The client transaction, not started yet, for the branch's request, with Record-Route and Via."""
        if context.record_route:
            secure = request.uri_text[:5].lower() == "sips:"
            goes_pinned = branch.destination.flow_token == flow.token
            for value in reversed(
                self.record_routes.values(
                    request.call_id, context.transaction.flow, flow, secure, context.pinned, goes_pinned
                )
            ):
                request.insert("record-route", value)
        self.forwarded += 1
        return self.layer.prepare(request, flow, branch, f"{MAGIC}{self.layer.token()}.{context.mark}")

    def _only_by_flow(self, request: Request, came: Flow) -> bool:
        """Whether the sender of a request is reached only by the flow that it used.

        Of a request that came through another proxy nobody can tell: that one would have to.
        """
        index = request.names.index("via")
        if "via" in request.names[index + 1 :] or "," in request.lines[index]:
            return False
        try:
            contacts = request.contacts
            uri = contacts[0].uri if contacts else None
        except SIPParseError:
            return False  # nobody reaches it
        return isinstance(uri, SipURI) and goes_by_flow(uri, came)

    def target_failed(self, flow: Flow) -> None:
        """Prefer other addresses for a while (RFC 3263 section 4.3)."""
        self.locator.failed(Target(flow.transport, flow.remote[0], flow.remote[1]))

    def target_answered(self, flow: Flow, response: Response) -> None:
        """One of several targets is alive, or says 503: then it is left alone for as long as it asks."""
        target = Target(flow.transport, flow.remote[0], flow.remote[1])
        if response.status != 503:
            self.locator.succeeded(target)
            return
        text = (response.get("retry-after") or "").partition(";")[0].partition("(")[0].strip(" \t")
        try:
            seconds = float(parse_number(text, 2**31, "Retry-After"))
        except SIPParseError:
            self.locator.failed(target)
        else:
            self.locator.failed(target, seconds)

    # ACK and stray responses (ITransactionUser).

    def ack_received(self, request: Request, flow: Flow) -> None:
        """Pass the ACK of a 2xx on, statelessly, along its dialog's route set (section 16.11)."""
        try:
            token = self._take_own_routes(request)
            if token is None:
                return  # not of a dialog that was set up through here
            destination = self._in_dialog(request, flow, token)
            ack = forwarded(request, None)
            self._keep_back(ack, flow)
            hop = next_hop(ack)
            out = None
            if destination.flow_token is not None:
                out = self.transport.flow_by_token(destination.flow_token)
            if out is None:
                targets = self.locator.locate_now(hop)
                if targets is None:
                    Deferred.fromCoroutine(self._ack_later(ack, hop)).addErrback(_ack_lost)
                    return
                send_ack(self, ack, targets)
            else:
                self.layer.send(ack, out)
        except (Refused, SIPParseError, TransportError):
            return  # nothing may answer an ACK

    async def _ack_later(self, ack: Request, hop: SipURI) -> None:
        send_ack(self, ack, await self.locator.locate(hop))

    def response_unmatched(self, response: Response, flow: Flow) -> None:
        """Drop it: a proxy forwards responses of its own transactions only (RFC 6026 section 8.9)."""

    # For the operator.

    def forwarded_response(self, context: ResponseContext, response: Response) -> None:
        """A provisional or the final response went back; tell who listens of calls that begin and end."""
        if response.status >= 200:
            self._tell(context.transaction.request, response, self.layer.now() - context.began)

    def _tell(self, request: Request, response: Response, after: float) -> None:
        events = self.events
        if events is None:
            return
        if request.method == "INVITE":
            if events.wants(Answered) and request.to.tag is None:
                caller, callee = request.from_.uri_text, request.to.uri_text
                events.publish(
                    Answered(request.call_id, caller, callee, response.status, response.reason, after)
                )
        elif request.method == "BYE" and events.wants(HungUp):
            events.publish(HungUp(request.call_id, request.from_.uri_text, response.status))


def _reached_by(uri: SipURI, destinations: list[Destination]) -> list[Destination]:
    """Those that a request to this URI may go to: who dials sips: is not to be sent on in the clear.

    Raises `Refused` 480 when there are none (RFC 5630 section 5.3).
    """
    if not uri.secure:
        return destinations
    found = [one for one in destinations if one.secure]
    if not found:
        raise Refused(480, headers=(("Warning", '380 proxy "SIPS Not Allowed"'),), stateless=True)
    return found


def _nobody_there(exists: bool) -> Refused:
    return Refused(480 if exists else 404, stateless=True)


def _cancelled_early(transaction: ServerTransaction, cancel: Request) -> None:
    """The caller gave up before it was known where to send the request."""
    transaction.respond_status(487)


def _ack_lost(failure: Failure) -> None:
    """The caller sends the ACK again with the next 200; what went wrong is no news when it is the network."""
    failure.trap(TransportError)


_DIALOG_MAKING = frozenset(("INVITE", "SUBSCRIBE", "REFER", "NOTIFY"))
"""Requests that make a dialog (NOTIFY: RFC 6665 section 4.3); the proxy stays in the way of what follows."""
