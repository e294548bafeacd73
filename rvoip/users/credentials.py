"""Digest credentials in memory, true to the store within a second whichever process writes to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred, DeferredLock, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.users.errors import StoreBusy, StoreError
from rvoip.users.interfaces import ICredentials, ICredentialSource
from rvoip.users.passwords import HA1Set

__all__ = ["CredentialCache"]

_Key = tuple[str, str]
_Waiters = list[Deferred[HA1Set | None]]

# Characters: user, "@" and domain at their longest. What is longer is nobody's username.
_MAX_USERNAME = 128 + 1 + 253
_BATCH = 500


@implementer(ICredentials)
class CredentialCache:
    """Answers `lookup` from memory and asks `source` for the rest, in batches of what came meanwhile.

    While the accounts fit into `capacity` all of them are held, and a username that is not among them is
    answered at once as well: neither an unknown user nor a restart costs a question, and the time that an
    answer takes does not tell who has an account. With more accounts the ones used last are held, and up to
    `negatives` of the usernames that were asked for in vain. An entry takes about 350 bytes.

    Every `interval` seconds the cache asks what was written, by the command line for one, and drops that,
    unless `may_have_changed` says that it need not ask;
    after a write of this process it does so before the writer is answered. While the store does not answer,
    what is in memory goes on being served. At most `max_waiting` lookups wait, more fail with StoreBusy.
    """

    _log = Logger()

    def __init__(
        self,
        source: ICredentialSource,
        clock: IReactorTime,
        *,
        capacity: int = 20_000,
        negatives: int = 10_000,
        max_waiting: int = 5_000,
        interval: float = 0.5,
        may_have_changed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._source = source
        self._capacity = capacity
        self._negatives = negatives
        self._max_waiting = max_waiting
        self._interval = interval
        self._known: OrderedDict[_Key, HA1Set] = OrderedDict()
        self._absent: OrderedDict[_Key, None] = OrderedDict()
        # Whether what is neither known nor unsure does not exist; not said of usernames with an "@".
        self._complete = False
        self._unsure: set[_Key] = set()
        # The store's revision that the entries are true to; None before everything was read once.
        self._revision: int | None = None
        # Rises when entries are dropped: what was asked for before is not remembered.
        self._epoch = 0
        self._queued: dict[_Key, _Waiters] = {}
        self._flying: dict[_Key, _Waiters] = {}
        self._is_fetching = False
        self._waiting = 0
        self._following = DeferredLock()
        self._is_failing = False
        self._may_have_changed = may_have_changed
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        #: Lookups answered from memory, and those that had to ask.
        self.hits = 0
        self.misses = 0
        source.follow(self._written)

    def start(self) -> Deferred[None]:
        """Read the store, then follow it; fires when that was tried; a failure is logged and tried again."""

        def begin(_: object) -> None:
            self._loop.start(self._interval, now=False).addErrback(self._stopped_following)

        return self._follow().addCallback(begin)

    def stop(self) -> None:
        """Follow the store no more."""
        if self._loop.running:
            self._loop.stop()

    @property
    def waiting(self) -> int:
        """How many lookups wait for the store."""
        return self._waiting

    @property
    def is_failing(self) -> bool:
        """Whether the store did not answer when it was asked last."""
        return self._is_failing

    def __len__(self) -> int:
        return len(self._known) + len(self._absent)

    def lookup(self, user: str, realm: str) -> HA1Set | Deferred[HA1Set | None] | None:
        """See `ICredentials`."""
        key = (user, realm)
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        elif key in self._absent:
            self._absent.move_to_end(key)
        elif not (self._complete and "@" not in user and key not in self._unsure):
            return self._ask(key)
        self.hits += 1
        return found

    # Asking the store

    def _ask(self, key: _Key) -> Deferred[HA1Set | None] | None:
        self.misses += 1
        if len(key[0]) > _MAX_USERNAME or not key[0].isprintable():
            return None
        if self._waiting >= self._max_waiting:
            return fail(StoreBusy("too many lookups of credentials wait"))
        waiters = self._queued.get(key) or self._flying.get(key)
        if waiters is None:
            waiters = self._queued[key] = []
        answer: Deferred[HA1Set | None] = Deferred()
        waiters.append(answer)
        self._waiting += 1
        self._fetch()
        return answer

    def _fetch(self) -> None:
        """Ask for what is queued, unless an answer is under way already."""
        if self._is_fetching or not self._queued:
            return
        if len(self._queued) <= _BATCH:
            batch, self._queued = self._queued, {}
        else:
            batch = {key: self._queued.pop(key) for key in list(self._queued)[:_BATCH]}
        self._is_fetching = True
        self._flying = batch
        asked = self._source.find_credentials(list(batch))
        asked.addCallback(self._fetched, batch, self._epoch)
        asked.addErrback(self._not_fetched, batch)

    def _fetched(self, found: dict[_Key, HA1Set], batch: dict[_Key, _Waiters], epoch: int) -> None:
        if epoch == self._epoch:
            for key in batch:
                self._remember(key, found.get(key))
        for key, waiters in self._end(batch):
            for waiter in waiters:
                waiter.callback(found.get(key))
        self._fetch()

    def _not_fetched(self, failure: Failure, batch: dict[_Key, _Waiters]) -> None:
        for _, waiters in self._end(batch):
            for waiter in waiters:
                waiter.errback(failure)
        self._fetch()

    def _end(self, batch: dict[_Key, _Waiters]) -> list[tuple[_Key, _Waiters]]:
        if self._flying is batch:
            self._flying = {}
        self._is_fetching = False
        ended = list(batch.items())
        self._waiting -= sum(len(waiters) for _, waiters in ended)
        return ended

    # What is in memory

    def _remember(self, key: _Key, found: HA1Set | None) -> None:
        self._unsure.discard(key)
        if found is not None:
            self._known[key] = found
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
                self._complete = False
        elif not self._complete or "@" in key[0]:
            self._absent[key] = None
            if len(self._absent) > self._negatives:
                self._absent.popitem(last=False)

    def _drop(self, keys: Iterable[_Key]) -> None:
        self._epoch += 1
        # Who asks from now on does not join a question that may be answered with what was before.
        self._flying = {}
        for key in keys:
            self._known.pop(key, None)
            self._absent.pop(key, None)
            self._unsure.add(key)
        if len(self._unsure) > self._negatives:
            self._complete = False
        if not self._complete:
            self._unsure.clear()

    def _drop_all(self) -> None:
        self._known.clear()
        self._absent.clear()
        self._complete = False
        self._revision = None
        self._drop(())

    # Following the store

    def _look(self) -> Deferred[None] | None:
        """Catch up if there may be something to catch up with."""
        changed = self._may_have_changed()
        return self._follow() if changed or self._revision is None or self._is_failing else None

    def _follow(self) -> Deferred[None]:
        """Catch up with the store; never fails."""
        return self._following.run(self._catch_up).addErrback(self._not_caught_up)

    def _written(self) -> Deferred[None]:
        """After a write of this process; if the store cannot say what it was, all is dropped."""

        def doubt(failure: Failure) -> None:
            self._drop_all()
            self._not_caught_up(failure)

        return self._following.run(self._catch_up).addErrback(doubt)

    def _catch_up(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._read())

    async def _read(self) -> None:
        if self._revision is not None:
            changes = await self._source.changes_since(self._revision)
            self._answered()
            if changes.keys is not None:
                self._revision = changes.revision
                if changes.keys:
                    self._drop(changes.keys)
                return
            self._drop_all()
        snapshot = await self._source.snapshot(self._capacity)
        self._answered()
        # Also what was fetched meanwhile may be older than the revision.
        self._drop_all()
        self._revision = snapshot.revision
        if snapshot.credentials is not None:
            self._known.update(((user, realm), found) for user, realm, found in snapshot.credentials)
            self._complete = True

    def _answered(self) -> None:
        if self._is_failing:
            self._is_failing = False
            self._log.info("The store of users answers again")

    def _not_caught_up(self, failure: Failure) -> None:
        if failure.check(StoreError) is None:
            self._log.failure("Following the store of users failed", failure)
        elif not self._is_failing:
            self._is_failing = True
            self._log.warn(
                "The store of users does not answer, going on with what is in memory: {reason}",
                reason=failure.getErrorMessage(),
            )

    def _stopped_following(self, failure: Failure) -> None:
        self._log.failure("The store of users is followed no more", failure)
