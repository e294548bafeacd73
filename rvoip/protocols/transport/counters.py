"""What the transport counts; plain numbers that metrics read."""

from __future__ import annotations

__all__ = ["Counters"]


class Counters:
    """Totals since the start.

    Datagrams and framed messages count alike. `dropped` tells by reason what came and was not used, or was to
    go and could not: "parse", "rate", "late" (a request that waited too long in its socket), "keep_alive" (no
    loss at all, but no message either), "handshake" (of TLS or a WebSocket), "send_buffer",
    "unreachable", "internal".
    """

    __slots__ = (
        "connections_accepted",
        "connections_opened",
        "connections_refused",
        "dropped",
        "received",
        "sent",
    )

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0
        self.connections_accepted = 0
        self.connections_opened = 0
        self.connections_refused = 0
        self.dropped: dict[str, int] = {}

    def drop(self, reason: str) -> None:
        """Count one that was dropped."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
