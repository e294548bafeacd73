"""Presence that lasts as long as the process."""

from __future__ import annotations

from zope.interface import implementer

from rvoip.registrar.interfaces import IPresenceStore
from rvoip.registrar.presence_changes import PresenceChange, StoredPresence

__all__ = ["PresenceMemory"]


@implementer(IPresenceStore)
class PresenceMemory:
    """Keeps nothing: who asks has all of it."""

    trouble = ""

    def open(self, now: float, wall_now: float) -> StoredPresence:
        """Nothing was stored before."""
        return StoredPresence()

    def close(self) -> None:
        """Nothing is left to be done."""

    def write(self, change: PresenceChange) -> None:
        """It is done."""

    def expire(self, now: float) -> None:
        """Nothing is there to be deleted."""
