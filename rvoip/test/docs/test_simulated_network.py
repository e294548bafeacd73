"""The listings of docs/howto/simulated-network.md, run as the tests that they are."""

from __future__ import annotations

import importlib.util
import sys
import unittest

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.test.docs.test_school_registrar import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "simulated_network"


class SimulatedNetworkTests(SynchronousTestCase):
    def test_the_example(self) -> None:
        if not EXAMPLE.exists():
            raise SkipTest("the examples are in a checkout only")
        sys.path.insert(0, str(EXAMPLE))
        self.addCleanup(sys.path.remove, str(EXAMPLE))
        self.addCleanup(sys.modules.pop, "machine", None)
        spec = importlib.util.spec_from_file_location("test_machine_example", EXAMPLE / "test_machine.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(module.MachineTests).run(result)
        self.assertEqual((result.testsRun, result.errors, result.failures), (2, [], []))
