"""The limit on open files follows the configuration."""

from __future__ import annotations

import resource
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from rvoip.services.config import load
from rvoip.services.descriptors import wanted

_PROGRAM = """
import resource, sys
from twisted.logger import globalLogPublisher, formatEvent
globalLogPublisher.addObserver(lambda event: print(event["log_level"].name, formatEvent(event)))
from rvoip.services.descriptors import ensure_descriptors
soft, hard, needed = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
ensure_descriptors(needed)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


class DescriptorTests(SynchronousTestCase):
    def run_with(self, soft: int, hard: int, needed: int) -> list[str]:
        """What is said, and the limits afterwards: of a process of its own, for limits do not come back."""
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 600:
            self.skipTest("this process may not have as many files")
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(soft), str(hard), str(needed)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout.splitlines()

    def test_raised_as_far_as_need_be(self) -> None:
        self.assertEqual(self.run_with(200, 600, 500), ["500 600"])
        self.assertEqual(self.run_with(500, 600, 500), ["500 600"])

    def test_a_hard_limit_that_is_too_low(self) -> None:
        said = "warn The limit on open files (ulimit -n) is 600: sip.limits.connections wants 2560"
        self.assertEqual(self.run_with(200, 600, 2560), [said, "600 600"])

    def test_what_a_configuration_wants(self) -> None:
        self.assertGreater(wanted(load(None, "proxy", {})), 2048)
        few = wanted(load(None, "proxy", {"RVOIP_SIP__LIMITS__CONNECTIONS": "10"}))
        self.assertLess(few, 1024)
