"""A typed event bus: publish an object, and whoever subscribed to its class or a base class is told.

Events are frozen attrs or msgspec classes. Nothing that a subscriber does reaches the publisher or another
subscriber: `publish` only appends to bounded queues, which are emptied in later turns of the reactor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["EventBus", "Subscription"]

E = TypeVar("E")

BATCH: Final = 64
"""Events that one subscriber gets in a turn of the reactor, before the others and the network get theirs."""

DROP_LOG_INTERVAL: Final = 10.0
"""Seconds between two log lines about events that one subscriber lost."""

_log = Logger()


class Subscription(Generic[E]):
    """One subscriber's place on the bus: its queue, its losses, and the way to leave."""

    __slots__ = ("_bus", "_busy", "_callback", "_drops_logged", "_last_drop_log", "_queue", "dropped",
                 "event_class", "limit", "name")  # fmt: skip

    def __init__(
        self, bus: EventBus, event_class: type[E], callback: Callable[[E], object], limit: int, name: str
    ) -> None:
        self._bus: EventBus | None = bus
        self._callback = callback
        self._queue: deque[E] = deque()
        self._busy = False
        self._drops_logged = 0
        self._last_drop_log: float | None = None
        self.event_class = event_class
        self.limit = limit
        self.name = name
        self.dropped = 0
        """Events that this subscriber never saw because its queue was full."""

    @property
    def pending(self) -> int:
        """Events that wait in the queue."""
        return len(self._queue)

    def cancel(self) -> None:
        """Leave the bus; what is still in the queue is not delivered. Harmless when repeated."""
        if self._bus is not None:
            self._bus._remove(self)
            self._bus = None
            self._queue.clear()

    def _push(self, event: E, clock: IReactorTime) -> None:
        queue = self._queue
        if len(queue) >= self.limit:
            queue.popleft()
            self.dropped += 1
            now = clock.seconds()
            if self._last_drop_log is None or now - self._last_drop_log >= DROP_LOG_INTERVAL:
                lost, self._drops_logged = self.dropped - self._drops_logged, self.dropped
                self._last_drop_log = now
                _log.warn(
                    "Subscriber {subscriber} is too slow: {dropped} events dropped",
                    subscriber=self.name,
                    dropped=lost,
                    limit=self.limit,
                )
        queue.append(event)

    def _deliver(self) -> None:
        """Hand over events until the batch is done, the queue is empty or the subscriber asks for time."""
        queue = self._queue
        for _ in range(BATCH):
            if not queue or self._busy:
                return
            event = queue.popleft()
            try:
                answer = self._callback(event)
            except Exception:
                self._failed(Failure())
                continue
            if answer is not None and isawaitable(answer):
                self._wait_for(answer)

    def _wait_for(self, answer: Awaitable[object]) -> None:
        self._busy = True
        waiting = answer if isinstance(answer, Deferred) else Deferred.fromCoroutine(_awaited(answer))
        waiting.addErrback(self._failed).addBoth(self._answered)

    def _answered(self, _: object) -> None:
        self._busy = False
        if self._bus is not None:
            self._bus._wake(self)

    def _failed(self, failure: Failure) -> None:
        _log.failure(
            "Subscriber {subscriber} failed on a {event_class}",
            failure,
            subscriber=self.name,
            event_class=self.event_class.__name__,
        )


class EventBus:
    """Publish and subscribe by class, inside one process and in the reactor's thread."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._subscriptions: dict[Subscription[Any], None] = {}
        self._routes: dict[type, tuple[Subscription[Any], ...]] = {}
        self._ready: dict[Subscription[Any], None] = {}
        self._scheduled = False
        self._idle: list[Deferred[None]] = []

    def subscribe(
        self, event_class: type[E], callback: Callable[[E], object], *, limit: int = 1000, name: str = ""
    ) -> Subscription[E]:
        """Call `callback` with each later event of `event_class` or a subclass, in the order of publishing.

        While an awaitable that `callback` returned is unfinished, the next event waits in a queue of at most
        `limit` events; the oldest is dropped for the newest, and counted. An exception is logged and the next
        event delivered. `name` stands for the subscriber in the log.
        """
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        name = name or getattr(callback, "__qualname__", None) or type(callback).__name__
        subscription = Subscription(self, event_class, callback, limit, name)
        self._subscriptions[subscription] = None
        self._routes.clear()
        return subscription

    def wants(self, event_class: type) -> bool:
        """Tell whether anyone would be told; a hot path asks before it builds an event."""
        try:
            return self._routes[event_class] != ()
        except KeyError:
            return self._route(event_class) != ()

    def publish(self, event: object) -> None:
        """Queue `event` for its subscribers and return; they are called in a later turn of the reactor."""
        event_class = type(event)
        route = self._routes.get(event_class)
        if route is None:
            route = self._route(event_class)
        for subscription in route:
            subscription._push(event, self._clock)
            self._wake(subscription)

    def dropped(self) -> dict[str, int]:
        """Events that subscribers lost because their queues were full, by subscriber's name."""
        lost: dict[str, int] = {}
        for subscription in self._subscriptions:
            lost[subscription.name] = lost.get(subscription.name, 0) + subscription.dropped
        return lost

    def idle(self) -> Deferred[None]:
        """Fire once no event waits and no subscriber is at work: then what subscribers write to can close."""
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        self._check_idle()
        return waiting

    def _route(self, event_class: type) -> tuple[Subscription[Any], ...]:
        route = tuple(one for one in self._subscriptions if issubclass(event_class, one.event_class))
        self._routes[event_class] = route
        return route

    def _wake(self, subscription: Subscription[Any]) -> None:
        self._ready[subscription] = None
        if not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._run)

    def _run(self) -> None:
        self._scheduled = False
        ready, self._ready = self._ready, {}
        for subscription in ready:
            subscription._deliver()
            if subscription._queue and not subscription._busy:
                self._wake(subscription)
        self._check_idle()

    def _check_idle(self) -> None:
        if self._idle and not any(one._queue or one._busy for one in self._subscriptions):
            fired, self._idle = self._idle, []
            for waiting in fired:
                waiting.callback(None)

    def _remove(self, subscription: Subscription[Any]) -> None:
        del self._subscriptions[subscription]
        self._ready.pop(subscription, None)
        self._routes.clear()
        self._check_idle()


def _awaited(answer: Awaitable[object]) -> Coroutine[Deferred[Any], Any, object]:
    """Make a coroutine of any awaitable."""

    async def wait() -> object:
        return await answer

    return wait()
