"""
Which transport, address and port a URI or a Via leads to (RFC 3263, RFC 2782): decisions without lookups.

A `Search` says what DNS must be asked (`wanted`), takes the answers, and ends in a `Plan`: the targets with
their priorities and weights. A plan is ordered anew for each request, so that the weights spread the load.

Where this differs from RFC 3263:

- ``maddr`` counts when it is a numeric address that one host can have, and is ignored otherwise: a name or a
  multicast group in it is only ever an attempt to have messages sent elsewhere. TLS checks the name of the
  host part all the same.
- NAPTR replacements may lead to any domain, because a certificate must always be valid for the host part of
  the URI (RFC 5922 section 4), not for what DNS says.
- When all servers of one transport are exhausted, those of the next one follow.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from rvoip.protocols.sip.uri import URI, SipURI
from rvoip.protocols.transport.addresses import canonical_host, default_port, unusable
from rvoip.protocols.transport.dns_records import (
    MAX_ADDRESSES,
    NAPTR,
    SRV,
    Answer,
    Outcome,
    Question,
    host_name,
)
from rvoip.protocols.transport.errors import TransportError
from rvoip.protocols.transport.flow import Target

__all__ = ["LocateError", "Plan", "Search", "search_for_uri"]

_SERVICES = {"SIP+D2U": "UDP", "SIP+D2T": "TCP", "SIPS+D2T": "TLS"}
_PREFIXES = {"UDP": "_sip._udp.", "TCP": "_sip._tcp.", "TLS": "_sips._tcp."}
_KINDS = {4: "A", 6: "AAAA"}


class LocateError(TransportError):
    """There is nowhere to send to; `status` is what the request deserves (RFC 3261 sections 16.6 and 21)."""

    def __init__(self, reason: str, status: int = 503) -> None:
        super().__init__(reason)
        self.status = status


class _Server(NamedTuple):
    """An SRV record, or what stands in for one: its addresses by family, the preferred one first."""

    weight: int
    families: tuple[tuple[Target, ...], ...]


class Plan:
    """
    Where a name leads: tiers of servers. All of a tier are tried before the next one, in a random order that
    follows their weights.
    """

    __slots__ = ("_single", "_tiers")

    def __init__(self, tiers: Sequence[Sequence[_Server]]) -> None:
        self._tiers = tiers
        targets = [
            target for tier in tiers for server in tier for family in server.families for target in family
        ]
        self._single = targets if len(targets) == 1 else None

    def order(self, rng: random.Random) -> list[Target]:
        """The targets, each once, in the order in which to try them."""
        if self._single is not None:
            return self._single[:]
        ordered: dict[Target, None] = {}
        for tier in self._tiers:
            for server in tier if len(tier) == 1 else _by_weight(tier, rng):
                for family in server.families:
                    if len(family) == 1:
                        ordered[family[0]] = None
                    else:
                        for target in rng.sample(family, len(family)):
                            ordered.setdefault(target)
        return list(ordered)


def _by_weight(tier: Sequence[_Server], rng: random.Random) -> list[_Server]:
    """The servers of one priority in the order of RFC 2782: a weight of 0 is a small chance, not none."""
    left = sorted(tier, key=lambda server: server.weight > 0)
    ordered = []
    while len(left) > 1:
        sums = list(accumulate(server.weight for server in left))
        drawn = rng.randint(0, sums[-1])
        ordered.append(left.pop(next(index for index, running in enumerate(sums) if running >= drawn)))
    return ordered + left


class Search:
    """
    A machine, from a host to a plan. Ask DNS all of `wanted`, hand in `answered`, until nothing is wanted.

    `transports` are those that may be used, in order of preference, `fallback` the one where DNS names none;
    `naptr` says whether the domain may choose. `families` are 4 and 6 in order of preference.
    """

    def __init__(
        self,
        host: str,
        port: int | None,
        transports: Sequence[str],
        *,
        naptr: bool,
        fallback: str,
        server_name: str,
        families: Sequence[int],
    ) -> None:
        self.wanted: tuple[Question, ...] = ()
        self._host = host
        self._transports = transports
        self._fallback = fallback
        self._families = families
        self._server_name = server_name
        self._failure: Outcome | None = None
        self._unusable = ""
        self._plan: Plan | None = None
        # What is being worked out: per transport, the SRV records whose targets' addresses are wanted.
        self._services: list[tuple[str, str]] = []
        self._servers: list[tuple[str, list[SRV]]] = []
        numeric = canonical_host(host)
        if numeric is not None:
            self._end_with(fallback, numeric, port)
            return
        name = host_name(host)
        if name is None:
            raise LocateError(f"{host} is not a host name")
        self._name = name
        if port is not None:
            self._ask_addresses([(fallback, [SRV(0, 0, port, name)])])
        elif naptr:
            self.wanted = (Question(name, "NAPTR"),)
        else:
            self._ask_services([(transport, _PREFIXES[transport] + name) for transport in transports])

    def plan(self) -> Plan:
        """The outcome, when nothing is wanted any more; `LocateError` when there is nowhere to send to."""
        if self._plan is None:
            raise LocateError(self._reason())
        return self._plan

    def _reason(self) -> str:
        if self._failure is Outcome.TIMEOUT:
            return f"DNS does not answer for {self._host}"
        if self._failure is not None:
            return f"DNS has no answer for {self._host}"
        if self._unusable:
            return self._unusable
        return f"{self._host} has no address for SIP over {' or '.join(self._transports)}"

    def answered(self, answers: Mapping[Question, Answer]) -> None:
        """Take the answers to all that was wanted."""
        asked, self.wanted = self.wanted, ()
        for question in asked:
            outcome = answers[question].outcome
            if outcome is Outcome.FAILED or outcome is Outcome.TIMEOUT:
                self._failure = outcome
        kind = asked[0].kind
        if kind == "NAPTR":
            self._take_naptr(answers[asked[0]])
        elif kind == "SRV":
            self._take_srv(answers)
        else:
            self._take_addresses(answers)

    # RFC 3263 section 4.1: the transports

    def _take_naptr(self, answer: Answer) -> None:
        self._failure = None  # some servers, and boxes before them, can SRV but not NAPTR
        services: dict[tuple[str, str], None] = {}
        records = [record for record in answer.records if isinstance(record, NAPTR)]
        for record in sorted(records, key=lambda record: (record.order, record.preference)):
            transport = _SERVICES.get(record.service)
            name = host_name(record.replacement)
            if record.flags == "S" and transport in self._transports and transport and name:
                services[transport, name] = None
        if services:
            self._fallback = next(iter(services))[0]
            self._ask_services(list(services))
        else:
            self._ask_services(
                [(transport, _PREFIXES[transport] + self._name) for transport in self._transports]
            )

    def _ask_services(self, services: list[tuple[str, str]]) -> None:
        self._services = services
        self.wanted = tuple(dict.fromkeys(Question(name, "SRV") for _, name in services))

    # RFC 3263 section 4.2: port and address

    def _take_srv(self, answers: Mapping[Question, Answer]) -> None:
        servers: list[tuple[str, list[SRV]]] = []
        refused = False
        for transport, name in self._services:
            records = [record for record in answers[Question(name, "SRV")].records if isinstance(record, SRV)]
            offered = [record for record in records if record.target]
            refused = refused or len(offered) < len(records)
            if offered:
                servers.append((transport, sorted(offered, key=lambda record: record.priority)))
        if servers:
            self._failure = None
            self._ask_addresses(servers)
        elif refused:
            # A target of "." says that the service is decidedly not there (RFC 2782).
            self._failure = None
            self._unusable = f"{self._host} offers no SIP over {' or '.join(self._transports)}"
        elif self._failure is None:
            self._ask_addresses([(self._fallback, [SRV(0, 0, default_port(self._fallback), self._name)])])

    def _ask_addresses(self, servers: list[tuple[str, list[SRV]]]) -> None:
        self._servers = servers
        wanted: dict[Question, None] = {}
        for _, records in servers:
            for record in records:
                name = host_name(record.target)
                if name is not None:
                    for family in self._families:
                        wanted[Question(name, _KINDS[family])] = None
        self.wanted = tuple(wanted)
        if not wanted:
            self._take_addresses({})

    def _take_addresses(self, answers: Mapping[Question, Answer]) -> None:
        tiers: dict[tuple[int, int], list[_Server]] = {}
        left = MAX_ADDRESSES
        for index, (transport, records) in enumerate(self._servers):
            for record in records:
                families = []
                for found in self._addresses(record.target, answers):
                    usable = self._targets(transport, found, record.port)[:left]
                    left -= len(usable)
                    if usable:
                        families.append(tuple(usable))
                if families:
                    tiers.setdefault((index, record.priority), []).append(
                        _Server(record.weight, tuple(families))
                    )
        if tiers:
            self._plan = Plan(list(tiers.values()))

    def _addresses(self, target: str, answers: Mapping[Question, Answer]) -> list[list[str]]:
        """The addresses of an SRV target, a list a family."""
        numeric = canonical_host(target)
        if numeric is not None:
            return [[numeric]]  # not what RFC 2782 allows, but seen
        name = host_name(target)
        if name is None:
            return []
        return [
            [record for record in answers[Question(name, _KINDS[family])].records if isinstance(record, str)]
            for family in self._families
        ]

    def _targets(self, transport: str, addresses: Sequence[str], port: int) -> list[Target]:
        targets = []
        for address in addresses:
            problem = unusable(address, port)
            if problem is None:
                targets.append(
                    Target(transport, address, port, self._server_name if transport == "TLS" else "")
                )
            else:
                self._unusable = f"{self._host}: {problem}"
        return targets

    def _end_with(self, transport: str, numeric: str, port: int | None) -> None:
        written = default_port(transport) if port is None else port
        targets = self._targets(transport, [numeric], written)
        if targets:
            self._plan = Plan([[_Server(0, (tuple(targets),))]])


def search_for_uri(uri: URI, supported: Sequence[str], families: Sequence[int]) -> Search:
    """
    The search for where a request to `uri` goes (RFC 3263 section 4).

    `supported` are the transports ("UDP", "TCP", "TLS") that can be sent on, in order of preference where the
    domain has none. Raises `LocateError`: 416 for a scheme that cannot be followed, 480 for a sips URI where
    there is no TLS (RFC 5630 section 5.3).
    """
    if not isinstance(uri, SipURI):
        raise LocateError(f"the scheme {uri.scheme} leads to no SIP server", 416)
    secure = uri.scheme == "sips"
    if secure and "TLS" not in supported:
        raise LocateError("there is no TLS here for a sips URI", 480)
    usable = ["TLS"] if secure else list(supported)
    if not usable:
        raise LocateError("there is no transport here by which others can be reached")
    written = uri.transport
    host = uri.host
    maddr = uri.param("maddr")
    if maddr:
        numeric = canonical_host(maddr.strip("[]"))
        if numeric is not None and unusable(numeric, 5060) is None:
            host = numeric
    server_name = host_name(uri.host) or "" if canonical_host(uri.host) is None else ""
    if written is None:
        # UDP, or TLS for sips (RFC 3261 section 19.1.2); where these cannot be had, what can.
        fallback = usable[0] if secure or "UDP" not in usable else "UDP"
        return Search(
            host, uri.port, usable, naptr=True, fallback=fallback, server_name=server_name, families=families
        )
    # With sips, "tcp" means TLS over TCP; with sip, "tls" is an old way to say so (RFC 3261 section 26.2.2).
    transport = {"udp": "UDP", "tcp": "TLS" if secure else "TCP", "tls": "TLS"}.get(written)
    if transport is None or transport not in usable:
        raise LocateError(f"{uri.scheme} over {written} cannot be sent from here")
    return Search(
        host,
        uri.port,
        [transport],
        naptr=False,
        fallback=transport,
        server_name=server_name,
        families=families,
    )
