"""The proxy core: what may pass, where it goes, and the ACKs (RFC 3261 section 16).

`Proxy` is made to be subclassed: `route`, `targets_of` and `authorize` are its decisions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mypy_extensions import mypyc_attr
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import classImplements

from rvoip.protocols.dialog.interfaces import ITransactionUser
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI, TelURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.ack import forward_ack
from rvoip.proxy.calls import Calls, address_of
from rvoip.proxy.context import ResponseContext
from rvoip.proxy.dialogs import Dialogs
from rvoip.proxy.events import Answered, HungUp
from rvoip.proxy.forwarding import Diverting
from rvoip.proxy.inbound import Inbound
from rvoip.proxy.interfaces import IForwarding, IRouter
from rvoip.proxy.outgoing import Outgoing
from rvoip.proxy.passing import Passing
from rvoip.proxy.record_route import RecordRoutes
from rvoip.proxy.ringing import Ringing
from rvoip.proxy.route_context import RouteContext
from rvoip.proxy.settings import ProxySettings
from rvoip.proxy.stateless import Stateless
from rvoip.proxy.targets import Destination, NobodyThere, Refused, Targets, one_flow_each
from rvoip.proxy.unreached import Unreached

__all__ = ["Proxy", "ProxySettings"]


@mypyc_attr(allow_interpreted_subclasses=True)
class Proxy:
    """A transaction-stateful proxy.

    `domains`, `location` and `authenticator` are described in `rvoip.proxy.interfaces`; `trusted` tells
    whether what a flow's peer asserts of identities is believed; `events` is an `EventBus`. `routers` are
    asked before `route`, and `forwarding` (an `IForwarding`) where the calls of a user go; `members` tells
    from which flows requests need no credentials, wherever they go. These may be set at any time.
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
        self.routers: tuple[IRouter, ...] = ()
        self.members: Callable[[Flow], bool] = _nobody
        self.forwarding: IForwarding | None = None
        self.passing: Passing | None = None
        """Edits what passes: session timers, a media relay."""
        self.calls: Calls | None = None
        """Shown the calls that are answered, where somebody wants to know."""
        self.limits: Any = None
        """Asked about each new call (`rvoip.proxy.interfaces.ICallLimits`), where users are limited."""
        self.owns: Callable[[str, SipURI], bool] = _owns_none
        """Whether a URI of our domains is another name of a user (an AOR): an alias, a number."""
        self.lamps: Any = None
        """Shown the responses to INVITEs (`responded(context, response)`), where there are busy lamps."""
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
        self.inbound = Inbound(self)
        self.diverting = Diverting(self)
        self.ringing = Ringing()
        self.unreached = Unreached(layer.now)
        self.stateless = Stateless(self)
        layer.pass_cancel = self.stateless.again
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
            return Targets([[Destination(uri)]], outs=(uri,))
        aor = self.domains.aor(uri)
        if uri.has_param("gr"):
            device = self.location.lookup_device(uri, aor)
            if device is None:
                raise NobodyThere(False)
            return self._find_device(uri, device)
        found = self.location.lookup(aor)
        if isinstance(found, Deferred):
            return self._find_later(uri, aor, found)
        if found:
            return self._targets_at(uri, aor, found)
        exists = self.location.exists(aor)
        if isinstance(exists, Deferred):
            return self._nobody(exists)
        raise NobodyThere(exists)

    def _find_device(
        self, uri: SipURI, found: list[Destination] | Deferred[list[Destination]]
    ) -> Targets | Awaitable[Targets]:
        """Where a GRUU leads: to that device alone."""
        if isinstance(found, Deferred):
            return found.addCallback(lambda there: self._at_device(uri, there))
        return self._at_device(uri, found)

    def _at_device(self, uri: SipURI, found: list[Destination]) -> Targets:
        if not found:
            raise NobodyThere(True)
        return Targets([one_flow_each(_reached_by(uri, found))], outs=())

    async def _find_later(self, uri: SipURI, aor: str, found: Deferred[list[Destination]]) -> Targets:
        destinations = await found
        if destinations:
            return self._targets_at(uri, aor, destinations)
        exists = self.location.exists(aor)
        return await self._nobody(exists if isinstance(exists, Deferred) else succeed(exists))

    async def _nobody(self, exists: Deferred[bool]) -> Targets:
        raise NobodyThere(await exists)

    def _targets_at(self, uri: SipURI, aor: str, found: list[Destination]) -> Targets:
        targets = self.targets_of(_reached_by(uri, found))
        targets.aor = aor
        return targets

    def targets_of(self, destinations: list[Destination]) -> Targets:
        """The destinations of one user in the order that the configuration asks for."""
        if len(destinations) > 1:
            destinations = one_flow_each(destinations)
            if self.settings.fork == "sequential":
                targets = Targets.sequential(destinations)
                if self.settings.ring:
                    for group in targets.groups[:-1]:
                        for one in group:
                            one.timeout = self.settings.ring
                return targets
        return Targets.parallel(destinations)

    def authorize(self, request: Request, user: str | None, own: bool) -> None:
        """Raise `Refused` when the request may not pass.

        `user` is the AOR whose credentials it carried (None: it was not asked for any), `own` whether
        it is for a domain served here. Nobody may call as one of our users but that user.
        """
        sender = request.from_.uri
        if user is None or (isinstance(sender, SipURI) and not self.domains.serves(sender)):
            return
        if not self._is_name_of(sender, user):
            raise Refused(403, "From does not belong to these credentials", stateless=True)

    def check_sender(self, request: Request, user: str) -> None:
        """Raise `Refused` when a request with the credentials of a user is sent in the name of others.

        Not asked where other networks are trusted, which may send on for others.
        """
        if not self._is_name_of(request.from_.uri, user):
            raise Refused(403, "From does not belong to these credentials", stateless=True)
        if not request.has("p-asserted-identity"):
            return
        for one in request.addresses("p-asserted-identity"):
            if not self._is_name_of(one.uri, user):
                raise Refused(403, "P-Asserted-Identity does not belong to these credentials", stateless=True)

    def _is_name_of(self, uri: Any, user: str) -> bool:
        """Whether a user may show this URI as his own: his address, another name of his, or nobody's.

        Nobody's is the anonymous URI (RFC 3323 section 4.1.1.3).
        """
        if isinstance(uri, TelURI):
            return self.owns(user, SipURI("sip", uri.digits, user.rpartition("@")[2]))
        if not isinstance(uri, SipURI):
            return False
        if self.domains.serves(uri):
            return self.domains.aor(uri) == user or self.owns(user, uri)
        # An authenticator may know users of other domains too (RFC 3665 section 3.3).
        return uri.host == "anonymous.invalid" or uri.aor == user

    # Requests (ITransactionUser).

    def request_received(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        """Forward a request, or answer why not."""
        return self.inbound.received(transaction)

    def find_user(self, request: Request, uri: SipURI, context: RouteContext) -> Targets | Awaitable[Targets]:
        """Where a call for this URI goes that a router asks for: like `find`, but with call forwarding."""
        if self.forwarding is not None and self.domains.serves(uri):
            return self.diverting.find(request, uri, context)
        return self.find(uri)

    def registered(self, aor: str) -> None:
        """A user has registered: calls that ring him now ring the new phone too."""
        contexts = self.ringing.of(aor) if self.settings.late else []
        if not contexts:
            return
        found = self.location.lookup(aor)
        if isinstance(found, Deferred):
            found.addCallback(self._join, contexts, aor)
            found.addErrback(_not_found)
        else:
            self._join(found, contexts, aor)

    def _join(self, found: list[Destination], contexts: list[ResponseContext], aor: str) -> None:
        for context in contexts:
            uri = context.transaction.request.uri
            secure = isinstance(uri, SipURI) and uri.secure
            context.registered(one_flow_each([one for one in found if one.secure or not secure]), aor)

    # ACK and stray responses (ITransactionUser).

    def ack_received(self, request: Request, flow: Flow) -> None:
        """See `rvoip.proxy.ack`."""
        forward_ack(self, request, flow)

    def response_unmatched(self, response: Response, flow: Flow) -> None:
        """Send it back when it answers what was forwarded without a transaction; drop it else (RFC 6026
        section 8.9): a proxy forwards responses to its own requests only.
        """
        if self.stateless.respond(response, flow):
            self.layer.unmatched -= 1

    # For the operator.

    def forwarded_response(self, context: ResponseContext, response: Response) -> None:
        """A provisional or the final response went back; tell who listens of calls that begin and end."""
        if response.status >= 200:
            now = self.layer.now()
            self.tell(
                context.transaction.request,
                response,
                now - context.began,
                context.transaction.flow,
                context.incoming.user or "",
                context.tried,
            )
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
            if context.incoming.is_held and self.limits is not None:
                accepted = calls is not None and response.status < 300
                up = calls.of(context.transaction.request, response) if accepted and calls else None
                self.limits.settled(context.incoming.holds, up)
        if self.lamps is not None and context.transaction.invite:
            self.lamps.responded(context, response)

    def tell(
        self,
        request: Request,
        response: Response,
        after: float,
        flow: Flow | None = None,
        user: str = "",
        destination: str = "",
    ) -> None:
        """Tell whoever listens that a call has begun or ended; `after` is seconds since the request came, by
        `flow`; `destination` is where it was refused.
        """
        events = self.events
        if events is None:
            return
        if request.method == "INVITE":
            if events.wants(Answered) and request.to.tag is None:
                caller, callee = request.from_.uri_text, request.to.uri_text
                source = "" if flow is None else address_of(flow)
                events.publish(
                    Answered(
                        request.call_id,
                        caller,
                        callee,
                        response.status,
                        response.reason,
                        after,
                        request.uri_text,
                        user,
                        source,
                        destination if response.status >= 300 else "",
                    )
                )
        elif request.method == "BYE" and ends_call(response.status) and events.wants(HungUp):
            events.publish(HungUp(request.call_id, request.from_.uri_text, response.status))


def ends_call(status: int) -> bool:
    """Whether a call is over when a BYE is answered so (RFC 3261 sections 12.2.1.2 and 15.1.1).

    Anybody can send a BYE; what refuses one ends nothing.
    """
    return status < 300 or status == 481 or status == 408


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


def _not_found(failure: Failure) -> None:
    """The location does not answer: those who ring go on without the phone that has just registered."""
    failure.trap(Refused)


def _nobody(flow: Flow) -> bool:
    """No peer may send anywhere."""
    return False


def _owns_none(user: str, uri: SipURI) -> bool:
    """No user has another name."""
    return False


# Not by a decorator, with which mypyc would leave the class to the interpreter.
classImplements(Proxy, ITransactionUser)
