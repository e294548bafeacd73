"""A lease at a media server, renewed as long as we live, and made anew when it has lapsed all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from rvoip.mediacontrol.errors import MediaError
from rvoip.mediacontrol.ownership import RENEWALS
from rvoip.mediacontrol.schema import CreateLease

__all__ = ["LeaseKeeper"]

RETRY: Final = 1.0
"""Seconds after which what failed is tried again."""

_log = Logger()


class LeaseKeeper:
    """
    Keeps one lease at one server, an `IMediaServer`.

    `lost` is called with the old lease when it has lapsed: what it held is gone, and a new one is being made.
    """

    def __init__(
        self, reactor: Any, server: Any, ttl: float = 30.0, lost: Callable[[str], None] | None = None
    ) -> None:
        self.lease = ""
        """Its name; empty while there is none."""
        self._reactor = reactor
        self._server = server
        self._ttl = ttl
        self._lost = lost
        self._timer: Any = None
        self._running = False

    def open(self, lease: str = "") -> None:
        """Begin; with a lease of before, to go on with that, as a controller does that was started again."""
        if not self._running:
            self._running = True
            self.lease = lease
            self._step()

    def close(self) -> None:
        """Renew no more: what it holds ends when it lapses."""
        self._running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _step(self) -> None:
        self._timer = None
        Deferred.fromCoroutine(self._keep()).addErrback(
            lambda failure: _log.failure("A lease could not be kept", failure)
        )

    async def _keep(self) -> None:
        wait = self._ttl / RENEWALS
        try:
            if self.lease:
                await self._server.renew_lease(self.lease)
            else:
                self.lease = (await self._server.create_lease(CreateLease(ttl=self._ttl))).id
        except MediaError as error:
            wait = min(RETRY, wait)
            if error.status == 404 and self.lease:
                old, self.lease = self.lease, ""
                wait = 0.0
                _log.warn("The lease {lease} has lapsed, and what it held is gone", lease=old)
                if self._lost is not None:
                    self._lost(old)
            else:
                _log.warn("No lease at the media server: {reason}", reason=error.reason)
        if self._running:
            self._timer = self._reactor.callLater(wait, self._step)
