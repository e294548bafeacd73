"""Registrar and proxy roles put together from the libraries; the role modules say which parts they want."""

from __future__ import annotations

import os
import time
from typing import Any

from twisted.internet.defer import Deferred

from rvoip.auth.verify import DigestVerifier
from rvoip.common.errors import ConfigError, StartError
from rvoip.common.events import EventBus, Subscription
from rvoip.common.http_server import CLOSE_DEADLINE
from rvoip.common.metrics import LagProbe
from rvoip.protocols.sip import digest
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.proxy import Proxy
from rvoip.proxy.record_route import RecordRoutes
from rvoip.registrar.binding import Binding
from rvoip.registrar.gruu import Gruus
from rvoip.registrar.registrar import Registrar
from rvoip.services.account_source import limits_of, make_source
from rvoip.services.accounts import AccountsService
from rvoip.services.activity import RegistrationChanged, log_activity
from rvoip.services.authenticate import Authenticator
from rvoip.services.busy_lamps import BusyLamps
from rvoip.services.calls import CallsService
from rvoip.services.certificates import warn_of_expiry
from rvoip.services.config import Config
from rvoip.services.config import Registrar as RegistrarTable
from rvoip.services.core import SERVER, Core
from rvoip.services.early_register import EarlyRegister
from rvoip.services.event_queue import EventQueue
from rvoip.services.event_sinks import event_sinks
from rvoip.services.forwarding import ConfiguredForwarding
from rvoip.services.http import HTTPSide
from rvoip.services.limits import LimitsService
from rvoip.services.limits_table import LimitRules, limit_rules
from rvoip.services.location import Location, LocationService
from rvoip.services.named import making, named_class
from rvoip.services.nat_ping import NATPing
from rvoip.services.passing import PassingService
from rvoip.services.presence import PresenceService
from rvoip.services.records import RecordsService, record_sinks
from rvoip.services.registration import Registration
from rvoip.services.role import Role
from rvoip.services.routing import Routing
from rvoip.services.routing_rules import plan_of
from rvoip.services.screen import Screen
from rvoip.services.secret import SecretService
from rvoip.services.sip import SIPService
from rvoip.services.table_settings import proxy_settings, registrar_settings, secret_path
from rvoip.services.tracing import Tracing
from rvoip.services.upstream import UpstreamRegistration
from rvoip.services.upstream_client import make_client
from rvoip.trace.ring import MessageRing
from rvoip.users.remote import RemoteCredentials

__all__ = ["SIPRole"]


class SIPRole(Role):
    """A registrar, a proxy, or both on the same sockets.

    Its parts are attributes, for a .tac or a test to reach: `sip`, `accounts`, `location`, `registration`,
    `proxy`, `calls`, `events`, `tracing`, `http`.
    """

    sip: SIPService

    def __init__(
        self, reactor: Any, role: str, config: Config, path: str | None, *, registrar: bool, proxy: bool
    ) -> None:
        super().__init__(reactor, role, config, path)
        file = path or "defaults"
        self.events = EventBus(reactor)
        self.sip = SIPService(reactor, config, file, self.inherited)
        self.lag = LagProbe(reactor, self.sip.admission.note_lag)
        self.accounts = self._make_accounts(file)
        self._verifier = DigestVerifier.with_secret(
            digest,
            os.urandom(32),
            algorithms=config.auth.algorithms,
            qop=config.auth.qop,
            ttl=config.auth.nonce_ttl,
        )
        self.authenticator = Authenticator(
            self._verifier,
            self.accounts,
            self.sip.domains,
            time.time,
            self.sip.failed_login,
            self.accounts.in_doubt,
        )
        self.location = self._make_location(file)
        self.record_routes = RecordRoutes(os.urandom(32))
        self.gruus = Gruus(os.urandom(32))
        self.registration = self._make_registration(file, proxy) if registrar else None
        table = config.registrar or RegistrarTable()
        self.nat_ping = (
            NATPing(reactor, self.sip, self.location, table.nat_ping, table.nat_ping_interval)
            if registrar
            else None
        )
        self.routing = Routing(reactor, self.sip, config.proxy, file, self.events) if proxy else None
        self.passing = (
            PassingService(reactor, config.proxy, file, self.sip.tokens, self.events) if proxy else None
        )
        self.proxy = self._make_proxy(file) if proxy else None
        self.calls = self._make_calls() if self.proxy is not None else None
        self.limits = self._make_limits(file) if self.proxy is not None else None
        self.records = self._make_records(file) if self.proxy is not None else None
        self.publishing = self._make_publishing(file)
        self.screen = Screen(self.routing.peers if self.routing is not None else None)
        self.screen.use(config.guard.scanners)
        self.sip.gate.passes = self.screen.passes
        self.presence = self._make_presence(file)
        self.core = Core(self.sip.domains, self.registration, self.proxy, self.screen, self.presence)
        self.sip.transactions.user = self.core
        self._answer_early(config)
        self._activity: list[Subscription[Any]] = []
        self._log_activity(config.log.activity)
        self.registrations = dict.fromkeys(("created", "refreshed", "removed", "expired"), 0)
        self.tracing = Tracing(
            reactor, config.trace, file, self.sip.transport, self.sip.transactions, time.time
        )
        self.http = HTTPSide(reactor, self, file)
        self.add(self.lag, "lag")
        self.add(self.accounts, "accounts")
        if proxy or (config.registrar or RegistrarTable()).gruu:
            self.add(SecretService(secret_path(config), self._use_secret), "secret")
        self.add(self.location, "location")
        if self.routing is not None:
            self.add(self.routing, "routing")
        if self.passing is not None:
            self.add(self.passing, "passing")
        if self.nat_ping is not None:
            self.add(self.nat_ping, "nat-ping")
        if self.records is not None:
            self.add(self.records, "records")
        for number, queue in enumerate(self.publishing):
            self.add(queue, f"events-{number}")
        if self.presence is not None:
            self.add(self.presence, "presence")
        if self.limits is not None:
            self.add(self.limits, "limits")
        if self.calls is not None:
            self.add(self.calls, "calls")
        for service in (self.tracing.sender, self.tracing.listener):
            if service is not None:
                self.add(service)
        if self.http.service is not None:
            self.add(self.http.service, "http", CLOSE_DEADLINE + 1)
        self.add(self.sip, "sip")

    def _use_secret(self, secret: bytes) -> None:
        """Sign and seal with this key."""
        self.record_routes.use(secret)
        self.gruus.use(secret)

    def _make_accounts(self, file: str) -> AccountsService:
        table = self.config.users
        source = make_source(self._reactor, table, file)
        remote = None if source is None else RemoteCredentials(source, self._reactor, limits_of(table))
        try:
            return AccountsService(self._reactor, table.store, remote)
        except StartError as error:
            raise ConfigError(file, "users.store", str(error)) from None

    def _answer_early(self, config: Config) -> None:
        """Answer plain REGISTERs before they are parsed, unless each message is to be traced."""
        if self.registration is None or isinstance(self.registration, UpstreamRegistration):
            return
        if config.trace.registrations and (config.trace.keep or config.trace.hep):
            self.sip.transport.intake.early = None
            return
        self.sip.transport.intake.early = EarlyRegister(
            self._verifier,
            self.accounts,
            self.sip.domains,
            self.sip.transactions,
            self.registration,
            self._reactor.seconds,
            time.time,
            self.screen.passes,
        )

    def _make_location(self, file: str) -> LocationService:
        try:
            return LocationService(self._reactor, self.config.location.store, time.time)
        except StartError as error:
            raise ConfigError(file, "location.store", str(error)) from None

    def _make_registration(self, file: str, proxy: bool) -> Registration:
        table = self.config.registrar or RegistrarTable()
        key, name = "registrar.class", table.class_
        if not (name or proxy):
            key, name = "service.class", self.config.service.class_
        made = named_class(name, Registrar, file, key) if name else Registrar
        sip = self.sip
        with making(name, file, key):
            registrar: Registrar = made(
                registrar_settings(table), sip.tokens, on_change=self._registration_changed
            )
        registrar.gruus = self.gruus if table.gives_gruus else None
        self.location.expired = registrar.expired
        parts = (
            registrar,
            self.location.store,
            sip.domains,
            self.authenticator if table.authenticate else None,
            self._reactor.seconds,
            time.time,
        )
        if table.upstream is None:
            return Registration(*parts)
        if not proxy and not table.upstream.contact:
            raise ConfigError(
                file, "registrar.upstream.contact", "is empty", "name the proxy that calls are to come to"
            )
        client = make_client(self._reactor, sip, table.upstream)
        front = UpstreamRegistration(*parts, client, table.upstream, sip.tokens)
        self.location.expired = front.expired
        return front

    def _make_proxy(self, file: str) -> Proxy:
        name = self.config.service.class_
        made = named_class(name, Proxy, file, "service.class") if name else Proxy
        sip = self.sip
        with making(name, file, "service.class"):
            proxy: Proxy = made(
                sip.transactions,
                sip.transport,
                sip.locator,
                sip.domains,
                Location(self.location.store, self.accounts.exists, self._reactor.seconds, self.gruus),
                self.authenticator,
                self.record_routes,
                proxy_settings(self.config),
                self._trusts,
                self.events,
            )
        self._use_routing(proxy)
        self._use_forwarding(proxy, self._prepare_forwarding(self.config, file))
        return proxy

    def _prepare_forwarding(self, config: Config, file: str) -> ConfiguredForwarding:
        return ConfiguredForwarding(config.proxy.forward, self.sip.domains, file)

    def _use_forwarding(self, proxy: Proxy, prepared: ConfiguredForwarding) -> None:
        """Have calls forwarded as the configuration says; a proxy of one's own may have another way."""
        if proxy.forwarding is None or isinstance(proxy.forwarding, ConfiguredForwarding):
            proxy.forwarding = prepared if len(prepared) else None

    def _make_calls(self) -> CallsService:
        assert self.proxy is not None
        most = self.config.proxy.dialogs
        return CallsService(self._reactor, self.proxy, most, self.events, time.time, self.sip.tokens)

    def _make_limits(self, file: str) -> LimitsService:
        assert self.proxy is not None and self.calls is not None
        rules = self._limit_rules(self.config, file)
        made = LimitsService(self._reactor, self.accounts, rules, self.events, time.time, self._is_gateway)
        self.proxy.limits = self.calls.limits = made
        self.proxy.owns = self._owns
        return made

    def _limit_rules(self, config: Config, file: str) -> LimitRules:
        table = config.proxy
        return limit_rules(table.limits, plan_of(table, file), self.sip.domains, file)

    def _is_gateway(self, uri: SipURI) -> bool:
        routing = self.routing
        return routing is not None and any(uri.host == one.uri.host for one in routing.gateways)

    def _owns(self, user: str, uri: SipURI) -> bool:
        """Whether a URI of our domains is an alias of this user."""
        domains = self.sip.domains
        if self.routing is None:
            return False
        found = self.routing.router.rules.aliases.find(uri, domains.aor(uri))
        return any(domains.serves(one) and domains.aor(one) == user for one in found)

    def _make_records(self, file: str) -> RecordsService | None:
        sinks = record_sinks(self.config.records, file)
        if not sinks:
            return None
        return RecordsService(
            self._reactor,
            sinks,
            self.config.records.queue,
            self.events,
            self.role,
            time.time,
            self.sip.tokens,
            lambda: self.config.proxy.record_route and self.config.proxy.dialogs > 0,
        )

    def _make_publishing(self, file: str) -> list[EventQueue]:
        table = self.config.events
        if table is None:
            return []
        sinks = event_sinks(self._reactor, table, file, time.time, self.sip.tokens)
        rest = (table.kinds, table.queue, self.events, self.role, time.time, self.sip.tokens)
        return [EventQueue(self._reactor, sink, *rest) for sink in sinks]

    def _make_presence(self, file: str) -> PresenceService | None:
        table = self.config.presence
        if table is None:
            return None
        if self.registration is None:
            raise ConfigError(file, "presence", "needs a registrar", "add a [registrar] table")
        made = PresenceService(
            self._reactor,
            table,
            file,
            self.sip,
            self.authenticator,
            self.location.store.lookup,
            self._is_user,
            self._trusts,
            time.time,
            alone=self.proxy is None,
            open_to_all=self.registration.authenticator is None,
            server_name=SERVER,
        )
        if self.proxy is not None and self.calls is not None:
            self.proxy.lamps = self.calls.lamps = lamps = BusyLamps(self.proxy, made.presence.set_dialogs)
            made.ticked.append(lamps.lamps.expire)
        return made

    def _is_user(self, aor: str) -> bool | Deferred[bool]:
        """Whether presence is kept of this address; of any, where anybody may register."""
        table = self.config.registrar
        if table is not None and not table.authenticate:
            return True
        return self.accounts.exists(aor)

    def _trusts(self, flow: Flow) -> bool:
        """Whether what the flow's peer asserts of identities is believed."""
        routing = self.routing
        return self.sip.trusts(flow) or (routing is not None and routing.peers.asserts_identity(flow))

    def _use_routing(self, proxy: Proxy) -> None:
        """Have the proxy ask the routers of the configuration."""
        if self.routing is not None:
            proxy.routers = self.routing.routers
            proxy.members = self.routing.peers.may_call_out
        if self.passing is not None:
            proxy.passing = self.passing.passing

    def _registration_changed(self, aor: str, bindings: tuple[Binding, ...], kind: str) -> None:
        self.registrations[kind] = self.registrations.get(kind, 0) + 1
        if self.proxy is not None and (kind == "created" or kind == "refreshed"):
            self.proxy.registered(aor)
        if self.presence is not None:
            self.presence.presence.bindings_changed(aor, bindings, kind)
        if self.events.wants(RegistrationChanged):
            contacts = tuple(binding.contact for binding in bindings)
            self.events.publish(RegistrationChanged(aor, contacts, kind))

    def _log_activity(self, wanted: bool) -> None:
        """Write a line for each registration and call, or none, from now on."""
        if wanted is not bool(self._activity):
            for subscription in self._activity:
                subscription.cancel()
            self._activity = log_activity(self.events) if wanted else []

    @property
    def ring(self) -> MessageRing | None:
        """The messages of recent calls; None when none are kept."""
        return self.tracing.ring

    def startService(self) -> None:
        """Also say on the HTTP side that we are ready."""
        super().startService()
        warn_of_expiry(self.config, time.time())
        self.http.started()

    def reopen_log(self) -> None:
        """Also the files of records."""
        super().reopen_log()
        if self.records is not None:
            self.records.reopen()

    def is_alive(self) -> bool:
        """As `/health/live` says."""
        return self.http.health.live().status != "failing"

    @property
    def is_leaving(self) -> bool:
        """While watchers are told that their subscriptions end."""
        return self.presence is not None and self.presence.is_leaving

    @property
    def calls_up(self) -> int:
        """The calls that are listed, which are none without `[proxy] dialogs`."""
        return 0 if self.calls is None else len(self.calls.calls)

    def drain(self) -> Deferred[None]:
        """Also say on the HTTP side that no new work is welcome."""
        self.http.health.drain()
        if self.presence is not None:
            self.presence.drain()
        return super().drain()

    def apply(self, config: Config, file: str) -> None:
        """Also the rules of registration and forwarding, the API's token and certificate, what is traced."""
        routing = self.routing
        prepared = routing.prepare(config.proxy, file) if routing is not None else None
        passing = self.passing
        passage = passing.prepare(config.proxy, file) if passing is not None else None
        forwarding = self._prepare_forwarding(config, file)
        limits = self._limit_rules(config, file) if self.limits is not None else None
        presence, watched = self.presence, config.presence
        policy = presence.prepare(watched, file) if presence is not None and watched is not None else None
        self.http.reload(config.http, file)
        super().apply(config, file)
        if routing is not None and prepared is not None:
            routing.use(prepared)
        if passing is not None and passage is not None:
            passing.use(passage)
        if self.limits is not None and limits is not None:
            self.limits.use(limits)
        if presence is not None and watched is not None and policy is not None:
            presence.use(watched, policy)
        self.http.use(config.http.token)
        self.tracing.apply(config.trace)
        self._answer_early(config)
        self._log_activity(config.log.activity)
        warn_of_expiry(config, time.time())
        if self.registration is not None:
            rules = config.registrar or RegistrarTable()
            self.registration.registrar.settings = registrar_settings(rules)
            self.registration.registrar.gruus = self.gruus if rules.gives_gruus else None
        if self.nat_ping is not None:
            table = config.registrar or RegistrarTable()
            self.nat_ping.use(table.nat_ping, table.nat_ping_interval)
        self.screen.use(config.guard.scanners)
        if self.proxy is not None:
            self.proxy.settings = proxy_settings(config)
            self._use_routing(self.proxy)
            self._use_forwarding(self.proxy, forwarding)
        if self.calls is not None:
            self.calls.use(config.proxy.dialogs)
