"""What a media server reports unasked: values, tagged by their member `event`."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

__all__ = [
    "EVENTS", "AnyEvent", "DtmfEvent", "LeaseExpiredEvent", "MediaTimeoutEvent", "PlayFinishedEvent",
    "QualityEvent", "RecordingFailedEvent", "RecordingFinishedEvent", "SilenceEvent", "SpeakingEvent",
    "decode_event",
]  # fmt: skip


class _Event(Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    endpoint: str = ""
    """Whose it is; empty for what is no endpoint's."""
    time: float
    """Seconds since 1970."""


class DtmfEvent(_Event, frozen=True, kw_only=True, tag="dtmf"):
    """A digit that the peer sent; or, with `collect`, what a collection has come to."""

    digit: str = ""
    duration_ms: int = 0
    collect: str = ""
    """The collection that is over."""
    digits: str = ""
    """What it has got, without the terminator."""
    reason: Literal["", "max_digits", "terminator", "first_timeout", "digit_timeout"] = ""


class SpeakingEvent(_Event, frozen=True, kw_only=True, tag="speaking"):
    """The peer has begun to speak."""

    conference: str = ""
    """Where it is the active speaker now."""


class SilenceEvent(_Event, frozen=True, kw_only=True, tag="silence"):
    """The peer has ceased to speak."""


class PlayFinishedEvent(_Event, frozen=True, kw_only=True, tag="play_finished"):
    """Something that was played is over."""

    play: str
    reason: Literal["end", "stopped", "barge_in", "failed"] = "end"
    played_ms: int = 0
    detail: str = ""
    """Why it failed."""


class RecordingFinishedEvent(_Event, frozen=True, kw_only=True, tag="recording_finished"):
    """A recording is complete."""

    recording: str
    seconds: float = 0.0
    bytes: int = 0
    file: str = ""
    reason: Literal["stopped", "max_seconds", "ended"] = "stopped"
    """It was stopped, is as long as it may be, or its endpoint is no more."""


class RecordingFailedEvent(_Event, frozen=True, kw_only=True, tag="recording_failed"):
    """A recording is not complete, and will not be; what there is of it is kept."""

    recording: str
    detail: str = ""


class MediaTimeoutEvent(_Event, frozen=True, kw_only=True, tag="media_timeout"):
    """Nothing has come from the peer."""

    seconds: float
    """For how long."""


class QualityEvent(_Event, frozen=True, kw_only=True, tag="quality"):
    """What is heard of the peer has become bad, or good again."""

    mos: float
    loss: float = 0.0
    """0 to 1, since the last report."""
    jitter_ms: float = 0.0
    round_trip_ms: float | None = None
    alarm: bool = True
    """False when it is good again."""


class LeaseExpiredEvent(_Event, frozen=True, kw_only=True, tag="lease_expired"):
    """A lease was not renewed, and all that it held has ended."""

    lease: str
    endpoints: list[str] = []
    """Those that ended, 1000 at the most."""


AnyEvent = (
    DtmfEvent
    | SpeakingEvent
    | SilenceEvent
    | PlayFinishedEvent
    | RecordingFinishedEvent
    | RecordingFailedEvent
    | MediaTimeoutEvent
    | QualityEvent
    | LeaseExpiredEvent
)

EVENTS: Final[tuple[type[_Event], ...]] = (
    DtmfEvent,
    SpeakingEvent,
    SilenceEvent,
    PlayFinishedEvent,
    RecordingFinishedEvent,
    RecordingFailedEvent,
    MediaTimeoutEvent,
    QualityEvent,
    LeaseExpiredEvent,
)

_decoder: Final = msgspec.json.Decoder(AnyEvent)


def decode_event(data: bytes | str) -> AnyEvent:
    """The event that JSON stands for. Raises ValueError for one of a kind that is not known here."""
    try:
        event: AnyEvent = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no event: {error}") from None
    return event
