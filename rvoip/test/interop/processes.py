"""Programs that a test starts: their output, what they are waited for, and their end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from twisted.trial.unittest import SkipTest

__all__ = ["PATIENCE", "Process", "peer", "run", "until"]

PATIENCE = 15.0
"""Seconds that something may take that a phone does at once, on a machine that is busy."""

_LOOK = 0.01
_TAIL = 6000

_LIBC = ctypes.CDLL(None)

T = TypeVar("T")


def peer(name: str) -> str:
    """The path of a program; the test is skipped where it is not installed."""
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SkipTest(f"{name} is not installed: tools/install-peers.sh")
    return found


def until(condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """What `condition` returns as soon as it is true; the test fails when it is not in time."""
    deadline = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience:g} s: {what}; it is {result!r}")
        time.sleep(_LOOK)


def run(
    command: Sequence[str], folder: Path, *, patience: float = PATIENCE, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; the test fails when that takes too long."""
    try:
        return subprocess.run(
            command,
            cwd=folder,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{command[0]} did not end in {patience:g} s: {late.output!r}") from None


def _end_with_parent() -> None:
    """Have the kernel end this process when the one that started it is gone, however that went.

    By SIGTERM, so that it ends what it has started itself.
    """
    _LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Process:
    """A running program in a process group of its own. All that it writes goes to FOLDER/NAME.log.

    It ends with the test process, and `kill_all` ends what a test has left running.
    """

    _started: ClassVar[list[Process]] = []

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        stdin: bool = False,
        descriptors: Sequence[int] = (),
    ) -> None:
        """`descriptors` stay open in the program."""
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.begin = log.tell()
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                pass_fds=descriptors,
                preexec_fn=_end_with_parent,
            )
        self._started.append(self)

    @classmethod
    def kill_all(cls) -> None:
        """End every process that was started, whether somebody else has or not."""
        while cls._started:
            cls._started.pop().kill()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def output(self) -> str:
        """All that it has written since it was started."""
        return self.octets().decode("utf-8", "replace")

    def octets(self, after: int = 0) -> bytes:
        """What it has written since it was started, but for the first `after` octets."""
        with self.log.open("rb") as log:
            log.seek(self.begin + after)
            return log.read()

    @property
    def mark(self) -> int:
        """Where its output ends now, to wait for what comes later."""
        return len(self.output)

    def wait_for(self, pattern: str, patience: float = PATIENCE, after: int = 0) -> re.Match[str]:
        """Wait until it has written something that matches; `^` and `$` are those of a line."""
        sought = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + patience
        while True:
            ended = self._process.poll()
            found = sought.search(self.output, after)
            if found:
                return found
            if ended is not None:
                raise self.failure(f"ended with status {ended} before it wrote {pattern!r}")
            if time.monotonic() > deadline:
                raise self.failure(f"did not write {pattern!r} in {patience:g} s")
            time.sleep(_LOOK)

    def write(self, text: str) -> None:
        """Write a line to its standard input."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(text.encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise self.failure("has ended and reads nothing more") from None

    @property
    def ended(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.poll()

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for its end; returns its exit status, or minus the signal that ended it."""
        if self._process.poll() is None:
            end = os.pidfd_open(self.pid)
            try:
                if not select.select([end], [], [], patience)[0]:
                    raise self.failure(f"did not end in {patience:g} s")
            finally:
                os.close(end)
        return self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        self._process.send_signal(number)

    def stop(self, patience: float = PATIENCE) -> int:
        """End it with SIGTERM; when that does not do, it is killed and the test fails."""
        try:
            if self._process.poll() is None:
                self._process.terminate()
            return self.wait(patience)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once, with whatever it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def failure(self, what: str) -> AssertionError:
        """An error that shows what the program wrote last."""
        return AssertionError(f"{self.name} {what}; its output ends:\n{self.output[-_TAIL:]}")
