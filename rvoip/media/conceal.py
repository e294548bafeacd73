"""Packet loss concealment: what was lost is filled with the pitch periods before it.

In the manner of ITU-T G.711 Appendix I: the pitch is where the past correlates best with itself; its last
period is repeated, after 10 ms the last two, after 20 ms the last three, so that a long loss does not buzz;
from 10 ms on it fades, to silence at 60 ms; the sound that returns is cross-faded with what was being made
up.

The Appendix delays all sound by 3.75 ms to blend the beginning of a loss. Here nothing is delayed: the step
that is left between the last sample and its continuation is taken off the first quarter of a period as a
ramp.
"""

from __future__ import annotations

import numpy as np

from rvoip.media.arrays import Booleans, Column, Doubles, Floats, Frames, Indexes, Longs, StreamTable
from rvoip.media.errors import MediaError

__all__ = ["Concealer"]

_SLOWEST, _FASTEST = 120, 40
"""Longest and shortest pitch period at 8 kHz, in samples: 66 to 200 Hz."""
_PAST = 390
"""3.25 of the longest periods at 8 kHz: three to repeat, and a quarter to blend them."""
_WINDOW = 160
"""Samples at 8 kHz that are correlated: 20 ms."""
_COARSE = 2
"""The search first looks at every second sample of 8 kHz."""


class Concealer(StreamTable):
    """The recent past of streams of one rate, 8, 16, 24 or 48 kHz, and how far each is into a loss."""

    _past: Frames
    _snapshot: Frames
    _lost: Longs
    _pitch: Longs

    def __init__(self, rate: int, limit: int = 65_536) -> None:
        """Keep 48.75 ms of each stream at `rate` Hz; raises MediaError for another rate."""
        if rate not in (8000, 16000, 24000, 48000):
            raise MediaError(f"there is no concealment at {rate} Hz")
        self.rate = rate
        self._scale = rate // 8000
        self._size = _PAST * self._scale
        columns = {
            "_past": Column(np.int16, (self._size,)),
            "_snapshot": Column(np.int16, (self._size,)),
            "_lost": Column(np.int64),
            "_pitch": Column(np.int64, (), _FASTEST * self._scale),
        }
        super().__init__(columns, limit)

    def process(self, rows: Indexes, audio: Frames, lost: Booleans) -> None:
        """Take the next frame of the streams `rows`, and change `audio` in place.

        Where `lost` is set the frame is made up; a first frame after a loss is blended with what was made up
        before it; all others stay as they are.
        """
        samples = audio.shape[1]
        if lost.any():
            self._fill(rows[lost], audio, np.flatnonzero(lost), samples)
        returned = np.flatnonzero(~lost & (self._lost[rows] > 0))
        if len(returned):
            self._return(rows[returned], audio, returned, samples)
        self._remember(rows, audio)

    def lost_for(self, rows: Indexes) -> Doubles:
        """Return for how long each stream has been made up, in seconds."""
        return self._lost[rows] / self.rate

    def _remember(self, rows: Indexes, audio: Frames) -> None:
        samples, size = audio.shape[1], self._size
        if samples >= size:
            self._past[rows] = audio[:, samples - size :]
            return
        past = np.empty((len(rows), size), np.int16)
        past[:, : size - samples] = self._past[rows, samples:]
        past[:, size - samples :] = audio
        self._past[rows] = past

    def _fill(self, rows: Indexes, audio: Frames, places: Indexes, samples: int) -> None:
        fresh = rows[self._lost[rows] == 0]
        if len(fresh):
            self._snapshot[fresh] = past = self._past[fresh]
            self._pitch[fresh] = _pitch(past, self._scale)
        made = self._made_up(rows, samples)
        np.rint(made, out=made)
        np.clip(made, -32768, 32767, out=made)
        audio[places] = made
        # A loss of hours stays countable.
        self._lost[rows] = np.minimum(self._lost[rows] + samples, 1 << 40)

    def _return(self, rows: Indexes, audio: Frames, places: Indexes, samples: int) -> None:
        # A quarter of a period, and 4 ms more for each 10 ms that were lost; 10 ms at most (G.711 I.2.6).
        longer = 4 * self.rate // 1000 * (self._lost[rows] // (self.rate // 100))
        length = np.minimum(self._pitch[rows] // 4 + longer, self.rate // 100)
        longest = min(int(length.max()), samples)
        made = self._made_up(rows, longest)
        weight = np.minimum((np.arange(longest) + 1) / (length[:, np.newaxis] + 1), 1).astype(np.float32)
        beyond = np.arange(longest) >= length[:, np.newaxis]
        weight[beyond] = 1
        blended = audio[places, :longest] * weight + made * (1 - weight)
        np.rint(blended, out=blended)
        audio[places, :longest] = np.clip(blended, -32768, 32767)
        self._lost[rows] = 0

    def _made_up(self, rows: Indexes, samples: int) -> Floats:
        """Continue the streams by `samples` from where their losses have come to."""
        rate = self.rate
        at = self._lost[rows, np.newaxis] + np.arange(samples)
        gain = np.clip(1 - (at - rate // 100) / (rate // 20), 0, 1).astype(np.float32)
        if not gain.any():
            return np.zeros((len(rows), samples), np.float32)
        snapshot, pitch = self._snapshot[rows], self._pitch[rows, np.newaxis]
        quarter = pitch // 4
        # One period for 10 ms, two for the next 10, then three; a quarter of a period leads over.
        periods = np.clip(at // (rate // 100) + 1, 1, 3)
        sound = self._repeated(snapshot, at, periods, pitch, quarter)
        since = at - (periods - 1) * (rate // 100)
        leading = (periods > 1) & (since < quarter)
        if leading.any():
            before = self._repeated(snapshot, at, np.maximum(periods - 1, 1), pitch, quarter)
            weight = ((since + 1) / (quarter + 1)).astype(np.float32)
            sound = np.where(leading, sound * weight + before * (1 - weight), sound)
        first = at < quarter
        if first.any():
            step = snapshot[:, -1:] - np.take_along_axis(snapshot, self._size - pitch - 1, 1).astype(
                np.float32
            )
            ramp = (1 - (at + 1) / (quarter + 1)).astype(np.float32)
            sound = np.where(first, sound + step * ramp, sound)
        return sound * gain

    def _repeated(self, snapshot: Frames, at: Longs, periods: Longs, pitch: Longs, quarter: Longs) -> Floats:
        """Repeat the last `periods` periods; the end of each turn leads over to the beginning of the next."""
        length = periods * pitch
        turn = at % length
        index = self._size - length + turn
        sound = np.take_along_axis(snapshot, index, 1).astype(np.float32)
        into = turn - (length - quarter)
        blended = into >= 0
        # A quarter of a period before the repeated part leads to its beginning.
        lead = np.take_along_axis(snapshot, np.where(blended, index - length, index), 1)
        weight = np.where(blended, (into + 1) / (quarter + 1), 0).astype(np.float32)
        return sound * (1 - weight) + lead * weight


def _pitch(past: Frames, scale: int) -> Longs:
    """Find the pitch period of each row, in samples: first roughly, then to the sample."""
    stride = scale * _COARSE
    rough = past[:, ::-1][:, ::stride][:, ::-1].astype(np.float64)
    lags = np.arange(_FASTEST // _COARSE, _SLOWEST // _COARSE + 1)
    best = lags[_correlations(rough, lags, _WINDOW // _COARSE).argmax(axis=1)] * stride
    fine = past.astype(np.float64)
    around = np.clip(best[:, np.newaxis] + np.arange(-stride, stride + 1), _FASTEST * scale, _SLOWEST * scale)
    window = _WINDOW * scale
    end = fine[:, -window:]
    scores = np.empty(around.shape)
    for column in range(around.shape[1]):
        begin = past.shape[1] - window - around[:, column, np.newaxis]
        earlier = np.take_along_axis(fine, begin + np.arange(window), 1)
        scores[:, column] = np.vecdot(earlier, end) / np.sqrt(np.maximum(np.vecdot(earlier, earlier), 1))
    found: Longs = np.take_along_axis(around, scores.argmax(axis=1)[:, np.newaxis], 1)[:, 0]
    return found


def _correlations(line: Doubles, lags: Longs, window: int) -> Doubles:
    """Return how the last `window` samples of each row are like those `lags` before, for their loudness.

    Sums of products of 16-bit samples are exact in doubles.
    """
    count, size = line.shape
    end = line[:, size - window :]
    scores = np.empty((count, len(lags)))
    for number, lag in enumerate(lags.tolist()):
        earlier = line[:, size - window - lag : size - lag]
        scores[:, number] = np.vecdot(earlier, end) / np.sqrt(np.maximum(np.vecdot(earlier, earlier), 1))
    return scores
