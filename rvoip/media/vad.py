"""Who speaks: voice detection by energy above each stream's noise, and when speaking starts and stops.

`VoiceDetector` needs nothing but levels. `WebRTCVoiceDetector` asks the library `webrtcvad` (extra `vad`),
frame by frame, where noise is loud and the difference matters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rvoip.media.arrays import Booleans, Column, Floats, Frames, Indexes, Longs, StreamTable
from rvoip.media.errors import ExtraError, MediaError

__all__ = ["SpeakingChanges", "Speaking", "VoiceDetector", "WebRTCVoiceDetector"]

_LOUDEST_NOISE = -30.0
"""dBov; what is louder is not taken for noise."""


class VoiceDetector(StreamTable):
    """Voice by energy with hysteresis: a stream becomes active `on` dB above its noise, and ceases at `off`.

    The noise is followed at once downwards, slowly upwards; nothing below `least` dBov is voice.
    """

    floor: Floats
    """The noise of each stream, dBov."""
    active: Booleans

    def __init__(self, on: float = 9.0, off: float = 5.0, least: float = -52.0, limit: int = 65_536) -> None:
        """Make an empty table."""
        if not 0 <= off <= on:
            raise ValueError("on is not below off, and neither below 0 dB")
        self.on, self.off, self.least = on, off, least
        # Noise is learnt from above, within the first pause: a noisy line does not begin with long talk.
        super().__init__({"floor": Column(np.float32, (), _LOUDEST_NOISE), "active": Column(np.bool_)}, limit)

    def process(self, rows: Indexes, level: Floats, seconds: float) -> Booleans:
        """Take the RMS of the next frames of `rows` in dBov, each `seconds` long; return which hold voice."""
        floor, active = self.floor[rows], self.active[rows]
        threshold = np.where(active, np.float32(self.off), np.float32(self.on))
        found = (level > floor + threshold) & (level > self.least)
        # Down within a tenth of a second; up 3 dB a second in pauses, half a dB while somebody speaks.
        down = np.float32(min(seconds * 10, 1.0))
        rise = np.where(found, np.float32(0.5 * seconds), np.float32(3 * seconds))
        floor = np.where(level < floor, floor + (level - floor) * down, np.minimum(floor + rise, level))
        self.floor[rows] = np.clip(floor, -80, _LOUDEST_NOISE)
        self.active[rows] = found
        return found


class WebRTCVoiceDetector(StreamTable):
    """Voice by `webrtcvad`: a detector of that library a stream, a call of it a frame."""

    def __init__(self, rate: int, aggressiveness: int = 2, limit: int = 65_536) -> None:
        """Detect at `rate` Hz; `aggressiveness` is 0 to 3, 3 takes the least for voice.

        Raises ExtraError when the library is not installed.
        """
        try:
            import webrtcvad
        except ImportError:
            raise ExtraError(
                "voice detection by webrtcvad needs that library: pip install 'rvoip[vad]'"
            ) from None
        if rate not in (8000, 16000, 48000):
            raise MediaError(f"webrtcvad knows 8000, 16000 and 48000 Hz, not {rate}")
        if aggressiveness not in range(4):
            raise MediaError("the aggressiveness of webrtcvad is 0 to 3")
        self._make: Any = webrtcvad.Vad
        self.rate, self.aggressiveness = rate, aggressiveness
        super().__init__({"_detectors": Column(np.object_, (), None)}, limit)  # type: ignore[arg-type]

    _detectors: Any

    def add(self) -> int:
        """See `StreamTable.add`."""
        row = super().add()
        self._detectors[row] = self._make(self.aggressiveness)
        return row

    def process(self, rows: Indexes, audio: Frames) -> Booleans:
        """Take the next frames of `rows`, 10, 20 or 30 ms, and return which hold voice."""
        if audio.shape[1] * 100 % self.rate or not 1 <= audio.shape[1] * 100 // self.rate <= 3:
            raise MediaError("webrtcvad takes frames of 10, 20 or 30 ms")
        detectors = self._detectors[rows]
        return np.array(
            [one.is_speech(frame.tobytes(), self.rate) for one, frame in zip(detectors, audio)], np.bool_
        )


class SpeakingChanges(NamedTuple):
    """Rows whose streams started or stopped to speak in this frame."""

    started: Indexes
    stopped: Indexes


class Speaking(StreamTable):
    """Speaking starts after `attack` seconds of voice, and stops after `hangover` seconds without.

    A gap shorter than that belongs to the talk, a click shorter than `attack` is none.
    """

    speaking: Booleans
    _voiced: Longs
    _quiet: Longs

    def __init__(self, rate: int, attack: float = 0.06, hangover: float = 0.4, limit: int = 65_536) -> None:
        """Count samples at `rate` Hz."""
        self._attack, self._hangover = round(attack * rate), round(hangover * rate)
        columns = {"speaking": Column(np.bool_), "_voiced": Column(np.int64), "_quiet": Column(np.int64)}
        super().__init__(columns, limit)

    def process(self, rows: Indexes, active: Booleans, samples: int) -> SpeakingChanges:
        """Take whether the next `samples` of `rows` held voice; return who started and who stopped."""
        voiced, quiet, speaking = self._voiced[rows], self._quiet[rows], self.speaking[rows]
        voiced = np.where(active, np.minimum(voiced + samples, self._attack), 0)
        quiet = np.where(active, 0, np.minimum(quiet + samples, self._hangover))
        started = ~speaking & active & (voiced >= self._attack)
        stopped = speaking & ~active & (quiet >= self._hangover)
        self._voiced[rows], self._quiet[rows] = voiced, quiet
        self.speaking[rows] = (speaking | started) & ~stopped
        return SpeakingChanges(rows[started], rows[stopped])
