"""Presence of a role: its store, the notifier that serves it, and the time that passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall

from rvoip.common.errors import ConfigError, StartError
from rvoip.protocols.dialog.agent import UserAgent
from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.session_timer import TimerSettings
from rvoip.protocols.dialog.subscription import PENDING
from rvoip.protocols.dialog.subscription_server import EventServer, ServerSubscription
from rvoip.protocols.transport.flow import Flow
from rvoip.registrar.compositor import CompositorSettings
from rvoip.registrar.errors import StoreError
from rvoip.registrar.interfaces import IPresenceStore
from rvoip.registrar.presence import Lookup, Presence
from rvoip.registrar.presence_policy import Decision, PresencePolicy
from rvoip.registrar.stores.presence_memory import PresenceMemory
from rvoip.registrar.stores.presence_sqlite import PresenceSQLite
from rvoip.services.authenticate import Authenticator
from rvoip.services.presence_package import DECIDED, LIST, WatchedPackage, Watches
from rvoip.services.presence_requests import PresenceRequests
from rvoip.services.presence_rules import ConfiguredRules
from rvoip.services.presence_table import PresenceTable
from rvoip.services.sip import SIPService

__all__ = ["PresenceService"]

_TICK: Final = 1.0

_AT_ONCE: Final = 50
"""Subscriptions that a drain ends at once, and the seconds until it ends as many more."""
_PAUSE: Final = 0.02


class PresenceService(Service):
    """`presence` is the state, `server` has the subscriptions, `requests` is what `Core` gives requests to.

    `lookup` gives bindings, `exists` tells whether there is such a user, `trusted` whether what comes on a
    flow is believed. `open_to_all` says that nobody has credentials, `server_name` is what responses say of
    us. Raises `ConfigError`.
    """

    name = "presence"

    def __init__(
        self,
        reactor: Any,
        table: PresenceTable,
        file: str,
        sip: SIPService,
        authenticator: Authenticator,
        lookup: Lookup,
        exists: Callable[[str], bool | Deferred[bool]],
        trusted: Callable[[Flow], bool],
        wall: Callable[[], float],
        *,
        alone: bool,
        open_to_all: bool = False,
        server_name: str = "",
    ) -> None:
        self._reactor = reactor
        self._wall = wall
        self.domains = sip.domains
        self._exists = exists
        self._open_to_all = open_to_all
        self._leaving: list[ServerSubscription] = []
        self._watches = Watches()
        self._configured: ConfiguredRules | None = None
        self.presence = Presence(
            _store(table.store, reactor, file),
            lookup,
            sip.tokens,
            changed=self._changed,
            settings=_settings(table),
            policy=PresencePolicy(_defaults(table)),
            exists=self._is_there,
        )
        settings = AgentSettings(
            user_agent=server_name,
            dialogs=table.max_subscriptions,
            reliable="off",
            timer=TimerSettings(policy="off"),
        )
        self.agent = UserAgent(sip.transactions, sip.locator, settings)
        self.agent.support("eventlist")
        self.server = EventServer(self.agent, table.max_subscriptions)
        self.requests = PresenceRequests(
            self.agent,
            self.presence,
            sip.domains,
            authenticator,
            exists,
            trusted,
            reactor.seconds,
            alone=alone,
        )
        self._table = table
        self._prepared = self.prepare(table, file)
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        self.ticked: list[Callable[[float], object]] = []
        """Who else wants to know each second what time it is."""

    def prepare(self, table: PresenceTable, file: str) -> ConfiguredRules:
        """Read rules and lists of a configuration; `ConfigError`, and no change."""
        return ConfiguredRules(table, self.domains, file)

    def use(self, table: PresenceTable, prepared: ConfiguredRules) -> None:
        """Take another configuration over, all of it but the store."""
        presence = self.presence
        presence.compositor.use(_settings(table))
        decisions = _defaults(table)
        redecide = decisions != presence.policy.defaults
        presence.policy.defaults = decisions
        presence.watchers.max_watchers = table.max_watchers
        presence.lists.max_members = table.max_members
        self._watches.use(table)
        self.server.most = table.max_subscriptions
        self.agent.settings = attrs.evolve(self.agent.settings, dialogs=table.max_subscriptions)
        for name in [one for one in self.server.packages if one not in table.packages]:
            for subscription in list(self.server):
                if subscription.package.name == name:
                    subscription.terminate("noresource")
            del self.server.packages[name]
        for name in table.packages:
            if name not in self.server.packages:
                self.server.add(
                    WatchedPackage(
                        name,
                        presence,
                        self.domains,
                        self._watches,
                        lambda: self.requests.asking,
                        self._reactor.seconds,
                    )
                )
            self.server.packages[name].use(table)
        self.requests.packages = frozenset(table.packages)
        self.requests.allow_events = self.server.allow_events
        self.requests.authenticate = (
            not self._open_to_all if table.authenticate is None else table.authenticate
        )
        self._table = table
        before, self._configured = self._configured, prepared
        prepared.use(presence, before, self._redecided)
        if redecide:
            for subscription in list(self.server):
                self._tell(subscription)

    def privilegedStartService(self) -> None:
        """Open the store and read what it holds; `StartError` in one line when that fails."""
        super().privilegedStartService()
        try:
            self.presence.open(self._reactor.seconds(), self._wall())
        except StoreError as error:
            raise StartError(str(error)) from None
        self.use(self._table, self._prepared)

    def startService(self) -> None:
        """Begin to expire."""
        super().startService()
        self._loop.start(_TICK, now=False)

    @property
    def is_leaving(self) -> bool:
        """Whether a drain has subscriptions left to end."""
        return bool(self._leaving)

    def drain(self) -> None:
        """End the subscriptions, so that the watchers subscribe anew (RFC 6665 section 4.1.3).

        Some at a time: nothing else waits long, and they do not all come at once.
        """
        if not self._leaving:
            self._leaving = list(self.server)
            self._leave()

    def _leave(self) -> None:
        now, self._leaving = self._leaving[:_AT_ONCE], self._leaving[_AT_ONCE:]
        for subscription in now:
            subscription.terminate("deactivated")
        if self._leaving:
            self._reactor.callLater(_PAUSE, self._leave)

    def stopService(self) -> Deferred[None]:
        """Write what was taken, then close."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        self._leaving = []
        self.agent.close()
        closed = self.presence.close()
        return succeed(None) if closed is None else closed

    # For metrics and the API.

    def now(self) -> float:
        """The reactor's clock."""
        seconds: float = self._reactor.seconds()
        return seconds

    def has_configured(self, presentity: str, watcher: str) -> bool:
        """Whether the configuration has a rule for them."""
        return self._configured is not None and (presentity, watcher) in self._configured.rules

    def has_list(self, name: str) -> bool:
        """Whether the configuration has that list."""
        return self._configured is not None and name in self._configured.lists

    def subscriptions(self) -> dict[tuple[str, str], int]:
        """How many there are, by package and state in lower case."""
        counts: dict[tuple[str, str], int] = {}
        for each in self.server:
            key = (each.package.name, each.state.lower())
            counts[key] = counts.get(key, 0) + 1
        return counts

    @property
    def told(self) -> int:
        """Documents that were made for watchers."""
        return sum([each.told for each in self.server.packages.values()])

    # What changes.

    def _tick(self) -> None:
        now = self._reactor.seconds()
        self.presence.expire(now)
        for each in self.ticked:
            each(now)

    def is_user(self, aor: str) -> bool | Deferred[bool]:
        """Whether an address is one of our users."""
        return self._exists(aor)

    def _is_there(self, aor: str) -> bool:
        """Whether the member of a list is one of ours; in doubt, while its account is looked up, it is."""
        found = self._exists(aor)
        if isinstance(found, Deferred):
            found.addErrback(lambda failure: None)
            return True
        return found

    def _redecided(self, aor: str) -> None:
        for package in DECIDED:
            self._changed(package, aor)
        for name in self.presence.lists.containing(aor):
            self._changed("presence", name)

    def _changed(self, package: str, aor: str) -> None:
        for subscription in self.server.watchers(package, aor):
            self._tell(subscription)

    def _tell(self, subscription: ServerSubscription) -> None:
        """Its document, or what the rules say of it, is another one now."""
        package, aor = subscription.package.name, subscription.resource
        if package not in DECIDED:
            subscription.changed()
            return
        if subscription.user is None:
            return  # it is about to be decided
        presence = self.presence
        if subscription.headers == LIST and presence.lists.get(aor) is None:
            subscription.terminate("noresource")
            return
        decision = presence.decision(package, aor, subscription.user.user)
        pending = subscription.state == PENDING
        if decision is Decision.DENY:
            subscription.terminate("rejected")
        elif decision is Decision.CONFIRM:
            if not pending:
                subscription.terminate("deactivated")  # it comes again, and waits then
        elif pending:
            subscription.authorise()
        else:
            subscription.changed()


def _store(url: str, reactor: Any, file: str) -> IPresenceStore:
    scheme, _, rest = url.partition(":")
    if scheme == "memory" and not rest:
        memory: IPresenceStore = PresenceMemory()
        return memory
    if scheme == "sqlite" and rest:
        sqlite: IPresenceStore = PresenceSQLite(rest, reactor)
        return sqlite
    raise ConfigError(file, "presence.store", f"there is no such store as {url!r}", "memory: or sqlite:PATH")


def _settings(table: PresenceTable) -> CompositorSettings:
    return CompositorSettings(
        default_expires=table.default_expires,
        min_expires=table.min_expires,
        max_expires=table.max_expires,
        max_octets=table.max_body,
        max_publications=table.max_publications,
        rate=table.publish_rate,
    )


def _defaults(table: PresenceTable) -> dict[str, Decision]:
    return {
        "presence": Decision(table.policy),
        "dialog": Decision(table.dialog_policy),
        "message-summary": Decision.DENY,
    }
