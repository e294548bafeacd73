"""The rules of PUBLISH (RFC 3903 section 6): a machine in two steps, `decide` and `apply`.

Between the two a store writes the change. Nothing here does I/O, tells the time or authenticates. While a
change is being written its entity tag is taken: another PUBLISH with the same one is 412.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from rvoip.protocols.sip import dialog_info, message_summary, pidf
from rvoip.protocols.sip.content_headers import parse_media_type
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.registrar.publication import PublicationChange, Publish, Published, StoredPublication
from rvoip.registrar.rate_limit import RateLimit

__all__ = ["PARSERS", "Compositor", "CompositorSettings"]

_HOUR: Final = 3600

PARSERS: Final[dict[str, tuple[str, Callable[[bytes], object]]]] = {
    "presence": (pidf.CONTENT_TYPE, pidf.parse_pidf),
    "dialog": (dialog_info.CONTENT_TYPE, dialog_info.parse_dialog_info),
    "message-summary": (message_summary.CONTENT_TYPE, message_summary.parse_message_summary),
}
"""The Content-Type of each package that may be published, and how its bodies are read."""


@attrs.frozen
class CompositorSettings:
    """Bounds of publications; times in seconds."""

    default_expires: int = 3600
    min_expires: int = 60
    max_expires: int = 86400
    max_octets: int = 16384
    """Of one body."""
    max_publications: int = 10
    """Of one presentity in one package; more are 403."""
    max_presentities: int = 100_000
    """Presentities of one package; more are 503."""
    rate: float = 2.0
    """PUBLISH requests a second for one presentity; 0: no limit."""
    burst: int = 20


class Compositor:
    """Publications of all presentities. `new_etag` gives entity tags that nobody can guess."""

    def __init__(self, settings: CompositorSettings, new_etag: Callable[[], str]) -> None:
        self.settings = settings
        self._new_etag = new_etag
        self._held: dict[str, dict[str, dict[str, StoredPublication]]] = {package: {} for package in PARSERS}
        self._busy: set[str] = set()
        self._coming: dict[tuple[str, str], int] = {}
        self._limit = RateLimit(settings.rate, settings.burst)
        self._number = 0
        self._ends: list[tuple[float, str, str, str]] = []  # a heap, of some that are over otherwise too

    def use(self, settings: CompositorSettings) -> None:
        """Go by these bounds from now on."""
        if (settings.rate, settings.burst) != (self.settings.rate, self.settings.burst):
            self._limit = RateLimit(settings.rate, settings.burst)
        self.settings = settings

    def load(self, publications: Iterable[StoredPublication]) -> None:
        """Take over what was stored before."""
        for each in publications:
            if each.package in self._held:
                self._put(each)
                self._number = max(self._number, each.number)

    def publications(self, package: str, presentity: str, now: float) -> tuple[StoredPublication, ...]:
        """Those of a presentity whose time is not over, in the order in which they first came."""
        held = self._held.get(package, {}).get(presentity, {})
        live = [each for each in held.values() if each.deadline > now]
        return tuple(sorted(live, key=lambda each: each.number))

    def count(self) -> int:
        """How many there are, some about to expire."""
        return sum([len(held) for package in self._held.values() for held in package.values()])

    def decide(self, publish: Publish, now: float) -> Published | PublicationChange:
        """What to answer at once, or what to write first.

        The caller says with `apply` or `abandon` what came of a change.
        """
        settings = self.settings
        if publish.package not in PARSERS:
            return Published(489, more=(("Allow-Events", ", ".join(PARSERS)),))
        wait = self._limit.take(publish.presentity, now)
        if wait:
            return Published(503, reason="Published Too Often", more=_retry_after(wait))
        expires = settings.default_expires if publish.expires is None else publish.expires
        if 0 < expires < settings.min_expires and expires < _HOUR:
            return Published(423, more=(("Min-Expires", str(settings.min_expires)),))
        expires = min(expires, settings.max_expires)
        if publish.etag is None:
            return self._initial(publish, expires, now)
        old = self._held[publish.package].get(publish.presentity, {}).get(publish.etag)
        if old is None or old.deadline <= now or old.etag in self._busy:
            return Published(412)
        return self._conditional(publish, old, expires, now)

    def _initial(self, publish: Publish, expires: int, now: float) -> Published | PublicationChange:
        """Table 1, "Initial"."""
        refused = self._objection(publish)
        if refused is not None:
            return refused
        if not expires:
            return Published(200, self._new_etag(), 0)  # over as soon as it has begun
        presentities = self._held[publish.package]
        place = (publish.package, publish.presentity)
        held = presentities.get(publish.presentity)
        if held is None and len(presentities) >= self.settings.max_presentities:
            return Published(503, reason="Too Many Publications", more=_retry_after(60))
        live = sum([each.deadline > now for each in held.values()]) if held else 0
        if live + self._coming.get(place, 0) >= self.settings.max_publications:
            return Published(403, reason="Too Many Publications")
        self._number += 1
        self._coming[place] = self._coming.get(place, 0) + 1
        put = StoredPublication(
            publish.package,
            publish.presentity,
            self._new_etag(),
            _plain(publish.content_type),
            publish.body,
            expires,
            now + expires,
            publish.publisher,
            self._number,
        )
        return PublicationChange(Published(200, put.etag, expires), put)

    def _conditional(
        self, publish: Publish, old: StoredPublication, expires: int, now: float
    ) -> Published | PublicationChange:
        """Table 1, "Refresh", "Modify" and "Remove"."""
        if not expires:
            self._busy.add(old.etag)
            return PublicationChange(Published(200, self._new_etag(), 0), None, old)
        if publish.body:
            refused = self._objection(publish)
            if refused is not None:
                return refused
        put = attrs.evolve(old, etag=self._new_etag(), granted=expires, deadline=now + expires)
        modified = bool(publish.body) and publish.body != old.body
        if publish.body:
            put = attrs.evolve(put, body=publish.body, content_type=_plain(publish.content_type))
        self._busy.add(old.etag)
        return PublicationChange(Published(200, put.etag, expires), put, old, modified)

    def _objection(self, publish: Publish) -> Published | None:
        content_type, parse = PARSERS[publish.package]
        if not publish.body:
            return Published(400, reason="Publication Without Body")
        if _plain(publish.content_type) != content_type:
            return Published(415, more=(("Accept", content_type),))
        if len(publish.body) > self.settings.max_octets:
            return Published(413)
        try:
            parse(publish.body)
        except SIPParseError as error:
            return Published(error.status, reason=error.reason)
        return None

    def apply(self, change: PublicationChange) -> None:
        """The change is written: it counts from now on."""
        self._release(change)
        drop, put = change.drop, change.put
        if drop is not None:
            self._take(drop)
        if put is not None:
            self._put(put)

    def abandon(self, change: PublicationChange) -> None:
        """The change could not be written: all is as before."""
        self._release(change)

    def _release(self, change: PublicationChange) -> None:
        if change.drop is not None:
            self._busy.discard(change.drop.etag)
        elif change.put is not None:
            place = (change.put.package, change.put.presentity)
            self._coming[place] -= 1
            if not self._coming[place]:
                del self._coming[place]

    def _put(self, publication: StoredPublication) -> None:
        package, presentity, etag = publication.package, publication.presentity, publication.etag
        self._held[package].setdefault(presentity, {})[etag] = publication
        heapq.heappush(self._ends, (publication.deadline, package, presentity, etag))

    def _take(self, publication: StoredPublication) -> None:
        presentities = self._held[publication.package]
        held = presentities.get(publication.presentity, {})
        held.pop(publication.etag, None)
        if not held:
            presentities.pop(publication.presentity, None)

    def expire(self, now: float) -> list[StoredPublication]:
        """Drop what is over, and return it; what is being written stays until that is done."""
        over: list[StoredPublication] = []
        busy: list[tuple[float, str, str, str]] = []
        while self._ends and self._ends[0][0] <= now:
            end = heapq.heappop(self._ends)
            _, package, presentity, etag = end
            held = self._held[package].get(presentity, {}).get(etag)
            if held is None:
                continue
            if etag in self._busy:
                busy.append(end)
                continue
            self._take(held)
            over.append(held)
        for end in busy:
            heapq.heappush(self._ends, end)
        return over


def _plain(content_type: str) -> str:
    """The media type without parameters, in lower case; "" for what is none."""
    try:
        media_type = parse_media_type(content_type)
    except SIPParseError:
        return ""
    return f"{media_type.type}/{media_type.subtype}".lower()


def _retry_after(seconds: float) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(max(1, math.ceil(seconds)))),)
