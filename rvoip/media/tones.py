"""Tones: single, dual and modulated ones, in cadences that are exact to the sample, for many streams at once.

    tone:440                        until it is stopped
    tone:440+480/2000,0/4000        two tones for 2 s, silence for 4 s
    tone:400*25/1000                400 Hz, modulated with 25 Hz
    tone:ringback/de                a tone of a country (`tone_countries`)

Oscillators go on in phase over frames, segments and rounds.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rvoip.media.arrays import Booleans, Column, Floats, Frames, Indexes, Longs, StreamTable
from rvoip.media.errors import MediaError, ToneError
from rvoip.media.tone_countries import COUNTRIES, SPECIAL_INFORMATION, TONES

__all__ = [
    "LEVEL",
    "MAX_SEGMENTS",
    "MAX_TONES",
    "Segment",
    "Tone",
    "ToneGenerator",
    "ToneProgram",
    "parse_tone",
    "render",
]

LEVEL = -16.0
"""dBov of a tone, all its parts together: -10 dBm0, as ITU-T E.180 advises."""
MAX_TONES = 4
MAX_SEGMENTS = 256

_MAX_TEXT = 1000
_MAX_MILLISECONDS = 3_600_000
_FOREVER = 1 << 60
_SINE_BITS = 14
_SINE = np.sin(2 * np.pi / (1 << _SINE_BITS) * np.arange(1 << _SINE_BITS)).astype(np.float32)
_FREQUENCY = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,3})?", re.ASCII)
_DURATION = re.compile(r"[0-9]{1,7}", re.ASCII)
_NAMED = re.compile(r"[a-z]", re.ASCII)
_STOPPED = -1


class Tone(NamedTuple):
    """A sine: Hz, and its level in dBov (a sine of full scale has -3.01)."""

    frequency: float
    level: float


class Segment(NamedTuple):
    """Tones that sound together, none for silence; for how many milliseconds, None for ever."""

    tones: tuple[Tone, ...]
    milliseconds: int | None


class ToneProgram(NamedTuple):
    """Segments one after the other, once or for ever."""

    segments: tuple[Segment, ...]
    loop: bool = False

    def looped(self) -> ToneProgram:
        """Return the same segments, for ever."""
        return self._replace(loop=True)

    @property
    def milliseconds(self) -> int | None:
        """How long it sounds; None for ever."""
        lengths = [segment.milliseconds for segment in self.segments]
        if self.loop or None in lengths:
            return None
        return sum(length for length in lengths if length is not None)


def parse_tone(text: str, level: float = LEVEL, country: str = "us") -> ToneProgram:
    """Read `tone:...`, see the top of the module; raises ToneError.

    Tones of a country loop, others sound once: see `ToneProgram.looped`. A tone without duration never ends
    and is the last. `country` is meant where the text has a name and no country.
    """
    if len(text) > _MAX_TEXT:
        raise ToneError(f"a tone has no more than {_MAX_TEXT} characters")
    scheme, colon, rest = text.partition(":")
    if scheme != "tone" or not colon or not rest:
        raise ToneError(f"{text[:40]!r} is no tone: tone:440, tone:440+480/2000,0/4000 or tone:ringback/de")
    if _NAMED.match(rest):
        name, slash, where = rest.partition("/")
        return _national(name, where if slash else country, level)
    parts = rest.split(",")
    if len(parts) > MAX_SEGMENTS:
        raise ToneError(f"a tone has no more than {MAX_SEGMENTS} parts")
    segments = tuple(_segment(part, level) for part in parts)
    for part, segment in zip(parts[:-1], segments):
        if segment.milliseconds is None:
            raise ToneError(
                f"{part!r} would never end, and more follows: give it milliseconds, as in {part}/500"
            )
    return ToneProgram(segments)


def render(program: ToneProgram, rate: int, samples: int) -> Frames:
    """Return the first `samples` of a program at `rate` Hz, shape `(samples,)`; raises ToneError."""
    generator = ToneGenerator(rate, limit=1)
    row: Indexes = np.array([generator.begin(program)], np.intp)
    found: Frames = generator.process(row, samples)[0]
    return found


def _national(name: str, country: str, level: float) -> ToneProgram:
    if name not in TONES:
        raise ToneError(f"{name[:40]!r} is none of the tones {', '.join(TONES)}")
    if country not in COUNTRIES:
        raise ToneError(
            f"no tones of country {country[:40]!r} are known; known are {', '.join(sorted(COUNTRIES))}"
        )
    text = COUNTRIES[country].get(name)
    if text is None and name == "sit":
        text = SPECIAL_INFORMATION
    if text is None:
        raise ToneError(f"the list of ITU-T E.180 has no tone {name!r} for country {country!r}")
    return parse_tone(f"tone:{text}", level).looped()


def _segment(part: str, level: float) -> Segment:
    frequencies, slash, duration = part.partition("/")
    milliseconds = None
    if slash:
        if not _DURATION.fullmatch(duration) or not 1 <= int(duration) <= _MAX_MILLISECONDS:
            raise ToneError(f"{duration[:40]!r} is no whole number of milliseconds, 1 to {_MAX_MILLISECONDS}")
        milliseconds = int(duration)
    if frequencies == "0":
        return Segment((), milliseconds)
    parts = [_modulated(one) for one in frequencies.split("+")]
    sines = [sine for one in parts for sine in one]
    if len(sines) > MAX_TONES:
        raise ToneError(f"{frequencies[:40]!r} has more than {MAX_TONES} sines; a modulated tone has three")
    # The parts share the level; a modulated tone has a half in its carrier and sidebands of half its height.
    power = sum(height * height for _, height in sines)
    tones = (
        Tone(frequency, level + 10 * float(np.log10(height * height / power))) for frequency, height in sines
    )
    return Segment(tuple(tones), milliseconds)


def _modulated(text: str) -> list[tuple[float, float]]:
    """Return frequencies and relative heights of `F` or `F*M`."""
    carrier, star, modulation = text.partition("*")
    frequency = _hertz(carrier)
    if not star:
        return [(frequency, 1.0)]
    side = _hertz(modulation)
    if side >= frequency:
        raise ToneError(f"{text[:40]!r}: a tone is modulated with a lower frequency")
    return [(frequency, 1.0), (frequency + side, 0.5), (frequency - side, 0.5)]


def _hertz(text: str) -> float:
    if not _FREQUENCY.fullmatch(text) or not 1 <= float(text) <= 20_000:
        raise ToneError(f"{text[:40]!r} is no frequency: 1 to 20000 Hz, 0 for silence")
    return float(text)


class _Slot(NamedTuple):
    number: int
    users: int


class ToneGenerator(StreamTable):
    """Streams that play tones at one rate. Programs are kept once, however many streams play them."""

    playing: Booleans
    """Streams whose program is not over."""
    _slot: Longs
    _segment: Longs
    _left: Longs
    _phase: npt.NDArray[np.uint32]

    def __init__(self, rate: int, limit: int = 65_536) -> None:
        """Play at `rate` Hz, a multiple of 1000."""
        if rate <= 0 or rate % 1000:
            raise MediaError(f"tones are made at whole kilohertz, not at {rate} Hz")
        self.rate = rate
        self._slots: dict[ToneProgram, _Slot] = {}
        self._free_slots: list[int] = []
        self._increments = np.zeros((0, 1, MAX_TONES), np.uint32)
        self._heights: Floats = np.zeros((0, 1, MAX_TONES), np.float32)
        self._lengths: Longs = np.zeros((0, 1), np.int64)
        self._following: Longs = np.zeros((0, 1), np.int64)
        self._programs: dict[int, ToneProgram] = {}
        columns = {
            "playing": Column(np.bool_),
            "_slot": Column(np.int64),
            "_segment": Column(np.int64, (), _STOPPED),
            "_left": Column(np.int64),
            "_phase": Column(np.uint32, (MAX_TONES,)),
        }
        super().__init__(columns, limit)

    def begin(self, program: ToneProgram) -> int:
        """Add a stream that plays `program`; raises ToneError for what the rate cannot carry."""
        self._check(program)
        row = self.add()
        slot = self._slots.get(program) or self._placed(program)
        self._slots[program] = slot._replace(users=slot.users + 1)
        self._programs[row] = program
        self._slot[row], self._segment[row] = slot.number, 0
        self._left[row] = self._lengths[slot.number, 0]
        self.playing[row] = True
        return row

    def remove(self, row: int) -> None:
        """See `StreamTable.remove`."""
        super().remove(row)
        program = self._programs.pop(row)
        slot = self._slots[program]
        if slot.users > 1:
            self._slots[program] = slot._replace(users=slot.users - 1)
        else:
            del self._slots[program]
            self._free_slots.append(slot.number)

    def process(self, rows: Indexes, samples: int) -> Frames:
        """Return the next `samples` of the streams `rows`; after its end a program is silence."""
        out = np.zeros((len(rows), samples), np.float32)
        offset = np.zeros(len(rows), np.int64)
        at = np.flatnonzero(self.playing[rows])
        while len(at):
            now = rows[at]
            take = np.minimum(self._left[now], samples - offset[at])
            self._sound(out, at, now, offset[at], take)
            offset[at] += take
            self._left[now] -= take
            over = self._left[now] == 0
            self._next(now[over])
            at = at[(offset[at] < samples) & self.playing[now]]
        np.rint(out, out=out)
        np.clip(out, -32768, 32767, out=out)
        return out.astype(np.int16)

    def _sound(self, out: Floats, at: Indexes, rows: Indexes, offset: Longs, take: Longs) -> None:
        """Add what segments sound like to `out`, each from its offset on for `take` samples."""
        samples = out.shape[1]
        slot, segment = self._slot[rows], self._segment[rows]
        heights, steps = self._heights[slot, segment], self._increments[slot, segment]
        whole = bool((take == samples).all())
        index = np.arange(samples, dtype=np.uint32)
        for number in range(MAX_TONES):
            audible = np.flatnonzero(heights[:, number])
            if not len(audible):
                break
            height, step = heights[audible, number, np.newaxis], steps[audible, number, np.newaxis]
            phase = self._phase[rows[audible], number, np.newaxis]
            begin = offset[audible, np.newaxis].astype(np.uint32)
            place = phase + step * (index if whole else index - begin)
            place += np.uint32(1 << (31 - _SINE_BITS))
            place >>= np.uint32(32 - _SINE_BITS)
            wave = _SINE[place]
            wave *= height
            if not whole:
                end = begin + take[audible, np.newaxis].astype(np.uint32)
                wave[(index < begin) | (index >= end)] = 0
            out[at[audible]] += wave
        self._phase[rows] += steps * take[:, np.newaxis].astype(np.uint32)

    def _next(self, rows: Indexes) -> None:
        slot = self._slot[rows]
        following = self._following[slot, self._segment[rows]]
        self._segment[rows] = following
        self.playing[rows] = following != _STOPPED
        self._left[rows] = self._lengths[slot, np.maximum(following, 0)]

    def _check(self, program: ToneProgram) -> None:
        if not 0 < len(program.segments) <= MAX_SEGMENTS:
            raise ToneError(f"a program has 1 to {MAX_SEGMENTS} segments")
        for segment in program.segments:
            if segment.milliseconds is not None and segment.milliseconds < 1:
                raise ToneError("a segment lasts 1 ms or more")
            if len(segment.tones) > MAX_TONES:
                raise ToneError(f"no more than {MAX_TONES} tones sound at once")
            for tone in segment.tones:
                if not 0 < tone.frequency < self.rate / 2:
                    raise ToneError(f"{tone.frequency:g} Hz cannot be heard at a rate of {self.rate} Hz")

    def _placed(self, program: ToneProgram) -> _Slot:
        count = len(program.segments)
        if not self._free_slots:
            self._free_slots += range(2 * len(self._lengths) + 7, len(self._lengths) - 1, -1)
        slot = self._free_slots.pop()
        self._fit(slot + 1, count)
        self._increments[slot] = 0
        self._heights[slot] = 0
        for number, segment in enumerate(program.segments):
            for place, tone in enumerate(segment.tones):
                self._increments[slot, number, place] = round(tone.frequency / self.rate * 2**32) % 2**32
                self._heights[slot, number, place] = 32768 * 10 ** (tone.level / 20) * 2**0.5
            length = segment.milliseconds
            self._lengths[slot, number] = _FOREVER if length is None else length * (self.rate // 1000)
            last = number == count - 1
            self._following[slot, number] = number + 1 if not last else 0 if program.loop else _STOPPED
        return _Slot(slot, 0)

    def _fit(self, slots: int, segments: int) -> None:
        old = self._lengths.shape
        if slots <= old[0] and segments <= old[1]:
            return
        # Both double, so that many programs cost few copies.
        size = (
            max(slots, 2 * old[0]) if slots > old[0] else old[0],
            1 << (max(segments, old[1]) - 1).bit_length(),
        )
        grow = ((0, size[0] - old[0]), (0, size[1] - old[1]))
        self._lengths, self._following = np.pad(self._lengths, grow), np.pad(self._following, grow)
        self._increments = np.pad(self._increments, (*grow, (0, 0)))
        self._heights = np.pad(self._heights, (*grow, (0, 0)))
