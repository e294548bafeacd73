"""Keep a proxy with a registrar busy for a while, kill it again and again, and say whether it held.

    .venv/bin/python tools/soak.py [--minutes 10] [--kills 20] [--seed 1]

First, for the minutes: registrations with digest, OPTIONS, calls, and between them bytes that are no SIP and
connections that are dropped. Every answer must come, memory (PSS) must not climb, no descriptor may leak.

Then the kills: phones bind and unbind without pause, the server gets signal 9 at a random moment and is
started again; its first answer must come within 5 s, with exactly the bindings that it acknowledged.

The phones are tools/soak_phone.py, sockets and a few lines of SIP that share no code with the server. Prints
one line a minute and a kill, and a verdict; the exit status is 1 when the server failed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

from soak_phone import Phone, Refused, Silence, call

HOST = "127.0.5.1"
DOMAIN = "soak.test"
PHONES = 20
FIRST_ANSWER_S = 5.0
"""How long a server may take from its start to its first answer."""
PSS_KB_PER_MINUTE = 1024.0
"""How fast memory may climb over the second half of the run."""
SPARE_DESCRIPTORS = 16
"""How many more descriptors a server may hold at the end than after its first minute of work."""
GARBAGE = (
    b"\0" * 40,
    b"INVITE\r\n\r\n",
    b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nContent-Length: 99999999999\r\n\r\n",
    b"REGISTER sip:soak.test SIP/2.0\r\nCSeq: 1_0 REGISTER\r\nVia: SIP/2.0/UDP [::;branch=z9hG4bK\r\n\r\n",
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKnobody\r\nCSeq: 1 INVITE\r\n\r\n",
)

CONFIG = f"""
[sip]
listen = ["udp:{HOST}:5060", "tcp:{HOST}:5060"]
domains = ["{DOMAIN}"]
[http]
listen = "unix:http.sock"
[users]
store = "sqlite:users.db"
[location]
store = "sqlite:location.db"
[registrar]
max_contacts = 10
[proxy]
record_route = true
"""


class Failure(Exception):
    """The server did not hold; the text says what."""


class Server:
    """A `twistd rvoip-proxy` in a folder of its own; its output goes to a file there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = Path(sys.executable).parent
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "rvoip.toml").write_text(CONFIG, encoding="utf-8")

    def add_users(self, users: dict[str, str]) -> None:
        """Import the accounts, before the first start."""
        lines = "".join(f"{user}:{DOMAIN}:{password}\n" for user, password in users.items())
        (self.folder / "users.txt").write_text(lines, encoding="utf-8")
        command = [str(self.bin / "rvoip"), "user", "import", "users.txt", "--config", "rvoip.toml"]
        subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()

    def start(self) -> float:
        """Start it and wait for an answer to OPTIONS; return how long that took, in seconds."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "twistd", "-n", "--pidfile=", "rvoip-proxy", "--config", "rvoip.toml"],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        with Phone("probe", "", DOMAIN, HOST) as probe:
            while time.monotonic() - began < FIRST_ANSWER_S:
                if self.process.poll() is not None:
                    raise Failure(f"the server ended with status {self.process.returncode}")
                with contextlib.suppress(Silence):
                    probe.options(patience=0.1)
                    return time.monotonic() - began
        raise Failure(f"no answer within {FIRST_ANSWER_S} s of the start")

    def kill(self) -> None:
        """Signal 9: nothing is flushed, nothing is said."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def pss_kb(self) -> int:
        """Its proportional set size."""
        assert self.process is not None
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def tracebacks(self) -> int:
        """How often its log says that something went wrong which nobody foresaw."""
        return self.log.read_bytes().count(b"Traceback (most recent call last)")


def slope(samples: list[tuple[float, float]]) -> float:
    """The least-squares slope of (x, y) samples; 0 for fewer than two different x."""
    if not samples:
        return 0.0
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


def disturb(chance: random.Random) -> None:
    """Send what is no SIP, or open a connection, say half a sentence and drop it."""
    if chance.random() < 0.5:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(chance.choice(GARBAGE), (HOST, 5060))
    else:
        with socket.create_connection((HOST, 5060), timeout=5) as connection:
            connection.sendall(chance.choice(GARBAGE)[: chance.randrange(1, 40)])


def work(phones: list[Phone], chance: random.Random, done: dict[str, int]) -> None:
    """One round of what phones do."""
    phone = chance.choice(phones)
    match chance.choices(("register", "options", "call", "disturb"), (5, 3, 3, 1))[0]:
        case "register" as kind:
            phone.bind()
        case "options" as kind:
            phone.options()
        case "call" as kind:
            call(phone, chance.choice([other for other in phones if other is not phone]))
        case kind:
            disturb(chance)
    done[kind] = done.get(kind, 0) + 1


def endure(server: Server, phones: list[Phone], minutes: float, chance: random.Random) -> None:
    """The first part; raises Failure."""
    for phone in phones:
        phone.bind()
    done: dict[str, int] = {}
    began = time.monotonic()
    samples: list[tuple[float, float]] = []
    first_descriptors = 0
    next_sample, next_line = 5.0, 60.0
    while (elapsed := time.monotonic() - began) < minutes * 60:
        work(phones, chance, done)
        if elapsed >= next_sample:
            samples.append((elapsed / 60, float(server.pss_kb())))
            first_descriptors = first_descriptors or server.descriptors()
            next_sample += 5.0
        if elapsed >= next_line:
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(done.items()))
            print(f"minute {elapsed / 60:.0f}: {counts}; {server.pss_kb()} kB PSS", flush=True)
            next_line += 60.0
    climb = slope(samples[len(samples) // 2 :])
    print(f"memory climbs by {climb:.0f} kB a minute, {server.descriptors()} descriptors", flush=True)
    if climb > PSS_KB_PER_MINUTE:
        raise Failure(f"memory climbs by {climb:.0f} kB a minute")
    if first_descriptors and server.descriptors() > first_descriptors + SPARE_DESCRIPTORS:
        raise Failure(f"descriptors grew from {first_descriptors} to {server.descriptors()}")


def survive(server: Server, phones: list[Phone], kills: int, chance: random.Random) -> None:
    """The second part; raises Failure."""
    for kill in range(1, kills + 1):
        known = {phone: phone.bindings() for phone in phones}
        killer = threading.Timer(chance.uniform(0.05, 1.5), server.kill)
        killer.start()
        changes = change_until_silence(phones, known, chance)
        killer.join()
        took = server.start()
        wrong = [phone.user for phone, contacts in known.items() if phone.bindings() != contacts]
        print(f"kill {kill}: {changes} changes acknowledged, back after {took:.2f} s", flush=True)
        if wrong:
            raise Failure(f"after a kill the bindings of {', '.join(wrong)} are not those acknowledged")


def change_until_silence(phones: list[Phone], known: dict[Phone, set[str]], chance: random.Random) -> int:
    """Bind and unbind until no answer comes; keep `known` true, without the change that is in doubt."""
    for changes in itertools.count():
        phone = chance.choice(phones)
        contacts, number = known.pop(phone), chance.randrange(4)
        try:
            if number == 3:
                phone.unbind_all(patience=1.0)
                known[phone] = set()
            else:
                phone.bind(number, patience=1.0)
                known[phone] = contacts | {phone.contact(number)}
        except Silence:
            return changes
    raise AssertionError("a count ended")


def main() -> int:
    """Run both parts; return the exit status."""
    parser = argparse.ArgumentParser(description="Soak a proxy and registrar.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="rvoip-soak-") as name, contextlib.ExitStack() as stack:
        server = Server(Path(name))
        passwords = {f"user{number}": f"pw-{chance.random()}" for number in range(PHONES)}
        server.add_users(passwords)
        phones = [stack.enter_context(Phone(user, pw, DOMAIN, HOST)) for user, pw in passwords.items()]
        try:
            with server:
                endure(server, phones, options.minutes, chance)
                survive(server, phones, options.kills, chance)
            if count := server.tracebacks():
                raise Failure(f"{count} tracebacks in the log")
        except (Failure, Refused, Silence) as failure:
            print("\n".join(server.log.read_text(errors="replace").splitlines()[-20:]))
            print(f"FAILED: {failure}")
            return 1
    print("held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
