"""A beat that the reactor can watch: a timer of the kernel with a descriptor (timerfd of Linux).

`callLater` is no finer than a millisecond, the unit in which the reactor waits, and costs more.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import Final

__all__ = ["Beat"]

_MONOTONIC: Final = 1
_NANOSECONDS: Final = 1_000_000_000

_Setting = ctypes.c_long * 4
"""struct itimerspec: seconds and nanoseconds of the interval, and of the first beat."""


class Beat:
    """Readable once an interval (in seconds) while it is on. Raises OSError where there is no such timer."""

    def __init__(self, interval: float) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError(errno.ENOSYS, "not built for this platform")
        try:
            library = ctypes.PyDLL(None, use_errno=True)
            create, self._settime = library.timerfd_create, library.timerfd_settime
        except (OSError, AttributeError) as error:
            raise OSError(errno.ENOSYS, "no timerfd") from error
        self._fileno = create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fileno < 0:
            raise OSError(ctypes.get_errno(), "no timerfd")
        seconds, nanoseconds = divmod(max(1, round(interval * _NANOSECONDS)), _NANOSECONDS)
        self._on = _Setting(seconds, nanoseconds, seconds, nanoseconds)
        self._off = _Setting()

    def fileno(self) -> int:
        """The descriptor."""
        return int(self._fileno)

    def on(self) -> None:
        """Beat, for the first time an interval from now."""
        self._settime(self._fileno, 0, ctypes.byref(self._on), None)

    def off(self) -> None:
        """Beat no more; what was not read yet is gone."""
        self._settime(self._fileno, 0, ctypes.byref(self._off), None)

    def taken(self) -> None:
        """Note the beats so far: not readable before the next."""
        try:
            os.read(self._fileno, 8)
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Give the timer back."""
        os.close(self._fileno)
