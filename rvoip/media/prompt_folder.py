"""The folder of prompts on disk. The only module that opens them, and never anything beside them.

Each part of a name is opened below the part before it and must not be a symbolic link, so that no link, and
no exchange of a folder for a link while the name is walked, leads out. What is no regular file (a pipe that
nobody writes to, a device) is refused before it is read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from rvoip.media.errors import PromptError
from rvoip.media.interfaces import Identity, PromptFile

__all__ = ["PromptFolder"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_REASONS = {
    errno.ENOENT: "there is no such prompt",
    errno.ENOTDIR: "there is no such prompt",
    errno.ELOOP: "it is a symbolic link",
    errno.EACCES: "it may not be read",
    errno.EPERM: "it may not be read",
    errno.ENXIO: "it is no file",
}


class PromptFolder:
    """Reads files of at most `max_bytes` below a folder. It blocks: large files are for a thread."""

    def __init__(self, folder: str | Path, max_bytes: int = 64 * 1024 * 1024) -> None:
        """Name the folder. It need not be there yet; it may itself be a link."""
        self.folder = os.path.realpath(folder)
        self.max_bytes = max_bytes

    def identify(self, parts: tuple[str, ...]) -> Identity:
        """Say which state of a file there is now; raises PromptError."""
        handle, identity = self._open(parts)
        os.close(handle)
        return identity

    def read(self, parts: tuple[str, ...]) -> PromptFile:
        """Read a file; raises PromptError."""
        handle, identity = self._open(parts)
        with os.fdopen(handle, "rb") as file:
            try:
                data = file.read(self.max_bytes + 1)
            except OSError as error:
                raise self._refusal(parts, error.strerror or "it cannot be read") from None
        if len(data) > self.max_bytes:
            raise self._refusal(parts, f"it has more than {self.max_bytes} octets")
        return PromptFile(identity, data)

    def _open(self, parts: tuple[str, ...]) -> tuple[int, Identity]:
        if not parts or any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
            raise self._refusal(parts, "it is no name of a file")
        at = -1
        try:
            at = os.open(self.folder, _FOLDER)
            for part in parts[:-1]:
                below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = below
            handle = os.open(parts[-1], _FILE, dir_fd=at)
        except (OSError, UnicodeEncodeError) as error:
            reason = _REASONS.get(getattr(error, "errno", 0) or 0, "it cannot be opened")
            raise self._refusal(parts, reason) from None
        finally:
            if at >= 0:
                os.close(at)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            raise self._refusal(parts, "it is no file")
        if status.st_size > self.max_bytes:
            os.close(handle)
            raise self._refusal(parts, f"it has more than {self.max_bytes} octets")
        return handle, Identity("/".join(parts), status.st_mtime_ns, status.st_size)

    def _refusal(self, parts: tuple[str, ...], reason: str) -> PromptError:
        name = "/".join(parts)
        return PromptError(f"{name if len(name) <= 60 else name[:60] + '...'!a}: {reason}")
