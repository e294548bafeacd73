"""The user store for a server: the calls of `UserStore` in threads, as Deferreds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast

from twisted.internet.defer import Deferred, DeferredSemaphore, fail, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from rvoip.users.accounts import Account, APIKey
from rvoip.users.errors import StoreBusy
from rvoip.users.interfaces import ICredentialSource, IUserStore
from rvoip.users.limits import AccountLimits, DayTotals
from rvoip.users.passwords import HA1Set
from rvoip.users.records import Changes, ImportResult, Page, Snapshot
from rvoip.users.store import UserStore

__all__ = ["AsyncUserStore"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Seconds by which the noted last use of an API key may lag: a write for each request would be too many.
_TOUCH_INTERVAL = 60.0


class _Turns:
    """Calls in threads, `width` at a time and at most `depth` waiting: a burst cannot take the whole pool."""

    def __init__(self, width: int, depth: int, what: str) -> None:
        self._free = DeferredSemaphore(width)
        self._width = width
        self._depth = depth
        self._what = what
        self._begun = 0

    def run(self, start: Callable[[], Deferred[_T]]) -> Deferred[_T]:
        """Call `start` when it is its turn; StoreBusy at once when too many wait."""
        if self._begun >= self._width + self._depth:
            return fail(StoreBusy(f"too many {self._what} wait"))
        self._begun += 1

        def done(result: _T) -> _T:
            self._begun -= 1
            return result

        return self._free.run(start).addBoth(done)


@implementer(IUserStore, ICredentialSource)
class AsyncUserStore:
    """`store`, opened before (a start opens its stores synchronously), through the threads of `pool`.

    Writes run one at a time, as the database takes them, and so do the imports; Argon2id runs two at a time,
    because each takes 64 MiB and a core. More than `max_waiting` of either kind fail with StoreBusy.
    """

    _log = Logger()

    def __init__(
        self, store: UserStore, reactor: IReactorFromThreads, pool: ThreadPool, *, max_waiting: int = 100
    ) -> None:
        self._store = store
        self._reactor = reactor
        self._pool = pool
        self._writes = _Turns(1, max_waiting, "writes")
        self._logins = _Turns(2, max_waiting, "logins")
        self._followers: list[Callable[[], Deferred[None]]] = []
        self._running: set[Deferred[Any]] = set()

    def follow(self, written: Callable[[], Deferred[None]]) -> None:
        """Have `written` called after each write of ours; the writer is answered when its Deferred fires."""
        self._followers.append(written)

    def close(self) -> Deferred[None]:
        """Wait for what runs, then close the connections. Nothing may be asked of the store after this."""
        waiting = gatherResults([_silent(running) for running in self._running])
        return waiting.addCallback(lambda _: self._thread(self._store.close))

    # Accounts

    def add(
        self, account: Account, password: str, *, realms: Sequence[str] = (), digest: bool = True
    ) -> Deferred[Account]:
        """See `IUserStore`."""
        return self._write(self._store.add, account, password, realms=realms, digest=digest)

    def set_password(self, aor: str, password: str) -> Deferred[None]:
        """See `IUserStore`."""
        return self._write(self._store.set_password, aor, password)

    def update(
        self,
        aor: str,
        *,
        enabled: bool | None = None,
        roles: Iterable[str] | None = None,
        display_name: str | None = None,
    ) -> Deferred[Account]:
        """See `IUserStore`."""
        return self._write(self._store.update, aor, enabled=enabled, roles=roles, display_name=display_name)

    def remove(self, aor: str) -> Deferred[None]:
        """See `IUserStore`."""
        return self._write(self._store.remove, aor)

    def get(self, aor: str) -> Deferred[Account | None]:
        """See `IUserStore`."""
        return self._thread(self._store.get, aor)

    def list(self, prefix: str = "", after: str = "", limit: int = 100) -> Deferred[Page]:
        """See `IUserStore`."""
        return self._thread(self._store.list, prefix, after, limit)

    def count(self) -> Deferred[int]:
        """See `IUserStore`."""
        return self._thread(self._store.count)

    def import_many(self, lines: Iterable[bytes]) -> Deferred[ImportResult]:
        """See `IUserStore`. `lines` is read in a thread."""
        return self._write(self._store.import_many, lines)

    def login(self, aor: str, password: str) -> Deferred[Account | None]:
        """See `IUserStore`."""
        return self._logins.run(lambda: self._thread(self._store.login, aor, password))

    # API keys

    def add_key(
        self, name: str, scopes: Iterable[str] = (), *, owner: str = "", expires: float = 0.0
    ) -> Deferred[tuple[str, APIKey]]:
        """See `IUserStore`."""
        return self._write(self._store.add_key, name, scopes, owner=owner, expires=expires)

    def find_key(self, key: str) -> Deferred[APIKey | None]:
        """See `IUserStore`. The key's last use is written behind the answer."""
        return self._thread(self._store.find_key, key).addCallback(self._touched)

    def list_keys(self, owner: str | None = None) -> Deferred[tuple[APIKey, ...]]:
        """See `IUserStore`."""
        return self._thread(self._store.list_keys, owner)

    def remove_key(self, prefix: str) -> Deferred[None]:
        """See `IUserStore`."""
        return self._write(self._store.remove_key, prefix)

    # Limits

    def get_limits(self, aor: str) -> Deferred[AccountLimits]:
        """See `LimitTable`, also for what follows."""
        return self._thread(self._store.limits.get, aor)

    def set_limits(self, aor: str, limits: AccountLimits) -> Deferred[None]:
        """What is special about an account; UnknownAccount."""
        return self._writes.run(lambda: self._thread(self._store.limits.set, aor, limits))

    def all_limits(self) -> Deferred[dict[str, AccountLimits]]:
        """Each account about which something is special."""
        return self._thread(self._store.limits.all)

    def add_day(self, day: str, changes: Mapping[str, tuple[int, float]]) -> Deferred[DayTotals]:
        """Add to what was called in a day."""
        return self._writes.run(lambda: self._thread(self._store.limits.add, day, changes))

    # Credentials

    def find_credentials(self, keys: Sequence[tuple[str, str]]) -> Deferred[dict[tuple[str, str], HA1Set]]:
        """See `ICredentialSource`."""
        return self._thread(self._store.find_credentials, keys)

    def snapshot(self, limit: int) -> Deferred[Snapshot]:
        """See `ICredentialSource`."""
        return self._thread(self._store.snapshot, limit)

    def changes_since(self, revision: int) -> Deferred[Changes]:
        """See `ICredentialSource`."""
        return self._thread(self._store.changes_since, revision)

    # Threads

    def _thread(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
        running = cast("Deferred[_T]", deferToThreadPool(self._reactor, self._pool, call, *args, **kwargs))
        self._running.add(running)

        def done(result: _T) -> _T:
            self._running.discard(running)
            return result

        return running.addBoth(done)

    def _write(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
        written = self._writes.run(lambda: self._thread(call, *args, **kwargs))

        def tell(result: _T) -> Deferred[_T]:
            told = gatherResults([_silent(follower()) for follower in self._followers])
            return told.addCallback(lambda _: result)

        return written.addCallback(tell)

    def _touched(self, record: APIKey | None) -> APIKey | None:
        if record is not None and self._store.wall_now() - record.last_used >= _TOUCH_INTERVAL:
            touching = self._writes.run(lambda: self._thread(self._store.touch_key, record.prefix))
            touching.addErrback(self._not_touched, record.prefix)
        return record

    def _not_touched(self, failure: Failure, prefix: str) -> None:
        self._log.warn(
            "The last use of the API key {prefix} was not noted: {reason}",
            prefix=prefix,
            reason=failure.getErrorMessage(),
        )


def _silent(deferred: Deferred[Any]) -> Deferred[None]:
    """Fires when `deferred` does, which keeps its result."""
    fired: Deferred[None] = Deferred()

    def pass_on(result: Any) -> Any:
        fired.callback(None)
        return result

    deferred.addBoth(pass_on)
    return fired
