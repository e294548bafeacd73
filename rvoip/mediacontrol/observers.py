"""Who wants to hear the events of a media server."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from rvoip.mediacontrol.events import AnyEvent

__all__ = ["Observers"]

Observer = Callable[[AnyEvent], None]
Missed = Callable[[str], None]

_log = Logger()


class Observers:
    """Calls each of them; one that fails is logged, and the others are called still."""

    def __init__(self) -> None:
        self._entries: list[tuple[Observer, Missed | None]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, observer: Observer, missed: Missed | None) -> Callable[[], None]:
        """See `IMediaServer.subscribe`."""
        entry = (observer, missed)
        self._entries.append(entry)

        def remove() -> None:
            if entry in self._entries:
                self._entries.remove(entry)

        return remove

    def tell(self, event: AnyEvent) -> None:
        """An event has come."""
        for observer, _ in list(self._entries):
            try:
                observer(event)
            except Exception:
                _log.failure("An observer of a media server failed")

    def miss(self, reason: str) -> None:
        """Events may have been lost."""
        for _, missed in list(self._entries):
            if missed is not None:
                try:
                    missed(reason)
                except Exception:
                    _log.failure("An observer of a media server failed")
