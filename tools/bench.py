"""Measure the servers beside Kamailio, at equal rates in the same run: docs/benchmarks.md has the method.

    BENCH_DIR=FOLDER .venv/bin/python tools/bench.py [--runs 3] [--seconds 8] [ROW ...]

FOLDER holds the load driver `bench_sip.py` with its `targets/`; SIPp and Kamailio must be installed. Without
ROW all rows are measured. Prints the facts of the machine and a Markdown table of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One line of the table: a scenario of the driver at a rate, a peer's target and one of ours."""

    scenario: str
    rate: int
    peer: str
    ours: str
    bound: float
    """The ratio of CPU time per unit, ours to the peer's, that is not to be exceeded."""


ROWS = {
    "register": Row("register", 3000, "kamailio", "rvoip_registrar", 1.5),
    "register-auth": Row("register-auth", 1500, "kamailio", "rvoip_registrar_auth", 1.5),
    "call": Row("call", 100, "kamailio", "rvoip_proxy", 1.5),
}


HEAD = (
    "| work | rate | peer, us | rvoip, us | ratio | bound | p99 peer / rvoip, ms | failed peer / rvoip |\n"
    "|---|---|---|---|---|---|---|---|"
)


def drive(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run the driver; return its results, one JSON object a line of its output."""
    environment = os.environ | {"RVOIP_BIN": str(Path(sys.executable).parent)}
    command = [sys.executable, str(folder / "bench_sip.py"), *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure(folder: Path, row: Row, options: argparse.Namespace) -> tuple[str, bool]:
    """Run one row, the two servers in turn; return its line, and whether it kept its bound."""
    peer, ours = (str(folder / "targets" / f"{name}.ini") for name in (row.peer, row.ours))
    arguments = ["--rate", str(row.rate), "--runs", str(options.runs), "--seconds", str(options.seconds)]
    pinned = ["--server-cpus", "0", "--load-cpus", "1"] if (os.cpu_count() or 1) > 1 else []
    result = drive(folder, "ab", row.scenario, peer, ours, *arguments, *pinned)[-1]
    a, b, ratio = result["a"], result["b"], result["cpu_ratio_b_over_a"]
    if ratio is None:
        return f"| {row.scenario} | {row.rate}/s | nothing was completed |", False
    line = (
        f"| {row.scenario} | {row.rate}/s | {a['cpu_us_per_unit']} | {b['cpu_us_per_unit']} | {ratio:.2f} "
        f"| {row.bound} | {a['p99_ms']:.0f} / {b['p99_ms']:.0f} | {a['failed']} / {b['failed']} |"
    )
    return line, ratio <= row.bound and not b["failed"]


def main() -> int:
    """Measure and print; return 1 when a row missed its bound or a unit of ours failed."""
    parser = argparse.ArgumentParser(description="Measure the servers beside Kamailio.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    options = parser.parse_args()
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if not os.environ.get("BENCH_DIR"):
        parser.error("BENCH_DIR must name the folder of bench_sip.py")
    folder = Path(os.environ["BENCH_DIR"]).resolve()
    facts = drive(folder, "facts")[-1]
    print(", ".join(f"{name} {value}" for name, value in facts.items()), end="\n\n")
    print(HEAD, flush=True)
    kept = True
    for name in options.rows or ROWS:
        line, good = measure(folder, ROWS[name], options)
        print(line, flush=True)
        kept = kept and good
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
