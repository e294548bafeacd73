"""What a place is like that events are published to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["EventsRefused", "IEventSink"]


class EventsRefused(Exception):
    """The events will never be taken: they are lost. `str()` says why in one line."""


class IEventSink(Interface):
    """Somewhere that takes events. Classes of the operator's are made with reactor and `Events` table."""

    name = Attribute("What log and metrics call it (`str`), without secrets.")

    def send(events: Sequence[dict[str, Any]]) -> Deferred[None]:
        """Publish these, in their order; fires when whoever takes them has them all.

        Fails with `EventsRefused` when they will never be taken, with anything else when they are to be sent
        again, which is done with the same events or more, and never before this Deferred has fired. It is
        cancelled when it takes too long, and must then let go of what it waits for.
        """

    def close() -> Deferred[None] | None:
        """Let go of connections; nothing more is sent."""
