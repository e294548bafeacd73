"""Flows over stream connections, from the attempt to connect to the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rvoip.protocols.sip.address import Via
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Address, Flow

__all__ = ["StreamFlow", "TCPFlow", "TLSFlow", "WSFlow", "WSSFlow", "Wire"]


class Wire(Protocol):
    """The connection under a flow."""

    def transmit(self, data: bytes) -> None:
        """Send octets; `FlowError` when too much is unsent."""

    def finish(self) -> None:
        """Close when what is queued has gone out."""

    def abort(self) -> None:
        """Reset the connection."""

    def look(self, now: float) -> None:
        """Close when something has taken too long."""

    def keep(self, until: float) -> None:
        """Do not close as idle before this time."""

    def keep_alive(self, interval: float | None) -> None:
        """Send keep-alives, or stop that."""


class StreamFlow(Flow):
    """One stream connection. Until it is open, what is sent waits."""

    __slots__ = (
        "_abandon",
        "_backlog",
        "_backlog_limit",
        "_backlog_size",
        "_kept_until",
        "_ping_every",
        "_token",
        "_wire",
        "connecting",
        "identities",
        "opened_by_peer",
        "server_name",
    )

    reliable = True

    def __init__(
        self,
        token: str,
        local: Address,
        remote: Address,
        sent_by: str,
        *,
        server_name: str = "",
        opened_by_peer: bool = False,
        backlog_limit: int = 128 * 1024,
    ) -> None:
        super().__init__(local, remote, sent_by)
        self.server_name = server_name
        """The domain that the peer's certificate must be valid for, when it was we who connected."""
        self.opened_by_peer = opened_by_peer
        """Whether the peer connected to us."""
        self.identities: frozenset[str] = frozenset()
        """All names that the peer's verified certificate speaks for."""
        self.connecting = True
        """Whether it is not open yet: what is sent waits."""
        self._token = token
        self._wire: Wire | None = None
        self._abandon: Callable[[], None] | None = None
        self._backlog: list[bytes] = []
        self._backlog_size = 0
        self._backlog_limit = backlog_limit
        self._kept_until = 0.0
        self._ping_every: float | None = None

    @property
    def token(self) -> str:
        """``tcp/ID``, ``tls/ID``, ``ws/ID`` or ``wss/ID``: no other connection has it, in no other run."""
        return self._token

    def send(self, data: bytes) -> None:
        """Send a message: see `Flow.send`."""
        if self.closed:
            raise FlowError(self._reason)
        if not self.connecting and self._wire is not None:
            self._wire.transmit(data)
            return
        if self._backlog_size >= self._backlog_limit:
            raise FlowError("too much waits for a connection that is not open yet")
        self._backlog.append(data)
        self._backlog_size += len(data)

    def reply_flow(self, via: Via) -> Flow:
        """Itself: responses take the connection that the request came on (RFC 3261 section 18.2.2)."""
        return self

    def keep(self, until: float) -> None:
        """See `Flow.keep`."""
        self._kept_until = max(self._kept_until, until)
        if self._wire is not None and not self.connecting:
            self._wire.keep(self._kept_until)

    def keep_alive(self, interval: float | None) -> None:
        """Ask the peer for a sign of life every `interval` seconds, or no more (RFC 5626 section 4.4.1).

        For clients whose server agreed to it; a peer that does not answer in time loses the connection.
        """
        self._ping_every = interval
        if self._wire is not None and not self.connecting:
            self._wire.keep_alive(interval)

    def close(self) -> None:
        """Close the connection, or give the attempt up; `when_closed` follows when it is over."""
        self.shut("closed by us")

    def shut(self, reason: str, abort: bool = False) -> None:
        """Close, or with `abort` reset, and remember why."""
        if not self._reason:
            self._reason = reason
        was_closed, self.closed = self.closed, True
        wire, abandon = self._wire, self._abandon
        if wire is not None:
            if abort:
                wire.abort()
            elif not was_closed:
                wire.finish()
        elif abandon is not None:
            self._abandon = None
            abandon()

    def look(self, now: float) -> None:
        """Close when something has taken too long (the connect timeout is the reactor's)."""
        if self._wire is not None:
            self._wire.look(now)

    # -- for the connection and the connector

    def connecting_by(self, abandon: Callable[[], None]) -> None:
        """An attempt is under way, which this gives up."""
        self._abandon = abandon

    def attached(self, wire: Wire) -> None:
        """There is a connection, over which a TLS handshake may still be under way."""
        self._wire = wire
        self._abandon = None

    def opened(self) -> None:
        """Messages can be sent; what waited is."""
        wire = self._wire
        if wire is None:
            return
        self.connecting = False
        wire.keep(self._kept_until)
        if self._ping_every is not None:
            wire.keep_alive(self._ping_every)
        backlog, self._backlog = self._backlog, []
        for data in backlog:
            wire.transmit(data)

    def lost(self, reason: str) -> None:
        """The connection is over, or did not come about."""
        self._wire = self._abandon = None
        self._backlog = []
        self._finish(reason)


class TCPFlow(StreamFlow):
    """One TCP connection."""

    __slots__ = ()

    transport = "TCP"
    secure = False


class TLSFlow(StreamFlow):
    """One TLS connection."""

    __slots__ = ()

    transport = "TLS"
    secure = True


class WSFlow(StreamFlow):
    """One WebSocket (RFC 7118)."""

    __slots__ = ()

    transport = "WS"
    secure = False


class WSSFlow(StreamFlow):
    """One WebSocket over TLS."""

    __slots__ = ()

    transport = "WSS"
    secure = True
