"""Where a request is to go: the answer of a routing decision."""

from __future__ import annotations

from collections.abc import Iterable

from rvoip.protocols.sip.uri import SipURI

__all__ = ["Destination", "Refused", "Targets", "one_flow_each"]


class Destination:
    """One place to forward to (an element of RFC 3261's target set).

    `uri` becomes the Request-URI; `route` is put on top of the Route set (the Path of a binding, RFC
    3327); `flow_token` names the flow that the contact registered on, to be used in place of a
    resolution of `uri`; `flow_only` says that nothing but that flow reaches it (RFC 5626 section 5.3);
    `q` is its preference in thousandths. `instance` names the device that this is one flow of, and
    `others` are the flows to try when this one fails.
    """

    __slots__ = ("flow_only", "flow_token", "instance", "others", "q", "route", "uri")

    def __init__(
        self,
        uri: SipURI,
        route: tuple[str, ...] = (),
        flow_token: str | None = None,
        q: int = 1000,
        flow_only: bool = False,
        instance: str = "",
        others: tuple[Destination, ...] = (),
    ) -> None:
        self.uri = uri
        self.route = route
        self.flow_token = flow_token
        self.flow_only = flow_only
        self.q = q
        self.instance = instance
        self.others = others

    @property
    def secure(self) -> bool:
        """Whether it is reached by TLS."""
        token = self.flow_token
        if token is not None and not self.route:
            return token.startswith("tls/")
        return self.uri.secure or self.uri.transport == "tls"

    def __repr__(self) -> str:
        return f"<Destination {self.uri}>"


class Targets:
    """Destinations in groups: those of a group are tried at once, the groups one after the other."""

    __slots__ = ("groups",)

    def __init__(self, groups: Iterable[Iterable[Destination]]) -> None:
        self.groups: list[list[Destination]] = [made for made in (list(group) for group in groups) if made]

    @classmethod
    def parallel(cls, destinations: Iterable[Destination]) -> Targets:
        """All at once."""
        return cls([destinations])

    @classmethod
    def sequential(cls, destinations: Iterable[Destination]) -> Targets:
        """By falling q, those of equal q at once (RFC 3261 section 16.6)."""
        by_q: dict[int, list[Destination]] = {}
        for destination in destinations:
            by_q.setdefault(destination.q, []).append(destination)
        return cls([by_q[q] for q in sorted(by_q, reverse=True)])

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


class Refused(Exception):
    """A routing decision not to forward: what to answer instead.

    `stateless` refusals leave no transaction behind: the request is looked at again when it comes again.
    """

    def __init__(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        stateless: bool = False,
    ) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = tuple(headers)
        self.stateless = stateless
