"""What DNS is asked for and says, as values (RFC 1035, RFC 2782, RFC 3403)."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import NamedTuple

from rvoip.protocols.transport.addresses import canonical_host

__all__ = [
    "LARGEST_TTL",
    "MAX_ADDRESSES",
    "MAX_RECORDS",
    "NAPTR",
    "SRV",
    "Answer",
    "Outcome",
    "Question",
    "Raw",
    "Record",
    "host_name",
    "interpret",
]

MAX_RECORDS = 32
"""NAPTR or SRV records of one answer that are looked at."""
MAX_ADDRESSES = 64
"""Addresses of one answer that are looked at."""
MAX_ALIASES = 8
"""CNAMEs that are followed from one name."""
LARGEST_TTL = 86400.0
"""Seconds that an answer is believed at most, whatever it says."""
NEGATIVE_TTL = 30.0
"""Seconds that "there is none" is believed when the answer does not say."""

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?\Z")


class Question(NamedTuple):
    """A name and a type: "NAPTR", "SRV", "A" or "AAAA"."""

    name: str
    kind: str


class NAPTR(NamedTuple):
    """A NAPTR record (RFC 3403 section 4.1); flags and service in upper case, replacement a name or "".

    `regexp` is as it came: nobody has looked at it.
    """

    order: int
    preference: int
    flags: str
    service: str
    replacement: str
    regexp: str = ""


class SRV(NamedTuple):
    """An SRV record (RFC 2782); a target of "" says that the service is not offered."""

    priority: int
    weight: int
    port: int
    target: str


Record = NAPTR | SRV | str
"""The data of a record; that of A and AAAA is a canonical numeric address."""


class Outcome(enum.Enum):
    """What became of a question."""

    FOUND = "found"
    NONE = "none"
    """The name, or a record of the type, does not exist: the servers of the domain say so."""
    FAILED = "failed"
    """A server answered that it cannot (SERVFAIL, REFUSED ...)."""
    TIMEOUT = "timeout"
    """Nobody answered."""


class Answer(NamedTuple):
    """The outcome with the records, all of the asked type; `ttl` in seconds."""

    outcome: Outcome
    records: tuple[Record, ...] = ()
    ttl: float = NEGATIVE_TTL


class Raw(NamedTuple):
    """A record of an answer section as it came: `kind` may also be "CNAME", whose data is a name."""

    name: str
    kind: str
    ttl: float
    data: Record


def host_name(text: str) -> str | None:
    """`text` as the name to look up: lower case, no dot at its end; None when it can be no host name.

    Names are ASCII; internationalised ones come in their A-label form (RFC 5890). A last label of digits
    alone is refused: such a name reads as a malformed address (RFC 3696 section 2).
    """
    name = text[:-1] if text.endswith(".") else text
    if not 0 < len(name) <= 253:
        return None
    labels = name.split(".")
    if not all(_LABEL.match(label) for label in labels) or labels[-1].isdigit():
        return None
    return name.lower()


def interpret(question: Question, raws: Sequence[Raw], seen: frozenset[str] = frozenset()) -> Answer | str:
    """
    The answer that an answer section holds, its CNAMEs followed; or the alias that must be asked for next.

    `seen` are the names that led here from the first question. A chain of aliases that loops, or has more
    than `MAX_ALIASES`, counts as a failure.
    """
    name = question.name
    passed = set(seen)
    ttl = LARGEST_TTL
    while True:
        own = [raw for raw in raws if raw.name == name]
        found = [raw for raw in own if raw.kind == question.kind]
        if found:
            ttl = min(ttl, *(raw.ttl for raw in found))
            return Answer(Outcome.FOUND, _bounded(question.kind, [raw.data for raw in found]), ttl)
        alias = next((raw for raw in own if raw.kind == "CNAME"), None)
        if alias is None:
            if name == question.name:
                return Answer(Outcome.NONE)
            return name
        passed.add(name)
        target = alias.data if isinstance(alias.data, str) else ""
        following = host_name(target)
        if following is None or following in passed or len(passed) > MAX_ALIASES:
            return Answer(Outcome.FAILED)
        ttl = min(ttl, alias.ttl)
        name = following


def _bounded(kind: str, records: list[Record]) -> tuple[Record, ...]:
    unique = list(dict.fromkeys(records))
    if kind == "SRV" or kind == "NAPTR":
        # The most wanted ones first, so that these are kept of too many.
        return tuple(sorted(unique, key=_rank)[:MAX_RECORDS])
    addresses = [canonical_host(record) for record in unique if isinstance(record, str)]
    return tuple(address for address in addresses if address is not None)[:MAX_ADDRESSES]


def _rank(record: Record) -> tuple[int, int]:
    if isinstance(record, NAPTR):
        return record.order, record.preference
    if isinstance(record, SRV):
        return record.priority, -record.weight
    return 0, 0
