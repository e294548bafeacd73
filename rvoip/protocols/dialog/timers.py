"""The timer values of RFC 3261 table 4, all in seconds and derived from T1, T2 and T4."""

from __future__ import annotations

__all__ = ["Timers"]


class Timers:
    """Frozen timer values. `t1` is the round-trip estimate, `t2` the longest retransmit interval of a
    non-INVITE request or INVITE response, `t4` how long a message stays in the network.
    """

    __slots__ = ("lifetime", "t1", "t2", "t4")

    def __init__(self, t1: float = 0.5, t2: float = 4.0, t4: float = 5.0) -> None:
        if not 0.0 < t1 <= t2:
            raise ValueError("T1 must be positive and not above T2")
        self.t1 = t1
        self.t2 = t2
        self.t4 = t4
        self.lifetime = 64 * t1
        """64*T1: timers B, F, H, J, L, M and (at least 32 s) D."""

    @property
    def d(self) -> float:
        """Timer D over UDP: at least 32 seconds (RFC 3261 section 17.1.1.2)."""
        return max(32.0, self.lifetime)
