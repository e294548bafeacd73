"""Routes, gateways, aliases and peers as the tables of `[proxy]` and the files that they name say.

Each function raises `ConfigError` with the key of a mistake.
"""

from __future__ import annotations

import ipaddress
import re
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rvoip.common.errors import ConfigError
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import is_token
from rvoip.protocols.sip.names import KNOWN
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.proxy.algorithms import WEIGHTED
from rvoip.proxy.aliases import AliasError, Aliases, alias_target, read_aliases
from rvoip.proxy.dispatcher_list import DispatcherListError, Entry, read_dispatcher_list
from rvoip.proxy.gateways import Gateway, GatewaySet, SetRules
from rvoip.proxy.health import ACTIVE
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.pattern import Pattern, PatternError
from rvoip.proxy.peers import Peer
from rvoip.proxy.rewrite import Rewrite, TargetURI
from rvoip.proxy.routes import Route
from rvoip.proxy.statuses import parse_statuses
from rvoip.services.config import Proxy as ProxyTable
from rvoip.services.routing_tables import GatewaySetTable, GatewayTable, PeerTable, RouteTable

__all__ = ["aliases_of", "peers_of", "plan_of", "routes_of", "sets_of"]

_PROBE_DEFAULT = 30.0

_TRANSPORTS = ("udp", "tcp", "tls", "ws", "wss")

_COST = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?\Z", re.ASCII)

_OURS = frozenset(
    "via from to call-id cseq max-forwards route record-route contact content-length content-type".split()
)
"""Headers that requests stand and fall with."""


def plan_of(table: ProxyTable, file: str) -> NumberPlan:
    """How callers dial."""
    numbers = table.numbers
    try:
        return NumberPlan(
            numbers.country, numbers.international, numbers.national, numbers.local, numbers.shortest
        )
    except ValueError as error:
        raise ConfigError(file, "proxy.numbers", str(error)) from None


def peers_of(table: ProxyTable, file: str) -> list[Peer]:
    """The peers."""
    _check_names([one.name for one in table.peer], file, "proxy.peer")
    peers = [_peer(one, file, number) for number, one in enumerate(table.peer)]
    seen: set[tuple[object, str]] = set()
    for number, (one, peer) in enumerate(zip(table.peer, peers)):
        key = f"proxy.peer[{number}]"
        if one.refuse and (one.call_out or one.identity):
            raise ConfigError(file, f"{key}.refuse", "leaves no rights to call_out or identity", "keep one")
        for place, network in enumerate(peer.networks):
            ways = {(network, transport) for transport in one.transports or _TRANSPORTS}
            if ways & seen:
                reason = f"{network} is another peer's too"
                raise ConfigError(file, f"{key}.networks[{place}]", reason, "keep one")
        seen.update((n, t) for n in peer.networks for t in one.transports or _TRANSPORTS)
    return peers


def sets_of(table: ProxyTable, plan: NumberPlan, file: str) -> tuple[list[GatewaySet], dict[str, str]]:
    """The gateway sets; and the states in which lists want gateways to begin, by their ids."""
    _check_names([one.name for one in table.gateway_set], file, "proxy.gateway_set")
    states: dict[str, str] = {}
    sets = [
        _gateway_set(one, plan, file, f"proxy.gateway_set[{number}]", states)
        for number, one in enumerate(table.gateway_set)
    ]
    return sets, states


def routes_of(table: ProxyTable, plan: NumberPlan, sets: set[str], peers: set[str], file: str) -> list[Route]:
    """The routes, which may lead to these sets and be for these peers."""
    routes = []
    for number, one in enumerate(table.route):
        key = f"proxy.route[{number}]"
        if one.set and one.set not in sets:
            raise ConfigError(file, f"{key}.set", f"there is no gateway set {one.set!r}")
        if one.peer and one.peer not in peers:
            raise ConfigError(file, f"{key}.peer", f"there is no peer {one.peer!r}")
        routes.append(_route(one, plan, file, key))
    if table.route_file:
        routes += _listed_routes(table.route_file, sets, plan, file)
    return routes


def _check_names(names: Iterable[str], file: str, key: str) -> None:
    seen: set[str] = set()
    for number, name in enumerate(names):
        if not name or name in seen:
            reason = f"{name!r} is there twice" if name else "is empty"
            raise ConfigError(file, f"{key}[{number}].name", reason)
        seen.add(name)


def _checked(file: str, key: str, make: Callable[[], Any]) -> Any:
    """What `make` makes, its errors as a `ConfigError`."""
    try:
        return make()
    except (PatternError, SIPParseError, ValueError) as error:
        raise ConfigError(file, key, getattr(error, "reason", "") or str(error)) from None


def _route(one: RouteTable, plan: NumberPlan, file: str, key: str) -> Route:
    pattern = _checked(file, f"{key}.regex", lambda: Pattern(one.regex)) if one.regex else None
    rewrite = _checked(
        file, f"{key}.replace", lambda: Rewrite(plan, one.number, pattern, one.replace, one.strip, one.add)
    )
    groups = pattern.groups if pattern is not None else 0
    to = _checked(file, f"{key}.to", lambda: TargetURI(one.to, groups)) if one.to else None
    for name, value in one.headers.items():
        _check_header(name, value, file, f"{key}.headers")
    route: Route = _checked(
        file,
        key,
        lambda: Route(
            rewrite,
            domain=one.domain,
            prefix=one.prefix,
            regex=pattern,
            to=to,
            set_name=one.set,
            peer=one.peer,
            public=one.public,
            cost=one.cost,
            methods=one.methods,
            headers=one.headers.items(),
        ),
    )
    return route


def _listed_routes(path: str, sets: set[str], plan: NumberPlan, file: str) -> list[Route]:
    """The routes of a file: lines `PREFIX,SET,COST` or `PREFIX,URI,COST`."""
    key = "proxy.route_file"
    routes = []
    plain = Rewrite(plan)
    for number, line in enumerate(_text_of(path, file, key).split("\n"), 1):
        words = [word.strip() for word in line.partition("#")[0].split(",")]
        if words == [""]:
            continue
        if len(words) not in (2, 3) or not words[0] or not _COST.match(words[-1] if words[2:] else "0"):
            raise ConfigError(file, key, f"{path}, line {number}: expected PREFIX,SET,COST")
        prefix, where, *cost = words
        if where not in sets and not where.startswith(("sip:", "sips:")):
            raise ConfigError(file, key, f"{path}, line {number}: there is no gateway set {where!r}")
        to = None
        if where not in sets:
            try:
                to = TargetURI(where)
            except (PatternError, SIPParseError):
                raise ConfigError(file, key, f"{path}, line {number}: {where!r} is no SIP URI") from None
        routes.append(
            Route(
                plain,
                prefix=prefix,
                to=to,
                set_name="" if to is not None else where,
                cost=float(cost[0]) if cost else 0.0,
                name=prefix,
            )
        )
    return routes


def _text_of(path: str, file: str, key: str) -> str:
    try:
        return Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(file, key, f"{path}, line {line}: is not UTF-8", "save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(file, key, f"{path} cannot be read: {error.strerror}") from None


def _check_header(name: str, value: str, file: str, key: str) -> None:
    if not is_token(name) or not value.isprintable():
        raise ConfigError(file, key, f"{name!r} cannot be written as a header")
    if (KNOWN.get(name) or name.lower()) in _OURS:
        raise ConfigError(file, key, f"{name} is not for a route to set")


def _gateway_set(
    one: GatewaySetTable, plan: NumberPlan, file: str, key: str, states: dict[str, str]
) -> GatewaySet:
    probe = one.probe
    rules = SetRules(
        one.algorithm,
        probe=_PROBE_DEFAULT if probe is True else max(0.0, float(probe)),
        alive=_checked(file, f"{key}.alive", lambda: parse_statuses(one.alive)),
        failover=_checked(file, f"{key}.failover", lambda: parse_statuses(one.failover)),
        fail_after=one.fail_after,
        recover_after=one.recover_after,
        rest=one.rest,
        patience=one.patience,
        ring=one.ring,
        tries=one.tries,
        ping_from=one.probe_from,
        keep_uri=one.keep_uri,
    )
    if one.algorithm == "latency" and not rules.probe:
        raise ConfigError(file, f"{key}.algorithm", "latency needs probe", "set that to true")
    if one.probe_from:
        _checked(file, f"{key}.probe_from", lambda: parse_uri(one.probe_from))
    gateways: list[Gateway] = []
    if one.file:
        if one.gateways:
            raise ConfigError(file, f"{key}.file", "and gateways are both there", "keep one of them")
        for entry in _dispatcher_list(one, file, f"{key}.file"):
            gateway = entry.gateway(one.name)
            gateways.append(gateway)
            if entry.state != ACTIVE:
                states[gateway.id] = entry.state
    for number, written in enumerate(one.gateways):
        gateways.append(_gateway(written, one.name, plan, file, f"{key}.gateways[{number}]"))
    if not gateways:
        raise ConfigError(file, key, f"{one.name!r} has no gateways")
    _check_weights(one, gateways, file, key)
    seen: set[str] = set()
    for gateway in gateways:
        if gateway.id in seen:
            raise ConfigError(file, key, f"{gateway.id} is there twice", "give it a name")
        seen.add(gateway.id)
    return GatewaySet(one.name, rules, gateways)


def _check_weights(one: GatewaySetTable, gateways: list[Gateway], file: str, key: str) -> None:
    """A weight of 0 takes a gateway's share away; one of them has to have one.

    A `dispatcher.list` may say so where the algorithm asks for no weights.
    """
    if one.file and one.algorithm not in WEIGHTED:
        return
    if not any(gateway.weight for gateway in gateways):
        where = "file" if one.file else "gateways"
        raise ConfigError(file, f"{key}.{where}", "every weight is 0", "give one of them a weight above 0")


def _dispatcher_list(one: GatewaySetTable, file: str, key: str) -> list[Entry]:
    text = _text_of(one.file, file, key)
    try:
        entries = read_dispatcher_list(text)
    except DispatcherListError as error:
        raise ConfigError(file, key, f"{one.file}, {error}") from None
    wanted = str(one.setid) if one.setid is not None else one.name if one.name.isdigit() else None
    return entries if wanted is None else [entry for entry in entries if entry.set_id == wanted]


def _gateway(written: str | GatewayTable, set_name: str, plan: NumberPlan, file: str, key: str) -> Gateway:
    one = GatewayTable(uri=written) if isinstance(written, str) else written
    try:
        uri = parse_uri(one.uri)
    except SIPParseError:
        uri = None
    if not isinstance(uri, SipURI):
        raise ConfigError(file, key, f"{one.uri!r} is no SIP URI")
    rewrite = Rewrite(plan, strip=one.strip, add=one.add) if one.strip or one.add else None
    return Gateway(
        set_name,
        one.name or str(uri).partition(":")[2],
        uri,
        weight=one.weight,
        priority=one.priority,
        limit=one.max_calls,
        rewrite=rewrite,
    )


def _peer(one: PeerTable, file: str, number: int) -> Peer:
    networks = []
    for place, text in enumerate(one.networks):
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise ConfigError(
                file, f"proxy.peer[{number}].networks[{place}]", f"{text!r} is no address or network"
            ) from None
    return Peer(
        one.name,
        networks,
        call_out=one.call_out,
        identity=one.identity,
        refuse=one.refuse,
        transports=one.transports,
    )


def aliases_of(table: ProxyTable, plan: NumberPlan, file: str) -> Aliases:
    """The aliases: those of the tables count before those of the file, these before those of the store."""
    names: dict[str, tuple[SipURI, ...]] = {}
    if table.alias_store:
        names.update(_stored_aliases(table.alias_store, file))
    if table.alias_file:
        text = _text_of(table.alias_file, file, "proxy.alias_file")
        try:
            names.update(read_aliases(text))
        except AliasError as error:
            raise ConfigError(file, "proxy.alias_file", f"{table.alias_file}, {error}") from None
    for number, one in enumerate(table.alias):
        targets = [one.to] if isinstance(one.to, str) else one.to
        try:
            names[one.name] = tuple([alias_target(text) for text in targets])
        except AliasError as error:
            raise ConfigError(file, f"proxy.alias[{number}].to", str(error)) from None
    return Aliases(names, plan)


def _stored_aliases(url: str, file: str) -> dict[str, tuple[SipURI, ...]]:
    """The rows of an SQLite table; several of a name are several targets."""
    scheme, _, path = url.partition(":")
    if scheme != "sqlite":
        raise ConfigError(file, "proxy.alias_store", f"{scheme!r} is not sqlite:PATH")
    found: dict[str, tuple[SipURI, ...]] = {}
    try:
        connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
        try:
            for name, target in connection.execute("SELECT name, target FROM aliases ORDER BY rowid"):
                found[str(name)] = (*found.get(str(name), ()), alias_target(str(target)))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ConfigError(file, "proxy.alias_store", f"{path} cannot be read: {error}") from None
    except AliasError as error:
        raise ConfigError(file, "proxy.alias_store", str(error)) from None
    return found
