"""Several media servers: each polled, calls placed on the least loaded, whoever dies told at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.mediacontrol.errors import MediaUnavailable
from rvoip.mediacontrol.pool import Change, Member, Pool
from rvoip.mediacontrol.schema import CreateEndpoint, Endpoint

__all__ = ["Placed", "ServerPool"]

TICK: Final = 0.25
"""Seconds between two looks at the clock."""

_log = Logger()


class Placed(NamedTuple):
    """An endpoint, and the server that it is at, to which all further commands about it go."""

    name: str
    server: Any
    endpoint: Endpoint


class ServerPool:
    """
    Providers of `IMediaServer` by name. It opens and closes none of them.

    `watch` says who is told of each change of a server's state: one that is `dead` has taken its calls with
    it, as far as anybody can know, and they are to be given to another.
    """

    def __init__(self, reactor: Any, servers: Mapping[str, Any]) -> None:
        self._reactor = reactor
        self._servers = dict(servers)
        self._pool = Pool(self._servers)
        self._watchers: list[Callable[[Change], None]] = []
        self._timer: Any = None

    @property
    def members(self) -> list[Member]:
        """How each is known, for figures."""
        return self._pool.members

    def open(self) -> None:
        """Begin to poll."""
        if self._timer is None:
            self._tick()

    def close(self) -> None:
        """Poll no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def use(self, servers: Mapping[str, Any]) -> None:
        """These from now on. Calls at one that is there no more are the caller's to end."""
        self._servers = dict(servers)
        self._pool.use(self._servers)

    def watch(self, watcher: Callable[[Change], None]) -> Callable[[], None]:
        """Call it with each change from now on; what is returned ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher) if watcher in self._watchers else None

    def drain(self, name: str, is_drained: bool = True) -> None:
        """Let a server have no new calls, or have them again. KeyError for one that is not there."""
        self._tell(self._pool.drain(name, is_drained))

    def server(self, name: str) -> Any:
        """A server by name. KeyError for one that is not there."""
        return self._servers[name]

    def choose(self) -> tuple[str, Any]:
        """The server for the next call. Raises `MediaUnavailable` when there is none."""
        names = self._pool.choose()
        if not names:
            raise MediaUnavailable(self._pool.why_none())
        self._pool.placed(names[0])
        return names[0], self._servers[names[0]]

    def place(
        self, request: CreateEndpoint, fence: Any = None, leases: Mapping[str, str] | None = None
    ) -> Deferred[Placed]:
        """A new call's first endpoint, on the least loaded server that takes it.

        `leases` is our lease at each server. One that is full or gone is passed over; what it may have made
        nevertheless ends with that lease. Fails with the error of the last one.
        """
        return Deferred.fromCoroutine(self._place(request, fence, leases or {}))

    async def _place(self, request: CreateEndpoint, fence: Any, leases: Mapping[str, str]) -> Placed:
        last = MediaUnavailable(self._pool.why_none())
        for name in self._pool.choose():
            server = self._servers[name]
            asked = request
            if name in leases:
                asked = CreateEndpoint(
                    sdp=request.sdp, codecs=request.codecs, interface=request.interface, lease=leases[name]
                )
            self._pool.placed(name)
            try:
                return Placed(name, server, await server.create_endpoint(asked, fence=fence))
            except MediaUnavailable as error:
                last = error
        raise last

    def _tick(self) -> None:
        self._timer = self._reactor.callLater(TICK, self._tick)
        now = self._reactor.seconds()
        self._tell(self._pool.tick(now))
        for name in self._pool.due(now):
            self._servers[name].stats().addCallbacks(
                self._answered, self._failed, callbackArgs=(name,), errbackArgs=(name, now)
            ).addErrback(lambda failure: _log.failure("A poll of a media server failed", failure))

    def _answered(self, stats: Any, name: str) -> None:
        self._tell(self._pool.answered(name, stats, self._reactor.seconds()))

    def _failed(self, failure: Failure, name: str, asked: float) -> None:
        reason = getattr(failure.value, "reason", failure.getErrorMessage())
        self._tell(self._pool.failed(name, reason, asked))

    def _tell(self, changes: list[Change]) -> None:
        for change in changes:
            level = _log.warn if change.state == "dead" else _log.info
            level(
                "The media server {name} is {state} {reason}",
                name=change.name,
                state=change.state,
                reason=change.reason,
            )
            for watcher in list(self._watchers):
                try:
                    watcher(change)
                except Exception:
                    _log.failure("A watcher of the media servers failed")
