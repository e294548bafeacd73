"""What is left of a server when it is offered more than it can do.

    python tools/overload.py [--seconds 20] [--times 2,5] [calls] [registrations]

The server has one core, the load the other. First the capacity is searched: the highest rate at which every
unit is completed, none is refused, and 99 % are answered within 200 ms. Then several times of it are offered,
by clients that send again what is not answered and do not come back when they are refused with 503 and
Retry-After. Printed are the goodput (units completed in a second of load, over the capacity) and what became
of the rest. Ends with status 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from overload_load import Calls, Load, Registrations

DOMAIN = "load.invalid"
USERS = 200
STEP = 1.15
"""How much the rate grows in the search for the capacity."""
PATIENCE = 0.2
"""Seconds within which 99 % must be answered."""
TRIES = 3
"""How often a rate is tried: the machine may have had other work."""
GOODPUT = {2.0: 0.8, 5.0: 0.6}
"""What must be left, by how many times the capacity is offered."""
IN_DIALOG = 0.999
"""Part of the calls that were accepted whose ACK and BYE must get through."""
SEARCH = 4.0
"""Seconds of load at each rate of the search."""

_TWISTD = "from twisted.scripts.twistd import run; run()"
_RVOIP = "import sys; from rvoip.cli.main import main; sys.exit(main())"


def take_core(process: int, core: int) -> None:
    """Give a process a core, and the first place on it where we may: other work there is no part of this."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(process, {core})
    try:
        os.sched_setscheduler(process, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        print("others may take time of the cores: only root can keep them off", flush=True)


class Server:
    """A role in a process of its own, on a core of its own."""

    def __init__(self, folder: Path, role: str, tables: str, users: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.address: tuple[str, int] = probe.getsockname()
        config = folder / f"{role}.toml"
        config.write_text(
            f'[sip]\nlisten = ["udp:127.0.0.1:{self.address[1]}"]\ndomains = ["{DOMAIN}"]\n'
            f'[http]\nlisten = "unix:{folder}/http.sock"\n[log]\nlevel = "warn"\n'
            f'[users]\nstore = "sqlite:{folder}/users.db"\n[location]\nstore = "memory:"\n{tables}'
        )
        if users:
            lines = "".join(f"u{number}:{DOMAIN}:pw-u{number}\n" for number in range(users))
            importing = [sys.executable, "-c", _RVOIP, "user", "import", "-", "--config", str(config)]
            subprocess.run(importing, input=lines, text=True, check=True, stdout=subprocess.DEVNULL)
        self.log = folder / f"{role}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", role, "--config", str(config)],
                stdout=log,
                stderr=log,
            )
        take_core(self._process.pid, 0)

    def ask(self, request: bytes, source: socket.socket) -> None:
        """Send a request until it is answered 200."""
        for _ in range(100):
            source.sendto(request, self.address)
            time.sleep(0.1)
            try:
                if source.recv(65536).startswith(b"SIP/2.0 200"):
                    return
            except (BlockingIOError, ConnectionRefusedError):
                continue
        raise SystemExit(f"the server does not answer:\n{self.log.read_text()}")

    @property
    def memory(self) -> float:
        """Proportional set size in MB."""
        text = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text()
        return int(text.partition("\nPss:")[2].split()[0]) / 1024

    @property
    def seconds(self) -> float:
        """CPU time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it at once."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def is_clean(load: Load, rate: float) -> bool:
    """Whether a rate is within the capacity."""
    for _ in range(TRIES):
        found = load.run(rate, SEARCH)
        if found.completed == found.offered and found.p99 <= PATIENCE:
            return True
        time.sleep(1)
    return False


def search(load: Load, first: float) -> float:
    """The highest clean rate, in steps."""
    rate = first
    while not is_clean(load, rate):
        rate /= STEP**2
    while is_clean(load, rate * STEP):
        rate *= STEP
    return rate


def measure(what: str, server: Server, load: Load, first: float, options: argparse.Namespace) -> bool:
    """Search, overload, and print."""
    kept = True
    capacity = search(load, first)
    print(f"{what}: capacity {capacity:.0f}/s, memory {server.memory:.0f} MB", flush=True)
    print(
        "| offered | goodput | refused | failed | sent again | in-dialog | p99, ms | memory, MB | load busy |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for times in options.times:
        time.sleep(3)
        found = load.run(capacity * times, options.seconds)
        goodput = found.in_time / options.seconds / capacity
        within = 1 - found.broken / found.accepted if found.accepted else 1.0
        failed = sum(found.failed.values())
        print(
            f"| {times:g} times, {found.offered / options.seconds:.0f}/s | {goodput:.2f} "
            f"| {found.refused} of {found.offered} | {failed} {found.failed or ''} | {found.resent} "
            f"| {100 * within:.3f} % | {1000 * found.p99:.0f} | {server.memory:.0f} "
            f"| {100 * found.busy:.0f} %, late {1000 * found.late:.0f} ms |",
            flush=True,
        )
        kept = kept and goodput >= GOODPUT.get(times, 0.0) and within >= IN_DIALOG
    return kept


def calls(folder: Path, options: argparse.Namespace) -> bool:
    """Calls through the proxy, with a called phone that is registered."""
    tables = "[registrar]\nauthenticate = false\n[proxy]\nauthenticate = false\n"
    server = Server(folder, "rvoip-proxy", tables, 0)
    try:
        load = Calls(server.address, DOMAIN)
        server.ask(load.register(DOMAIN), load.ends[1].socket)
        return measure("calls", server, load, options.first or 500.0, options)
    finally:
        server.stop()


def registrations(folder: Path, options: argparse.Namespace) -> bool:
    """Registrations with digest, at a registrar."""
    tables = '[registrar]\n[auth]\nalgorithms = ["MD5"]\nqop = ["auth"]\n'
    server = Server(folder, "rvoip-registrar", tables, USERS)
    try:
        load = Registrations(server.address, DOMAIN, USERS)
        for _ in range(50):  # it may not listen yet
            if load.run(USERS, 1.0).completed >= USERS - 1:
                break
        return measure("registrations", server, load, options.first or 3000.0, options)
    finally:
        server.stop()


def main() -> int:
    """Measure and print; return 1 when a bound was missed."""
    parser = argparse.ArgumentParser(description="Offer a server more than it can do.")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--first", type=float, default=0.0, help="where the search for the capacity begins")
    parser.add_argument(
        "--times", type=lambda text: [float(one) for one in text.split(",")], default=[2.0, 5.0]
    )
    what = {"calls": calls, "registrations": registrations}
    parser.add_argument("what", nargs="*", metavar="WHAT", help="calls, registrations; both by default")
    options = parser.parse_args()
    if unknown := set(options.what) - set(what):
        parser.error(f"no such load: {', '.join(sorted(unknown))}")
    take_core(0, 1)
    gc.freeze()
    gc.disable()  # what it makes has no circles
    kept = True
    for name in options.what or what:
        with tempfile.TemporaryDirectory() as folder:
            kept = what[name](Path(folder), options) and kept
        print(flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
