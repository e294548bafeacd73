"""What a user agent is told about itself, and what its hooks answer with."""

from __future__ import annotations

import attrs

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.session_timer import TimerSettings

__all__ = ["AgentSettings", "Answer"]


@attrs.frozen
class Answer:
    """A response that a hook gives."""

    status: int = 200
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: Body | None = None


@attrs.frozen
class AgentSettings:
    """How a user agent presents itself, and its bounds."""

    user_agent: str = ""
    """Server and User-Agent; empty for neither."""
    contact_user: str = ""
    """The user part of Contact; empty for that of our address in the dialog."""
    dialogs: int = 50_000
    """The most dialogs; an INVITE above them is answered 503."""
    pending: int = 16
    """The most unanswered requests of the peer in one dialog; those above are answered 503."""
    ring: float = 180.0
    """Seconds that an INVITE of ours may ring before it is cancelled."""
    answer: float = 300.0
    """Seconds that an INVITE of a peer may wait for our answer; then it is answered 480, for a caller that is
    gone sends no CANCEL. Its own Expires may be shorter."""
    reliable: str = "supported"
    """Reliable provisional responses (RFC 3262): "off", "supported" or "required"."""
    timer: TimerSettings = attrs.field(factory=TimerSettings)
    """The session timer (RFC 4028)."""
    symmetric: bool = False
    """Whether requests of a dialog go to where the peer's came from, whatever its Contact says; only where
    no proxy stands between."""
    accept: tuple[str, ...] = ("application/sdp", "multipart/mixed", "multipart/alternative")
    """The types of body that an INVITE may have."""
