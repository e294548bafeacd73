"""The HTTP side of a SIP role: its API, health and metrics on one listener."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from rvoip import __version__
from rvoip.common.errors import ConfigError, StartError
from rvoip.common.health import Health
from rvoip.common.http import API
from rvoip.common.http_operations import serve_health, serve_metrics, serve_openapi
from rvoip.common.http_server import HTTPService
from rvoip.registrar.binding import Removed
from rvoip.services.admission import FAR_BEHIND
from rvoip.services.bans_api import serve_bans
from rvoip.services.bindings_api import serve_bindings
from rvoip.services.callers import Callers
from rvoip.services.config import HTTP
from rvoip.services.dialogs_api import serve_dialogs
from rvoip.services.gateways_api import serve_gateways
from rvoip.services.limits_api import serve_limits
from rvoip.services.logins import Logins
from rvoip.services.metrics import sip_metrics
from rvoip.services.operations_api import Status, serve_ladders, serve_status, serve_transactions
from rvoip.services.presence_api import serve_presence
from rvoip.services.reload_api import serve_reload
from rvoip.services.rpc import RPC, serve_rpc
from rvoip.services.users_api import serve_keys, serve_users

if TYPE_CHECKING:
    from rvoip.services.compose import SIPRole

__all__ = ["DEFAULT_LISTEN", "NO_LISTENER", "HTTPSide"]

DEFAULT_LISTEN: Final = "127.0.0.1:8080"
"""Where registrar and proxy listen unless they are told."""

NO_LISTENER: Final = "none"
"""What `[http] listen` says for no HTTP."""


class HTTPSide:
    """The API of `role`, which has its other parts already.

    `api` takes further routes before it starts. `service` listens; it is None when the configuration wants no
    HTTP.
    """

    def __init__(self, reactor: Any, role: SIPRole, file: str) -> None:
        table = role.config.http
        listen = table.listen or DEFAULT_LISTEN
        self._reactor = reactor
        self._role = role
        self._began = self._began_wall = 0.0
        try:
            self.logins = Logins(role.accounts, reactor.seconds, bool(table.certificate))
            self._callers = Callers(
                role.accounts, table, "" if listen == NO_LISTENER else listen, self.logins
            )
        except StartError as error:
            raise ConfigError(file, "http.listen", error.reason) from None
        self.health = Health()
        self.metrics = sip_metrics(role)
        self.api = API(
            f"rvoip {role.role}",
            __version__,
            reactor,
            description="Accounts, registered contacts and calls of a SIP server.",
            guard=self._callers.guard,
            names=frozenset(role.config.sip.domains),
        )
        self.service: HTTPService | None = None
        if listen != NO_LISTENER:
            self.service = HTTPService(
                reactor,
                listen,
                self.api,
                certificate=table.certificate,
                private_key=table.private_key,
                ca=table.ca,
                inherited=role.inherited,
            )
        self._add_checks()
        self._add_routes()

    def started(self) -> None:
        """Say that all parts of the role run."""
        self._began, self._began_wall = self._reactor.seconds(), time.time()
        self._callers.started()
        self.health.start()

    def reload(self, table: HTTP, file: str) -> None:
        """Read the certificate of another table; `ConfigError`, and no change, when it is broken."""
        if self.service is not None:
            try:
                self.service.reload(table.certificate, table.private_key, table.ca)
            except StartError as error:
                raise ConfigError(file, "http.certificate", error.reason) from None

    def use(self, token: str) -> None:
        """Take this token from now on.

        Without one the API is open, but one that other machines reach asks for an API key then.
        """
        self._callers.guard.use(token)

    def now(self) -> float:
        """The reactor's clock."""
        seconds: float = self._reactor.seconds()
        return seconds

    def wall_of(self, then: float) -> float:
        """The wall time of a point in time of the reactor's clock."""
        return time.time() - self.now() + then

    def status(self) -> Status:
        """How the role is."""
        role, sip = self._role, self._role.sip
        aors, bindings = role.location.counts()
        return Status(
            role=role.role,
            version=__version__,
            started=self._began_wall,
            uptime=self._reactor.seconds() - self._began,
            listeners=[f"{one.transport.lower()}:{one.sent_by}" for one in sip.transport.listeners],
            domains=list(sip.domains.names),
            aors=aors,
            bindings=bindings,
            transactions=sip.transactions.servers + sip.transactions.clients,
            dialogs=0 if role.calls is None else len(role.calls.calls),
            gateways=self._gateways(),
            connections=sip.transport.connections,
            calls=0 if role.ring is None else len(role.ring),
            lag=role.lag.lag,
        )

    def _gateways(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        routing = self._role.routing
        for one in [] if routing is None else routing.gateways.gateways():
            counts[one["state"]] = counts.get(one["state"], 0) + 1
        return counts

    def _add_checks(self) -> None:
        role = self._role
        self.health.add("listeners", self._check_listeners)
        self.health.add("accounts", lambda: role.accounts.trouble or None)
        self.health.add("location", lambda: role.location.store.trouble or None)
        presence = role.presence
        if presence is not None:
            self.health.add("presence", lambda: presence.presence.store.trouble or None)
        self.health.add("load", self._check_load)

    def _check_listeners(self) -> str | None:
        listeners = self._role.sip.transport.listeners
        closed = [f"{one.transport.lower()}:{one.sent_by}" for one in listeners if not one.is_open]
        if closed or not listeners:
            return f"{', '.join(closed) or 'nothing'} is listened on no more"
        return None

    def _check_load(self) -> str | None:
        lag = self._role.sip.admission.lag
        return f"messages wait for {lag:.2f} seconds" if lag >= FAR_BEHIND else None

    def _add_routes(self) -> None:
        role, api = self._role, self.api
        serve_health(api, self.health)
        serve_metrics(api, self.metrics)
        serve_openapi(api)
        serve_status(api, self.status)
        serve_users(api, role.accounts)
        serve_limits(api, role.accounts, role.limits)
        serve_keys(api, role.accounts)
        serve_bindings(api, role.location.store, self._reactor.seconds, time.time, self._removed)
        serve_transactions(api, role.sip.transactions)
        serve_ladders(api, lambda: role.ring)
        serve_dialogs(api, role.calls)
        serve_reload(api, role)
        serve_bans(api, role.sip.guard, self._reactor.seconds)
        serve_gateways(api, None if role.routing is None else role.routing.gateways)
        serve_presence(api, role.presence)
        serve_rpc(api, RPC(role, lambda: (self._began_wall, self.now() - self._began)))

    def _removed(self, removed: Removed) -> None:
        """Tell whoever listens that an operator took bindings away."""
        registration = self._role.registration
        if registration is not None:
            registration.registrar.removed(removed)
