"""Where the proxy's requests go, as the configuration says: made from its tables, and made anew on reload."""

from __future__ import annotations

import random
from typing import Any

from twisted.application.service import Service

from rvoip.common.errors import ConfigError
from rvoip.common.events import EventBus, Subscription
from rvoip.protocols.transport.dns import DNSClient
from rvoip.proxy.aliases import Aliases
from rvoip.proxy.enum_lookup import MOST_LOOKUPS, EnumLookup
from rvoip.proxy.events import HungUp
from rvoip.proxy.gateways import Gateways, GatewaySet
from rvoip.proxy.interfaces import IRouter
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.peers import Peer, Peers
from rvoip.proxy.probe import Prober
from rvoip.proxy.router import Router, RoutingRules
from rvoip.proxy.routes import RouteTable
from rvoip.services.calls import CallOver
from rvoip.services.config import Proxy as ProxyTable
from rvoip.services.named import imported, making
from rvoip.services.routing_rules import aliases_of, peers_of, plan_of, routes_of, sets_of
from rvoip.services.sip import SIPService

__all__ = ["Routing"]


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
    found = imported(name, file, "proxy.router")
    with making(name, file, "proxy.router"):
        made = found(reactor)
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
        self._ended: list[Subscription[Any]] = []
        # Strangers may have numbers looked up: that must not keep next hops from being found.
        self._enum_dns = DNSClient(sip.resolver, reactor, max_in_flight=MOST_LOOKUPS)
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

    @property
    def probes(self) -> int:
        """OPTIONS that were sent to gateways."""
        return self._prober.sent

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
        plan = plan_of(table, file)
        peers = peers_of(table, file)
        sets, states = sets_of(table, plan, file)
        names = {one.name for one in sets}
        routes = routes_of(table, plan, names, {one.name for one in peers}, file)
        enum = None
        if table.enum:
            enum = EnumLookup(self._enum_dns, table.enum, self._reactor)
        rules = RoutingRules(RouteTable(routes, plan), aliases_of(table, plan, file), plan, enum)
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
        if wanted and not self._ended:
            self._ended = [
                self._events.subscribe(HungUp, self._hung_up, name="gateways"),
                self._events.subscribe(CallOver, self._over, name="gateways"),
            ]
        elif not wanted:
            for subscription in self._ended:
                subscription.cancel()
            self._ended = []

    def _hung_up(self, event: HungUp) -> None:
        self.gateways.loads.ended(event.call_id)

    def _over(self, event: CallOver) -> None:
        self.gateways.loads.ended(event.call.call_id)
