"""Sessions that end when nobody refreshes them: session timers (RFC 4028).

One machine a dialog says which headers its INVITE and UPDATE requests and their 2xx carry, when to refresh,
and when to give the session up. All times are seconds.
"""

from __future__ import annotations

from typing import ClassVar, Final

import attrs

from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.session_headers import SessionExpires

__all__ = ["EXPIRE", "REFRESH", "SMALLEST", "SessionTimer", "TimerSettings", "peer_supports_timer"]

TAG: Final = "timer"
SMALLEST: Final = 90
"""Seconds: the Min-SE of whoever says none (section 5)."""
MOST_ROUNDS: Final = 5
"""How many 422 responses are believed before a request is given up: each costs the peer nothing."""
SHORTEST_PAUSE: Final = 1.0
"""Seconds between two attempts to refresh."""

REFRESH: Final = "refresh"
EXPIRE: Final = "expire"

OFF: Final = "Off"
REFRESHING: Final = "Refreshing"
WAITING: Final = "Waiting for refreshes"

Headers = tuple[tuple[str, str], ...]


@attrs.frozen
class TimerSettings:
    """What we would like, in seconds.

    `refresher` is "uac" or "uas" as seen from the first request, or None to leave it to the other side;
    `policy` is "off", "supported" or "required" (the peer must know session timers). A 422 that asks for more
    than `largest_min_se` ends the attempt.
    """

    interval: int = 1800
    min_se: int = SMALLEST
    refresher: str | None = None
    policy: str = "supported"
    largest_min_se: int = 86400

    def __attrs_post_init__(self) -> None:
        if not 0 < self.min_se <= self.interval:
            raise ValueError("min_se must be positive and not above the interval")
        if self.refresher not in (None, "uac", "uas"):
            raise ValueError("refresher is uac, uas or None")
        if self.policy not in ("off", "supported", "required"):
            raise ValueError("policy is off, supported or required")


class SessionTimer:
    """The session timer of one dialog."""

    __slots__ = ("_asked", "_expire_at", "_refresh_at", "_rounds", "interval", "min_se", "settings", "state")

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, str]]] = {
        (OFF, "2xx, we refresh"): (REFRESHING, ""),
        (OFF, "2xx, the peer refreshes"): (WAITING, ""),
        (REFRESHING, "2xx, we refresh"): (REFRESHING, ""),
        (REFRESHING, "2xx, the peer refreshes"): (WAITING, ""),
        (REFRESHING, "2xx without a timer"): (OFF, ""),
        (REFRESHING, "half of the interval"): (REFRESHING, REFRESH),
        (REFRESHING, "408, 481 or timeout"): (OFF, EXPIRE),
        (REFRESHING, "almost expired"): (OFF, EXPIRE),
        (WAITING, "2xx, we refresh"): (REFRESHING, ""),
        (WAITING, "2xx, the peer refreshes"): (WAITING, ""),
        (WAITING, "2xx without a timer"): (OFF, ""),
        (WAITING, "almost expired"): (OFF, EXPIRE),
    }

    def __init__(self, settings: TimerSettings) -> None:
        self.settings = settings
        self.state = OFF
        self.interval: int | None = None
        """Seconds that the session lives without a refresh; None: for ever."""
        self.min_se = settings.min_se
        """Seconds: the largest Min-SE known in this dialog (section 7.4)."""
        self._asked = 0
        self._rounds = 0
        self._refresh_at: float | None = None
        self._expire_at: float | None = None

    @property
    def refreshing(self) -> bool:
        """Whether it is us who refresh."""
        return self.state == REFRESHING

    @property
    def deadline(self) -> float | None:
        """When `poll` wants to be called; None for never."""
        refresh_at, expire_at = self._refresh_at, self._expire_at
        if refresh_at is None or expire_at is None:
            return expire_at
        return min(refresh_at, expire_at)

    def copy(self) -> SessionTimer:
        """A timer that goes on from here by itself: for one more dialog of a forked INVITE."""
        made = SessionTimer(self.settings)
        for name in self.__slots__:
            setattr(made, name, getattr(self, name))
        return made

    # Our requests.

    def request_headers(self) -> Headers:
        """The headers of an INVITE or UPDATE of ours (sections 7.1 and 7.4)."""
        settings = self.settings
        if settings.policy == "off":
            return ()
        if self.interval is None:
            refresher = settings.refresher
        else:
            refresher = "uac" if self.refreshing else "uas"
        self._asked = max(self.interval or settings.interval, self.min_se)
        headers = [
            ("Require" if settings.policy == "required" else "Supported", TAG),
            ("Session-Expires", str(SessionExpires(self._asked, refresher))),
        ]
        if self.min_se > SMALLEST or self._rounds:
            headers.append(("Min-SE", str(self.min_se)))
        return tuple(headers)

    def too_small(self, response: Response) -> bool:
        """A 422 came: True when the request is to be sent again with new `request_headers` (section 7.3)."""
        min_se = _min_se(response)
        if min_se is None or not self._asked < min_se <= self.settings.largest_min_se:
            return False
        if self._rounds == MOST_ROUNDS:
            return False
        self._rounds += 1
        self.min_se = min_se
        if self.interval is not None:
            self.interval = max(self.interval, min_se)
        return True

    def accepted(self, response: Response, now: float) -> None:
        """Our INVITE or UPDATE got this 2xx (section 7.2): the timer starts anew, or stops.

        Leniency: a value that cannot be read counts as none, and whoever names no refresher leaves it to us.
        A peer cannot make us refresh more often than our own least interval.
        """
        self._rounds = 0
        expires = _session_expires(response)
        if expires is None or self.settings.policy == "off":
            self.stop()
            return
        self._start(expires.seconds, expires.refresher != "uas", now)

    def refresh_failed(self, status: int, now: float) -> str:
        """A refresh of ours got this response from 300 up, 0 for none: "expire" when BYE is due now.

        Otherwise it is tried again half way to the time when the session is given up, as long as there is
        time (section 10). 422 and 491 have rules of their own: `too_small`, `rvoip.protocols.dialog.glare`.
        """
        if self.state != REFRESHING or self._expire_at is None:
            return ""
        if status in (0, 408, 481):
            return self._end("408, 481 or timeout")
        pause = (self._expire_at - now) / 2
        self._refresh_at = now + pause if pause >= SHORTEST_PAUSE else None
        return ""

    # The peer's requests.

    def receive_request(self, request: Request) -> Refusal | None:
        """An INVITE or UPDATE came: how it must be refused, or None (section 9)."""
        settings = self.settings
        supports = peer_supports_timer(request)
        if settings.policy == "off":
            required = TAG in request.option_tags("require")
            return Refusal(420, (("Unsupported", TAG),)) if required else None
        if settings.policy == "required" and not supports:
            return Refusal(421, (("Require", TAG),))
        try:
            expires: SessionExpires | None = request.typed("session-expires")
            min_se: int | None = request.typed("min-se")
        except SIPParseError as error:
            return Refusal(error.status)
        if expires is not None and expires.seconds < settings.min_se and supports:
            return Refusal(422, (("Min-SE", str(settings.min_se)),))
        if min_se is not None:
            self.min_se = min(max(self.min_se, min_se), settings.largest_min_se)
        return None

    def answer(self, request: Request, now: float) -> Headers:
        """The headers of the 2xx that is about to be sent; the timer starts anew (section 9, table 2)."""
        settings = self.settings
        if settings.policy == "off":
            self.stop()
            return ()
        supports = peer_supports_timer(request)
        expires = _session_expires(request)
        least = max(_min_se(request) or 0, settings.min_se)
        if expires is None:
            seconds = max(self.interval or settings.interval, least)
        else:
            # It may be lowered, not raised: the proxies on the way know it.
            seconds = min(expires.seconds, max(settings.interval, least))
        refresher = self._refresher(expires) if supports else "uas"
        self._start(seconds, refresher == "uas", now)
        headers = [("Session-Expires", str(SessionExpires(seconds, refresher)))]
        if supports:
            headers.append(("Require", TAG))
        return tuple(headers)

    def _refresher(self, expires: SessionExpires | None) -> str:
        if expires is not None and expires.refresher is not None:
            return expires.refresher
        if self.state == OFF:
            return self.settings.refresher or "uac"
        return "uas" if self.refreshing else "uac"

    # Time.

    def poll(self, now: float) -> str:
        """Call at `deadline`: "refresh" asks for an UPDATE or re-INVITE, "expire" for a BYE."""
        if self._expire_at is not None and now >= self._expire_at:
            return self._end("almost expired")
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            return self.TRANSITIONS[self.state, "half of the interval"][1]
        return ""

    def stop(self) -> None:
        """The session lives for ever, or is over."""
        self.state = OFF
        self.interval = self._refresh_at = self._expire_at = None

    def _start(self, seconds: int, ours: bool, now: float) -> None:
        seconds = max(seconds, self.settings.min_se)
        event = "2xx, we refresh" if ours else "2xx, the peer refreshes"
        self.state = self.TRANSITIONS[self.state, event][0]
        self.interval = seconds
        # Before the end by 32 s or a third, so that the BYE is known before the peer gives up (section 10).
        self._expire_at = now + seconds - min(32.0, seconds / 3)
        self._refresh_at = now + seconds / 2 if ours else None

    def _end(self, event: str) -> str:
        what = self.TRANSITIONS[self.state, event][1]
        self.stop()
        return what


def peer_supports_timer(request: Request) -> bool:
    """Whether the sender of a request knows session timers: it says so in Supported or Require."""
    return TAG in request.option_tags("supported") or TAG in request.option_tags("require")


def _session_expires(message: Message) -> SessionExpires | None:
    """The Session-Expires, or None when there is none or it cannot be read."""
    try:
        value: SessionExpires | None = message.typed("session-expires")
    except SIPParseError:
        return None
    return value


def _min_se(message: Message) -> int | None:
    """The Min-SE, or None when there is none or it cannot be read."""
    try:
        value: int | None = message.typed("min-se")
    except SIPParseError:
        return None
    return value
