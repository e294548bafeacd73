"""Publishes what happens to one sink: in order, again until it has been taken, without holding up a call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.common.events import EventBus, Subscription
from rvoip.common.log import LogLimiter
from rvoip.common.printable import printable
from rvoip.proxy.events import Answered
from rvoip.proxy.limits import Limited
from rvoip.services.activity import RegistrationChanged
from rvoip.services.calls import CallOver
from rvoip.services.event_sink import EventsRefused
from rvoip.services.happening import of_answer, of_end, of_limit, of_registration

__all__ = ["BATCH", "PATIENCE", "EventQueue"]

BATCH: Final = 100
"""Events that are sent together."""

PATIENCE: Final = 10.0
"""Seconds that a sink may take for them."""

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
"""Seconds until what was not taken is sent again: doubled each time."""

_LAST: Final = 3.0
"""Seconds that a stop waits for what is left."""

_log = Logger()


class EventQueue(Service):
    """Sends events to an `IEventSink` in batches, one after the other.

    What is not taken is sent again, later each time, and holds up what comes after it; what is refused for
    good is lost. Up to `size` events wait in memory; more are lost. Each has an `id`, by which whoever gets
    them knows one that comes twice.
    """

    def __init__(
        self,
        reactor: Any,
        sink: Any,
        kinds: Collection[str],
        size: int,
        events: EventBus,
        role: str,
        wall: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._reactor = reactor
        self.sink = sink
        self._kinds = frozenset(kinds)
        self._size = size
        self._events = events
        self._role = role
        self._wall = wall
        self._new_id = new_id
        self._lines = LogLimiter(reactor.seconds)
        self._queue: deque[dict[str, Any]] = deque()
        self._subscriptions: list[Subscription[Any]] = []
        self._sending: Deferred[None] | None = None
        self._taken = 0
        self._wait = FIRST_WAIT
        self._timer: Any = None
        self._emptied: Deferred[None] | None = None
        self.sent = 0
        self.lost = 0

    @property
    def waiting(self) -> int:
        """Events that wait to be taken."""
        return len(self._queue)

    def startService(self) -> None:
        """Listen to what happens."""
        super().startService()
        for prefix, kind, words in (
            ("registration.", RegistrationChanged, of_registration),
            ("call.answered", Answered, of_answer),
            ("call.refused", Answered, of_answer),
            ("call.ended", CallOver, of_end),
            ("call.limited", Limited, of_limit),
        ):
            if any(one.startswith(prefix) for one in self._kinds):
                self._listen(kind, words)

    def _listen(self, kind: type, words: Callable[[Any], dict[str, Any]]) -> None:
        if any(one.event_class is kind for one in self._subscriptions):
            return
        made: Subscription[Any] = self._events.subscribe(
            kind, lambda one: self._add(words(one)), limit=self._size, name=f"events to {self.sink.name}"
        )
        self._subscriptions.append(made)

    def stopService(self) -> Deferred[None]:
        """Send what happened until now; fires when it is taken, or after three seconds."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._events.idle()
        for subscription in self._subscriptions:
            subscription.cancel()
        self._subscriptions = []
        if self._queue:
            emptied: Deferred[None] = Deferred()
            self._emptied = emptied
            emptied.addTimeout(_LAST, self._reactor, onTimeoutCancel=lambda *_: None)
            self._send_now()
            await emptied
            self._emptied = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue:
            self.lost += len(self._queue)
            _log.error("{lost} events were not told to {sink}", lost=len(self._queue), sink=self.sink.name)
            self._queue.clear()
        if self._sending is not None:
            self._sending.cancel()
        await maybeDeferred(self.sink.close)

    def _add(self, happened: dict[str, Any]) -> None:
        if happened["kind"] not in self._kinds:
            return
        if len(self._queue) >= self._size:
            self.lost += 1
            self._trouble("more events wait than [events] queue allows; one is lost", "full")
            return
        head = {"id": self._new_id(), "time": self._wall(), "role": self._role}
        self._queue.append({**head, **happened})
        if self._timer is None and self._sending is None:
            self._send()

    def _send_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sending is None:
            self._send()

    def _send(self) -> None:
        self._timer = None
        if not self._queue:
            if self._emptied is not None and not self._emptied.called:
                self._emptied.callback(None)
            return
        batch = [self._queue[place] for place in range(min(BATCH, len(self._queue)))]
        self._taken = len(batch)
        try:
            sending: Deferred[None] = self.sink.send(batch)
        except Exception:
            sending = fail(Failure())
        self._sending = sending
        sending.addTimeout(PATIENCE, self._reactor)
        sending.addCallbacks(self._sent, self._failed)

    def _sent(self, result: object) -> None:
        self.sent += self._taken
        self._next()

    def _next(self) -> None:
        """The batch is done with."""
        self._sending = None
        for _ in range(min(self._taken, len(self._queue))):
            self._queue.popleft()
        self._wait = FIRST_WAIT
        # In a turn of its own: a sink that takes at once must not build up a stack.
        self._timer = self._reactor.callLater(0, self._send)

    def _failed(self, failure: Failure) -> None:
        reason = printable(failure.getErrorMessage() or type(failure.value).__name__)
        if failure.check(EventsRefused):
            self.lost += self._taken
            self._trouble(f"{reason}; {self._taken} events are lost")
            self._next()
            return
        self._sending = None
        if self.running or self._emptied is not None:
            self._trouble(f"{reason}; what waits is sent again in {self._wait:g} s")
            self._timer = self._reactor.callLater(self._wait, self._send)
            self._wait = min(2 * self._wait, LONGEST_WAIT)

    def _trouble(self, reason: str, source: str = "sink") -> None:
        suppressed = self._lines.allow(source)
        if suppressed is not None:
            _log.error("[events] {sink}: {reason}", sink=self.sink.name, reason=reason, suppressed=suppressed)
