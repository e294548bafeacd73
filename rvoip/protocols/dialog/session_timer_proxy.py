"""What a proxy does to session timers on the way (RFC 4028 section 8).

A proxy refreshes nothing. It asks for a timer, or for a shorter one, so that it can forget the call when
nobody refreshes it.
"""

from __future__ import annotations

import attrs

from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.dialog.session_timer import SMALLEST, TimerSettings, peer_supports_timer
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.session_headers import SessionExpires

__all__ = ["ProxyTimer", "proxy_request", "proxy_response"]


@attrs.frozen
class ProxyTimer:
    """What a proxy remembers of an INVITE or UPDATE until its final response."""

    interval: int | None
    """Seconds in the request as it went on; None when this proxy asks for no timer."""
    supported: bool
    """Whether whoever sent the request knows session timers."""


def proxy_request(request: Request, settings: TimerSettings) -> Refusal | ProxyTimer:
    """Edit an INVITE or UPDATE that is about to be forwarded, or refuse it with 422 (section 8.1).

    `settings.interval` is asked for where the request asks for none or for more, never less than its Min-SE;
    one below `settings.min_se` is refused if its sender can ask again, and raised if not. A Min-SE of one
    who can is left alone: to raise it there would let others deny the call.
    """
    supported = peer_supports_timer(request)
    if settings.policy == "off":
        return ProxyTimer(None, supported)
    try:
        asked: SessionExpires | None = request.typed("session-expires")
        min_se: int = request.typed("min-se") or SMALLEST
    except SIPParseError as error:
        return Refusal(error.status)
    if asked is None:
        seconds = max(settings.interval, min_se)
        request.set("session-expires", str(SessionExpires(seconds)))
        return ProxyTimer(seconds, supported)
    seconds = asked.seconds
    if seconds < settings.min_se:
        if supported:
            return Refusal(422, (("Min-SE", str(settings.min_se)),))
        seconds = max(settings.min_se, min_se)
        request.set("min-se", str(seconds))
    else:
        seconds = min(seconds, max(settings.interval, min_se))
    if seconds != asked.seconds:
        request.set("session-expires", str(attrs.evolve(asked, seconds=seconds)))
    return ProxyTimer(seconds, supported)


def proxy_response(timer: ProxyTimer, response: Response) -> int | None:
    """Edit a 2xx on its way back (section 8.2); the seconds until the session expires, None for never.

    When the called side knows no session timers, the caller is told to refresh. One that neither knows has
    none.
    """
    try:
        agreed: SessionExpires | None = response.typed("session-expires")
    except SIPParseError:
        return None
    if agreed is not None:
        return agreed.seconds
    if timer.interval is None or not timer.supported:
        return None
    response.set("session-expires", str(SessionExpires(timer.interval, "uac")))
    if "timer" not in response.option_tags("require"):
        response.add("require", "timer")
    return timer.interval
