"""What a failed request within a dialog ends: itself, its usage, or the dialog (RFC 5057 section 5)."""

from __future__ import annotations

__all__ = ["DIALOG", "TRANSACTION", "USAGE", "effect"]

TRANSACTION = "transaction"
"""Nothing but the request itself."""
USAGE = "usage"
"""The usage (a session, a subscription) that the request belongs to."""
DIALOG = "dialog"
"""The dialog with all usages."""

# The peer, or the way to it, is no more what the dialog was made with.
_ENDS_DIALOG = frozenset((404, 410, 416, 482, 483, 484, 485, 502, 604))
_ENDS_USAGE = frozenset((408, 480, 481))
# What the peer says of a method as such; it ends a usage that lives by this method, and no other.
_UNKNOWN_METHOD = frozenset((405, 489, 501))
_KEEPS_ALIVE = frozenset(("INVITE", "SUBSCRIBE", "NOTIFY"))


def effect(method: str, status: int) -> str:
    """What the final response `status` to a request of `method` within a dialog ends.

    A request that nobody answers counts as 408, one that cannot be sent as 503 (RFC 3261 section 8.1.3.1).
    405 and 501 end a usage only where its life depends on the method.
    """
    if status < 300:
        return TRANSACTION
    if status in _ENDS_DIALOG:
        return DIALOG
    if status in _ENDS_USAGE or (status in _UNKNOWN_METHOD and method in _KEEPS_ALIVE):
        return USAGE
    return TRANSACTION
