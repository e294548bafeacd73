"""How far and how urgently a request travels: hop counts, Resource-Priority, Request-Disposition.

Route, Record-Route, Path and Service-Route are plain `NameAddr` values.
"""

from __future__ import annotations

import attrs

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import is_token, parse_number

__all__ = [
    "ResourcePriority",
    "parse_max_breadth",
    "parse_max_forwards",
    "parse_priority",
    "parse_resource_priority",
]


def parse_max_forwards(text: str) -> int:
    """Max-Forwards, 0 to 255 (RFC 3261 section 20.22)."""
    return parse_number(text, 255, "Max-Forwards")


def parse_max_breadth(text: str) -> int:
    """Max-Breadth: how many branches a request may still have at once (RFC 5393 section 5.3)."""
    return parse_number(text, 2**31 - 1, "Max-Breadth")


@attrs.frozen
class ResourcePriority:
    """A Resource-Priority value (RFC 4412 section 3.1), lower-case: ``dsn.flash`` is ("dsn", "flash")."""

    namespace: str
    priority: str

    def __str__(self) -> str:
        return f"{self.namespace}.{self.priority}"


def parse_resource_priority(text: str) -> ResourcePriority:
    """One Resource-Priority or Accept-Resource-Priority value; `SIPParseError` when it is none."""
    namespace, _, priority = text.partition(".")
    if not is_token(namespace) or not is_token(priority):
        raise SIPParseError("Bad Resource-Priority")
    return ResourcePriority(namespace.lower(), priority.lower())


def parse_priority(text: str) -> str:
    """Priority: "emergency", "urgent", "normal", "non-urgent" or another token, lower-case."""
    if not is_token(text):
        raise SIPParseError("Bad Priority")
    return text.lower()
