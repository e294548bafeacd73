"""Digest credentials that another system keeps: asked one at a time, remembered for a while.

A phone waits for the answer, so the system's troubles must not become ours: few questions are under way, one
for each account whoever asks, few lookups wait for them, and a system that does not answer is left alone.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.users.accounts import check_user
from rvoip.users.breaker import Breaker
from rvoip.users.errors import AccountError, StoreBusy, StoreError, UnusableAccount
from rvoip.users.interfaces import IAccountSource, ICredentials
from rvoip.users.passwords import HA1Set

__all__ = ["RemoteCredentials", "RemoteLimits"]

_Key = tuple[str, str]

V = TypeVar("V")

_BETWEEN_LINES = 10.0
"""Seconds between two warnings."""

_MAX_USERNAME = 128 + 1 + 253


class RemoteLimits(NamedTuple):
    """How much is asked and remembered. Times are seconds."""

    timeout: float = 2.0
    """That an answer may take."""
    ttl: float = 300.0
    """That an answer is believed."""
    negative_ttl: float = 30.0
    """That somebody is believed to have no account."""
    stale: float = 3600.0
    """That an answer is used beyond `ttl` while there is no newer one."""
    entries: int = 20_000
    """Accounts that are remembered, and as many usernames without one."""
    in_flight: int = 16
    """Questions under way."""
    waiting: int = 500
    """Lookups that wait for an answer."""


class _Known(NamedTuple):
    found: HA1Set
    fetched: float


@implementer(ICredentials)
class RemoteCredentials:
    """Answers `lookup` from memory, else asks `source` (an `IAccountSource`).

    An answer is used for `limits.ttl` seconds, and for `limits.stale` more while the source does not answer.
    More lookups than may wait, and those while the source is left alone, fail with StoreBusy.
    """

    _log = Logger()

    def __init__(self, source: IAccountSource, clock: IReactorTime, limits: RemoteLimits) -> None:
        self._source = source
        self._clock = clock
        self._limits = limits
        self._known: OrderedDict[_Key, _Known] = OrderedDict()
        self._absent: OrderedDict[_Key, float] = OrderedDict()
        self._queue: deque[_Key] = deque()
        self._waiters: dict[_Key, list[Deferred[HA1Set | None]]] = {}
        self._flying: dict[_Key, Deferred[HA1Set | None]] = {}
        self._waiting = 0
        self._breaker = Breaker()
        self._stopped = False
        self._tell_at = 0.0
        #: Lookups answered from memory, and those that had to wait for the source or were refused.
        self.hits = 0
        self.misses = 0
        self.refused = 0

    def start(self) -> None:
        """Nothing is read before it is asked for."""

    def stop(self) -> None:
        """Ask no more; whoever waits gets StoreBusy."""
        self._stopped = True
        self._queue.clear()
        for asking in list(self._flying.values()):
            asking.cancel()
        for key in list(self._waiters):
            self._end(key, Failure(StoreBusy("the source of accounts is closed")))
        self._source.close()

    @property
    def waiting(self) -> int:
        """How many lookups wait for the source."""
        return self._waiting

    @property
    def in_flight(self) -> int:
        """How many questions are under way."""
        return len(self._flying)

    @property
    def is_failing(self) -> bool:
        """Whether the source does not answer: then a wrong password may be one that was changed."""
        return self._breaker.is_open

    def __len__(self) -> int:
        return len(self._known) + len(self._absent)

    def lookup(self, user: str, realm: str) -> HA1Set | Deferred[HA1Set | None] | None:
        """See `ICredentials`."""
        key = (user, realm)
        now = self._clock.seconds()
        known = self._known.get(key)
        if known is not None and now < known.fetched + self._limits.ttl:
            self._known.move_to_end(key)
            self.hits += 1
            return known.found
        absent_until = self._absent.get(key)
        if absent_until is not None:
            if now < absent_until:
                self.hits += 1
                return None
            del self._absent[key]
        if not _may_exist(user, realm):
            self.hits += 1
            return None
        self.misses += 1
        waiters = self._waiters.get(key)
        if self._waiting < self._limits.waiting and not self._stopped:
            if waiters is not None:
                return self._wait(waiters)
            if self._breaker.allows(now):
                waiters = self._waiters[key] = []
                answer = self._wait(waiters)
                self._queue.append(key)
                self._ask()
                return answer
        stale = self._stale(key, now)
        if stale is not None:
            return stale
        self.refused += 1
        if self._waiting >= self._limits.waiting:
            self._tell(now, "More than {waiting} lookups wait for the source of accounts", self._waiting)
        return fail(StoreBusy("the source of accounts does not answer, or too many wait for it"))

    def _wait(self, waiters: list[Deferred[HA1Set | None]]) -> Deferred[HA1Set | None]:
        answer: Deferred[HA1Set | None] = Deferred()
        waiters.append(answer)
        self._waiting += 1
        return answer

    def _stale(self, key: _Key, now: float) -> HA1Set | None:
        known = self._known.get(key)
        if known is None:
            return None
        if now < known.fetched + self._limits.ttl + self._limits.stale:
            return known.found
        del self._known[key]
        return None

    # Asking

    def _ask(self) -> None:
        while self._queue and len(self._flying) < self._limits.in_flight:
            key = self._queue.popleft()
            if not self._breaker.allows(self._clock.seconds()):
                self._end(key, Failure(StoreBusy("the source of accounts does not answer")))
                continue
            self._breaker.asked()
            try:
                asking = self._source.find(*key)
            except StoreError:
                asking = fail(Failure())
            self._flying[key] = asking
            asking.addTimeout(self._limits.timeout, self._clock, _too_late(self._limits.timeout))
            asking.addCallbacks(
                self._answered, self._not_answered, callbackArgs=(key,), errbackArgs=(key,)
            ).addErrback(self._broken)

    def _answered(self, found: HA1Set | None, key: _Key) -> None:
        self._flying.pop(key, None)
        now = self._clock.seconds()
        self._alive()
        if found is None:
            self._known.pop(key, None)
            _put(self._absent, key, now + self._limits.negative_ttl, self._limits.entries)
        else:
            self._absent.pop(key, None)
            _put(self._known, key, _Known(found, now), self._limits.entries)
        self._end(key, found)
        self._ask()

    def _not_answered(self, failure: Failure, key: _Key) -> None:
        self._flying.pop(key, None)
        if self._stopped:
            return
        error = failure.value
        if not isinstance(error, StoreError):
            error = StoreError(failure.getErrorMessage() or str(failure.type))
            failure = Failure(error)
        now = self._clock.seconds()
        if isinstance(error, UnusableAccount):
            # It is alive: one bad account must not shut the others out.
            self._alive()
            self._tell(now, "The source of accounts has an account that is of no use: {reason}", 0, error)
        elif not self._breaker.failed(now):
            if not self._breaker.is_open:
                self._tell(now, "The source of accounts failed once: {reason}", 0, error)
        else:
            self._log.error(
                "The source of accounts does not answer, going on with what is in memory: {reason}",
                reason=error.reason,
            )
        stale = self._stale(key, now)
        self._end(key, failure if stale is None else stale)
        self._ask()

    def _alive(self) -> None:
        if self._breaker.succeeded():
            self._log.info("The source of accounts answers again")

    def _tell(self, now: float, text: str, waiting: int = 0, error: StoreError | None = None) -> None:
        """A line of warning, at most one in ten seconds."""
        if now >= self._tell_at:
            self._tell_at = now + _BETWEEN_LINES
            self._log.warn(text, waiting=waiting, reason="" if error is None else error.reason)

    def _end(self, key: _Key, result: HA1Set | Failure | None) -> None:
        waiters = self._waiters.pop(key, [])
        self._waiting -= len(waiters)
        for waiter in waiters:
            if isinstance(result, Failure):
                waiter.errback(result)
            else:
                waiter.callback(result)

    def _broken(self, failure: Failure) -> None:
        self._log.failure("A lookup of an account went wrong", failure)


def _too_late(seconds: float) -> Callable[[object, float], Failure]:
    return lambda result, timeout: Failure(StoreBusy(f"no answer within {seconds:g} s"))


def _put(entries: OrderedDict[_Key, V], key: _Key, value: V, most: int) -> None:
    entries[key] = value
    entries.move_to_end(key)
    if len(entries) > most:
        entries.popitem(last=False)


def _may_exist(username: str, realm: str) -> bool:
    """Whether an account may have this digest username: "alice", or "alice@REALM"."""
    if len(username) > _MAX_USERNAME:
        return False
    user = username.removesuffix(f"@{realm}") if "@" in username else username
    try:
        return check_user(user) == user
    except AccountError:
        return False
