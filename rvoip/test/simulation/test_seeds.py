"""Fixed seeds of the simulation; `python -m rvoip.test.simulation` runs as many as there is time for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.simulation.invariants import report, violations
from rvoip.test.simulation.places import KINDS
from rvoip.test.simulation.world import World

SEEDS = range(28)


class SeedTests(SynchronousTestCase):
    def check(self, world: World) -> World:
        world.run()
        found = violations(world)
        self.flushLoggedErrors()  # they are among what was found
        if found:
            self.fail(report(world, found))
        return world

    def test_fixed_seeds(self) -> None:
        """Each holds, and together they show all that there is to show."""
        kinds: Counter[str] = Counter()
        outcomes: Counter[str] = Counter()
        lost = doubled = restarts = failed = bound = up = 0
        for seed in SEEDS:
            world = self.check(World(seed))
            kinds.update((world.kind, world.weather, *world.faults))
            outcomes.update(one.outcomes[0].partition(" ")[0] for one in world.placed)
            lost += world.network.lost
            doubled += world.network.duplicated
            restarts += world.restarts
            failed += world.kept.failed
            bound += world.kept.made
            up += world.up
        self.assertLessEqual({*KINDS, "clear", "lossy", "rough", "partition", "restart", "store"}, {*kinds})
        self.assertLessEqual({"accepted", "404", "408", "480", "486", "487", "603"}, {*outcomes})
        self.assertGreater(outcomes["accepted"], 60)
        self.assertGreater(min(lost, doubled), 500)
        self.assertGreater(min(restarts, failed), 10)
        self.assertGreater(min(bound, up), 20)

    def test_the_same_seed_does_the_same_in_any_process(self) -> None:
        """Also where Python hashes text in another way."""
        world = World(5)
        world.run()
        world.close()
        self.flushLoggedErrors()
        command = [sys.executable, "-m", "rvoip.test.simulation", "--seed", "5", "--ladder"]
        environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
        shown = subprocess.run(
            command,
            env=environment,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.assertEqual(shown.returncode, 0, shown.stderr + shown.stdout[-2000:])
        self.assertIn("1 seeds", shown.stdout)
        ladder = world.ladder.draw()
        self.assertGreater(ladder.count("\n"), 200)
        self.assertEqual(shown.stdout[: len(ladder)].splitlines(), ladder.splitlines())
