"""Published event state and the changes that are made to it, as values (RFC 3903).

Deadlines are monotonic seconds; a store that outlives the process converts, as that of bindings does.
"""

from __future__ import annotations

import attrs

__all__ = ["PublicationChange", "Publish", "Published", "StoredPublication"]


@attrs.frozen
class Publish:
    """What a PUBLISH asks for: state of `presentity` ("user@domain") in an event package.

    `etag` is SIP-If-Match, None without it; `expires` the Expires header, None without it. `publisher` is the
    AOR whose credentials it carried.
    """

    package: str
    presentity: str
    body: bytes = b""
    content_type: str = ""
    etag: str | None = None
    expires: int | None = None
    publisher: str = ""


@attrs.frozen
class Published:
    """What to answer a PUBLISH: with 200 the new entity tag and the seconds granted, and more headers."""

    status: int
    etag: str = ""
    expires: int = 0
    reason: str | None = None
    more: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """All headers of the response."""
        if self.status != 200:
            return self.more
        return (("SIP-ETag", self.etag), ("Expires", str(self.expires)), *self.more)


@attrs.frozen
class StoredPublication:
    """One publication: several of one presentity stand side by side, one a device."""

    package: str
    presentity: str
    etag: str
    content_type: str
    body: bytes
    granted: int
    deadline: float
    publisher: str = ""
    number: int = 0
    """Counts up with each initial publication: the order in which they came."""


@attrs.frozen
class PublicationChange:
    """What to store for a PUBLISH that is granted: `put` takes the place of `drop`, each may be None."""

    answer: Published
    put: StoredPublication | None = None
    drop: StoredPublication | None = None
    modified: bool = True
    """Whether watchers have to be told: a refresh changes nothing for them."""
