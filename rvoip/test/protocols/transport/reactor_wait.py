"""Waiting for what real sockets do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.task import deferLater

__all__ = ["reactor", "until"]

reactor: Any = global_reactor


async def until(
    condition: Callable[[], object], what: str = "what was waited for", within: float = 5.0
) -> None:
    """Let the reactor run until something is true; AssertionError when it is not within so many seconds."""
    end = reactor.seconds() + within
    while not condition():
        if reactor.seconds() > end:
            raise AssertionError(f"{what} did not happen within {within:g} seconds")
        await deferLater(reactor, 0.005)
