"""What a store of bindings costs: changes a second, CPU time of a change, memory of a binding, time to load.

    python tools/bench_store.py [--bindings 10000] [--seconds 3] [--rate 5000] [--folder DIR]

A change is the refresh of one binding. "flat out" keeps 1000 changes waiting; "at a rate" gives the store
what a registrar under that load would. CPU time is that of the whole process, reactor and writer together.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred

from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.registrar.binding import Applied, Binding, Change
from rvoip.registrar.registrar import Registrar
from rvoip.registrar.settings import RegistrarSettings
from rvoip.registrar.stores.memory import MemoryStore
from rvoip.registrar.stores.sqlite import SQLiteStore

reactor: Any = _reactor
WAITING = 1000
REGISTER = (
    "REGISTER sip:example.test SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK-1;rport\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:{aor}>;tag=1\r\n"
    "To: <sip:{aor}>\r\n"
    "Call-ID: {call_id}\r\n"
    "CSeq: {cseq} REGISTER\r\n"
    "Contact: <{contact}>\r\n"
    "Expires: 3600\r\n"
    "User-Agent: bench/1.0\r\n"
    "Content-Length: 0\r\n\r\n"
)


def address(number: int) -> str:
    """Where phone `number` is."""
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:5060"


def binding(number: int, cseq: int, now: float) -> Binding:
    """What a registrar makes of a phone's REGISTER."""
    contact = f"sip:user{number}@{address(number)}"
    return Binding(
        contact,
        contact,
        f"{number}-9f3c6a7e@{address(number)}",
        cseq,
        now + 3600,
        3600,
        received=f"udp/10.0.0.1:5060/{address(number)}",
        user_agent="bench/1.0",
    )


def change(number: int, cseq: int, now: float) -> Change:
    """The change that its REGISTER becomes."""
    put = binding(number, cseq, now)
    return Change(f"user{number}@example.test", now, (put,), (), put.call_id, cseq)


def register(number: int, cseq: int) -> Request:
    """Its REGISTER."""
    text = REGISTER.format(
        aor=f"user{number}@example.test",
        call_id=f"{number}-9f3c6a7e@{address(number)}",
        cseq=cseq,
        contact=f"sip:user{number}@{address(number)}",
    )
    message = parse_message(text.encode())
    assert isinstance(message, Request)
    return message


class Load:
    """Refreshes of random bindings, counted when they are applied."""

    def __init__(self, store: SQLiteStore, bindings: int) -> None:
        self.store = store
        self.bindings = bindings
        self.cseq = 1
        self.applied = 0
        self.random = random.Random(1)
        self.latencies: list[float] = []

    def offer(self) -> Deferred[Any]:
        self.cseq += 1
        started = time.monotonic()
        waiting = self.store.apply(change(self.random.randrange(self.bindings), self.cseq, started))
        return waiting.addCallback(self._count, started)

    def _count(self, applied: Applied, started: float) -> None:
        self.applied += 1
        self.latencies.append(time.monotonic() - started)


async def fill(store: SQLiteStore, bindings: int) -> None:
    """Register all phones."""
    now = time.monotonic()
    for start in range(0, bindings, WAITING):
        waiting = [
            store.apply(change(number, 1, now)) for number in range(start, min(start + WAITING, bindings))
        ]
        for each in waiting:
            await each


async def flat_out(load: Load, seconds: float) -> None:
    """Have always as many changes wait."""
    end = time.monotonic() + seconds
    done: Deferred[None] = Deferred()
    waiting = 0

    def one_more(_: object) -> None:
        nonlocal waiting
        waiting -= 1
        if time.monotonic() < end:
            waiting += 1
            load.offer().addCallback(one_more)
        elif not waiting:
            done.callback(None)

    for _ in range(WAITING):
        waiting += 1
        load.offer().addCallback(one_more)
    await done


async def at_rate(load: Load, seconds: float, rate: int) -> None:
    """Offer changes a millisecond at a time; what is offered late is offered at once."""
    start = time.monotonic()
    offered = 0
    last: Deferred[Any] | None = None
    while (elapsed := time.monotonic() - start) < seconds:
        while offered < elapsed * rate:
            last = load.offer()
            offered += 1
        pause: Deferred[None] = Deferred()
        reactor.callLater(0.001, pause.callback, None)
        await pause
    if last is not None:
        await last


def report(name: str, load: Load, wall: float, cpu: float) -> None:
    """One line of results."""
    ordered = sorted(load.latencies)
    p50, p99 = (ordered[int(len(ordered) * part)] * 1000 for part in (0.5, 0.99))
    print(
        f"{name:28} {load.applied / wall:9,.0f}/s {cpu / load.applied * 1e6:7.1f} us CPU"
        f"   p50 {p50:.1f} ms  p99 {p99:.1f} ms"
    )


async def measure(name: str, store: SQLiteStore, bindings: int, run: Any) -> None:
    """Run a load and report it."""
    load = Load(store, bindings)
    load.cseq = int(time.monotonic() * 1e6) & 0x3FFFFFFF
    wall, cpu = time.monotonic(), time.process_time()
    await run(load)
    report(name, load, time.monotonic() - wall, time.process_time() - cpu)


async def bench_sqlite(path: Path, options: argparse.Namespace) -> None:
    """The durable store under load, idle, and opened again."""
    store = SQLiteStore(str(path), reactor)
    store.open(time.monotonic(), time.time())
    await fill(store, options.bindings)
    await measure("sqlite flat out", store, options.bindings, lambda load: flat_out(load, options.seconds))
    for rate in (options.rate // 5, options.rate):
        name = f"sqlite at {rate:,}/s"
        await measure(name, store, options.bindings, lambda load, r=rate: at_rate(load, options.seconds, r))
    idle = time.process_time()
    pause: Deferred[None] = Deferred()
    reactor.callLater(options.seconds, pause.callback, None)
    await pause
    print(f"{'idle':28} {(time.process_time() - idle) / options.seconds * 1e6:9.0f} us CPU a second")
    closed = store.close()
    if closed is not None:
        await closed
    again = SQLiteStore(str(path), reactor)
    started = time.monotonic()
    again.open(time.monotonic(), time.time())
    took = time.monotonic() - started
    print(f"{'sqlite open':28} {again.count().bindings:,} bindings in {took * 1000:.0f} ms")
    closed = again.close()
    if closed is not None:
        await closed


def bench_memory(options: argparse.Namespace) -> None:
    """The registrar with a store in memory: time of a refresh, memory of a binding."""
    registrar = Registrar(RegistrarSettings(), lambda: "1234abcd")
    requests = [register(number, 2) for number in range(1000)]
    store = MemoryStore()
    for request in requests:
        request.contacts, request.to, request.cseq  # noqa: B018  as the checks at the door have done
    rounds = max(3, options.bindings // 1000)
    best = 1e9
    for turn in range(rounds):
        now = 60.0 * turn
        started = time.perf_counter()
        for request in requests:
            request.cseq.number = turn
            aor = request.to.sip_uri.aor
            held = store.lookup(aor, now)
            decision = registrar.decide(request, aor, held, now, 1e9, "udp/10.0.0.1:5060/10.0.0.2:5060")
            assert isinstance(decision, Change)
            registrar.answer(request, store.apply(decision), now, 1e9)
        best = min(best, (time.perf_counter() - started) / len(requests))
    print(f"{'lookup decide apply answer':28} {best * 1e6:.1f} us")

    for number in range(5000):  # what the parser keeps of URIs is bounded, and no part of a binding
        registrar.decide(register(10**6 + number, 1), "warm@example.test", (), 0.0, 1e9)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    filled = MemoryStore()
    for number in range(options.bindings):
        now = number * 0.1
        request = register(number, 1)
        decision = registrar.decide(
            request, f"user{number}@example.test", (), now, 1e9, f"udp/{address(number)}"
        )
        assert isinstance(decision, Change)
        filled.apply(decision)
    del request, decision
    gc.collect()
    each = (tracemalloc.get_traced_memory()[0] - before) / options.bindings
    tracemalloc.stop()
    print(f"{'memory of a binding':28} {each:.0f} bytes")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bindings", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rate", type=int, default=5000, help="changes a second")
    parser.add_argument("--folder", help="where the database is made; its disk is part of what is measured")
    options = parser.parse_args()
    bench_memory(options)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        done = Deferred.fromCoroutine(bench_sqlite(Path(folder) / "location.db", options))
        failed: list[object] = []
        done.addErrback(failed.append)
        done.addBoth(lambda _: reactor.stop())
        reactor.run()
    if failed:
        sys.exit(str(failed[0]))


if __name__ == "__main__":
    main()
