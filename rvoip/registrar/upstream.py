"""What a front-end registrar knows of its bindings at the registrar behind it, as a machine.

It says which REGISTER the registrar behind has to see, and until when it has what it saw.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

from rvoip.registrar.binding import ALL_CONTACTS, Binding, Change

__all__ = ["Need", "Phone", "UpstreamBindings"]

MARGIN: Final = 10.0
"""Seconds that a binding upstream outlives what is granted on its account: the time of a refresh there."""

_SWEEP: Final = 1000


class Need(Enum):
    """What a REGISTER needs."""

    NOTHING = "nothing"
    """It is answered here."""
    REFRESH = "refresh"
    """The registrar behind has to see it, with the contacts that it puts."""
    KEEP = "keep"
    """It has to see it, for the credentials; it keeps its one binding for the other contacts."""
    REMOVE = "remove"
    """It has to see that the contacts are removed."""


class Phone(NamedTuple):
    """Who made a registration that the registrar behind has accepted."""

    flow: str
    """Token of the flow that it came on."""
    call_id: str


class UpstreamBindings:
    """Bindings upstream: one a contact, or, with `single`, one for all contacts of an AOR.

    `vouched` says of a request that its credentials were verified here. Without that a request is answered
    here only when it says again what the registrar behind has accepted from the same flow with the same
    Call-ID: it can lengthen a binding up to the end of the one upstream, and change nothing.
    """

    def __init__(self, single: bool) -> None:
        self.single = single
        self._until: dict[tuple[str, str], float] = {}
        self._phones: dict[tuple[str, str], tuple[Phone, float]] = {}
        self._sweep_at = _SWEEP

    def __len__(self) -> int:
        return len(self._until)

    def until(self, aor: str, key: str) -> float:
        """Monotonic seconds at which the binding upstream ends that a contact depends on; 0.0 for none."""
        return self._until.get((aor, "" if self.single else key), 0.0)

    def needs(self, change: Change, bindings: Iterable[Binding], phone: Phone, vouched: bool) -> Need:
        """What `change` needs, where the AOR has `bindings`."""
        held = {one.key: one for one in bindings}
        if change.removes:
            return self._removal(change, held, vouched)
        return Need.NOTHING if self._repeats(change, held, phone, vouched) else Need.REFRESH

    def knows(self, change: Change, phone: Phone) -> bool:
        """Whether all contacts that the change puts are this phone's."""
        return all(self._is_from(change.aor, put.key, phone, change.now) for put in change.puts)

    def _removal(self, change: Change, held: dict[str, Binding], vouched: bool) -> Need:
        if not self.single or change.removes == ALL_CONTACTS:
            return Need.REMOVE
        left = (held.keys() - set(change.removes)) | {put.key for put in change.puts}
        if not left:
            return Need.REMOVE
        lasts = self.until(change.aor, "") > change.now
        return Need.NOTHING if vouched and lasts and not change.puts else Need.KEEP

    def _repeats(self, change: Change, held: dict[str, Binding], phone: Phone, vouched: bool) -> bool:
        for put in change.puts:
            if self.until(change.aor, put.key) < change.now + put.granted + MARGIN:
                return False
            old = held.get(put.key)
            if vouched and self.single:
                continue
            if old is None or old.contact != put.contact or old.params != put.params or old.path != put.path:
                return False
            if not (vouched or self._is_from(change.aor, put.key, phone, change.now)):
                return False
        return True

    def _is_from(self, aor: str, key: str, phone: Phone, now: float) -> bool:
        known = self._phones.get((aor, key))
        return known is not None and known[0] == phone and known[1] > now

    # What the registrar behind has answered.

    def accepted(self, aor: str, key: str, phone: Phone, until: float, now: float) -> None:
        """It has the contact, until that time."""
        self._until[aor, "" if self.single else key] = until
        self._phones[aor, key] = (phone, until)
        if len(self._phones) >= self._sweep_at:
            self._sweep(now)

    def removed(self, aor: str, keys: Iterable[str], all_of_them: bool) -> None:
        """It has these contacts no more, nor, with `all_of_them`, anything of the AOR."""
        for key in keys:
            self._phones.pop((aor, key), None)
            if not self.single:
                self._until.pop((aor, key), None)
        if all_of_them:
            self._until.pop((aor, ""), None)

    def _sweep(self, now: float) -> None:
        """Forget what is over; each is looked at twice in its life at most, on the average."""
        self._until = {name: until for name, until in self._until.items() if until > now}
        self._phones = {name: one for name, one in self._phones.items() if one[1] > now}
        self._sweep_at = max(_SWEEP, 2 * len(self._phones))
