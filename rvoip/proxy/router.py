"""The router that the configuration makes: aliases, users, ENUM, static routes and gateway sets."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
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
from rvoip.proxy.rewrite import dialled, harmless
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
        if len(rules.aliases) and context.domains.serves(uri):
            stands_for = rules.aliases.find(uri, context.domains.aor(uri))
            if stands_for:
                return self._alias(stands_for, request, context)
        return self._decide(_Asked(request, uri, context))

    def _decide(self, asked: _Asked) -> Targets | Awaitable[Targets | None] | None:
        """Where users, ENUM and routes lead; None where none of them applies, or it is for a user."""
        rules, uri, context = self.rules, asked.uri, asked.context
        own = context.domains.serves(uri)
        if own and uri.has_param("gr"):
            return None  # one device, there or not (RFC 5627 section 5.4)
        peer = self.peers.name_of(context.flow) if rules.routes.peers else ""
        found = rules.routes.find(uri, own, asked.request.method, peer) if len(rules.routes) else []
        number = self._number(uri) if own and rules.enum is not None else None
        if not found and number is None:
            return None
        if not own:
            return self._chain(found, asked)
        is_user = _is_user(context.location, context.domains.aor(uri))
        if number is None and not isawaitable(is_user):
            return None if is_user else self._chain(found, asked)
        return self._decide_later(found, number, is_user, asked)

    async def _decide_later(
        self, found: list[Found], number: str | None, is_user: Awaitable[bool] | bool, asked: _Asked
    ) -> Targets | None:
        if await _ready(is_user):
            return None
        enum = self.rules.enum
        if number is not None and enum is not None:
            targets = await self._by_enum(enum, number, asked)
            if targets is not None:
                return targets
        return await _ready(self._chain(found, asked)) if found else None

    def _as_sip(self, uri: TelURI, context: Any) -> SipURI:
        """A telephone number as a user of our domain (RFC 3261 section 19.1.6)."""
        return SipURI("sip", uri.digits, context.domains.first, None, (("user", "phone"),))

    def _number(self, uri: SipURI) -> str | None:
        return self.rules.plan.e164(dialled(uri)) if uri.user else None

    # Aliases.

    def _alias(
        self, stands_for: Sequence[SipURI], request: Request, context: Any
    ) -> Targets | Awaitable[Targets]:
        """Where the names lead that an alias stands for: those of several ring at once.

        A user, or a number that goes by a route: whoever may call the alias may call that.
        """
        if len(stands_for) == 1:
            return self._behind(stands_for[0], request, context)
        return self._gather(stands_for, request, context)

    def _behind(self, uri: SipURI, request: Request, context: Any) -> Targets | Awaitable[Targets]:
        decided = self._decide(_Asked(request, uri, context, True))
        if decided is None:
            found: Targets | Awaitable[Targets] = context.default(uri)
            return found
        return decided if isinstance(decided, Targets) else self._behind_later(decided, uri, context)

    async def _behind_later(self, waiting: Awaitable[Targets | None], uri: SipURI, context: Any) -> Targets:
        decided = await waiting
        return await _ready(context.default(uri)) if decided is None else decided

    async def _gather(self, uris: Sequence[SipURI], request: Request, context: Any) -> Targets:
        groups: list[list[Destination]] = []
        outs: list[SipURI] = []
        reason: Refused | None = None
        for uri in uris:
            try:
                targets = await _ready(self._behind(uri, request, context))
            except Refused as refused:
                reason = reason or refused
                continue
            for place, group in enumerate(targets.groups):
                if place == len(groups):
                    groups.append([])
                groups[place] += group
            if not targets.vouched:
                outs += targets.outs or ()
        if not groups:
            raise reason or Refused(480)
        return Targets(groups, outs=tuple(outs))

    # ENUM.

    async def _by_enum(self, enum: EnumLookup, number: str, asked: _Asked) -> Targets | None:
        """What DNS has for the number; None when that is nothing, or users of ours who are not there."""
        groups: list[list[Destination]] = []
        leads_out = False
        for uri in await enum.find(number):
            if asked.context.domains.serves(uri):
                try:
                    targets = await _ready(asked.context.default(uri))
                except Refused:
                    continue
                groups += targets.groups
            else:
                groups.append([Destination(uri)])
                leads_out = True
        if not groups:
            return None
        outs = (asked.uri,) if leads_out else ()
        return Targets(groups, members_only=leads_out and not asked.for_all, outs=outs)

    # Routes.

    def _chain(self, found: list[Found], asked: _Asked) -> Targets | Awaitable[Targets]:
        """The targets of the first route, with the others to come when they fail."""
        first, *others = found
        try:
            targets = self._targets(first, asked)
        except Refused:
            if not others:
                raise
            return self._chain(others, asked)
        if not others:
            return targets
        if isinstance(targets, Targets):
            return self._and_then(targets, others, asked)
        return self._and_then_later(targets, others, asked)

    async def _and_then_later(
        self, waiting: Awaitable[Targets], others: list[Found], asked: _Asked
    ) -> Targets:
        try:
            targets = await waiting
        except Refused:
            return await _ready(self._chain(others, asked))
        return self._and_then(targets, others, asked)

    def _and_then(self, targets: Targets, others: list[Found], asked: _Asked) -> Targets:
        go_on = targets.go_on

        def failed(status: int, response: Response | None) -> Targets | Awaitable[Targets] | None:
            if status >= 600 or (go_on is not None and status not in go_on):
                return None
            return self._chain(others, asked)

        targets.on_failure = failed
        return targets

    def _targets(self, found: Found, asked: _Asked) -> Targets | Awaitable[Targets]:
        route, uri, context = found.route, asked.uri, asked.context
        try:
            new = route.rewrite.uri(uri)
            if route.to is not None:
                new = route.to.uri(new, found.groups)
            if (route.prefix or route.regex) and (route.set_name or not context.domains.serves(new)):
                new = harmless(new)
        except (PatternError, SIPParseError):
            raise Refused(484, stateless=True) from None
        open_to_all = route.public or asked.for_all
        members_only = not open_to_all
        if route.set_name:
            return self.gateways.targets(
                route.set_name,
                asked.request,
                new,
                headers=route.headers,
                members_only=members_only,
                public=open_to_all,
                outs=(uri,),
            )
        if context.domains.serves(new):
            if new == uri:
                raise Refused(482, stateless=True)
            decided: Targets | Awaitable[Targets] = context.default(new)
            return decided
        destination = Destination(new, headers=route.headers)
        return Targets([[destination]], members_only=members_only, public=open_to_all, outs=(uri,))


class _Asked:
    """What is to be decided: where a request goes whose Request-URI is, or stands for, `uri`.

    `for_all`: whoever sent it may have it sent there.
    """

    __slots__ = ("context", "for_all", "request", "uri")

    def __init__(self, request: Request, uri: SipURI, context: Any, for_all: bool = False) -> None:
        self.request = request
        self.uri = uri
        self.context = context
        self.for_all = for_all


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
