"""Parameters of a format (a=fmtp) as names and values."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["format_fmtp", "integer", "parse_fmtp"]

MAX_PARAMETERS = 64


def parse_fmtp(text: str) -> dict[str, str]:
    """Read "useinbandfec=1; stereo=0": names in lower case; of a name that occurs twice the first counts.

    Anything can be read: what has no name is left out, and so is all after the first 64 parts.
    """
    found: dict[str, str] = {}
    for part in text.split(";", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        name, _, value = part.partition("=")
        if name := name.strip(" \t").lower():
            found.setdefault(name, value.strip(" \t"))
    return found


def format_fmtp(parameters: Mapping[str, str | int]) -> str:
    """Write "name=value;name=value"; a name with an empty value stands alone."""
    return ";".join(name if value == "" else f"{name}={value}" for name, value in parameters.items())


def integer(text: str | None, low: int, high: int) -> int | None:
    """A decimal number of ASCII digits from `low` to `high`; None for all else."""
    if text is None or len(text) > 10 or not (text.isascii() and text.isdigit()):
        return None
    value = int(text)
    return value if low <= value <= high else None
