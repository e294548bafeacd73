"""How much a peer may take up."""

from __future__ import annotations

from dataclasses import dataclass, field

from rvoip.protocols.sip.reader import DEFAULT_LIMITS, Limits

__all__ = ["UDP_LARGEST", "UDP_SAFE", "TransportLimits"]

UDP_LARGEST = 65507
"""Octets of the largest UDP datagram over IPv4."""

UDP_SAFE = 1300
"""A larger request goes over a stream when the path MTU is not known (RFC 3261 section 18.1.1)."""


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Bounds on what peers can occupy. Times are seconds, sizes octets."""

    max_connections: int = 2048
    """Stream connections in all; one more is closed as it comes."""
    max_connections_per_host: int = 64
    """Stream connections that one source (an IPv4 address, an IPv6 /64) may have opened."""
    partial_timeout: float = 20.0
    """A message that has begun on a stream must be complete after this long."""
    idle_timeout: float = 120.0
    """A stream on which nothing came or went for this long is closed."""
    handshake_timeout: float = 10.0
    """A handshake, of TLS and of a WebSocket together, must be over after this long."""
    connect_timeout: float = 4.0
    """A TCP connection must be established after this long."""
    max_unsent: int = 256 * 1024
    """With so much waiting to be written to a peer, no more is read from it and nothing more is queued."""
    stuck_timeout: float = 10.0
    """A peer that stays over `max_unsent`, or does not let us close, for this long is dropped."""
    pong_timeout: float = 10.0
    """A keep-alive of ours must be answered within this time (RFC 5626 section 4.4.1)."""
    websocket_ping: float = 30.0
    """A WebSocket is pinged so often; browsers cannot do that, and NATs forget silent connections."""
    unacked_timeout: float = 8.0
    """A connection whose peer acknowledges nothing for this long is dead (TCP_USER_TIMEOUT)."""
    udp_flows: int = 4096
    """UDP flows remembered, a listener; it costs a few microseconds to make one anew."""
    udp_gather: float = 0.005
    """Seconds that dense UDP traffic may wait so that it is read together; 0: never."""
    udp_buffer: int = 4 * 1024 * 1024
    """Size asked for the kernel's buffers of a UDP socket, each way; the kernel may give less."""
    message: Limits = field(default=DEFAULT_LIMITS)
    """Bounds on one message."""
