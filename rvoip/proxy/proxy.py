"""The proxy core: what may pass, where it goes, and the ACKs (RFC 3261 section 16).

`Proxy` is made to be subclassed: `route`, `targets_of` and `authorize` are its decisions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.protocols.dialog.interfaces import ITransactionUser
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.address import parse_name_addr
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.errors import TransportError
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.ack import send_ack
from rvoip.proxy.calls import Calls
from rvoip.proxy.context import ResponseContext
from rvoip.proxy.dialogs import DIALOG_MAKING, Dialogs
from rvoip.proxy.events import Answered, HungUp
from rvoip.proxy.forward import (
    breadth,
    forwarded,
    loop_mark,
    looped,
    next_hop,
    spent,
    unknown_extensions,
)
from rvoip.proxy.interfaces import IRouter
from rvoip.proxy.outgoing import Outgoing
from rvoip.proxy.record_route import RecordRoutes, goes_by_flow
from rvoip.proxy.route_context import RouteContext
from rvoip.proxy.settings import ProxySettings
from rvoip.proxy.targets import Destination, NobodyThere, Refused, Targets, one_flow_each

__all__ = ["Proxy", "ProxySettings"]


@implementer(ITransactionUser)
class Proxy:
    """A transaction-stateful proxy.

    `domains`, `location` and `authenticator` are described in `rvoip.proxy.interfaces`; `trusted` tells
    whether what a flow's peer asserts of identities is believed; `events` is an `EventBus`. `routers`, to be
    set at any time, are asked before `route`.
    """

    routers: tuple[IRouter, ...] = ()
    calls: Calls | None = None
    """Shown the calls that are answered, where somebody wants to know."""

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
        self.dialogs = Dialogs(domains, record_routes)
        self.settings = settings or ProxySettings()
        self.trusted = trusted
        self.events = events
        self.outgoing = Outgoing(self)
        self.forwarded = 0

    # Decisions, to be overridden.

    def route(self, request: Request) -> Targets | Awaitable[Targets]:
        """Where to send a request that is not in a dialog; may be a coroutine. Raise `Refused` not to.

        Own domains: the bindings of the address-of-record. Foreign: the Request-URI itself.
        """
        uri = request.uri
        if not isinstance(uri, SipURI):
            raise Refused(416)
        return self.find(uri)

    def find(self, uri: SipURI) -> Targets | Awaitable[Targets]:
        """Where a URI leads to; for a URI of our domains, which the request need not have."""
        if not self.domains.serves(uri):
            return Targets.parallel([Destination(uri)])
        aor = self.domains.aor(uri)
        found = self.location.lookup(aor)
        if isinstance(found, Deferred):
            return self._find_later(uri, aor, found)
        if found:
            return self.targets_of(_reached_by(uri, found))
        exists = self.location.exists(aor)
        if isinstance(exists, Deferred):
            return self._nobody(exists)
        raise NobodyThere(exists)

    async def _find_later(self, uri: SipURI, aor: str, found: Deferred[list[Destination]]) -> Targets:
        destinations = await found
        if destinations:
            return self.targets_of(_reached_by(uri, destinations))
        exists = self.location.exists(aor)
        return await self._nobody(exists if isinstance(exists, Deferred) else succeed(exists))

    async def _nobody(self, exists: Deferred[bool]) -> Targets:
        raise NobodyThere(await exists)

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
        flow = transaction.flow
        context = RouteContext(self, flow, self.trusted(flow), self._sent_by_us(transaction.request, flow))
        try:
            return self._forward(transaction, context)
        except NobodyThere as nobody:
            return self._refuse_discreetly(transaction, nobody, context)
        except Refused as refused:
            self._refuse(transaction, refused)
        except SIPParseError as error:
            self._refuse(transaction, Refused(error.status, error.reason, stateless=True))
        return None

    def _sent_by_us(self, request: Request, flow: Flow) -> bool:
        """Whether this proxy sent the request, to a contact that is another of its users.

        Nobody else can: it is the answer to a branch of ours, from the very socket that we sent it on.
        """
        client = self.layer.client_of(request)
        return client is not None and self.transport.is_loop(client.flow, flow)

    def _forward(self, transaction: ServerTransaction, context: RouteContext) -> Awaitable[object] | None:
        request = transaction.request
        if spent(request):
            raise Refused(483, stateless=True)
        unknown = unknown_extensions(request) if request.has("proxy-require") else None
        if unknown:
            raise Refused(420, headers=(("Unsupported", ", ".join(unknown)),), stateless=True)
        flow_token = self.dialogs.enter(request)
        if flow_token is not None:
            # In a dialog that was set up through here: the route set says where to.
            destination = self._in_dialog(request, transaction.flow, flow_token)
            self._launch(transaction, Targets.parallel([destination]), context)
            return None
        uri = request.uri
        if not isinstance(uri, SipURI):
            raise Refused(416, stateless=True)
        own = self.domains.serves(uri)
        if request.has("route"):
            own = False  # a preloaded route leads elsewhere, whatever the Request-URI says
        if not own or (self.settings.authenticate and not context.ours):
            if self.settings.authenticate is False:
                raise Refused(403, "No relay for foreign domains", stateless=True)
            user = self.authenticator.authenticate(transaction)
            if isinstance(user, Deferred):
                return self._concluded(
                    transaction, context, self._forward_later(transaction, user, context, own)
                )
            if user is None:
                return None
            context.user = user
        self.authorize(request, context.user, own)
        targets = self._route(request, context)
        if isinstance(targets, Targets) and not self._wants_credentials(targets, context):
            self._launch(transaction, targets, context)
            return None
        return self._concluded(transaction, context, self._launch_later(transaction, targets, context))

    async def _concluded(
        self, transaction: ServerTransaction, context: RouteContext, waiting: Awaitable[None]
    ) -> None:
        """What takes time: it may be cancelled meanwhile, and refused in the end."""
        transaction.on_cancel = _cancelled_early
        try:
            await waiting
        except NobodyThere as nobody:
            later = self._refuse_discreetly(transaction, nobody, context)
            if later is not None:
                await later
        except Refused as refused:
            self._refuse(transaction, refused)
        except SIPParseError as error:
            self._refuse(transaction, Refused(error.status, error.reason))

    async def _forward_later(
        self, transaction: ServerTransaction, waiting: Deferred[str | None], context: RouteContext, own: bool
    ) -> None:
        user = await waiting
        if user is None or transaction.answered:
            return
        context.user = user
        self.authorize(transaction.request, user, own)
        await self._launch_later(transaction, self._route(transaction.request, context), context)

    async def _launch_later(
        self, transaction: ServerTransaction, found: Targets | Awaitable[Targets], context: RouteContext
    ) -> None:
        targets = found if isinstance(found, Targets) else await found
        if transaction.answered:
            return
        if self._wants_credentials(targets, context):
            if self.settings.authenticate is False:
                raise Refused(403, stateless=True)
            user = self.authenticator.authenticate(transaction)
            if isinstance(user, Deferred):
                user = await user
            if user is None or transaction.answered:
                return
            context.user = user
            self.authorize(transaction.request, user, True)
        self._launch(transaction, targets, context)

    def _wants_credentials(self, targets: Targets, context: RouteContext) -> bool:
        return targets.members_only and not context.known

    def _route(self, request: Request, context: RouteContext) -> Targets | Awaitable[Targets]:
        if request.has("route"):
            uri = request.uri
            return Targets.parallel([Destination(uri)]) if isinstance(uri, SipURI) else Targets(())
        if self.routers:
            return self._ask(request, context)
        return self.route(request)

    async def _ask(self, request: Request, context: RouteContext) -> Targets:
        """What the first router says that has an opinion, else what `route` says."""
        for router in self.routers:
            found = router.route(request, context)
            if found is not None and not isinstance(found, Targets):
                found = await found
            if found is not None:
                return found
        targets = self.route(request)
        return targets if isinstance(targets, Targets) else await targets

    def _launch(self, transaction: ServerTransaction, targets: Targets, context: RouteContext) -> None:
        request = transaction.request
        if not targets:
            raise Refused(404, stateless=True)
        mark = loop_mark(request)
        if looped(request, mark):
            raise Refused(482, stateless=True)
        wide = breadth(request)
        if wide < max([len(group) for group in targets.groups]):
            raise Refused(440, stateless=True)
        sender = None
        pinned = False
        if self.settings.record_route and request.method in DIALOG_MAKING:
            sender = self.dialogs.sender(request)
            pinned = self._only_by_flow(request, transaction.flow)
        ResponseContext(self, transaction, targets, context, mark, wide, sender, pinned).start()

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

    def _in_dialog(self, request: Request, came: Flow, token: str) -> Destination:
        uri = request.uri
        if not isinstance(uri, SipURI):
            raise Refused(416, stateless=True)
        if not token or token == came.token or request.has("route"):
            return Destination(uri)
        return Destination(uri, flow_token=token)

    def _refuse_discreetly(
        self, transaction: ServerTransaction, nobody: NobodyThere, context: RouteContext
    ) -> Awaitable[None] | None:
        """Say 404 or 480 to whoever is known, and 480 to strangers: who has an account is not their business.

        Our users need no credentials to call each other: they are known by where they have registered.
        """
        if context.known:
            self._refuse(transaction, nobody)
            return None
        sender = transaction.request.from_.uri
        found: Any = ()
        if isinstance(sender, SipURI) and self.domains.serves(sender):
            found = self.location.lookup(self.domains.aor(sender))
        if isinstance(found, Deferred):
            return self._refuse_later(transaction, nobody, found)
        self._refuse_sender(transaction, nobody, found)
        return None

    async def _refuse_later(
        self, transaction: ServerTransaction, nobody: NobodyThere, found: Deferred[list[Destination]]
    ) -> None:
        self._refuse_sender(transaction, nobody, await found)

    def _refuse_sender(
        self, transaction: ServerTransaction, nobody: NobodyThere, registered: Iterable[Destination]
    ) -> None:
        flow = transaction.flow
        known = any(one.is_at(flow) for one in registered)
        self._refuse(transaction, nobody if known else NobodyThere(True))

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

    # ACK and stray responses (ITransactionUser).

    def ack_received(self, request: Request, flow: Flow) -> None:
        """Pass the ACK of a 2xx on, statelessly, along its dialog's route set (section 16.11).

        One that followed no route set of ours goes to the end that accepted the call, and nowhere else.
        """
        try:
            token = self.dialogs.enter(request)
            if token is not None:
                destination = self._in_dialog(request, flow, token)
                ack = forwarded(request, None)
            else:
                taker = None if request.has("route") else self.dialogs.acknowledged(request)
                if taker is None:
                    return
                uri = parse_name_addr(taker.contact).sip_uri
                destination = Destination(uri, flow_token=taker.flow_token)
                ack = forwarded(request, uri)
            self.outgoing.keep_back(ack, self.trusted(flow))
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
            now = self.layer.now()
            self._tell(context.transaction.request, response, now - context.began)
            calls = self.calls
            if calls is not None and (context.sender is not None or context.transaction.request.to.tag):
                calls.answered(
                    context.transaction.request,
                    response,
                    context.transaction.flow,
                    context.accepted_on,
                    context.began,
                    now,
                    context.incoming.user or "",
                )

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


def _cancelled_early(transaction: ServerTransaction, cancel: Request) -> None:
    """The caller gave up before it was known where to send the request."""
    transaction.respond_status(487)


def _ack_lost(failure: Failure) -> None:
    """The caller sends the ACK again with the next 200; what went wrong is no news when it is the network."""
    failure.trap(TransportError)
