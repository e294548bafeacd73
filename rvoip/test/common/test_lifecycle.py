"""The order of starting and stopping, and a stop that always ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.application.service import IService, IServiceCollection, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.common.errors import StartError
from rvoip.common.lifecycle import STOP_DEADLINE, OrderedService


class Part(Service):
    """A service that notes what is asked of it."""

    def __init__(self, label: str, calls: list[str]) -> None:
        self.label = label
        self.calls = calls
        self.on: dict[str, Callable[[], object]] = {}

    def privilegedStartService(self) -> None:
        self.note("open")

    def startService(self) -> None:
        super().startService()
        self.note("start")

    def stopService(self) -> object:
        super().stopService()
        return self.note("stop")

    def note(self, what: str) -> object:
        self.calls.append(f"{what} {self.label}")
        return self.on[what]() if what in self.on else None


def fail(error: BaseException) -> Callable[[], object]:
    def raising() -> object:
        raise error

    return raising


class OrderedServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.calls: list[str] = []
        self.service = OrderedService(self.clock)
        self.a, self.b, self.c = (Part(label, self.calls) for label in "abc")
        for part in (self.a, self.b, self.c):
            self.service.add(part, name=part.label)

    def start(self) -> None:
        self.service.privilegedStartService()
        self.service.startService()
        self.calls.clear()

    def events(self) -> list[LogEvent]:
        seen: list[LogEvent] = []
        observer = cast(ILogObserver, seen.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return seen

    def test_interfaces(self) -> None:
        verifyObject(IService, self.service)
        verifyObject(IServiceCollection, self.service)
        self.assertIsInstance(self.service, MultiService)
        self.assertIs(self.service.getServiceNamed("b"), self.b)
        self.assertEqual(list(self.service), [self.a, self.b, self.c])

    def test_order(self) -> None:
        self.service.privilegedStartService()
        self.service.startService()
        self.assertEqual(self.calls, ["open a", "open b", "open c", "start a", "start b", "start c"])
        self.assertTrue(self.service.running)
        self.calls.clear()
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.calls, ["stop c", "stop b", "stop a"])
        self.assertFalse(self.service.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_each_stop_waits_for_the_one_before(self) -> None:
        self.start()
        waits: dict[str, Deferred[None]] = {label: Deferred() for label in "abc"}
        for part in (self.a, self.b, self.c):
            part.on["stop"] = lambda label=part.label: waits[label]  # type: ignore[misc]
        stopped = self.service.stopService()
        self.assertEqual(self.calls, ["stop c"])
        waits["c"].callback(None)
        self.assertEqual(self.calls, ["stop c", "stop b"])
        waits["b"].callback(None)
        self.assertNoResult(stopped)
        waits["a"].callback(None)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_async_stop_is_awaited(self) -> None:
        self.start()
        wait: Deferred[None] = Deferred()

        async def stop() -> None:
            await wait

        self.c.on["stop"] = stop
        stopped = self.service.stopService()
        self.assertEqual(self.calls, ["stop c"])
        wait.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.calls, ["stop c", "stop b", "stop a"])

    def test_a_stop_that_never_ends_is_left_at_its_deadline(self) -> None:
        never: Deferred[None] = Deferred()
        slow = Part("slow", self.calls)
        slow.on["stop"] = lambda: never
        self.service.add(slow, name="slow", stop_deadline=2.0)
        self.start()
        seen = self.events()
        stopped = self.service.stopService()
        self.clock.advance(1.99)
        self.assertEqual(self.calls, ["stop slow"])
        self.clock.advance(0.01)
        self.assertEqual(self.calls, ["stop slow", "stop c", "stop b", "stop a"])
        self.successResultOf(stopped)
        (event,) = seen
        self.assertEqual((event["service"], event["deadline"]), ("slow", 2.0))
        never.callback(None)  # too late: nothing more happens
        self.assertEqual(len(seen), 1)

    def test_a_stop_that_fails_after_its_deadline_is_logged(self) -> None:
        late: Deferred[None] = Deferred()
        self.c.on["stop"] = lambda: late
        self.start()
        stopped = self.service.stopService()
        self.clock.advance(STOP_DEADLINE)
        self.successResultOf(stopped)
        late.errback(ValueError("late"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_failing_stops_are_logged_and_the_others_are_stopped(self) -> None:
        failed: Deferred[None] = Deferred()
        self.c.on["stop"] = fail(ValueError("at once"))
        self.b.on["stop"] = lambda: failed
        self.start()
        stopped = self.service.stopService()
        failed.errback(KeyError("later"))
        self.successResultOf(stopped)
        self.assertEqual(self.calls, ["stop c", "stop b", "stop a"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_stopping_twice(self) -> None:
        self.start()
        wait: Deferred[None] = Deferred()
        self.b.on["stop"] = lambda: wait
        first, second = self.service.stopService(), self.service.stopService()
        self.assertNoResult(first)
        self.assertNoResult(second)
        wait.callback(None)
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.calls, ["stop c", "stop b", "stop a"])

    def test_stopping_what_never_started(self) -> None:
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.calls, [])

    def test_stopping_after_the_privileged_start_alone(self) -> None:
        self.service.privilegedStartService()
        self.calls.clear()
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.calls, ["stop c", "stop b", "stop a"])

    def test_a_failing_privileged_start_gives_back_what_was_opened(self) -> None:
        for error in (StartError("port in use"), SystemExit("port in use"), OSError(98, "in use")):
            self.calls.clear()
            self.c.on["open"] = fail(error)
            with self.assertRaises(type(error)) as caught:
                self.service.privilegedStartService()
            self.assertIs(caught.exception, error)
            self.assertEqual(self.calls, ["open a", "open b", "open c", "stop b", "stop a"])

    def test_a_failing_start_stops_all_that_was_opened(self) -> None:
        self.b.on["start"] = fail(ValueError("no"))
        self.service.privilegedStartService()
        with self.assertRaises(ValueError):
            self.service.startService()
        self.assertEqual(self.calls[3:], ["start a", "start b", "stop c", "stop b", "stop a"])
        self.assertFalse(self.service.running)

    def test_starting_again(self) -> None:
        self.start()
        self.successResultOf(self.service.stopService())
        self.calls.clear()
        self.service.privilegedStartService()
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.calls[-3:], ["stop c", "stop b", "stop a"])

    def test_a_child_added_while_running_starts_at_once(self) -> None:
        self.start()
        late = Part("late", self.calls)
        self.service.add(late, name="late")
        self.assertEqual(self.calls, ["open late", "start late"])
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.calls[2:], ["stop late", "stop c", "stop b", "stop a"])

    def test_a_child_taken_out(self) -> None:
        self.start()
        self.successResultOf(self.b.disownServiceParent())
        self.assertEqual(self.calls, ["stop b"])
        self.assertNotIn("b", self.service.namedServices)
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.calls, ["stop b", "stop c", "stop a"])

    def test_a_child_taken_out_before_the_start(self) -> None:
        self.successResultOf(self.b.disownServiceParent())
        self.start()
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.calls, ["stop c", "stop a"])

    def test_names_are_unique(self) -> None:
        with self.assertRaises(RuntimeError):
            self.service.add(Part("a", self.calls), name="a")
        self.assertEqual(len(self.service.services), 3)

    def test_nested_roles_have_time_for_their_children(self) -> None:
        never: Deferred[None] = Deferred()
        role = OrderedService(self.clock)
        inner = Part("inner", self.calls)
        inner.on["stop"] = lambda: never
        role.add(Part("first", self.calls), name="first")
        role.add(inner, name="inner", stop_deadline=30)
        self.service.add(role, name="role")
        self.assertEqual(role.longest_stop, 30 + STOP_DEADLINE)
        self.assertEqual(self.service.longest_stop, 30 + 4 * STOP_DEADLINE)
        self.start()
        stopped = self.service.stopService()
        self.clock.advance(29.9)
        self.assertEqual(self.calls, ["stop inner"])
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.calls, ["stop inner", "stop first", "stop c", "stop b", "stop a"])
