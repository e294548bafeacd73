"""The benchmark of the batch ports relays what it is given, and loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import rvoip
from rvoip.test.tools import load

TOOL = Path(rvoip.__file__).parent.parent / "tools" / "bench_rtp_ports.py"


class BenchTests(SynchronousTestCase):
    def test_it_relays(self) -> None:
        load("bench_rtp_ports")  # skips where there is no checkout
        command = [sys.executable, str(TOOL), "mmsg", "--calls", "4", "--runs", "1", "--seconds", "0.2"]
        environment = {**os.environ, "PYTHONPATH": str(TOOL.parent.parent)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        figures = done.stdout.splitlines()[-1].split()
        self.assertEqual((figures[0], figures[2], figures[5]), ("mmsg", "-", "0/80"))
        self.assertGreater(float(figures[1]), 0)
