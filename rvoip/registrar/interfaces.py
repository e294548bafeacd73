"""What a registrar asks of a store of bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred

    from rvoip.registrar.binding import Applied, Binding, Change, Counts, Removed
    from rvoip.registrar.presence_changes import PresenceChange, StoredPresence

__all__ = ["IBindingStore", "IPresenceStore"]


class IBindingStore(Interface):
    """Bindings by address-of-record ("user@domain", canonical).

    `now` is monotonic seconds throughout, as in the bindings; a store that outlives the process is told wall
    time by `open` and `expire`, and converts. What fails, fails with `StoreError`: raised, or by a Deferred.
    """

    at_once: bool = Attribute("""Whether `lookup` reads memory and never gives a Deferred.""")

    trouble: str = Attribute("""Why changes fail at the moment, in one line; "" as long as they do not.""")

    def open(now: float, wall_now: float) -> Deferred[None] | None:
        """Get ready, with what was stored before; called once, in the process that uses the store.

        Fails with StoreError, one line, when the store cannot be used; then nothing in it has changed.
        """

    def close() -> Deferred[None] | None:
        """Finish what was asked for before and let go; later changes fail. Harmless when not open."""

    def lookup(aor: str, now: float) -> tuple[Binding, ...] | Deferred[tuple[Binding, ...]]:
        """The live bindings of an AOR."""

    def apply(change: Change) -> Applied | Deferred[Applied]:
        """Compare `change` with what the AOR has and, unless that forbids it, make it: all of it or nothing.

        The result comes once the change is durable, as far as the store is, and `lookup` shows it from then
        on. A refusal is a result too (`Outcome.STALE`, `Outcome.FULL`). Raises or fails with StoreBusy when
        too much waits, the store is locked, or it holds as many AORs as it may; with StoreError when it
        cannot write. Then nothing has changed, and the same may be asked again.
        """

    def remove(aor: str, which: str | None, now: float) -> Removed | Deferred[Removed]:
        """Take bindings away without comparing: those whose id, contact URI or key is `which`; None: all."""

    def aors(prefix: str, after: str, limit: int, now: float) -> Sequence[str] | Deferred[Sequence[str]]:
        """Up to `limit` AORs with live bindings that begin with `prefix`, sorted, from behind `after`."""

    def count() -> Counts | Deferred[Counts]:
        """How many AORs and bindings there are, of which some may be about to expire."""

    def expire(now: float, wall_now: float) -> Sequence[Removed] | Deferred[Sequence[Removed]]:
        """Drop expired bindings and return them; to be called about once a second.

        There is a bound to what one call drops; the rest is dropped by the next ones. `lookup` shows no
        expired binding whether it was dropped or not. Of several processes that share a store one is told
        of each binding.
        """


class IPresenceStore(Interface):
    """What presence has to remember over a restart; who asks keeps all of it in memory too.

    Deadlines are monotonic seconds, as in `IBindingStore`.
    """

    trouble: str = Attribute("""Why changes fail at the moment, in one line; "" as long as they do not.""")

    def open(now: float, wall_now: float) -> StoredPresence:
        """Get ready, and return what was stored and is not over. Raises StoreError, one line; blocks."""

    def close() -> Deferred[None] | None:
        """Finish what was asked for before and let go. Harmless when not open."""

    def write(change: PresenceChange) -> Deferred[None] | None:
        """Make the change, all of it or nothing; None when that is done at once.

        Fails with StoreError, raised or by the Deferred, when it cannot; then nothing has changed.
        """

    def expire(now: float) -> None:
        """Delete publications that are over, some time; to be called now and then."""
