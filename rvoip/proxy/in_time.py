"""Waits for a decision that somebody else makes, but not for ever: a call must not hang on a dead service."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from rvoip.proxy.targets import Refused

if TYPE_CHECKING:
    from rvoip.proxy.proxy import Proxy

__all__ = ["in_time"]

T = TypeVar("T")

_log = Logger()


async def in_time(proxy: Proxy, waiting: Awaitable[T], who: Any) -> T:
    """What is waited for, a decision of `who`; it is cancelled after 64*T1, and `Refused` 504 raised.

    So long does whoever sent a request other than INVITE wait for its answer.
    """
    late = False

    def give_up(deferred: Deferred[T]) -> None:
        nonlocal late
        late = True
        deferred.cancel()

    deferred = Deferred.fromCoroutine(_wait(waiting))
    timer = proxy.layer.wheel.schedule(proxy.layer.timers.lifetime, give_up, deferred)
    try:
        return await deferred
    except CancelledError:
        if not late:
            raise
        _log.warn("{who} did not decide in time", who=type(who).__qualname__)
        raise Refused(504) from None
    finally:
        timer.cancel()


async def _wait(waiting: Awaitable[T]) -> T:
    return await waiting
