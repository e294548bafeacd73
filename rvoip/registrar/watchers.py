"""Who watches whom, for watcher information (RFC 3857): told by whoever runs the subscriptions."""

from __future__ import annotations

from typing import Final

import attrs

from rvoip.protocols.sip.winfo import Watcher, WatcherInfo, WatcherList

__all__ = ["WatcherTable"]

_LINGER: Final = 32.0
"""Seconds that a watcher who is gone is shown as terminated."""

_WAITING: Final = 86400.0
"""Seconds that the presentity may still decide about one who gave up waiting for it."""


@attrs.define
class _Known:
    uri: str
    status: str
    event: str
    since: float
    until: float
    display_name: str = ""


class WatcherTable:
    """Watchers by package and presentity; `max_watchers` bounds those of one."""

    def __init__(self, *, max_watchers: int = 200) -> None:
        self.max_watchers = max_watchers
        self._known: dict[tuple[str, str], dict[str, _Known]] = {}

    def has_room(self, package: str, presentity: str, id_: str) -> bool:
        """Whether this subscription is known, or there may be one more."""
        known = self._known.get((package, presentity), {})
        return (
            id_ in known
            or sum([each.status in ("active", "pending") for each in known.values()]) < self.max_watchers
        )

    def subscribed(
        self,
        package: str,
        presentity: str,
        id_: str,
        uri: str,
        *,
        pending: bool,
        expires: int,
        now: float,
        display_name: str = "",
    ) -> bool:
        """A subscription began, was refreshed, or was authorised; whether that is news for winfo."""
        known = self._known.setdefault((package, presentity), {})
        for other_id in [
            each for each, other in known.items() if other.uri == uri and other.status == "waiting"
        ]:
            del known[other_id]
        status = "pending" if pending else "active"
        old = known.get(id_)
        if old is None or old.status not in ("active", "pending"):
            known[id_] = _Known(uri, status, "subscribe", now, now + expires, display_name)
            self._bound(known)
            return True
        old.until = now + expires
        if old.status == status:
            return False
        old.status = status
        old.event = "subscribe" if pending else "approved"
        return True

    def ended(self, package: str, presentity: str, id_: str, event: str, now: float) -> bool:
        """A subscription ended, `event` is a reason of RFC 6665 section 4.1.3; whether that is news."""
        known = self._known.get((package, presentity), {})
        old = known.get(id_)
        if old is None or old.status not in ("active", "pending"):
            return False
        waits = old.status == "pending" and event in ("timeout", "giveup")
        old.status = "waiting" if waits else "terminated"
        old.event = event
        old.until = now + (_WAITING if waits else _LINGER)
        return True

    def info(self, package: str, presentity: str, version: int, now: float) -> WatcherInfo:
        """The document about the watchers of a presentity."""
        known = self._known.get((package, presentity), {})
        watchers = [
            Watcher(
                each.uri,
                id_,
                each.status,
                each.event,
                each.display_name,
                max(0, round(each.until - now)) if each.status in ("active", "pending") else None,
                round(now - each.since),
            )
            for id_, each in known.items()
        ]
        return WatcherInfo((WatcherList(f"sip:{presentity}", package, tuple(watchers)),), version)

    def watched(self, package: str, presentity: str) -> bool:
        """Whether somebody has a subscription."""
        known = self._known.get((package, presentity), {})
        return any(each.status in ("active", "pending") for each in known.values())

    def watching(self, presentity: str, watcher_uri: str) -> tuple[str, ...]:
        """The packages in which that watcher has subscribed to the presentity."""
        return tuple(
            [
                package
                for (package, of), known in self._known.items()
                if of == presentity and any(each.uri == watcher_uri for each in known.values())
            ]
        )

    def expire(self, now: float) -> list[tuple[str, str]]:
        """Forget those who are gone for long enough; returns (package, presentity) where that is news."""
        changed = []
        for place, known in list(self._known.items()):
            over = [
                id_
                for id_, each in known.items()
                if each.until <= now and each.status in ("terminated", "waiting")
            ]
            for id_ in over:
                if known.pop(id_).status == "waiting" and place not in changed:
                    changed.append(place)
            if not known:
                del self._known[place]
        return changed

    def _bound(self, known: dict[str, _Known]) -> None:
        """Those who are gone must not be many more than those who are there."""
        gone = [id_ for id_, each in known.items() if each.status in ("terminated", "waiting")]
        for id_ in gone[: max(0, len(gone) - self.max_watchers)]:
            del known[id_]
