"""A ladder: the messages of a call as arrows between the addresses that they went between, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rvoip.common.printable import printable
from rvoip.trace.ring import LadderMessage

__all__ = ["draw"]

_TIME: Final = 10
"""Columns for the time, seconds since the first message."""

_SIZE: Final = 7
"""Columns for the octets of a message."""

_LEFT: Final = _TIME + _SIZE

_NARROWEST: Final = 16
"""Columns between two lifelines below which an arrow has no room for its label."""

_WIDEST: Final = 36

_HEAD: Final = "seconds".rjust(_TIME) + "octets".rjust(_SIZE)

_AGAIN: Final = " again"
"""What marks a retransmission."""

# address, transport
_Place = tuple[str, str]


def draw(messages: Sequence[LadderMessage], width: int = 100) -> str:
    """Draw `messages`, in the order given, within `width` columns; every line ends in a newline.

    Each message has its time and its size, and each address and transport a column. Where that makes them too
    narrow, each message is a line with both addresses. A message that went the same way before is marked
    "again": it is a retransmission. Nothing in it can drive a terminal.
    """
    places: dict[_Place, int] = {}
    for message in messages:
        for address in (message["source"], message["destination"]):
            places.setdefault((printable(address), printable(message["transport"])), len(places))
    if not places:
        return ""
    pitch = min(_WIDEST, (width - _LEFT) // len(places))
    if pitch < _NARROWEST:
        lines = _listed(messages)
    else:
        lines = _drawn(messages, places, pitch)
    return "".join([line.rstrip() + "\n" for line in lines])


def _drawn(messages: Sequence[LadderMessage], places: dict[_Place, int], pitch: int) -> list[str]:
    hosts, ports = [], []
    for address, transport in places:
        host, _, port = address.rpartition(":")
        hosts.append(_fit(host, pitch - 1).center(pitch))
        ports.append(_fit(f"{port} {transport}", pitch - 1).center(pitch))
    # Where `center` puts the middle of a text.
    lifelines = [_LEFT + pitch * index + pitch // 2 for index in range(len(places))]
    blank = list(" " * (_LEFT + pitch * len(places)))
    for column in lifelines:
        blank[column] = "|"
    lines = [" " * _LEFT + "".join(hosts), _HEAD + "".join(ports), "".join(blank)]
    for message, offset, again in _timed(messages):
        row = blank.copy()
        row[:_LEFT] = offset + f"{message['size']:{_SIZE}d}"
        transport = printable(message["transport"])
        source = lifelines[places[printable(message["source"]), transport]]
        destination = lifelines[places[printable(message["destination"]), transport]]
        _draw_arrow(row, source, destination, message["summary"], again)
        lines.append("".join(row))
    return lines


def _draw_arrow(row: list[str], source: int, destination: int, summary: str, again: bool) -> None:
    """Put an arrow and its label between two lifelines, or beside the one where it begins and ends."""
    mark = _AGAIN if again else ""
    left, right = min(source, destination) + 1, max(source, destination)
    if source == destination:
        # To itself: as far as the next lifeline, or the end of the row.
        end = row.index("|", left) if "|" in row[left:] else len(row)
        text = f"<> {_fit(printable(summary), max(0, end - left - 4 - len(mark)))}{mark}"
        row[left : left + len(text)] = text
        return
    room = right - left - 4 - len(mark)
    shaft = f" {_fit(printable(summary), room)}{mark} ".center(right - left, "-")
    row[left:right] = f"<{shaft[1:]}" if source > destination else f"{shaft[:-1]}>"


def _listed(messages: Sequence[LadderMessage]) -> list[str]:
    return [
        f"{offset}  {printable(message['source'])} -> {printable(message['destination'])}"
        f" {printable(message['transport'])}  {printable(message['summary'])}{_AGAIN if again else ''}"
        f"  ({message['size']} octets)"
        for message, offset, again in _timed(messages)
    ]


def _timed(messages: Sequence[LadderMessage]) -> list[tuple[LadderMessage, str, bool]]:
    """Each message with its time as text, and whether it went the same way before."""
    seen: set[tuple[str, str, str, str]] = set()
    timed = []
    for message in messages:
        key = (message["source"], message["destination"], message["transport"], message["text"])
        offset = f"{message['at'] - messages[0]['at']:.3f}"
        timed.append((message, _fit(offset, _TIME).rjust(_TIME), key in seen))
        seen.add(key)
    return timed


def _fit(text: str, room: int) -> str:
    """The text, or as much of it as there is room for, and two dots."""
    return text if len(text) <= room else text[: max(0, room - 2)] + ".."[: max(0, room)]
