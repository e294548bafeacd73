"""The event bus: who is told, in which order, and who cannot be hurt."""

from __future__ import annotations

from typing import cast

import attrs
import msgspec
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.events import BATCH, DROP_LOG_INTERVAL, EventBus


@attrs.frozen
class Event:
    number: int = 0


@attrs.frozen
class Special(Event):
    pass


class Other(msgspec.Struct, frozen=True):
    name: str


class Turns(Clock):
    """A clock whose `turn` makes the calls that are due, as a reactor does, and not those that they add."""

    def turn(self) -> None:
        due = [call for call in self.calls if call.getTime() <= self.seconds()]
        later = [call for call in self.calls if call not in due]
        self.calls = due
        added: list[DelayedCall] = []
        while self.calls:
            call = self.calls.pop(0)
            waiting, self.calls = self.calls, []
            call.called = 1
            call.func(*call.args, **call.kw)
            added += self.calls
            self.calls = [one for one in waiting if one.active()]
        self.calls = later + added


class EventBusTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Turns()
        self.bus = EventBus(self.clock)
        self.seen: list[object] = []

    def turn(self, count: int = 1) -> None:
        for _ in range(count):
            self.clock.turn()

    def logged(self) -> list[LogEvent]:
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return events

    def test_delivery_is_in_a_later_turn_and_in_order(self) -> None:
        self.bus.subscribe(Event, self.seen.append)
        for number in range(10):
            self.bus.publish(Event(number))
        self.assertEqual(self.seen, [])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.turn()
        self.assertEqual(self.seen, [Event(number) for number in range(10)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_by_class_and_base_class(self) -> None:
        special: list[object] = []
        everything: list[object] = []
        self.bus.subscribe(Event, self.seen.append)
        self.bus.subscribe(Special, special.append)
        self.bus.subscribe(object, everything.append)
        for event in (Event(1), Special(2), Other("x")):
            self.bus.publish(event)
        self.turn()
        self.assertEqual(self.seen, [Event(1), Special(2)])
        self.assertEqual(special, [Special(2)])
        self.assertEqual(everything, [Event(1), Special(2), Other("x")])

    def test_wants(self) -> None:
        self.assertFalse(self.bus.wants(Special))
        subscription = self.bus.subscribe(Event, self.seen.append)
        self.assertTrue(self.bus.wants(Special))
        self.assertTrue(self.bus.wants(Event))
        self.assertFalse(self.bus.wants(Other))
        subscription.cancel()
        self.assertFalse(self.bus.wants(Special))

    def test_nobody_subscribed_costs_no_call(self) -> None:
        self.bus.publish(Event())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancel(self) -> None:
        subscription = self.bus.subscribe(Event, self.seen.append)
        self.bus.publish(Event(1))
        self.assertEqual(subscription.pending, 1)
        subscription.cancel()
        subscription.cancel()
        self.assertEqual(subscription.pending, 0)
        self.turn()
        self.bus.publish(Event(2))
        self.turn()
        self.assertEqual(self.seen, [])

    def test_cancel_from_inside_a_callback(self) -> None:
        def once(event: Event) -> None:
            self.seen.append(event)
            subscription.cancel()

        subscription = self.bus.subscribe(Event, once)
        self.bus.publish(Event(1))
        self.bus.publish(Event(2))
        self.turn(3)
        self.assertEqual(self.seen, [Event(1)])

    def test_one_subscriber_cancels_the_next(self) -> None:
        self.bus.subscribe(Event, lambda _: second.cancel())
        second = self.bus.subscribe(Event, self.seen.append)
        self.bus.publish(Event(1))
        self.turn(2)
        self.assertEqual(self.seen, [])

    def test_a_raising_subscriber_hurts_nobody(self) -> None:
        def broken(event: Event) -> None:
            self.seen.append(("broken", event.number))
            raise ValueError("broken")

        self.bus.subscribe(Event, broken)
        self.bus.subscribe(Event, lambda event: self.seen.append(("well", event.number)))
        self.bus.publish(Event(1))
        self.bus.publish(Event(2))
        self.turn()
        self.assertEqual(self.seen, [("broken", 1), ("broken", 2), ("well", 1), ("well", 2)])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_an_awaitable_holds_the_next_event_back(self) -> None:
        waits: list[Deferred[None]] = []

        def slow(event: Event) -> Deferred[None]:
            self.seen.append(event)
            waits.append(Deferred())
            return waits[-1]

        quick: list[object] = []
        self.bus.subscribe(Event, slow)
        self.bus.subscribe(Event, quick.append)
        for number in range(3):
            self.bus.publish(Event(number))
        self.turn(5)
        self.assertEqual(self.seen, [Event(0)])
        self.assertEqual(len(quick), 3)
        waits[0].callback(None)
        self.turn()
        self.assertEqual(self.seen, [Event(0), Event(1)])
        waits[1].errback(ValueError("one failed"))
        self.turn()
        self.assertEqual(self.seen, [Event(0), Event(1), Event(2)])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_coroutines_are_run(self) -> None:
        wait: Deferred[str] = Deferred()

        async def on_event(event: Event) -> None:
            self.seen.append(event)
            self.seen.append(await wait)

        self.bus.subscribe(Event, on_event)
        self.bus.publish(Event(1))
        self.bus.publish(Event(2))
        self.turn()
        self.assertEqual(self.seen, [Event(1)])
        wait.callback("done")
        self.turn()
        self.assertEqual(self.seen, [Event(1), "done", Event(2), None])

    def test_any_awaitable_is_awaited(self) -> None:
        class Awaitable:
            def __await__(inner) -> object:
                self.seen.append("awaited")
                return iter(())

        self.bus.subscribe(Event, lambda _: Awaitable())
        self.bus.publish(Event())
        self.turn()
        self.assertEqual(self.seen, ["awaited"])

    def test_the_oldest_is_dropped_and_counted(self) -> None:
        never: Deferred[None] = Deferred()
        logged = self.logged()

        def slow(event: Event) -> Deferred[None]:
            self.seen.append(event)
            return never

        subscription = self.bus.subscribe(Event, slow, limit=3, name="webhook")
        self.bus.publish(Event(0))
        self.turn()
        for number in range(1, 11):
            self.bus.publish(Event(number))
        self.assertEqual((subscription.pending, subscription.dropped), (3, 7))
        self.assertEqual(self.bus.dropped(), {"webhook": 7})
        (line,) = logged
        self.assertEqual((line["subscriber"], line["dropped"], line["limit"]), ("webhook", 1, 3))
        self.clock.advance(DROP_LOG_INTERVAL)
        self.bus.publish(Event(11))
        self.bus.publish(Event(12))
        self.assertEqual([event["dropped"] for event in logged], [1, 7])
        never.callback(None)
        self.turn()
        self.assertEqual(self.seen, [Event(number) for number in (0, 10, 11, 12)])

    def test_a_busy_subscriber_gets_a_batch_a_turn(self) -> None:
        order: list[str] = []
        self.bus.subscribe(Event, lambda _: order.append("a"))
        self.bus.subscribe(Event, lambda _: order.append("b"))
        for _ in range(BATCH + 1):
            self.bus.publish(Event())
        self.turn()
        self.assertEqual(order, ["a"] * BATCH + ["b"] * BATCH)
        self.turn()
        self.assertEqual(order[-2:], ["a", "b"])

    def test_a_subscriber_that_publishes_does_not_spin(self) -> None:
        def again(event: Event) -> None:
            self.seen.append(event)
            self.bus.publish(Event(event.number + 1))

        self.bus.subscribe(Event, again)
        self.bus.publish(Event(0))
        self.turn()
        self.assertEqual(len(self.seen), BATCH)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_idle(self) -> None:
        wait: Deferred[None] = Deferred()
        self.successResultOf(self.bus.idle())
        subscription = self.bus.subscribe(Event, lambda _: wait)
        self.bus.publish(Event(1))
        idle = self.bus.idle()
        self.turn()
        self.assertNoResult(idle)
        wait.callback(None)
        self.turn()
        self.successResultOf(idle)
        self.bus.publish(Event(2))
        idle = self.bus.idle()
        subscription.cancel()
        self.successResultOf(idle)

    def test_bad_limit(self) -> None:
        with self.assertRaises(ValueError):
            self.bus.subscribe(Event, self.seen.append, limit=0)
