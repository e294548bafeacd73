"""Recordings on disk. The only module that makes, writes and repairs their files; all of it blocks.

Names are the server's own: an identifier and the ending of the format. A WAV is whole at every moment (see
`wav_header`): it gets its name only when its header is in it, and its sizes after each block.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rvoip.media.audio_file import soundfile
from rvoip.media.errors import ExtraError, RecordingError
from rvoip.media.recorder import FORMATS, RecordingFormat
from rvoip.media.wav_header import MAX_DATA, WavHeader, repaired

__all__ = ["IRecordingFile", "RecordingFolder", "recording_id"]

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MODE = 0o640
_SUBTYPES = {"ogg": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III")}


def recording_id(random: bytes) -> str:
    """The identifier that 16 octets of randomness make."""
    return random[:16].hex()


class IRecordingFile(Protocol):
    """A file that is being recorded to; each method raises OSError, and may be tried again after that."""

    def write(self, data: bytes) -> None:
        """Append audio."""

    def close(self) -> int:
        """Make the file whole and close it; return its size in octets. Closing twice does nothing."""


class RecordingFolder:
    """The folder that recordings are in."""

    def __init__(self, folder: str | Path) -> None:
        """Name the folder; it is made, for its owner and group only, where it is missing."""
        self.folder = Path(folder)

    def path(self, id: str, format: RecordingFormat, rate: int) -> Path:
        """Where a recording is; raises RecordingError for what is no identifier."""
        if _IDENTIFIER.fullmatch(id) is None:
            raise RecordingError(f"{ascii(id)[:80]} is no identifier of a recording")
        return self.folder / f"{id}{format.ending(rate)}"

    def create(self, id: str, format: RecordingFormat, rate: int, channels: int) -> IRecordingFile:
        """Make the file of a recording.

        Raises RecordingError where there is one of that name, ExtraError where a package is missing, OSError.
        """
        path = self.path(id, format, rate)
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        if format.container in _SUBTYPES and soundfile() is None:
            name = format.container.capitalize() if format.container == "ogg" else "MP3"
            raise ExtraError(f"{name} needs the package soundfile: pip install 'rvoip[audio]'")
        if path.exists():
            raise RecordingError("there is a file of that name")
        early = path.with_name(f".{path.name}.new")
        early.unlink(missing_ok=True)
        handle = os.open(early, _NEW, _MODE)
        try:
            made: IRecordingFile
            if format.container == "wav":
                made = _WavFile(handle, WavHeader(format.encoding, rate, channels), 0)
            elif format.container == "raw":
                made = _RawFile(handle)
            else:
                made = _EncodedFile(handle, format.container, rate, channels)
            os.rename(early, path)
        except BaseException:
            os.close(handle)
            early.unlink(missing_ok=True)
            raise
        return made

    def reopen(self, id: str, format: RecordingFormat, rate: int) -> IRecordingFile:
        """Open a recording to append to it, repaired; raises RecordingError, and OSError."""
        path = self.path(id, format, rate)
        if format.container not in ("wav", "raw"):
            raise RecordingError(f"nothing can be appended to {format.container}")
        handle = os.open(path, _OLD)
        try:
            length = os.fstat(handle).st_size
            if format.container == "raw":
                frame = format.octets(1, 1)
                return _RawFile(handle, length - length % frame)
            header, data, _ = repaired(os.pread(handle, 64, 0), length)
            return _WavFile(handle, header, data)
        except BaseException:
            os.close(handle)
            raise

    def repair(self) -> list[str]:
        """Make whole what a crash has left: count all audio of each WAV, remove what never got a name.

        Returns the names of the files that were changed. To be called before anything is recorded.
        """
        changed = []
        for path in sorted(self.folder.glob("*.wav")) if self.folder.is_dir() else ():
            try:
                if _repair(path):
                    changed.append(path.name)
            except (OSError, RecordingError):
                # A file of somebody else's, or one that cannot be read: as it was.
                continue
        for path in self.folder.glob(".*.new"):
            path.unlink(missing_ok=True)
        return changed


def _repair(path: Path) -> bool:
    handle = os.open(path, _OLD)
    try:
        octets = os.pread(handle, 64, 0)
        length = os.fstat(handle).st_size
        header, data, wanted = repaired(octets, length)
        filled = header.size + data + (data % 2)
        if octets[: header.size] == wanted and length == filled:
            return False
        _append(handle, b"\0" * (data % 2), header.size + data)
        os.ftruncate(handle, filled)
        _append(handle, header.write(data, data % 2), 0)
        os.fsync(handle)
    finally:
        os.close(handle)
    return True


def _append(handle: int, data: bytes, at: int) -> None:
    """Write all of it; a disk that takes only a part raises at the next try."""
    left = memoryview(data)
    while left:
        count = os.pwrite(handle, left, at)
        left = left[count:]
        at += count


class _RawFile:
    def __init__(self, handle: int, data: int = 0) -> None:
        self._handle = handle
        self._data = data

    def write(self, data: bytes) -> None:
        _append(self._handle, data, self._data)
        self._data += len(data)

    def close(self) -> int:
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            try:
                os.ftruncate(handle, self._data)
                os.fsync(handle)
            finally:
                os.close(handle)
        return self._data


class _WavFile:
    """A WAV whose header counts `data` octets of audio, all of them in the file."""

    def __init__(self, handle: int, header: WavHeader, data: int) -> None:
        self._handle = handle
        self._header = header
        self._data = data
        _append(handle, header.write(data), 0)

    def write(self, data: bytes) -> None:
        if self._data + len(data) > MAX_DATA:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        _append(self._handle, data, self._header.size + self._data)
        self._data += len(data)
        _append(self._handle, self._header.write(self._data), 0)

    def close(self) -> int:
        pad = self._data % 2
        end = self._header.size + self._data
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            try:
                # Part of a block may stand behind what is counted, where the disk became full.
                os.ftruncate(handle, end)
                _append(handle, b"\0" * pad, end)
                _append(handle, self._header.write(self._data, pad), 0)
                os.fsync(handle)
            finally:
                os.close(handle)
        return end + pad


class _Disk:
    """A file as libsndfile's callbacks want it; what goes wrong is kept, because they cannot raise."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.at = self.size = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            _append(self.handle, bytes(data), self.at)
        except OSError as error:
            self.error = error
            return 0
        self.at += len(data)
        self.size = max(self.size, self.at)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, size: int) -> bytes:
        data = os.pread(self.handle, size, self.at)
        self.at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _EncodedFile:
    """Opus in Ogg, or MP3, by libsndfile. Both are streams of pages and frames: a part of one is whole."""

    def __init__(self, handle: int, container: str, rate: int, channels: int) -> None:
        self._disk = _Disk(handle)
        self._channels = channels
        format, subtype = _SUBTYPES[container]
        try:
            self._file = soundfile().SoundFile(
                self._disk, "w", samplerate=rate, channels=channels, format=format, subtype=subtype
            )
        except (RuntimeError, ValueError) as error:
            raise self._disk.error or OSError(errno.EIO, str(error)) from None

    def write(self, data: bytes) -> None:
        try:
            self._file.write(np.frombuffer(data, "<i2").reshape(-1, self._channels))
        except (RuntimeError, AssertionError) as error:
            raise self._disk.error or OSError(errno.EIO, str(error)) from None
        if self._disk.error is not None:
            raise self._disk.error

    def close(self) -> int:
        if self._disk.handle >= 0:
            try:
                self._file.close()
                os.fsync(self._disk.handle)
            except (RuntimeError, AssertionError) as error:
                raise self._disk.error or OSError(errno.EIO, str(error)) from None
            finally:
                os.close(self._disk.handle)
                self._disk.handle = -1
            if self._disk.error is not None:
                raise self._disk.error
        return self._disk.size


assert set(_SUBTYPES) == {kind.container for kind in FORMATS.values()} - {"wav", "raw"}
