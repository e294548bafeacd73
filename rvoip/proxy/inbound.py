"""Requests as they come in: what may pass, who is asked for credentials, and who decides where they go.

RFC 3261 sections 16.3 to 16.5.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI, TelURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.branch import Branch
from rvoip.proxy.context import ResponseContext
from rvoip.proxy.dialogs import DIALOG_MAKING, Entered
from rvoip.proxy.forward import breadth, loop_mark, looped, spent, unknown_extensions
from rvoip.proxy.identity import answered_session
from rvoip.proxy.in_time import in_time
from rvoip.proxy.record_route import goes_by_flow
from rvoip.proxy.route_context import RouteContext
from rvoip.proxy.targets import Destination, NobodyThere, Refused, Targets

if TYPE_CHECKING:
    from rvoip.proxy.proxy import Proxy

__all__ = ["Inbound"]


class Inbound:
    """Takes requests for a proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    def received(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        """Forward a request, or answer why not."""
        request, flow = transaction.request, transaction.flow
        proxy = self.proxy
        sent = self._sent_by_us(request, flow)
        context = RouteContext(
            proxy, request, flow, proxy.trusted(flow), proxy.members(flow), sent is not None
        )
        if sent is not None and isinstance(sent.user, Branch):
            context.payer = sent.user.aor or sent.user.context.incoming.user or ""
        try:
            return self._forward(transaction, context)
        except NobodyThere as nobody:
            return self._refuse_discreetly(transaction, nobody, context)
        except Refused as refused:
            self._refuse(transaction, refused, context)
        except SIPParseError as error:
            self._refuse(transaction, Refused(error.status, error.reason, stateless=True), context)
        return None

    def _sent_by_us(self, request: Request, flow: Flow) -> ClientTransaction | None:
        """What sent the request, if it was this proxy, to a contact that is another of its users.

        Nobody else can: it is the answer to a branch of ours, from the very socket that we sent it on.
        """
        client = self.proxy.layer.client_of(request)
        if client is None or not self.proxy.transport.is_loop(client.flow, flow):
            return None
        return client

    def _forward(self, transaction: ServerTransaction, context: RouteContext) -> Awaitable[object] | None:
        request = transaction.request
        if self.proxy.stateless.again(request, transaction.flow):
            transaction.abandon()
            return None
        if spent(request):
            raise Refused(483, stateless=True)
        unknown = unknown_extensions(request) if request.has("proxy-require") else None
        if unknown:
            raise Refused(420, headers=(("Unsupported", ", ".join(unknown)),), stateless=True)
        entered = self.proxy.dialogs.enter(request, transaction.flow)
        if entered is not None:
            # In a dialog that was set up through here: the route set says where to.
            context.entered = True
            contact = request.uri
            if isinstance(contact, SipURI) and self.is_gruu(request):
                found = self.proxy.find(contact)
                if isinstance(found, Targets):
                    self._launch(transaction, found, context)
                    return None
                return self._concluded(transaction, context, self._launch_later(transaction, found, context))
            destination = self.in_dialog(request, transaction.flow, entered)
            self._launch(transaction, Targets.parallel([destination]), context)
            return None
        while self.proxy.dialogs.topology.reveal_uri(request):
            continue  # a Contact that we hid: whoever was told of it may call there if he may call anywhere
        uri = request.uri
        if not isinstance(uri, SipURI):
            if not (self.proxy.routers and isinstance(uri, TelURI)) or request.has("route"):
                raise Refused(416, stateless=True)
            own = True  # a number, for a router to make sense of
        else:
            # A preloaded route leads elsewhere, whatever the Request-URI says.
            own = self.proxy.domains.serves(uri) and not request.has("route")
        if own or context.peer or not self.proxy.routers or request.has("route"):
            return self._admit(transaction, context, own)
        # A router may know a domain that strangers may send to.
        return self._concluded(transaction, context, self._admit_by_route(transaction, context))

    def is_gruu(self, request: Request) -> bool:
        """Whether the Contact that a request goes to is to be looked up here (RFC 5627 section 3.4)."""
        uri = request.uri
        return (
            isinstance(uri, SipURI)
            and uri.has_param("gr")
            and not request.has("route")
            and bool(self.proxy.domains.serves(uri))
        )

    async def _admit_by_route(self, transaction: ServerTransaction, context: RouteContext) -> None:
        try:
            found = await self._ask_routers(transaction.request, context)
        except Refused:
            found = None  # who may not call there is told so first
        if transaction.answered:
            return
        if found is not None and found.public:
            self._authorize(context, False)
            self._launch(transaction, found, context)
            return
        waiting = self._admit(transaction, context, False)
        if waiting is not None:
            await waiting

    def _admit(
        self, transaction: ServerTransaction, context: RouteContext, own: bool
    ) -> Awaitable[object] | None:
        """Ask for credentials where they are needed, and send on."""
        request = transaction.request
        if not context.peer and (not own or (self.proxy.settings.authenticate and not context.ours)):
            if self.proxy.settings.authenticate is False:
                raise Refused(403, "No relay for foreign domains", stateless=True)
            user = self.proxy.authenticator.authenticate(transaction)
            if isinstance(user, Deferred):
                later = self._forward_later(transaction, user, context, own)
                return self._concluded(transaction, context, later)
            if user is None:
                return None
            context.user = user
        self._authorize(context, own)
        targets = self._route(request, context)
        if isinstance(targets, Targets) and not self._wants_credentials(targets, context):
            self._launch(transaction, targets, context)
            return None
        return self._concluded(transaction, context, self._launch_later(transaction, targets, context))

    async def _concluded(
        self, transaction: ServerTransaction, context: RouteContext, waiting: Awaitable[None]
    ) -> None:
        """What takes time: it may be cancelled meanwhile, and refused in the end."""
        # The caller gives up before it is known where to send the request.
        transaction.on_cancel = lambda over, cancel: self._refuse(over, Refused(487), context)
        try:
            await waiting
        except NobodyThere as nobody:
            later = self._refuse_discreetly(transaction, nobody, context)
            if later is not None:
                await later
        except Refused as refused:
            self._refuse(transaction, refused, context)
        except SIPParseError as error:
            self._refuse(transaction, Refused(error.status, error.reason), context)
        finally:
            if not context.launched:
                context.release()

    async def _forward_later(
        self,
        transaction: ServerTransaction,
        waiting: Deferred[str | None],
        context: RouteContext,
        own: bool,
    ) -> None:
        user = await waiting
        if user is None or transaction.answered:
            return
        context.user = user
        self._authorize(context, own)
        await self._launch_later(transaction, self._route(transaction.request, context), context)

    async def _launch_later(
        self, transaction: ServerTransaction, found: Targets | Awaitable[Targets], context: RouteContext
    ) -> None:
        targets = found if isinstance(found, Targets) else await found
        if transaction.answered:
            return
        if self._wants_credentials(targets, context):
            if self.proxy.settings.authenticate is False:
                raise Refused(403, stateless=True)
            user = self.proxy.authenticator.authenticate(transaction)
            if isinstance(user, Deferred):
                user = await user
            if user is None or transaction.answered:
                return
            context.user = user
            self._authorize(context, True)
        self._launch(transaction, targets, context)

    def _authorize(self, context: RouteContext, own: bool) -> None:
        """Raise `Refused` when the request may not pass, or says that it comes from somebody else."""
        self.proxy.authorize(context.request, context.user, own)
        if context.user is not None and not context.trusted:
            self.proxy.check_sender(context.request, context.user)

    def _wants_credentials(self, targets: Targets, context: RouteContext) -> bool:
        return targets.members_only and not context.member

    def _route(self, request: Request, context: RouteContext) -> Targets | Awaitable[Targets]:
        if request.has("route"):
            uri = request.uri
            return Targets.parallel([Destination(uri)]) if isinstance(uri, SipURI) else Targets(())
        if self.proxy.routers or self.proxy.forwarding is not None:
            return self.ask(request, context)
        return self.proxy.route(request)

    async def ask(self, request: Request, context: RouteContext) -> Targets:
        """What the first router says that has an opinion, else what `route` says."""
        targets = await self._ask_routers(request, context)
        if targets is not None:
            return targets
        uri = request.uri
        if self.proxy.forwarding is not None and isinstance(uri, SipURI) and self.proxy.domains.serves(uri):
            return await self.proxy.diverting.find(request, uri, context)
        found = self.proxy.route(request)
        return found if isinstance(found, Targets) else await found

    async def _ask_routers(self, request: Request, context: RouteContext) -> Targets | None:
        for router in self.proxy.routers:
            found = router.route(request, context)
            if found is not None and not isinstance(found, Targets):
                found = await in_time(self.proxy, found, router)
            if found is not None:
                return found
        return None

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
        limits = self.proxy.limits
        if limits is not None and transaction.invite and not context.entered:
            limits.admit(request, targets, context)
        context.launched = True
        sender = None
        pinned = False
        if self.proxy.settings.record_route and request.method in DIALOG_MAKING:
            sender = self.proxy.dialogs.sender(request)
            pinned = self._only_by_flow(request, transaction.flow)
        passing = self.proxy.passing
        passage = None if passing is None else passing.enter(transaction, targets)
        made = ResponseContext(self.proxy, transaction, targets, context, mark, wide, sender, pinned, passage)
        waiting = None if passage is None else passage.prepare()
        if (
            self.proxy.settings.stateless
            and not made.hides
            and passage is None
            and not context.is_held
            and self.proxy.stateless.takes(targets)
        ):
            self.proxy.stateless.forward(made)
        elif waiting is None:
            made.start()
        else:
            later = self._concluded(transaction, context, _start_later(made, waiting))
            Deferred.fromCoroutine(later).addErrback(made.not_started)

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

    def in_dialog(self, request: Request, came: Flow, entered: Entered) -> Destination:
        """Where a request goes whose Route we have written."""
        uri = request.uri
        if not isinstance(uri, SipURI):
            raise Refused(416, stateless=True)
        token = entered.token
        if entered.by_path:
            return Destination(uri, flow_token=token, flow_only=True)
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
            self._refuse(transaction, nobody, context)
            return None
        sender = transaction.request.from_.uri
        found: Any = ()
        if isinstance(sender, SipURI) and self.proxy.domains.serves(sender):
            found = self.proxy.location.lookup(self.proxy.domains.aor(sender))
        if isinstance(found, Deferred):
            return self._refuse_later(transaction, nobody, found, context)
        self._refuse_sender(transaction, nobody, found, context)
        return None

    async def _refuse_later(
        self,
        transaction: ServerTransaction,
        nobody: NobodyThere,
        found: Deferred[list[Destination]],
        context: RouteContext,
    ) -> None:
        try:
            self._refuse_sender(transaction, nobody, await found, context)
        except Refused as refused:
            self._refuse(transaction, refused, context)

    def _refuse_sender(
        self,
        transaction: ServerTransaction,
        nobody: NobodyThere,
        registered: Iterable[Destination],
        context: RouteContext,
    ) -> None:
        flow = transaction.flow
        known = any(one.is_at(flow) for one in registered)
        self._refuse(transaction, nobody if known else NobodyThere(True), context)

    def _refuse(self, transaction: ServerTransaction, refused: Refused, context: RouteContext) -> None:
        """Answer; whoever has shown credentials gets the same answer when the request comes again.

        Their nonce count is used: looked at once more, they would be a replay, and the phone asked anew.
        """
        if transaction.answered:
            return  # it was cancelled meanwhile
        response = respond(
            transaction.request,
            refused.status,
            refused.reason,
            to_tag=transaction.stateless_tag,
            headers=(*refused.headers, *answered_session(transaction.request)),
        )
        context.release()
        user = context.user
        if refused.stateless and user is None:
            transaction.respond_stateless(response)
        else:
            transaction.respond(response)
        self.proxy.tell(transaction.request, response, 0.0, transaction.flow, user or "")


async def _start_later(context: ResponseContext, waiting: Awaitable[None]) -> None:
    started = False
    try:
        await waiting
        if not context.transaction.answered:
            started = True
            context.start()
    finally:
        if not started:
            context.incoming.release()
            passing = context.proxy.passing
            if passing is not None and context.transaction.answered:
                # It was cancelled: the relay, which has just begun, is told.
                passing.final(context.transaction.request, context.transaction.status)
