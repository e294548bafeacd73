"""Killed at any moment, the store loses nothing that it acknowledged, and raises nothing that was removed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from twisted.trial.unittest import TestCase

import rvoip
from rvoip.registrar.stores.sqlite import SQLiteStore
from rvoip.test.registrar.stores.registering import AORS
from rvoip.test.registrar.stores.threads import Pump

ROUNDS = 100 if os.environ.get("RVOIP_SOAK") else 10


class KillTests(TestCase):
    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rvoip.test.registrar.stores.registering"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(rvoip.__file__).parent.parent,
            text=True,
        )
        self.addCleanup(self.stop)

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)

    def round(self, first: int, seconds: float) -> dict[str, tuple[str, int]]:
        """Let it register from CSeq `first` on for `seconds`; the last acknowledgement by AOR."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{self.path} {first}\n")
        self.process.stdin.flush()
        last: dict[str, tuple[str, int]] = {}
        child = 0
        for line in self.process.stdout:
            word, *rest = line.split()
            if word == "child":
                child = int(rest[0])
            elif word == "open":
                time.sleep(seconds)
                os.kill(child, signal.SIGKILL)
            elif word == "dead":
                break
            else:
                self.assertIn(word, ("ack", "gone"), line)
                last[rest[0]] = (word, int(rest[1]))
        return last

    def test_kill(self) -> None:
        random = Random(7)
        known: dict[str, tuple[str, int]] = {}
        first = 1
        acknowledged = 0
        for _ in range(ROUNDS):
            last = self.round(first, random.uniform(0.005, 0.1))
            acknowledged += len(last)
            known.update(last)
            store = SQLiteStore(self.path, Pump(), patience=0.0)
            now = time.monotonic()
            store.open(now, time.time())
            for number in range(AORS):
                aor = f"{number}@h"
                held = store.lookup(aor, now)
                word, cseq = known.get(aor, ("gone", 0))
                if word == "ack" and not held:
                    # Removed by a request that was committed and not acknowledged any more.
                    self.assertGreater(self.cseq_of_removal(aor), cseq)
                elif held:
                    # What was removed may be there again by a later request only.
                    self.assertGreaterEqual(held[0].cseq, cseq + (word == "gone"))
                    self.assertGreater(held[0].remaining(now), 3500)
                    first = max(first, held[0].cseq)
            first = max([first, *[cseq for _, cseq in known.values()]]) + 10
            pump = store._reactor
            assert isinstance(pump, Pump)
            pump.wait(store.close())
        self.assertGreater(acknowledged, ROUNDS * 3)

    def cseq_of_removal(self, aor: str) -> int:
        """The CSeq in the tombstone of an AOR, 0 without one."""
        with sqlite3.connect(self.path) as connection:
            found = connection.execute("SELECT max(cseq) FROM binding WHERE aor = ? AND granted = 0", (aor,))
            (cseq,) = found.fetchone()
        connection.close()
        return int(cseq or 0)
