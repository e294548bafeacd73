"""Bindings of an address-of-record to contacts, and the changes that are made to them, as values.

All times are monotonic seconds (`now`, `deadline`): a step of the wall clock makes nothing expire. Only a
store that outlives the process knows wall time, and converts when it writes and when it reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from hashlib import blake2s
from typing import Final, NamedTuple

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import parse_params, unquote
from rvoip.protocols.sip.uri import URI, parse_uri

__all__ = [
    "ALL_CONTACTS",
    "TOMBSTONE",
    "Applied",
    "Binding",
    "Change",
    "Counts",
    "Outcome",
    "Removed",
    "find_bindings",
    "live",
    "tombstone",
]

TOMBSTONE: Final = 32.0
"""Seconds that a removal is remembered: 64*T1, while a request may be on its way (RFC 3261 section 17)."""

ALL_CONTACTS: Final[tuple[str, ...]] = ("*",)
"""`Change.removes` of ``Contact: *``; no key of a binding is "*"."""


class Binding:
    """One contact of an address-of-record.

    There are many of these, so equal strings are shared between them and what can be computed is not kept.
    """

    __slots__ = (
        "call_id",
        "contact",
        "cseq",
        "deadline",
        "granted",
        "key",
        "params",
        "path",
        "q",
        "received",
        "user_agent",
    )

    def __init__(
        self,
        contact: str,
        key: str,
        call_id: str,
        cseq: int,
        deadline: float,
        granted: int,
        q: int = 1000,
        params: str = "",
        path: tuple[str, ...] = (),
        received: str = "",
        user_agent: str = "",
    ) -> None:
        self.contact = contact
        """The contact URI as it was registered, any scheme."""
        self.key = key
        """What makes it this binding of its AOR: see `rvoip.registrar.contact`."""
        self.call_id = call_id
        self.cseq = cseq
        self.deadline = deadline
        """Monotonic seconds: from then on the binding is gone."""
        self.granted = granted
        """Seconds for which it was granted when last refreshed; 0 marks a tombstone."""
        self.q = q
        """Preference in thousandths, 1000 when the contact gave none."""
        self.params = params
        """The contact's other parameters as they go into a message, ``;q=0.5;+sip.instance="<urn:...>"``."""
        self.path = path
        """Path values, topmost first (RFC 3327)."""
        self.received = received
        """Token of the flow that the REGISTER came on, or "" when the contact URI is the way to go."""
        self.user_agent = user_agent

    def __repr__(self) -> str:
        return f"<Binding {self.contact} {self.call_id} {self.cseq} until {self.deadline:.1f}>"

    @property
    def updated(self) -> float:
        """Monotonic seconds of the last refresh."""
        return self.deadline - self.granted

    @property
    def id(self) -> str:
        """A short name of it within its AOR, the same as long as its key is."""
        return blake2s(self.key.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()

    @property
    def uri(self) -> URI:
        """The contact URI parsed; any scheme."""
        return parse_uri(self.contact)

    @property
    def is_flow(self) -> bool:
        """Whether it is one flow of a UA instance (RFC 5626), whatever its contact URI says."""
        return self.key.startswith("+")

    @property
    def instance(self) -> str:
        """The ``+sip.instance`` value without its quotes, or ""."""
        return self._param("+sip.instance")

    @property
    def reg_id(self) -> int:
        """The reg-id of a flow (RFC 5626 section 4.2), 0 without one."""
        return int(self.key.rpartition(";")[2]) if self.is_flow else 0

    def _param(self, name: str) -> str:
        if name not in self.params:
            return ""
        try:
            return unquote(parse_params(self.params, lenient=True).get(name) or "")
        except SIPParseError:  # a row that somebody else wrote
            return ""

    def remaining(self, now: float) -> int:
        """Whole seconds that are left, rounded up, so that a fresh binding has what was granted."""
        return max(0, int(self.deadline - now + 0.999))

    def repeats(self, other: Binding) -> bool:
        """Whether both register the same: contact, parameters, path and interval."""
        return (
            self.granted == other.granted
            and self.contact == other.contact
            and self.params == other.params
            and self.path == other.path
        )


def tombstone(key: str, call_id: str, cseq: int, deadline: float) -> Binding:
    """What is left of a removed binding until `deadline`: who removed it, and with which CSeq."""
    return Binding("", key, call_id, cseq, deadline, 0)


def live(bindings: tuple[Binding, ...], now: float) -> tuple[Binding, ...]:
    """Those whose time is not over; the same tuple when that is all of them."""
    for binding in bindings:
        if binding.deadline <= now:
            return tuple([each for each in bindings if each.deadline > now])
    return bindings


def find_bindings(bindings: Iterable[Binding], which: str) -> list[Binding]:
    """Those whose id, contact URI or key is `which`."""
    return [each for each in bindings if which in (each.contact, each.key, each.id)]


class Change:
    """What one REGISTER, or an operator, does to the bindings of one AOR: all of it or nothing.

    `puts` are bindings to add or refresh, `removes` keys to take away or `ALL_CONTACTS`. `call_id` and `cseq`
    are compared with those of each binding (RFC 3261 section 10.3); without a `call_id` nothing is compared.
    `now` is monotonic seconds. `outbound` says that the answer has to require it (RFC 5626 section 6).
    """

    __slots__ = ("aor", "call_id", "cseq", "max_contacts", "now", "outbound", "puts", "removes")

    def __init__(
        self,
        aor: str,
        now: float,
        puts: tuple[Binding, ...] = (),
        removes: tuple[str, ...] = (),
        call_id: str = "",
        cseq: int = 0,
        max_contacts: int = 10,
        outbound: bool = False,
    ) -> None:
        self.aor = aor
        self.now = now
        self.puts = puts
        self.removes = removes
        self.call_id = call_id
        self.cseq = cseq
        self.max_contacts = max_contacts
        self.outbound = outbound

    def __repr__(self) -> str:
        return f"<Change {self.aor} +{self.puts} -{self.removes} {self.call_id} {self.cseq}>"


class Outcome(Enum):
    """What came of a change."""

    CREATED = "created"
    """Applied, and at least one contact is new."""
    REFRESHED = "refreshed"
    """Applied: known contacts, for another while."""
    REMOVED = "removed"
    """Applied: contacts were only taken away, if there were any."""
    UNCHANGED = "unchanged"
    """The same request again: what it asked for is done already."""
    STALE = "stale"
    """Refused: a CSeq is not higher than the one that the same Call-ID had before."""
    FULL = "full"
    """Refused: more contacts than the AOR may have."""


class Applied:
    """The result of a change: its outcome, the AOR's live bindings after it, and those that it removed."""

    __slots__ = ("bindings", "change", "outcome", "removed")

    def __init__(
        self,
        change: Change,
        outcome: Outcome,
        bindings: tuple[Binding, ...],
        removed: tuple[Binding, ...] = (),
    ) -> None:
        self.change = change
        self.outcome = outcome
        self.bindings = bindings
        self.removed = removed

    def __repr__(self) -> str:
        return f"<Applied {self.outcome.value} {self.bindings}>"


class Removed(NamedTuple):
    """Bindings of an AOR that are gone, and those that it still has."""

    aor: str
    removed: tuple[Binding, ...]
    bindings: tuple[Binding, ...]


class Counts(NamedTuple):
    """How many AORs have bindings, and how many bindings there are; some may be about to expire."""

    aors: int
    bindings: int
