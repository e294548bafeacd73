"""Run seeds of the simulation.

python -m rvoip.test.simulation --seed 17 --ladder     one again, with all that went over the network
python -m rvoip.test.simulation --seeds 2000           many; exit status 1 when one fails
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from rvoip.test.simulation.invariants import report, violations
from rvoip.test.simulation.world import World


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m rvoip.test.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--ladder", action="store_true", help="print every message")
    parser.add_argument("--keep-going", action="store_true", help="do not end with the first that fails")
    options = parser.parse_args()
    began = time.process_time()
    kinds: Counter[str] = Counter()
    failed = []
    for seed in range(options.seed, options.seed + options.seeds):
        world = World(seed)
        world.run()
        found = violations(world)
        kinds[f"{world.kind} {world.weather}"] += 1
        if options.ladder:
            print(world.ladder.draw())
            print("\n".join(f"{placed!r}" for placed in world.placed))
        if found:
            failed.append(seed)
            print(report(world, found) if not options.ladder else "\n".join((repr(world), *found)))
            if not options.keep_going:
                break
    took = time.process_time() - began
    print(f"{sum(kinds.values())} seeds in {took:.0f} s of CPU, {len(failed)} failed: {failed}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
