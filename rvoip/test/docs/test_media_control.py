"""docs/reference/media-api.md: its listings run, its tables are those of the code, its commands work."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import unittest
import urllib.request

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.test.docs.test_school_registrar import ROOT
from rvoip.test.tools import load

EXAMPLE = ROOT / "docs" / "examples" / "media_control"


class MediaControlTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not EXAMPLE.exists():
            raise SkipTest("the examples are in a checkout only")

    def test_the_example(self) -> None:
        sys.path.insert(0, str(EXAMPLE))
        self.addCleanup(sys.path.remove, str(EXAMPLE))
        self.addCleanup(sys.modules.pop, "greeter", None)
        spec = importlib.util.spec_from_file_location("test_greeter_example", EXAMPLE / "test_greeter.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(module.GreeterTests).run(result)
        self.assertEqual((result.testsRun, result.errors, result.failures), (3, [], []))

    def test_the_tables(self) -> None:
        tool = load("media_api_tables")
        self.assertEqual(tool.main(["--check"]), 0, "run tools/media_api_tables.py")

    def test_the_fake_from_outside(self) -> None:
        """As a program in any other language sees it."""
        command = [sys.executable, "-m", "rvoip.testing.media_http", "--listen", "127.0.88.1:0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            try:
                assert process.stdout is not None
                where = process.stdout.readline().split()[-1]
                request = urllib.request.Request(
                    f"http://{where}/v1/endpoints", b"{}", {"Content-Type": "application/json"}
                )
                with urllib.request.urlopen(request, timeout=10) as response:
                    self.assertEqual(response.status, 201)
                    made = json.load(response)
                self.assertEqual(made["id"], "e1")
                self.assertIn("m=audio", made["sdp"])
                process.terminate()
                process.wait(10)
            finally:
                process.kill()
        busy = subprocess.run(
            [*command[:-1], "127.0.88.1"], capture_output=True, text=True, cwd=ROOT, check=False
        )
        self.assertEqual(busy.returncode, 1)
        self.assertEqual(busy.stderr.count("\n"), 1)
