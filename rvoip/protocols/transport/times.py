"""How long a stream connection may take for what."""

from __future__ import annotations

from typing import NamedTuple

from rvoip.protocols.transport.limits import TransportLimits

__all__ = ["Overdue", "StreamTimes"]


class Overdue(NamedTuple):
    """A time that has run out."""

    reason: str
    abort: bool
    """Whether to reset the connection; else it is closed in order."""


class StreamTimes:
    """A machine that is told what happens on one connection and when, and says when that took too long.

    All times are monotonic seconds; None stands for what is not under way.
    """

    __slots__ = (
        "_limits",
        "activity",
        "closing",
        "handshake",
        "kept_until",
        "partial",
        "ping_due",
        "ping_every",
        "pinged",
        "stuck",
    )

    def __init__(self, limits: TransportLimits, now: float, handshake: bool = False) -> None:
        self._limits = limits
        self.activity = now
        """When something last came or went."""
        self.handshake: float | None = now if handshake else None
        """Since when the handshake lasts, of TLS or of a WebSocket."""
        self.partial: float | None = None
        """Since when a message is incomplete."""
        self.stuck: float | None = None
        """Since when too much is unsent."""
        self.closing: float | None = None
        """Since when the connection is being closed."""
        self.kept_until = now
        """Until when it is not idle, whatever happens."""
        self.ping_every: float | None = None
        """Seconds between keep-alives of ours."""
        self.ping_due = now
        self.pinged: float | None = None
        """When the keep-alive went out that is not answered yet."""

    def received(self, now: float, completed: bool, pending: bool) -> None:
        """Octets came: they completed a message or not, and some of another one are held or not."""
        self.activity = now
        if not pending:
            self.partial = None
        elif completed or self.partial is None:
            self.partial = now

    def reading_stopped(self, now: float) -> None:
        """Too much is unsent: nothing is read."""
        self.stuck = now
        # What is not read cannot become complete.
        self.partial = None

    def reading_resumed(self, now: float, pending: bool) -> None:
        """The peer reads again, and so do we."""
        self.stuck = None
        self.partial = now if pending else None

    def wants_ping(self, now: float) -> bool:
        """Whether to send a keep-alive now; it is then taken as sent."""
        every = self.ping_every
        if every is None or now < self.ping_due or self.pinged is not None or self.closing is not None:
            return False
        self.ping_due = now + every
        self.pinged = now
        return True

    def overdue(self, now: float) -> Overdue | None:
        """What has taken too long, if anything has."""
        limits = self._limits
        if self.closing is not None:
            if now - self.closing >= limits.stuck_timeout:
                return Overdue("it could not be closed in order", True)
            return None
        if self.stuck is not None and now - self.stuck >= limits.stuck_timeout:
            return Overdue(f"the peer has not read for {limits.stuck_timeout:g} s", True)
        if self.handshake is not None and now - self.handshake >= limits.handshake_timeout:
            return Overdue(f"no handshake within {limits.handshake_timeout:g} s", True)
        if self.partial is not None and now - self.partial >= limits.partial_timeout:
            return Overdue(f"a message was not complete within {limits.partial_timeout:g} s", True)
        if self.pinged is not None and now - self.pinged >= limits.pong_timeout:
            return Overdue(f"a keep-alive was not answered within {limits.pong_timeout:g} s", True)
        if now - self.activity >= limits.idle_timeout and now >= self.kept_until:
            return Overdue(f"idle for {limits.idle_timeout:g} s", False)
        return None
