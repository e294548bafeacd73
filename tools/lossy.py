"""Call through a proxy over real sockets while 5 % of all datagrams are lost, each way, and none may fail.

    .venv/bin/python tools/lossy.py [--calls 1000] [--rate 20] [--loss 0.05] [--seed 1]

Starts `rvoip-proxy` with a registrar on loopback. Each phone, one of `rvoip.testing.phone`, is behind a relay
of its own, which passes datagrams on in both directions and loses some: what the phone sends, in calls too,
and what is sent to it. So a request from phone to phone is in danger twice, and so is its response.
Every call must be answered, and hung up, by caller and callee in turn. Prints a line for each 100 calls and a
verdict; the exit status is 1 when a call failed.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater, react

from rvoip.testing.phone import Call, Phone

SERVER = ("127.0.6.1", 5060)
DOMAIN = "lossy.test"
PHONES = 8
TWISTD = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
PASSWORD = "a password"
CONFIG = f"""
[sip]
listen = ["udp:{SERVER[0]}:{SERVER[1]}"]
domains = ["{DOMAIN}"]
[http]
listen = "none"
[users]
store = "sqlite:users.db"
[registrar]
[proxy]
authenticate = true
"""


class Relay(DatagramProtocol):
    """One socket between a phone and everybody else."""

    noisy = False
    transport: Any

    def __init__(self, loss: float, chance: random.Random) -> None:
        self.phone = ("", 0)
        self.passed = self.lost = 0
        self._loss = loss
        self._chance = chance

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Pass it on, or not."""
        if self._chance.random() < self._loss:
            self.lost += 1
            return
        self.passed += 1
        self.transport.write(datagram, SERVER if addr == self.phone else self.phone)


class RelayedPhone(Phone):
    """A phone that shows the address of its relay as its own, and sends all by it."""

    def __init__(self, reactor: Any, aor: str, host: str, relay: Relay, **more: Any) -> None:
        self.relay = relay
        address = relay.transport.getHost()
        self.outside = (address.host, address.port)
        super().__init__(reactor, aor, host=host, server=self.outside, password=PASSWORD, **more)

    def open(self) -> RelayedPhone:
        """Bind its port."""
        super().open()
        self.relay.phone = (self.wire.host, self.wire.port)
        return self

    @property
    def sent_by(self) -> str:
        """The relay."""
        return f"{self.outside[0]}:{self.outside[1]}"

    def destination(self, uri_text: str) -> tuple[str, int]:
        """The relay, whatever the way is."""
        return self.outside


class Load:
    """The calls, and what became of them."""

    def __init__(self, reactor: Any, options: argparse.Namespace) -> None:
        self.reactor = reactor
        self.options = options
        self.chance = random.Random(options.seed)
        self.outcomes: Counter[str] = Counter()
        self.phones: list[RelayedPhone] = []
        for number in range(PHONES):
            relay = Relay(options.loss, self.chance)
            reactor.listenUDP(0, relay, f"127.0.6.{100 + number}", 65535)
            host = f"127.0.6.{10 + number}"
            self.phones.append(
                RelayedPhone(reactor, f"user{number}@{DOMAIN}", host, relay, seed=options.seed).open()
            )

    async def run(self) -> bool:
        """Whether every call was well."""
        for phone in self.phones:
            response = await phone.register()
            if response.status != 200:
                self.outcomes[f"REGISTER {response.status}"] += 1
        calls = []
        for number in range(self.options.calls):
            caller, callee = self.chance.sample(self.phones, 2)
            done: Deferred[None] = Deferred.fromCoroutine(self.call(caller, callee, number % 2 == 0))
            calls.append(done)
            if number % 100 == 99:
                print(f"{number + 1} calls begun, {dict(self.outcomes)}", flush=True)
            await deferLater(self.reactor, 1 / self.options.rate)
        await gatherResults(calls)
        await deferLater(self.reactor, 35.0)  # until everybody has given up what was lost
        relays = [phone.relay for phone in self.phones]
        passed, lost = sum(one.passed for one in relays), sum(one.lost for one in relays)
        print(f"{passed} datagrams passed on, {lost} lost ({100 * lost / max(1, passed + lost):.1f} %)")
        problems = [f"{phone.aor}: {one}" for phone in self.phones for one in phone.problems]
        up = [repr(call) for phone in self.phones for call in phone.calls if call.state != "over"]
        for line in problems + up:
            print(line)
        print(dict(self.outcomes), flush=True)
        return self.outcomes == {"answered and hung up": self.options.calls} and not problems and not up

    async def call(self, caller: Phone, callee: Phone, by_caller: bool) -> None:
        """One call."""
        try:
            call = caller.call(f"sip:{callee.aor}")
            await call.established()
            await deferLater(self.reactor, 3.0)
            if by_caller:
                response = await call.bye()
            else:
                response = await (await self.other_end(callee, call)).bye()
            self.outcomes["answered and hung up" if response.status == 200 else f"BYE {response.status}"] += 1
        except AssertionError as failure:  # a phone was disappointed
            self.outcomes[str(failure).partition("\n")[0]] += 1

    @staticmethod
    async def other_end(callee: Phone, call: Call) -> Call:
        """The same call at the callee; it is up there when the ACK has come through."""
        found = next(one for one in callee.calls if one.call_id == call.call_id)
        return await found.established()


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The server, with its accounts."""
    (folder / "rvoip.toml").write_text(CONFIG, encoding="utf-8")
    users = "".join(f"user{number}:{DOMAIN}:{PASSWORD}\n" for number in range(PHONES))
    (folder / "users.txt").write_text(users, encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "rvoip.cli.main", "user", "import", "users.txt", "--config", "rvoip.toml"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "rvoip-proxy", "--config", "rvoip.toml"],
            cwd=folder,
            stdout=log,
            stderr=log,
        )


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """Start, call, and stop; leaves with status 1 when not all was well."""
    with tempfile.TemporaryDirectory(prefix="rvoip-lossy-") as name:
        folder = Path(name)
        server = start(folder)
        try:
            well = await Load(reactor, options).run()
        finally:
            server.terminate()
            server.wait()
        log = (folder / "server.log").read_text(encoding="utf-8", errors="replace")
        if "Traceback" in log:
            well = False
            print(log[-4000:])
    print("none failed" if well else "FAILED", flush=True)
    if not well:
        raise SystemExit(1)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Call through a proxy while datagrams are lost.")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0, help="calls begun a second")
    parser.add_argument("--loss", type=float, default=0.05, help="probability, each way")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    options = parsed()
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, options)), _reactor=global_reactor)
