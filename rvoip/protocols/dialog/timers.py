"""The timer values of RFC 3261 table 4, all in seconds and derived from T1, T2 and T4."""

from __future__ import annotations

__all__ = ["Timers"]


class Timers:
    """Frozen timer values. `t1` is the round-trip estimate, `t2` the longest retransmit interval of a
    non-INVITE request or INVITE response (never below T1), `t4` how long a message stays in the network.
    """

    __slots__ = ("lifetime", "patience", "t1", "t2", "t4")

    def __init__(self, t1: float = 0.5, t2: float = 4.0, t4: float = 5.0) -> None:
        if not (t1 > 0.0 and t4 >= 0.0):
            raise ValueError("T1 must be positive, and T4 not negative")
        self.t1 = t1
        self.t2 = t2 = max(t1, t2)
        self.t4 = t4
        self.lifetime = 64 * t1
        """64*T1: timers B, F, H, J, L, M and (at least 32 s) D."""
        self.patience = _until_slow(t1, t2)
        """When a client's Timer E has reached T2: a request other than INVITE gets a 100 then, not before
        (RFC 4320 section 4.1)."""

    @property
    def d(self) -> float:
        """Timer D over UDP: at least 32 seconds (RFC 3261 section 17.1.1.2)."""
        return max(32.0, self.lifetime)


def _until_slow(t1: float, t2: float) -> float:
    interval = passed = t1
    while interval * 2 < t2:
        interval *= 2
        passed += interval
    return passed
