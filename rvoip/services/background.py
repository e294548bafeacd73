"""What a start in the background tells the shell that waits for it.

twistd forks. The process that was called waits until the other one says by a pipe how its start went, and
shows what it says as the repr of up to 98 octets of a traceback's last line. The other one has no standard
error any more. So that of the first is kept open until the start has succeeded or failed, for one whole line.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO, cast

__all__ = ["Background"]

_NOTHING: Final = "An error has occurred: b''\n"
"""What twistd writes when the pipe tells that the start failed, and no more."""


class Background:
    """Made before twistd forks, from its options; `failed` or `succeeded` is called after that."""

    def __init__(self, twistd: Mapping[str, Any]) -> None:
        self._twistd = twistd
        self._terminal = -1
        if twistd.get("nodaemon") or sys.__stderr__ is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self._terminal = os.dup(sys.__stderr__.fileno())
            sys.__stderr__ = cast(TextIO, _Quiet(sys.__stderr__))  # type: ignore[misc, assignment]

    def succeeded(self) -> None:
        """Nothing more is to be said: whoever reads the shell's output is not to wait for us."""
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1

    def failed(self, line: str) -> bool:
        """Say why there is no start; False when nobody waits."""
        pipe = self._twistd.get("statusPipe")
        if self._terminal < 0 or pipe is None:
            return False
        with contextlib.suppress(OSError):
            os.write(self._terminal, line.encode(errors="backslashreplace") + b"\n")
        self.succeeded()
        with contextlib.suppress(OSError):
            os.write(pipe, b"1 ")
        if self._twistd.get("pidfile"):
            with contextlib.suppress(OSError):
                os.unlink(self._twistd["pidfile"])
        return True


class _Quiet:
    """A standard error without twistd's word of what has been said already."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """See `TextIO`."""
        return len(text) if text.startswith(_NOTHING) else self._stream.write(text)
