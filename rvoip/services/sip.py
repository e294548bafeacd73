"""The SIP side of a role: transport, transactions and resolution, made from the configuration."""

from __future__ import annotations

import ipaddress
import random
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from rvoip.common.activation import InheritedSockets
from rvoip.common.errors import ConfigError, StartError
from rvoip.common.log import LogLimiter
from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.dialog.transactions import TransactionLayer, TransactionLimits
from rvoip.protocols.transport.errors import ListenError, TLSFileError
from rvoip.protocols.transport.flow import Flow
from rvoip.protocols.transport.guard import Guard
from rvoip.protocols.transport.handshake import WebSocketRules
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.protocols.transport.limits import TransportLimits
from rvoip.protocols.transport.locate import Locator
from rvoip.protocols.transport.resolver import make_resolver
from rvoip.protocols.transport.tls import TLSContexts, TLSName, TLSSettings
from rvoip.services import config as schema
from rvoip.services.admission import Admission
from rvoip.services.config import Config
from rvoip.services.config_rules import listen_addresses
from rvoip.services.domains import Domains
from rvoip.services.gate import Gate
from rvoip.services.tokens import TokenSource

__all__ = ["SIPService", "tls_settings"]

_log = Logger()


class SIPService(Service):
    """Listens, and runs the transaction layer; set `transactions.user` before it starts."""

    def __init__(
        self, reactor: Any, config: Config, file: str, inherited: InheritedSockets | None = None
    ) -> None:
        self._reactor = reactor
        self._config = config
        self._addresses = listen_addresses(config, file)
        self._lines = LogLimiter(reactor.seconds)
        self.guard = Guard(ban_time=config.guard.ban_time)
        self.guard.configure(config.guard.rate, config.guard.ban_after, self._trusted(config, file))
        limits = config.sip.limits
        self.transport = TransportLayer(
            reactor,
            None,
            limits=TransportLimits(
                max_connections=limits.connections,
                max_connections_per_host=limits.connections_per_address,
                idle_timeout=limits.idle,
                partial_timeout=limits.partial,
                udp_gather=config.sip.gather,
            ),
            guard=self.guard,
            force_rport=config.sip.force_rport,
            inherited=inherited,
            websocket=WebSocketRules(config.sip.ws_origins),
        )
        self.tokens = TokenSource()
        self.wheel = TimerWheel(reactor)
        t1 = config.sip.t1
        self.transactions = TransactionLayer(
            self.transport,
            self.wheel,
            reactor.seconds,
            self.tokens,
            Timers(t1, max(4.0, t1), max(5.0, t1)),
            TransactionLimits(limits.invites, limits.transactions),
        )
        self.transport.receiver = self.transactions
        self.gate = Gate(
            reactor, self.transport.intake, self.transactions, self.transport.gather, random.random
        )
        self.transport.intake.behind = self.gate.behind
        self.admission = Admission(random.randrange, self._ask_for_admission, self.gate.behind)
        clock = cast(IReactorTime, reactor)
        families = sorted({6 if ":" in one.host else 4 for one in self._addresses})
        self.resolver = make_resolver(reactor, config.sip.dns)
        self.locator = Locator(
            self.resolver,
            clock,
            supported=tuple(
                name
                for name in ("UDP", "TCP", "TLS")
                if any(one.transport == name for one in self._addresses)
            ),
            families=tuple(families),
            rng=random.SystemRandom(),
        )
        self.domains = Domains(config.sip.domains, [(one.host, one.port) for one in self._addresses])

    def privilegedStartService(self) -> None:
        """Bind all addresses; `StartError` in one line when one cannot be."""
        super().privilegedStartService()
        tls = self._config.tls
        try:
            if tls.certificate or tls.ca:
                self.transport.tls = TLSContexts(tls_settings(tls))
            for address in self._addresses:
                self.transport.listen(address)
        except (ListenError, TLSFileError) as error:
            raise StartError(str(error)) from None
        listeners = self.transport.listeners
        self.domains.listen_on([(one.host, one.port) for one in listeners], self.transport.is_local)

    def stopService(self) -> Deferred[None]:
        """Close all sockets."""
        super().stopService()
        self.gate.stop()
        stopped: Deferred[None] = self.transport.stop()
        return stopped

    def reload(self, config: Config, file: str) -> None:
        """Take certificates, guard rules and origins from a new configuration, or raise `ConfigError`."""
        networks = self._trusted(config, file)
        if self.transport.tls is not None:
            try:
                self.transport.tls.reload(tls_settings(config.tls))
            except TLSFileError as error:
                raise ConfigError(file, "tls", str(error)) from None
        self.guard.configure(config.guard.rate, config.guard.ban_after, networks)
        self.transport.websocket.origins = config.sip.ws_origins
        self._config = config

    @staticmethod
    def _trusted(config: Config, file: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        networks = []
        for number, text in enumerate(config.guard.trusted):
            try:
                networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                raise ConfigError(
                    file, f"guard.trusted[{number}]", f"{text!r} is no address or network"
                ) from None
        return networks

    def _ask_for_admission(self, asking: bool) -> None:
        self.transactions.admit = self.admission if asking else None

    def trusts(self, flow: Flow) -> bool:
        """Whether the flow's peer is in a trusted network."""
        return self.guard.trusts(flow.remote[0])

    def failed_login(self, host: str, user: str) -> None:
        """Count a wrong password against its source; one log line a source in 10 s, and one for a ban."""
        now = self._reactor.seconds()
        banned = self.guard.failed(host, now)
        suppressed = self._lines.allow(("ban", host) if banned else host, now)
        if suppressed is None:
            return
        if banned:
            _log.warn(
                "Banned {source} for {seconds} s: {failures} wrong users or passwords, the last of {user}",
                source=host,
                seconds=self._config.guard.ban_time,
                failures=self.guard.ban_after,
                user=user,
            )
        else:
            _log.warn(
                "Wrong user or password from {source}, of {user} ({suppressed} more before)",
                source=host,
                user=user,
                suppressed=suppressed,
            )


def tls_settings(tls: schema.TLS) -> TLSSettings:
    """What the `[tls]` table names."""
    return TLSSettings(
        certificate=tls.certificate or None,
        private_key=tls.private_key or None,
        ca=tls.ca or None,
        verify_client=tls.verify_client,
        names=tuple(TLSName(one.name, one.certificate, one.private_key) for one in tls.name),
        crl=tls.crl or None,
    )
