"""SIP over UDP, TCP and TLS: flows, connection reuse, limits (RFC 3261 section 18, RFC 3581, RFC 5626)."""

from __future__ import annotations
