"""Where a 3xx points to (RFC 3261 sections 16.7 step 4 and 8.1.3.4)."""

from __future__ import annotations

from collections.abc import Iterable

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Response
from rvoip.protocols.sip.uri import URI, SipURI
from rvoip.proxy.record_route import address_key

__all__ = ["contacts_of"]

_MOST = 10
"""Contacts of one 3xx that are looked at."""


def contacts_of(response: Response, tried: Iterable[URI]) -> list[tuple[int, SipURI]]:
    """The SIP contacts that were not tried yet, with their q in thousandths, the preferred first."""
    known = {address_key(uri) for uri in tried}
    found: list[tuple[int, SipURI]] = []
    try:
        contacts = response.contacts[:_MOST]
    except SIPParseError:
        return []
    for contact in contacts:
        uri = contact.uri
        if isinstance(uri, SipURI) and address_key(uri) not in known:
            known.add(address_key(uri))
            found.append((_preference(contact.param("q")), uri))
    return sorted(found, key=lambda one: -one[0])


def _preference(text: str | None) -> int:
    """q in thousandths; 1000 where there is none that can be read."""
    if text is None:
        return 1000
    whole, _, part = text.partition(".")
    if whole not in ("0", "1") or not (part or "0").isascii() or not (part or "0").isdigit():
        return 1000
    return min(1000, int(whole) * 1000 + int(part[:3].ljust(3, "0")))
