"""Services that start in order and stop in reverse order, and a stop that always ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import IService, IServiceCollection, MultiService
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["STOP_DEADLINE", "OrderedService"]

STOP_DEADLINE: Final = 5.0
"""Seconds that a child has for its stop unless it was added with a deadline of its own."""

_log = Logger()


@implementer(IService, IServiceCollection)
class OrderedService(MultiService):
    """A MultiService whose children depend on those added before them.

    They start in the order of adding. They stop in reverse order, one after the other; a child that fails or
    passes its deadline is logged, left alone, and does not keep the others from being stopped.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__()
        self._clock = clock
        self._deadlines: dict[IService, float] = {}
        self._begun: list[IService] = []
        self._stop_waiters: list[Deferred[None]] | None = None

    def add(self, service: IService, name: str | None = None, stop_deadline: float | None = None) -> None:
        """Make `service` the last child.

        It has `stop_deadline` seconds for its stop: by default STOP_DEADLINE, and for an OrderedService at
        least what its own children may take.
        """
        if name is not None:
            service.setName(name)
        service.setServiceParent(self)
        if stop_deadline is not None:
            self._deadlines[service] = stop_deadline

    @property
    def longest_stop(self) -> float:
        """Seconds that `stopService` takes at most."""
        return sum(self._deadline(service) for service in self.services)

    def privilegedStartService(self) -> None:
        """Let each child bind and open what it needs.

        When one raises, the children before it are stopped, last one first, and the exception goes on.
        """
        for service in list(self.services):
            self._begin(service, service.privilegedStartService)

    def startService(self) -> None:
        """Start each child; one that raises has the same effect as in `privilegedStartService`."""
        self.running = 1
        for service in list(self.services):
            self._begin(service, service.startService)

    def stopService(self) -> Deferred[None]:
        """Stop in reverse order what was started; fires with None, whatever the children do.

        A call during a stop waits for that stop. A child that had only its privileged start is stopped too.
        """
        self.running = 0
        if self._stop_waiters is not None:
            waiting: Deferred[None] = Deferred()
            self._stop_waiters.append(waiting)
            return waiting
        return Deferred.fromCoroutine(self._stop())

    def addService(self, service: IService) -> None:
        """Take a child in (`setServiceParent` calls this); it starts at once while this service runs."""
        running, self.running = self.running, 0
        try:
            super().addService(service)
        finally:
            self.running = running
        if running:
            service.privilegedStartService()
            self._begun.append(service)
            service.startService()

    def removeService(self, service: IService) -> Deferred[None]:
        """Take a child out (`disownServiceParent` calls this); it is stopped if it was started."""
        deadline = self._deadline(service)
        running, self.running = self.running, 0
        try:
            super().removeService(service)
        finally:
            self.running = running
        self._deadlines.pop(service, None)
        if service not in self._begun:
            return succeed(None)
        self._begun.remove(service)
        return self._stop_child(service, deadline)

    def _deadline(self, service: IService) -> float:
        least = service.longest_stop if isinstance(service, OrderedService) else 0.0
        return self._deadlines.get(service, max(STOP_DEADLINE, least))

    def _begin(self, service: IService, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException:
            # SystemExit and KeyboardInterrupt too: ports and files are given back before the process ends.
            self.stopService()
            raise
        if service not in self._begun:
            self._begun.append(service)

    async def _stop(self) -> None:
        self._stop_waiters = []
        while self._begun:
            service = self._begun.pop()
            await self._stop_child(service, self._deadline(service))
        waiters, self._stop_waiters = self._stop_waiters, None
        for waiting in waiters:
            waiting.callback(None)

    def _stop_child(self, service: IService, deadline: float) -> Deferred[None]:
        name = service.name or type(service).__name__
        stopped: Deferred[None] = Deferred()

        def give_up() -> None:
            _log.error(
                "Service {service} has not stopped within {deadline} seconds and is left",
                service=name,
                deadline=deadline,
            )
            stopped.callback(None)

        def finished(result: Any) -> None:
            if isinstance(result, Failure):
                _log.failure("Service {service} failed to stop", result, service=name)
            if late.active():
                late.cancel()
                stopped.callback(None)

        late = self._clock.callLater(deadline, give_up)
        maybeDeferred(service.stopService).addBoth(finished)
        return stopped
