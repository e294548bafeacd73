"""The connection of a process to its Redis: questions in batches, time limits, what comes after a failure.

What is asked within one turn of the reactor goes out together, and several such batches may be under way, so
the server syncs its file once for many changes. While the connection is down everything fails at once; it is
made anew after 0.1 s, then after twice as long, up to 2 s.
"""

from __future__ import annotations

import random
from collections import deque
from importlib import resources
from typing import Any, Final

import msgspec
import txredisapi
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.common.printable import printable
from rvoip.registrar.errors import StoreBusy, StoreError
from rvoip.registrar.stores.redis_address import DURABILITY_KEYS, RedisAddress, durability_objection
from rvoip.registrar.stores.server_clock import ServerClock

__all__ = ["MAX_WAITING", "RedisLink"]

MAX_WAITING: Final = 5000
"""Questions that may wait; one more is StoreBusy."""

_MOST_AT_ONCE: Final = 100
"""Questions of a batch: Redis does nothing else meanwhile, some 3 ms."""

_BATCHES: Final = 4
"""Batches under way at once."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0

_log = Logger()
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()

_Question = tuple[list[Any], Deferred[Any], float]


def script_text() -> str:
    """The script that Redis runs."""
    return resources.files("rvoip.registrar.stores").joinpath("location.lua").read_text("utf-8")


class _Connections(Factory):
    """Makes connections; the library wants to be told of some things that are done here."""

    noisy = False
    isLazy = False

    def buildProtocol(self, addr: Any) -> Any:
        """One connection, bytes in and out."""
        protocol = txredisapi.RedisProtocol(charset=None, convertNumbers=False)
        protocol.factory = self
        return protocol


class RedisLink:
    """Asks the Redis at `address`; `patience` seconds are what an answer may take."""

    def __init__(
        self, address: RedisAddress, reactor: Any, *, patience: float = 3.0, max_waiting: int = MAX_WAITING
    ) -> None:
        self.address = address
        self.trouble = ""
        """Why questions fail at the moment."""
        self.connections = 0
        """How many times the connection was made."""
        self._reactor = reactor
        self._patience = patience
        self._max_waiting = max_waiting
        self._clock = ServerClock()
        self._script = script_text()
        self._sha = ""
        self._protocol: Any = None
        self._connecting: Deferred[Any] | None = None
        self._waiting: deque[_Question] = deque()
        self._asked: set[Deferred[Any]] = set()
        self._under_way = 0
        self._flush_call: Any = None
        self._overdue_call: Any = None
        self._retry_call: Any = None
        self._pause = _FIRST_PAUSE
        self._closing: Deferred[None] | None = None
        self._closed = True

    @property
    def offset(self) -> float:
        """Seconds to add to the reactor's to get those of the server's clock."""
        return self._clock.offset

    def start(self, clock: float) -> None:
        """Begin to connect; `clock` is what the server's clock said just now."""
        self._closed = False
        self._closing = None
        self._clock.reset(clock, self._reactor.seconds())
        self._connect()

    def close(self) -> Deferred[None] | None:
        """Finish what was asked; fires when the connection is closed."""
        if self._closing is None:
            if self._closed:
                return None  # it was never open
            self._closing = Deferred()
            self._close_when_done()
        fired: Deferred[None] = Deferred()
        self._closing.addBoth(_passed_on, fired)
        return fired

    def ask(self, question: list[Any]) -> Deferred[Any]:
        """Queue a question of the script; its answer, or StoreError within `patience` seconds.

        Fails at once while the server is not to be had, and with StoreBusy when too much waits.
        """
        if self._closed or self._closing is not None:
            return fail(StoreError(f"{self.address.shown} is closed"))
        if self.trouble:
            return fail(StoreError(self.trouble))
        if len(self._waiting) >= self._max_waiting:
            return fail(StoreBusy(f"{self._max_waiting} questions wait for {self.address.shown}"))
        answered: Deferred[Any] = Deferred()
        now = self._reactor.seconds()
        self._waiting.append((question, answered, now + self._patience))
        if self._protocol is not None:
            if self._flush_call is None and self._under_way < _BATCHES:
                self._flush_call = self._reactor.callLater(0, self._flush_later)
        elif self._overdue_call is None:
            self._overdue_call = self._reactor.callLater(self._patience, self._overdue)
        return answered

    # -- batches

    def _flush_later(self) -> None:
        self._flush_call = None
        self._flush()

    def _flush(self) -> None:
        waiting = self._waiting
        now = self._reactor.seconds()
        while waiting and waiting[0][2] <= now:
            waiting.popleft()[1].errback(StoreBusy(f"{self.address.shown} has too much to do"))
        while waiting and self._protocol is not None and self._under_way < _BATCHES:
            self._send([waiting.popleft() for _ in range(min(len(waiting), _MOST_AT_ONCE))])
        if self._closing is not None:
            self._close_when_done()

    def _send(self, batch: list[_Question]) -> None:
        try:
            packed = _encoder.encode([question for question, _, _ in batch])
        except (UnicodeError, OverflowError):
            batch = self._encodable(batch)
            if not batch:
                return
            packed = _encoder.encode([question for question, _, _ in batch])
        deadline = batch[0][2]
        waits = _Batch(batch, packed, f"{deadline + self._clock.offset:.6f}", self._protocol)
        self._under_way += 1
        waits.timer = self._reactor.callLater(
            max(0.0, deadline - self._reactor.seconds()), self._timed_out, waits
        )
        self._evaluate(waits, ("EVALSHA", self._sha))

    def _evaluate(self, waits: _Batch, how: tuple[str, str]) -> None:
        asked = waits.protocol.execute_command(*how, 0, self.address.prefix, waits.until, waits.packed)
        asked.addCallbacks(self._answered, self._refused, callbackArgs=(waits,), errbackArgs=(waits,))
        asked.addErrback(lambda failure: _log.failure("An answer of Redis", failure))

    def _encodable(self, batch: list[_Question]) -> list[_Question]:
        """Those questions that can be written down; the others fail."""
        good = []
        for each in batch:
            try:
                _encoder.encode(each[0])
                good.append(each)
            except (UnicodeError, OverflowError) as error:
                each[1].errback(StoreError(f"{printable(str(each[0][1]))} cannot be stored: {error}"))
        return good

    def _answered(self, reply: Any, waits: _Batch) -> None:
        if waits.done:
            return
        self._end(waits)
        now = self._reactor.seconds()
        try:
            clock, *rest = _decoder.decode(reply)
            answers = rest[0] if rest else None
            if answers is not None and len(answers) != len(waits.batch):
                raise ValueError("not as many answers as questions")
        except (ValueError, TypeError, UnicodeError) as error:
            waits.fail(StoreError(f"{self.address.shown} answers nonsense: {printable(str(error))}"))
            self._flush()
            return
        if answers is None:
            self._clock.reset(clock, now)
            waits.fail(StoreError(f"{self.address.shown} was asked too late, or its clock was set"))
        else:
            self._clock.sample(clock, now)
            for (_, answered, _), answer in zip(waits.batch, answers, strict=True):
                if answer and answer[0] == "error":
                    answered.errback(StoreError(f"{self.address.shown}: {printable(str(answer[1]))[:200]}"))
                else:
                    answered.callback(answer)
        self._flush()

    def _refused(self, failure: Failure, waits: _Batch) -> None:
        """The batch as a whole: the connection was lost, or it is not a Redis that may be written to."""
        if waits.done:
            return
        reason = failure.getErrorMessage()
        if "NOSCRIPT" in reason and waits.protocol is self._protocol:
            self._evaluate(waits, ("EVAL", self._script))
            return
        self._end(waits)
        waits.protocol.transport.abortConnection()
        waits.fail(StoreError(f"{self.address.shown}: {printable(reason)[:200]}"))

    def _end(self, waits: _Batch) -> None:
        waits.done = True
        self._under_way -= 1
        if waits.timer is not None and waits.timer.active():
            waits.timer.cancel()

    def _timed_out(self, waits: _Batch) -> None:
        """Whoever does not answer is left: what it does with the question later, the script decides."""
        self._end(waits)
        # First this is known to be down: whoever hears of it may ask again at once.
        if waits.protocol is self._protocol:
            self._lost(f"{self.address.shown} does not answer")
        waits.protocol.transport.abortConnection()
        waits.fail(StoreError(f"{self.address.shown} does not answer"))

    def _overdue(self) -> None:
        """No connection yet, and somebody has waited for long enough."""
        self._overdue_call = None
        if self._protocol is None and self._waiting:
            self._fail_all(StoreError(f"{self.address.shown} cannot be reached"))

    def _fail_all(self, error: StoreError) -> None:
        waiting, self._waiting = self._waiting, deque()
        for _, answered, _ in waiting:
            answered.errback(type(error)(error.reason))

    # -- the connection

    def _connect(self) -> None:
        self._retry_call = None
        endpoint = HostnameEndpoint(
            self._reactor, self.address.host, self.address.port, timeout=self._patience
        )
        self._connecting = Deferred.fromCoroutine(self._set_up(endpoint))
        self._connecting.addTimeout(2 * self._patience, self._reactor)
        self._connecting.addCallbacks(self._made, self._not_made)

    async def _set_up(self, endpoint: Any) -> Any:
        protocol = await endpoint.connect(_Connections())
        try:
            protocol.transport.setTcpNoDelay(True)
            protocol.transport.setTcpKeepAlive(True)
            address = self.address
            if address.password:
                user = (address.username,) if address.username else ()
                await protocol.execute_command("AUTH", *user, address.password)
            await protocol.execute_command("SELECT", address.db)
            if address.durable:
                objection = durability_objection(await self._settings(protocol))
                if objection:
                    raise StoreError(f"{address.shown} may lose registrations: {objection}")
            self._sha = (await protocol.execute_command("SCRIPT", "LOAD", self._script)).decode("ascii")
        except BaseException:
            protocol.transport.abortConnection()
            raise
        return protocol

    async def _settings(self, protocol: Any) -> dict[str, str]:
        settings = {}
        for key in DURABILITY_KEYS:
            try:
                told = await protocol.execute_command("CONFIG", "GET", key)
            except txredisapi.ResponseError:
                continue
            if len(told) == 2:
                settings[key] = told[1].decode("utf-8", "replace")
        return settings

    def _made(self, protocol: Any) -> None:
        self._connecting = None
        if self._closed:
            protocol.transport.abortConnection()
            return
        self.connections += 1
        self._pause = _FIRST_PAUSE
        self._protocol = protocol
        protocol.whenDisconnected().addCallback(self._disconnected)
        if self.trouble:
            _log.info("{redis} answers again", redis=self.address.shown)
            self.trouble = ""
        if self._overdue_call is not None:
            self._overdue_call.cancel()
            self._overdue_call = None
        self._flush()

    def _not_made(self, failure: Failure) -> None:
        self._connecting = None
        if self._closed:
            return
        if isinstance(failure.value, StoreError):
            reason = failure.value.reason
        elif failure.check(txredisapi.ResponseError):
            reason = f"{self.address.shown}: {printable(failure.getErrorMessage())[:200]}"
        else:
            late = failure.check(CancelledError, TookTooLong)
            why = "it does not answer" if late else failure.getErrorMessage()
            reason = f"{self.address.shown} cannot be reached: {printable(why)[:200]}"
        if not self.trouble:
            _log.error("Registrations are refused: {reason}", reason=reason)
        self.trouble = reason
        self._fail_all(StoreError(reason))
        if self._closing is not None:
            self._close_when_done()
            return
        pause = self._pause * random.uniform(0.75, 1.25)  # so that not all come at once
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause)
        self._retry_call = self._reactor.callLater(pause, self._connect)

    def _disconnected(self, protocol: Any) -> None:
        if protocol is self._protocol:
            self._lost("")

    def _lost(self, reason: str) -> None:
        """Without a word of trouble the questions that come now wait for the next connection."""
        self._protocol = None
        if self._closing is not None:
            self._fail_all(StoreError(f"{self.address.shown} has closed the connection"))
            self._close_when_done()
            return
        if reason and not self.trouble:
            _log.error("Registrations are refused: {reason}", reason=reason)
            self.trouble = reason
            self._fail_all(StoreError(reason))
        if self._waiting and self._overdue_call is None:
            self._overdue_call = self._reactor.callLater(self._patience, self._overdue)
        self._connect()

    def _close_when_done(self) -> None:
        if self._closed:
            return
        if self._waiting and (self._protocol is not None or self._connecting is not None):
            return
        if self._under_way and self._protocol is not None:
            return
        self._fail_all(StoreError(f"{self.address.shown} is closed"))
        closing = self._closing
        protocol, self._protocol = self._protocol, None
        self._closed = True
        for call in (self._flush_call, self._overdue_call, self._retry_call):
            if call is not None and call.active():
                call.cancel()
        self._flush_call = self._overdue_call = self._retry_call = None
        if self._connecting is not None:
            self._connecting.cancel()
        if closing is None:
            return
        if protocol is None:
            closing.callback(None)
        else:
            protocol.whenDisconnected().addCallback(lambda _: closing.callback(None))
            protocol.transport.loseConnection()


class _Batch:
    """Questions that were sent together."""

    __slots__ = ("batch", "done", "packed", "protocol", "timer", "until")

    def __init__(self, batch: list[_Question], packed: bytes, until: str, protocol: Any) -> None:
        self.batch = batch
        self.packed = packed
        self.until = until
        self.protocol = protocol
        self.timer: Any = None
        self.done = False

    def fail(self, error: StoreError) -> None:
        """One error each: whoever waits may raise it, and a traceback belongs to one of them."""
        for _, answered, _ in self.batch:
            answered.errback(StoreError(error.reason))


def _passed_on(result: Any, to: Deferred[None]) -> Any:
    to.callback(None)
    return result
