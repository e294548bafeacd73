"""Runs the hooks that users of this layer override: plain methods or `async` ones."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.protocols.dialog.errors import Gone, Refused

__all__ = ["call", "refusal_of"]

_log = Logger()


def call(
    hook: Callable[..., Any],
    *arguments: Any,
    done: Callable[[Any], object] | None = None,
    failed: Callable[[Refused], object] | None = None,
) -> None:
    """Call a hook with the arguments; `done` gets its result, at once or when it is there.

    Where the hook fails, `failed` gets what to answer: what it raised as `Refused`, else a 500 with one log
    event. The same goes for a failure of `done`.
    """
    try:
        outcome = hook(*arguments)
        if not isawaitable(outcome) and not isinstance(outcome, Deferred):
            if done is not None:
                done(outcome)
            return
    except Exception:
        _failed(Failure(), hook, failed)
        return
    waiting: Deferred[Any] = outcome if isinstance(outcome, Deferred) else Deferred.fromCoroutine(outcome)  # type: ignore[arg-type]
    if done is not None:
        waiting.addCallback(done)
    waiting.addErrback(_failed, hook, failed)


def _failed(failure: Failure, hook: Callable[..., Any], failed: Callable[[Refused], object] | None) -> None:
    refused = refusal_of(failure, getattr(hook, "__qualname__", repr(hook)))
    if failed is None:
        return
    try:
        failed(refused)
    except Exception:
        _log.failure("A request could not be refused")


def refusal_of(failure: Failure, what: str) -> Refused:
    """What to answer where this went wrong; anything but a `Refused` or `Gone` is logged."""
    if isinstance(failure.value, Refused):
        return failure.value
    if isinstance(failure.value, Gone):
        return Refused(487)
    _log.failure("{what} failed", failure, what=what)
    return Refused(500)
