"""The proxy core: what may pass, where it goes, and the ACKs (RFC 3261 section 16).

`Proxy` is made to be subclassed: `route`, `authorize` and `known_user` are its decisions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from rvoip.protocols.dialog.interfaces import ITransactionUser
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.transactions import MAGIC, TransactionLayer
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.proxy.context import Branch, ResponseContext
from rvoip.proxy.events import Answered, HungUp
from rvoip.proxy.forward import (
    breadth,
    fix_strict_route,
    forwarded,
    loop_mark,
    looped,
    next_hop,
    supported_extensions,
)
from rvoip.proxy.record_route import RecordRoutes, goes_by_flow
from rvoip.proxy.targets import Destination, Refused, Targets

__all__ = ["Proxy", "ProxySettings"]


class ProxySettings:
    """What the operator decides; see the `[proxy]` table of the configuration.

    `authenticate`: True asks every request for credentials, None only those for foreign domains, False
    none, and refuses foreign domains with 403. `fork` is "parallel" or "sequential".
    """

    __slots__ = ("authenticate", "fork", "large", "record_route")

    def __init__(
        self,
        record_route: bool = True,
        authenticate: bool | None = None,
        fork: str = "parallel",
        large: int = 1300,
    ) -> None:
        self.record_route = record_route
        self.authenticate = authenticate
        self.fork = fork
        self.large = large


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
        self._sent_bys: frozenset[str] = frozenset()

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
            return self._route_later(aor, found)
        if found:
            return self.targets_of(found)
        exists = self.location.exists(aor)
        if isinstance(exists, Deferred):
            return self._nobody(exists)
        raise Refused(480 if exists else 404)

    async def _route_later(self, aor: str, found: Deferred[list[Destination]]) -> Targets:
        destinations = await found
        if destinations:
            return self.targets_of(destinations)
        exists = self.location.exists(aor)
        return await self._nobody(exists if isinstance(exists, Deferred) else succeed(exists))

    async def _nobody(self, exists: Deferred[bool]) -> Targets:
        raise Refused(480 if await exists else 404)

    def targets_of(self, destinations: list[Destination]) -> Targets:
        """The destinations of one user in the order that the configuration asks for."""
        if len(destinations) == 1 or self.settings.fork == "parallel":
            return Targets.parallel(destinations)
        return Targets.sequential(destinations)

    def authorize(self, request: Request, user: str | None, own: bool) -> None:
        """Raise `Refused` when the request may not pass.

        `user` is the AOR whose credentials it carried (None: it was not asked for any), `own` whether
        it is for a domain served here. Nobody may call as one of our users but that user.
        """
        sender = request.from_.uri
        if user is None or not isinstance(sender, SipURI) or not self.domains.serves(sender):
            return
        if self.domains.aor(sender) != user:
            raise Refused(403, "From does not belong to these credentials")

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
        extensions = supported_extensions(request) if request.has("proxy-require") else None
        if extensions:
            raise Refused(420, headers=(("Unsupported", ", ".join(extensions)),), stateless=True)
        flow_token = self._take_own_routes(request)
        uri = request.uri
        if flow_token is not None:
            # In a dialog that was set up through here: the route set says where to.
            targets = Targets.parallel([self._in_dialog(request, transaction.flow, flow_token)])
            self._launch(transaction, targets)
            return None
        if not isinstance(uri, SipURI):
            raise Refused(416, stateless=True)
        own = self.domains.serves(uri)
        if request.has("route"):
            own = False  # a preloaded route leads elsewhere, whatever the Request-URI says
        authenticate = self.settings.authenticate
        if authenticate or not own:
            if authenticate is False and not request.has("proxy-authorization"):
                raise Refused(403, "No relay for foreign domains", stateless=True)
            user = self.authenticator.authenticate(transaction)
            if isinstance(user, Deferred):
                return self._forward_later(transaction, user, own)
            if user is None:
                return None
            self.authorize(request, user, own)
        else:
            self.authorize(request, None, own)
        return self._route_and_launch(transaction)

    async def _forward_later(
        self, transaction: ServerTransaction, waiting: Deferred[str | None], own: bool
    ) -> None:
        try:
            user = await waiting
            if user is None:
                return
            self.authorize(transaction.request, user, own)
            later = self._route_and_launch(transaction)
            if later is not None:
                await later
        except Refused as refused:
            self._refuse(transaction, refused)
        except SIPParseError as error:
            self._refuse(transaction, Refused(error.status, error.reason))

    def _route_and_launch(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        request = transaction.request
        if request.has("route"):
            uri = request.uri
            targets: Targets | Awaitable[Targets] = (
                Targets.parallel([Destination(uri)]) if isinstance(uri, SipURI) else Targets(())
            )
        else:
            targets = self.route(request)
        if isinstance(targets, Targets):
            self._launch(transaction, targets)
            return None
        return self._launch_later(transaction, targets)

    async def _launch_later(self, transaction: ServerTransaction, waiting: Awaitable[Targets]) -> None:
        gave_up: list[bool] = []

        def cancelled(transaction: ServerTransaction, cancel: Request) -> None:
            gave_up.append(True)
            transaction.respond_status(487)

        transaction.on_cancel = cancelled
        try:
            targets = await waiting
            if not gave_up:
                self._launch(transaction, targets)
        except Refused as refused:
            self._refuse(transaction, refused)
        except SIPParseError as error:
            self._refuse(transaction, Refused(error.status, error.reason))

    def _launch(self, transaction: ServerTransaction, targets: Targets) -> None:
        request = transaction.request
        if not targets:
            raise Refused(404)
        mark = loop_mark(request)
        if looped(request, self.sent_bys, mark):
            raise Refused(482, stateless=True)
        wide = breadth(request)
        if wide < max(len(group) for group in targets.groups):
            raise Refused(440, stateless=True)
        record = self.settings.record_route and request.method in _DIALOG_MAKING
        context = ResponseContext(self, transaction, targets, mark, wide, record)
        context.start()

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

    # Routes.

    @property
    def sent_bys(self) -> frozenset[str]:
        """The sent-by values of our own Vias."""
        if not self._sent_bys:
            self._sent_bys = frozenset(one.sent_by for one in self.transport.listeners)
        return self._sent_bys

    def _take_own_routes(self, request: Request) -> str | None:
        """Remove the Route values that name us (section 16.4).

        None when the request is not in a dialog of ours; else the tokens of the flows that our
        Record-Route values named, one a line ("" for none).
        """
        if not request.has("route"):
            return None
        uri = request.uri
        call_id = request.call_id
        if isinstance(uri, SipURI) and self.record_routes.recognise(uri, call_id) is not None:
            fix_strict_route(request, True)
        proven = False
        tokens: list[str] = []
        while request.has("route"):
            route = request.routes[0].uri
            if not isinstance(route, SipURI) or not self.domains.is_self(route):
                break
            token = self.record_routes.recognise(route, call_id)
            if token is not None:
                proven = True
                if token:
                    tokens.append(token)
            request.remove_first_value("route")
        if not proven or request.to.tag is None:
            return None
        return "\n".join(tokens)

    def _in_dialog(self, request: Request, came: Flow, tokens: str) -> Destination:
        uri = request.uri
        if not isinstance(uri, SipURI):
            raise Refused(416)
        token = next((one for one in tokens.split("\n") if one and one != came.token), None)
        if request.has("route"):
            token = None  # another proxy comes first
        return Destination(uri, flow_token=token)

    # The branch's request.

    def prepare(self, context: ResponseContext, branch: Branch, share: int) -> Deferred[list[Target]] | None:
        """Make the branch's request and find its targets; a Deferred of them when that takes time."""
        destination = branch.destination
        request = forwarded(context.transaction.request, destination.uri, destination.route)
        if len(context.branches) > 1 or request.has("max-breadth"):
            request.set("max-breadth", str(share))
        if request.has("p-asserted-identity") and not self.trusted(context.transaction.flow):
            request.remove("p-asserted-identity")
        hop = next_hop(request)
        branch.request = request
        token = destination.flow_token
        if token is not None and not destination.route:
            branch.flow = self.transport.flow_by_token(token)
            if branch.flow is not None:
                return None
            if destination.flow_only:
                raise Refused(430)
        targets = self.locator.locate_now(hop)
        if targets is not None:
            branch.targets = self.sized(targets, request)
            return None
        return Deferred.fromCoroutine(self._locate(hop, request))

    async def _locate(self, hop: SipURI, request: Request) -> list[Target]:
        return self.sized(await self.locator.locate(hop), request)

    def sized(self, targets: list[Target], request: Request) -> list[Target]:
        """With TCP before UDP for a request too large for one packet (RFC 3261 section 18.1.1).

        UDP stays as the second choice: many phones listen on nothing else.
        """
        if targets and targets[0].transport == "UDP" and len(request.body) > 500:
            size = len(request.to_bytes()) + 200
            if size > self.settings.large and self._has_tcp():
                return [one._replace(transport="TCP") for one in targets[:1]] + targets
        return targets

    def _has_tcp(self) -> bool:
        return any(one.transport == "TCP" for one in self.transport.listeners)

    def forward_on(self, context: ResponseContext, branch: Branch, request: Request, flow: Flow) -> None:
        """Send the branch's request on a flow, with Record-Route and Via."""
        came = context.transaction.flow
        if context.record_route:
            secure = request.uri_text[:5].lower() == "sips:"
            pinned = not came.reliable and self._behind_nat(request, came)
            for value in reversed(self.record_routes.values(request.call_id, came, flow, secure, pinned)):
                request.insert("record-route", value)
        branch_id = f"{MAGIC}{self.layer.token()}.{context.mark}"
        self.forwarded += 1
        client = self.layer.prepare(request, flow, context, branch_id)
        context.sent(branch, client)
        client.start()

    def _behind_nat(self, request: Request, came: Flow) -> bool:
        """Whether only the flow that it used reaches the sender of a request."""
        contacts = request.contacts
        if not contacts:
            return False
        uri = contacts[0].uri
        return isinstance(uri, SipURI) and goes_by_flow(uri, came)

    def target_failed(self, flow: Flow) -> None:
        """Prefer other addresses for a while (RFC 3263 section 4.3)."""
        self.locator.failed(Target(flow.transport, flow.remote[0], flow.remote[1]))

    # ACK and stray responses (ITransactionUser).

    def ack_received(self, request: Request, flow: Flow) -> None:
        """Pass the ACK of a 2xx on, statelessly, along its dialog's route set (section 16.11)."""
        try:
            token = self._take_own_routes(request)
            if token is None:
                return  # not of a dialog that was set up through here
            destination = self._in_dialog(request, flow, token)
            ack = forwarded(request, None)
            hop = next_hop(ack)
            out = None
            if destination.flow_token is not None:
                out = self.transport.flow_by_token(destination.flow_token)
            if out is None:
                targets = self.locator.locate_now(hop)
                if targets is None:
                    Deferred.fromCoroutine(self._ack_later(ack, hop))
                    return
                out = self.transport.flow_to(targets[0])
            self.layer.send(ack, out)
        except (Refused, SIPParseError, FlowError):
            return  # nothing may answer an ACK

    async def _ack_later(self, ack: Request, hop: SipURI) -> None:
        try:
            targets = await self.locator.locate(hop)
            self.layer.send(ack, self.transport.flow_to(targets[0]))
        except Exception:
            return  # as above: the caller will send it again

    def response_unmatched(self, response: Response, flow: Flow) -> None:
        """Drop it: a proxy forwards responses of its own transactions only (RFC 6026 section 8.9)."""

    # For the operator.

    def forwarded_response(self, context: ResponseContext, response: Response) -> None:
        """A response went back; tell who listens of calls that begin and end."""
        events = self.events
        if events is None or response.status < 200:
            return
        request = context.transaction.request
        if request.method == "INVITE" and events.wants(Answered):
            if request.to.tag is None:
                events.publish(
                    Answered(
                        request.call_id,
                        request.from_.uri_text,
                        request.to.uri_text,
                        response.status,
                        response.reason,
                        self.layer.now() - context.began,
                    )
                )
        elif request.method == "BYE" and events.wants(HungUp):
            events.publish(HungUp(request.call_id, request.from_.uri_text, response.status))


_DIALOG_MAKING = frozenset(("INVITE", "SUBSCRIBE", "REFER"))
