"""Prompts that are ready to play: read once, decoded once, converted once to each rate that is asked for."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from rvoip.media.audio_file import read_audio
from rvoip.media.errors import AudioFileError, PromptError
from rvoip.media.interfaces import Identity, IPromptFolder, PromptFile
from rvoip.media.sound import Sound
from rvoip.media.source import FileSource, SilenceSource, Source, ToneSource, parse_source

__all__ = ["PromptCache", "Prompts"]

_Key = tuple[Identity, int]


class PromptCache:
    """Sounds by file, state of the file and rate; those not asked for the longest go first.

    Threads may share it. A sound that has gone from here plays on where it plays.
    """

    def __init__(self, max_bytes: int = 256 * 1024 * 1024) -> None:
        """Keep samples of at most `max_bytes`."""
        self.max_bytes = max_bytes
        self.bytes = 0
        self.hits = self.misses = 0
        self._sounds: OrderedDict[_Key, Sound] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """Count the sounds."""
        return len(self._sounds)

    def get(self, identity: Identity, rate: int) -> Sound | None:
        """The sound of that state of a file at that rate, None where there is none."""
        with self._lock:
            sound = self._sounds.get((identity, rate))
            if sound is None:
                self.misses += 1
                return None
            self.hits += 1
            self._sounds.move_to_end((identity, rate))
            return sound

    def put(self, identity: Identity, rate: int, sound: Sound) -> None:
        """Keep a sound, and nothing of older states of its file; one larger than the cache is not kept."""
        with self._lock:
            stale = [k for k in self._sounds if k[0].path == identity.path and k[0] != identity]
            for key in [*stale, (identity, rate)]:
                self._drop(key)
            if sound.size > self.max_bytes:
                return
            while self._sounds and self.bytes + sound.size > self.max_bytes:
                self._drop(next(iter(self._sounds)))
            self._sounds[identity, rate] = sound
            self.bytes += sound.size

    def clear(self) -> None:
        """Forget all sounds."""
        with self._lock:
            self._sounds.clear()
            self.bytes = 0

    def _drop(self, key: _Key) -> None:
        if (sound := self._sounds.pop(key, None)) is not None:
            self.bytes -= sound.size


class Prompts:
    """Sounds of a folder of prompts, and of what others have fetched.

    What is in the cache costs one look at the file. What is not is read and decoded: that takes milliseconds
    to seconds, in which a server lets a thread do it.
    """

    def __init__(
        self,
        folder: IPromptFolder,
        cache: PromptCache | None = None,
        max_seconds: float = 1200.0,
        country: str = "us",
    ) -> None:
        """Play files of `folder` that are no longer than `max_seconds`, and tones of a country."""
        self.folder = folder
        self.cache = cache if cache is not None else PromptCache()
        self.max_seconds = max_seconds
        self.country = country

    def cached(self, parts: tuple[str, ...], rate: int) -> Sound | None:
        """The sound of a file, if it is ready and the file is unchanged; raises PromptError."""
        return self.cache.get(self.folder.identify(parts), rate)

    def load(self, parts: tuple[str, ...], rate: int) -> Sound:
        """The sound of a file at `rate` Hz; raises PromptError, and ExtraError where a package is missing."""
        found = self.cached(parts, rate)
        return found if found is not None else self.decode(self.folder.read(parts), rate)

    def decode(self, file: PromptFile, rate: int) -> Sound:
        """The sound of something that was read or fetched; it is kept under its identity.

        Raises PromptError, and ExtraError where a package is missing.
        """
        name = file.identity.path
        try:
            sound = read_audio(file.data, name, self.max_seconds).sound(rate)
        except AudioFileError as error:
            raise PromptError(f"{name[-60:]!a}: {error}") from None
        self.cache.put(file.identity, rate, sound)
        return sound

    def sound(self, source: Source | str, rate: int) -> tuple[Sound, bool]:
        """The sound of a source, and whether it is endless; raises PromptError and ExtraError.

        Recordings and what stands behind a URL are somebody else's to fetch: hand them to `decode`.
        """
        if isinstance(source, str):
            source = parse_source(source, self.country)
        if isinstance(source, FileSource):
            return self.load(source.parts, rate), False
        if isinstance(source, ToneSource | SilenceSource):
            return source.sound(rate), source.endless
        raise PromptError("a recording or a URL has to be fetched first")
