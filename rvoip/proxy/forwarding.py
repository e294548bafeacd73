"""Calls that go elsewhere than to the user who was called: call forwarding, and redirection by his phones."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.proxy.diversion import MOST_DIVERSIONS, Step, count_diversions
from rvoip.proxy.record_route import address_key
from rvoip.proxy.route_context import RouteContext
from rvoip.proxy.targets import Destination, NobodyThere, Refused, Targets

if TYPE_CHECKING:
    from rvoip.proxy.proxy import Proxy

__all__ = ["Diverting", "Forwarding"]

_BUSY = frozenset((486, 600))
_ANSWERED_NOT = frozenset((408, 487))
_UNREACHED = frozenset((404, 410, 430, 480, 500, 502, 503, 504))


class Forwarding:
    """Where a user's calls go; None where they stay.

    `after` is for how many seconds his phones ring before `no_answer` counts.
    """

    __slots__ = ("after", "always", "busy", "no_answer", "unreachable")

    def __init__(
        self,
        always: SipURI | None = None,
        busy: SipURI | None = None,
        no_answer: SipURI | None = None,
        unreachable: SipURI | None = None,
        after: float = 20.0,
    ) -> None:
        self.always = always
        self.busy = busy
        self.no_answer = no_answer
        self.unreachable = unreachable
        self.after = after

    def choose(self, status: int) -> tuple[SipURI, str] | None:
        """Where to, and why, after this final status of the user's phones."""
        if status in _BUSY:
            chosen = [(self.busy, "user-busy")]
        elif status in _ANSWERED_NOT:
            chosen = [(self.no_answer, "no-answer"), (self.unreachable, "unavailable")]
        elif status in _UNREACHED:
            chosen = [(self.unreachable, "unavailable"), (self.no_answer, "no-answer")]
        else:
            chosen = []
        for uri, reason in chosen:
            if uri is not None:
                return uri, reason
        return None


class Diverting:
    """Finds the targets of diverted calls. Whoever diverts answers for it: the caller is not asked."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    async def find(self, request: Request, uri: SipURI, context: RouteContext) -> Targets:
        """Where a call to a URI of our domain goes, by the forwarding of the user that it names."""
        proxy = self.proxy
        aor = proxy.domains.aor(uri)
        rule: Any = None
        if proxy.forwarding is not None and request.method == "INVITE":
            found = proxy.forwarding.of(aor)
            rule = await found if isawaitable(found) else found
        if rule is None:
            return await _ready(proxy.find(uri))
        return await self._by_rule(rule, request, uri, context, aor)

    async def _by_rule(
        self, rule: Forwarding, request: Request, uri: SipURI, context: RouteContext, aor: str
    ) -> Targets:
        if rule.always is not None:
            diverted = await self.divert(request, context, aor, rule.always, "unconditional")
            if diverted is not None:
                return diverted
        try:
            targets = await _ready(self.proxy.find(uri))
        except NobodyThere:
            chosen = rule.choose(480)
            if chosen is not None:
                diverted = await self.divert(request, context, aor, *chosen)
                if diverted is not None:
                    return diverted
            raise

        async def failed(status: int, response: Response | None) -> Targets | None:
            chosen = rule.choose(status)
            return None if chosen is None else await self.divert(request, context, aor, *chosen)

        targets.on_failure = failed
        if rule.no_answer is not None:
            for group in targets.groups:
                for one in group:
                    one.timeout = one.timeout or rule.after
        return targets

    async def follow(
        self,
        request: Request,
        context: RouteContext,
        contacts: Iterable[tuple[int, SipURI]],
        aor: str,
    ) -> Targets | None:
        """Where the contacts of a 3xx lead that a phone of this user answered; None: nowhere."""
        by_q: dict[int, list[Destination]] = {}
        found = ""
        for q, uri in contacts:
            try:
                targets = await self.divert(request, context, aor, uri, "deflection")
            except Refused:
                continue
            if targets is not None:
                found = found or targets.aor
                by_q.setdefault(q, []).extend([one for group in targets.groups for one in group])
        return Targets([by_q[q] for q in sorted(by_q, reverse=True)], aor=found) if by_q else None

    async def divert(
        self, request: Request, context: RouteContext, aor: str, uri: SipURI, reason: str
    ) -> Targets | None:
        """Where a call goes that a user of ours sends on to another URI; None when it may not go there."""
        proxy = self.proxy
        by = parse_uri(f"sip:{aor}")
        if not isinstance(by, SipURI):
            return None
        trail = (*context.trail, Step(by, uri, reason))
        if len(trail) + count_diversions(request) > MOST_DIVERSIONS:
            return None
        if address_key(uri) in {address_key(step.by) for step in trail}:
            return None
        if not proxy.domains.serves(uri) and proxy.settings.authenticate is False:
            return None
        copy = request.copy()
        copy.set_uri(uri.for_request_line())
        incoming = context.diverted(aor, trail)
        found = await proxy.inbound.ask(copy, incoming)
        if proxy.limits is not None and request.method == "INVITE":
            try:
                proxy.limits.admit(copy, found, incoming)
            except Refused:
                return None
        return self._vouched(found, trail)

    def _vouched(self, targets: Targets, trail: tuple[Step, ...]) -> Targets:
        """The targets, for whoever called, each with how the call got there."""
        groups = [[one.after(trail) for one in group] for group in targets.groups]
        on_failure = targets.on_failure

        async def failed(status: int, response: Response | None) -> Targets | None:
            found = on_failure(status, response) if on_failure is not None else None
            if found is not None and not isinstance(found, Targets):
                found = await found
            return None if found is None else self._vouched(found, trail)

        return Targets(
            groups,
            go_on=targets.go_on,
            on_failure=None if on_failure is None else failed,
            aor=targets.aor,
            outs=targets.outs,
            vouched=True,
        )


async def _ready(found: Any) -> Targets:
    targets: Targets = found if isinstance(found, Targets) else await found
    return targets
