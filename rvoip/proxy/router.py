"""The router that the configuration makes: aliases, users, ENUM, static routes and gateway sets."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar

from zope.interface import implementer

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI, TelURI
from rvoip.proxy.aliases import Aliases
from rvoip.proxy.gateways import Gateways
from rvoip.proxy.interfaces import IRouter
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.pattern import PatternError
from rvoip.proxy.peers import Peers
from rvoip.proxy.rewrite import dialled
from rvoip.proxy.routes import Found, RouteTable
from rvoip.proxy.targets import Destination, Refused, Targets

if TYPE_CHECKING:
    from rvoip.proxy.enum_lookup import EnumLookup

__all__ = ["Router", "RoutingRules"]

T = TypeVar("T")


class RoutingRules:
    """What the operator has written, ready for use; replaced as a whole when it is read again."""

    __slots__ = ("aliases", "enum", "plan", "routes")

    def __init__(
        self,
        routes: RouteTable,
        aliases: Aliases,
        plan: NumberPlan,
        enum: EnumLookup | None = None,
    ) -> None:
        self.routes = routes
        self.aliases = aliases
        self.plan = plan
        self.enum = enum


@implementer(IRouter)
class Router:
    """Decides by rules. `rules` may be replaced at any time.

    A request for a domain served here goes to what an alias stands for; else to the user of that name; else
    to what ENUM or a route says. One for another domain goes by a route for that domain. Where nothing
    applies the router has no opinion.
    """

    def __init__(self, rules: RoutingRules, gateways: Gateways, peers: Peers) -> None:
        self.rules = rules
        self.gateways = gateways
        self.peers = peers

    def route(self, request: Request, context: Any) -> Targets | Awaitable[Targets | None] | None:
        """See `IRouter`."""
        uri = request.uri
        if isinstance(uri, TelURI):
            uri = self._as_sip(uri, context)
        if not isinstance(uri, SipURI):
            return None
        rules = self.rules
        own = context.domains.serves(uri)
        if own and len(rules.aliases):
            stands_for = rules.aliases.find(uri, context.domains.aor(uri))
            if stands_for:
                return self._alias(stands_for, context)
        peer = self.peers.name_of(context.flow) if rules.routes.peers else ""
        found = rules.routes.find(uri, own, request.method, peer) if len(rules.routes) else []
        number = self._number(uri) if own and rules.enum is not None else None
        if not found and number is None:
            return None
        if not own:
            return self._chain(found, request, uri, context)
        is_user = _is_user(context.location, context.domains.aor(uri))
        if number is None and not isawaitable(is_user):
            return None if is_user else self._chain(found, request, uri, context)
        return self._route_later(found, number, is_user, request, uri, context)

    async def _route_later(
        self,
        found: list[Found],
        number: str | None,
        is_user: Awaitable[bool] | bool,
        request: Request,
        uri: SipURI,
        context: Any,
    ) -> Targets | None:
        if await _ready(is_user):
            return None
        enum = self.rules.enum
        if number is not None and enum is not None:
            targets = await self._by_enum(enum, number, context)
            if targets is not None:
                return targets
        return await _ready(self._chain(found, request, uri, context)) if found else None

    def _as_sip(self, uri: TelURI, context: Any) -> SipURI:
        """A telephone number as a user of our domain (RFC 3261 section 19.1.6)."""
        return SipURI("sip", uri.digits, context.domains.first, None, (("user", "phone"),))

    def _number(self, uri: SipURI) -> str | None:
        return self.rules.plan.e164(dialled(uri)) if uri.user else None

    # Aliases.

    def _alias(self, stands_for: Iterable[SipURI], context: Any) -> Targets | Awaitable[Targets | None]:
        """Where the names lead that an alias stands for: those of several ring at once."""
        uris = list(stands_for)
        if len(uris) == 1:
            decided: Targets | Awaitable[Targets | None] = context.default(uris[0])
            return decided
        return self._gather(uris, context)

    async def _gather(self, uris: list[SipURI], context: Any) -> Targets:
        groups: list[list[Destination]] = []
        reason: Refused | None = None
        for uri in uris:
            try:
                targets = await _ready(context.default(uri))
            except Refused as refused:
                reason = reason or refused
                continue
            for place, group in enumerate(targets.groups):
                if place == len(groups):
                    groups.append([])
                groups[place] += group
        if not groups:
            raise reason or Refused(480)
        return Targets(groups)

    # ENUM.

    async def _by_enum(self, enum: EnumLookup, number: str, context: Any) -> Targets | None:
        """What DNS has for the number; None when that is nothing, or users of ours who are not there."""
        groups: list[list[Destination]] = []
        for uri in await enum.find(number):
            if context.domains.serves(uri):
                try:
                    targets = await _ready(context.default(uri))
                except Refused:
                    continue
                groups += targets.groups
            else:
                groups.append([Destination(uri)])
        return Targets(groups, members_only=True) if groups else None

    # Routes.

    def _chain(
        self, found: list[Found], request: Request, uri: SipURI, context: Any
    ) -> Targets | Awaitable[Targets]:
        """The targets of the first route, with the others to come when they fail."""
        first, *others = found
        try:
            targets = self._targets(first, request, uri, context)
        except Refused:
            if not others:
                raise
            return self._chain(others, request, uri, context)
        if not others:
            return targets
        if isinstance(targets, Targets):
            return self._and_then(targets, others, request, uri, context)
        return self._and_then_later(targets, others, request, uri, context)

    async def _and_then_later(
        self, waiting: Awaitable[Targets], others: list[Found], request: Request, uri: SipURI, context: Any
    ) -> Targets:
        try:
            targets = await waiting
        except Refused:
            return await _ready(self._chain(others, request, uri, context))
        return self._and_then(targets, others, request, uri, context)

    def _and_then(
        self, targets: Targets, others: list[Found], request: Request, uri: SipURI, context: Any
    ) -> Targets:
        go_on = targets.go_on

        def failed(status: int, response: Response | None) -> Targets | Awaitable[Targets] | None:
            if status >= 600 or (go_on is not None and status not in go_on):
                return None
            return self._chain(others, request, uri, context)

        targets.on_failure = failed
        return targets

    def _targets(
        self, found: Found, request: Request, uri: SipURI, context: Any
    ) -> Targets | Awaitable[Targets]:
        route = found.route
        try:
            new = route.rewrite.uri(uri)
            if route.to is not None:
                new = route.to.uri(new, found.groups)
        except (PatternError, SIPParseError):
            raise Refused(484, stateless=True) from None
        if route.set_name:
            return self.gateways.targets(
                route.set_name,
                request,
                new,
                headers=route.headers,
                members_only=not route.public,
                public=route.public,
            )
        if context.domains.serves(new):
            if new == uri:
                raise Refused(482, stateless=True)
            decided: Targets | Awaitable[Targets] = context.default(new)
            return decided
        destination = Destination(new, headers=route.headers)
        return Targets([[destination]], members_only=not route.public, public=route.public)


def _is_user(location: Any, aor: str) -> Awaitable[bool] | bool:
    """Whether somebody of this name has a contact or an account."""
    known = location.lookup(aor)
    if isawaitable(known):
        return _is_user_later(location, aor, known)
    if known:
        return True
    exists: Awaitable[bool] | bool = location.exists(aor)
    return exists


async def _is_user_later(location: Any, aor: str, known: Awaitable[Any]) -> bool:
    return bool(await known) or await _ready(location.exists(aor))


async def _ready(value: Awaitable[T] | T) -> T:
    return await value if isawaitable(value) else value
