"""One simulated day of a few phones and their servers, decided by a seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from rvoip.test.simulation.elements import DOMAIN
from rvoip.test.simulation.ends import End, PhoneEnd, Placed, SoftEnd
from rvoip.test.simulation.places import KINDS, make_places
from rvoip.testing.faulty_store import FaultyStore
from rvoip.testing.network import SimulatedNetwork
from rvoip.testing.network_ladder import NetworkLadder

__all__ = ["World"]

EXPIRES = 300
CALLS = 10
FAULTS_END = 100.0
"""When the network and the store are whole again, seconds from the start."""
CALLS_END = 260.0
"""When every call is answered, refused or given up."""
STILL = 540.0
"""When those that are up at one end only are found out by session timers."""
END = 1000.0
"""When bindings have expired, and connections were idle for long enough."""

_WEATHER: dict[str, dict[str, Any]] = {
    "clear": {"delay": (0.0, 0.0)},
    "lossy": {"loss": 0.04, "duplicate": 0.05, "reorder": 0.08, "delay": (0.002, 0.06)},
    "rough": {"loss": 0.15, "duplicate": 0.1, "reorder": 0.2, "delay": (0.01, 0.4)},
}
_FATES = ("answer", "later", "early", "busy", "ring", "silent", "decline")


class World:
    """
    Phones that register, call, give up, answer, change and hang up, while things break.

    `strict` says that nothing breaks that is beyond repair by retransmission. `broken` collects what must
    never be seen, `errors` what was logged as an error; the rest is for `rvoip.test.simulation.invariants`.
    """

    def __init__(
        self, seed: int, kind: str = "", weather: str = "", faults: tuple[str, ...] | None = None
    ) -> None:
        self.seed = seed
        self.chance = chance = Random(f"world {seed}")
        drawn = chance.choice(KINDS), chance.choice(("clear", "lossy", "lossy", "rough"))
        self.kind = kind or drawn[0]
        self.weather = weather or drawn[1]
        self.faults: tuple[str, ...] = ()
        if chance.random() < 0.5:
            some = chance.sample(("partition", "restart", "store"), chance.randint(1, 3))
            self.faults = tuple(sorted(some))
        if faults is not None:
            self.faults = faults
        self.strict = not self.faults and self.weather != "rough"
        self.network = SimulatedNetwork(seed=seed, **_WEATHER[self.weather])
        self.ladder = NetworkLadder(self.network)
        self.clock = self.network.clock
        self.kept = FaultyStore(self.clock, Random(f"store {seed}"))
        self.kept.late = chance.choice(((0.0, 0.0), (0.001, 0.02)))
        self.places = make_places(self.kind, self.network, self.kept, chance)
        self.ends: list[End] = []
        self.placed: list[Placed] = []
        self.broken: list[str] = []
        self.errors: list[str] = []
        self.restarts = 0
        self.up = 0
        self._refreshing = True
        self._make_ends()

    def __repr__(self) -> str:
        return f"seed {self.seed}: {self.kind}, {self.weather}, faults: {', '.join(self.faults) or 'none'}"

    # who is there

    def _make_ends(self) -> None:
        chance = self.chance
        for number, fate in enumerate(_FATES):
            self._make_end(f"{fate}{number}", fate, fate)
        for number, fate in enumerate(chance.sample(("ring", "later", "busy", "answer", "silent"), 3)):
            self._make_end(f"team{number}", "team", fate)
        for number in range(3):
            self._make_end(f"caller{number}", f"caller{number}", "answer")

    def _make_end(self, name: str, user: str, fate: str) -> None:
        chance = self.chance
        address = f"10.0.1.{len(self.ends) + 1}"
        transport = "UDP" if self.kind == "pair" else chance.choice(("UDP", "UDP", "TCP"))
        made: Callable[..., End] = chance.choice((PhoneEnd, SoftEnd))
        self.ends.append(
            made(
                self.network.host(name, address),
                name,
                f"{user}@{DOMAIN}",
                fate,
                chance.choice(self.places).server,
                host=address,
                port=5060,
                transport=transport,
                seed=self.seed,
            )
        )

    # what they do

    def run(self) -> None:
        """All of it."""
        globalLogPublisher.addObserver(cast(ILogObserver, self._logged))
        try:
            self._plan()
            self.network.advance(FAULTS_END)
            self._repair()
            self.network.advance(CALLS_END - FAULTS_END)
            self._refreshing = False
            self.network.advance(STILL - CALLS_END)
            self._look_at_calls()
            for end in self.ends:
                for call_id in end.up():
                    end.hang_up(call_id)
            self.network.advance(END - STILL)
        finally:
            globalLogPublisher.removeObserver(cast(ILogObserver, self._logged))

    def close(self) -> list[str]:
        """Stop the servers and phones; returns what is left then."""
        stopping: list[Deferred[Any]] = [end.close() for end in self.ends]
        stopping += [one.element.stopService() for one in self.places if one.element is not None]
        for one in stopping:
            self.network.result_of(one)
        self.network.advance(1.0)
        return self.network.pending()

    def _logged(self, event: LogEvent) -> None:
        if "log_failure" in event or event.get("log_level", LogLevel.info) >= LogLevel.error:
            failure = event.get("log_failure")
            text = failure.getTraceback() if isinstance(failure, Failure) else str(event.get("log_format"))
            self.errors.append(text)

    def _at(self, seconds: float, what: Callable[..., object], *arguments: Any) -> None:
        self.clock.callLater(seconds, what, *arguments)

    def _plan(self) -> None:
        chance = self.chance
        for end in self.ends:
            self._at(chance.uniform(0.0, 2.0), self._keep_registered, end)
        for end in chance.sample(self.ends[:-3], 2):
            self._at(chance.uniform(60.0, 250.0), self._unregister, end)
        callers = self.ends[-3:]
        for _ in range(CALLS):
            user = chance.choice((*_FATES, "team", "team", "answer", "later", "caller0", "nobody"))
            self._at(chance.uniform(8.0, 45.0), self._call, chance.choice(callers), user)
        for fault in self.faults:
            for _ in range(chance.randint(1, 2)):
                self._at(chance.uniform(3.0, 60.0), getattr(self, f"_{fault}"))
        for seconds in range(5, int(STILL), 5):
            self._at(seconds, self._look_at_bindings)

    def _keep_registered(self, end: End) -> None:
        if not self._refreshing or end.expires < 0:
            return
        end.expires = EXPIRES

        def registered(status: int) -> None:
            if self.strict and status != 200:
                self.broken.append(f"{end!r} could not register: {status}")
            again = EXPIRES / 2 if status == 200 else 5.0
            self._at(self.chance.uniform(0.9, 1.0) * again, self._keep_registered, end)

        Deferred.fromCoroutine(end.register(EXPIRES)).addCallback(registered)

    def _unregister(self, end: End) -> None:
        if end.registers:
            self._at(1.0, self._unregister, end)  # one at a time (RFC 3261 section 10.2)
            return
        end.expires = -1
        Deferred.fromCoroutine(end.register(0))

    def _call(self, caller: End, user: str) -> None:
        chance = self.chance
        if caller.aor.startswith(f"{user}@"):
            user = "answer"
        plan = [
            (chance.uniform(0.5, 6.0), chance.random() < 0.5),
            (chance.uniform(2.0, 20.0), chance.random() < 0.5),
        ]
        change, stay = chance.random() < 0.5, chance.random() < 0.3

        def answered(call: Any) -> None:
            (when, by_caller), (later, caller_ends) = plan
            if change:
                self._at(when, self._by, placed, by_caller, "change")
            if not stay:
                self._at(later, self._by, placed, caller_ends, "hang_up")

        placed, give_up = caller.call(user, answered)
        self.placed.append(placed)
        # Nobody waits for ever.
        self._at(chance.uniform(0.0, 4.0) if chance.random() < 0.3 else 90.0, give_up)

    def _by(self, placed: Placed, caller: bool, what: str) -> None:
        """Let the caller, or all who were called, do something in a call."""
        for end in self.ends:
            if (end is placed.end) is caller:
                getattr(end, what)(placed.call_id)

    # what goes wrong

    def _partition(self) -> None:
        chance = self.chance
        names = list(self.network.hosts)
        cut = chance.sample(names, chance.randint(1, len(names) // 2))
        self.network.partition(cut)
        self._at(chance.uniform(1.0, 50.0), self.network.heal)

    def _restart(self) -> None:
        place = self.chance.choice(self.places)
        if place.element is not None:
            self.restarts += 1
            place.kill()
            self._at(self.chance.uniform(0.05, 5.0), place.start)

    def _store(self) -> None:
        kept, chance = self.kept, self.chance
        if chance.random() < 0.4:
            kept.down = True
        else:
            kept.failing = chance.uniform(0.1, 0.6)
            kept.late = (0.01, chance.choice((0.3, 1.5)))
        self._at(chance.uniform(1.0, 30.0), self._mend)

    def _mend(self) -> None:
        self.kept.down = False
        self.kept.failing = 0.0
        self.kept.late = (0.001, 0.02)

    def _repair(self) -> None:
        self.network.heal()
        self._mend()
        for place in self.places:
            place.start()

    # what is looked at meanwhile

    def _look_at_bindings(self) -> None:
        now = self.clock.seconds()
        for end in self.ends:
            held = {one.contact for one in self.kept.held(end.aor, now)}
            for contact, (sent, until) in end.promises.items():
                if now < until and contact not in held:
                    promise = f"from {sent} to {until} s"
                    self.broken.append(f"{contact} of {end!r} was promised {promise}, and is gone at {now} s")

    def _look_at_calls(self) -> None:
        """What is up must be up at two ends."""
        up: dict[str, list[End]] = {}
        for end in self.ends:
            for call_id, count in end.up().items():
                up.setdefault(call_id, []).extend([end] * count)
        self.up = len(up)
        for call_id, ends in up.items():
            if len(ends) == 2:
                continue
            # A test phone has no session timer: what a cut tore apart stays up until it is hung up.
            if self.strict or any(end.guarded(call_id) for end in ends):
                self.broken.append(f"call {call_id} is up at {ends}")
