"""What the stores have in common whose bindings are in a server that several registrars and proxies share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from rvoip.registrar.binding import ALL_CONTACTS, Applied, Binding, Change, Removed, find_bindings
from rvoip.registrar.errors import StoreError

__all__ = ["EXPIRE_AT_ONCE", "SharedStore", "accept_durability"]

EXPIRE_AT_ONCE: Final = 500
"""Bindings that one call of `expire` takes out, some milliseconds of the server's time."""

_log = Logger()


class Server(Protocol):
    """Where the bindings are."""

    @property
    def shown(self) -> str:
        """Its name, without a password."""

    @property
    def durable(self) -> bool:
        """Whether it has to keep what it says it has."""


def accept_durability(server: Server, objection: str) -> None:
    """Go on although the server may lose what it acknowledges, if its URL says so. Raises StoreError."""
    if not objection:
        return
    if server.durable:
        raise StoreError(
            f"{server.shown} may lose registrations: {objection}; "
            "or add ?durable=no to the URL and live with that"
        )
    _log.warn("{server} may lose registrations: {why}", server=server.shown, why=objection)


class SharedStore:
    """The part of `IBindingStore` that follows from `lookup`, `apply` and `take_out`."""

    at_once: ClassVar[bool] = False

    def __init__(self) -> None:
        self._expiring = False

    def lookup(self, aor: str, now: float) -> Deferred[tuple[Binding, ...]]:
        """The live bindings of an AOR, as the server has them."""
        raise AssertionError("each store has its own")

    def apply(self, change: Change) -> Deferred[Applied]:
        """Have the server compare and set; fires when it is on its disk."""
        raise AssertionError("each store has its own")

    def take_out(self, now: float) -> Deferred[Sequence[Removed]] | None:
        """Begin to remove what is over, `EXPIRE_AT_ONCE` at the most; None when that is no use now."""
        raise AssertionError("each store has its own")

    def remove(self, aor: str, which: str | None, now: float) -> Deferred[Removed]:
        """Take bindings away without comparing."""

        def found(held: tuple[Binding, ...]) -> Removed | Deferred[Removed]:
            keys = ALL_CONTACTS
            if which is not None:
                keys = tuple([each.key for each in find_bindings(held, which)])
            if not held or not keys:
                return Removed(aor, (), held)
            applied = self.apply(Change(aor, now, removes=keys))
            return applied.addCallback(lambda made: Removed(aor, made.removed, made.bindings))

        return self.lookup(aor, now).addCallback(found)

    def expire(self, now: float, wall_now: float) -> Deferred[Sequence[Removed]] | Sequence[Removed]:
        """Take out what is over. Of those who share the server one is told of each binding."""
        taken = None if self._expiring else self.take_out(now)
        if taken is None:
            return ()
        self._expiring = True

        def done(result: Any) -> Any:
            self._expiring = False
            return result

        return taken.addBoth(done)
