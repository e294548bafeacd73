"""What the endpoints of the fake media server do: play, collect, record and the like, on a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime

from rvoip.mediacontrol import schema
from rvoip.mediacontrol.errors import MediaRefused
from rvoip.mediacontrol.events import (
    AnyEvent,
    DtmfEvent,
    PlayFinishedEvent,
    RecordingFailedEvent,
    RecordingFinishedEvent,
)

__all__ = ["Activities"]

_BYTES_A_SECOND = 16_000
_ALONE = ("collect", "echo", "moh", "block_dtmf")
"""Of these an endpoint has one at a time."""
_SECONDS_A_DIGIT = 0.2


class _Activity:
    __slots__ = ("began", "digits", "endpoint", "id", "kind", "request", "timer")

    def __init__(self, kind: str, id_: str, endpoint: str, request: Any, began: float) -> None:
        self.kind = kind
        self.id = id_
        self.endpoint = endpoint
        self.request = request
        self.began = began
        self.digits = ""
        self.timer: Any = None

    def rest(self) -> None:
        """Wait for nothing more."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = None


class Activities:
    """Those of all endpoints, and the recordings that are left of them."""

    def __init__(
        self,
        clock: IReactorTime,
        emit: Callable[[AnyEvent], None],
        prompts: Mapping[str, float] | None,
        wall_now: Callable[[], float],
    ) -> None:
        self.recordings: dict[str, schema.Recording] = {}
        self._clock = clock
        self._emit = emit
        self._prompts = prompts
        self._wall_now = wall_now
        self._going: dict[str, _Activity] = {}
        self._paused: dict[str, tuple[str, float]] = {}
        self._cut: dict[str, float] = {}

    def of(self, endpoint: str) -> list[schema.Activity]:
        """What an endpoint is doing."""
        return [
            schema.Activity(kind=each.kind, id=each.id)
            for each in self._going.values()
            if each.endpoint == endpoint
        ]

    def start(self, kind: str, id_: str, endpoint: str, request: Any) -> None:
        """Begin one. Raises `MediaRefused` when there is no such source, or another one is in its way."""
        if kind in _ALONE and any(each.kind == kind for each in self.of(endpoint)):
            raise MediaRefused(f"{endpoint} has one going on", 409)
        seconds = self._seconds(kind, request)
        made = _Activity(kind, id_, endpoint, request, self._clock.seconds())
        self._going[id_] = made
        if kind == "record":
            self.recordings[id_] = schema.Recording(
                id=id_, endpoint=endpoint, state="recording", format=request.format
            )
        if kind == "collect":
            made.timer = self._clock.callLater(request.first_timeout, self._collected, made, "first_timeout")
        elif seconds is not None:
            made.timer = self._clock.callLater(seconds, self._over, made)

    def _seconds(self, kind: str, request: Any) -> float | None:
        """How long it takes; None is until it is stopped."""
        if kind == "record":
            return float(request.max_seconds)
        if kind == "dtmf":
            return len(request.digits) * _SECONDS_A_DIGIT
        if kind != "play":
            return None
        source: str = request.source
        if source.startswith("recording:"):
            seconds = self.recording(source.removeprefix("recording:")).seconds
        elif source == "silence" or source.startswith("tone:"):
            return None
        elif self._prompts is None or source.startswith("https://"):
            seconds = 1.0
        elif source in self._prompts:
            seconds = self._prompts[source]
        else:
            raise MediaRefused(f"there is no prompt {source}", 404)
        return None if request.loop else max(0.0, seconds - request.offset_ms / 1000)

    def stop(self, endpoint: str, kind: str, id_: str) -> None:
        """End one. Raises `MediaRefused` 404 when it is over."""
        found = self._going.get(id_)
        if found is None or found.endpoint != endpoint or found.kind != kind:
            raise MediaRefused(f"{endpoint} has no {kind} {id_}", 404)
        self._finish(found, "stopped")

    def end(self, endpoint: str) -> None:
        """The endpoint is no more."""
        for each in [each for each in self._going.values() if each.endpoint == endpoint]:
            self._finish(each, "ended")

    def forget(self) -> None:
        """Let nothing go on, and tell nobody."""
        for each in self._going.values():
            each.rest()
        self._going.clear()

    def fail_recording(self, id_: str, detail: str) -> None:
        """The disk is full, or the like."""
        found = self._going.pop(id_)
        found.rest()
        self.recordings[id_] = msgspec.structs.replace(self.recordings[id_], state="failed")
        self._emit(
            RecordingFailedEvent(endpoint=found.endpoint, time=self._wall_now(), recording=id_, detail=detail)
        )

    def digit(self, endpoint: str, digit: str, duration_ms: int) -> None:
        """The peer sent a digit."""
        self._emit(DtmfEvent(endpoint=endpoint, time=self._wall_now(), digit=digit, duration_ms=duration_ms))
        for each in [each for each in self._going.values() if each.endpoint == endpoint]:
            if each.kind == "play" and each.request.barge_in:
                self._finish(each, "barge_in")
            elif each.kind == "collect":
                self._collect(each, digit)

    def _collect(self, collection: _Activity, digit: str) -> None:
        request: schema.Collect = collection.request
        collection.rest()
        if digit == request.terminator:
            self._collected(collection, "terminator")
            return
        collection.digits += digit
        if len(collection.digits) >= request.max_digits:
            self._collected(collection, "max_digits")
        else:
            collection.timer = self._clock.callLater(
                request.digit_timeout, self._collected, collection, "digit_timeout"
            )

    def _collected(self, collection: _Activity, reason: Any) -> None:
        collection.rest()
        del self._going[collection.id]
        self._emit(
            DtmfEvent(
                endpoint=collection.endpoint,
                time=self._wall_now(),
                collect=collection.id,
                digits=collection.digits,
                reason=reason,
            )
        )

    def _over(self, activity: _Activity) -> None:
        activity.timer = None
        self._finish(activity, "max_seconds" if activity.kind == "record" else "end")

    def _finish(self, activity: _Activity, reason: Any) -> None:
        if activity.kind == "record":
            self.resume(activity.id)
        activity.rest()
        del self._going[activity.id]
        if activity.kind == "play":
            self._emit(
                PlayFinishedEvent(
                    endpoint=activity.endpoint,
                    time=self._wall_now(),
                    play=activity.id,
                    reason="stopped" if reason == "ended" else reason,
                    played_ms=round((self._clock.seconds() - activity.began) * 1000),
                )
            )
        elif activity.kind == "record":
            self._recorded(activity, reason)

    def _recorded(self, activity: _Activity, reason: Any) -> None:
        seconds = self._clock.seconds() - activity.began - self._cut.pop(activity.id, 0.0)
        finished = msgspec.structs.replace(
            self.recordings[activity.id],
            state="finished",
            seconds=round(seconds, 3),
            bytes=44 + round(seconds * _BYTES_A_SECOND),
            file=f"{activity.id}.{activity.request.format}",
        )
        self.recordings[activity.id] = finished
        self._emit(
            RecordingFinishedEvent(
                endpoint=activity.endpoint,
                time=self._wall_now(),
                recording=finished.id,
                seconds=finished.seconds,
                bytes=finished.bytes,
                file=finished.file,
                reason=reason,
            )
        )

    # Recordings

    def recording(self, id_: str) -> schema.Recording:
        """How it is. Raises `MediaRefused` 404."""
        found = self.recordings.get(id_)
        if found is None:
            raise MediaRefused(f"there is no recording {id_}", 404)
        return found

    def delete_recording(self, id_: str) -> None:
        """Delete it. Raises `MediaRefused`."""
        self.recording(id_)
        if id_ in self._going:
            raise MediaRefused(f"{id_} is being recorded", 409)
        del self.recordings[id_]

    def pause(self, id_: str, mode: str) -> None:
        """Record silence, or nothing. Raises `MediaRefused`."""
        self._check_going(id_)
        self.resume(id_)
        self._paused[id_] = (mode, self._clock.seconds())
        self.recordings[id_] = msgspec.structs.replace(self.recordings[id_], state="paused")

    def resume(self, id_: str) -> None:
        """Go on; harmless where it is not paused. Raises `MediaRefused` when it is over."""
        self._check_going(id_)
        mode, since = self._paused.pop(id_, ("silence", 0.0))
        if mode == "cut":
            self._cut[id_] = self._cut.get(id_, 0.0) + self._clock.seconds() - since
        self.recordings[id_] = msgspec.structs.replace(self.recordings[id_], state="recording")

    def _check_going(self, id_: str) -> None:
        self.recording(id_)
        if id_ not in self._going:
            raise MediaRefused(f"{id_} is over", 409)
