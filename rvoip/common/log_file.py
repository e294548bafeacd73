"""A log file that another program may rename: it is opened anew when told, and takes up where it was."""

from __future__ import annotations

import contextlib
import os

__all__ = ["LogFile"]


class LogFile:
    """Octets appended to a file, each write at once; `OSError` when it cannot be opened.

    logrotate renames it and sends a signal, whereupon `reopen` makes a new one. What is written in between
    goes to the renamed file.
    """

    def __init__(self, path: str) -> None:
        # twistd changes its folder when it goes into the background.
        self.path = os.path.abspath(path)
        self._descriptor = _open(self.path)

    def write(self, data: bytes) -> None:
        """Append `data`; `OSError` when the disk does not take it, or the file is closed."""
        while data:
            data = data[os.write(self._descriptor, data) :]

    @property
    def size(self) -> int:
        """Octets in the file."""
        return os.fstat(self._descriptor).st_size

    def cut(self, size: int) -> None:
        """Take back what was appended beyond `size` octets, as far as the disk lets us."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, size)

    def flush(self) -> None:
        """Nothing is held back."""

    def reopen(self) -> None:
        """Open the path anew; on an `OSError` the old file goes on."""
        descriptor = _open(self.path)
        self.close()
        self._descriptor = descriptor

    def close(self) -> None:
        """Close the file; a second time is harmless."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _open(path: str) -> int:
    """Callers and numbers stand in a log: others than owner and group need not read it."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
