"""Where a request is to go: the answer of a routing decision."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from mypy_extensions import mypyc_attr

from rvoip.protocols.sip.message import Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.diversion import Step

__all__ = ["Destination", "NobodyThere", "OnFailure", "Refused", "Targets", "one_flow_each"]


class Destination:
    """One place to forward to (an element of RFC 3261's target set).

    `uri` becomes the Request-URI; `route` is put on top of the Route set (the Path of a binding, RFC
    3327); `flow_token` names the flow that the contact registered on, to be used in place of a
    resolution of `uri`; `flow_only` says that nothing but that flow reaches it (RFC 5626 section 5.3);
    `q` is its preference in thousandths. `instance` names the device that this is one flow of, and
    `others` are the flows to try when this one fails.

    `next_hop` is resolved and sent to in place of the Route and the Request-URI (RFC 3261 section 16.6
    step 7 lets local policy do that): the address of a gateway. `timeout` is how many seconds an INVITE may
    go without a final answer here, 0 for as long as Timer C lets it; `patience` how many without any answer,
    0 for as long as its transaction lasts. `headers` are set in the request that goes here, in place of those
    of their names; `trail` is how the call was diverted to here. `begun` is called when an attempt here
    begins, `done` once, with its final status: 408 when nothing came, 480 when it rang for too long, 503 when
    it could not be reached, 487 when it was cancelled.
    """

    __slots__ = (
        "begun",
        "done",
        "flow_only",
        "flow_token",
        "headers",
        "instance",
        "next_hop",
        "others",
        "patience",
        "q",
        "route",
        "timeout",
        "trail",
        "uri",
    )

    def __init__(
        self,
        uri: SipURI,
        route: tuple[str, ...] = (),
        flow_token: str | None = None,
        q: int = 1000,
        flow_only: bool = False,
        instance: str = "",
        others: tuple[Destination, ...] = (),
        *,
        next_hop: SipURI | None = None,
        timeout: float = 0.0,
        patience: float = 0.0,
        headers: tuple[tuple[str, str], ...] = (),
        begun: Callable[[], object] | None = None,
        done: Callable[[int], object] | None = None,
    ) -> None:
        self.uri = uri
        self.route = route
        self.flow_token = flow_token
        self.flow_only = flow_only
        self.q = q
        self.instance = instance
        self.others = others
        self.next_hop = next_hop
        self.timeout = timeout
        self.patience = patience
        self.headers = headers
        self.begun = begun
        self.done = done
        self.trail: tuple[Step, ...] = ()

    def after(self, trail: tuple[Step, ...]) -> Destination:
        """The same, reached by way of these diversions, if it does not know of more of them."""
        if len(self.trail) >= len(trail):
            return self
        made = Destination(
            self.uri,
            self.route,
            self.flow_token,
            self.q,
            self.flow_only,
            self.instance,
            self.others,
            next_hop=self.next_hop,
            timeout=self.timeout,
            patience=self.patience,
            headers=self.headers,
            begun=self.begun,
            done=self.done,
        )
        made.trail = trail
        return made

    def is_same(self, other: Destination) -> bool:
        """Whether both are the same device, or the same address of one that does not say which it is."""
        if self.instance and self.instance == other.instance:
            return True
        return self.uri == other.uri and self.route == other.route

    @property
    def secure(self) -> bool:
        """Whether it is reached by TLS."""
        token = self.flow_token
        if token is not None and not self.route:
            return token.startswith(("tls/", "wss/"))
        return self.uri.secure or self.uri.transport == "tls"

    def is_at(self, flow: Flow) -> bool:
        """Whether what comes on a flow comes from there: only UDP shows where a phone listens."""
        if flow.reliable or self.flow_token is not None:
            return self.flow_token == flow.token
        return (self.uri.host, self.uri.port or 5060) == flow.remote

    def __repr__(self) -> str:
        return f"<Destination {self.uri}>"


OnFailure = Callable[[int, "Response | None"], "Targets | Awaitable[Targets | None] | None"]


class Targets:
    """Destinations in groups: those of a group are tried at once, the groups one after the other.

    `go_on` are the final statuses after which the next group is tried; None: all but 6xx (RFC 3261 section
    16.7 step 5). Gateways want (408, 500, 503) or the like, since a callee that is busy is busy through
    each of them. `on_failure` is asked once all groups have failed, with the best status and its response
    (None where there came none), for more Targets: a busy user's voicemail. It gives None when there are
    none. `members_only` says that they are for our own users and peers: whoever has not shown
    credentials is asked for them first, where the bare request would have passed without. `public` says the
    opposite: that a request for a domain that is not served here passes without credentials. `aor` is the
    user of ours whose contacts they are: he may register others while they ring, or be redirected. `outs`
    are the URIs of numbers and addresses elsewhere that are called this way, for limits: none where they
    are contacts of our users; None: the Request-URI, unless there is an `aor`. `vouched` says that whoever
    diverted the call here has answered for it.
    """

    __slots__ = ("aor", "go_on", "groups", "members_only", "on_failure", "outs", "public", "vouched")

    def __init__(
        self,
        groups: Iterable[Iterable[Destination]],
        *,
        go_on: frozenset[int] | None = None,
        on_failure: OnFailure | None = None,
        members_only: bool = False,
        public: bool = False,
        aor: str = "",
        outs: tuple[SipURI, ...] | None = None,
        vouched: bool = False,
    ) -> None:
        self.groups: list[list[Destination]] = [made for made in (list(group) for group in groups) if made]
        self.go_on = go_on
        self.on_failure = on_failure
        self.members_only = members_only
        self.public = public
        self.aor = aor
        self.outs = outs
        self.vouched = vouched

    @classmethod
    def parallel(cls, destinations: Iterable[Destination], aor: str = "") -> Targets:
        """All at once."""
        return cls([destinations], aor=aor)

    @classmethod
    def sequential(cls, destinations: Iterable[Destination], aor: str = "") -> Targets:
        """By falling q, those of equal q at once (RFC 3261 section 16.6)."""
        by_q: dict[int, list[Destination]] = {}
        for destination in destinations:
            by_q.setdefault(destination.q, []).append(destination)
        return cls([by_q[q] for q in sorted(by_q, reverse=True)], aor=aor)

    def __bool__(self) -> bool:
        return bool(self.groups)

    def __len__(self) -> int:
        return sum(len(group) for group in self.groups)


def one_flow_each(destinations: list[Destination]) -> list[Destination]:
    """The destinations, with only the best flow of each device: its others are to be tried after it.

    A device must not ring twice (RFC 5626 section 7). Those of equal q keep their order.
    """
    by_instance: dict[str, list[Destination]] = {}
    for one in destinations:
        if one.instance:
            by_instance.setdefault(one.instance, []).append(one)
    if all(len(flows) == 1 for flows in by_instance.values()):
        return destinations
    kept: list[Destination] = []
    for one in destinations:
        if not one.instance:
            kept.append(one)
            continue
        flows = by_instance.pop(one.instance, None)
        if flows is not None:
            first, *rest = sorted(flows, key=lambda flow: -flow.q)
            kept.append(
                Destination(
                    first.uri,
                    first.route,
                    first.flow_token,
                    first.q,
                    first.flow_only,
                    first.instance,
                    (*first.others, *rest),
                )
            )
    return kept


@mypyc_attr(allow_interpreted_subclasses=True)
class Refused(Exception):
    """A routing decision not to forward: what to answer instead.

    `stateless` refusals leave no transaction behind: the request is looked at again when it comes again.
    ValueError for a reason with a line break, which no response can have.
    """

    def __init__(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        stateless: bool = False,
    ) -> None:
        if reason is not None and ("\r" in reason or "\n" in reason):
            raise ValueError(f"{reason!r} is no reason phrase")
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = tuple(headers)
        self.stateless = stateless


class NobodyThere(Refused):
    """A user of ours has no contact, or there is no such user: 480, 404.

    Strangers get the one answer for both: see `Proxy`.
    """

    def __init__(self, exists: bool) -> None:
        super().__init__(480 if exists else 404, stateless=True)
