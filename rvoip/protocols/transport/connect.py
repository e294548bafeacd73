"""Opening stream connections."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.intake import Intake
from rvoip.protocols.transport.stream import SIPStreamProtocol, loss_reason
from rvoip.protocols.transport.streamflow import StreamFlow, TCPFlow, TLSFlow
from rvoip.protocols.transport.table import StreamTable
from rvoip.protocols.transport.tls import TLSContexts, TLSFactory

__all__ = ["connect"]


class _Attempt(ClientFactory):
    """One attempt for one flow."""

    noisy = False

    def __init__(
        self,
        reactor: Any,
        flow: StreamFlow,
        intake: Intake,
        table: StreamTable,
        make: type[SIPStreamProtocol],
    ) -> None:
        self._reactor = reactor
        self._flow = flow
        self._intake = intake
        self._table = table
        self._make = make

    def startedConnecting(self, connector: IConnector) -> None:
        """Let the flow give the attempt up."""
        self._flow.connecting_by(connector.stopConnecting)

    def buildProtocol(self, addr: IAddress | None) -> SIPStreamProtocol:
        """The connection is there."""
        return self._make(self._reactor, intake=self._intake, table=self._table, flow=self._flow)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """There will be none."""
        self._table.remove(self._flow)
        self._flow.lost(loss_reason(reason))


def connect(
    reactor: Any,
    target: Target,
    *,
    local: str,
    sent_by: str,
    intake: Intake,
    table: StreamTable,
    tls: TLSContexts | None,
    make: type[SIPStreamProtocol],
) -> StreamFlow:
    """Begin to connect; returns the flow, which takes messages at once and closes when this fails.

    `local` is the address to connect from; empty lets the system choose.
    """
    limits = intake.limits
    kind = TLSFlow if target.transport == "TLS" else TCPFlow
    flow = kind(
        table.new_token(target.transport),
        (local, 0),
        (target.host, target.port),
        sent_by,
        server_name=target.server_name,
        backlog_limit=limits.max_unsent // 2,
    )
    table.add(flow, None)
    factory: Any = _Attempt(reactor, flow, intake, table, make)
    if tls is not None and kind is TLSFlow:
        factory = TLSFactory(tls.client(target.server_name), True, factory, reactor)
    bind = (local, 0) if local else None
    reactor.connectTCP(target.host, target.port, factory, timeout=limits.connect_timeout, bindAddress=bind)
    return flow
