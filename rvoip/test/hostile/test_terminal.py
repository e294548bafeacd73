"""A server ends with the terminal it was started on; any other SIGHUP is a reload."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import rvoip
from rvoip.test.hostile.server import own_host

CONFIG = """
[sip]
listen = ["udp:{host}:0"]
[http]
listen = "none"
[log]
file = "server.log"
[registrar]
"""


class TerminalTests(SynchronousTestCase):
    def setUp(self) -> None:
        made = tempfile.TemporaryDirectory(prefix="rvoip-tty-")
        self.addCleanup(made.cleanup)
        self.folder = Path(made.name)
        (self.folder / "rvoip.toml").write_text(CONFIG.format(host=own_host()), encoding="utf-8")

    def begin(self, nohup: bool) -> tuple[int, int]:
        """The process, and our end of its terminal."""
        program = "from twisted.scripts.twistd import run; run()"
        arguments = ["-n", "--pidfile=", "rvoip-proxy", "--config", "rvoip.toml"]
        process, terminal = pty.fork()
        if process == 0:
            if nohup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.chdir(self.folder)
            os.environ["PYTHONPATH"] = str(Path(rvoip.__file__).parent.parent)
            os.execv(sys.executable, [sys.executable, "-c", program, *arguments])
        self.addCleanup(self.end, process)
        self.wait_for("listens on")
        return process, terminal

    def end(self, process: int) -> None:
        try:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # the test has waited for it

    def wait_for(self, words: str) -> None:
        log = self.folder / "server.log"
        late = time.monotonic() + 20
        while not (log.exists() and words in log.read_text()):
            self.assertLess(time.monotonic(), late, words)
            select.select([], [], [], 0.05)

    def ended(self, process: int, seconds: float) -> bool:
        late = time.monotonic() + seconds
        while time.monotonic() < late:
            if os.waitpid(process, os.WNOHANG)[0]:
                return True
            select.select([], [], [], 0.05)
        return False

    def test_it_ends_with_its_terminal(self) -> None:
        process, terminal = self.begin(nohup=False)
        os.kill(process, signal.SIGHUP)
        self.wait_for("Configuration reloaded")
        os.close(terminal)
        self.assertTrue(self.ended(process, 15.0))

    def test_nohup(self) -> None:
        process, terminal = self.begin(nohup=True)
        os.close(terminal)
        self.assertFalse(self.ended(process, 1.0))
        os.kill(process, signal.SIGHUP)
        self.wait_for("Configuration reloaded")
        os.kill(process, signal.SIGTERM)
        self.assertTrue(self.ended(process, 15.0))
