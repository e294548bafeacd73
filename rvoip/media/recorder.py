"""Recording many legs: what comes in and goes out, as blocks for a writer, with limits and pauses.

The recorder owns no file. It hands out `Begin`, `Write` and `Close`, one after the other for each recording,
and is told what became of them. A writer that fails, or does not answer for two seconds, ends its recording
with an event and nothing else: no call waits for a disk.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rvoip.codecs.g711 import a_law, mu_law
from rvoip.media.arrays import Booleans, Column, Frames, Indexes, Longs, StreamTable
from rvoip.media.errors import RecordingError
from rvoip.media.wav_header import MAX_DATA

__all__ = [
    "FORMATS",
    "TRACKS",
    "Begin",
    "Close",
    "Closed",
    "Done",
    "Failed",
    "Recorder",
    "RecordingEvent",
    "RecordingFailed",
    "RecordingFinished",
    "RecordingFormat",
    "Write",
    "WriterAnswer",
    "WriterInput",
]

TRACKS = {"mixed": 1, "stereo": 2, "received": 1, "sent": 1}
"""Which way of a leg is recorded, and in how many channels; stereo has what was received on the left."""
PATIENCE = 2.0
"""Seconds that a writer may take for a block."""
MAX_PENDING = 4 * 1024 * 1024
"""Octets of one recording that may wait for the writer."""
_BLOCK = 0.5
"""Seconds of audio in a block."""
_PARTS = 25
"""Into how many parts a block is cut, so that recordings which began together are not written together."""


class RecordingFormat(NamedTuple):
    """A kind of file: its container and what the blocks of `Write` are in."""

    container: str
    encoding: str

    def ending(self, rate: int) -> str:
        """The ending of its name, which of a raw file has to say the rate."""
        if self.container != "raw":
            return f".{self.container}"
        if self.encoding != "s16":
            return f".{self.encoding}"
        return ".sln" if rate == 8000 else f".sln{rate // 1000}"

    def octets(self, samples: int, channels: int) -> int:
        """How much of a block so many samples are."""
        return samples * channels * (2 if self.encoding == "s16" else 1)


FORMATS = {
    "wav": RecordingFormat("wav", "s16"),
    "wav-ulaw": RecordingFormat("wav", "ulaw"),
    "wav-alaw": RecordingFormat("wav", "alaw"),
    "raw": RecordingFormat("raw", "s16"),
    "ulaw": RecordingFormat("raw", "ulaw"),
    "alaw": RecordingFormat("raw", "alaw"),
    "opus": RecordingFormat("ogg", "s16"),
    "mp3": RecordingFormat("mp3", "s16"),
}
"""By the name that the API has for them; opus (in Ogg) and mp3 need the extra `audio`."""


class Begin(NamedTuple):
    """Make the file of a recording."""

    id: str
    format: RecordingFormat
    rate: int
    channels: int


class Write(NamedTuple):
    """Append octets to it; channels are interleaved, `s16` is little-endian."""

    id: str
    data: bytes


class Close(NamedTuple):
    """Nothing more will come."""

    id: str


WriterInput = Begin | Write | Close


class Done(NamedTuple):
    """The oldest `Begin` or `Write` of a recording that was not answered for is done."""

    id: str


class Closed(NamedTuple):
    """Its file is closed, and has `size` octets."""

    id: str
    size: int


class Failed(NamedTuple):
    """Something could not be done; the file was closed as it was."""

    id: str
    reason: str


WriterAnswer = Done | Closed | Failed


class RecordingFinished(NamedTuple):
    """A recording is closed and on disk. `reason`: "stopped", "max_seconds" or "max_bytes"."""

    id: str
    reason: str
    milliseconds: int
    bytes: int


class RecordingFailed(NamedTuple):
    """A recording ended before its time; the file has `milliseconds` of it, or a little less."""

    id: str
    reason: str
    milliseconds: int


RecordingEvent = RecordingFinished | RecordingFailed


class _Recording:
    """What the columns do not hold of a recording."""

    __slots__ = (
        "channels",
        "ended",
        "format",
        "id",
        "limit",
        "pending",
        "reason",
        "row",
        "tracks",
        "written",
    )

    def __init__(self, id: str, row: int, format: RecordingFormat, tracks: str) -> None:
        self.id = id
        self.row = row
        self.format = format
        self.tracks = tracks
        self.channels = TRACKS[tracks]
        self.reason = "stopped"
        self.limit = "max_seconds"
        self.ended = 0
        """Samples that it had when it ended."""
        self.pending: deque[tuple[float, int]] = deque()
        """When what the writer has not answered yet was handed out, and its octets."""
        self.written = 0
        """Octets that the writer has answered for."""


class Recorder(StreamTable):
    """Recordings of legs of one rate: a row a recording, of which a leg may have several."""

    _fill: Longs
    _full: Longs
    _samples: Longs
    _most: Longs
    _paused: npt.NDArray[np.int8]
    _pcm: npt.NDArray[np.int16]
    _live: Booleans

    def __init__(self, rate: int, limit: int = 4096, max_pending: int = MAX_PENDING) -> None:
        """Record at `rate` Hz: at most `limit` at a time, of each `max_pending` octets before the writer."""
        self._block = int(rate * _BLOCK)
        super().__init__(
            {
                "_fill": Column(np.int64),
                "_full": Column(np.int64),
                "_samples": Column(np.int64),
                "_most": Column(np.int64),
                "_paused": Column(np.int8),
                "_pcm": Column(np.int16, (2, self._block)),
                "_live": Column(np.bool_),
            },
            limit,
        )
        self.rate = rate
        self.max_pending = max_pending
        self._by_row: dict[int, _Recording] = {}
        self._by_id: dict[str, _Recording] = {}
        self._out: list[WriterInput] = []
        self._events: list[RecordingEvent] = []

    # What is asked for

    def start(
        self,
        id: str,
        now: float,
        format: str = "wav",
        tracks: str = "mixed",
        max_seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> int:
        """Begin a recording and return its row; `id` is a name that no other has.

        `max_seconds` counts the audio in the file, `max_bytes` the octets of it before any compression.
        Raises RecordingError for what is unknown or no limit, MediaError when there are too many.
        """
        if format not in FORMATS:
            raise RecordingError(f"the format {ascii(format)[:40]} is none of {', '.join(FORMATS)}")
        if tracks not in TRACKS:
            raise RecordingError(f"the tracks {ascii(tracks)[:40]} are none of {', '.join(TRACKS)}")
        if id in self._by_id:
            raise RecordingError("there is a recording of that name")
        kind, channels = FORMATS[format], TRACKS[tracks]
        if format in ("ulaw", "alaw") and self.rate != 8000:
            raise RecordingError(f"nothing would say that the rate of raw {format} is {self.rate} Hz")
        frame = kind.octets(1, channels)
        by_bytes = (MAX_DATA if max_bytes is None else min(max_bytes, MAX_DATA)) // frame
        by_time = by_bytes if max_seconds is None else int(min(max_seconds, 1e9) * self.rate)
        if min(by_bytes, by_time) <= 0:
            raise RecordingError("there is no room for a sample within the limits")
        row = self.add()
        recording = _Recording(id, row, kind, tracks)
        recording.limit = "max_bytes" if max_seconds is None or by_bytes < by_time else "max_seconds"
        self._by_row[row] = self._by_id[id] = recording
        self._most[row] = min(by_bytes, by_time)
        # Only the first block is cut short.
        part = self._block // _PARTS
        self._full[row] = self._block - part * (row % _PARTS)
        self._live[row] = True
        self._hand_out(recording, Begin(id, kind, self.rate, channels), 0, now)
        return row

    def pause(self, row: int, mode: str = "silence") -> None:
        """Record nothing of what is said from now on: write "silence" in its place, or "cut" it out."""
        self._recording(row)
        if mode not in ("silence", "cut"):
            raise RecordingError(f"a pause is silence or cut, not {ascii(mode)[:40]}")
        self._paused[row] = 1 if mode == "silence" else 2

    def resume(self, row: int) -> None:
        """Record again."""
        self._recording(row)
        self._paused[row] = 0

    def stop(self, row: int, now: float, reason: str = "stopped") -> None:
        """End a recording: its row is free at once, its event follows when the file is closed."""
        recording = self._recording(row)
        self._flush(recording, now)
        if recording.id in self._by_id:
            recording.reason = reason
            self._close(recording, now)

    def milliseconds(self, row: int) -> int:
        """How much audio a recording has."""
        self._recording(row)
        return int(self._samples[row]) * 1000 // self.rate

    def row_of(self, id: str) -> int:
        """The row of a recording that goes on; raises RecordingError."""
        recording = self._by_id.get(id)
        if recording is None or self._by_row.get(recording.row) is not recording:
            raise RecordingError("there is no such recording")
        return recording.row

    # The tick

    def push(self, rows: Indexes, received: Frames, sent: Frames, now: float) -> None:
        """Record the next frame of `rows`: what their legs sent us, and what we sent to them.

        Both are `(rows, samples)`; a leg that was silent has zeros. Rows that are not recorded any more are
        passed over.
        """
        going = self._live[rows] & (self._paused[rows] != 2)
        if not going.all():
            rows, received, sent = rows[going], received[going], sent[going]
        samples = received.shape[1]
        for begin in range(0, samples, self._block // 2):
            part = slice(begin, begin + self._block // 2)
            self._push(rows, received[:, part], sent[:, part], now)

    def _push(self, rows: Indexes, received: Frames, sent: Frames, now: float) -> None:
        samples = received.shape[1]
        room = self._full[rows] - self._fill[rows]
        for row in rows[room < samples].tolist():
            self._flush(self._by_row[row], now)
            self._full[row] = self._block
        live = self._live[rows]
        if not live.all():
            rows, received, sent = rows[live], received[live], sent[live]
        if not len(rows):
            return
        at = rows * (2 * self._block) + self._fill[rows]
        # Frames at every place of the buffer; writing to some of them writes to the buffer.
        places = np.lib.stride_tricks.sliding_window_view(self._pcm.reshape(-1), samples, writeable=True)
        silent = self._paused[rows] == 1
        if silent.any():
            received, sent = received.copy(), sent.copy()
            received[silent] = 0
            sent[silent] = 0
        places[at] = received
        places[at + self._block] = sent
        self._fill[rows] += samples
        self._samples[rows] += samples
        for row in rows[self._samples[rows] >= self._most[rows]].tolist():
            over = int(self._samples[row] - self._most[row])
            self._fill[row] -= over
            self._samples[row] -= over
            self.stop(row, now, self._by_row[row].limit)

    # The writer

    def outputs(self) -> list[WriterInput]:
        """What the writer has to do since this was last asked, in order."""
        found, self._out = self._out, []
        return found

    def answered(self, answer: WriterAnswer) -> None:
        """Take what the writer says; answers for recordings that are over are passed over."""
        recording = self._by_id.get(answer.id)
        if recording is None:
            return
        if isinstance(answer, Failed):
            self._fail(recording, answer.reason)
        elif isinstance(answer, Closed):
            del self._by_id[answer.id]
            milliseconds = recording.ended * 1000 // self.rate
            self._events.append(RecordingFinished(answer.id, recording.reason, milliseconds, answer.size))
        elif recording.pending:
            recording.written += recording.pending.popleft()[1]

    def deadline(self) -> float | None:
        """When `check` has something to do, if the writer has not answered by then."""
        return min((r.pending[0][0] + PATIENCE for r in self._by_id.values() if r.pending), default=None)

    def check(self, now: float) -> None:
        """Give up recordings whose writer has not answered for two seconds."""
        for recording in list(self._by_id.values()):
            if recording.pending and recording.pending[0][0] + PATIENCE <= now:
                self._give_up(recording, "the disk does not answer")

    def events(self) -> list[RecordingEvent]:
        """What has ended since this was last asked."""
        found, self._events = self._events, []
        return found

    def _recording(self, row: int) -> _Recording:
        recording = self._by_row.get(row)
        if recording is None:
            raise RecordingError(f"row {row} has no recording")
        return recording

    def _hand_out(self, recording: _Recording, what: WriterInput, size: int, now: float) -> None:
        recording.pending.append((now, size))
        self._out.append(what)

    def _flush(self, recording: _Recording, now: float) -> None:
        row = recording.row
        fill = int(self._fill[row])
        self._fill[row] = 0
        if not fill:
            return
        data = self._encoded(recording, self._pcm[row, :, :fill])
        waiting = sum(size for _, size in recording.pending)
        if waiting + len(data) > self.max_pending:
            self._give_up(recording, "the disk is too slow")
            return
        self._hand_out(recording, Write(recording.id, data), len(data), now)

    def _encoded(self, recording: _Recording, pcm: npt.NDArray[np.int16]) -> bytes:
        """The octets of `pcm` (2, n): what was received, and what was sent."""
        tracks = recording.tracks
        if tracks == "stereo":
            samples = np.ascontiguousarray(pcm.T).reshape(-1)
        elif tracks == "mixed":
            samples = np.clip(pcm.sum(axis=0, dtype=np.int32), -32768, 32767).astype(np.int16)
        else:
            samples = pcm[0 if tracks == "received" else 1]
        if recording.format.encoding == "s16":
            return samples.astype("<i2").tobytes()
        law = mu_law() if recording.format.encoding == "ulaw" else a_law()
        return law.compress[samples.view(np.uint16)].tobytes()

    def _close(self, recording: _Recording, now: float) -> None:
        recording.ended = int(self._samples[recording.row])
        self._release(recording)
        self._hand_out(recording, Close(recording.id), 0, now)

    def _give_up(self, recording: _Recording, reason: str) -> None:
        """Fail a recording whose writer has not; what it was handed it will still write, and close."""
        self._fail(recording, reason)
        self._out.append(Close(recording.id))

    def _fail(self, recording: _Recording, reason: str) -> None:
        del self._by_id[recording.id]
        if self._by_row.get(recording.row) is recording:
            self._release(recording)
        frame = recording.format.octets(1, recording.channels)
        milliseconds = recording.written // frame * 1000 // self.rate
        self._events.append(RecordingFailed(recording.id, reason, milliseconds))

    def _release(self, recording: _Recording) -> None:
        del self._by_row[recording.row]
        self.remove(recording.row)
