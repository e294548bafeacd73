"""A thread for what blocks: batches, limits, failures, and a server that stands still."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rvoip.registrar.errors import StoreBusy, StoreError
from rvoip.registrar.stores.worker import Limits, Task, Trouble, Worker
from rvoip.test.registrar.stores.threads import Pump


class PumpClock(Pump, Clock):
    """A clock whose calls from threads are made by `wait`."""

    def __init__(self) -> None:
        Clock.__init__(self)
        Pump.__init__(self)


class WorkerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = PumpClock()
        self.batches: list[list[Any]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.ended = False
        self.error: Exception | None = None
        self.worker = Worker(
            "test", "server://x", self.reactor, self.serve, self.end, Limits(patience=3.0, max_waiting=5)
        )

    def serve(self, tasks: Sequence[Task]) -> list[Any]:
        self.reached.set()
        self.gate.wait(30)
        self.batches.append([task.what for task in tasks])
        if self.error is not None:
            raise self.error
        special = {"bad": StoreError("bad"), "trouble": Trouble(StoreError("server://x is gone"))}
        return [special.get(task.what, task.what * 2) for task in tasks]

    def end(self) -> None:
        self.ended = True

    def start(self) -> None:
        self.worker.start()
        self.addCleanup(lambda: self.reactor.wait(self.worker.close()))

    def test_results(self) -> None:
        self.start()
        asked = [self.worker.ask(what) for what in ("a", "bad", "c")]
        self.assertEqual(self.reactor.wait(asked[0]), "aa")
        self.assertRaises(StoreError, self.reactor.wait, asked[1])
        self.assertEqual(self.reactor.wait(asked[2]), "cc")
        self.assertEqual(self.worker.trouble, "")

    def test_what_waits_is_done_together(self) -> None:
        self.start()
        self.gate.clear()
        first = self.worker.ask("a")
        self.reached.wait(30)
        others = [self.worker.ask(what) for what in "bcd"]
        self.gate.set()
        for each in (first, *others):
            self.reactor.wait(each)
        self.assertEqual(self.batches, [["a"], ["b", "c", "d"]])

    def test_too_many(self) -> None:
        self.start()
        self.gate.clear()
        self.worker.ask("a").addErrback(lambda _: None)
        self.reached.wait(30)
        waiting = [self.worker.ask("b") for _ in range(5)]
        self.failureResultOf(self.worker.ask("c"), StoreBusy)
        self.gate.set()
        for each in waiting:
            self.assertEqual(self.reactor.wait(each), "bb")

    def test_a_server_that_stands_still(self) -> None:
        """Who waits is told after a while, who comes then at once; when it goes on so does all."""
        self.start()
        self.gate.clear()
        first, second = self.worker.ask("a"), self.worker.ask("b")
        self.reached.wait(30)
        self.reactor.advance(2.9)
        self.assertNoResult(first)
        self.reactor.advance(0.4)
        self.failureResultOf(first, StoreError)
        self.failureResultOf(second, StoreError)
        self.assertEqual(self.worker.trouble, "server://x does not answer")
        self.failureResultOf(self.worker.ask("c"), StoreError)
        self.gate.set()
        self.flushLoggedErrors()
        self.reactor.pump_one()
        self.assertEqual(self.reactor.wait(self.worker.ask("d")), "dd")
        self.assertEqual(self.worker.trouble, "")

    def test_trouble_of_one(self) -> None:
        """The server is in trouble; what it did before in the same batch is done."""
        self.start()
        self.gate.clear()
        self.worker.ask("first")
        self.reached.wait(30)
        good, trouble = self.worker.ask("a"), self.worker.ask("trouble")
        self.gate.set()
        self.assertRaises(StoreError, self.reactor.wait, trouble)
        self.assertEqual(self.successResultOf(good), "aa")
        self.assertEqual(self.worker.trouble, "server://x is gone")
        # More of the same does not look like recovery.
        self.assertRaises(StoreError, self.reactor.wait, self.worker.ask("trouble"))
        self.assertEqual(self.worker.trouble, "server://x is gone")
        self.reactor.wait(self.worker.ask("b"))
        self.assertEqual(self.worker.trouble, "")

    def test_failures(self) -> None:
        self.start()
        for error, expected in (
            (StoreError("no"), "no"),
            (ZeroDivisionError("oops"), "server://x: ZeroDivisionError('oops')"),
        ):
            self.error = error
            found = self.assertRaises(StoreError, self.reactor.wait, self.worker.ask("a"))
            self.assertEqual((found.reason, self.worker.trouble), (expected, expected))
        self.error = None
        self.assertEqual(self.reactor.wait(self.worker.ask("a")), "aa")
        self.assertEqual(self.worker.trouble, "")

    def test_close_finishes_what_waits(self) -> None:
        self.start()
        self.gate.clear()
        asked = [self.worker.ask(what) for what in "abcd"]
        closed = self.worker.close()
        self.failureResultOf(self.worker.ask("e"), StoreError)
        self.gate.set()
        self.reactor.wait(closed)
        self.assertTrue(self.ended)
        self.assertEqual([self.successResultOf(each) for each in asked], ["aa", "bb", "cc", "dd"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_close_does_not_wait_for_ever(self) -> None:
        self.worker.start()
        self.gate.clear()
        asked = self.worker.ask("a")
        self.reached.wait(30)
        closed = self.worker.close()
        self.reactor.advance(3.1)
        self.successResultOf(closed)
        self.failureResultOf(asked, StoreError)
        self.gate.set()

    def test_never_started(self) -> None:
        self.failureResultOf(self.worker.ask("a"), StoreError)
        self.successResultOf(self.worker.close())
