"""Clients that have registered elsewhere through us: their connections are kept (RFC 5626 section 5.1)."""

from __future__ import annotations

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Response, lenient_seconds
from rvoip.protocols.transport.flow import Flow

__all__ = ["keep_client"]

_LONGEST = 86400


def keep_client(response: Response, client: Flow, now: float) -> None:
    """Keep a client's connection as long as the registration that was accepted lasts."""
    if not client.reliable:
        return
    try:
        shown = [one.param("expires") for one in response.contacts]
    except SIPParseError:
        return
    longest = 0
    for text in shown:
        longest = max(longest, lenient_seconds(text or response.get("expires") or "0"))
    if longest:
        client.keep(now + min(longest, _LONGEST))
