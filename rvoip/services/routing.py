"""Where the proxy's requests go, as the configuration says: made from its tables, and made anew on reload."""

from __future__ import annotations

import ipaddress
import random
import sqlite3
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from twisted.application.service import Service

from rvoip.common.errors import ConfigError
from rvoip.common.events import EventBus, Subscription
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import is_token
from rvoip.protocols.sip.names import KNOWN
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.proxy.aliases import AliasError, Aliases, alias_target, read_aliases
from rvoip.proxy.dispatcher_list import DispatcherListError, Entry, read_dispatcher_list
from rvoip.proxy.enum_lookup import EnumLookup
from rvoip.proxy.events import HungUp
from rvoip.proxy.gateways import Gateway, Gateways, GatewaySet, SetRules
from rvoip.proxy.health import ACTIVE
from rvoip.proxy.interfaces import IRouter
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.pattern import Pattern, PatternError
from rvoip.proxy.peers import Peer, Peers
from rvoip.proxy.probe import Prober
from rvoip.proxy.rewrite import Rewrite, TargetURI
from rvoip.proxy.router import Router, RoutingRules
from rvoip.proxy.routes import Route, RouteTable
from rvoip.proxy.statuses import parse_statuses
from rvoip.services.config import Proxy as ProxyTable
from rvoip.services.routing_tables import GatewaySetTable, GatewayTable, PeerTable
from rvoip.services.routing_tables import RouteTable as OneRoute
from rvoip.services.sip import SIPService

__all__ = ["Routing"]

_PROBE_DEFAULT = 30.0

_OURS = frozenset(
    "via from to call-id cseq max-forwards route record-route contact content-length content-type".split()
)
"""Headers that requests stand and fall with."""


class Prepared:
    """What a configuration says, checked; `states` are those in which lists want gateways to begin."""

    __slots__ = ("peers", "plugin", "plugin_name", "rules", "sets", "states")

    def __init__(
        self,
        rules: RoutingRules,
        sets: list[GatewaySet],
        states: dict[str, str],
        peers: list[Peer],
        plugin: Any,
        plugin_name: str,
    ) -> None:
        self.rules = rules
        self.sets = sets
        self.states = states
        self.peers = peers
        self.plugin = plugin
        self.plugin_name = plugin_name


def make_router(name: str, reactor: Any, file: str) -> Any:
    """The operator's own router: an instance of the class that `[proxy] router` names, made with the reactor.

    Raises `ConfigError` when there is none, or it is no `IRouter`.
    """
    module_name, _, class_name = name.rpartition(".")
    try:
        made = getattr(import_module(module_name), class_name)(reactor)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(file, "proxy.router", f"{name!r} cannot be made: {error}") from None
    if not IRouter.providedBy(made):
        raise ConfigError(file, "proxy.router", f"{name!r} does not implement IRouter")
    return made


class Routing(Service):
    """The router, gateways and peers of a proxy, and the service that probes gateways while it runs.

    `router`, `gateways` and `peers` stay the same objects; `use` changes what they go by.
    """

    def __init__(self, reactor: Any, sip: SIPService, table: ProxyTable, file: str, events: EventBus) -> None:
        self._reactor = reactor
        self._sip = sip
        self._events = events
        self._ended: Subscription[Any] | None = None
        self._plugin: Any = None
        self._plugin_name = ""
        self.gateways = Gateways(reactor.seconds, random.SystemRandom().random)
        self.peers = Peers()
        self.router = Router(
            RoutingRules(RouteTable((), NumberPlan()), Aliases({}, NumberPlan()), NumberPlan()),
            self.gateways,
            self.peers,
        )
        self._prober = Prober(self.gateways, sip.transactions, sip.transport, sip.locator, self._identity)
        self.use(self.prepare(table, file))

    @property
    def routers(self) -> tuple[Any, ...]:
        """Whom the proxy asks: the operator's own router, then that of the tables if they say anything."""
        rules = self.router.rules
        own = (self._plugin,) if self._plugin is not None else ()
        return (*own, self.router) if len(rules.routes) or len(rules.aliases) or rules.enum else own

    def use(self, prepared: Prepared) -> None:
        """Go by what was prepared from now on."""
        before = {one.id for one in self.gateways}
        self.router.rules = prepared.rules
        self.peers.replace(prepared.peers)
        self.gateways.replace(prepared.sets)
        for id, state in prepared.states.items():
            if id not in before:
                self.gateways.set_state(id, state)
        self._plugin, self._plugin_name = prepared.plugin, prepared.plugin_name
        self._listen()

    def prepare(self, table: ProxyTable, file: str) -> Prepared:
        """What the tables say, ready for `use`; `ConfigError` when there is a mistake in them."""
        numbers = table.numbers
        try:
            plan = NumberPlan(
                numbers.country, numbers.international, numbers.national, numbers.local, numbers.shortest
            )
        except ValueError as error:
            raise ConfigError(file, "proxy.numbers", str(error)) from None
        states: dict[str, str] = {}
        sets = [
            _gateway_set(one, plan, file, f"proxy.gateway_set[{number}]", states)
            for number, one in enumerate(table.gateway_set)
        ]
        _check_names([one.name for one in sets], file, "proxy.gateway_set")
        _check_names([one.name for one in table.peer], file, "proxy.peer")
        names = {one.name for one in sets}
        known_peers = {one.name for one in table.peer}
        routes = []
        for number, one in enumerate(table.route):
            key = f"proxy.route[{number}]"
            if one.set and one.set not in names:
                raise ConfigError(file, f"{key}.set", f"there is no gateway set {one.set!r}")
            if one.peer and one.peer not in known_peers:
                raise ConfigError(file, f"{key}.peer", f"there is no peer {one.peer!r}")
            routes.append(_route(one, plan, file, key))
        enum = None
        if table.enum:
            enum = EnumLookup(self._sip.locator.dns, table.enum, self._reactor)
        rules = RoutingRules(RouteTable(routes, plan), _aliases(table, plan, file), plan, enum)
        peers = [_peer(one, file, number) for number, one in enumerate(table.peer)]
        plugin = self._plugin
        if table.router != self._plugin_name:
            plugin = make_router(table.router, self._reactor, file) if table.router else None
        return Prepared(rules, sets, states, peers, plugin, table.router)

    def _identity(self) -> str:
        """The From of our probes: the first address that we listen on."""
        listeners = self._sip.transport.listeners
        return f"sip:{listeners[0].sent_by}" if listeners else f"sip:{self._sip.domains.first}"

    def startService(self) -> None:
        """Begin to probe."""
        super().startService()
        self._listen()
        self._prober.start()

    def stopService(self) -> None:
        """Probe no more."""
        super().stopService()
        self._prober.stop()
        self._listen()

    def _listen(self) -> None:
        """Hear of calls that end, as long as somebody counts them."""
        wanted = bool(self.running and self.gateways.sets)
        if wanted and self._ended is None:
            self._ended = self._events.subscribe(HungUp, self._hung_up, name="gateways")
        elif not wanted and self._ended is not None:
            self._ended.cancel()
            self._ended = None

    def _hung_up(self, event: HungUp) -> None:
        self.gateways.loads.ended(event.call_id)


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


def _route(one: OneRoute, plan: NumberPlan, file: str, key: str) -> Route:
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
    seen: set[str] = set()
    for gateway in gateways:
        if gateway.id in seen:
            raise ConfigError(file, key, f"{gateway.id} is there twice", "give it a name")
        seen.add(gateway.id)
    return GatewaySet(one.name, rules, gateways)


def _dispatcher_list(one: GatewaySetTable, file: str, key: str) -> list[Entry]:
    try:
        entries = read_dispatcher_list(Path(one.file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(file, key, f"{one.file} cannot be read: {error}") from None
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


def _aliases(table: ProxyTable, plan: NumberPlan, file: str) -> Aliases:
    names: dict[str, tuple[SipURI, ...]] = {}
    if table.alias_store:
        names.update(_stored_aliases(table.alias_store, file))
    if table.alias_file:
        try:
            names.update(read_aliases(Path(table.alias_file).read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                file, "proxy.alias_file", f"{table.alias_file} cannot be read: {error}"
            ) from None
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
        raise ConfigError(file, "proxy.alias_store", f"{url!r} is not sqlite:PATH")
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
