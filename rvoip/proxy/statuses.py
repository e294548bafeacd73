"""Sets of status codes as people write them: "408", "5xx", "500-504"."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["parse_statuses"]

_ONE = re.compile(r"([1-6])(?:xx|([0-9]{2})(?:-([1-6][0-9]{2}))?)\Z")


def parse_statuses(words: Iterable[str | int]) -> frozenset[int]:
    """The status codes; ValueError for a word that names none."""
    found: set[int] = set()
    for word in words:
        match = _ONE.match(str(word))
        if match is None:
            raise ValueError(f"{word!r} is no status code, class (5xx) or range (500-504)")
        family, rest, last = match.groups()
        if rest is None:
            low, high = int(family) * 100, int(family) * 100 + 99
        else:
            low = int(family + rest)
            high = int(last) if last else low
        if high < low:
            raise ValueError(f"{word!r} ends before it begins")
        found.update(range(low, high + 1))
    return frozenset(found)
