"""Formats that are negotiated with audio and carry none of it: telephone-event (RFC 4733), CN (RFC 3389)."""

from __future__ import annotations

from rvoip.codecs.codec import Codec
from rvoip.codecs.fmtp import integer

__all__ = ["ComfortNoise", "TelephoneEvent", "format_events", "parse_events"]

DTMF = frozenset(range(16))
"""What telephone-event means where no events are listed (RFC 4733 section 2.4.1)."""

MAX_PARTS = 256


def parse_events(text: str) -> frozenset[int]:
    """Read "0-15,32,36"; parts that are no event or range of events, 0 to 255, count for nothing."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(",", MAX_PARTS)[:MAX_PARTS]:
        low, dash, high = part.partition("-")
        first = integer(low, 0, 255)
        last = integer(high, 0, 255) if dash else first
        if first is not None and last is not None:
            found.update(range(first, last + 1))
    return frozenset(found)


def format_events(events: frozenset[int]) -> str:
    """Write events in ascending order, three and more in a row as a range."""
    parts: list[str] = []
    for event in sorted(events):
        if event - 1 in events:
            continue
        last = event
        while last + 1 in events:
            last += 1
        parts.append(str(event) if last == event else f"{event}{',' if last == event + 1 else '-'}{last}")
    return ",".join(parts)


class TelephoneEvent(Codec):
    """Events, most of all DTMF, at the clock rate of the audio that they go with."""

    name = "telephone-event"
    kind = "events"

    def __init__(self, clock_rate: int = 8000, events: frozenset[int] = DTMF) -> None:
        self.sample_rate = self.clock_rate = clock_rate
        self.events = events

    def offer(self) -> str:
        return format_events(self.events)

    def answer(self, fmtp: str) -> str | None:
        """The events that both know; None when there are none."""
        common = self.events & (parse_events(fmtp) if fmtp.strip(" ") else DTMF)
        return format_events(common) if common else None


class ComfortNoise(Codec):
    """Descriptions of the noise in a pause, at the clock rate of the audio that they go with."""

    name = "CN"
    kind = "noise"

    def __init__(self, clock_rate: int = 8000) -> None:
        self.sample_rate = self.clock_rate = clock_rate
        self.static_payload_type = 13 if clock_rate == 8000 else None
