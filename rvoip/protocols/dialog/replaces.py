"""INVITEs that take over a dialog of ours, or join it (RFC 3891, RFC 3911)."""

from __future__ import annotations

from rvoip.protocols.dialog.dialog import EARLY, TERMINATED, DialogID
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.transfer_headers import Join, Replaces

__all__ = ["named_dialog", "refusal", "wanted"]


def wanted(request: Request) -> Replaces | Join | None:
    """What an INVITE wants of a dialog that is there already; None where it has no such wish.

    Raises `Refused` 400 when it wants both, `SIPParseError` when the header is malformed.
    """
    replaces = request.has("replaces")
    joins = request.has("join")
    if replaces and joins:
        raise Refused(400, "Replaces And Join")
    if not replaces and not joins:
        return None
    found: Replaces | Join = request.typed("replaces" if replaces else "join")
    return found


def named_dialog(header: Replaces | Join) -> DialogID:
    """The dialog that is meant, as its end here knows it. The tag "0" may stand for none, which is what
    peers of RFC 2543 set (RFC 3891 section 3).
    """
    return header.call_id, header.to_tag, header.from_tag


def refusal(header: Replaces | Join, state: str, role: str) -> int:
    """The status that refuses the wish for a dialog in this state with this role of ours; 0 for none.

    A dialog that ended is declined, 603. One that rings here cannot be taken over from here: 481; one that
    rings at the far end can, for its INVITE is ours to cancel. `early-only` keeps a call that was answered
    meanwhile from being taken away: 486.
    """
    if state == TERMINATED:
        return 603
    if state == EARLY:
        return 0 if role == "uac" else 481
    if isinstance(header, Replaces) and header.early_only:
        return 486
    return 0
