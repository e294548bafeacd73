"""Who may command what a media server holds, and for how long: leases, and fencing tokens.

A controller (a node) holds one lease; what was made under it ends when it lapses. A call is owned by one
controller at a time: the owner's commands carry its name and the epoch in which it took the call over, and
what has seen a later epoch refuses an older one, so that a node which was thought dead cannot touch it.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from rvoip.mediacontrol.errors import MediaRefused, MediaUnavailable

__all__ = ["FENCING_HEADER", "RENEWALS", "FencingToken", "Leases", "admit"]

FENCING_HEADER: Final = "X-Fencing-Token"
RENEWALS: Final = 3
"""How often a lease is renewed in the time in which it would lapse."""
MOST_LEASES: Final = 10_000
_TOKEN: Final = re.compile(r"([A-Za-z0-9._@-]{1,64}):([1-9][0-9]{0,14})", re.ASCII)


class FencingToken(Struct, frozen=True, order=False):
    """An owner and its epoch, as `b2bua-1:17` in `X-Fencing-Token`."""

    owner: str
    epoch: int
    """1 or more, and greater with each change of owner."""

    @classmethod
    def parse(cls, text: str) -> FencingToken:
        """Read a header's value. Raises `MediaRefused`."""
        match = _TOKEN.fullmatch(text)
        if match is None:
            raise MediaRefused(f"{FENCING_HEADER} is not OWNER:EPOCH")
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"{self.owner}:{self.epoch}"


def admit(kept: FencingToken | None, given: FencingToken | None) -> FencingToken | None:
    """The token to keep for a thing that was last commanded with `kept` and is now with `given`.

    Without a token nothing changes: an operator's script owns no calls. Raises `MediaRefused` 409 for an
    older epoch, and for the same one of another owner.
    """
    if given is None:
        return kept
    if kept is not None and (
        given.epoch < kept.epoch or (given.epoch == kept.epoch and given.owner != kept.owner)
    ):
        raise MediaRefused(f"this belongs to {kept.owner} since epoch {kept.epoch}", 409)
    return given


class Leases:
    """The leases of a server: a machine. `now` is monotonic seconds."""

    def __init__(self, most: int = MOST_LEASES) -> None:
        self._most = most
        self._leases: dict[str, tuple[float, float]] = {}

    def __contains__(self, lease: object) -> bool:
        return lease in self._leases

    def __len__(self) -> int:
        return len(self._leases)

    def create(self, lease: str, ttl: float, now: float) -> None:
        """Begin one. Raises `MediaUnavailable` when there are as many as there may be."""
        if len(self._leases) >= self._most:
            raise MediaUnavailable("there are too many leases")
        self._leases[lease] = (ttl, now + ttl)

    def renew(self, lease: str, now: float) -> float:
        """Let it run anew; its ttl. Raises `MediaRefused` 404 for one that has lapsed."""
        self.check(lease)
        ttl, _ = self._leases[lease]
        self._leases[lease] = (ttl, now + ttl)
        return ttl

    def check(self, lease: str) -> None:
        """Raise `MediaRefused` 404 when it is named and is not there."""
        if lease and lease not in self._leases:
            raise MediaRefused(f"there is no lease {lease}", 404)

    @property
    def deadline(self) -> float | None:
        """When the next one lapses."""
        return min((end for _, end in self._leases.values()), default=None)

    def expire(self, now: float) -> list[str]:
        """Those that have lapsed; they are forgotten."""
        lapsed = [lease for lease, (_, end) in self._leases.items() if end <= now]
        for lease in lapsed:
            del self._leases[lease]
        return lapsed
