"""The calls that are up, kept as long as the role runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from rvoip.common.events import EventBus
from rvoip.proxy.calls import Call, Calls
from rvoip.proxy.hang_up import hang_up
from rvoip.proxy.proxy import Proxy
from rvoip.services.busy_lamps import BusyLamps
from rvoip.services.limits import LimitsService

__all__ = ["CallOver", "CallsService"]

_SWEEP: Final = 10.0
"""Seconds between two looks for calls that nobody refreshed."""


@attrs.frozen
class CallOver:
    """A call that was answered is over; `why` as in `Calls`, or "operator". Wall time in seconds."""

    call: Call
    why: str
    began: float
    answered: float
    ended: float


class CallsService(Service):
    """Has the proxy show its calls, publishes `CallOver` of each, and ends one on demand."""

    name = "calls"

    def __init__(
        self,
        reactor: Any,
        proxy: Proxy,
        most: int,
        events: EventBus,
        wall: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._reactor = reactor
        self._proxy = proxy
        self._events = events
        self._wall = wall
        self._by_operator: set[str] = set()
        self.lamps: BusyLamps | None = None
        """Told of each call that is over, where there are busy lamps."""
        self.limits: LimitsService | None = None
        """The same, where users are limited."""
        self.calls = Calls(most, new_id, self._over)
        self._loop = LoopingCall(lambda: self.calls.expire(reactor.seconds()))
        self._loop.clock = reactor
        self.use(most)

    def use(self, most: int) -> None:
        """Keep up to this many calls from now on; 0: none."""
        self.calls.most = most
        self._proxy.calls = self.calls if most else None

    def startService(self) -> None:
        """Begin to look for calls that nobody refreshed."""
        super().startService()
        self._loop.start(_SWEEP, now=False)

    def stopService(self) -> None:
        """Look no more; the calls that are up go on without us, and count as over."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        self.calls.clear("shutdown")

    def now(self) -> float:
        """The reactor's clock."""
        seconds: float = self._reactor.seconds()
        return seconds

    def wall_of(self, then: float) -> float:
        """The wall time of a point in time of the reactor's clock."""
        return self._wall() - self.now() + then

    def end(self, call: Call) -> Deferred[list[int]]:
        """Send a BYE to each end; fires with the statuses of caller and callee."""
        self._by_operator.add(call.id)

        def over(statuses: list[int]) -> list[int]:
            self.calls.forget(call)
            self._by_operator.discard(call.id)
            return statuses

        reason = "Ended by the operator"
        return hang_up(self._proxy, call, reason, self._reactor).addCallback(over)

    def _over(self, call: Call, why: str) -> None:
        if self.lamps is not None:
            self.lamps.over(call)
        if self.limits is not None:
            self.limits.over(call)
        if self._events.wants(CallOver):
            why = "operator" if call.id in self._by_operator else why
            began, answered = self.wall_of(call.began), self.wall_of(call.answered)
            self._events.publish(CallOver(call, why, began, answered, self._wall()))
