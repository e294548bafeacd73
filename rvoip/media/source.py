"""What may be played, as the API names it: "a.wav", "recording:ID", "https://...", "tone:440", "silence".

A name of a file is one below the folder of prompts. It is refused, not mended, when it could mean anything
else: no absolute path, no "..", nothing hidden, no percent sign (so nothing that is decoded once more), no
backslash, no control character.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from rvoip.media.errors import PromptError, ToneError
from rvoip.media.sound import Sound
from rvoip.media.tones import ToneProgram, parse_tone, render

__all__ = [
    "FileSource",
    "RecordingSource",
    "SilenceSource",
    "Source",
    "ToneSource",
    "UrlSource",
    "file_name",
    "parse_source",
]

MAX_NAME = 1024
MAX_PART = 255
MAX_URL = 2048
MAX_TONE = 300_000
"""Milliseconds of a tone, or of a round of its cadence."""
MAX_MILLISECONDS = 3_600_000
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f%\\:]")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,7}", re.ASCII)
_URL = re.compile(r"https?://[!-~]+", re.ASCII | re.IGNORECASE)


class FileSource(NamedTuple):
    """A file below the folder of prompts, by parts of its path."""

    parts: tuple[str, ...]


class RecordingSource(NamedTuple):
    """A recording, by its identifier."""

    id: str


class UrlSource(NamedTuple):
    """Something that is fetched by http or https; whoever fetches it checks where that leads."""

    url: str


class ToneSource(NamedTuple):
    """A tone, or tones in a cadence (`tones.parse_tone`)."""

    program: ToneProgram

    @property
    def endless(self) -> bool:
        """Whether its sound is to be looped."""
        return self.program.milliseconds is None

    def sound(self, rate: int) -> Sound:
        """The tone: one round of a cadence that is repeated, whole periods of one that never ends."""
        segments = self.program.segments
        milliseconds = sum(segment.milliseconds or 0 for segment in segments)
        if not milliseconds:
            frequencies = [tone.frequency for segment in segments for tone in segment.tones]
            whole = (n for n in range(1, 11) if all((n * f).is_integer() for f in frequencies))
            milliseconds = 1000 * next(whole, 10)
        try:
            return Sound(render(self.program, rate, max(1, rate * milliseconds // 1000)), rate)
        except ToneError as error:
            raise PromptError(str(error)) from None


class SilenceSource(NamedTuple):
    """Nothing, for so many milliseconds or (None) until it is stopped."""

    milliseconds: int | None = None

    @property
    def endless(self) -> bool:
        """Whether its sound is to be looped."""
        return self.milliseconds is None

    def sound(self, rate: int) -> Sound:
        """The silence, or a second of it where it is endless."""
        count = rate if self.milliseconds is None else max(1, rate * self.milliseconds // 1000)
        return Sound(np.zeros(count, np.int16), rate)


Source = FileSource | RecordingSource | UrlSource | ToneSource | SilenceSource


def parse_source(text: str, country: str = "us") -> Source:
    """Read a source; raises PromptError.

    Beside what the heading shows: "silence:500" for half a second, and all tones that `tones` knows, those of
    `country` where a tone is named without one.
    """
    if not isinstance(text, str) or not text:
        raise PromptError("there is nothing to play")
    scheme, colon, rest = text.partition(":")
    if text == "silence":
        return SilenceSource()
    if not colon:
        return FileSource(file_name(text))
    if scheme == "silence":
        return SilenceSource(_milliseconds(rest))
    if scheme == "tone":
        return _tone(text, country)
    if scheme == "recording":
        if _IDENTIFIER.fullmatch(rest) is None:
            raise PromptError(f"{_quoted(rest)} is no identifier of a recording")
        return RecordingSource(rest)
    if _URL.fullmatch(text) is not None and len(text) <= MAX_URL:
        return UrlSource(text)
    raise PromptError(f"{_quoted(text)} is nothing that can be played")


def file_name(text: str) -> tuple[str, ...]:
    """The parts of the name of a file below a folder; raises PromptError for what might lead out of it."""
    parts = tuple(text.split("/"))
    try:
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError:
        raise PromptError(f"{_quoted(text)} is no name of a file") from None
    if (
        _FORBIDDEN.search(text) is not None
        or len(text) > MAX_NAME
        or longest > MAX_PART
        or any(not part or part.startswith(".") for part in parts)
    ):
        raise PromptError(f"{_quoted(text)} is no name of a file in the folder of prompts")
    return parts


def _tone(text: str, country: str) -> ToneSource:
    try:
        program = parse_tone(text, country=country)
    except ToneError as error:
        raise PromptError(ascii(str(error))[1:-1]) from None
    lengths = [segment.milliseconds for segment in program.segments]
    if None in lengths and len(lengths) > 1:
        raise PromptError(f"{_quoted(text)} never ends, and more comes before: give its end milliseconds")
    if sum(length or 0 for length in lengths) > MAX_TONE:
        raise PromptError(f"{_quoted(text)} is longer than {MAX_TONE // 1000} s")
    return ToneSource(program)


def _milliseconds(text: str) -> int:
    if _NUMBER.fullmatch(text) is None or not 0 < int(text) <= MAX_MILLISECONDS:
        raise PromptError(f"{_quoted(text)} is no number of milliseconds from 1 to {MAX_MILLISECONDS}")
    return int(text)


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:60] + "...")
