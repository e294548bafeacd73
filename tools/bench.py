"""Measure the servers beside Kamailio, at equal rates in the same run: docs/benchmarks.md has the method.

    BENCH_DIR=FOLDER .venv/bin/python tools/bench.py [--runs 3] [--seconds 8] [--smoke] [ROW ...]

FOLDER holds the load driver `bench_sip.py` with its `targets/`; SIPp and Kamailio must be installed. Without
ROW all rows are measured. Prints the facts of the machine and a Markdown table of medians. With --smoke
each load is short and slow, and only a failed unit of work counts: a busy machine can say no more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rvoip.test.interop.postgresql import PostgreSQLServer
from rvoip.test.interop.redis import RedisServer


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
    "register-tcp": Row("register-tcp", 1500, "kamailio", "rvoip_registrar", 1.5),
    "call": Row("call", 200, "kamailio", "rvoip_proxy", 1.5),
}

DURABLE = 6.0
"""How many times the highest clean rate of Kamailio with write-through SQLite ours must reach."""

_DURABLE_LOAD = ("--rate", "250", "--seconds", "4", "--users", "2000", "--fill-rate", "200")

LINGER = 61.0
"""Seconds for which a closed TCP connection keeps its port (Linux)."""

SHARED_RATE = 1000
"""Registrations a second at which stores are compared."""

MEMORY = 12_000_000
"""Octets that 10,000 bindings may take."""

CALLS = 17_000_000
"""Octets that 1,000 calls with their transactions may take."""


HEAD = (
    "| work | rate | peer, us | rvoip, us | ratio | bound | p99 peer / rvoip, ms | failed peer / rvoip |\n"
    "|---|---|---|---|---|---|---|---|"
)


def drive(folder: Path, *arguments: str, location: str = "memory:") -> list[dict[str, Any]]:
    """Run the driver; return its results, one JSON object a line of its output.

    The ports of its targets are fixed. A connection of whoever ran before may have had one of them for its
    own end, and keeps it for a minute after it was closed: then the driver fails, and is run once more.
    """
    environment = os.environ | {"RVOIP_BIN": str(Path(sys.executable).parent), "LOCATION": location}
    command = [sys.executable, str(folder / "bench_sip.py"), *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print("The driver failed: once more, after a minute", file=sys.stderr, flush=True)
        time.sleep(LINGER)
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure(folder: Path, row: Row, options: argparse.Namespace) -> tuple[str, bool]:
    """Run one row, the two servers in turn; return its line, and whether it kept its bound."""
    peer, ours = (str(folder / "targets" / f"{name}.ini") for name in (row.peer, row.ours))
    arguments = ["--rate", str(row.rate), "--runs", str(options.runs), "--seconds", str(options.seconds)]
    pinned = ["--server-cpus", "0", "--load-cpus", "1"] if (os.cpu_count() or 1) > 1 else []
    if options.smoke:
        arguments = ["--rate", str(row.rate // 10), "--runs", "1", "--seconds", "2", "--users", "500"]
    result = drive(folder, "ab", row.scenario, peer, ours, *arguments, *pinned)[-1]
    a, b, ratio = result["a"], result["b"], result["cpu_ratio_b_over_a"]
    if ratio is None:
        return f"| {row.scenario} | {row.rate}/s | nothing was completed |", False
    line = (
        f"| {row.scenario} | {row.rate}/s | {a['cpu_us_per_unit']} | {b['cpu_us_per_unit']} | {ratio:.2f} "
        f"| {row.bound} | {a['p99_ms']:.0f} / {b['p99_ms']:.0f} | {a['failed']} / {b['failed']} |"
    )
    return line, not b["failed"] and (options.smoke or ratio <= row.bound)


def registering(folder: Path, rate: float, location: str) -> dict[str, Any]:
    """One run of refreshes of ours at a rate, with a store that is empty before.

    It has to be: the driver's phones have another port each time, and bindings that outlive the server would
    fill up.
    """
    path = str(folder / "targets/rvoip_registrar.ini")
    load = ["--rate", str(rate), "--runs", "1", "--seconds", "5", "--fill-rate", "1000"]
    return drive(folder, "run", "register", path, *load, location=location)[0]


def clean_rate(folder: Path, first: float, step: float, location: Callable[[str], str]) -> float:
    """The highest clean rate of registrations of ours, tried from `first` on, `step` times more each time.

    `location` makes an empty store for each rate, in a folder if it wants one. 0 when no rate is clean.
    """
    best, rate = 0.0, first
    while True:
        with tempfile.TemporaryDirectory() as run:
            found = registering(folder, rate, location(run))
        clean = found["retransmissions"] <= 0.001 * found["completed"] and found["p99_ms"] is not None
        if found["failed"] or not clean or found["p99_ms"] >= 100:
            return best
        best, rate = rate, rate * step


def measure_durable(folder: Path) -> tuple[str, bool]:
    """The highest clean rates of registrations that are on disk before they are answered, both servers."""
    peer = drive(folder, "max", "register", str(folder / "targets/kamailio_sqlite.ini"), *_DURABLE_LOAD)[-1]
    goal = peer["max_rate"] * DURABLE
    best = clean_rate(folder, goal, 1.2, lambda run: f"sqlite:{run}/location.db")
    ours = f"{best:.0f}" if best else f"below {goal:.0f}"
    return f"durable REGISTER/s, p99 under 100 ms: peer {peer['max_rate']:.0f}, rvoip {ours}", best > 0


def measure_shared(folder: Path) -> tuple[str, bool]:
    """Durable registrations of ours by store: at one rate, in turn, and the highest clean rate of each.

    Redis and PostgreSQL take part of the same two cores. The second figure moves with whatever else does.
    """
    with tempfile.TemporaryDirectory() as place:
        redis = RedisServer(Path(place), "127.0.70.5")
        postgresql = PostgreSQLServer(Path(place), "127.0.70.5")
        names = itertools.count()

        def emptied(_: str) -> str:
            postgresql.empty()
            return postgresql.url

        stores: dict[str, Callable[[str], str]] = {
            "SQLite": lambda run: f"sqlite:{run}/{next(names)}.db",
            "Redis": lambda _: f"{redis.url}?prefix={next(names)}",
            "PostgreSQL": emptied,
        }
        try:
            runs = [
                (name, registering(folder, SHARED_RATE, make(place)))
                for _ in range(3)
                for name, make in stores.items()
            ]
            best = {name: clean_rate(folder, 500, 1.25, stores[name]) for name in ("Redis", "PostgreSQL")}
        finally:
            redis.close()
            postgresql.close()
    lines = []
    for name in stores:
        of = [found for which, found in runs if which == name]
        cpu, p99 = (statistics.median([one[key] or 0 for one in of]) for key in ("cpu_us_per_unit", "p99_ms"))
        failed = sum([one["failed"] for one in of])
        highest = f", up to {best[name]:.0f}/s with p99 under 100 ms" if name in best else ""
        lines.append(
            f"durable REGISTER in {name} at {SHARED_RATE}/s: {cpu:.1f} us, p99 {p99:.0f} ms, "
            f"{failed} failed{highest}"
        )
    return "\n".join(lines), not any(found["failed"] for _, found in runs)


def measure_memory(folder: Path) -> tuple[str, bool]:
    """Growth with 10,000 bindings, and with 1,000 calls."""
    grown = {}
    for target in ("kamailio", "rvoip_proxy"):
        result = drive(folder, "memory", str(folder / "targets" / f"{target}.ini"), "--rate", "100")[-1]
        grown[target] = [result[f"pss_bytes_per_{unit}"] for unit in ("10000_registrations", "1000_calls")]
    (bindings, calls), (their_bindings, their_calls) = grown["rvoip_proxy"], grown["kamailio"]
    return (
        f"memory, MB: 10,000 bindings {bindings / 1e6:.1f} (peer {their_bindings / 1e6:.1f}), "
        f"1,000 calls {calls / 1e6:.1f} (peer {their_calls / 1e6:.1f})"
    ), bindings <= MEMORY and calls <= CALLS


def main() -> int:
    """Measure and print; return 1 when a row missed its bound or a unit of ours failed."""
    parser = argparse.ArgumentParser(description="Measure the servers beside Kamailio.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--smoke", action="store_true")
    others = {"durable": measure_durable, "durable-shared": measure_shared, "memory": measure_memory}
    names = [*ROWS, *others]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(names))
    options = parser.parse_args()
    if unknown := set(options.rows) - set(names):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if not os.environ.get("BENCH_DIR"):
        parser.error("BENCH_DIR must name the folder of bench_sip.py")
    folder = Path(os.environ["BENCH_DIR"]).resolve()
    facts = drive(folder, "facts")[-1]
    print(", ".join(f"{name} {value}" for name, value in facts.items()), end="\n\n")
    print(HEAD, flush=True)
    kept = True
    for name in options.rows or (ROWS if options.smoke else names):
        line, good = measure(folder, ROWS[name], options) if name in ROWS else others[name](folder)
        print(line if name in ROWS else f"\n{line}", flush=True)
        kept = kept and good
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
