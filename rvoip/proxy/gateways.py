"""Gateways and sets of them: which one takes a request, which ones come after it, and how they fare.

A machine: it is told the time and the randomness, and sends nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.bounded import Recent
from rvoip.proxy.algorithms import rank
from rvoip.proxy.health import ACTIVE, PROBING, Health
from rvoip.proxy.loads import Loads
from rvoip.proxy.rewrite import Rewrite
from rvoip.proxy.statuses import parse_statuses
from rvoip.proxy.targets import Destination, Refused, Targets

__all__ = ["ALIVE", "FAILOVER", "Gateway", "GatewaySet", "Gateways", "SetRules"]

FAILOVER = parse_statuses(("408", "5xx"))
"""Final statuses after which the next gateway is tried, unless the set says otherwise."""
ALIVE = parse_statuses(("2xx", "3xx", "400-407", "409-499", "501", "505", "513", "6xx"))
"""Answers to OPTIONS that show a gateway to be well, unless the set says otherwise."""

_UNWELL = frozenset((408, 503))
"""Final statuses of calls that count as failures of the gateway; others may be the callee's."""


class SetRules:
    """What is decided for all gateways of a set; see `[[proxy.gateway_set]]`. Times are in seconds."""

    __slots__ = (
        "algorithm",
        "alive",
        "fail_after",
        "failover",
        "keep_uri",
        "patience",
        "ping_from",
        "probe",
        "recover_after",
        "rest",
        "ring",
        "tries",
    )

    def __init__(
        self,
        algorithm: str = "priority",
        *,
        probe: float = 0.0,
        alive: frozenset[int] = ALIVE,
        failover: frozenset[int] = FAILOVER,
        fail_after: int = 3,
        recover_after: int = 1,
        rest: float = 60.0,
        patience: float = 2.0,
        ring: float = 0.0,
        tries: int = 0,
        ping_from: str = "",
        keep_uri: bool = False,
    ) -> None:
        self.algorithm = algorithm
        self.probe = probe
        self.alive = alive
        self.failover = failover
        self.fail_after = fail_after
        self.recover_after = recover_after
        self.rest = rest
        self.patience = patience
        """How long a gateway may say nothing at all before the next is tried."""
        self.ring = ring
        self.tries = tries
        """How many gateways one request is sent to at most; 0: all."""
        self.ping_from = ping_from
        """From of the OPTIONS that ask how it is; empty: our own address."""
        self.keep_uri = keep_uri
        """Whether the Request-URI stays, and only the next hop is the gateway."""


class Gateway:
    """One gateway of a set."""

    __slots__ = (
        "attrs",
        "health",
        "id",
        "latency",
        "limit",
        "loads",
        "priority",
        "rewrite",
        "set_name",
        "uri",
        "weight",
    )

    def __init__(
        self,
        set_name: str,
        name: str,
        uri: SipURI,
        *,
        weight: int = 1,
        priority: int = 0,
        limit: int = 0,
        attrs: Mapping[str, str] | None = None,
        rewrite: Rewrite | None = None,
    ) -> None:
        self.set_name = set_name
        self.id = f"{set_name}:{name}"
        self.uri = uri
        """Where it is: what requests are sent to."""
        self.weight = weight
        self.priority = priority
        self.limit = limit
        """Calls that it takes at once; 0: as many as come."""
        self.attrs = dict(attrs or {})
        self.rewrite = rewrite
        self.latency = float("inf")
        self.health = Health(0.0)
        self.loads: Loads | None = None

    def __repr__(self) -> str:
        return f"<Gateway {self.id} {self.health.state}>"

    @property
    def calls(self) -> int:
        """Calls that it has at present, those that are being set up among them."""
        return 0 if self.loads is None else self.loads.of(self.id)

    def takes(self, call_id: str) -> bool:
        """Whether it takes this call, or has it: it may come again, with credentials."""
        if not 0 < self.limit <= self.calls:
            return True
        return self.loads is not None and self.loads.has(call_id, self.id)


class GatewaySet:
    """Gateways that are as good as one another, or stand in for one another."""

    __slots__ = ("_turn", "_turns", "gateways", "name", "rules")

    def __init__(self, name: str, rules: SetRules, gateways: Iterable[Gateway]) -> None:
        self.name = name
        self.rules = rules
        self.gateways = list(gateways)
        self._turn = 0
        # Of each Call-ID: a call that comes again, with credentials this time, is no other one.
        self._turns: Recent[str, int] = Recent(4096)

    def choose(self, key: str, call_id: str, now: float, random: Callable[[], float]) -> list[Gateway]:
        """The gateways to try for a call, in order; none when all are out of order or full."""
        turn = self._turns.find_or(call_id, self._next_turn)
        fit = [
            one for one in self.gateways if one.health.look(now) in (ACTIVE, PROBING) and one.takes(call_id)
        ]
        ranked = rank(self.rules.algorithm, fit, key, turn, random)
        return ranked[: self.rules.tries] if self.rules.tries else ranked

    def _next_turn(self, call_id: str) -> int:
        self._turn += 1
        return self._turn - 1


class Gateways:
    """All sets; how routes reach them, and the operator. `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float], random: Callable[[], float]) -> None:
        self.sets: dict[str, GatewaySet] = {}
        self.loads = Loads(now)
        self._now = now
        self._random = random
        self._by_id: dict[str, Gateway] = {}

    def replace(self, sets: Iterable[GatewaySet]) -> None:
        """Use these sets from now on; gateways that were there before keep their state and calls."""
        before, now = self._by_id, self._now()
        self.sets = {one.name: one for one in sets}
        self._by_id = {}
        for group in self.sets.values():
            rules = group.rules
            for gateway in group.gateways:
                known = before.get(gateway.id)
                if known is not None and known.uri == gateway.uri:
                    gateway.health, gateway.latency = known.health, known.latency
                else:
                    gateway.health = Health(now)
                gateway.health.configure(rules.fail_after, rules.recover_after, rules.rest, rules.probe > 0)
                gateway.loads = self.loads
                self._by_id[gateway.id] = gateway

    def __iter__(self) -> Any:
        return iter(self._by_id.values())

    def targets(self, name: str, request: Request, uri: SipURI, **options: Any) -> Targets:
        """Where a request goes by way of a set, with `uri` as its Request-URI but for the gateway's host.

        `options` are those of `Targets` and "headers". Raises `Refused` 503 when no gateway is left.
        """
        group = self.sets.get(name)
        if group is None:
            raise Refused(503, "No gateway", stateless=True)  # the set was taken away while the call rang
        rules = group.rules
        headers = options.pop("headers", ())
        key = hash_key(rules.algorithm, request, uri)
        chosen = group.choose(key, request.call_id, self._now(), self._random)
        if not chosen:
            raise Refused(503, "No gateway", headers=(("Retry-After", "10"),), stateless=True)
        made = [self._destination(one, rules, request, uri, headers) for one in chosen]
        groups = [made] if rules.algorithm == "parallel" else [[one] for one in made]
        return Targets(groups, go_on=rules.failover, **options)

    def _destination(
        self,
        gateway: Gateway,
        rules: SetRules,
        request: Request,
        uri: SipURI,
        headers: tuple[tuple[str, str], ...],
    ) -> Destination:
        place = gateway.uri
        if gateway.rewrite is not None:
            uri = gateway.rewrite.uri(uri)
        call_id = request.call_id if request.method == "INVITE" else ""

        def begun() -> None:
            if call_id:
                self.loads.began(call_id, gateway.id)

        def done(status: int) -> None:
            self.done(gateway, status, call_id)

        invite = request.method == "INVITE"
        if not rules.keep_uri:
            uri = SipURI(place.scheme, uri.user, place.host, place.port, _merged(uri, place))
        return Destination(
            uri,
            next_hop=place,
            timeout=rules.ring if invite else 0.0,
            patience=rules.patience,
            headers=headers,
            begun=begun,
            done=done,
        )

    def done(self, gateway: Gateway, status: int, call_id: str = "") -> None:
        """A request that went to a gateway ended with this status: 408 when nothing came back."""
        now = self._now()
        if status in _UNWELL:
            gateway.health.failed(now)
        elif status != 487:
            gateway.health.succeeded(now)
        if call_id:
            if status < 300:
                self.loads.answered(call_id, gateway.id)
            else:
                self.loads.ended(call_id, gateway.id)

    def probed(self, gateway: Gateway, status: int, latency: float, rest: float | None = None) -> None:
        """A probe was answered after `latency` seconds, or not (408).

        `rest`: the gateway asked for so many seconds of peace.
        """
        group = self.sets.get(gateway.set_name)
        alive = group.rules.alive if group is not None else ALIVE
        now = self._now()
        if status in alive:
            known = gateway.latency
            gateway.latency = latency if known == float("inf") else 0.8 * known + 0.2 * latency
            gateway.health.succeeded(now)
        else:
            gateway.health.failed(now, rest)

    # For the operator.

    def gateways(self) -> list[dict[str, Any]]:
        """Each gateway with what is known of it, for an API or a command."""
        now = self._now()
        return [
            {
                "id": one.id,
                "set": one.set_name,
                "uri": str(one.uri),
                "state": one.health.look(now),
                "since": max(0.0, now - one.health.since),
                "failures": one.health.failures,
                "latency": None if one.latency == float("inf") else one.latency,
                "calls": one.calls,
                "limit": one.limit,
                "weight": one.weight,
                "priority": one.priority,
                "attrs": dict(one.attrs),
            }
            for one in self._by_id.values()
        ]

    def set_state(self, id: str, state: str) -> bool:
        """Put a gateway into a state; False when there is none of this id. ValueError for no state."""
        gateway = self._by_id.get(id)
        if gateway is None:
            return False
        gateway.health.set_state(state, self._now())
        return True


def hash_key(algorithm: str, request: Request, uri: SipURI) -> str:
    """What of a request decides where it goes, for the algorithms that hash."""
    if algorithm == "hash_call_id":
        return request.call_id
    if algorithm == "hash_from":
        return _aor(request.from_.uri)
    if algorithm == "hash_to":
        return _aor(request.to.uri)
    if algorithm == "hash_uri":
        return uri.aor
    return ""


def _aor(uri: Any) -> str:
    return str(uri.aor)


def _merged(uri: SipURI, place: SipURI) -> tuple[tuple[str, str | None], ...]:
    """The parameters of the new Request-URI: the number's own, and the gateway's transport."""
    kept = tuple(
        pair for pair in uri.params if pair[0].lower() in ("user", "phone-context", "isub", "npdi", "rn")
    )
    return kept + tuple(pair for pair in place.params if pair[0].lower() not in ("lr", "user"))
