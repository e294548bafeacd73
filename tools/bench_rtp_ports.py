"""What it costs to relay media with each back end of the batch port, and with rtpengine if it is installed.

    python tools/bench_rtp_ports.py [--calls 500] [--seconds 4] [--runs 3] [uring] [mmsg] [stock] [rtpengine]

A relay in a process of its own has two sockets a call and does nothing but check the source and send the
packet on: the least that a media server on this port can cost. Each call has a packet of 172 octets every 20
ms either way. CPU is what the relay's threads ran, by /proc/PID/task/*/schedstat; latency is the kernel's
stamp at the receiver less the moment of sending. The relay is bound to the first processor, this generator to
the last. Figures are the median of the runs, which take turns; compare them within a run only. `--realtime`
(for root) gives both a real-time priority, for a machine with other work: without it p99 is the scheduler's.

    python tools/bench_rtp_ports.py --serve KIND

is the relay alone. It reads lines "fwd IN OUT HOST PORT SSRC", of ports of its own at 127.83.3.1, where to,
then "go".
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from twisted.internet import reactor as global_reactor

from rvoip.mediacontrol.bencode import Value
from rvoip.mediacontrol.ng import read_reply, result_of, write_command
from rvoip.protocols.rtp.addresses import no_addresses, pack_address, pack_addresses, same_address
from rvoip.protocols.rtp.batch import Batch, BatchPort
from rvoip.protocols.rtp.choose import BACK_ENDS, choose
from rvoip.protocols.rtp.columns import read_headers, write_headers

HOST = "127.83.3.1"
FIRST_PORT = 30_000
NG = (HOST, 22_968)
LEGS_A_SOCKET = 50
PACKET = 172
PERIOD = 0.02
STEPS = 20
"""Parts of a period in which the legs take turns to send."""
WARM_UP = 1.0
DRAIN = 0.3
STAMP = slice(12, 20)
"""Where in a packet the moment of its sending stands."""


class Result(NamedTuple):
    """Of one run: microseconds of CPU a packet, latencies in milliseconds, and what was lost."""

    cpu: float
    median: float
    late: float
    lost: int
    sent: int


class Relay:
    """Sends on what comes from where it should: columns only."""

    def __init__(self, port: BatchPort) -> None:
        self._port = port
        self.use([])

    def use(self, legs: list[tuple[int, int, NDArray[np.uint64]]]) -> None:
        """Take (socket, the socket to send from, where to) of each direction."""
        sockets = 1 + max((max(here, there) for here, there, _ in legs), default=0)
        self._peers = np.zeros(sockets, np.int64)
        self._destinations = no_addresses(sockets)
        self._sources = no_addresses(sockets)
        for here, there, destination in legs:
            self._peers[here] = there
            self._destinations[here] = self._sources[there] = destination

    def forward(self, batch: Batch) -> None:
        """Send a batch on."""
        expected = np.take(self._sources, batch.sockets, 0)
        if not np.array_equal(batch.sources, expected):
            batch = batch.take(same_address(batch.sources, expected))
        sockets = batch.sockets
        self._port.send(
            batch.pool,
            batch.lengths,
            self._peers[sockets],
            np.take(self._destinations, sockets, 0),
            batch.rows,
        )


def serve(kind: str) -> None:
    """The relay: reads its calls from standard input, says "ready", and runs till it is ended."""
    reactor: Any = global_reactor
    port = BACK_ENDS[kind](reactor)
    relay = Relay(port)
    port.start(relay.forward)
    sockets: dict[int, int] = {}

    def opened(number: str) -> int:
        if int(number) not in sockets:
            sockets[int(number)] = port.open(HOST, int(number))
        return sockets[int(number)]

    legs = []
    for line in sys.stdin:
        words = line.split()
        if words[0] == "go":
            break
        legs.append((opened(words[1]), opened(words[2]), pack_address(words[3], int(words[4]))))
    relay.use(legs)
    print("ready", flush=True)
    reactor.run()


class Target:
    """A relay in a process, and where each leg sends."""

    def __init__(self, command: list[str], realtime: bool, **options: Any) -> None:
        def place() -> None:
            os.sched_setaffinity(0, {0})
            if realtime:
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))

        self.process = subprocess.Popen(command, preexec_fn=place, **options)

    def cpu(self) -> int:
        """Nanoseconds that the threads have run."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Ours(Target):
    """The relay above."""

    def __init__(self, kind: str, realtime: bool) -> None:
        super().__init__(
            [sys.executable, __file__, "--serve", kind],
            realtime,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def connect(self, ends: list[tuple[tuple[str, int], tuple[str, int]]]) -> list[tuple[str, int]]:
        """Relay between the two of each call; returns where each of them sends."""
        assert self.process.stdin and self.process.stdout
        addresses: list[tuple[str, int]] = []
        for number, (a, b) in enumerate(ends):
            one = FIRST_PORT + 2 * number
            for here, there, to in ((one, one + 1, b), (one + 1, one, a)):
                self.process.stdin.write(f"fwd {here} {there} {to[0]} {to[1]} 0\n")
                addresses.append((HOST, here))
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit("the relay did not start")
        return addresses


class RTPEngine(Target):
    """rtpengine in user space."""

    def __init__(self, realtime: bool) -> None:
        super().__init__(
            [
                "rtpengine",
                "--config-file=none",
                "--table=-1",
                "--foreground",
                "--log-stderr",
                "--log-level=3",
                f"--interface={HOST}",
                f"--listen-ng={NG[0]}:{NG[1]}",
                f"--port-min={FIRST_PORT}",
                "--port-max=60000",
                "--num-threads=1",
                "--media-num-threads=1",
                "--timeout=120",
                "--delete-delay=0",
            ],
            realtime,
            stderr=subprocess.DEVNULL,
        )
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(0.2)
        self._socket.connect(NG)
        for _ in range(50):
            try:
                self._ask(b"ping", "ping", {})
                return
            except OSError:
                time.sleep(0.1)
        self.stop()
        raise SystemExit("rtpengine does not answer")

    def _ask(self, cookie: bytes, command: str, arguments: dict[str, Value]) -> dict[str, Value]:
        self._socket.send(write_command(cookie, command, arguments))
        while True:
            answered, reply = read_reply(self._socket.recv(65_536))
            if answered == cookie:
                return dict(result_of(reply))

    def connect(self, ends: list[tuple[tuple[str, int], tuple[str, int]]]) -> list[tuple[str, int]]:
        """Relay between the two of each call; returns where each of them sends."""
        addresses: list[tuple[str, int]] = []
        for number, (a, b) in enumerate(ends):
            common: dict[str, Value] = {"call-id": f"bench-{number}", "from-tag": "a", "ICE": "remove"}
            offered = self._ask(b"o%d" % number, "offer", {**common, "sdp": _description(a)})
            answer: dict[str, Value] = {**common, "to-tag": "b", "sdp": _description(b)}
            answered = self._ask(b"a%d" % number, "answer", answer)
            addresses += [_media(answered), _media(offered)]
        return addresses


def _description(address: tuple[str, int]) -> str:
    host, port = address
    return (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
        "a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\na=ptime:20\r\n"
    )


def _media(reply: dict[str, Value]) -> tuple[str, int]:
    text = reply["sdp"]
    lines = (text.decode() if isinstance(text, bytes) else str(text)).splitlines()
    (line,) = [line for line in lines if line.startswith("m=audio")]
    return HOST, int(line.split()[1])


class Generator:
    """Two legs a call, on few sockets; `read` notes how late each packet was."""

    def __init__(self, calls: int) -> None:
        self._port = choose(global_reactor, stamped=True, socket_buffer=1 << 20)
        self._port.start()
        sockets = [self._port.open(HOST) for _ in range(-(-2 * calls // LEGS_A_SOCKET))]
        # The two legs of a call are on two sockets.
        self._sockets = np.array([sockets[leg % len(sockets)] for leg in range(2 * calls)])
        ends = [self._port.address(int(index)) for index in self._sockets]
        self.ends = list(zip(ends[::2], ends[1::2]))
        self._packets = np.zeros((2 * calls, PACKET), np.uint8)
        self._timestamps = np.zeros(2 * calls, np.int64)
        self._lengths = np.full(2 * calls, PACKET)
        self._latencies: list[NDArray[np.float64]] = []
        self._first = 0

    def run(self, target: Ours | RTPEngine, seconds: float) -> Result:
        """Send for so many seconds, after a time to warm up."""
        addresses = pack_addresses(target.connect(self.ends))
        legs = len(addresses)
        turns = [np.arange(turn, legs, STEPS) for turn in range(STEPS)]
        warm, steps = int(WARM_UP / PERIOD) * STEPS, int((WARM_UP + seconds) / PERIOD) * STEPS
        sent = 0
        cpu = target.cpu()
        started = time.monotonic()
        for step in range(steps):
            if step == warm:
                cpu, sent = target.cpu(), 0
                self._latencies.clear()
                self._first = warm // STEPS
            which = turns[step % STEPS]
            self._fill(which, step // STEPS)
            self._port.send(
                self._packets, self._lengths[which], self._sockets[which], addresses[which], which
            )
            sent += len(which)
            while True:
                self.read()
                left = started + (step + 1) * PERIOD / STEPS - time.monotonic()
                if left <= 0:
                    break
                time.sleep(min(left, PERIOD / STEPS))
        cpu = target.cpu() - cpu
        time.sleep(DRAIN)
        self.read()
        late = np.concatenate(self._latencies) * 1000 if self._latencies else np.zeros(1)
        median, ninety_ninth = np.percentile(late, [50, 99])
        return Result(cpu / 1000 / sent, float(median), float(ninety_ninth), sent - len(late), sent)

    def _fill(self, which: NDArray[np.int64], number: int) -> None:
        packets = self._packets[which]
        write_headers(packets, 0, number, number * 160, which + 1)
        packets[:, STAMP] = np.frombuffer(np.float64(time.monotonic()).tobytes(), np.uint8)
        self._packets[which] = packets

    def read(self) -> None:
        """Note the latency of what has come."""
        batch = self._port.receive()
        if batch.count:
            packets = batch.buffer
            sent = packets[:, STAMP].copy().view(np.float64)[:, 0]
            # What was sent while warming up is not counted, whenever it comes.
            counted = read_headers(packets, batch.lengths).sequence >= self._first
            self._latencies.append((batch.arrived - sent)[counted])

    def stop(self) -> None:
        """Close the sockets."""
        self._port.stop()


def measure(kind: str, calls: int, seconds: float, realtime: bool) -> Result:
    """One run of one relay."""
    target = RTPEngine(realtime) if kind == "rtpengine" else Ours(kind, realtime)
    try:
        generator = Generator(calls)
        try:
            return generator.run(target, seconds)
        finally:
            generator.stop()
    finally:
        target.stop()


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="uring, mmsg, stock, rtpengine; all of them")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--realtime", action="store_true")
    parser.add_argument("--serve", choices=list(BACK_ENDS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.serve)
    known = [*BACK_ENDS, "rtpengine"]
    kinds = arguments.kinds or [kind for kind in known if kind != "rtpengine" or shutil.which(kind)]
    if unknown := [kind for kind in kinds if kind not in known]:
        parser.error(f"{unknown[0]} is none of {', '.join(known)}")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if arguments.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
    results: dict[str, list[Result]] = {kind: [] for kind in kinds}
    for _ in range(arguments.runs):
        for kind in kinds:
            results[kind].append(measure(kind, arguments.calls, arguments.seconds, arguments.realtime))
    print(
        f"{arguments.calls} calls, {arguments.runs} runs of {arguments.seconds:g} s, load average "
        f"{os.getloadavg()[0]:.1f}"
    )
    print(f"{'':10} {'us a packet':>11} {'beside':>7} {'p50 ms':>7} {'p99 ms':>7} {'lost':>9}")
    peer = statistics.median(run.cpu for run in results["rtpengine"]) if "rtpengine" in results else None
    for kind, runs in results.items():
        cpu = statistics.median(run.cpu for run in runs)
        median, late = (statistics.median(column) for column in list(zip(*runs))[1:3])
        beside = f"{cpu / peer:.2f}x" if peer else "-"
        lost = f"{sum(run.lost for run in runs)}/{sum(run.sent for run in runs)}"
        print(f"{kind:10} {cpu:11.2f} {beside:>7} {median:7.2f} {late:7.2f} {lost:>9}")
    return None


if __name__ == "__main__":
    main()
