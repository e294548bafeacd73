"""A 2xx to an INVITE, sent again until its ACK comes (RFC 3261 section 13.3.1.4)."""

from __future__ import annotations

from rvoip.protocols.dialog.timers import Timers

__all__ = ["Unacknowledged"]


class Unacknowledged:
    """The 2xx was sent at `now`; it is due again at T1, then at doubled intervals up to T2, for 64*T1.

    `deadline` is when `poll` wants to be called; None once acknowledged or given up.
    """

    __slots__ = ("_expire", "_interval", "_t2", "deadline")

    def __init__(self, timers: Timers, now: float) -> None:
        self._interval = timers.t1
        self._t2 = timers.t2
        self._expire = now + timers.lifetime
        self.deadline: float | None = now + timers.t1

    def poll(self, now: float) -> str:
        """ "resend" when the 2xx is due again, "expired" when nobody acknowledges it, "" for neither."""
        if self.deadline is None or now < self.deadline:
            return ""
        if now >= self._expire:
            self.deadline = None
            return "expired"
        self._interval = min(self._interval * 2, self._t2)
        self.deadline = min(now + self._interval, self._expire)
        return "resend"

    def acknowledged(self) -> bool:
        """The ACK came; tells whether it was the first one."""
        first = self.deadline is not None
        self.deadline = None
        return first
