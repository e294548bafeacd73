"""Flows: where a message came from, and where one goes (RFC 5626 section 3.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from twisted.logger import Logger

from rvoip.protocols.sip.address import Via
from rvoip.protocols.sip.grammar import format_host_port
from rvoip.protocols.transport.addresses import default_port
from rvoip.protocols.transport.errors import FlowError

__all__ = ["Address", "Closed", "Flow", "RefusedFlow", "Target", "UDPFlow"]

Address = tuple[str, int]
"""Numeric host (IPv6 without brackets) and port."""

Closed = Callable[["Flow", str], object]
"""What `Flow.when_closed` calls, with the flow and the reason."""

_log = Logger()


class Target(NamedTuple):
    """Where to send: the outcome of RFC 3263."""

    transport: str
    """"UDP", "TCP", "TLS", "WS" or "WSS"."""
    host: str
    """A numeric address; IPv6 without brackets."""
    port: int
    server_name: str = ""
    """For TLS: the domain that the certificate must be valid for (RFC 5922); empty: the address itself."""

    def __str__(self) -> str:
        return f"{self.transport.lower()}:{format_host_port(self.host, self.port)}"


class Flow(ABC):
    """One way to one peer, in both directions.

    Two flow objects may stand for the same UDP addresses one after the other: compare `token`.
    """

    __slots__ = (
        "__weakref__",
        "_reason",
        "_watchers",
        "closed",
        "local",
        "peer_identity",
        "remote",
        "sent_by",
    )

    transport: str
    """"UDP", "TCP", "TLS", "WS" or "WSS", as in Via."""
    reliable: bool
    """Whether what is sent arrives without being sent again."""
    secure: bool
    """Whether it is encrypted, and at least one side verified."""

    def __init__(self, local: Address, remote: Address, sent_by: str) -> None:
        self.closed = False
        """Whether nothing can be sent any more."""
        self.local = local
        """Our end."""
        self.remote = remote
        """The peer's end, as the packets show it."""
        self.sent_by = sent_by
        """ "host:port" for the Via of requests that are sent on this flow: where we listen."""
        self.peer_identity: str | None = None
        """A name that the peer's certificate was verified for; None without one."""
        self._reason = ""
        self._watchers: dict[object, Closed] | None = None

    @property
    def uri_transport(self) -> str:
        """The transport parameter of URIs that lead here: "ws" also with TLS (RFC 7118 section 8.1)."""
        return "ws" if self.transport == "WSS" else self.transport.lower()

    @property
    @abstractmethod
    def token(self) -> str:
        """An opaque name of this flow, good as long as it is open: see `TransportLayer.flow_by_token`."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send a message; never waits.

        Raises `FlowError` when the flow is closed, its peer does not read what was sent before, or the
        address is unusable. A flow that is still connecting keeps the message until it is open.
        """

    @abstractmethod
    def reply_flow(self, via: Via) -> Flow:
        """The flow for responses to a request that came here with `via` on top (RFC 3261 section 18.2.2)."""

    @abstractmethod
    def close(self) -> None:
        """Send no more; a stream is closed after what is queued has gone out."""

    def keep(self, until: float) -> None:  # noqa: B027  streams only
        """Do not close a stream as idle before this time, in seconds of the reactor's clock."""

    @property
    def reason(self) -> str:
        """Why the flow is closed; empty while it is not."""
        return self._reason

    def when_closed(self, callback: Closed) -> Callable[[], None]:
        """Have ``callback(flow, reason)`` called when the flow closes, at once when it is closed already.

        Returns what cancels this.
        """
        if self.closed:
            callback(self, self._reason)
            return _nothing
        watchers = self._watchers
        if watchers is None:
            watchers = self._watchers = {}
        key = object()
        watchers[key] = callback

        def cancel() -> None:
            watchers.pop(key, None)

        return cancel

    def _finish(self, reason: str) -> None:
        """Be closed, and tell whoever waits for it."""
        if not self._reason:
            self._reason = reason
        self.closed = True
        watchers, self._watchers = self._watchers, None
        if watchers is None:
            return
        for key in list(watchers):
            callback = watchers.pop(key, None)
            if callback is None:
                continue  # cancelled by one before it
            try:
                callback(self, self._reason)
            except Exception:
                _log.failure("A watcher of flow {flow} failed", flow=self.token)

    def __repr__(self) -> str:
        state = f" closed: {self._reason}" if self.closed else ""
        return f"<{type(self).__name__} {self.token}{state}>"


def _nothing() -> None:
    """Cancel what is over."""


class UDPFlow(Flow):
    """The way from one of our UDP sockets to one address."""

    __slots__ = ("_force_rport", "_sibling", "_transmit")

    transport = "UDP"
    reliable = False
    secure = False

    def __init__(
        self,
        local: Address,
        remote: Address,
        sent_by: str,
        transmit: Callable[[bytes, Address], None],
        sibling: Callable[[Address], Flow],
        force_rport: bool = False,
    ) -> None:
        super().__init__(local, remote, sent_by)
        self._transmit = transmit
        self._sibling = sibling
        self._force_rport = force_rport

    @property
    def token(self) -> str:
        """``udp/LOCAL:PORT/REMOTE:PORT``."""
        return f"udp/{format_host_port(*self.local)}/{format_host_port(*self.remote)}"

    def send(self, data: bytes) -> None:
        """Send a datagram: see `Flow.send`."""
        if self.closed:
            raise FlowError(self._reason)
        self._transmit(data, self.remote)

    def reply_flow(self, via: Via) -> Flow:
        """The source address, with its port when rport asks for it, else the sent-by port (RFC 3581).

        What the client wrote into maddr or received is never followed.
        """
        if self._force_rport or "rport" in via.params:
            return self
        port = via.port or default_port("UDP")
        if port == self.remote[1]:
            return self
        return self._sibling((self.remote[0], port))

    def close(self) -> None:
        """Send no more on this flow object."""
        if not self.closed:
            self._finish("closed")

    def fail(self, reason: str) -> None:
        """The kernel could not send to this address."""
        if not self.closed:
            self._finish(reason)


class RefusedFlow(Flow):
    """A flow to where nothing can be sent; its first `send` says why."""

    __slots__ = ("_target", "reliable", "secure", "transport")

    def __init__(self, target: Target, reason: str) -> None:
        super().__init__(("", 0), (target.host, target.port), "")
        self.transport = target.transport
        self.reliable = target.transport != "UDP"
        self.secure = target.transport in ("TLS", "WSS")
        self.closed = True
        self._target = target
        self._reason = reason

    @property
    def token(self) -> str:
        """No flow has it."""
        return f"none/{self._target}"

    def send(self, data: bytes) -> None:
        """Raise `FlowError`."""
        raise FlowError(self._reason)

    def reply_flow(self, via: Via) -> Flow:
        """Itself."""
        return self

    def close(self) -> None:
        """Nothing to do."""
