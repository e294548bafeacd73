"""Publishing state of ours at a compositor, and keeping it there (RFC 3903 section 4).

The machine says which PUBLISH to send; whoever runs it sends one at a time and tells what came of it.
"""

from __future__ import annotations

from typing import ClassVar, Final, Generic, TypeVar

import attrs

__all__ = ["Publication", "Publish"]

UNPUBLISHED: Final = "Unpublished"
PUBLISHING: Final = "Publishing"
PUBLISHED: Final = "Published"
REFRESHING: Final = "Refreshing"
MODIFYING: Final = "Modifying"
REMOVING: Final = "Removing"
FAILED: Final = "Failed"

INITIAL: Final = "initial"
REFRESH: Final = "refresh"
MODIFY: Final = "modify"
REMOVE: Final = "remove"

FIRST_PAUSE: Final = 30.0
LONGEST_PAUSE: Final = 3600.0
MOST_ROUNDS: Final = 3
"""How many 412 and 423 responses in a row are answered at once."""
TEMPORARY: Final = frozenset((408, 480, 486, 500, 502, 503, 504))
"""After these the same PUBLISH may work later; after the others it never will."""

Body = TypeVar("Body")


@attrs.frozen
class Publish(Generic[Body]):
    """A PUBLISH to be sent: `kind` is "initial", "refresh", "modify" or "remove" (table 1).

    `body` is None where none belongs; `etag` goes into SIP-If-Match; `expires` in seconds into Expires.
    """

    kind: str
    body: Body | None
    etag: str | None
    expires: int


class Publication(Generic[Body]):
    """One publication of ours: an event package for one address."""

    __slots__ = (
        "_body",
        "_expire_at",
        "_failures",
        "_refresh_at",
        "_retry_at",
        "_rounds",
        "_wanted",
        "etag",
        "expires",
        "state",
        "status",
    )

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, str]]] = {
        (UNPUBLISHED, "publish"): (PUBLISHING, INITIAL),
        (PUBLISHING, "2xx"): (PUBLISHED, ""),
        (PUBLISHING, "412"): (PUBLISHING, INITIAL),
        (PUBLISHING, "423"): (PUBLISHING, INITIAL),
        (PUBLISHING, "fails for now"): (UNPUBLISHED, "again later"),
        (PUBLISHING, "fails for good"): (FAILED, ""),
        (PUBLISHED, "publish"): (MODIFYING, MODIFY),
        (PUBLISHED, "remove"): (REMOVING, REMOVE),
        (PUBLISHED, "before it expires"): (REFRESHING, REFRESH),
        (PUBLISHED, "expired"): (PUBLISHING, INITIAL),
        (REFRESHING, "2xx"): (PUBLISHED, ""),
        (REFRESHING, "412"): (PUBLISHING, INITIAL),
        (REFRESHING, "423"): (REFRESHING, REFRESH),
        (REFRESHING, "fails for now"): (PUBLISHED, "again later"),
        (REFRESHING, "fails for good"): (FAILED, ""),
        (MODIFYING, "2xx"): (PUBLISHED, ""),
        (MODIFYING, "412"): (PUBLISHING, INITIAL),
        (MODIFYING, "423"): (MODIFYING, MODIFY),
        (MODIFYING, "fails for now"): (PUBLISHED, "again later"),
        (MODIFYING, "fails for good"): (FAILED, ""),
        (REMOVING, "2xx"): (UNPUBLISHED, ""),
        (REMOVING, "412"): (UNPUBLISHED, ""),
        (REMOVING, "423"): (UNPUBLISHED, ""),
        (REMOVING, "fails for now"): (UNPUBLISHED, ""),
        (REMOVING, "fails for good"): (UNPUBLISHED, ""),
        (FAILED, "publish"): (PUBLISHING, INITIAL),
    }

    def __init__(self, expires: int = 3600) -> None:
        self.state = UNPUBLISHED
        self.expires = expires
        """Seconds that we ask for; a compositor may raise them (423)."""
        self.etag: str | None = None
        self.status = 0
        """The last final response; 0 before there is one."""
        self._body: Body | None = None
        self._wanted = ""
        self._rounds = 0
        self._failures = 0
        self._refresh_at: float | None = None
        self._expire_at: float | None = None
        self._retry_at: float | None = None

    @property
    def under_way(self) -> bool:
        """Whether a PUBLISH waits for its response."""
        return self.state in (PUBLISHING, REFRESHING, MODIFYING, REMOVING)

    @property
    def deadline(self) -> float | None:
        """When `poll` wants to be called; None for never."""
        if self.under_way:
            return None
        times = [time for time in (self._refresh_at, self._expire_at, self._retry_at) if time is not None]
        return min(times, default=None)

    def publish(self, body: Body) -> Publish[Body] | None:
        """This is the state from now on; None while another PUBLISH is under way: it follows then."""
        self._body = body
        self._retry_at = None
        if self.under_way:
            self._wanted = "publish"
            return None
        return self._go("publish")

    def remove(self) -> Publish[Body] | None:
        """The state is to be withdrawn."""
        self._body = None
        self._retry_at = None
        if self.under_way:
            self._wanted = "remove"
            return None
        return self._go("remove")

    def accepted(
        self, status: int, etag: str | None, expires: int | None, now: float
    ) -> Publish[Body] | None:
        """A 2xx with these SIP-ETag and Expires came (section 4.1).

        A compositor that names no entity tag, though it must, gets no refresh but a new publication in time.
        """
        self.status = status
        self._rounds = self._failures = 0
        self._go("2xx")
        if self.state == PUBLISHED:
            self.etag = etag
            seconds = max(expires if expires is not None else self.expires, 1)
            self._expire_at = now + seconds
            self._refresh_at = self._expire_at - max(min(60.0, seconds / 2), seconds / 10)
        return self._next()

    def refused(
        self,
        status: int,
        now: float,
        random: float,
        *,
        min_expires: int | None = None,
        retry_after: int | None = None,
    ) -> Publish[Body] | None:
        """A final response from 300 up came, or none (408): what to send at once, if anything.

        412 says that our entity tag is gone: all is published anew (section 4.1). What is refused for now is
        tried again after Retry-After, else after a pause that grows; `random` is drawn from 0 up to but not
        including 1.
        """
        self.status = status
        self._rounds += 1
        if status == 412 and self._rounds <= MOST_ROUNDS:
            return self._go("412") or self._next()
        if status == 423 and self._rounds <= MOST_ROUNDS and (min_expires or 0) > self.expires:
            self.expires = min_expires or self.expires
            return self._go("423") or self._next()
        lasting = status not in TEMPORARY and retry_after is None and status not in (412, 423)
        if lasting or self.state == REMOVING:
            self._go("fails for good")
            return self._next() if self._wanted == "publish" else None
        self._go("fails for now")
        pause = min(FIRST_PAUSE * 2.0 ** min(self._failures, 10), LONGEST_PAUSE) * (0.5 + random / 2)
        self._failures += 1
        if self._wanted != "remove":
            self._wanted = ""
            self._retry_at = now + (pause if retry_after is None else retry_after + random)
            self._refresh_at = None
            return None
        return self._next()

    def poll(self, now: float) -> Publish[Body] | None:
        """Call at `deadline`."""
        if self.under_way:
            return None
        if self._expire_at is not None and now >= self._expire_at:
            return self._go("expired")
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._rounds = 0
            if self._body is not None:
                return self._go("publish")
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            if self.etag is not None:
                return self._go("before it expires")
            return self._go("expired")
        return None

    def _next(self) -> Publish[Body] | None:
        """What was asked for while something else was under way."""
        if self.under_way:
            return None
        wanted, self._wanted = self._wanted, ""
        return self._go(wanted) if wanted else None

    def _forget(self) -> None:
        self.etag = None
        self._refresh_at = self._expire_at = None

    def _go(self, event: str) -> Publish[Body] | None:
        self.state, what = self.TRANSITIONS.get((self.state, event), (self.state, ""))
        if (what == MODIFY and self.etag is None) or what == INITIAL:
            self.state, what = PUBLISHING, INITIAL
            self._forget()
            if self._body is None:
                # It was withdrawn meanwhile.
                self.state, what = UNPUBLISHED, ""
        elif what == REMOVE and self.etag is None:
            # A compositor that names no entity tag has nothing that could be removed.
            self.state, what = UNPUBLISHED, ""
        if self.state in (UNPUBLISHED, FAILED):
            self._forget()
        if what not in (INITIAL, REFRESH, MODIFY, REMOVE):
            return None
        body = self._body if what in (INITIAL, MODIFY) else None
        return Publish(what, body, self.etag, 0 if what == REMOVE else self.expires)
