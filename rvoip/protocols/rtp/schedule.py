"""When RTCP is sent: the randomised interval of RFC 3550 section 6.3, with reconsideration.

A machine: it is told the time and handed its randomness. `deadline` says when to call `expire`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["COMPENSATION", "LEAST_INTERVAL", "ReportSchedule", "interval"]

LEAST_INTERVAL: Final = 5.0
"""Seconds between reports at the least, before randomness (section 6.2)."""

COMPENSATION: Final = 2.71828 - 1.5
"""Divides the interval, because reconsideration makes it longer than meant (section 6.3.1)."""

_SENDER_SHARE: Final = 0.25
_HEADERS: Final = 28
"""Octets of IPv4 and UDP that count as part of a packet (section 6.2)."""

_MANY: Final = 50
"""Members up to which one may leave at once (section 6.3.7)."""


def interval(
    members: int,
    senders: int,
    bandwidth: float,
    *,
    we_sent: bool,
    average: float,
    initial: bool,
    least: float = LEAST_INTERVAL,
) -> float:
    """The calculated interval Td in seconds, before it is made random (section 6.3.1, appendix A.7).

    `bandwidth` is that of all RTCP of the session in octets a second, `average` the mean size of a packet
    with its IP and UDP headers.
    """
    if initial:
        least /= 2
    count = float(members)
    if senders <= members * _SENDER_SHARE:
        if we_sent:
            bandwidth *= _SENDER_SHARE
            count = senders
        else:
            bandwidth *= 1 - _SENDER_SHARE
            count -= senders
    return max(average * count / bandwidth, least)


class ReportSchedule:
    """The timer of one participant. `draw` gives numbers from 0 to 1, 1 excluded.

    Members and senders are counted by whoever keeps them (`Participants`) and told here as they change.
    Between two parties all of it comes down to a report every 2 to 6 seconds, none at the same time as the
    peer's.
    """

    def __init__(
        self,
        now: float,
        draw: Callable[[], float],
        *,
        bandwidth: float = 400.0,
        least: float = LEAST_INTERVAL,
        size: int = 100,
    ) -> None:
        """`bandwidth` is 5 % of the session's, in octets a second (400 for 64 kbit/s); `size` a first guess
        of our packets' octets.
        """
        self.members = 1
        self.senders = 0
        self.we_sent = False
        self.initial = True
        """No report of ours has been sent yet."""
        self.leaving = False
        self.average = float(size + _HEADERS)
        self._draw = draw
        self._bandwidth = bandwidth
        self._least = least
        self._members_then = 1
        self._before = now
        self.deadline = now + self._random()
        """When `expire` is due, in the time of `now`."""

    def calculated(self) -> float:
        """The interval without randomness; members silent for five of them are gone (section 6.3.5)."""
        return interval(
            self.members,
            self.senders,
            self._bandwidth,
            we_sent=self.we_sent,
            average=self.average,
            initial=self.initial,
            least=self._least,
        )

    def _random(self) -> float:
        return self.calculated() * (self._draw() + 0.5) / COMPENSATION

    def received(self, size: int) -> None:
        """A packet of RTCP came, of `size` octets (section 6.3.3)."""
        self.average += (size + _HEADERS - self.average) / 16

    def members_left(self, members: int, senders: int, now: float) -> None:
        """Fewer are there than before, by BYE or silence: reverse reconsideration (section 6.3.4)."""
        self.members, self.senders = max(members, 1), senders
        if self.members < self._members_then and not self.leaving:
            share = self.members / self._members_then
            self.deadline = now + share * (self.deadline - now)
            self._before = now - share * (now - self._before)
            self._members_then = self.members

    def expire(self, now: float) -> bool:
        """The deadline is there: tell whether to send now. A new deadline is set (section 6.3.6)."""
        due = self._before + self._random()
        if due > now:
            # There are more members than when the deadline was set.
            self.deadline = due
            self._members_then = self.members
            return False
        self._before = now
        self.initial = False
        self.deadline = now + self._random()
        self._members_then = self.members
        return True

    def sent(self, size: int) -> None:
        """A compound packet of `size` octets was sent."""
        self.average += (size + _HEADERS - self.average) / 16

    def leave(self, now: float, size: int) -> bool:
        """We go: tell whether BYE (`size` octets) may be sent at once; else when `expire` says so
        (section 6.3.7).
        """
        self.leaving = True
        if self.members <= _MANY:
            return True
        self._before = now
        self.members = self._members_then = 1
        self.senders, self.we_sent, self.initial = 0, False, True
        self.average = float(size + _HEADERS)
        self.deadline = now + self._random()
        return False

    def goodbye_received(self, size: int) -> None:
        """While we wait to leave, others leave too: each counts as a member (section 6.3.7)."""
        if self.leaving:
            self.members += 1
            self.received(size)
