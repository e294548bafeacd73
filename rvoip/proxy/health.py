"""Whether a gateway is fit to take calls: a machine that is told of probes, calls and the time.

States: "active" takes calls; "probing" does too, but has failed lately, or comes back after a rest;
"inactive" takes none until a probe is answered or its rest is over; "disabled" takes none and is not probed
until the operator says otherwise.
"""

from __future__ import annotations

__all__ = ["ACTIVE", "DISABLED", "INACTIVE", "PROBING", "STATES", "Health"]

ACTIVE = "active"
PROBING = "probing"
INACTIVE = "inactive"
DISABLED = "disabled"
STATES = (ACTIVE, PROBING, INACTIVE, DISABLED)


class Health:
    """State of one gateway.

    After `fail_after` failures in a row it is inactive, after `recover_after` answers in a row active again.
    One that is not `probed` is tried again `rest` seconds after it became inactive.
    """

    __slots__ = (
        "_until",
        "fail_after",
        "failures",
        "probed",
        "recover_after",
        "rest",
        "since",
        "state",
        "successes",
    )

    def __init__(
        self,
        now: float,
        fail_after: int = 3,
        recover_after: int = 1,
        rest: float = 60.0,
        probed: bool = False,
    ) -> None:
        self.fail_after = fail_after
        self.recover_after = recover_after
        self.rest = rest
        self.probed = probed
        self.state = ACTIVE
        self.since = now
        """When the state was entered, in monotonic seconds."""
        self.failures = 0
        """In a row."""
        self.successes = 0
        """In a row."""
        self._until = 0.0

    def configure(self, fail_after: int, recover_after: int, rest: float, probed: bool) -> None:
        """Take new rules over; the state stays."""
        self.fail_after, self.recover_after, self.rest, self.probed = fail_after, recover_after, rest, probed

    def look(self, now: float) -> str:
        """The state at this time."""
        if self.state == INACTIVE and now >= self._until:
            self._enter(PROBING, now)
            self.failures = self.fail_after - 1  # one more, and it rests again
        return self.state

    def succeeded(self, now: float) -> None:
        """A probe or a call was answered; that does not end a rest that it asked for."""
        if self.state == INACTIVE and now < self._until < float("inf"):
            return
        self.failures = 0
        if self.state in (PROBING, INACTIVE):
            self.successes += 1
            if self.successes >= self.recover_after:
                self._enter(ACTIVE, now)

    def failed(self, now: float, rest: float | None = None) -> None:
        """A probe or a call was not answered, or refused because the gateway is unwell.

        `rest`: it asked for this many seconds of peace (Retry-After), and is inactive for so long at once.
        """
        self.successes = 0
        if self.state == DISABLED:
            return
        self.failures += 1
        if rest is not None:
            self._enter(INACTIVE, now)
            self._until = now + rest
        elif self.failures >= self.fail_after:
            if self.state != INACTIVE:
                self._enter(INACTIVE, now)
                self._until = float("inf") if self.probed else now + self.rest
        elif self.state == ACTIVE:
            self._enter(PROBING, now)

    def set_state(self, state: str, now: float) -> None:
        """The operator decides. ValueError for a word that is no state."""
        if state not in STATES:
            raise ValueError(f"{state!r} is none of {', '.join(STATES)}")
        self._enter(state, now)
        self.failures = self.fail_after - 1 if state == PROBING else 0
        self._until = float("inf")

    def _enter(self, state: str, now: float) -> None:
        if state != self.state:
            self.state = state
            self.since = now
        self.successes = 0
