"""What the subcommands print: aligned columns, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rvoip.common.printable import printable

__all__ = ["duration", "local_time", "write_json", "write_line", "write_table"]


def write_line(text: str) -> None:
    """Print one line; what could drive a terminal is escaped."""
    sys.stdout.write(f"{printable(text)}\n")


def write_json(value: Any) -> None:
    """Print a value as JSON in ASCII, for another program."""
    sys.stdout.write(f"{json.dumps(value, indent=2)}\n")


def write_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows in columns as wide as what stands in them, numbers to the right."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    right = [
        bool(cells) and all(row[index].lstrip("-").isdecimal() for row in cells)
        for index in range(len(header))
    ]
    lines = [list(header), *cells]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header))]
    for line in lines:
        padded = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ]
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def local_time(wall: float) -> str:
    """A point in time, seconds since 1970, on this machine's clock: `2026-03-01 14:05:09`."""
    return f"{datetime.fromtimestamp(wall, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """A length of time by its two largest units: `3d 4h`, `5m 2s`, `12s`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
