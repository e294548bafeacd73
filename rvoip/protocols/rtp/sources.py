"""Who takes part in a session: sources, their members' timers, and SSRC collisions and loops.

RFC 3550 sections 6.3.3 to 6.3.5 and 8.2.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

__all__ = ["MOST_SOURCES", "Participant", "Participants", "Verdict"]

Address = tuple[str, int]

MOST_SOURCES: Final = 64
"""Sources of one session that are known at a time; more are not heard."""

_MEMBER_INTERVALS: Final = 5
_SENDER_INTERVALS: Final = 2
_CONFLICT_INTERVALS: Final = 10
_MOST_CONFLICTS: Final = 16


class Verdict(Enum):
    """What to do with a packet."""

    TAKE = "take"
    DROP = "drop"
    """Too many sources, or another source's identifier from elsewhere."""
    LOOP = "loop"
    """Our own packets have come back; they are dropped."""
    COLLISION = "collision"
    """Another uses our identifier: `ssrc` is a new one, and BYE is due for `collided`. The packet is
    taken.
    """


class Participant:
    """One source that is heard: where from, and when last."""

    __slots__ = ("address", "cname", "control_address", "heard", "sent")

    def __init__(self, now: float) -> None:
        self.address: Address | None = None
        self.control_address: Address | None = None
        self.heard = now
        """When any packet came last."""
        self.sent = -1e9
        """When media came last."""
        self.cname: bytes | None = None


class Participants:
    """The sources of a session, ours included. `draw_ssrc` gives random numbers of 32 bits.

    With `moving` (a port that lets in only packets that a `Latch` has let pass) a source may come from a new
    address: a phone's NAT has given it another. Without, that is a third party's collision and is dropped.
    """

    def __init__(self, ssrc: int, draw_ssrc: Callable[[], int], *, moving: bool = True) -> None:
        self.ssrc = ssrc
        """Our identifier."""
        self.collided: int | None = None
        """The identifier that the last collision took from us."""
        self.others: dict[int, Participant] = {}
        self._draw_ssrc = draw_ssrc
        self._moving = moving
        self._conflicts: dict[Address, float] = {}

    @property
    def members(self) -> int:
        """How many there are, we included."""
        return 1 + len(self.others)

    def senders(self, we_sent: bool) -> int:
        """How many of them send media."""
        return we_sent + sum(other.sent > -1e9 for other in self.others.values())

    def seen(self, ssrc: int, address: Address, now: float, *, control: bool = False) -> Verdict:
        """A packet of media, or of RTCP (`control`), came from a source (section 8.2)."""
        verdict = Verdict.TAKE
        if ssrc == self.ssrc:
            if address in self._conflicts:
                self._conflicts[address] = now
                return Verdict.LOOP
            if len(self._conflicts) >= _MOST_CONFLICTS:
                # Whoever sends our number from ever new addresses gets us to change no more.
                return Verdict.LOOP
            self._conflicts[address] = now
            self.collided = self.ssrc
            self.ssrc = self._new_ssrc(ssrc)
            verdict = Verdict.COLLISION
        other = self.others.get(ssrc)
        if other is None:
            if len(self.others) >= MOST_SOURCES:
                return Verdict.DROP
            other = self.others[ssrc] = Participant(now)
        known = other.control_address if control else other.address
        if known is not None and known != address and not self._moving:
            return Verdict.DROP
        if control:
            other.control_address = address
        else:
            other.address = address
            other.sent = now
        other.heard = now
        return verdict

    def _new_ssrc(self, taken: int) -> int:
        while True:
            ssrc = self._draw_ssrc() & 0xFFFFFFFF
            if ssrc != taken and ssrc not in self.others:
                return ssrc

    def left(self, ssrc: int) -> bool:
        """BYE of a source; tell whether it was one of ours to hear (section 6.3.4)."""
        return self.others.pop(ssrc, None) is not None

    def expire(self, now: float, interval: float) -> list[int]:
        """Forget who has been silent: members for five intervals, senders for two (section 6.3.5).

        `interval` is the calculated one, in seconds. Gives the sources that are gone.
        """
        gone = [
            ssrc for ssrc, other in self.others.items() if now - other.heard > _MEMBER_INTERVALS * interval
        ]
        for ssrc in gone:
            del self.others[ssrc]
        for other in self.others.values():
            if now - other.sent > _SENDER_INTERVALS * interval:
                other.sent = -1e9
        old = [
            address
            for address, heard in self._conflicts.items()
            if now - heard > _CONFLICT_INTERVALS * interval
        ]
        for address in old:
            del self._conflicts[address]
        return gone
