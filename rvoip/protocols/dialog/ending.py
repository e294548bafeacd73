"""How a session, a subscription or a dialog ended."""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["NETWORK", "PEER", "US", "Ending"]

US: Final = "us"
PEER: Final = "peer"
NETWORK: Final = "network"


@attrs.frozen
class Ending:
    """`status` is a SIP status (200 for a BYE), `text` one line of what happened, `by` whose doing it was:
    "us", "peer" or "network". `reason` is the value of the peer's Reason header (RFC 3326), or None.
    """

    status: int
    text: str
    by: str
    reason: str | None = None
