"""Records of calls, from the events of a role to their sinks, by way of a thread that may wait for a disk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from rvoip.common.errors import ConfigError, StartError
from rvoip.common.events import EventBus, Subscription
from rvoip.common.log import LogLimiter
from rvoip.proxy.events import Answered
from rvoip.services.calls import CallOver
from rvoip.services.config import Records
from rvoip.services.record import CallRecord, text_of, uri_of
from rvoip.services.record_sinks import RecordSink, SinkError, SQLSink, csv_sink, json_sink

__all__ = ["RecordsService", "record_sinks"]

_BATCH: Final = 500
"""Records that are written together when many wait."""

_AGAIN: Final = 1.0
"""Seconds after which what could not be written is tried again."""

_REMEMBERED: Final = 1000
"""Calls that were refused a moment ago."""

_LAST: Final = 3.0
"""Seconds that a stop waits for records to be written."""

_log = Logger()


def record_sinks(table: Records, file: str) -> list[RecordSink]:
    """What the `[records]` table names; `ConfigError` for what is none."""
    sinks: list[RecordSink] = []
    if table.csv:
        sinks.append(csv_sink(table.csv))
    if table.jsonl:
        sinks.append(json_sink(table.jsonl))
    if table.sql:
        try:
            sinks.append(SQLSink(table.sql))
        except StartError as error:
            raise ConfigError(file, "records.sql", error.reason) from None
    return sinks


class _Writer(Thread):
    """Takes records out of a queue and writes them to one sink, in their order, again until it works.

    `told` is called in this thread with what went wrong.
    """

    def __init__(self, sink: RecordSink, size: int, told: Callable[[RecordSink, str], None]) -> None:
        super().__init__(name=f"records {sink.name}", daemon=True)
        self.sink = sink
        self.queue: Queue[CallRecord | None] = Queue(size)
        self.written = 0
        self.lost = 0
        self._told = told
        self._ending = Event()
        self._reopen = Event()

    def add(self, record: CallRecord) -> None:
        """From the reactor's thread: never waits."""
        try:
            self.queue.put_nowait(record)
        except Full:
            self.lost += 1
            self._told(self.sink, "more records wait than [records] queue allows; one is lost")

    def reopen(self) -> None:
        """Have the file opened anew before the next record."""
        self._reopen.set()

    def end(self) -> None:
        """Have it end when all is written, or cannot be."""
        self._ending.set()
        try:
            self.queue.put_nowait(None)
        except Full:
            return  # it looks at the flag when the queue is empty

    def run(self) -> None:
        """Write, until it is told to end."""
        ending = False
        while not ending:
            batch, ending = self._next()
            while batch:
                try:
                    if self._reopen.is_set():
                        self._reopen.clear()
                        self.sink.reopen()
                    self.sink.write(batch)
                except SinkError as error:
                    self._told(self.sink, str(error))
                    if self._ending.wait(_AGAIN):
                        self.lost += len(batch) + self.queue.qsize()
                        self.sink.close()
                        return
                else:
                    self.written += len(batch)
                    batch = []
        self.sink.close()

    def _next(self) -> tuple[list[CallRecord], bool]:
        """What waits, up to a batch; and whether nothing comes after it."""
        batch: list[CallRecord] = []
        try:
            first = self.queue.get(timeout=_AGAIN)
        except Empty:
            return batch, self._ending.is_set()
        while first is not None:
            batch.append(first)
            if len(batch) == _BATCH:
                return batch, False
            try:
                first = self.queue.get_nowait()
            except Empty:
                return batch, False
        return batch, True


class RecordsService(Service):
    """Writes a record of each call that ends or is refused, to each sink.

    A sink that is slow or does not work holds up nothing: up to `size` records wait for it in memory, more
    are lost and counted.
    """

    name = "records"

    def __init__(
        self,
        reactor: Any,
        sinks: Sequence[RecordSink],
        size: int,
        events: EventBus,
        role: str,
        wall: Callable[[], float],
        new_id: Callable[[], str],
        tracked: Callable[[], bool],
    ) -> None:
        """`tracked` says whether a call that was answered is told of again when it is over."""
        self._reactor = reactor
        self._sinks = sinks
        self._size = size
        self._events = events
        self._role = role
        self._wall = wall
        self._new_id = new_id
        self._tracked = tracked
        self._lines = LogLimiter(reactor.seconds)
        self._subscriptions: list[Subscription[Any]] = []
        self._refused: OrderedDict[str, float] = OrderedDict()
        self.writers: list[_Writer] = []

    def privilegedStartService(self) -> None:
        """Open the sinks; `StartError` in one line when one cannot be."""
        super().privilegedStartService()
        for sink in self._sinks:
            sink.open()

    def startService(self) -> None:
        """Start the threads and listen to what happens."""
        super().startService()
        self.writers = [_Writer(sink, self._size, self._trouble) for sink in self._sinks]
        for writer in self.writers:
            writer.start()
        limit = self._size
        self._subscriptions = [
            self._events.subscribe(CallOver, self._over, limit=limit, name="records"),
            self._events.subscribe(Answered, self._answered, limit=limit, name="records"),
        ]

    def stopService(self) -> Deferred[None]:
        """Write what happened until now; fires when that is done, or after three seconds."""
        super().stopService()
        if not self.writers:
            for sink in self._sinks:
                sink.close()
            return succeed(None)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._events.idle()
        for subscription in self._subscriptions:
            subscription.cancel()
        for writer in self.writers:
            writer.end()
        done: Deferred[None] = Deferred()
        deadline = self._reactor.seconds() + _LAST

        def look() -> None:
            if not any(writer.is_alive() for writer in self.writers) or self._reactor.seconds() >= deadline:
                done.callback(None)
            else:
                self._reactor.callLater(0.01, look)

        look()
        await done
        lost = sum(
            writer.lost + (writer.queue.qsize() if writer.is_alive() else 0) for writer in self.writers
        )
        if lost:
            _log.error("{lost} records of calls were not written", lost=lost)

    def reopen(self) -> None:
        """Open files anew, after another program has renamed them."""
        for writer in self.writers:
            writer.reopen()

    def _over(self, event: CallOver) -> None:
        call = event.call
        self._write(
            call_id=text_of(call.call_id),
            began=event.began,
            answered=event.answered,
            ended=event.ended,
            duration=max(0.0, event.ended - event.answered),
            status=200,
            reason="OK",
            end=event.why,
            caller=uri_of(call.caller.value),
            callee=uri_of(call.callee.value),
            uri=text_of(call.uri),
            user=text_of(call.user),
            source=call.caller.address,
            destination=call.callee.address,
        )

    def _answered(self, event: Answered) -> None:
        is_answered = event.status < 300
        if is_answered and self._tracked():
            return
        now = self._wall()
        if self._is_again(event.call_id, now):
            return
        self._write(
            call_id=text_of(event.call_id),
            began=now - event.after,
            answered=now if is_answered else None,
            ended=now,
            duration=0.0,
            status=event.status,
            reason=text_of(event.reason),
            end="answered" if is_answered else "refused",
            caller=text_of(event.caller),
            callee=text_of(event.callee),
            uri=text_of(event.uri),
            user=text_of(event.user),
            source=event.source,
            destination=event.destination,
        )

    def _is_again(self, call_id: str, now: float) -> bool:
        """Whether this call was refused a moment ago: one that comes by twice is answered twice as well."""
        refused = self._refused
        before = refused.pop(call_id, None)
        refused[call_id] = now
        if len(refused) > _REMEMBERED:
            refused.popitem(last=False)
        return before is not None and abs(now - before) < 1.0

    def _write(self, **values: Any) -> None:
        record = CallRecord(id=self._new_id(), role=self._role, **values)
        for writer in self.writers:
            writer.add(record)

    def _trouble(self, sink: RecordSink, reason: str) -> None:
        def say() -> None:
            suppressed = self._lines.allow(sink)
            if suppressed is not None:
                _log.error("Records of calls: {reason}", reason=reason, suppressed=suppressed)

        self._reactor.callFromThread(say)
