"""The operator's static routes: which one a Request-URI takes.

A route asks for a domain, a number's prefix, a regular expression, or several of these: all must fit. Those
with a regex are looked at first, in their order; then those with a prefix, the longest first; then those with
a domain alone. All routes of the rank that fits best make a chain by rising cost: the first is taken, the
others when it fails.
"""

from __future__ import annotations

from collections.abc import Iterable

from rvoip.protocols.sip.names import KNOWN
from rvoip.protocols.sip.uri import SipURI
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.pattern import Pattern
from rvoip.proxy.rewrite import Rewrite, TargetURI, dialled

__all__ = ["Found", "Route", "RouteTable"]


class Route:
    """One route: where it applies, and where it leads, a URI (`to`) or a gateway set (`set_name`).

    `domain` "" stands for the domains served here; `prefix` is compared with the number as it was dialled
    and, where it begins with +, as E.164. `peer` "" stands for everybody. `public`: callers need not be our
    own users.
    """

    __slots__ = (
        "cost",
        "domain",
        "headers",
        "methods",
        "name",
        "peer",
        "prefix",
        "public",
        "regex",
        "rewrite",
        "set_name",
        "to",
    )

    def __init__(
        self,
        rewrite: Rewrite,
        *,
        domain: str = "",
        prefix: str = "",
        regex: Pattern | None = None,
        to: TargetURI | None = None,
        set_name: str = "",
        peer: str = "",
        public: bool = False,
        cost: float = 0.0,
        methods: Iterable[str] = (),
        headers: Iterable[tuple[str, str]] = (),
        name: str = "",
    ) -> None:
        if (to is None) is not bool(set_name):
            raise ValueError("a route leads to a URI or to a set, one of both")
        if not (domain or prefix or regex):
            raise ValueError("a route needs a domain, a prefix or a regex")
        self.rewrite = rewrite
        self.domain = domain.lower().rstrip(".")
        self.prefix = prefix
        self.regex = regex
        self.to = to
        self.set_name = set_name
        self.peer = peer
        self.public = public
        self.cost = cost
        self.methods = frozenset(methods)
        self.headers = tuple([(KNOWN.get(key) or key.lower(), value) for key, value in headers])
        self.name = name

    def __repr__(self) -> str:
        return f"<Route {self.name or self.domain + self.prefix}>"


class Found:
    """A route that fits, with the groups that its regex found."""

    __slots__ = ("groups", "route")

    def __init__(self, route: Route, groups: tuple[str | None, ...] = ()) -> None:
        self.route = route
        self.groups = groups


class RouteTable:
    """All routes, ready to be searched; `plan` tells how callers write numbers."""

    def __init__(self, routes: Iterable[Route], plan: NumberPlan) -> None:
        self.routes = list(routes)
        self.plan = plan
        self._regexes = [one for one in self.routes if one.regex is not None]
        self._prefixes: dict[str, list[Route]] = {}
        self._domains: dict[str, list[Route]] = {}
        for one in self.routes:
            if one.regex is None and one.prefix:
                self._prefixes.setdefault(one.prefix, []).append(one)
            elif one.regex is None:
                self._domains.setdefault(one.domain, []).append(one)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        self.peers = {one.peer for one in self.routes if one.peer}
        """Names of peers that routes ask for."""

    def __len__(self) -> int:
        return len(self.routes)

    def find(self, uri: SipURI, own: bool, method: str = "INVITE", peer: str = "") -> list[Found]:
        """The routes for a Request-URI, the cheapest first; `own` says that its domain is served here."""
        user = dialled(uri)
        forms = [user]
        number = self.plan.e164(user) if user else None
        if number is not None and number != user:
            forms.append(number)

        def fits(route: Route) -> bool:
            if route.domain:
                if route.domain != uri.host:
                    return False
            elif not own:
                return False
            if route.peer and route.peer != peer:
                return False
            return not route.methods or method in route.methods

        for route in self._regexes:
            if fits(route) and (not route.prefix or any(form.startswith(route.prefix) for form in forms)):
                groups = self._matched(route, forms)
                if groups is not None:
                    return [Found(route, groups)]
        for length in self._lengths:
            found: list[Route] = []
            for form in forms:
                found += [one for one in self._prefixes.get(form[:length], ()) if fits(one)]
            if found:
                return _chain(found)
        return _chain([one for one in self._domains.get(uri.host, ()) if fits(one)])

    def _matched(self, route: Route, forms: list[str]) -> tuple[str | None, ...] | None:
        if route.regex is not None:
            for form in forms:
                groups = route.regex.search(form)
                if groups is not None:
                    return groups
        return None


def _chain(routes: list[Route]) -> list[Found]:
    return [Found(one) for one in sorted(dict.fromkeys(routes), key=lambda one: one.cost)]
