"""Which nonce counts were used: each pair of nonce and count is accepted once."""

from __future__ import annotations

__all__ = ["WINDOW", "ReplayWindow"]

#: How far behind its highest count a nonce takes counts that come late.
WINDOW = 64

_MASK = (1 << WINDOW) - 1
# What a nonce used without a count leaves: every count of 32 bits is used.
_USED_UP = 0xFFFF_FFFF << WINDOW | _MASK


class ReplayWindow:
    """Remembers at most `max_nonces` nonces by their serial numbers, the ones used last.

    A nonce that was forgotten is not accepted again, nor is one with a lower serial number that was never
    seen: its client is told that it is stale and takes a new one. A nonce that was not used for `max_idle`
    seconds, the time for which nonces are fresh, is forgotten as well. Only what was verified is asked of the
    window, so nobody without a password fills it. An entry takes about 120 bytes (measured at 100,000).
    """

    # Two generations in place of a list in order of use: what is used moves to the recent one; when that is
    # full or `max_idle` old, the older one is forgotten. Half the memory, and nothing to do per request.
    __slots__ = ("_floor", "_half", "_max_idle", "_older", "_older_top", "_recent", "_recent_top", "_since")

    def __init__(self, max_nonces: int = 100_000, max_idle: float = 300.0) -> None:
        if max_nonces < 2:
            raise ValueError("a replay window holds at least two nonces")
        self._half = max_nonces // 2
        self._max_idle = max_idle
        # serial -> highest count << 64 | bits, of which bit n says that the count `highest - n` was used
        self._recent: dict[int, int] = {}
        self._older: dict[int, int] = {}
        # The highest serials that were stored in each.
        self._recent_top = -1
        self._older_top = -1
        # No serial up to this one is accepted unless it is remembered.
        self._floor = -1
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    def accept(self, serial: int, nc: int | None, wall_now: float) -> bool:
        """Whether this is the first use of the nonce with the count `nc` (1 to 2**32 - 1); then it is used.

        None stands for a request without a count (RFC 2069), for which a nonce is good once and alone.
        """
        state = self._recent.get(serial)
        if state is None:
            state = self._older.get(serial)
        if state is None:
            if serial <= self._floor:
                return False
            self._keep(serial, _USED_UP if nc is None else nc << WINDOW | 1, wall_now)
            return True
        if nc is None:
            return False
        ahead = nc - (state >> WINDOW)
        if ahead > 0:
            bits = (state << ahead | 1) & _MASK if ahead < WINDOW else 1
            self._keep(serial, nc << WINDOW | bits, wall_now)
            return True
        if ahead <= -WINDOW:
            return False
        bit = 1 << -ahead
        if state & bit:
            return False
        self._keep(serial, state | bit, wall_now)
        return True

    def _keep(self, serial: int, state: int, wall_now: float) -> None:
        idle = wall_now - self._since
        if idle < 0.0:
            self._since = wall_now
        elif idle >= self._max_idle:
            self._age(wall_now)
        recent = self._recent
        if serial not in recent:
            self._older.pop(serial, None)
            if len(recent) >= self._half:
                self._age(wall_now)
                recent = self._recent
            if serial > self._recent_top:
                self._recent_top = serial
        recent[serial] = state

    def _age(self, wall_now: float) -> None:
        """Forget the older generation."""
        if self._older_top > self._floor:
            self._floor = self._older_top
        self._older, self._older_top = self._recent, self._recent_top
        self._recent, self._recent_top = {}, -1
        self._since = wall_now
